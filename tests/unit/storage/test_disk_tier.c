/* SPDX-License-Identifier: MIT */
/* The disk tier on the simulated disk and on the real one: groups, rotation, full disks, failing syncs, power cuts. */
#include "tests/support/storage.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/random.h"
#include "sim/disk.h"
#include "storage/disk_posix.h"
#include "storage/disk_tier.h"
#include "storage/segment.h"

/* Groups of write_groups are of 100 bytes to 60 KiB: some are written past the page cache, some through it. */
enum { BLOCKS_MAX = 4096, SMALL_SEGMENT = 64 * 1024, SMALL_DIRECT = 16 * 1024 };

struct found {
    struct block_place places[BLOCKS_MAX];
    size_t count;
    struct segment_checkpoint checkpoints[64];
    size_t checkpoint_count;
};

static struct disk_tier *open_tier(const struct disk_port *port, const char *dir)
{
    struct disk_tier *tier;
    struct disk_tier_options options = {.port = port,
                                        .dir = dir,
                                        .segment_bytes = SMALL_SEGMENT,
                                        .allocate_bytes = SMALL_SEGMENT / 4,
                                        .direct_bytes = SMALL_DIRECT};
    assert_int_equal(disk_tier_open(&options, &tier), ERR_OK);
    return tier;
}

static enum err note_block(void *arg, const struct block_place *place)
{
    struct found *found = arg;
    assert_in_range(found->count, 0, BLOCKS_MAX - 1);
    found->places[found->count++] = *place;
    return ERR_OK;
}

static enum err note_segment(void *arg, const struct segment_checkpoint *checkpoint)
{
    struct found *found = arg;
    assert_in_range(found->checkpoint_count, 0, 63);
    found->checkpoints[found->checkpoint_count++] = *checkpoint;
    return ERR_OK;
}

static struct found *recover(struct disk_tier *tier)
{
    struct found *found = calloc(1, sizeof(*found));
    assert_non_null(found);
    assert_int_equal(disk_tier_recover(tier, NULL, 0, note_block, note_segment, found), ERR_OK);
    return found;
}

static struct block_ref *make_block(struct prng *prng, size_t len)
{
    struct block_ref *ref = block_ref_new(len, NULL);
    assert_non_null(ref);
    prng_fill(prng, ref->data, len);
    return ref;
}

static void add(struct disk_group *group, struct prng *prng, size_t len)
{
    struct block_ref *ref = make_block(prng, len);
    struct block_key key;
    test_key(block_ref_span(ref), &key);
    assert_int_equal(disk_group_add(group, &key, 0x55, ref, NULL), ERR_OK);
    block_ref_unref(ref);
}

static void assert_readable(struct disk_tier *tier, const struct block_place *place)
{
    struct block_ref *ref = NULL;
    assert_int_equal(disk_tier_read(tier, place, NULL, &ref), ERR_OK);
    assert_int_equal(block_key_verify(&place->key, block_ref_span(ref)), ERR_OK);
    block_ref_unref(ref);
}

static void write_groups(struct disk_tier *tier, struct prng *prng, size_t groups, struct found *acked)
{
    for (size_t g = 0; g < groups; g++) {
        struct disk_group *group = disk_group_new();
        size_t count = 1 + (size_t)prng_below(prng, 20);
        for (size_t i = 0; i < count; i++)
            add(group, prng, (size_t)prng_below(prng, 3000));
        assert_int_equal(disk_tier_write(tier, group), ERR_OK);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(note_block(acked, &group->records[i].place), ERR_OK);
        disk_group_free(group);
    }
}

/* How many records did not follow the one before at once. */
static size_t gaps(const struct found *found)
{
    size_t count = 0;
    for (size_t i = 1; i < found->count; i++) {
        const struct block_place *last = &found->places[i - 1];
        const struct block_place *place = &found->places[i];
        uint64_t end = last->offset + segment_record_bytes(last->key.len, last->size);
        if (place->segment != last->segment || place->offset == end)
            continue;
        assert_int_equal(place->offset % DISK_DIRECT_ALIGN, 0);
        assert_in_range(place->offset - end, 1, 2 * DISK_DIRECT_ALIGN - 1);
        count++;
    }
    return count;
}

