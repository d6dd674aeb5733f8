/* SPDX-License-Identifier: MIT */
/* Reads of blocks that are only in the cold tier, and what becomes of bytes that are wrong. */
#include "tests/support/cold_world.h"

/* ---- reads ---- */

static void a_read_that_waits_too_long_is_answered(void **state)
{
    struct world *w = *state;
    struct test_op many[STORE_COLD_READS_MAX + 1];
    put_all(w);
    demote(w, 0, ARRAY_LEN(many));
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        many[i] = test_op_for(&w->keys[i]);
        blockstore_get(w->store, &many[i].op);
    }
    struct store_cold *under_way[STORE_COLD_READS_MAX];
    for (size_t i = 0; i < ARRAY_LEN(under_way); i++) {
        under_way[i] = blockstore_next_cold(w->store);
        assert_non_null(under_way[i]);
        assert_int_equal(under_way[i]->kind, STORE_COLD_READ);
        assert_int_equal(under_way[i]->deadline_ns, w->now + STORE_COLD_READ_NS);
    }
    assert_null(blockstore_next_cold(w->store)); /* so many at once */
    assert_true(blockstore_wakes_at(w->store) <= w->now + STORE_COLD_READ_NS);
    w->now += STORE_COLD_READ_NS;
    blockstore_tick(w->store, w->now, REAL + w->now);
    assert_true(many[STORE_COLD_READS_MAX].done);
    assert_int_equal(many[STORE_COLD_READS_MAX].err, ERR_UNAVAILABLE);
    for (size_t i = 0; i < ARRAY_LEN(under_way); i++) {
        blockstore_cold_done(w->store, under_way[i], test_cold_run(&w->cold, under_way[i]));
        assert_true(many[i].done);
        block_ref_unref(many[i].op.ref);
    }
}

static void many_who_want_one_block_cost_one_read(void **state)
{
    struct world *w = *state;
    struct test_op ops[5];
    put_all(w);
    demote(w, 0, 1);
    uint64_t reads = w->cold.ran[STORE_COLD_READ];
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        ops[i] = test_op_for(&w->keys[0]);
        blockstore_get(w->store, &ops[i].op);
    }
    drive(w);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        assert_int_equal(ops[i].err, ERR_OK);
        block_ref_unref(ops[i].op.ref);
    }
    assert_int_equal(w->cold.ran[STORE_COLD_READ], reads + 1);
}

/* One of two goes, then the other: only then the medium is not asked any more, which says nothing of it. */
static void what_nobody_waits_for_any_more_is_not_read(void **state)
{
    struct world *w = *state;
    struct test_op two[] = {test_op_for(&w->keys[0]), test_op_for(&w->keys[0])};
    struct test_op again = test_op_for(&w->keys[0]);
    put_all(w);
    demote(w, 0, 1);
    uint64_t reads = w->cold.ran[STORE_COLD_READ];
    for (size_t i = 0; i < ARRAY_LEN(two); i++)
        blockstore_get(w->store, &two[i].op);
    struct store_cold *under_way = blockstore_next_cold(w->store);
    assert_non_null(under_way);
    assert_null(blockstore_give_up(w->store, &two[1].op));
    assert_true(two[1].done && two[1].err == ERR_CANCELLED);
    assert_false(two[0].done);
    assert_ptr_equal(blockstore_give_up(w->store, &two[0].op), under_way);
    assert_true(two[0].done && two[0].err == ERR_CANCELLED);
    blockstore_cold_done(w->store, under_way, ERR_CANCELLED);
    assert_null(blockstore_next_cold(w->store));
    assert_true(blockstore_stats(w->store).cold_up);
    blockstore_get(w->store, &again.op); /* and it is asked for as before */
    drive(w);
    assert_int_equal(again.err, ERR_OK);
    block_ref_unref(again.op.ref);
    assert_int_equal(w->cold.ran[STORE_COLD_READ], reads + 1);
}

