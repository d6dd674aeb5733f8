/* SPDX-License-Identifier: MIT */
/* One supervisor, after the cases of OTP's supervisor_SUITE: order, restart types, strategies, intensity, backoff. */
#include "helper_script.h"

static const struct child_spec three[] = {WORKER(a, RESTART_PERMANENT), WORKER(b, RESTART_PERMANENT),
                                          WORKER(c, RESTART_PERMANENT)};
static const struct child_spec kinds[] = {WORKER(a, RESTART_PERMANENT), WORKER(b, RESTART_TRANSIENT),
                                          WORKER(c, RESTART_TEMPORARY)};
SPEC(one, STRATEGY_ONE_FOR_ONE, 3, three);
SPEC(all, STRATEGY_ONE_FOR_ALL, 3, three);
SPEC(rest, STRATEGY_REST_FOR_ONE, 3, three);
SPEC(mixed, STRATEGY_ONE_FOR_ONE, 3, kinds);
SPEC(mixed_rest, STRATEGY_REST_FOR_ONE, 3, kinds);
SPEC(never, STRATEGY_ONE_FOR_ONE, 0, three);

/* ---- order ---- */

static void start_waits_for_each_acknowledgement_and_stop_goes_backwards(void **state)
{
    (void)state;
    script_begin(&one);
    EXPECT("+a");
    script_up("a");
    EXPECT("+b");
    assert_int_equal(supervisor_state(script.s), SUPERVISOR_STARTING);
    script_up("b");
    EXPECT("+c");
    script_up("c");
    assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING);
    supervisor_stop(script.s, script.now_ns);
    EXPECT("-c");
    script_down('c', EXIT_SHUTDOWN);
    EXPECT("-b");
    script_down('b', EXIT_FAILED); /* however it ends: it was asked to */
    EXPECT("-a");
    script_down('a', EXIT_SHUTDOWN);
    EXPECT("");
    script_assert_ended(SUPERVISOR_END_STOPPED);
    script_end();
}

static void a_failed_first_start_stops_what_runs_and_fails(void **state)
{
    (void)state;
    script_begin(&one);
    script_up("a");
    script_start_fails('b');
    EXPECT("+a+b-a");
    script_down('a', EXIT_SHUTDOWN);
    script_assert_ended(SUPERVISOR_END_START_FAILED);
    script_end();
}

static void a_stop_during_the_start_stops_the_one_that_starts_too(void **state)
{
    (void)state;
    script_begin(&one);
    script_up("a");
    supervisor_stop(script.s, script.now_ns);
    EXPECT("+a+b-b");
    script_up("b"); /* its acknowledgement crossed the order */
    EXPECT("");
    script_down('b', EXIT_SHUTDOWN);
    EXPECT("-a");
    script_down('a', EXIT_SHUTDOWN);
    script_assert_ended(SUPERVISOR_END_STOPPED);
    script_end();
}

/* ---- restart types ---- */

static void restart_types_decide_who_comes_back(void **state)
{
    (void)state;
    script_begin_up(&mixed, "abc");
    script_down('a', EXIT_NORMAL); /* permanent: always */
    EXPECT("+a");
    script_up("a");
    script_down('b', EXIT_NORMAL); /* transient: not after normal */
    EXPECT("");
    script_down('c', EXIT_FAILED); /* temporary: never */
    EXPECT("");
    assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING);
    script_end();
    script_begin_up(&mixed, "abc");
    script_down('b', EXIT_SHUTDOWN);
    EXPECT("");
    script_end();
    script_begin_up(&mixed, "abc");
    script_down('b', EXIT_FAILED); /* transient: after a failure */
    EXPECT("+b");
    script_end();
}

/* ---- strategies ---- */

static void one_for_all_takes_everybody_down_in_reverse(void **state)
{
    (void)state;
    script_begin_up(&all, "abc");
    script_down('b', EXIT_FAILED);
    EXPECT("-c");
    script_down('c', EXIT_SHUTDOWN);
    EXPECT("-a");
    script_down('a', EXIT_SHUTDOWN);
    EXPECT("+a");
    script_up("a");
    EXPECT("+b");
    script_up("b");
    EXPECT("+c");
    script_end();
}

static void rest_for_one_takes_those_after_it(void **state)
{
    (void)state;
    script_begin_up(&rest, "abc");
    script_down('b', EXIT_FAILED);
    EXPECT("-c");
    script_down('c', EXIT_SHUTDOWN);
    EXPECT("+b");
    script_up("b");
    EXPECT("+c");
    script_up("c");
    script_down('c', EXIT_FAILED);
    EXPECT("+c");
    script_end();
}

static void temporary_bystanders_do_not_come_back(void **state)
{
    (void)state;
    script_begin_up(&mixed_rest, "abc");
    script_down('a', EXIT_FAILED);
    EXPECT("-c");
    script_down('c', EXIT_SHUTDOWN);
    EXPECT("-b");
    script_down('b', EXIT_SHUTDOWN);
    EXPECT("+a");
    script_up("a");
    EXPECT("+b"); /* transient, stopped as a bystander: comes back */
    script_up("b");
    EXPECT(""); /* temporary: does not */
    script_end();
}

