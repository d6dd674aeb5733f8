/* SPDX-License-Identifier: MIT */
/*
 * A store whose media decays: the scrubber finds it, the block is quarantined and wanted back, and storing it anew heals it. Corrupt, cut,
 * swapped and missing segments, each with its expected answer; and a fault at each write and sync on the way.
 */
#include "tests/support/storage.h"

#include "base/limits.h"
#include "base/random.h"
#include "sim/disk.h"
#include "storage/healer.h"
#include "storage/scrubber.h"
#include "tests/support/store_driver.h"

enum { BLOCKS = 40, BLOCK_BYTES = 2000, WANTED_MAX = 128 };

#define REAL (UINT64_C(1700000000) * SECOND_NS)

struct world {
    struct sim_disk *disk;
    struct blockstore *store;
    uint64_t now;
    uint64_t scrub_rate;
    unsigned notices;
    bool fatal;
    bool deaf; /* heal requests are refused */
    uint64_t ids[WANTED_MAX];
    struct block_key wanted[WANTED_MAX];
    size_t wanted_count;
    struct block_key keys[BLOCKS];
    uint8_t bytes[BLOCKS][BLOCK_BYTES];
};

static void on_notice(void *arg, bool fatal, const char *text)
{
    struct world *w = arg;
    (void)text;
    w->notices++;
    w->fatal |= fatal;
}

static bool on_heal(void *arg, uint64_t id, const struct block_key *key, uint32_t codec)
{
    struct world *w = arg;
    assert_int_equal(codec, 0x55);
    if (w->deaf)
        return false;
    assert_true(w->wanted_count < WANTED_MAX);
    w->ids[w->wanted_count] = id;
    w->wanted[w->wanted_count++] = *key;
    return true;
}

static enum err try_open(struct world *w)
{
    char why[STORE_WHY_BYTES];
    struct blockstore_options options = {.port = sim_disk_port(w->disk),
                                         .path = "repo",
                                         .storage_max_bytes = 32 * MIB,
                                         .scrub_rate = w->scrub_rate,
                                         .segment_bytes = 16 * KIB,
                                         .allocate_bytes = 4 * KIB,
                                         .cache_kib = 256,
                                         .events = {.arg = w, .heal = on_heal, .notice = on_notice}};
    return blockstore_open(&options, w->now, REAL + w->now, &w->store, why);
}

static void reopen(struct world *w)
{
    blockstore_close(w->store, false);
    assert_int_equal(try_open(w), ERR_OK);
}

static void put(struct world *w, size_t i)
{
    assert_int_equal(test_put(w->store, &w->keys[i], span_of(w->bytes[i], BLOCK_BYTES), NULL), ERR_OK);
}

static struct world *world_new(uint64_t scrub_rate)
{
    struct world *w = calloc(1, sizeof(*w));
    struct prng prng;
    w->disk = sim_disk_new(3, 64 * MIB);
    w->scrub_rate = scrub_rate;
    const struct disk_port *port = sim_disk_port(w->disk);
    assert_int_equal(port->make_dir(port->self, "repo"), ERR_OK);
    assert_int_equal(port->sync_dir(port->self, "/"), ERR_OK);
    prng_init(&prng, 3);
    assert_int_equal(try_open(w), ERR_OK);
    for (size_t i = 0; i < BLOCKS; i++) {
        prng_fill(&prng, w->bytes[i], BLOCK_BYTES);
        test_key(span_of(w->bytes[i], BLOCK_BYTES), &w->keys[i]);
        put(w, i);
    }
    reopen(w); /* all have rows */
    return w;
}

static void world_free(struct world *w)
{
    assert_false(w->fatal);
    blockstore_close(w->store, false);
    sim_disk_free(w->disk);
    free(w);
}

/* Time passes as the owner's timer would make it. */
static void live(struct world *w, uint64_t ns)
{
    uint64_t until = w->now + ns;
    for (;;) {
        test_drive(w->store, 1000);
        uint64_t at = blockstore_wakes_at(w->store);
        if (at > until)
            break;
        w->now = MAX(at, w->now + 1);
        blockstore_tick(w->store, w->now, REAL + w->now);
    }
    w->now = until;
    blockstore_tick(w->store, w->now, REAL + w->now);
}

