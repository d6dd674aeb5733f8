/* SPDX-License-Identifier: MIT */
/* A cold tier in a folder of the simulated disk. The crash replay proves that its packs survive; S3 is tests/cold's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/random.h"
#include "sim/disk.h"
#include "storage/cold_directory.h"
#include "storage/cold_tier.h"
#include "storage/disk_posix.h"
#include "tests/support/storage.h"

enum { PACK = 0x1234, BLOCKS = 40, BLOCK_MAX = 5000 };

static const uint8_t mark[PACK_MARK_BYTES] = "one for the test";
static const char *const pack_path = "/cold/0000000000001234.pack";

struct world {
    struct sim_disk *disk;
    const struct disk_port *port;
    struct account account;
    struct cold_tier tier;
    struct cold_call call;
    struct cold_place places[BLOCKS];
    uint8_t blocks[BLOCKS][BLOCK_MAX];
    size_t sizes[BLOCKS];
    struct pack_tail tail;
};

static uint64_t clock_of_test;

static uint64_t test_now(void *arg)
{
    (void)arg;
    return clock_of_test;
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct prng prng;
    assert_non_null(w);
    w->disk = sim_disk_new(1, 64 * MIB);
    w->port = sim_disk_port(w->disk);
    clock_of_test = 0;
    w->call.deadline_ns = SECOND_NS;
    account_init(&w->account, "test", 8 * MIB);
    struct cold_directory_options options = {.port = w->port, .folder = "/cold", .now = test_now};
    assert_int_equal(w->port->make_dir(w->port->self, "/cold"), ERR_OK);
    assert_int_equal(cold_directory_new(&options, &w->tier.store), ERR_OK);
    assert_int_equal(cold_tier_claim(w->tier.store, &w->call, mark), ERR_OK);
    memcpy(w->tier.mark, mark, sizeof(mark));
    w->tier.account = &w->account;
    prng_init(&prng, 9);
    for (size_t i = 0; i < BLOCKS; i++) {
        w->sizes[i] = 1 + (size_t)prng_below(&prng, BLOCK_MAX);
        prng_fill(&prng, w->blocks[i], i % 2 == 0 ? w->sizes[i] : 1 + i); /* the others compress */
    }
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    w->tier.store->class->free(w->tier.store);
    assert_int_equal(account_used(&w->account), 0);
    sim_disk_free(w->disk);
    free(w);
    return 0;
}

static struct span block_of(const struct world *w, size_t i)
{
    return span_of(w->blocks[i], w->sizes[i]);
}

static enum err add_all(struct world *w, struct cold_pack *pack)
{
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < BLOCKS; i++) {
        struct block_key key;
        test_key(block_of(w, i), &key);
        err = cold_pack_add(pack, &w->call, &key, 0x55, block_of(w, i), &w->places[i]);
    }
    return err;
}

static enum err write_pack(struct world *w, uint64_t id)
{
    struct cold_pack *pack;
    enum err err = cold_pack_begin(&w->tier, &w->call, id, &pack);
    if (err != ERR_OK)
        return err;
    err = add_all(w, pack);
    if (err == ERR_OK)
        return cold_pack_end(pack, &w->call, &w->tail);
    cold_pack_abandon(pack, &w->call);
    return err;
}

static enum err read_block(struct world *w, size_t i)
{
    struct block_ref *ref;
    enum err err = cold_tier_read(&w->tier, &w->call, &w->places[i], &w->account, &ref);
    if (err != ERR_OK)
        return err;
    assert_true(span_equal(block_ref_span(ref), block_of(w, i)));
    block_ref_unref(ref);
    return ERR_OK;
}

static enum err count_entry(void *arg, const struct cold_place *place)
{
    (void)place;
    (*(size_t *)arg)++;
    return ERR_OK;
}

static void a_pack_is_written_and_read(void **state)
{
    struct world *w = *state;
    size_t count = 0;
    struct pack_tail found;
    assert_int_equal(write_pack(w, PACK), ERR_OK);
    assert_int_equal(w->tail.records, BLOCKS);
    for (size_t i = 0; i < BLOCKS; i++)
        assert_int_equal(read_block(w, i), ERR_OK);
    assert_int_equal(cold_tier_index(&w->tier, &w->call, PACK, count_entry, &count), ERR_OK);
    assert_int_equal(count, BLOCKS);
    assert_int_equal(cold_tier_check(&w->tier, &w->call, PACK, &found), ERR_OK);
    assert_int_equal(found.bytes, w->tail.bytes);
    assert_int_equal(cold_tier_remove(&w->tier, &w->call, PACK), ERR_OK);
    assert_int_equal(cold_tier_remove(&w->tier, &w->call, PACK), ERR_OK);
    assert_int_equal(read_block(w, 0), ERR_NOT_FOUND);
}