/* Returns how many gaps there were. */
static size_t run_groups(const struct disk_port *port, const char *dir)
{
    struct found *acked = calloc(1, sizeof(*acked));
    struct prng prng;
    prng_init(&prng, 11);
    struct disk_tier *tier = open_tier(port, dir);
    free(recover(tier));
    write_groups(tier, &prng, 40, acked);
    for (size_t i = 0; i < acked->count; i++)
        assert_readable(tier, &acked->places[i]);
    disk_tier_close(tier, false);
    tier = open_tier(port, dir);
    struct found *found = recover(tier);
    assert_int_equal(found->count, acked->count);
    assert_true(found->checkpoint_count > 3);
    for (size_t i = 0; i < acked->count; i++)
        assert_memory_equal(&found->places[i], &acked->places[i], sizeof(acked->places[i]));
    disk_tier_close(tier, false);
    size_t count = gaps(acked);
    free(found);
    free(acked);
    return count;
}

static void groups_rotate_and_are_found_again(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, 16 * MIB);
    assert_true(run_groups(sim_disk_port(disk), "segments") > 5);
    sim_disk_free(disk);
}

/* ---- file systems that cannot be written past the page cache ---- */

static const struct disk_port *under;
static struct disk_file *direct_file;
static size_t refusals;

static enum err open_refusing(void *self, const char *path, unsigned flags, struct disk_file **ret_file)
{
    if ((flags & DISK_DIRECT) == 0)
        return under->open(self, path, flags, ret_file);
    refusals++;
    return ERR_INVALID;
}

static enum err open_noting(void *self, const char *path, unsigned flags, struct disk_file **ret_file)
{
    enum err err = under->open(self, path, flags, ret_file);
    if (err == ERR_OK && (flags & DISK_DIRECT) != 0)
        direct_file = *ret_file;
    return err;
}

static enum err write_refusing(struct disk_file *file, const struct iovec *iov, int count, uint64_t offset)
{
    if (file != direct_file)
        return under->pwritev(file, iov, count, offset);
    refusals++;
    return ERR_INVALID;
}

static void where_it_is_refused_the_page_cache_is_used(void **state)
{
    (void)state;
    for (int at_write = 0; at_write < 2; at_write++) {
        struct sim_disk *disk = sim_disk_new(1, 16 * MIB);
        under = sim_disk_port(disk);
        struct disk_port port = *under;
        port.open = at_write ? open_noting : open_refusing;
        if (at_write)
            port.pwritev = write_refusing;
        direct_file = NULL;
        refusals = 0;
        assert_int_equal(run_groups(&port, "segments"), 0);
        assert_true(refusals > 0);
        sim_disk_free(disk);
    }
}

