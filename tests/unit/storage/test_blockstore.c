/* SPDX-License-Identifier: MIT */
/* The whole store beside a naive model: random puts, gets, removals, pins, restarts, power cuts, full and failing disks. */
#include "tests/support/storage.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/random.h"
#include "sim/disk.h"
#include "tests/support/store_driver.h"

enum { MODEL_BLOCKS = 120, BLOCK_MAX = 2500 };

struct world {
    struct sim_disk *disk;
    struct blockstore *store;
    struct account memory;
    struct account tables;
    struct account reads;
    uint64_t storage_max;
    uint64_t now;
    unsigned notices;
    bool fatal;
    unsigned stored;
    struct prng prng;
    struct block_key keys[MODEL_BLOCKS];
    uint8_t bytes[MODEL_BLOCKS][BLOCK_MAX];
    size_t sizes[MODEL_BLOCKS];
    bool here[MODEL_BLOCKS];
    bool pinned[MODEL_BLOCKS];
};

static void on_notice(void *arg, bool fatal, const char *text)
{
    struct world *w = arg;
    w->notices++;
    w->fatal |= fatal;
    if (getenv("HEARTH_TEST_VERBOSE") != NULL)
        print_message("notice: %s\n", text);
}

static void on_stored(void *arg, struct span cid)
{
    struct world *w = arg;
    assert_true(cid.len > 2);
    w->stored++;
}

static enum err try_open(struct world *w)
{
    char why[STORE_WHY_BYTES];
    struct blockstore_options options = {.port = sim_disk_port(w->disk),
                                         .path = "repo",
                                         .storage_max_bytes = w->storage_max,
                                         .segment_bytes = 32 * KIB,
                                         .allocate_bytes = 8 * KIB,
                                         .direct_bytes = 4 * KIB,
                                         .cache_kib = 256,
                                         .memory = &w->memory,
                                         .tables = &w->tables,
                                         .reads = &w->reads,
                                         .events = {.arg = w, .stored = on_stored, .notice = on_notice}};
    enum err err = blockstore_open(&options, w->now, w->now, &w->store, why);
    if (err != ERR_OK) {
        w->store = NULL;
        print_message("open: %s\n", why);
    }
    return err;
}

static void open_store(struct world *w)
{
    assert_int_equal(try_open(w), ERR_OK);
}

static struct world *world_new(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->disk = sim_disk_new(seed, 64 * MIB);
    w->storage_max = 32 * MIB;
    account_init(&w->memory, "memory", 20 * KIB);
    account_init(&w->tables, "tables", 4 * MIB);
    account_init(&w->reads, "reads", 1 * MIB);
    const struct disk_port *port = sim_disk_port(w->disk);
    assert_int_equal(port->make_dir(port->self, "repo"), ERR_OK);
    assert_int_equal(port->sync_dir(port->self, "/"), ERR_OK);
    prng_init(&w->prng, seed);
    for (size_t i = 0; i < MODEL_BLOCKS; i++) {
        w->sizes[i] = (size_t)prng_below(&w->prng, BLOCK_MAX);
        prng_fill(&w->prng, w->bytes[i], w->sizes[i]);
        test_key(span_of(w->bytes[i], w->sizes[i]), &w->keys[i]);
    }
    open_store(w);
    return w;
}

static void world_free(struct world *w)
{
    blockstore_close(w->store, false);
    assert_int_equal(account_used(&w->memory), 0);
    assert_int_equal(account_used(&w->tables), 0);
    assert_int_equal(account_used(&w->reads), 0);
    sim_disk_free(w->disk);
    free(w);
}

static void tick(struct world *w, uint64_t ns)
{
    w->now += ns;
    blockstore_tick(w->store, w->now, w->now);
}