/* An index that is longer than the first look at the end of the object. */
static void a_long_index_is_read(void **state)
{
    struct world *w = *state;
    struct cold_pack *pack;
    struct cold_place place;
    struct pack_tail tail;
    size_t count = 0;
    assert_int_equal(cold_pack_begin(&w->tier, &w->call, PACK, &pack), ERR_OK);
    for (uint32_t i = 0; i < 2000; i++) {
        struct block_key key;
        test_key(span_of(&i, sizeof(i)), &key);
        assert_int_equal(cold_pack_add(pack, &w->call, &key, 0x55, span_of(&i, sizeof(i)), &place), ERR_OK);
    }
    assert_int_equal(cold_pack_records(pack), 2000);
    assert_int_equal(cold_pack_end(pack, &w->call, &tail), ERR_OK);
    assert_true(tail.bytes - tail.index > 64 * KIB);
    assert_int_equal(cold_tier_index(&w->tier, &w->call, PACK, count_entry, &count), ERR_OK);
    assert_int_equal(count, 2000);
}

static enum err note_pack(void *arg, uint64_t pack, uint64_t bytes)
{
    uint64_t *sum = arg;
    assert_true(bytes > PACK_HEADER_BYTES);
    sum[0] += pack;
    sum[1]++;
    return ERR_OK;
}

static void packs_are_listed_in_pages(void **state)
{
    struct world *w = *state;
    uint64_t sum[2] = {0, 0};
    uint64_t at = 0;
    unsigned pages = 0;
    struct pack_tail tail;
    for (uint64_t id = 1; id <= 1500; id++) {
        struct cold_pack *pack;
        assert_int_equal(cold_pack_begin(&w->tier, &w->call, id, &pack), ERR_OK);
        assert_int_equal(cold_pack_end(pack, &w->call, &tail), ERR_OK);
    }
    do {
        assert_int_equal(cold_tier_packs(&w->tier, &w->call, at, note_pack, sum, &at), ERR_OK);
        pages++;
    } while (at != 0);
    assert_int_equal(sum[0], 1500 * 1501 / 2);
    assert_int_equal(sum[1], 1500);
    assert_int_equal(pages, 2);
}

static void damage_is_told_and_nothing_wrong_is_given(void **state)
{
    struct world *w = *state;
    assert_int_equal(write_pack(w, PACK), ERR_OK);
    assert_int_equal(sim_disk_damage(w->disk, pack_path, w->places[3].offset + 40, 0x10), ERR_OK);
    assert_int_equal(read_block(w, 3), ERR_CORRUPT);
    assert_int_equal(read_block(w, 2), ERR_OK);
    assert_int_equal(read_block(w, 4), ERR_OK);
    assert_int_equal(cold_tier_check(&w->tier, &w->call, PACK, NULL), ERR_CORRUPT);
    /* One that was only read wrongly is read again. */
    sim_disk_fail(w->disk, SIM_FAULT_READ_FLIP, 0, 1);
    assert_int_equal(read_block(w, 2), ERR_OK);
    sim_disk_fail(w->disk, SIM_FAULT_READ_IO, 0, 1);
    assert_int_equal(read_block(w, 2), ERR_OK);
}