static void the_same_on_a_real_disk(void **state)
{
    (void)state;
    char dir[] = "/tmp/hearth-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/segments", dir);
    (void)run_groups(disk_posix(), path); /* gaps or none: as the file system of /tmp allows */
    for (int i = 1; i < 64; i++) {
        char file[96];
        (void)snprintf(file, sizeof(file), "%s/%016x.seg", path, i);
        (void)unlink(file);
    }
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void a_full_disk_keeps_what_was_good_and_resumes(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, 40 * KIB);
    const struct disk_port *port = sim_disk_port(disk);
    struct found *acked = calloc(1, sizeof(*acked));
    struct prng prng;
    prng_init(&prng, 5);
    struct disk_tier *tier = open_tier(port, "segments");
    assert_int_equal(port->sync_dir(port->self, "/"), ERR_OK);
    enum err err = ERR_OK;
    for (int i = 0; i < 100 && err == ERR_OK; i++) {
        struct disk_group *group = disk_group_new();
        add(group, &prng, 3000);
        err = disk_tier_write(tier, group);
        if (err == ERR_OK)
            assert_int_equal(note_block(acked, &group->records[0].place), ERR_OK);
        disk_group_free(group);
    }
    assert_int_equal(err, ERR_NO_SPACE);
    assert_int_equal(acked->count, 13); /* of 3,064 bytes: the last small step was used too */
    for (size_t i = 0; i < acked->count; i++)
        assert_readable(tier, &acked->places[i]);
    uint64_t free_bytes;
    assert_int_equal(port->free_bytes(port->self, "segments", &free_bytes), ERR_OK);
    assert_int_equal(disk_tier_bytes(tier) + free_bytes, 40 * KIB);
    sim_disk_resize(disk, 1 * MIB);
    write_groups(tier, &prng, 3, acked);
    disk_tier_close(tier, true);
    sim_disk_power_cut(disk, SIM_CUT_DROP, 1);
    tier = open_tier(port, "segments");
    struct found *found = recover(tier);
    assert_int_equal(found->count, acked->count);
    disk_tier_close(tier, false);
    free(found);
    free(acked);
    sim_disk_free(disk);
}

static void a_large_group_that_fails_leaves_what_was_good(void **state)
{
    (void)state;
    static const struct {
        enum sim_disk_fault fault;
        enum err err;
    } cases[] = {{SIM_FAULT_WRITE_NO_SPACE, ERR_NO_SPACE}, {SIM_FAULT_WRITE_IO, ERR_IO}, {SIM_FAULT_SYNC_IO, ERR_IO}};
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        struct sim_disk *disk = sim_disk_new(n, 16 * MIB);
        struct found *acked = calloc(1, sizeof(*acked));
        struct prng prng;
        prng_init(&prng, n);
        struct disk_tier *tier = open_tier(sim_disk_port(disk), "segments");
        write_groups(tier, &prng, 2, acked);
        uint64_t used = disk_tier_used(tier);
        struct disk_group *group = disk_group_new();
        for (int i = 0; i < 12; i++)
            add(group, &prng, 2000);
        sim_disk_fail(disk, cases[n].fault, 0, 1);
        assert_int_equal(disk_tier_write(tier, group), cases[n].err);
        assert_int_equal(group->sealed.state == SEGMENT_SUSPECT, cases[n].err == ERR_IO);
        assert_int_equal(disk_tier_used(tier), used);
        assert_int_equal(disk_tier_write(tier, group), ERR_OK); /* with the next it goes on */
        for (size_t i = 0; i < group->count; i++)
            assert_int_equal(note_block(acked, &group->records[i].place), ERR_OK);
        disk_group_free(group);
        for (size_t i = 0; i < acked->count; i++)
            assert_readable(tier, &acked->places[i]);
        disk_tier_close(tier, false);
        free(acked);
        sim_disk_free(disk);
    }
}

static void after_a_failed_sync_the_segment_is_given_up(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, 16 * MIB);
    struct found *acked = calloc(1, sizeof(*acked));
    struct prng prng;
    prng_init(&prng, 6);
    struct disk_tier *tier = open_tier(sim_disk_port(disk), "segments");
    write_groups(tier, &prng, 1, acked);
    sim_disk_fail(disk, SIM_FAULT_SYNC_IO, 0, 1);
    struct disk_group *group = disk_group_new();
    add(group, &prng, 100);
    assert_int_equal(disk_tier_write(tier, group), ERR_IO);
    assert_int_equal(group->sealed.state, SEGMENT_SUSPECT);
    assert_int_equal(group->sealed.segment, acked->places[0].segment);
    uint64_t suspect = group->sealed.segment;
    disk_group_free(group);
    size_t before = acked->count;
    write_groups(tier, &prng, 1, acked);
    assert_int_not_equal(acked->places[before].segment, suspect);
    for (size_t i = 0; i < acked->count; i++)
        assert_readable(tier, &acked->places[i]);
    disk_tier_close(tier, false);
    free(acked);
    sim_disk_free(disk);
}

