/* SPDX-License-Identifier: MIT */
/* Who makes room in a store with a cold tier: demotion as long as it can, and a collection where it cannot. */
#include "tests/support/cold_world.h"

#include "storage/collector.h"

/* With all blocks the watermark is passed, and some more would still fit. */
enum { ROOM_BYTES = 128 * 1024, WATERMARK = 40 };

static void reopen(struct world *w, uint64_t storage_max)
{
    w->storage_max = storage_max;
    w->watermark = WATERMARK;
    restart(w, false);
}

/* As the owner's timer lets it pass, until then. */
static void pass_alone(struct world *w, uint64_t ns)
{
    uint64_t end = w->now + ns;
    while (w->now < end)
        pass(w, MIN(end, MAX(blockstore_wakes_at(w->store), w->now + 1)) - w->now);
}

static size_t count_in(struct world *w, const char *tier)
{
    size_t count = 0;
    for (size_t i = 0; i < ITEMS; i++)
        count += is_in(w, i, tier);
    return count;
}

static void demotion_comes_before_removal(void **state)
{
    struct world *w = *state;
    put_all(w);
    reopen(w, ROOM_BYTES);
    assert_true(stats(w).live_bytes > ROOM_BYTES / 100 * WATERMARK);
    blockstore_may_spill(w->store, true);
    pass_alone(w, 2 * 3600 * SECOND_NS);
    assert_int_equal(count_in(w, "disk"), ITEMS);
    demote(w, 0, 10);
    pass_alone(w, 3600 * SECOND_NS);
    assert_int_equal(count_in(w, "cold"), 10);
    assert_int_equal(count_in(w, "disk"), ITEMS - 10);
}

/* What lies there only takes no room here, and may be back tomorrow. */
static void with_the_medium_away_what_is_on_the_disk_is_collected(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 4);
    assert_int_equal(change(w, 5, CHANGE_PIN_ADD), ERR_OK);
    reopen(w, ROOM_BYTES);
    blockstore_may_spill(w->store, true);
    pass_alone(w, 3600 * SECOND_NS);
    w->cold.away = true;
    assert_int_equal(get(w, 0), ERR_UNAVAILABLE);
    pass_alone(w, COLLECTOR_PATIENCE_NS / 2);
    assert_int_equal(count_in(w, "disk"), ITEMS - 4); /* it may be back in a moment */
    unsigned notices = w->notices;
    pass_alone(w, COLLECTOR_PATIENCE_NS);
    assert_int_equal(count_in(w, "none"), ITEMS - 5);
    assert_int_equal(count_in(w, "cold"), 4);
    assert_true(is_in(w, 5, "disk"));
    assert_int_equal(w->notices, notices + 1); /* it is told */
}

static void a_medium_that_is_away_for_a_moment_costs_nothing(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 1);
    reopen(w, ROOM_BYTES);
    blockstore_may_spill(w->store, true);
    pass_alone(w, 3600 * SECOND_NS);
    for (int i = 0; i < 5; i++) {
        w->cold.away = true;
        pass_alone(w, 70 * SECOND_NS); /* when it was asked last */
        assert_int_equal(get(w, 0), ERR_UNAVAILABLE);
        w->cold.away = false;
        pass_alone(w, COLLECTOR_PATIENCE_NS / 2);
    }
    assert_int_equal(count_in(w, "disk"), ITEMS - 1);
}

static void nothing_is_collected_before_the_cold_tier_was_looked_for(void **state)
{
    struct world *w = *state;
    put_all(w);
    w->cold.away = true;
    reopen(w, ROOM_BYTES);
    pass_alone(w, COLLECTOR_PATIENCE_NS / 2);
    blockstore_may_spill(w->store, true);
    w->cold.away = false;
    pass_alone(w, 3600 * SECOND_NS);
    assert_int_equal(count_in(w, "disk"), ITEMS);
}

/* Its owner says so: nothing may leave, or nothing shall. */
static void where_demotion_cannot_help_a_collection_begins_by_itself(void **state)
{
    struct world *w = *state;
    put_all(w);
    reopen(w, ROOM_BYTES);
    blockstore_may_spill(w->store, true);
    pass_alone(w, 3600 * SECOND_NS);
    blockstore_may_spill(w->store, false);
    pass_alone(w, COLLECTOR_PATIENCE_NS - SECOND_NS);
    assert_int_equal(count_in(w, "disk"), ITEMS);
    pass_alone(w, 2 * SECOND_NS);
    assert_int_equal(count_in(w, "none"), ITEMS);
}

/* It answers, as a full disk does: each operation but the last of a pack is well. */
static void a_medium_that_takes_no_packs_is_no_help(void **state)
{
    struct world *w = *state;
    put_all(w);
    reopen(w, ROOM_BYTES);
    blockstore_may_spill(w->store, true);
    pass_alone(w, 3600 * SECOND_NS);
    w->cold.fails = STORE_COLD_END;
    w->cold.fails_with = ERR_NO_SPACE;
    demote(w, 0, 1);
    w->cold.fails_with = ERR_OK; /* for once */
    pass_alone(w, COLLECTOR_PATIENCE_NS / 2);
    assert_int_equal(blockstore_demote(w->store, &w->keys[1], 1), ERR_OK);
    pass_alone(w, SECOND_NS); /* which is seen at once */
    assert_true(is_in(w, 1, "cold"));
    pass_alone(w, 3600 * SECOND_NS);
    assert_int_equal(count_in(w, "disk"), ITEMS - 1);
    w->cold.fails_with = ERR_NO_SPACE;
    for (size_t i = 2; i < 5; i++)
        demote(w, i, i + 1);
    assert_int_equal(count_in(w, "none"), ITEMS - 1);
    assert_true(is_in(w, 1, "cold"));
}

static void a_put_is_refused_when_neither_can_make_room(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < BLOCKS - 1; i++)
        put(w, i);
    for (size_t i = 0; i < BLOCKS - 1; i++)
        assert_int_equal(change(w, i, CHANGE_PIN_ADD), ERR_OK);
    reopen(w, stats(w).live_bytes + 1000);
    blockstore_may_spill(w->store, true);
    pass_alone(w, 3600 * SECOND_NS);
    assert_int_equal(try_put(w, BLOCKS - 1), ERR_BUSY); /* blocks may leave */
    blockstore_may_spill(w->store, false);
    assert_int_equal(try_put(w, BLOCKS - 1), ERR_BUSY); /* a collection is coming */
    pass_alone(w, COLLECTOR_PATIENCE_NS + SECOND_NS);
    assert_int_equal(try_put(w, BLOCKS - 1), ERR_NO_SPACE); /* all is pinned */
    blockstore_may_spill(w->store, true);
    assert_int_equal(try_put(w, BLOCKS - 1), ERR_BUSY);
    demote(w, 0, 8);
    pass_alone(w, 10 * SECOND_NS);
    assert_int_equal(try_put(w, BLOCKS - 1), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        COLD_TEST(demotion_comes_before_removal),
        COLD_TEST(with_the_medium_away_what_is_on_the_disk_is_collected),
        COLD_TEST(a_medium_that_is_away_for_a_moment_costs_nothing),
        COLD_TEST(nothing_is_collected_before_the_cold_tier_was_looked_for),
        COLD_TEST(where_demotion_cannot_help_a_collection_begins_by_itself),
        COLD_TEST(a_medium_that_takes_no_packs_is_no_help),
        COLD_TEST(a_put_is_refused_when_neither_can_make_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
