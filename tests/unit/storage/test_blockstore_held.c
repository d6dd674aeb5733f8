/* SPDX-License-Identifier: MIT */
/* What pins hold of a store with a cold tier: it stays or is counted, and a collection takes the rest. */
#include "tests/support/cold_world.h"

/* ---- pins ---- */

static void nodes_that_a_pin_needs_stay(void **state)
{
    struct world *w = *state;
    put_all(w);
    assert_int_equal(change(w, NODE + 1, CHANGE_PIN_ADD), ERR_OK);
    demote(w, NODE, ITEMS);
    assert_true(is_in(w, NODE, "disk"));
    assert_int_equal(stats(w).cold_blocks, 0);
    assert_int_equal(change(w, NODE + 1, CHANGE_PIN_RM), ERR_OK);
    demote(w, NODE, ITEMS);
    assert_true(is_in(w, NODE, "cold"));
}

static enum err pin_to(struct world *w, size_t i, const char *tier)
{
    struct test_change t = test_pin(&w->keys[i], CHANGE_TIER_PIN);
    (void)snprintf(t.op.change.name, sizeof(t.op.change.name), "%s", tier);
    blockstore_change(w->store, &t.op);
    drive(w);
    assert_true(t.done);
    return t.err;
}

static void what_is_pinned_to_a_tier_does_not_leave_it(void **state)
{
    struct world *w = *state;
    struct block_facts facts;
    put_all(w);
    assert_int_equal(pin_to(w, 0, "disk"), ERR_OK);
    assert_int_equal(blockstore_may_leave(w->store, &w->keys[0]), ERR_DENIED);
    assert_int_equal(blockstore_may_leave(w->store, &w->keys[1]), ERR_OK);
    settle(w);
    demote(w, 0, 4);
    assert_true(is_in(w, 0, "disk"));
    assert_true(is_in(w, 1, "cold"));
    assert_int_equal(pin_to(w, 1, "cold"), ERR_OK);
    assert_int_equal(promote(w, 1), ERR_DENIED);
    assert_int_equal(get(w, 1), ERR_OK);
    assert_int_equal(blockstore_facts(w->store, &w->keys[1], &facts), ERR_OK);
    assert_string_equal(facts.tier_pin, "cold");
    assert_int_equal(pin_to(w, 1, "disk"), ERR_OK); /* one at a time */
    assert_int_equal(promote(w, 1), ERR_OK);
    assert_int_equal(pin_to(w, 0, ""), ERR_OK);
    demote(w, 0, 1);
    assert_true(is_in(w, 0, "cold"));
}

/* Taken for demotion, and pinned before its hot row goes. */
static void a_pin_to_the_disk_comes_in_time(void **state)
{
    struct world *w = *state;
    put_all(w);
    assert_int_equal(blockstore_demote(w->store, &w->keys[0], 2), ERR_OK);
    drive(w);
    assert_int_equal(blockstore_may_leave(w->store, &w->keys[0]), ERR_BUSY);
    assert_int_equal(pin_to(w, 0, "disk"), ERR_OK);
    blockstore_end_pack(w->store);
    pass(w, SECOND_NS); /* and not a minute */
    pass(w, SECOND_NS);
    assert_int_equal(stats(w).cold_blocks, 2);
    assert_int_equal(blockstore_may_leave(w->store, &w->keys[0]), ERR_EXISTS);
    settle(w);
    assert_true(is_in(w, 0, "disk"));
    assert_true(is_in(w, 1, "cold"));
}

static void a_put_of_a_cold_node_makes_it_hot(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, NODE, ITEMS);
    put(w, NODE);
    settle(w);
    assert_true(is_in(w, NODE, "disk"));
    assert_true(is_in(w, NODE + 1, "cold"));
}

/* ---- counting ---- */

static void a_pin_to_a_tier_outlives_the_catalogue(void **state)
{
    struct world *w = *state;
    put_all(w);
    assert_int_equal(pin_to(w, 0, "disk"), ERR_OK);
    assert_int_equal(pin_to(w, 1, "disk"), ERR_OK);
    assert_int_equal(pin_to(w, 1, ""), ERR_OK);
    lose_catalogue(w);
    demote(w, 0, 2);
    assert_true(is_in(w, 0, "disk"));
    assert_true(is_in(w, 1, "cold"));
}