static void check_block(struct world *w, size_t i)
{
    uint64_t size = 0;
    struct block_ref *ref = NULL;
    enum err has = blockstore_has(w->store, &w->keys[i], &size, NULL);
    enum err err = test_get(w->store, &w->keys[i], &ref);
    assert_int_equal(has, w->here[i] ? ERR_OK : ERR_NOT_FOUND);
    assert_int_equal(err, w->here[i] ? ERR_OK : ERR_NOT_FOUND);
    if (err == ERR_OK) {
        assert_int_equal(size, w->sizes[i]);
        assert_true(span_equal(block_ref_span(ref), span_of(w->bytes[i], w->sizes[i])));
        block_ref_unref(ref);
    }
}

static void check_all(struct world *w)
{
    uint64_t blocks = 0;
    struct pin_row pins[MODEL_BLOCKS + 2];
    size_t pin_count = 0;
    size_t pinned = 0;
    for (size_t i = 0; i < MODEL_BLOCKS; i++) {
        check_block(w, i);
        blocks += w->here[i];
        pinned += w->pinned[i];
    }
    assert_int_equal(blockstore_stats(w->store).blocks, blocks);
    assert_int_equal(blockstore_pins(w->store, (struct span){0}, pins, MODEL_BLOCKS, &pin_count), ERR_OK);
    assert_int_equal(pin_count, pinned);
    assert_int_equal(blockstore_stats(w->store).pins, pinned);
}

static void put(struct world *w, size_t i)
{
    bool existed = false;
    assert_int_equal(test_put(w->store, &w->keys[i], span_of(w->bytes[i], w->sizes[i]), &existed), ERR_OK);
    assert_int_equal(existed, w->here[i]);
    w->here[i] = true;
}

static void random_step(struct world *w)
{
    size_t i = (size_t)prng_below(&w->prng, MODEL_BLOCKS);
    enum err err;
    switch (prng_below(&w->prng, 10)) {
    case 0:
        err = test_change(w->store, &w->keys[i], CHANGE_BLOCK_RM);
        assert_int_equal(err, !w->here[i] ? ERR_NOT_FOUND : w->pinned[i] ? ERR_DENIED : ERR_OK);
        w->here[i] &= err != ERR_OK;
        break;
    case 1:
        err = test_change(w->store, &w->keys[i], CHANGE_PIN_ADD);
        assert_int_equal(err, w->here[i] ? ERR_OK : ERR_NOT_FOUND);
        w->pinned[i] |= err == ERR_OK;
        break;
    case 2:
        err = test_change(w->store, &w->keys[i], CHANGE_PIN_RM);
        assert_int_equal(err, w->pinned[i] ? ERR_OK : ERR_NOT_FOUND);
        w->pinned[i] = false;
        break;
    case 3:
    case 4:
        check_block(w, i);
        break;
    case 5:
        tick(w, SECOND_NS);
        test_drive(w->store, 10);
        break;
    default:
        put(w, i);
        break;
    }
}

static void model_agrees_over_restarts_and_power_cuts(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct world *w = world_new(seed);
        for (int life = 0; life < 5; life++) {
            for (int step = 0; step < 150; step++)
                random_step(w);
            check_all(w);
            bool clean = prng_below(&w->prng, 2) == 0;
            blockstore_close(w->store, !clean);
            sim_disk_power_cut(w->disk, (enum sim_disk_cut)prng_below(&w->prng, SIM_CUT_COUNT), seed + (uint64_t)life);
            open_store(w);
            check_all(w);
        }
        world_free(w);
    }
}

static void a_second_daemon_is_refused(void **state)
{
    (void)state;
    struct world *w = world_new(1);
    struct blockstore *first = w->store;
    assert_int_equal(try_open(w), ERR_BUSY);
    w->store = first;
    world_free(w);
}

static void storage_max_refuses_and_keeps_serving(void **state)
{
    (void)state;
    struct world *w = world_new(2);
    blockstore_close(w->store, false);
    w->storage_max = 20 * KIB;
    open_store(w);
    enum err err = ERR_OK;
    size_t i = 0;
    for (; i < MODEL_BLOCKS && err == ERR_OK; i++) {
        err = test_put(w->store, &w->keys[i], span_of(w->bytes[i], w->sizes[i]), NULL);
        w->here[i] = err == ERR_OK;
    }
    assert_int_equal(err, ERR_NO_SPACE);
    assert_in_range(i, 5, 100);
    check_all(w);
    assert_false(w->fatal);
    world_free(w);
}