static void another_child_fails_during_a_restart(void **state)
{
    (void)state;
    script_begin_up(&rest, "abc");
    script_down('b', EXIT_FAILED);
    EXPECT("-c");
    script_down('a', EXIT_FAILED); /* while c is being stopped for b */
    EXPECT("");
    script_down('c', EXIT_SHUTDOWN);
    EXPECT("+a"); /* all from the first on, each once */
    script_up("a");
    EXPECT("+b");
    script_up("b");
    EXPECT("+c");
    script_up("c");
    EXPECT("");
    script_end();
    script_begin_up(&one, "abc");
    script_down('a', EXIT_FAILED);
    script_down('b', EXIT_FAILED); /* a's start hangs; b does not wait for it */
    EXPECT("+a+b");
    script_up("b");
    assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING);
    script_end();
}

/* ---- intensity and backoff ---- */

static void more_than_intensity_in_a_period_escalates(void **state)
{
    (void)state;
    script_begin_up(&one, "abc");
    for (int i = 0; i < 3; i++) {
        script_down('b', EXIT_FAILED);
        script_pass(400);
        EXPECT("+b");
        script_up("b");
    }
    script_down('b', EXIT_FAILED);
    EXPECT("-c");
    script_down('c', EXIT_SHUTDOWN);
    EXPECT("-a");
    script_down('a', EXIT_SHUTDOWN);
    script_assert_ended(SUPERVISOR_END_ESCALATED);
    script_end();
}

static void restarts_outside_the_period_do_not_add_up(void **state)
{
    (void)state;
    script_begin_up(&one, "abc");
    for (int i = 0; i < 50; i++) {
        script_down('b', EXIT_FAILED);
        EXPECT("+b");
        script_up("b");
        script_pass(30000);
    }
    assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING);
    script_end();
}

static void intensity_zero_escalates_at_once(void **state)
{
    (void)state;
    script_begin_up(&never, "abc");
    script_down('a', EXIT_NORMAL);
    EXPECT("-c");
    script_end();
}

static const struct supervisor_spec eager = {.name = "eager",
                                             .strategy = STRATEGY_ONE_FOR_ONE,
                                             .intensity = SUPERVISOR_INTENSITY_MAX,
                                             .period_ms = 1000,
                                             .children = three,
                                             .child_count = 3};

static void backoff_doubles_to_30_s_and_health_resets_it(void **state)
{
    (void)state;
    static const uint32_t halves[] = {0, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 15000, 15000};
    script_begin_up(&eager, "abc");
    for (size_t i = 0; i < ARRAY_LEN(halves); i++) {
        script_down('a', EXIT_FAILED);
        assert_int_equal(script.last_delay_ms, halves[i]);
        if (halves[i] > 0) {
            EXPECT("");
            assert_int_equal(supervisor_wake_at(script.s), script.now_ns + halves[i] * MS_NS);
            script_pass(halves[i] - 1);
            EXPECT("");
            script_pass(1);
        }
        EXPECT("+a");
        script_up("a");
    }
    script_pass(SUPERVISOR_HEALTHY_MS);
    script_down('a', EXIT_FAILED);
    assert_int_equal(script.last_delay_ms, 0);
    script_end();
}

static void a_restart_that_fails_to_start_waits_from_the_first_time_on(void **state)
{
    (void)state;
    script_begin_up(&eager, "abc");
    script_down('a', EXIT_FAILED);
    EXPECT("+a");
    script_start_fails('a');
    EXPECT("");
    assert_int_equal(script.last_delay_ms, 50);
    script_pass(50);
    EXPECT("+a");
    script_end();
}

/* A start that fails again and again: the supervisor still answers, looks after others and stops when asked. */
static void a_hanging_restart_loop_keeps_nobody_from_being_served(void **state)
{
    (void)state;
    script_begin_up(&eager, "abc");
    script_down('a', EXIT_FAILED);
    for (int i = 0; i < 20; i++) {
        script_start_fails('a');
        script_pass(15000);
    }
    script.orders[0] = '\0';
    script_down('b', EXIT_FAILED);
    EXPECT("+b");
    script_up("b");
    supervisor_stop(script.s, script.now_ns);
    EXPECT("-c");
    script_down('c', EXIT_SHUTDOWN);
    script_down('b', EXIT_SHUTDOWN);
    EXPECT("-b-a");
    script_start_fails('a');
    script_assert_ended(SUPERVISOR_END_STOPPED);
    script_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_waits_for_each_acknowledgement_and_stop_goes_backwards),
        cmocka_unit_test(a_failed_first_start_stops_what_runs_and_fails),
        cmocka_unit_test(a_stop_during_the_start_stops_the_one_that_starts_too),
        cmocka_unit_test(restart_types_decide_who_comes_back),
        cmocka_unit_test(one_for_all_takes_everybody_down_in_reverse),
        cmocka_unit_test(rest_for_one_takes_those_after_it),
        cmocka_unit_test(temporary_bystanders_do_not_come_back),
        cmocka_unit_test(another_child_fails_during_a_restart),
        cmocka_unit_test(more_than_intensity_in_a_period_escalates),
        cmocka_unit_test(restarts_outside_the_period_do_not_add_up),
        cmocka_unit_test(intensity_zero_escalates_at_once),
        cmocka_unit_test(backoff_doubles_to_30_s_and_health_resets_it),
        cmocka_unit_test(a_restart_that_fails_to_start_waits_from_the_first_time_on),
        cmocka_unit_test(a_hanging_restart_loop_keeps_nobody_from_being_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
