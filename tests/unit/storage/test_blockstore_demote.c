/* SPDX-License-Identifier: MIT */
/* What leaves the disk for the cold tier, and when; which blocks may; what comes back. */
#include "storage/cold_shelf.h"
#include "tests/support/cold_world.h"

#include "base/le.h"

/* ---- demotion ---- */

static void what_is_demoted_leaves_the_disk_and_is_read_back(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, BLOCKS);
    assert_int_equal(stats(w).cold_blocks, BLOCKS);
    assert_int_equal(stats(w).blocks, ITEMS - BLOCKS);
    assert_true(stats(w).cold_packs >= 1);
    assert_int_equal(stats(w).cold_waiting, 0);
    assert_int_equal(stats(w).demoted_bytes, stats(w).cold_bytes);
    for (size_t i = 0; i < BLOCKS; i++)
        assert_true(is_in(w, i, "cold"));
    uint64_t reads = w->cold.ran[STORE_COLD_READ];
    for (size_t i = 0; i < BLOCKS; i++)
        assert_int_equal(get(w, i), ERR_OK);
    assert_int_equal(w->cold.ran[STORE_COLD_READ], reads + BLOCKS);
    assert_int_equal(get(w, 3), ERR_OK); /* from memory */
    assert_int_equal(w->cold.ran[STORE_COLD_READ], reads + BLOCKS);
    put(w, 4); /* it is stored */
    assert_int_equal(stats(w).blocks, ITEMS - BLOCKS);
}

static void what_finds_no_memory_leaves_later(void **state)
{
    struct world *w = *state;
    put_all(w);
    settle(w);
    uint64_t room = account_free(&w->reads);
    assert_true(account_take(&w->reads, room));
    assert_int_equal(blockstore_demote(w->store, w->keys, 3), ERR_OK);
    blockstore_end_pack(w->store);
    drive(w);
    assert_int_equal(blockstore_may_leave(w->store, &w->keys[0]), ERR_BUSY); /* it is still to go */
    assert_true(blockstore_wakes_at(w->store) <= w->now + STORE_RETRY_NS);
    account_give(&w->reads, room);
    pass(w, STORE_RETRY_NS);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(blockstore_may_leave(w->store, &w->keys[i]), ERR_EXISTS);
}

static void a_pack_ends_when_it_is_full_or_old(void **state)
{
    struct world *w = *state;
    w->cold.tier.pack_bytes = 16 * KIB; /* five blocks */
    put_all(w);
    assert_int_equal(blockstore_demote(w->store, w->keys, 6), ERR_OK);
    drive(w);
    assert_true(is_in(w, 0, "cold")); /* full */
    assert_true(is_in(w, 5, "disk")); /* in the second */
    assert_int_equal(stats(w).cold_waiting, 1);
    pass(w, STORE_PACK_NS / 2);
    assert_true(is_in(w, 5, "disk"));
    assert_true(blockstore_wakes_at(w->store) <= w->now + STORE_PACK_NS);
    pass(w, STORE_PACK_NS);
    assert_true(is_in(w, 5, "cold"));
    assert_int_equal(stats(w).cold_packs, 2);
}

enum { SMALL_PAGE = 256 };

/* A page of blocks of some bytes each, stored and on their way to the cold tier. */
static void demote_small(struct world *w, uint32_t page)
{
    struct block_key keys[SMALL_PAGE];
    struct test_op ops[SMALL_PAGE];
    for (uint32_t i = 0; i < SMALL_PAGE; i++) {
        uint8_t bytes[8] = "small";
        le_put(bytes + 4, page * SMALL_PAGE + i, 4);
        struct block_ref *ref = block_ref_copy(span_of(bytes, sizeof(bytes)), NULL);
        test_key(span_of(bytes, sizeof(bytes)), &keys[i]);
        ops[i] = test_op_for(&keys[i]);
        blockstore_put(w->store, &ops[i].op, ref);
        block_ref_unref(ref);
    }
    drive(w);
    for (uint32_t i = 0; i < SMALL_PAGE; i++)
        assert_int_equal(ops[i].err, ERR_OK);
    assert_int_equal(change(w, 0, CHANGE_HEAL_ALL), ERR_OK); /* any change brings their rows, without a wait */
    assert_int_equal(blockstore_demote(w->store, keys, SMALL_PAGE), ERR_OK);
    drive(w);
}