static void what_waits_and_is_given_up_leaves_the_line(void **state)
{
    struct world *w = *state;
    struct test_op many[3];
    put_all(w);
    demote(w, 0, ARRAY_LEN(many));
    for (size_t given_up = 0; given_up < ARRAY_LEN(many); given_up++) {
        uint64_t reads = w->cold.ran[STORE_COLD_READ];
        for (size_t i = 0; i < ARRAY_LEN(many); i++) {
            many[i] = test_op_for(&w->keys[i]);
            blockstore_get(w->store, &many[i].op);
        }
        assert_null(blockstore_give_up(w->store, &many[given_up].op));
        drive(w);
        for (size_t i = 0; i < ARRAY_LEN(many); i++) {
            assert_int_equal(many[i].err, i == given_up ? ERR_CANCELLED : ERR_OK);
            block_ref_unref(many[i].op.ref);
        }
        assert_int_equal(w->cold.ran[STORE_COLD_READ], reads + 2);
        assert_null(blockstore_give_up(w->store, &many[given_up].op)); /* not under way: nothing */
        restart(w, false);                                             /* nothing is in memory any more */
        settle(w);
    }
}

static void without_a_cold_tier_what_is_there_is_known_and_not_read(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 2);
    w->without = true;
    unsigned notices = w->notices;
    restart(w, false);
    assert_int_equal(w->notices, notices + 1);
    assert_true(is_in(w, 0, "cold"));
    assert_int_equal(get(w, 0), ERR_UNAVAILABLE);
    w->without = false;
    restart(w, false);
    assert_int_equal(get(w, 0), ERR_OK);
}

static void a_read_that_is_made_again_keeps_its_time(void **state)
{
    struct world *w = *state;
    struct test_op first = test_op_for(&w->keys[0]);
    struct test_op second = test_op_for(&w->keys[1]);
    put_all(w);
    demote(w, 0, 2);
    blockstore_get(w->store, &first.op);
    struct store_cold *op = blockstore_next_cold(w->store);
    assert_non_null(op);
    w->now += 10 * SECOND_NS;
    blockstore_tick(w->store, w->now, REAL + w->now);
    blockstore_get(w->store, &second.op);
    blockstore_cold_done(w->store, op, ERR_BUSY); /* it could not be started */
    assert_true(blockstore_wakes_at(w->store) <= w->now + STORE_COLD_READ_NS - 10 * SECOND_NS);
    w->now += STORE_COLD_READ_NS - 10 * SECOND_NS;
    blockstore_tick(w->store, w->now, REAL + w->now);
    assert_true(first.done);
    assert_int_equal(first.err, ERR_UNAVAILABLE);
    assert_false(second.done);
    drive(w);
    assert_int_equal(second.err, ERR_OK);
    block_ref_unref(second.op.ref);
}

static void what_is_removed_while_it_is_read_is_not_served(void **state)
{
    struct world *w = *state;
    struct test_op t = test_op_for(&w->keys[0]);
    put_all(w);
    demote(w, 0, 2);
    settle(w);
    blockstore_get(w->store, &t.op);
    struct store_cold *read = blockstore_next_cold(w->store);
    assert_non_null(read);
    enum err err = test_cold_run(&w->cold, read);
    assert_int_equal(err, ERR_OK);
    assert_int_equal(change(w, 0, CHANGE_BLOCK_RM), ERR_OK);
    blockstore_cold_done(w->store, read, err);
    assert_true(t.done);
    assert_int_equal(t.err, ERR_NOT_FOUND);
    assert_true(is_in(w, 0, "none")); /* nor is it in memory now */
}

static void a_put_is_not_answered_with_what_cannot_be_read(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 3);
    w->cold.away = true;
    assert_int_equal(get(w, 0), ERR_UNAVAILABLE);
    put(w, 0);
    assert_true(is_in(w, 0, "memory") || is_in(w, 0, "disk"));
    assert_int_equal(get(w, 0), ERR_OK);
    w->without = true;
    restart(w, false);
    put(w, 1);
    settle(w);
    assert_int_equal(get(w, 0), ERR_OK);
    assert_int_equal(get(w, 1), ERR_OK);
    w->cold.away = false;
    w->without = false;
    settle(w);
    put(w, 2); /* it is there again */
    assert_true(is_in(w, 2, "cold"));
}