static void a_full_disk_is_read_only_until_there_is_space(void **state)
{
    (void)state;
    struct world *w = world_new(3);
    put(w, 0);
    uint64_t free_bytes = 0;
    const struct disk_port *port = sim_disk_port(w->disk);
    assert_int_equal(port->free_bytes(port->self, "repo", &free_bytes), ERR_OK);
    sim_disk_resize(w->disk, 64 * MIB - free_bytes);
    enum err err = ERR_OK;
    for (size_t i = 1; i < MODEL_BLOCKS && err == ERR_OK; i++) {
        err = test_put(w->store, &w->keys[i], span_of(w->bytes[i], w->sizes[i]), NULL);
        w->here[i] = err == ERR_OK;
    }
    assert_int_equal(err, ERR_NO_SPACE);
    assert_true(blockstore_stats(w->store).read_only);
    assert_int_equal(test_put(w->store, &w->keys[119], span_of(w->bytes[119], w->sizes[119]), NULL), ERR_READ_ONLY);
    check_all(w);
    sim_disk_resize(w->disk, 64 * MIB);
    tick(w, 2 * SECOND_NS);
    put(w, 119);
    assert_false(blockstore_stats(w->store).read_only);
    assert_false(w->fatal);
    check_all(w);
    world_free(w);
}

/* Without space for the WAL a pin would fail: the reserve is given up for it. */
static void a_full_disk_still_takes_pins(void **state)
{
    (void)state;
    struct world *w = world_new(13);
    const struct disk_port *port = sim_disk_port(w->disk);
    uint64_t free_bytes = 0;
    for (size_t i = 0; i < 20; i++)
        put(w, i);
    assert_int_equal(port->exists(port->self, "repo/reserve"), ERR_OK);
    assert_int_equal(port->free_bytes(port->self, "repo", &free_bytes), ERR_OK);
    sim_disk_resize(w->disk, 64 * MIB - free_bytes);
    assert_int_equal(test_change(w->store, &w->keys[3], CHANGE_PIN_ADD), ERR_OK);
    w->pinned[3] = true;
    assert_int_equal(port->exists(port->self, "repo/reserve"), ERR_NOT_FOUND);
    check_all(w);
    sim_disk_resize(w->disk, 64 * MIB);
    blockstore_close(w->store, false);
    open_store(w);
    assert_int_equal(port->exists(port->self, "repo/reserve"), ERR_OK);
    check_all(w);
    world_free(w);
}

static void a_failed_sync_fails_its_puts_only(void **state)
{
    (void)state;
    struct world *w = world_new(4);
    put(w, 0);
    sim_disk_fail(w->disk, SIM_FAULT_SYNC_IO, 0, 1);
    assert_int_equal(test_put(w->store, &w->keys[1], span_of(w->bytes[1], w->sizes[1]), NULL), ERR_IO);
    check_all(w);
    put(w, 1);
    put(w, 2);
    check_all(w);
    blockstore_close(w->store, true);
    sim_disk_power_cut(w->disk, SIM_CUT_KEEP, 1);
    open_store(w);
    check_all(w);
    world_free(w);
}

