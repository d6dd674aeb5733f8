/* SPDX-License-Identifier: MIT */
/* Packs that are read as a whole: what is noted, what becomes of the blocks of a damaged one, and which are read without anybody asking. */
#include "tests/support/cold_world.h"

#include "storage/catalogue_reader.h"
#include "storage/sqlite_vfs.h"

enum { PACKED = 9 };

#define DAY_NS (24 * 3600 * SECOND_NS)

struct check {
    struct store_pack_check_op op;
    bool done;
    enum err err;
};

static void pack_checked(struct store_pack_check_op *op, enum err err)
{
    struct check *c = CONTAINER_OF(op, struct check, op);
    c->done = true;
    c->err = err;
}

static uint64_t pack_of(struct world *w, size_t i)
{
    struct block_facts facts;
    assert_int_equal(blockstore_facts(w->store, &w->keys[i], &facts), ERR_OK);
    return facts.pack;
}

static void begin(struct world *w, struct check *c, uint64_t pack)
{
    *c = (struct check){.op = {.done = pack_checked, .pack = pack}};
    blockstore_check_pack(w->store, &c->op);
}

static struct check check(struct world *w, uint64_t pack)
{
    struct check c;
    begin(w, &c, pack);
    drive(w);
    blockstore_tick(w->store, w->now, REAL + w->now); /* hears at once what is not to be waited for */
    assert_true(c.done);
    return c;
}

/* Blocks 0 to 8 in one pack, the last of them on the disk as well. */
static uint64_t set_up_pack(struct world *w, char path[64])
{
    put_all(w);
    demote(w, 0, PACKED);
    assert_int_equal(promote(w, PACKED - 1), ERR_OK);
    settle(w);
    pack_path(w, 0, path);
    return pack_of(w, 0);
}

/* Records follow each other in the order in which they came. */
static void damage_record(struct world *w, size_t i, const char *path)
{
    uint64_t at = PACK_HEADER_BYTES;
    for (size_t n = 0; n < i; n++)
        at += PACK_RECORD_FIXED + w->keys[n].len + w->sizes[n];
    assert_int_equal(sim_disk_damage(w->disk, path, at + 500, 0x40), ERR_OK);
}

static uint64_t size_of(struct world *w, const char *path)
{
    const struct disk_port *port = sim_disk_port(w->disk);
    struct disk_file *file;
    uint64_t size = 0;
    assert_int_equal(port->open(port->self, path, DISK_READ, &file), ERR_OK);
    assert_int_equal(port->size(file, &size), ERR_OK);
    port->close(file);
    return size;
}

/* Whether a whole pack was neither written nor checked for so long. */
static bool is_unchecked(struct world *w, uint64_t ns)
{
    struct catalogue_reader *r;
    struct sqlite_vfs *vfs;
    struct pack_row row;
    assert_int_equal(sqlite_vfs_open(sim_disk_port(w->disk), &vfs), ERR_OK);
    struct catalogue_options options = {.path = "repo/blocks.db", .vfs = sqlite_vfs_name(vfs), .cache_kib = 64};
    assert_int_equal(catalogue_reader_open(&options, &r), ERR_OK);
    enum err err = catalogue_unchecked_pack(r, REAL + w->now - ns, &row);
    catalogue_reader_close(r);
    sqlite_vfs_close(vfs);
    assert_true(err == ERR_OK || err == ERR_NOT_FOUND);
    return err == ERR_OK;
}

static bool is_there(struct world *w, const char *path)
{
    const struct disk_port *port = sim_disk_port(w->disk);
    return port->exists(port->self, path) == ERR_OK;
}

/* ---- what is found ---- */

static void of_a_whole_pack_it_is_noted_when_it_was_read(void **state)
{
    struct world *w = *state;
    char path[64];
    uint64_t pack = set_up_pack(w, path);
    pass(w, DAY_NS);
    struct check c = check(w, pack);
    assert_int_equal(c.err, ERR_OK);
    assert_int_equal(c.op.damage, ERR_OK);
    assert_int_equal(c.op.records, PACKED);
    assert_int_equal(c.op.bytes, size_of(w, path));
    assert_int_equal(c.op.moved + c.op.bad, 0);
    assert_int_equal(pack_of(w, 0), pack);
    blockstore_close(w->store, false);
    test_cold_end_life(&w->cold);
    w->now += SECOND_NS;
    assert_false(is_unchecked(w, DAY_NS / 2));
    assert_true(is_unchecked(w, 0));
    open_store(w);
}