static size_t block_of(const struct world *w, const struct block_key *key)
{
    size_t i = 0;
    while (i < BLOCKS && !block_key_equal(key, &w->keys[i]))
        i++;
    assert_true(i < BLOCKS);
    return i;
}

/* Answers all heal requests, with the block when found. */
static void answer(struct world *w, bool found)
{
    while (w->wanted_count > 0) {
        w->wanted_count--;
        if (found)
            put(w, block_of(w, &w->wanted[w->wanted_count]));
        blockstore_healed(w->store, w->ids[w->wanted_count]);
        test_drive(w->store, 1000);
    }
}

static size_t count_absent(struct world *w)
{
    size_t absent = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        struct block_ref *ref = NULL;
        enum err err = test_get(w->store, &w->keys[i], &ref);
        assert_true(err == ERR_OK || err == ERR_NOT_FOUND);
        if (err == ERR_OK)
            assert_true(span_equal(block_ref_span(ref), span_of(w->bytes[i], BLOCK_BYTES)));
        block_ref_unref(err == ERR_OK ? ref : NULL);
        absent += err != ERR_OK;
    }
    return absent;
}

static struct blockstore_stats stats(struct world *w)
{
    return blockstore_stats(w->store);
}

/* ---- the scrubber ---- */

static void decay_is_found_and_healed(void **state)
{
    (void)state;
    struct world *w = world_new(4000);
    assert_int_equal(sim_disk_damage(w->disk, "repo/segments/0000000000000002.seg", 5000, 0x10), ERR_OK);
    live(w, 3600 * SECOND_NS);
    assert_int_equal(stats(w).scrub.bad, 1);
    assert_int_equal(stats(w).scrub.blocks, BLOCKS);
    assert_int_not_equal(stats(w).scrub.ended_ns, 0);
    assert_int_equal(stats(w).quarantined, 1);
    assert_int_equal(stats(w).blocks, BLOCKS - 1);
    assert_true(w->wanted_count >= 1);
    answer(w, true);
    assert_int_equal(stats(w).quarantined, 0);
    assert_int_equal(count_absent(w), 0);
    world_free(w);
}

/* A pass of several pages goes on in the next life where it was, and is not begun again before its time. */
static void a_pass_survives_a_restart(void **state)
{
    (void)state;
    struct world *w = world_new(10 * 1000); /* three pages of 256 blocks, of 5 to 60 kB: some seconds each */
    for (uint64_t i = 0; i < 600; i++) {
        struct block_key key;
        test_key(span_of((const uint8_t *)&i, sizeof(i)), &key);
        assert_int_equal(test_put(w->store, &key, span_of((const uint8_t *)&i, sizeof(i)), NULL), ERR_OK);
    }
    live(w, SCRUB_START_NS + MS_NS);
    uint64_t blocks = stats(w).scrub.blocks;
    assert_int_equal(blocks, STORE_VERIFY_PAGE);
    reopen(w);
    assert_int_equal(stats(w).scrub.blocks, blocks);
    live(w, SCRUB_START_NS + MS_NS);
    assert_int_equal(stats(w).scrub.blocks, 2 * STORE_VERIFY_PAGE);
    live(w, 3600 * SECOND_NS);
    uint64_t ended = stats(w).scrub.ended_ns;
    assert_int_equal(stats(w).scrub.blocks, BLOCKS + 600);
    assert_int_not_equal(ended, 0);
    reopen(w);
    assert_int_equal(stats(w).scrub.ended_ns, ended);
    live(w, 6 * 24 * 3600 * SECOND_NS);
    assert_int_equal(stats(w).scrub.ended_ns, ended);
    live(w, 2 * 24 * 3600 * SECOND_NS);
    assert_true(stats(w).scrub.ended_ns > ended);
    world_free(w);
}

static void without_a_rate_nothing_is_read(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    live(w, 100 * 3600 * SECOND_NS);
    assert_int_equal(stats(w).scrub.blocks, 0);
    assert_int_equal(stats(w).scrub.ended_ns, 0);
    world_free(w);
}