/* All its rows are made by one commit, which others wait for. */
static void a_pack_of_many_small_blocks_ends_early(void **state)
{
    struct world *w = *state;
    uint64_t begins = w->cold.ran[STORE_COLD_BEGIN];
    w->cold.tier.pack_bytes = 4 * MIB;
    for (uint32_t page = 0; page <= STORE_COMMIT_ROWS / SMALL_PAGE; page++)
        demote_small(w, page);
    assert_int_equal(w->cold.ran[STORE_COLD_BEGIN], begins + 2);
    assert_int_equal(stats(w).cold_blocks, STORE_COMMIT_ROWS);
}

/* After each step of a demotion the process dies: the block is there, from wherever. */
static void a_crash_after_any_step_loses_nothing(void **state)
{
    struct world *w = *state;
    bool ended = false;
    put_all(w);
    for (size_t steps = 0; !ended; steps++) {
        size_t i = steps % BLOCKS;
        assert_int_equal(change(w, i, CHANGE_BLOCK_RM), ERR_OK);
        put(w, i);
        settle(w);
        assert_int_equal(blockstore_demote(w->store, &w->keys[i], 1), ERR_OK);
        for (size_t n = 0; n < steps; n++)
            (void)test_cold_drive(w->store, &w->cold, 1);
        w->now += STORE_PACK_NS + SECOND_NS;
        blockstore_tick(w->store, w->now, REAL + w->now);
        for (size_t n = 0; n < steps; n++)
            ended = test_cold_drive(w->store, &w->cold, 1);
        ended = ended && is_in(w, i, "cold");
        restart(w, true);
        for (size_t n = 0; n < BLOCKS; n++)
            assert_int_equal(get(w, n), ERR_OK);
        pass(w, 2 * SECOND_NS); /* what was half written goes */
        assert_int_equal(w->cold.ran[STORE_COLD_ABANDON], 0);
    }
    assert_int_equal(read_cold(w).bad, 0);
}

static void what_is_removed_before_its_rows_is_dead_in_the_pack(void **state)
{
    struct world *w = *state;
    put_all(w);
    assert_int_equal(blockstore_demote(w->store, w->keys, 4), ERR_OK);
    drive(w); /* all four are in the pack, which is open */
    assert_int_equal(change(w, 1, CHANGE_BLOCK_RM), ERR_OK);
    pass(w, STORE_PACK_NS + SECOND_NS);
    assert_true(is_in(w, 0, "cold"));
    assert_true(is_in(w, 1, "none"));
    assert_int_equal(get(w, 1), ERR_NOT_FOUND);
    assert_int_equal(stats(w).cold_blocks, 3);
}

static void nodes_that_are_leased_stay(void **state)
{
    struct world *w = *state;
    uint64_t lease = 0;
    struct block_key keys[2] = {w->keys[NODE], w->keys[NODE + 1]};
    put_all(w);
    assert_int_equal(blockstore_lease_open(w->store, &lease), ERR_OK);
    blockstore_keep(w->store, &keys[0]);
    assert_int_equal(blockstore_demote(w->store, keys, 2), ERR_OK);
    drive(w);
    blockstore_keep(w->store, &keys[1]); /* it is in the pack by now */
    pass(w, STORE_PACK_NS + SECOND_NS);
    assert_true(is_in(w, NODE, "disk"));
    assert_true(is_in(w, NODE + 1, "disk"));
    assert_int_equal(stats(w).cold_blocks, 1);
    blockstore_lease_close(w->store, lease);
    uint64_t packs = w->cold.ran[STORE_COLD_BEGIN];
    assert_int_equal(blockstore_demote(w->store, &keys[1], 1), ERR_OK);
    drive(w);
    assert_true(is_in(w, NODE + 1, "cold")); /* it was there already: nothing is written */
    assert_int_equal(w->cold.ran[STORE_COLD_BEGIN], packs);
}

