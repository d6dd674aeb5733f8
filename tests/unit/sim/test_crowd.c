/* SPDX-License-Identifier: MIT */
/* A crowd of whole nodes: it finds together, survives coming and going, and repeats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/crowd.h"

enum { NODES = 50 };

static struct crowd_result play(struct crowd_options options)
{
    struct crowd_result result = {0};
    char why[CROWD_WHY_BYTES] = "";
    if (crowd_play(&options, &result, why) != ERR_OK)
        fail_msg("seed %llu: %s", (unsigned long long)options.seed, why);
    return result;
}

static void everybody_is_connected_and_reached(void **state)
{
    (void)state;
    struct crowd_result r =
        play((struct crowd_options){.seed = 1, .nodes = NODES, .life_ns = 60 * SECOND_NS, .tasks = 40});
    assert_int_equal(r.up, NODES);
    assert_int_equal(r.alone, 0);
    assert_int_equal(r.left, 0);
    assert_int_equal(r.kinds[CROWD_CONNECT].given, 40);
    assert_int_equal(r.kinds[CROWD_CONNECT].done, 40);
    assert_in_range(r.kinds[CROWD_CONNECT].p95_ns, 1, 2 * SECOND_NS);
}

static void a_seed_repeats_with_coming_and_going(void **state)
{
    (void)state;
    struct crowd_options options = {.seed = 42,
                                    .nodes = NODES,
                                    .life_ns = 120 * SECOND_NS,
                                    .session_ns = 60 * SECOND_NS,
                                    .away_ns = 20 * SECOND_NS,
                                    .tasks = 40};
    struct crowd_result first = play(options);
    struct crowd_result second = play(options);
    options.seed++;
    struct crowd_result other = play(options);
    assert_true(first.left > NODES / 2);
    assert_int_equal(first.alone, 0);
    assert_true(first.trace == second.trace);
    assert_int_equal(first.steps, second.steps);
    assert_true(first.trace != other.trace);
}

static void only_known_actors_are_played(void **state)
{
    (void)state;
    struct crowd_result result;
    char why[CROWD_WHY_BYTES];
    struct crowd_options options = {.seed = 1, .nodes = 2, .actors = "connection_manager,magic"};
    assert_int_equal(crowd_play(&options, &result, why), ERR_INVALID);
    assert_string_equal(why, "there is no actor magic");
    options.actors = "state";
    assert_int_equal(crowd_play(&options, &result, why), ERR_INVALID);
    options = (struct crowd_options){.seed = 1, .nodes = 1};
    assert_int_equal(crowd_play(&options, &result, why), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_is_connected_and_reached),
        cmocka_unit_test(a_seed_repeats_with_coming_and_going),
        cmocka_unit_test(only_known_actors_are_played),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