static void nothing_is_lost_while_the_medium_is_away(void **state)
{
    struct world *w = *state;
    assert_int_equal(write_pack(w, PACK), ERR_OK);
    /* The disk is not mounted: an empty folder lies there. */
    assert_int_equal(w->port->rename(w->port->self, "/cold/hearth-tier", "/away"), ERR_OK);
    assert_int_equal(w->port->rename(w->port->self, pack_path, "/away.pack"), ERR_OK);
    assert_int_equal(read_block(w, 0), ERR_UNAVAILABLE);
    assert_int_equal(cold_tier_ask(&w->tier, &w->call), ERR_UNAVAILABLE);
    /* It is another node's. */
    uint8_t other[PACK_MARK_BYTES] = {1};
    assert_int_equal(cold_tier_claim(w->tier.store, &w->call, other), ERR_OK);
    assert_int_equal(read_block(w, 0), ERR_DENIED);
    assert_int_equal(w->port->unlink(w->port->self, "/cold/hearth-tier"), ERR_OK);
    /* It is back. */
    assert_int_equal(w->port->rename(w->port->self, "/away", "/cold/hearth-tier"), ERR_OK);
    assert_int_equal(read_block(w, 0), ERR_NOT_FOUND);
    assert_int_equal(w->port->rename(w->port->self, "/away.pack", pack_path), ERR_OK);
    assert_int_equal(read_block(w, 0), ERR_OK);
    /* No read gets through. */
    sim_disk_fail(w->disk, SIM_FAULT_READ_IO, 0, 1000);
    assert_int_equal(read_block(w, 0), ERR_UNAVAILABLE);
}

/* On the real disk: the simulated one has no folders that could be missing. */
static void a_folder_that_is_not_there_is_never_made(void **state)
{
    struct world *w = *state;
    const struct disk_port *port = disk_posix();
    char folder[] = "/tmp/hearth-test-XXXXXX";
    char missing[64];
    uint64_t count;
    uint64_t last;
    struct cold_pack *pack;
    struct cold_tier tier = {.account = &w->account};
    assert_non_null(mkdtemp(folder));
    (void)snprintf(missing, sizeof(missing), "%s/cold", folder);
    struct cold_directory_options options = {.port = port, .folder = missing, .now = test_now};
    assert_int_equal(cold_directory_new(&options, &tier.store), ERR_OK);
    assert_int_equal(cold_tier_claim(tier.store, &w->call, mark), ERR_UNAVAILABLE);
    assert_int_equal(cold_pack_begin(&tier, &w->call, PACK, &pack), ERR_UNAVAILABLE);
    assert_int_equal(cold_tier_packs(&tier, &w->call, 0, note_pack, NULL, &last), ERR_UNAVAILABLE);
    assert_int_equal(cold_tier_sweep(&tier, &w->call, &count), ERR_UNAVAILABLE);
    assert_int_equal(cold_tier_remove(&tier, &w->call, PACK), ERR_UNAVAILABLE);
    assert_int_equal(port->exists(port->self, missing), ERR_NOT_FOUND);
    assert_int_equal(rmdir(folder), 0);
    /* One that is there is used. */
    assert_int_equal(port->make_dir(port->self, folder), ERR_OK);
    assert_int_equal(port->make_dir(port->self, missing), ERR_OK);
    assert_int_equal(cold_tier_claim(tier.store, &w->call, mark), ERR_OK);
    memcpy(tier.mark, mark, sizeof(mark));
    struct cold_store *simulated = w->tier.store;
    w->tier.store = tier.store;
    assert_int_equal(write_pack(w, PACK), ERR_OK);
    for (size_t i = 0; i < BLOCKS; i++)
        assert_int_equal(read_block(w, i), ERR_OK);
    assert_int_equal(cold_tier_remove(&tier, &w->call, PACK), ERR_OK);
    w->tier.store = simulated;
    (void)snprintf(missing, sizeof(missing), "%s/cold/" COLD_MARK_NAME, folder);
    assert_int_equal(port->unlink(port->self, missing), ERR_OK);
    *strrchr(missing, '/') = '\0';
    assert_int_equal(rmdir(missing), 0); /* and it is empty */
    assert_int_equal(rmdir(folder), 0);
    tier.store->class->free(tier.store);
}

static void a_mark_is_not_written_over(void **state)
{
    struct world *w = *state;
    uint8_t found[PACK_MARK_BYTES];
    uint8_t other[PACK_MARK_BYTES] = {1};
    assert_int_equal(cold_tier_claim(w->tier.store, &w->call, mark), ERR_OK);
    assert_int_equal(cold_tier_claim(w->tier.store, &w->call, other), ERR_DENIED);
    assert_int_equal(cold_tier_find(w->tier.store, &w->call, found), ERR_OK);
    assert_memory_equal(found, mark, sizeof(mark));
    /* Nor is a folder taken that has packs of somebody. */
    assert_int_equal(write_pack(w, PACK), ERR_OK);
    assert_int_equal(w->port->unlink(w->port->self, "/cold/hearth-tier"), ERR_OK);
    assert_int_equal(cold_tier_claim(w->tier.store, &w->call, other), ERR_DENIED);
}