/* Each write and each sync fails once, whoever makes it; nothing acknowledged is lost, nothing wrong is served. */
static void a_fault_at_each_point_loses_nothing(void **state)
{
    (void)state;
    static const enum sim_disk_fault faults[] = {SIM_FAULT_SYNC_IO, SIM_FAULT_WRITE_IO, SIM_FAULT_WRITE_NO_SPACE};
    for (size_t f = 0; f < ARRAY_LEN(faults); f++) {
        for (uint64_t n = 0; n < 40; n++) {
            struct world *w = world_new(n + 7);
            sim_disk_fail(w->disk, faults[f], n, 1);
            for (size_t i = 0; i < 15; i++) {
                enum err err = test_put(w->store, &w->keys[i], span_of(w->bytes[i], w->sizes[i]), NULL);
                w->here[i] = err == ERR_OK;
                if (i % 5 == 4 && w->here[i])
                    w->pinned[i] = test_change(w->store, &w->keys[i], CHANGE_PIN_ADD) == ERR_OK;
                tick(w, 2 * SECOND_NS);
                test_drive(w->store, 10);
            }
            blockstore_close(w->store, n % 2 == 0);
            sim_disk_fail(w->disk, faults[f], 0, 0);
            sim_disk_power_cut(w->disk, SIM_CUT_DROP, n);
            open_store(w);
            for (size_t i = 0; i < 15; i++) {
                struct block_ref *ref = NULL;
                enum err err = test_get(w->store, &w->keys[i], &ref);
                assert_true(err == ERR_OK || (err == ERR_NOT_FOUND && !w->here[i]));
                block_ref_unref(ref);
            }
            for (size_t i = 4; i < 15; i += 5) {
                if (w->pinned[i])
                    assert_int_equal(test_change(w->store, &w->keys[i], CHANGE_PIN_RM), ERR_OK);
            }
            world_free(w);
        }
    }
}

static void a_lost_or_damaged_catalogue_is_made_anew(void **state)
{
    (void)state;
    struct world *w = world_new(5);
    for (size_t i = 0; i < 60; i++)
        put(w, i);
    for (size_t i = 0; i < 30; i++) {
        assert_int_equal(test_change(w->store, &w->keys[i], CHANGE_PIN_ADD), ERR_OK);
        w->pinned[i] = i % 3 != 0;
        if (!w->pinned[i])
            assert_int_equal(test_change(w->store, &w->keys[i], CHANGE_PIN_RM), ERR_OK);
    }
    blockstore_close(w->store, false);
    assert_int_equal(sim_disk_damage(w->disk, "repo/blocks.db", 3, 0xff), ERR_OK); /* in "SQLite format 3" */
    open_store(w);
    check_all(w);
    blockstore_close(w->store, false);
    const struct disk_port *port = sim_disk_port(w->disk);
    assert_int_equal(port->unlink(port->self, "repo/blocks.db"), ERR_OK);
    assert_int_equal(port->unlink(port->self, "repo/blocks.db.damaged"), ERR_OK);
    open_store(w);
    check_all(w); /* pins too: they come back from the journal */
    assert_true(w->notices >= 2);
    world_free(w);
}

static void damaged_blocks_are_quarantined_and_can_come_again(void **state)
{
    (void)state;
    struct world *w = world_new(6);
    for (size_t i = 0; i < 40; i++)
        put(w, i);
    blockstore_close(w->store, false);
    for (uint64_t at = 100; at < 30 * KIB; at += 9000)
        assert_int_equal(sim_disk_damage(w->disk, "repo/segments/0000000000000001.seg", at, 0x04), ERR_OK);
    open_store(w);
    unsigned lost = 0;
    for (size_t i = 0; i < 40; i++) {
        struct block_ref *ref = NULL;
        enum err err = test_get(w->store, &w->keys[i], &ref);
        assert_true(err == ERR_OK || err == ERR_NOT_FOUND);
        if (err == ERR_OK)
            assert_true(span_equal(block_ref_span(ref), span_of(w->bytes[i], w->sizes[i])));
        block_ref_unref(ref);
        w->here[i] = err == ERR_OK;
        lost += err != ERR_OK;
    }
    assert_in_range(lost, 1, 4);
    check_all(w);
    for (size_t i = 0; i < 40; i++)
        put(w, i);
    check_all(w);
    world_free(w);
}

static void verify_done(struct store_verify_op *op, enum err err)
{
    assert_int_equal(err, ERR_OK);
    op->limit = 0; /* seen */
    op->bad = NULL;
}