/* ---- segments that are wrong ---- */

static void damage_corrupt(const struct disk_port *port, struct sim_disk *disk)
{
    (void)port;
    for (uint64_t at = 1000; at < 12 * KIB; at += 2048)
        assert_int_equal(sim_disk_damage(disk, "repo/segments/0000000000000002.seg", at, 0xff), ERR_OK);
}

static void damage_cut(const struct disk_port *port, struct sim_disk *disk)
{
    (void)disk;
    struct disk_file *file;
    assert_int_equal(port->open(port->self, "repo/segments/0000000000000002.seg", DISK_WRITE, &file), ERR_OK);
    assert_int_equal(port->truncate(file, 3000), ERR_OK);
    assert_int_equal(port->fdatasync(file), ERR_OK);
    port->close(file);
}

static void damage_missing(const struct disk_port *port, struct sim_disk *disk)
{
    (void)disk;
    assert_int_equal(port->unlink(port->self, "repo/segments/0000000000000002.seg"), ERR_OK);
}

static void damage_swapped(const struct disk_port *port, struct sim_disk *disk)
{
    (void)disk;
    assert_int_equal(port->rename(port->self, "repo/segments/0000000000000002.seg", "repo/segments/x"), ERR_OK);
    assert_int_equal(
        port->rename(port->self, "repo/segments/0000000000000003.seg", "repo/segments/0000000000000002.seg"), ERR_OK);
    assert_int_equal(port->rename(port->self, "repo/segments/x", "repo/segments/0000000000000003.seg"), ERR_OK);
}

static void wrong_segments_are_quarantined_and_healed(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        void (*damage)(const struct disk_port *port, struct sim_disk *disk);
        size_t least;
        size_t most;
    } cases[] = {
        {"corrupt", damage_corrupt, 5, 7},
        {"cut", damage_cut, 5, 7},
        {"missing", damage_missing, 6, 8},
        {"swapped", damage_swapped, 12, 16},
    };
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        struct world *w = world_new(0);
        print_message("%s\n", cases[c].what);
        blockstore_close(w->store, false);
        cases[c].damage(sim_disk_port(w->disk), w->disk);
        assert_int_equal(try_open(w), ERR_OK);
        size_t absent = count_absent(w);
        assert_in_range(absent, cases[c].least, cases[c].most);
        live(w, SECOND_NS);
        assert_int_equal(stats(w).quarantined, absent);
        assert_int_equal(stats(w).blocks, BLOCKS - absent);
        for (size_t round = 0; round < 10 && stats(w).quarantined > 0; round++) {
            answer(w, true);
            live(w, SECOND_NS);
        }
        assert_int_equal(stats(w).quarantined, 0);
        assert_int_equal(count_absent(w), 0);
        reopen(w);
        assert_int_equal(count_absent(w), 0);
        world_free(w);
    }
}

/* ---- healing ---- */

static void damage_one(struct world *w)
{
    struct block_ref *ref = NULL;
    blockstore_close(w->store, false);
    assert_int_equal(sim_disk_damage(w->disk, "repo/segments/0000000000000001.seg", 100, 0x01), ERR_OK);
    assert_int_equal(try_open(w), ERR_OK);
    assert_int_equal(test_get(w->store, &w->keys[0], &ref), ERR_NOT_FOUND);
    test_drive(w->store, 1000);
    assert_int_equal(stats(w).quarantined, 1);
}

/* Peers that have it not are asked again, more and more rarely, over restarts. */
static void tries_go_on_over_restarts(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    damage_one(w);
    assert_int_equal(w->wanted_count, 1);
    answer(w, false);
    live(w, HEAL_BACKOFF_NS - 5 * SECOND_NS);
    assert_int_equal(w->wanted_count, 0);
    reopen(w);
    assert_int_equal(w->wanted_count, 0);
    live(w, HEAL_LOOK_NS + 10 * SECOND_NS);
    assert_int_equal(w->wanted_count, 1);
    answer(w, false);
    live(w, HEAL_BACKOFF_NS + HEAL_LOOK_NS);
    assert_int_equal(w->wanted_count, 0); /* twice as long now */
    live(w, 2 * HEAL_BACKOFF_NS);
    assert_int_equal(w->wanted_count, 1);
    answer(w, true);
    assert_int_equal(stats(w).quarantined, 0);
    world_free(w);
}

