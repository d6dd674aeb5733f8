/* SPDX-License-Identifier: MIT */
/* A crowd of whole nodes: it finds together, survives coming and going, and repeats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/crowd.h"
#include "sim/crowd_report.h"

enum { NODES = 50, FEW = 24, TASKS = 20, SYBILS = 40, SOME = 40, CIDS = 120, REPLICAS = 20 };

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

/* A target that was away when it was dialled, and is back when that has failed, was gone all the same. */
static void nobody_is_blamed_for_who_was_away(void **state)
{
    (void)state;
    struct crowd_result r = play((struct crowd_options){.seed = 5,
                                                        .actors = "connection_manager",
                                                        .nodes = FEW,
                                                        .life_ns = 120 * SECOND_NS,
                                                        .session_ns = 20 * SECOND_NS,
                                                        .away_ns = 2 * SECOND_NS,
                                                        .tasks = 20 * TASKS});
    const struct crowd_kind_result *connect = &r.kinds[CROWD_CONNECT];
    assert_true(connect->gone > 0 && connect->done > connect->given / 2);
    assert_int_equal(connect->done + connect->gone, connect->given);
}

/* What both ways have to send is the same, what they have to ask is not. */
static void a_sweep_asks_less_than_lookups_one_by_one(void **state)
{
    (void)state;
    struct crowd_options options = {.seed = 7, .nodes = SOME, .provide = CIDS};
    struct crowd_result r = play(options);
    const struct crowd_effort *sweep = &r.efforts[CROWD_BY_SWEEP];
    const struct crowd_effort *single = &r.efforts[CROWD_ONE_BY_ONE];
    assert_true(crowd_report_provided(&options, &r) >= 100.0);
    assert_int_equal(sweep->provided, CIDS);
    assert_int_equal(single->provided, CIDS);
    assert_true(single->lookups >= CIDS);
    assert_true(single->trips >= CIDS * REPLICAS);
    assert_true(sweep->lookups >= 1 && sweep->lookups <= CIDS / 20);
    assert_true(sweep->trips >= REPLICAS && sweep->trips <= single->trips / 10);
    assert_true(sweep->told >= CIDS * (REPLICAS - 1) && single->told >= CIDS * (REPLICAS - 1));
    assert_true(sweep->bytes_out > sweep->told * 50 && single->bytes > sweep->bytes);
    assert_int_equal(sweep->bytes, sweep->bytes_in + sweep->bytes_out);
    assert_true(sweep->took_ms < single->took_ms && sweep->dials < single->dials + SOME);
    assert_true(crowd_report_saved(&r) > 80.0 && crowd_report_saved(&r) < 100.0);
    assert_true(r.kinds[CROWD_FIND_PROVIDERS].given >= 2 * 100);
    assert_int_equal(r.kinds[CROWD_FIND_PROVIDERS].done, r.kinds[CROWD_FIND_PROVIDERS].given);
}

static void what_was_not_done_or_saved_is_seen(void **state)
{
    (void)state;
    const struct crowd_options options = {.provide = 10};
    struct crowd_result r = {.efforts = {{.provided = 10, .lookups = 5, .trips = 5, .bytes_in = 5},
                                         {.provided = 10, .lookups = 100, .trips = 100, .bytes_in = 100}}};
    assert_true(crowd_report_worst(&r) >= 100.0);
    assert_true(crowd_report_saved(&r) >= 95.0 && crowd_report_saved(&r) < 95.1);
    r.efforts[CROWD_BY_SWEEP].trips = 6;
    assert_true(crowd_report_saved(&r) < 95.0);
    r.efforts[CROWD_BY_SWEEP].provided = 9;
    assert_true(crowd_report_provided(&options, &r) < 99.5);
    const struct crowd_options sample = {.provide = 10, .singles = 2}; /* each CID for itself is compared */
    r.efforts[CROWD_BY_SWEEP].provided = 10;
    r.efforts[CROWD_ONE_BY_ONE] = (struct crowd_effort){.provided = 2, .lookups = 20, .trips = 20, .bytes_in = 20};
    assert_true(crowd_report_provided(&sample, &r) >= 100.0);
    assert_true(crowd_report_saved(&r) >= 94.0 && crowd_report_saved(&r) < 94.1);
    r.efforts[CROWD_ONE_BY_ONE].provided = 1;
    assert_true(crowd_report_provided(&sample, &r) < 99.5);
    r.kinds[CROWD_FIND_PEER] = (struct crowd_kind_result){.given = 200, .done = 198, .gone = 1};
    assert_true(crowd_report_worst(&r) < 99.5);
    r.kinds[CROWD_FIND_PEER].gone = 2;
    assert_true(crowd_report_worst(&r) >= 100.0);
    r.kinds[CROWD_CONNECT] = (struct crowd_kind_result){.given = 5, .gone = 5}; /* all void: nothing was shown */
    assert_true(crowd_report_worst(&r) < 99.5);
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
        cmocka_unit_test(nobody_is_blamed_for_who_was_away),
        cmocka_unit_test(a_sweep_asks_less_than_lookups_one_by_one),
        cmocka_unit_test(what_was_not_done_or_saved_is_seen),
        cmocka_unit_test(only_known_actors_are_played),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