/* Each operation of the disk fails once: a pack is there, whole, or it is not. */
static void what_fails_leaves_nothing_behind(void **state)
{
    struct world *w = *state;
    static const enum sim_disk_fault faults[] = {SIM_FAULT_WRITE_NO_SPACE, SIM_FAULT_WRITE_IO, SIM_FAULT_SYNC_IO,
                                                 SIM_FAULT_SYNC_DIR_IO, SIM_FAULT_READ_FLIP};
    uint64_t id = 1;
    for (size_t f = 0; f < ARRAY_LEN(faults); f++) {
        for (uint64_t n = 0;; n++, id++) {
            char name[PACK_NAME_MAX];
            char path[64];
            sim_disk_fail(w->disk, faults[f], n, 1);
            enum err err = write_pack(w, id);
            uint64_t struck = sim_disk_struck(w->disk, faults[f]);
            sim_disk_fail(w->disk, faults[f], 0, 0);
            pack_name(id, name);
            (void)snprintf(path, sizeof(path), "/cold/%s", name);
            if (err == ERR_OK) {
                assert_int_equal(cold_tier_check(&w->tier, &w->call, id, NULL), ERR_OK);
                assert_int_equal(cold_tier_remove(&w->tier, &w->call, id), ERR_OK);
            } else {
                assert_int_equal(struck, 1);
                assert_int_equal(w->port->exists(w->port->self, path), ERR_NOT_FOUND);
                assert_true(w->call.why[0] != '\0');
            }
            if (struck == 0)
                break;
        }
    }
    uint64_t count = 1;
    assert_int_equal(cold_tier_sweep(&w->tier, &w->call, &count), ERR_OK);
    assert_int_equal(count, 0);
}

static void make_file(struct world *w, const char *path)
{
    struct disk_file *file;
    assert_int_equal(w->port->open(w->port->self, path, DISK_WRITE | DISK_CREATE, &file), ERR_OK);
    w->port->close(file);
}

static void what_a_crash_left_is_swept(void **state)
{
    struct world *w = *state;
    struct cold_pack *pack;
    uint64_t count = 0;
    assert_int_equal(write_pack(w, PACK), ERR_OK);
    assert_int_equal(cold_pack_begin(&w->tier, &w->call, PACK + 1, &pack), ERR_OK);
    assert_int_equal(w->port->exists(w->port->self, "/cold/0000000000001235.pack.part"), ERR_OK);
    make_file(w, "/cold/film.mkv.part");
    make_file(w, "/cold/film.part");
    assert_int_equal(cold_tier_sweep(&w->tier, &w->call, &count), ERR_OK); /* as the next life would */
    assert_int_equal(count, 1);
    assert_int_equal(w->port->exists(w->port->self, "/cold/film.mkv.part"), ERR_OK); /* somebody's download */
    assert_int_equal(w->port->exists(w->port->self, "/cold/film.part"), ERR_OK);
    assert_int_equal(w->port->exists(w->port->self, "/cold/0000000000001235.pack.part"), ERR_NOT_FOUND);
    assert_int_equal(read_block(w, 0), ERR_OK);
    cold_pack_abandon(pack, &w->call);
}

static void deadlines_and_cancels_are_seen(void **state)
{
    struct world *w = *state;
    struct cold_pack *pack;
    _Atomic bool cancelled = false;
    assert_int_equal(write_pack(w, PACK), ERR_OK);
    clock_of_test = w->call.deadline_ns;
    assert_int_equal(read_block(w, 0), ERR_UNAVAILABLE);
    clock_of_test = 0;
    w->call.cancelled = &cancelled;
    assert_int_equal(cold_pack_begin(&w->tier, &w->call, PACK + 1, &pack), ERR_OK);
    cancelled = true;
    assert_int_equal(add_all(w, pack), ERR_CANCELLED);
    cold_pack_abandon(pack, &w->call);
    assert_int_equal(w->port->exists(w->port->self, "/cold/0000000000001235.pack.part"), ERR_NOT_FOUND);
    assert_int_equal(read_block(w, 0), ERR_CANCELLED);
    w->call.cancelled = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pack_is_written_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_index_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(packs_are_listed_in_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_is_told_and_nothing_wrong_is_given, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_lost_while_the_medium_is_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_is_not_there_is_never_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mark_is_not_written_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_fails_leaves_nothing_behind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_crash_left_is_swept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deadlines_and_cancels_are_seen, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