static void blocks_of_a_damaged_pack_are_moved_or_quarantined(void **state)
{
    struct world *w = *state;
    char path[64];
    uint64_t pack = set_up_pack(w, path);
    damage_record(w, 3, path);
    struct check c = check(w, pack);
    assert_int_equal(c.err, ERR_OK);
    assert_int_equal(c.op.damage, ERR_CORRUPT);
    assert_int_equal(c.op.moved, PACKED - 1);
    assert_int_equal(c.op.bad, 1);
    assert_int_equal(stats(w).quarantined, 1);
    assert_true(block_key_equal(&w->wanted, &w->keys[3]));
    drive(w);
    assert_false(is_there(w, path));
    assert_int_equal(stats(w).cold_packs, 1);
    settle(w);
    for (size_t i = 0; i < PACKED; i++)
        assert_int_equal(get(w, i), i == 3 ? ERR_NOT_FOUND : ERR_OK);
    assert_true(pack_of(w, 0) != pack);
    assert_int_equal(check(w, pack_of(w, 0)).op.damage, ERR_OK);
}

static void a_damaged_index_costs_no_block(void **state)
{
    struct world *w = *state;
    char path[64];
    uint64_t pack = set_up_pack(w, path);
    assert_int_equal(sim_disk_damage(w->disk, path, size_of(w, path) - 60, 1), ERR_OK);
    struct check c = check(w, pack);
    assert_int_equal(c.err, ERR_OK);
    assert_int_equal(c.op.damage, ERR_CORRUPT);
    assert_int_equal(c.op.moved, PACKED);
    assert_int_equal(c.op.bad, 0);
    drive(w);
    assert_false(is_there(w, path));
    struct read_all all = read_cold(w);
    assert_int_equal(all.whole, PACKED - 1); /* the last is on the disk as well */
    assert_int_equal(all.bad, 0);
}

static void what_is_quarantined_is_not_in_memory_either(void **state)
{
    struct world *w = *state;
    char path[64];
    uint64_t pack = set_up_pack(w, path);
    assert_int_equal(get(w, 0), ERR_OK);
    assert_true(is_in(w, 0, "memory"));
    damage_record(w, 0, path);
    assert_int_equal(check(w, pack).op.bad, 1);
    assert_true(is_in(w, 0, "none"));
    assert_int_equal(stats(w).quarantined, 1);
}

static void the_blocks_of_a_pack_that_is_gone_are_wanted(void **state)
{
    struct world *w = *state;
    char path[64];
    uint64_t pack = set_up_pack(w, path);
    const struct disk_port *port = sim_disk_port(w->disk);
    assert_int_equal(port->unlink(port->self, path), ERR_OK);
    struct check c = check(w, pack);
    assert_int_equal(c.err, ERR_OK);
    assert_int_equal(c.op.damage, ERR_NOT_FOUND);
    assert_int_equal(c.op.moved, 0);
    assert_int_equal(c.op.bad, PACKED);
    assert_int_equal(stats(w).quarantined, PACKED - 1); /* one has a copy on the disk */
    assert_int_equal(get(w, PACKED - 1), ERR_OK);
    drive(w);
    assert_int_equal(stats(w).cold_packs, 0);
    assert_true(stats(w).cold_up);
}

static void only_what_rows_name_is_moved(void **state)
{
    struct world *w = *state;
    char path[64];
    uint64_t pack = set_up_pack(w, path);
    assert_int_equal(change(w, 0, CHANGE_BLOCK_RM), ERR_OK);
    damage_record(w, 0, path);
    struct check c = check(w, pack);
    assert_int_equal(c.op.damage, ERR_CORRUPT);
    assert_int_equal(c.op.moved, PACKED - 1);
    assert_int_equal(c.op.bad, 0);
    assert_true(is_in(w, 0, "none"));
}