static void verify_goes_through_all_in_steps(void **state)
{
    (void)state;
    struct world *w = world_new(8);
    for (size_t i = 0; i < 50; i++)
        put(w, i);
    struct store_verify_op op = {.done = verify_done};
    size_t checked = 0;
    size_t bad = 0;
    sim_disk_fail(w->disk, SIM_FAULT_READ_FLIP, 30, 1);
    for (int page = 0; page < 20; page++) {
        op.limit = 7;
        blockstore_verify(w->store, &op);
        test_drive(w->store, 100);
        assert_int_equal(op.limit, 0);
        checked += op.checked;
        bad += op.bad_count;
        if (op.after.len == 0)
            break;
    }
    assert_int_equal(checked, 50);
    assert_int_equal(bad, 1);
    assert_int_equal(blockstore_stats(w->store).blocks, 49);
    world_free(w);
}

/*
 * Each sync fails once, the store is opened anew and goes on, and then the power goes: what the failed sync lost was seen by the second life,
 * and what that one has written behind it must not go with it.
 */
static void what_follows_a_failed_sync_is_kept(void **state)
{
    enum { SYNCS = 40, FIRST = 10, THEN = 20 };
    (void)state;
    for (uint64_t n = 0; n < SYNCS; n++) {
        struct world *w = world_new(n);
        sim_disk_fail(w->disk, SIM_FAULT_SYNC_IO, n, 1);
        for (size_t i = 0; i < THEN; i++) {
            if (i == FIRST) {
                sim_disk_fail(w->disk, SIM_FAULT_WRITE_NO_SPACE, 0, 1000); /* the log stays where it is */
                blockstore_close(w->store, true);
                sim_disk_fail(w->disk, SIM_FAULT_SYNC_IO, 0, 0);
                sim_disk_fail(w->disk, SIM_FAULT_WRITE_NO_SPACE, 0, 1);
                if (try_open(w) != ERR_OK)
                    open_store(w);
            }
            bool existed = false;
            enum err err = test_put(w->store, &w->keys[i], span_of(w->bytes[i], w->sizes[i]), &existed);
            assert_true(err == ERR_OK || i < FIRST);
            w->here[i] = err == ERR_OK;
            if (i >= FIRST && i % 3 == 0 && test_change(w->store, &w->keys[i], CHANGE_PIN_ADD) == ERR_OK)
                w->pinned[i] = true;
            if (i % 4 == 3)
                tick(w, STORE_COMMIT_NS);
            test_drive(w->store, 100);
        }
        for (size_t i = 0; i < FIRST; i += 2) {
            if (w->here[i])
                assert_int_equal(test_change(w->store, &w->keys[i], CHANGE_BLOCK_RM), ERR_OK);
            w->here[i] = false;
        }
        blockstore_close(w->store, true);
        sim_disk_power_cut(w->disk, SIM_CUT_DROP, n);
        open_store(w);
        for (size_t i = 0; i < THEN; i++) {
            struct block_ref *ref = NULL;
            assert_int_equal(test_get(w->store, &w->keys[i], &ref), w->here[i] ? ERR_OK : ERR_NOT_FOUND);
            if (w->pinned[i])
                assert_int_equal(test_change(w->store, &w->keys[i], CHANGE_PIN_RM), ERR_OK);
            block_ref_unref(ref);
        }
        world_free(w);
    }
}

/* How many blocks a verification of all finds bad, while each read of the disk fails or none does. */
static size_t verify_all(struct world *w, bool readable)
{
    struct store_verify_op op = {.done = verify_done, .limit = MODEL_BLOCKS};
    sim_disk_fail(w->disk, SIM_FAULT_READ_IO, 0, readable ? 0 : 1000);
    blockstore_verify(w->store, &op);
    test_drive(w->store, 100);
    sim_disk_fail(w->disk, SIM_FAULT_READ_IO, 0, 0);
    assert_int_equal(op.after.len, 0);
    return op.bad_count;
}