static bool has(const struct found *found, const struct block_place *place)
{
    for (size_t i = 0; i < found->count; i++) {
        if (block_key_equal(&found->places[i].key, &place->key) && found->places[i].offset == place->offset)
            return true;
    }
    return false;
}

/* Random lives: each writes groups, leaves one half-written, and ends in a power cut. Acknowledged blocks are always found. */
static void no_power_cut_takes_an_acknowledged_block(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct sim_disk *disk = sim_disk_new(seed, 16 * MIB);
        const struct disk_port *port = sim_disk_port(disk);
        struct found *acked = calloc(1, sizeof(*acked));
        struct prng prng;
        prng_init(&prng, seed);
        assert_int_equal(port->make_dir(port->self, "segments"), ERR_OK);
        assert_int_equal(port->sync_dir(port->self, "/"), ERR_OK);
        for (int life = 0; life < 4; life++) {
            struct disk_tier *tier = open_tier(port, "segments");
            struct found *found = recover(tier);
            for (size_t i = 0; i < acked->count; i++)
                assert_true(has(found, &acked->places[i]));
            for (size_t i = 0; i < found->count; i++)
                assert_readable(tier, &found->places[i]);
            free(found);
            write_groups(tier, &prng, 1 + (size_t)prng_below(&prng, 6), acked);
            struct disk_group *group = disk_group_new();
            for (int i = 0; i < 10; i++)
                add(group, &prng, (size_t)prng_below(&prng, 3000));
            sim_disk_fail(disk, SIM_FAULT_SYNC_IO, 0, life % 2 == 0);
            if (disk_tier_write(tier, group) == ERR_OK) {
                for (size_t i = 0; i < group->count; i++)
                    assert_int_equal(note_block(acked, &group->records[i].place), ERR_OK);
            }
            disk_group_free(group);
            disk_tier_close(tier, true);
            sim_disk_power_cut(disk, (enum sim_disk_cut)(seed % SIM_CUT_COUNT), seed * 7 + (uint64_t)life);
        }
        free(acked);
        sim_disk_free(disk);
    }
}

static void wrong_bytes_are_an_error_not_a_block(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(9, 16 * MIB);
    struct found *acked = calloc(1, sizeof(*acked));
    struct prng prng;
    prng_init(&prng, 9);
    struct disk_tier *tier = open_tier(sim_disk_port(disk), "segments");
    write_groups(tier, &prng, 1, acked);
    struct block_ref *ref = NULL;
    sim_disk_fail(disk, SIM_FAULT_READ_FLIP, 1, 1); /* the payload of the first read that has one */
    enum err err = ERR_OK;
    for (size_t i = 0; i < acked->count && err == ERR_OK; i++) {
        err = disk_tier_read(tier, &acked->places[i], NULL, &ref);
        if (err == ERR_OK)
            block_ref_unref(ref);
    }
    assert_int_equal(err, ERR_CORRUPT);
    sim_disk_fail(disk, SIM_FAULT_READ_IO, 0, 1);
    assert_int_equal(disk_tier_read(tier, &acked->places[0], NULL, &ref), ERR_IO);
    disk_tier_close(tier, false);
    free(acked);
    sim_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_rotate_and_are_found_again),
        cmocka_unit_test(the_same_on_a_real_disk),
        cmocka_unit_test(where_it_is_refused_the_page_cache_is_used),
        cmocka_unit_test(a_large_group_that_fails_leaves_what_was_good),
        cmocka_unit_test(a_full_disk_keeps_what_was_good_and_resumes),
        cmocka_unit_test(after_a_failed_sync_the_segment_is_given_up),
        cmocka_unit_test(no_power_cut_takes_an_acknowledged_block),
        cmocka_unit_test(wrong_bytes_are_an_error_not_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