/* ---- damage ---- */

static void a_damaged_record_is_quarantined_and_wanted_back(void **state)
{
    struct world *w = *state;
    char path[64];
    put_all(w);
    demote(w, 0, 3);
    assert_int_equal(promote(w, 2), ERR_OK);
    settle(w);
    pack_path(w, 0, path);
    for (uint64_t at = 100; at < 9000; at += 500) /* in all three */
        assert_int_equal(sim_disk_damage(w->disk, path, at, 0x40), ERR_OK);
    assert_int_equal(get(w, 0), ERR_NOT_FOUND);
    assert_true(is_in(w, 0, "none"));
    assert_int_equal(stats(w).quarantined, 1);
    assert_true(w->wants >= 1);
    assert_true(block_key_equal(&w->wanted, &w->keys[0]));
    put(w, 0);
    settle(w);
    assert_true(is_in(w, 0, "disk"));
    assert_int_equal(stats(w).quarantined, 0);
    assert_int_equal(get(w, 1), ERR_NOT_FOUND); /* it has nothing else; block 2 has a copy on the disk */
    assert_int_equal(get(w, 2), ERR_OK);
    assert_int_equal(stats(w).quarantined, 1);
    assert_true(is_in(w, 1, "none"));
}

static void damage_on_the_disk_is_nothing_with_a_cold_copy(void **state)
{
    struct world *w = *state;
    struct block_facts facts;
    put_all(w);
    demote(w, 0, 1);
    assert_int_equal(promote(w, 0), ERR_OK);
    settle(w);
    assert_int_equal(blockstore_facts(w->store, &w->keys[0], &facts), ERR_OK);
    char name[SEGMENT_NAME_MAX];
    char path[64];
    segment_name(facts.segment, name);
    (void)snprintf(path, sizeof(path), "repo/segments/%s", name);
    assert_int_equal(sim_disk_damage(w->disk, path, facts.offset + 200, 1), ERR_OK);
    assert_int_equal(get(w, 0), ERR_OK);
    assert_int_equal(stats(w).quarantined, 0);
    settle(w);
    assert_true(is_in(w, 0, "cold"));
}

static void damage_that_cannot_be_noted_is_not_read_without_end(void **state)
{
    struct world *w = *state;
    char path[64];
    put_all(w);
    demote(w, 0, 3);
    settle(w);
    assert_int_equal(get(w, 1), ERR_OK); /* the table of reads has its memory */
    pack_path(w, 0, path);
    assert_int_equal(sim_disk_damage(w->disk, path, 1000, 0x40), ERR_OK);
    uint64_t rest = 8 * MIB - account_used(&w->tables);
    assert_true(account_take(&w->tables, rest));
    assert_int_equal(get(w, 0), ERR_NOMEM);
    account_give(&w->tables, rest);
    assert_int_equal(get(w, 0), ERR_NOT_FOUND);
    assert_int_equal(stats(w).quarantined, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        COLD_TEST(a_read_that_waits_too_long_is_answered),
        COLD_TEST(many_who_want_one_block_cost_one_read),
        COLD_TEST(what_nobody_waits_for_any_more_is_not_read),
        COLD_TEST(what_waits_and_is_given_up_leaves_the_line),
        COLD_TEST(without_a_cold_tier_what_is_there_is_known_and_not_read),
        COLD_TEST(a_read_that_is_made_again_keeps_its_time),
        COLD_TEST(what_is_removed_while_it_is_read_is_not_served),
        COLD_TEST(a_put_is_not_answered_with_what_cannot_be_read),
        COLD_TEST(a_damaged_record_is_quarantined_and_wanted_back),
        COLD_TEST(damage_on_the_disk_is_nothing_with_a_cold_copy),
        COLD_TEST(damage_that_cannot_be_noted_is_not_read_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