/* Else nothing could be added that is larger than the disk. */
static void leaves_that_are_leased_go_and_are_kept_where_they_are(void **state)
{
    struct world *w = *state;
    uint64_t lease = 0;
    put(w, 0);
    settle(w);
    assert_int_equal(blockstore_lease_open(w->store, &lease), ERR_OK);
    for (size_t i = 1; i < 4; i++)
        put(w, i);                                           /* protected by their place */
    assert_int_equal(change(w, 0, CHANGE_HEAL_ALL), ERR_OK); /* any change brings their rows */
    blockstore_keep(w->store, &w->keys[0]);                  /* and this one by its name */
    demote(w, 0, 4);
    assert_int_equal(stats(w).blocks, 0);
    assert_int_equal(stats(w).cold_blocks, 4);
    assert_int_equal(collect(w), 0);
    assert_int_equal(get(w, 0), ERR_OK);
    assert_int_equal(get(w, 3), ERR_OK);
    blockstore_lease_close(w->store, lease);
    assert_int_equal(collect(w), 4);
    assert_true(is_in(w, 3, "none"));
}

static void demotion_refuses_what_it_cannot_take(void **state)
{
    struct world *w = *state;
    static struct block_key many[STORE_DEMOTE_MAX + 1];
    put_all(w);
    assert_int_equal(blockstore_demote(w->store, many, ARRAY_LEN(many)), ERR_INVALID);
    for (size_t round = 0; round < STORE_DEMOTE_WAITING_MAX / STORE_DEMOTE_MAX; round++) {
        for (size_t i = 0; i < STORE_DEMOTE_MAX; i++) {
            many[i].len = 8;
            many[i].bytes[0] = (uint8_t)round;
            many[i].bytes[1] = (uint8_t)i;
        }
        assert_int_equal(blockstore_demote(w->store, many, STORE_DEMOTE_MAX), ERR_OK);
    }
    assert_int_equal(blockstore_demote(w->store, w->keys, 1), ERR_BUSY);
    drive(w); /* none of them is there */
    assert_int_equal(stats(w).cold_waiting, 0);
    w->cold.away = true;
    demote(w, 0, 1);
    assert_int_equal(blockstore_demote(w->store, w->keys, 1), ERR_UNAVAILABLE);
    w->without = true;
    restart(w, false);
    assert_int_equal(blockstore_demote(w->store, w->keys, 1), ERR_UNAVAILABLE);
}

static void a_pack_that_fails_leaves_its_blocks_where_they_are(void **state)
{
    struct world *w = *state;
    static const enum store_cold_kind kinds[] = {STORE_COLD_BEGIN, STORE_COLD_ADD, STORE_COLD_END};
    put_all(w);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        w->cold.fails = kinds[k];
        w->cold.fails_with = ERR_UNAVAILABLE;
        demote(w, 0, 3);
        assert_int_equal(stats(w).cold_blocks, 0);
        assert_int_equal(stats(w).cold_waiting, 0);
        for (size_t i = 0; i < 3; i++)
            assert_true(is_in(w, i, "disk"));
        w->cold.fails_with = ERR_OK;
        pass(w, 70 * SECOND_NS);
        assert_int_equal(stats(w).cold_packs, 0);
        assert_true(stats(w).cold_up);
    }
    demote(w, 0, 3);
    assert_int_equal(stats(w).cold_blocks, 3);
}