/* A pin of nodes that are cold: nothing below is collected before they are counted, and then they are on the disk. */
static void a_pin_of_cold_nodes_holds_what_is_below(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, NODE, ITEMS);
    settle(w);
    w->cold.away = true;
    assert_int_equal(change(w, NODE + 1, CHANGE_PIN_ADD), ERR_OK);
    assert_true(stats(w).counting);
    struct collected c = {.op = {.done = page_collected}};
    blockstore_collect(w->store, &c.op);
    drive(w);
    assert_true(c.done); /* nobody knows what is held, nor when that will be */
    assert_int_equal(c.err, ERR_UNAVAILABLE);
    assert_int_equal(change(w, 1, CHANGE_BLOCK_RM), ERR_UNAVAILABLE);
    w->cold.away = false;
    for (int i = 0; i < 20 && stats(w).counting; i++)
        pass(w, 10 * SECOND_NS);
    (void)collect(w);
    assert_false(stats(w).counting);
    settle(w);
    assert_true(is_in(w, 0, "disk"));
    assert_true(is_in(w, NODE, "disk"));
    assert_true(is_in(w, NODE + 1, "disk"));
    assert_true(is_in(w, 1, "none"));
}

/* The root of a pin is in a pack that a catalogue made anew does not know as long as the medium is away. */
static void nothing_is_collected_before_the_packs_are_known(void **state)
{
    struct world *w = *state;
    struct collected c = {.op = {.done = page_collected}};
    put_all(w);
    demote(w, NODE, ITEMS);
    w->cold.away = true;
    assert_int_equal(change(w, NODE + 1, CHANGE_PIN_ADD), ERR_OK);
    lose_catalogue(w);
    restart(w, false);
    blockstore_collect(w->store, &c.op);
    drive(w);
    assert_false(c.done);
    assert_true(is_in(w, 0, "disk"));
    w->cold.away = false;
    for (int i = 0; i < 20 && !c.done; i++)
        pass(w, 10 * SECOND_NS);
    assert_true(c.done);
    (void)collect(w);
    assert_false(is_in(w, 0, "none"));
    assert_true(is_in(w, 1, "none"));
    assert_int_equal(get(w, NODE + 1), ERR_OK);
    settle(w);
    assert_true(stats(w).cold_up);
}

static void a_count_that_waits_for_the_medium_dooms_nothing(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, NODE, ITEMS);
    settle(w);
    w->cold.away = true;
    struct collected c = {.op = {.done = page_collected}};
    blockstore_collect(w->store, &c.op);
    size_t jobs = 0;
    uint64_t size = 0;
    for (; jobs < DRIVE && blockstore_has(w->store, &w->keys[1], &size, NULL) == ERR_OK; jobs++) {
        struct store_job *job = blockstore_next_job(w->store);
        assert_non_null(job);
        blockstore_job_done(w->store, job, store_job_run(job));
    }
    assert_int_equal(blockstore_has(w->store, &w->keys[1], &size, NULL), ERR_NOT_FOUND); /* a page is doomed */
    struct test_change pin = test_pin(&w->keys[NODE + 1], CHANGE_PIN_ADD);
    blockstore_change(w->store, &pin.op);
    drive(w);
    assert_true(pin.done);
    assert_int_equal(pin.err, ERR_OK);
    assert_int_equal(get(w, 1), ERR_OK); /* it is not doomed for as long as the medium is away */
    put(w, 2);
    w->cold.away = false;
    for (int i = 0; i < 20 && !c.done; i++)
        pass(w, 10 * SECOND_NS);
    assert_true(c.done);
}

/* Seen by the sanitizer of leaks. */
static void a_store_that_closes_frees_the_nodes_on_their_way_to_the_disk(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, NODE, ITEMS);
    settle(w);
    struct test_change pin = test_pin(&w->keys[NODE + 1], CHANGE_PIN_ADD);
    uint64_t reads = w->cold.ran[STORE_COLD_READ];
    blockstore_change(w->store, &pin.op);
    for (size_t n = 0; n < DRIVE && w->cold.ran[STORE_COLD_READ] == reads; n++)
        (void)test_cold_drive(w->store, &w->cold, 1);
    assert_int_equal(w->cold.ran[STORE_COLD_READ], reads + 1);
    blockstore_close(w->store, true); /* nothing of it is written yet */
    test_cold_end_life(&w->cold);
    open_store(w);
    drive(w);
    assert_int_equal(get(w, NODE + 1), ERR_OK);
}

