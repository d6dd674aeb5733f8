/* SPDX-License-Identifier: MIT */
/* A crowd of whole nodes: it finds together, survives coming and going, and repeats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/crowd.h"

enum { NODES = 50, FEW = 24, TASKS = 20, SYBILS = 40 };

static struct crowd_result play(struct crowd_options options)
{
    struct crowd_result result = {0};
    char why[CROWD_WHY_BYTES] = "";
    if (crowd_play(&options, &result, why) != ERR_OK)
        fail_msg("seed %llu: %s", (unsigned long long)options.seed, why);
    return result;
}

static void everybody_is_connected_and_finds_everything(void **state)
{
    (void)state;
    struct crowd_result r =
        play((struct crowd_options){.seed = 1, .nodes = NODES, .life_ns = 60 * SECOND_NS, .tasks = TASKS});
    assert_int_equal(r.up, NODES);
    assert_int_equal(r.alone, 0);
    assert_int_equal(r.left, 0);
    for (size_t i = CROWD_CONNECT; i <= CROWD_FIND_PROVIDERS; i++) {
        assert_true(r.kinds[i].given >= TASKS / 2);
        assert_int_equal(r.kinds[i].done, r.kinds[i].given);
        assert_true(r.kinds[i].p95_ns < 10 * SECOND_NS);
    }
    assert_int_equal(r.kinds[CROWD_FIND_ATTACKED].given, 0);
    const struct crowd_kind_result *provide = &r.kinds[CROWD_PROVIDE];
    assert_true(provide->requests_mean >= 38 && provide->requests_mean <= 60); /* the 20 closest are asked and told */
    assert_true(provide->hops_mean >= 1 && provide->hops_mean <= 4);
}

/* The limits by network are what holds them off: the same sybils from anywhere get nearly every record. */
static void sybils_of_one_network_do_not_hide_the_provider(void **state)
{
    (void)state;
    struct crowd_options options = {
        .seed = 3, .nodes = FEW, .life_ns = 30 * SECOND_NS, .tasks = TASKS, .sybils = SYBILS};
    struct crowd_result near = play(options);
    options.sybils_spread = true;
    struct crowd_result spread = play(options);
    assert_int_equal(near.kinds[CROWD_PROVIDE_ATTACKED].done, 1);
    assert_int_equal(near.kinds[CROWD_FIND_ATTACKED].given, TASKS);
    assert_int_equal(near.kinds[CROWD_FIND_ATTACKED].done, TASKS);
    assert_true(near.swallowed <= 3);
    assert_true(spread.swallowed >= 15);
}

static void a_seed_repeats_with_coming_and_going(void **state)
{
    (void)state;
    struct crowd_options options = {.seed = 42,
                                    .nodes = FEW,
                                    .life_ns = 60 * SECOND_NS,
                                    .session_ns = 30 * SECOND_NS,
                                    .away_ns = 20 * SECOND_NS,
                                    .tasks = TASKS};
    struct crowd_result first = play(options);
    struct crowd_result second = play(options);
    options.seed++;
    struct crowd_result other = play(options);
    assert_true(first.left > FEW / 2);
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
        cmocka_unit_test(everybody_is_connected_and_finds_everything),
        cmocka_unit_test(sybils_of_one_network_do_not_hide_the_provider),
        cmocka_unit_test(a_seed_repeats_with_coming_and_going),
        cmocka_unit_test(only_known_actors_are_played),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