static void an_owner_that_has_no_room_is_asked_again(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    w->deaf = true;
    damage_one(w);
    assert_int_equal(w->wanted_count, 0);
    w->deaf = false;
    live(w, 2 * HEAL_LOOK_NS);
    assert_int_equal(w->wanted_count, 1);
    world_free(w);
}

static void all_can_be_asked_for_at_once_or_forgotten(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    damage_one(w);
    answer(w, false);
    assert_int_equal(test_change(w->store, &w->keys[0], CHANGE_HEAL_ALL), ERR_OK);
    assert_int_equal(w->wanted_count, 1);
    answer(w, false);
    assert_int_equal(test_change(w->store, &w->keys[0], CHANGE_FORGET_ALL), ERR_OK);
    assert_int_equal(stats(w).quarantined, 0);
    live(w, HEAL_BACKOFF_MAX_NS);
    assert_int_equal(w->wanted_count, 0);
    world_free(w);
}

static void a_removed_block_is_not_wanted_back(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    damage_one(w);
    assert_int_equal(test_change(w->store, &w->keys[0], CHANGE_BLOCK_RM), ERR_OK);
    assert_int_equal(stats(w).quarantined, 0);
    assert_int_equal(test_change(w->store, &w->keys[0], CHANGE_BLOCK_RM), ERR_NOT_FOUND);
    world_free(w);
}

/* Whatever write or sync fails once: the damaged block is never served, and heals in the end. */
static void a_fault_at_each_point_of_quarantine_and_healing(void **state)
{
    (void)state;
    static const enum sim_disk_fault faults[] = {SIM_FAULT_SYNC_IO, SIM_FAULT_WRITE_IO, SIM_FAULT_WRITE_NO_SPACE};
    for (size_t f = 0; f < ARRAY_LEN(faults); f++) {
        for (uint64_t n = 0; n < 25; n++) {
            struct world *w = world_new(0);
            blockstore_close(w->store, false);
            assert_int_equal(sim_disk_damage(w->disk, "repo/segments/0000000000000001.seg", 100, 0x01), ERR_OK);
            assert_int_equal(try_open(w), ERR_OK);
            sim_disk_fail(w->disk, faults[f], n, 1);
            struct block_ref *ref = NULL;
            assert_int_equal(test_get(w->store, &w->keys[0], &ref), ERR_NOT_FOUND);
            for (int round = 0; round < 5; round++) {
                live(w, 4 * HEAL_BACKOFF_NS);
                while (w->wanted_count > 0) {
                    size_t i = block_of(w, &w->wanted[--w->wanted_count]);
                    (void)!test_put(w->store, &w->keys[i], span_of(w->bytes[i], BLOCK_BYTES), NULL);
                    blockstore_healed(w->store, w->ids[w->wanted_count]);
                }
            }
            assert_int_equal(stats(w).quarantined, 0);
            assert_int_equal(count_absent(w), 0);
            blockstore_close(w->store, true);
            sim_disk_power_cut(w->disk, SIM_CUT_DROP, n);
            assert_int_equal(try_open(w), ERR_OK);
            assert_int_equal(count_absent(w), 0);
            world_free(w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decay_is_found_and_healed),
        cmocka_unit_test(a_pass_survives_a_restart),
        cmocka_unit_test(without_a_rate_nothing_is_read),
        cmocka_unit_test(wrong_segments_are_quarantined_and_healed),
        cmocka_unit_test(tries_go_on_over_restarts),
        cmocka_unit_test(an_owner_that_has_no_room_is_asked_again),
        cmocka_unit_test(all_can_be_asked_for_at_once_or_forgotten),
        cmocka_unit_test(a_removed_block_is_not_wanted_back),
        cmocka_unit_test(a_fault_at_each_point_of_quarantine_and_healing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