/* What is put aside for a moment's failure would be lost when no peer has it, and collected. */
static void what_cannot_be_read_for_a_moment_stays(void **state)
{
    enum { BLOCKS = 10 };
    (void)state;
    struct world *w = world_new(9);
    for (size_t i = 0; i < BLOCKS; i++)
        put(w, i);
    assert_int_equal(verify_all(w, true), 0); /* the catalogue's pages are in memory from here on */
    for (int round = 0; round < 3; round++) {
        assert_int_equal(verify_all(w, false), BLOCKS);
        assert_int_equal(blockstore_stats(w->store).blocks, BLOCKS);
        assert_int_equal(verify_all(w, true), 0);
        check_all(w);
    }
    assert_int_equal(verify_all(w, false), BLOCKS);
    assert_int_equal(verify_all(w, false), BLOCKS);
    assert_int_equal(blockstore_stats(w->store).blocks, 0);
    world_free(w);
}

/* The filter is loaded when it fits, ignored when it is torn, and never says absent of what is there. */
/* Blocks without a row hold memory until a commit: where there is none for more of them, it begins before its time. */
static void a_put_without_memory_is_taken_after_a_commit(void **state)
{
    (void)state;
    struct world *w = world_new(11);
    struct test_op *ops = calloc(MODEL_BLOCKS, sizeof(*ops));
    unsigned busy = 0;
    w->tables.limit_bytes = account_used(&w->tables) + 4 * KIB;
    for (size_t i = 0; i < MODEL_BLOCKS;) {
        struct block_ref *ref = block_ref_copy(span_of(w->bytes[i], w->sizes[i]), NULL);
        ops[i] = test_op_for(&w->keys[i]);
        blockstore_put(w->store, &ops[i].op, ref);
        block_ref_unref(ref);
        if (!ops[i].done) {
            i++;
            continue;
        }
        assert_int_equal(ops[i].err, ERR_BUSY);
        assert_true(++busy < MODEL_BLOCKS);
        test_drive(w->store, 1000);
    }
    assert_true(busy > 0);
    test_drive(w->store, 1000);
    for (size_t i = 0; i < MODEL_BLOCKS; i++) {
        assert_true(ops[i].done);
        assert_int_equal(ops[i].err, ERR_OK);
        w->here[i] = true;
    }
    w->tables.limit_bytes = 4 * MIB;
    check_all(w);
    world_free(w);
    free(ops);
}

static void the_filter_is_kept_and_never_wrong(void **state)
{
    (void)state;
    struct world *w = world_new(9);
    for (size_t i = 0; i < 50; i++)
        put(w, i);
    test_drive(w->store, 100);
    assert_true(blockstore_stats(w->store).filter_complete);
    blockstore_close(w->store, false);
    open_store(w);
    assert_true(blockstore_stats(w->store).filter_complete);
    check_all(w);
    for (size_t i = 50; i < 60; i++)
        put(w, i);
    blockstore_close(w->store, false);
    assert_int_equal(sim_disk_damage(w->disk, "repo/filter", 5000, 1), ERR_OK);
    open_store(w);
    assert_false(blockstore_stats(w->store).filter_complete);
    check_all(w);
    assert_true(blockstore_stats(w->store).filter_complete);
    check_all(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_agrees_over_restarts_and_power_cuts),
        cmocka_unit_test(a_second_daemon_is_refused),
        cmocka_unit_test(storage_max_refuses_and_keeps_serving),
        cmocka_unit_test(a_full_disk_is_read_only_until_there_is_space),
        cmocka_unit_test(a_full_disk_still_takes_pins),
        cmocka_unit_test(a_failed_sync_fails_its_puts_only),
        cmocka_unit_test(a_fault_at_each_point_loses_nothing),
        cmocka_unit_test(a_lost_or_damaged_catalogue_is_made_anew),
        cmocka_unit_test(damaged_blocks_are_quarantined_and_can_come_again),
        cmocka_unit_test(what_follows_a_failed_sync_is_kept),
        cmocka_unit_test(verify_goes_through_all_in_steps),
        cmocka_unit_test(what_cannot_be_read_for_a_moment_stays),
        cmocka_unit_test(a_put_without_memory_is_taken_after_a_commit),
        cmocka_unit_test(the_filter_is_kept_and_never_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