static void what_waits_to_leave_is_bounded_while_nothing_is_committed(void **state)
{
    struct world *w = *state;
    struct test_change t = test_pin(&w->keys[0], CHANGE_HEAL_ALL);
    put_all(w);
    demote(w, 0, BLOCKS);
    for (size_t i = 0; i < BLOCKS; i++)
        assert_int_equal(promote(w, i), ERR_OK);
    settle(w);
    blockstore_change(w->store, &t.op);
    struct store_job *commit = blockstore_next_job(w->store);
    assert_non_null(commit);
    uint64_t before = account_used(&w->tables);
    for (int i = 0; i < 400; i++) {
        assert_int_equal(blockstore_demote(w->store, w->keys, BLOCKS), ERR_OK);
        assert_null(blockstore_next_job(w->store));
    }
    assert_true(account_used(&w->tables) - before <= 2048 * sizeof(struct cold_entry) + 64 * KIB);
    blockstore_job_done(w->store, commit, store_job_run(commit));
    drive(w);
    assert_true(t.done);
    settle(w);
    for (size_t i = 0; i < BLOCKS; i++)
        assert_true(is_in(w, i, "cold"));
}

static void a_pack_with_other_records_than_were_sent_gets_no_rows(void **state)
{
    struct world *w = *state;
    put_all(w);
    assert_int_equal(blockstore_demote(w->store, w->keys, 3), ERR_OK);
    drive(w);
    w->now += STORE_PACK_NS + SECOND_NS;
    blockstore_tick(w->store, w->now, REAL + w->now);
    struct store_cold *end = blockstore_next_cold(w->store);
    assert_non_null(end);
    assert_int_equal(end->kind, STORE_COLD_END);
    enum err err = test_cold_run(&w->cold, end);
    assert_int_equal(err, ERR_OK);
    assert_int_equal(end->records, 3);
    end->records--;
    blockstore_cold_done(w->store, end, err);
    pass(w, 10 * SECOND_NS);
    settle(w);
    assert_int_equal(stats(w).cold_blocks, 0);
    for (size_t i = 0; i < 3; i++)
        assert_true(is_in(w, i, "disk"));
}

/* ---- candidates ---- */

struct candidates {
    struct store_candidates_op op;
    bool done;
    enum err err;
    struct store_candidate found[ITEMS * 2];
    size_t count;
};

static void page_of_candidates(struct store_candidates_op *op, enum err err)
{
    struct candidates *c = CONTAINER_OF(op, struct candidates, op);
    c->done = true;
    c->err = err;
    assert_true(c->count + op->count <= ARRAY_LEN(c->found));
    if (op->count > 0)
        memcpy(c->found + c->count, op->found, op->count * sizeof(*op->found));
    c->count += op->count;
}

static struct candidates candidates(struct world *w)
{
    struct candidates c = {.op = {.done = page_of_candidates}};
    do {
        c.done = false;
        blockstore_candidates(w->store, &c.op);
        drive(w);
        assert_true(c.done);
        assert_int_equal(c.err, ERR_OK);
    } while (c.op.segment != 0);
    return c;
}

static void candidates_come_in_the_order_of_the_disk(void **state)
{
    struct world *w = *state;
    uint64_t lease = 0;
    for (size_t i = 0; i < 20; i++)
        put(w, i);
    put(w, NODE);
    assert_int_equal(change(w, NODE, CHANGE_PIN_ADD), ERR_OK);
    settle(w);
    put(w, NODE + 1);
    settle(w);
    assert_int_equal(blockstore_lease_open(w->store, &lease), ERR_OK);
    blockstore_keep(w->store, &w->keys[2]);
    blockstore_keep(w->store, &w->keys[NODE + 1]);
    struct candidates c = candidates(w);
    assert_int_equal(c.count, 22);
    for (size_t i = 0; i < 20; i++) {
        assert_true(block_key_equal(&c.found[i].key, &w->keys[i]));
        assert_int_equal(c.found[i].size, w->sizes[i]);
        assert_true(c.found[i].may_go);
        assert_false(c.found[i].cold);
    }
    assert_false(c.found[20].may_go); /* its links are needed */
    assert_false(c.found[21].may_go); /* and these soon, perhaps */
    blockstore_lease_close(w->store, lease);
    assert_int_equal(change(w, 4, CHANGE_BLOCK_RM), ERR_OK);
    demote(w, 0, 2);
    c = candidates(w);
    assert_int_equal(c.count, 19);
    assert_true(block_key_equal(&c.found[0].key, &w->keys[2]));
}