/* It is in both, and what links to it is being read because of a pin: who counts must find it without the medium. */
static void a_node_stays_while_it_is_counted_what_is_held(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, NODE, ITEMS);
    assert_int_equal(promote(w, NODE), ERR_OK);
    settle(w);
    uint64_t reads = w->cold.ran[STORE_COLD_READ];
    struct test_change pin = test_pin(&w->keys[NODE + 1], CHANGE_PIN_ADD);
    blockstore_change(w->store, &pin.op);
    test_drive(w->store, DRIVE);
    assert_true(pin.done);
    struct store_cold *read = blockstore_next_cold(w->store);
    assert_non_null(read);
    assert_int_equal(read->kind, STORE_COLD_READ);
    assert_true(stats(w).counting);
    assert_int_equal(blockstore_demote(w->store, &w->keys[NODE], 1), ERR_OK);
    test_drive(w->store, DRIVE);
    assert_true(is_in(w, NODE, "disk"));
    blockstore_cold_done(w->store, read, test_cold_run(&w->cold, read));
    drive(w);
    assert_false(stats(w).counting);
    assert_int_equal(w->cold.ran[STORE_COLD_READ], reads + 1);
}

/* ---- collection ---- */

static void a_collection_takes_cold_blocks_too(void **state)
{
    struct world *w = *state;
    put_all(w);
    assert_int_equal(change(w, 1, CHANGE_PIN_ADD), ERR_OK);
    assert_int_equal(change(w, NODE + 1, CHANGE_PIN_ADD), ERR_OK);
    demote(w, 0, 6);
    assert_int_equal(promote(w, 3), ERR_OK);
    settle(w);
    assert_int_equal(collect(w), BLOCKS - 2);
    assert_true(is_in(w, 0, "cold")); /* below the pin */
    assert_true(is_in(w, 1, "cold")); /* pinned itself */
    assert_true(is_in(w, 2, "none"));
    assert_true(is_in(w, 3, "none"));
    assert_int_equal(stats(w).cold_blocks, 2);
    assert_int_equal(change(w, 1, CHANGE_BLOCK_RM), ERR_DENIED);
    assert_int_equal(change(w, 0, CHANGE_BLOCK_RM), ERR_DENIED);
}

/* Its page has the rows of the disk, which would be others when the pack's came between. */
static void a_collection_takes_what_is_on_its_way_to_a_pack(void **state)
{
    struct world *w = *state;
    uint64_t size = 0;
    struct collected c = {.op = {.done = page_collected}};
    put_all(w);
    assert_int_equal(blockstore_demote(w->store, w->keys, 3), ERR_OK);
    drive(w);
    blockstore_collect(w->store, &c.op);
    for (size_t n = 0; n < DRIVE && blockstore_has(w->store, &w->keys[0], &size, NULL) == ERR_OK; n++)
        (void)test_cold_drive(w->store, &w->cold, 1);
    assert_false(c.done); /* its page is in hand */
    blockstore_end_pack(w->store);
    struct store_cold *end = blockstore_next_cold(w->store);
    assert_non_null(end);
    assert_int_equal(end->kind, STORE_COLD_END);
    blockstore_cold_done(w->store, end, test_cold_run(&w->cold, end));
    drive(w);
    assert_true(c.done);
    assert_int_equal(c.err, ERR_OK);
    assert_int_equal(c.gone, ITEMS);
    settle(w);
    for (size_t i = 0; i < 3; i++)
        assert_true(is_in(w, i, "none"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        COLD_TEST(nodes_that_a_pin_needs_stay),
        COLD_TEST(what_is_pinned_to_a_tier_does_not_leave_it),
        COLD_TEST(a_pin_to_the_disk_comes_in_time),
        COLD_TEST(a_put_of_a_cold_node_makes_it_hot),
        COLD_TEST(a_pin_to_a_tier_outlives_the_catalogue),
        COLD_TEST(a_pin_of_cold_nodes_holds_what_is_below),
        COLD_TEST(nothing_is_collected_before_the_packs_are_known),
        COLD_TEST(a_count_that_waits_for_the_medium_dooms_nothing),
        COLD_TEST(a_store_that_closes_frees_the_nodes_on_their_way_to_the_disk),
        COLD_TEST(a_node_stays_while_it_is_counted_what_is_held),
        COLD_TEST(a_collection_takes_cold_blocks_too),
        COLD_TEST(a_collection_takes_what_is_on_its_way_to_a_pack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