/* It was not on the medium at a start, and is again: what it was taken for does not stay. */
static void a_pack_that_was_taken_for_lost_is_rewritten(void **state)
{
    struct world *w = *state;
    char path[64];
    const struct disk_port *port = sim_disk_port(w->disk);
    uint64_t pack = set_up_pack(w, path);
    assert_int_equal(port->rename(port->self, path, "/cold/aside"), ERR_OK);
    settle(w);
    assert_int_equal(port->rename(port->self, "/cold/aside", path), ERR_OK);
    assert_int_equal(blockstore_may_leave(w->store, &w->keys[PACKED - 1]), ERR_OK); /* with a write */
    struct check c = check(w, pack);
    assert_int_equal(c.err, ERR_OK);
    assert_int_equal(c.op.damage, ERR_OK);
    assert_int_equal(c.op.moved, PACKED);
    assert_int_equal(blockstore_may_leave(w->store, &w->keys[PACKED - 1]), ERR_EXISTS);
    drive(w);
    assert_false(is_there(w, path));
}

/* ---- what comes between ---- */

static void while_the_medium_is_away_nothing_is_said_of_a_pack(void **state)
{
    struct world *w = *state;
    char path[64];
    uint64_t pack = set_up_pack(w, path);
    damage_record(w, 3, path);
    w->cold.away = true;
    assert_int_equal(check(w, pack).err, ERR_UNAVAILABLE);
    assert_int_equal(check(w, pack).err, ERR_UNAVAILABLE); /* at once */
    w->cold.away = false;
    pass(w, 70 * SECOND_NS);
    w->cold.fails = STORE_COLD_READ; /* it is found to be damaged, and then it is away */
    w->cold.fails_with = ERR_UNAVAILABLE;
    struct check c = check(w, pack);
    assert_int_equal(c.err, ERR_UNAVAILABLE);
    assert_int_equal(c.op.damage, ERR_CORRUPT);
    assert_int_equal(stats(w).quarantined, 0);
    w->cold.fails_with = ERR_OK;
    pass(w, 70 * SECOND_NS);
    c = check(w, pack);
    assert_int_equal(c.err, ERR_OK);
    assert_int_equal(c.op.moved, PACKED - 1);
    assert_int_equal(c.op.bad, 1);
}

static void a_pack_that_nobody_knows_is_only_told_of(void **state)
{
    struct world *w = *state;
    char path[64];
    (void)set_up_pack(w, path);
    assert_int_equal(check(w, 77).err, ERR_NOT_FOUND);
    assert_true(stats(w).cold_up);
    w->without = true;
    restart(w, false);
    assert_int_equal(check(w, 77).err, ERR_UNAVAILABLE);
}

static void a_crash_after_any_step_of_it_loses_nothing(void **state)
{
    struct world *w = *state;
    char path[64];
    struct check c = {0};
    uint64_t pack = set_up_pack(w, path);
    assert_int_equal(sim_disk_damage(w->disk, path, size_of(w, path) - 60, 1), ERR_OK);
    for (size_t steps = 1; !c.done; steps++) {
        begin(w, &c, pack);
        for (size_t n = 0; n < steps; n++)
            (void)test_cold_drive(w->store, &w->cold, 1);
        restart(w, true);
        for (size_t i = 0; i < PACKED; i++)
            assert_int_equal(get(w, i), ERR_OK);
        assert_int_equal(stats(w).quarantined, 0);
        assert_true(c.done || pack_of(w, 0) == pack || steps > PACKED);
    }
    drive(w);
    assert_false(is_there(w, path));
}

/* A pack that is thin is being rewritten when another is found to be damaged. */
static void one_is_rewritten_after_the_other(void **state)
{
    struct world *w = *state;
    struct check c;
    char path[64];
    uint64_t damaged = set_up_pack(w, path);
    demote(w, PACKED, BLOCKS);
    damage_record(w, 3, path);
    for (size_t i = PACKED; i < BLOCKS - 3; i++)
        assert_int_equal(change(w, i, CHANGE_BLOCK_RM), ERR_OK);
    begin(w, &c, damaged);
    for (int i = 0; i < 5; i++)
        pass(w, STORE_PACK_NS + SECOND_NS);
    assert_true(c.done);
    assert_int_equal(c.err, ERR_OK);
    assert_int_equal(c.op.moved, PACKED - 1);
    assert_false(is_there(w, path));
    for (size_t i = BLOCKS - 3; i < BLOCKS; i++)
        assert_int_equal(get(w, i), ERR_OK);
    struct read_all all = read_cold(w);
    assert_int_equal(all.whole, PACKED - 2 + 3);
    assert_int_equal(all.bad, 0);
}