/* Not on the owner's thread; and what it alone knows is asked when the rows are known. */
static void candidates_are_looked_up_on_the_lane_of_the_catalogue(void **state)
{
    struct world *w = *state;
    struct candidates c = {.op = {.done = page_of_candidates}};
    uint64_t lease = 0;
    put_all(w);
    blockstore_candidates(w->store, &c.op);
    struct store_job *job = blockstore_next_job(w->store);
    assert_int_equal(store_job_lane(job), STORE_LANE_DISK);
    blockstore_job_done(w->store, job, store_job_run(job));
    assert_false(c.done);
    job = blockstore_next_job(w->store);
    assert_int_equal(store_job_lane(job), STORE_LANE_CATALOGUE);
    blockstore_job_done(w->store, job, ERR_BUSY); /* it could not be started */
    assert_false(c.done);
    job = blockstore_next_job(w->store);
    assert_int_equal(store_job_lane(job), STORE_LANE_CATALOGUE);
    enum err err = store_job_run(job);
    assert_int_equal(blockstore_lease_open(w->store, &lease), ERR_OK);
    blockstore_keep(w->store, &w->keys[NODE]);
    blockstore_job_done(w->store, job, err);
    assert_true(c.done);
    assert_true(c.count > 2);
    for (size_t i = 0; i < c.count; i++)
        assert_int_equal(c.found[i].may_go, !block_key_equal(&c.found[i].key, &w->keys[NODE]));
    blockstore_lease_close(w->store, lease);
}

/* ---- promotion ---- */

static void a_promoted_block_is_in_both_and_leaves_without_a_write(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 4);
    assert_int_equal(promote(w, 1), ERR_OK);
    assert_int_equal(promote(w, 1), ERR_EXISTS);
    assert_int_equal(stats(w).promoted_bytes, w->sizes[1]);
    settle(w);
    assert_true(is_in(w, 1, "disk"));
    assert_int_equal(stats(w).cold_blocks, 4);
    assert_int_equal(stats(w).blocks, ITEMS - 3);
    uint64_t packs = w->cold.ran[STORE_COLD_BEGIN];
    assert_int_equal(blockstore_demote(w->store, &w->keys[1], 1), ERR_OK);
    drive(w);
    assert_true(is_in(w, 1, "cold"));
    assert_int_equal(w->cold.ran[STORE_COLD_BEGIN], packs);
    w->cold.away = true;
    assert_int_equal(promote(w, 2), ERR_UNAVAILABLE);
    assert_int_equal(promote(w, 10), ERR_EXISTS);
    assert_int_equal(change(w, 10, CHANGE_BLOCK_RM), ERR_OK);
    assert_int_equal(promote(w, 10), ERR_NOT_FOUND);
}

static void what_was_just_used_is_promoted_without_another_read(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 4);
    assert_int_equal(get(w, 3), ERR_OK);
    uint64_t reads = w->cold.ran[STORE_COLD_READ];
    w->cold.away = true;
    assert_int_equal(promote(w, 3), ERR_OK);
    assert_int_equal(w->cold.ran[STORE_COLD_READ], reads);
    assert_int_equal(stats(w).promoted_bytes, w->sizes[3]);
    assert_int_equal(blockstore_may_leave(w->store, &w->keys[3]),
                     ERR_AGAIN); /* fresh: it is not back yet, though it counts as cold */
    settle(w);
    assert_true(is_in(w, 3, "disk"));
    assert_int_equal(blockstore_may_leave(w->store, &w->keys[3]), ERR_EXISTS);
}