/* ---- by itself ---- */

static void live(struct world *w, uint64_t ns)
{
    for (uint64_t end = w->now + ns; w->now < end;)
        pass(w, MIN(end, MAX(blockstore_wakes_at(w->store), w->now + 1)) - w->now);
}

static void a_folder_is_read_once_a_week(void **state)
{
    struct world *w = *state;
    char path[64];
    uint64_t pack = set_up_pack(w, path);
    w->scrub_rate = 10000;
    restart(w, false);
    live(w, 6 * DAY_NS);
    assert_int_equal(w->cold.ran[STORE_COLD_CHECK], 0);
    live(w, 2 * DAY_NS);
    assert_int_equal(w->cold.ran[STORE_COLD_CHECK], 1);
    damage_record(w, 3, path);
    live(w, 7 * DAY_NS);
    assert_int_equal(w->cold.ran[STORE_COLD_CHECK], 2);
    assert_true(pack_of(w, 0) != pack);
    assert_int_equal(stats(w).quarantined, 1);
}

static void a_bucket_is_not_nor_is_anything_without_a_rate(void **state)
{
    struct world *w = *state;
    char path[64];
    (void)set_up_pack(w, path);
    restart(w, false);
    live(w, 8 * DAY_NS);
    assert_int_equal(w->cold.ran[STORE_COLD_CHECK], 0);
    w->cold.kind = "s3";
    w->scrub_rate = 10000;
    restart(w, false);
    live(w, 8 * DAY_NS);
    assert_int_equal(w->cold.ran[STORE_COLD_CHECK], 0);
}

/* One after the other, each paid for. */
static void it_takes_its_time(void **state)
{
    struct world *w = *state;
    put_all(w);
    for (size_t i = 0; i < 3; i++)
        demote(w, 3 * i, 3 * i + 3);
    w->scrub_rate = 100; /* a pack of 9 KB each 90 s */
    restart(w, false);
    pass(w, 8 * DAY_NS);
    pass(w, SECOND_NS);
    assert_int_equal(w->cold.ran[STORE_COLD_CHECK], 1);
    live(w, 80 * SECOND_NS);
    assert_int_equal(w->cold.ran[STORE_COLD_CHECK], 1);
    live(w, 20 * SECOND_NS);
    assert_int_equal(w->cold.ran[STORE_COLD_CHECK], 2);
    live(w, 100 * SECOND_NS);
    assert_int_equal(w->cold.ran[STORE_COLD_CHECK], 3);
    live(w, 6 * DAY_NS);
    assert_int_equal(w->cold.ran[STORE_COLD_CHECK], 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        COLD_TEST(of_a_whole_pack_it_is_noted_when_it_was_read),
        COLD_TEST(blocks_of_a_damaged_pack_are_moved_or_quarantined),
        COLD_TEST(a_damaged_index_costs_no_block),
        COLD_TEST(what_is_quarantined_is_not_in_memory_either),
        COLD_TEST(the_blocks_of_a_pack_that_is_gone_are_wanted),
        COLD_TEST(a_pack_that_was_taken_for_lost_is_rewritten),
        COLD_TEST(only_what_rows_name_is_moved),
        COLD_TEST(while_the_medium_is_away_nothing_is_said_of_a_pack),
        COLD_TEST(a_pack_that_nobody_knows_is_only_told_of),
        COLD_TEST(a_crash_after_any_step_of_it_loses_nothing),
        COLD_TEST(one_is_rewritten_after_the_other),
        COLD_TEST(a_folder_is_read_once_a_week),
        COLD_TEST(a_bucket_is_not_nor_is_anything_without_a_rate),
        COLD_TEST(it_takes_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