/* Memory has no room for it. */
static void what_was_just_read_is_promoted_without_another_read(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 4);
    uint64_t room = account_free(&w->memory);
    assert_true(account_take(&w->memory, room));
    assert_int_equal(get(w, 3), ERR_OK);
    assert_int_equal(get(w, 2), ERR_OK);
    assert_true(is_in(w, 3, "cold"));
    w->cold.away = true;
    assert_int_equal(get(w, 3), ERR_OK);
    assert_int_equal(promote(w, 3), ERR_OK);
    settle(w);
    assert_true(is_in(w, 3, "disk"));
    w->now += COLD_SHELF_NS; /* and forgotten after a while */
    blockstore_tick(w->store, w->now, REAL + w->now);
    assert_int_equal(promote(w, 2), ERR_UNAVAILABLE);
    account_give(&w->memory, room);
}

static void what_is_removed_while_it_is_promoted_stays_away(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 2);
    for (int late = 0; late < 2; late++) {
        size_t i = (size_t)late;
        struct test_op t = test_op_for(&w->keys[i]);
        struct test_change rm = test_pin(&w->keys[i], CHANGE_BLOCK_RM);
        blockstore_promote(w->store, &t.op);
        struct store_cold *read = blockstore_next_cold(w->store);
        assert_non_null(read);
        assert_int_equal(read->kind, STORE_COLD_READ);
        enum err err = test_cold_run(&w->cold, read);
        struct store_job *commit = NULL;
        if (late) { /* the removal is on its way when the block comes */
            blockstore_change(w->store, &rm.op);
            commit = blockstore_next_job(w->store);
            assert_non_null(commit);
        }
        blockstore_cold_done(w->store, read, err);
        if (!late)
            blockstore_change(w->store, &rm.op);
        else
            blockstore_job_done(w->store, commit, store_job_run(commit));
        drive(w);
        assert_true(t.done);
        assert_true(rm.done);
        assert_int_equal(rm.err, ERR_OK);
        assert_true(is_in(w, i, "none"));
        settle(w);
        assert_true(is_in(w, i, "none"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        COLD_TEST(what_is_demoted_leaves_the_disk_and_is_read_back),
        COLD_TEST(what_finds_no_memory_leaves_later),
        COLD_TEST(a_pack_ends_when_it_is_full_or_old),
        COLD_TEST(a_pack_of_many_small_blocks_ends_early),
        COLD_TEST(a_crash_after_any_step_loses_nothing),
        COLD_TEST(what_is_removed_before_its_rows_is_dead_in_the_pack),
        COLD_TEST(nodes_that_are_leased_stay),
        COLD_TEST(leaves_that_are_leased_go_and_are_kept_where_they_are),
        COLD_TEST(demotion_refuses_what_it_cannot_take),
        COLD_TEST(a_pack_that_fails_leaves_its_blocks_where_they_are),
        COLD_TEST(what_waits_to_leave_is_bounded_while_nothing_is_committed),
        COLD_TEST(a_pack_with_other_records_than_were_sent_gets_no_rows),
        COLD_TEST(candidates_come_in_the_order_of_the_disk),
        COLD_TEST(candidates_are_looked_up_on_the_lane_of_the_catalogue),
        COLD_TEST(a_promoted_block_is_in_both_and_leaves_without_a_write),
        COLD_TEST(what_was_just_used_is_promoted_without_another_read),
        COLD_TEST(what_was_just_read_is_promoted_without_another_read),
        COLD_TEST(what_is_removed_while_it_is_promoted_stays_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
