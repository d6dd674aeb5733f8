/* SPDX-License-Identifier: MIT */
/*
 * OTP's supervisor_SUITE (that of OTP 28), case by case: where each is mirrored, or why it cannot be. By hand in test_supervisor (S),
 * test_supervision_tree (T), test_supervisor_children (C) and here (H); as lives of actors, on inproc and sim, in test_live_supervision (L).
 *
 * sup_start_normal                                    S start_waits_for_each_acknowledgement…, L
 * sup_start_ignore_init                               none: a supervisor is a specification, it has no init
 * sup_start_ignore_child, _temporary_child            C a_child_that_ignores_is_kept_and_down…, L
 * sup_start_ignore_temporary_child_start_child        C an_added_child_that_ignores, L
 * sup_start_ignore_*_start_child_simple               C children_of_a_pattern_come_and_go
 * sup_start_error_return, sup_start_fail              T broken_specifications_are_refused_by_name
 * sup_start_child_returns_error(_simple)              C an_added_child_that_does_not_start_is_not_kept, children_of_a_pattern…, L
 * sup_start_restart_child_returns_error               C an_ordered_start_that_fails_leaves_it_down, L
 * sup_start_map(_simple)                              H what_is_left_out_has_its_default
 * sup_start_map_faulty_specs, child_specs(_map),      H faulty_specifications_are_refused_by_name
 *   sup_flags
 * sup_stop_infinity                                   H a_stop_without_a_bound_is_waited_for
 * sup_stop_timeout(_dynamic)                          H a_stop_that_takes_too_long_is_killed, T …is_stuck_and_the_rest_still_stops, L
 * sup_stop_brutal_kill(_dynamic)                      H a_brutal_stop_kills_at_once; a thread cannot be killed: as a stop
 * sup_stop_race, sup_stop_non_shutdown_exit_dynamic   H children_end_by_themselves_while_all_stop, C children_of_a_pattern…
 * child_adm                                           C a_child_is_stopped_started_and_deleted, L
 * child_adm_simple                                    C children_of_a_pattern_come_and_go
 * extra_return                                        none: a start returns nothing; its admission is child_adm's
 * external_start_no_progress_log                      none: only the supervisor starts, and each start is an event
 * permanent_*, transient_*, temporary_*               S restart_types_decide_who_comes_back, C temporary_children_vanish…, L
 * faulty_application_shutdown                         S a_failed_first_start_stops_what_runs_and_fails, L in test_lives
 * temporary_bystander                                 S temporary_bystanders_do_not_come_back
 * multiple_restarts                                   H restarts_up_to_the_intensity_are_survived
 * one_for_one                                         S another_child_fails_during_a_restart, more_than_intensity…, L
 * one_for_one_escalation, one_for_all_escalation,     H a_child_that_cannot_start_again_ends_its_supervisor, L
 *   rest_for_one_escalation
 * one_for_all                                         S one_for_all_takes_everybody_down_in_reverse, L
 * one_for_all_other_child_fails_restart,              H another_child_fails_in_the_restart_of_all
 *   rest_for_one_other_child_fails_restart
 * simple_one_for_one, _escalation, _restart_ignore    C each_of_a_pattern_restarts_alone_and_all_count
 * simple_one_for_one_shutdown                         C children_of_a_pattern…; one after the other, each within its bound
 * simple_one_for_one_extra                            none: as extra_return
 * simple_one_for_one_corruption                       C many_children_come_and_go: a slot keeps nothing
 * rest_for_one                                        S rest_for_one_takes_those_after_it, L
 * nonsignificant_temporary, nonsignificant_transient  H who_is_not_significant_ends_nobody_else
 * significant_temporary, significant_transient        H the_end_of_a_significant_child, T a_significant_child_takes…, L
 * significant_simple                                  H faulty_specifications…
 * significant_bystander                               H a_significant_bystander_ends_nobody
 * significant_escalation                              H an_auto_shutdown_goes_up
 * significant_upgrade_*                               none: a specification does not change while it runs
 * child_unlink                                        T a_stop_that_takes_too_long…: whose end is never told has its bound
 * tree                                                H added_children_end_with_their_supervisor, T an_inner_supervisor_escalates…
 * count_children, count_restarting_children           C children_of_a_pattern…, everything_answers_while_a_restart_keeps_failing
 * count_children_supervisor                           none: what is added is a worker
 * get_callback_module                                 none: there are no modules
 * do_not_save_start_parameters_for_temporary_children C many_children_come_and_go
 * do_not_save_child_specs_for_temporary_children      C temporary_children_vanish_and_others_are_kept
 * simple_one_for_one_scale_many_temporary_children,   C many_children_come_and_go; the number at once is bounded
 *   scale_start_stop_many_children
 * simple_global_supervisor                            T an_inner_supervisor_escalates_to_its_parent; there are no global names
 * hanging_restart_loop(_simple)                       C everything_answers_while_a_restart_keeps_failing, S a_hanging_restart_loop…, L
 * hanging_restart_loop_rest_for_one                   C those_behind_a_failing_one_wait_and_a_stop_lets_them_go
 * code_change*                                        none: code does not change while it runs
 * order_of_children                                   H the_order_of_children, L
 * format_log_1, format_log_2                          none: an event is a struct; its words: T every_event_and_state_has_a_word
 * already_started_outside_supervisor                  C an_actor_that_another_runs_is_not_started_twice
 * which_children(_simple_one_for_one)                 C a_child_is_stopped_started_and_deleted, children_of_a_pattern…
 *
 * Differences on purpose are in mailbox/supervisor_children.h.
 */
#include "helper_script.h"

#include <string.h>

static const struct child_spec three[] = {WORKER(a, RESTART_PERMANENT), WORKER(b, RESTART_PERMANENT),
                                          WORKER(c, RESTART_PERMANENT)};
SPEC(one, STRATEGY_ONE_FOR_ONE, 4, three);
SPEC(all, STRATEGY_ONE_FOR_ALL, 4, three);
SPEC(rest, STRATEGY_REST_FOR_ONE, 4, three);

/* ---- specifications ---- */

static void what_is_left_out_has_its_default(void **state)
{
    (void)state;
    static const struct child_spec plain[] = {{.id = "a", .start = 1}};
    static const struct supervisor_spec spec = {
        .name = "plain", .period_ms = 1000, .children = plain, .child_count = 1};
    struct child_info info;
    script_begin_up(&spec, "a");
    assert_true(supervisor_child(script.s, supervisor_find(script.s, "a"), &info));
    assert_int_equal(info.restart, RESTART_PERMANENT);
    assert_int_equal(info.type, CHILD_WORKER);
    assert_false(info.significant || info.dynamic);
    assert_true(supervisor_child(script.s, 0, &info));
    assert_string_equal(info.id, "plain");
    assert_int_equal(info.strategy, STRATEGY_ONE_FOR_ONE);
    assert_int_equal(info.intensity, 0);
    assert_int_equal(info.supervisor, CHILD_NONE);
    assert_false(supervisor_child(script.s, supervisor_find(script.s, "x"), &info));
    assert_int_equal(script_terminate("a"), CHILD_OK);
    assert_int_equal(supervisor_wake_at(script.s), script.now_ns + SUPERVISOR_SHUTDOWN_MS * MS_NS);
    script_end();
}

static void expect_refused(const struct supervisor_spec *spec, const char *text)
{
    const struct supervisor_ops ops = {0};
    struct supervisor *s = NULL;
    char why[128] = "";
    assert_int_equal(supervisor_new(spec, &ops, &s, why, sizeof(why)), ERR_INVALID);
    assert_string_equal(why, text);
    assert_null(s);
}

static void expect_child_refused(struct child_spec child, const char *text)
{
    const struct supervisor_spec spec = {.name = "bad", .period_ms = 1, .children = &child, .child_count = 1};
    expect_refused(&spec, text);
}

static void faulty_specifications_are_refused_by_name(void **state)
{
    (void)state;
    struct supervisor_spec spec = {.name = "bad", .period_ms = 1, .strategy = (enum strategy)9};
    expect_refused(&spec, "bad: no such strategy");
    spec = (struct supervisor_spec){.name = "bad", .period_ms = 1, .intensity = SUPERVISOR_INTENSITY_MAX + 1};
    expect_refused(&spec, "bad: no such intensity or period");
    spec = (struct supervisor_spec){.name = "bad", .period_ms = 1, .auto_shutdown = (enum auto_shutdown)7};
    expect_refused(&spec, "bad: no such auto_shutdown");
    spec = (struct supervisor_spec){.name = "bad", .period_ms = 1, .dynamic_max = SUPERVISOR_NODES_MAX};
    expect_refused(&spec, "bad: the tree is too large");
    static const struct child_spec twins[] = {{.id = "t", .start = 1}, {.id = "t", .start = 2}};
    spec = (struct supervisor_spec){.name = "bad", .period_ms = 1, .children = twins, .child_count = 2};
    expect_refused(&spec, "bad: two children are called t");
    spec.strategy = STRATEGY_SIMPLE_ONE_FOR_ONE;
    spec.dynamic_max = 2;
    expect_refused(&spec, "bad: simple_one_for_one has one worker as pattern, and room");
    spec.child_count = 0;
    expect_refused(&spec, "bad: simple_one_for_one has one worker as pattern, and room");
    spec.child_count = 1;
    spec.auto_shutdown = AUTO_SHUTDOWN_ANY_SIGNIFICANT;
    expect_refused(&spec, "bad: simple_one_for_one has no auto_shutdown");
    expect_child_refused((struct child_spec){.start = 1}, "bad: a child has no id");
    expect_child_refused((struct child_spec){.id = "", .start = 1}, "bad: a child has no id");
    expect_child_refused((struct child_spec){.id = "c", .start = 1, .restart = (enum restart)5},
                         "bad: child c has no such type or restart");
    expect_child_refused((struct child_spec){.id = "c", .start = 1, .type = (enum child_type)5},
                         "bad: child c has no such type or restart");
    expect_child_refused((struct child_spec){.id = "c", .type = CHILD_SUPERVISOR}, "bad: child c has nothing to start");
}

/* Each pair of auto_shutdown, restart and significance: allowed or not when the specification is read. */
static void significance_is_checked_when_it_is_read(void **state)
{
    (void)state;
    const struct supervisor_ops ops = {0};
    for (unsigned i = 0; i < 3 * 3 * 2; i++) {
        const struct child_spec child = {
            .id = "c", .start = 1, .restart = (enum restart)(i % 3), .significant = i % 2 == 0};
        const struct supervisor_spec spec = {.name = "s",
                                             .period_ms = 1,
                                             .auto_shutdown = (enum auto_shutdown)(i / 6),
                                             .children = &child,
                                             .child_count = 1};
        bool bad =
            child.significant && (spec.auto_shutdown == AUTO_SHUTDOWN_NEVER || child.restart == RESTART_PERMANENT);
        struct supervisor *s = NULL;
        char why[128];
        assert_int_equal(supervisor_new(&spec, &ops, &s, why, sizeof(why)), bad ? ERR_INVALID : ERR_OK);
        supervisor_free(s);
    }
}

/* ---- stops ---- */

static void a_stop_without_a_bound_is_waited_for(void **state)
{
    (void)state;
    static const struct child_spec list[] = {
        {.id = "a", .start = 1, .shutdown_ms = SUPERVISOR_SHUTDOWN_INFINITY},
    };
    SPEC(endless, STRATEGY_ONE_FOR_ONE, 2, list);
    script_begin_up(&endless, "a");
    supervisor_stop(script.s, script.now_ns);
    assert_int_equal(supervisor_wake_at(script.s), UINT64_MAX);
    script_pass(UINT64_C(1000) * 3600 * 1000);
    EXPECT("-a");
    script_down('a', EXIT_SHUTDOWN);
    script_assert_ended(SUPERVISOR_END_STOPPED);
    script_end();
}

static const struct child_spec bounds[] = {
    {.id = "a", .start = 1, .shutdown_ms = 1000},
    {.id = "b", .start = 2, .shutdown_ms = 1000},
    {.id = "c", .start = 3, .shutdown_ms = SUPERVISOR_SHUTDOWN_BRUTAL},
};
SPEC(bounded, STRATEGY_ONE_FOR_ONE, 4, bounds);

static void a_stop_that_takes_too_long_is_killed(void **state)
{
    (void)state;
    script_can_kill();
    script_begin_up(&bounded, "abc");
    assert_int_equal(script_terminate("b"), CHILD_OK);
    script_pass(999);
    EXPECT("-b");
    script_pass(1);
    EXPECT("!b");
    assert_string_equal(script_children("bounded"), "a:running b:stopping c:running");
    script_down('b', EXIT_KILLED);
    EXPECT("=b"); /* and nobody else is the worse for it */
    assert_int_equal(script_restart("b"), CHILD_OK);
    script_up("b");
    EXPECT("+b");
    script_end();
}

static void a_brutal_stop_kills_at_once(void **state)
{
    (void)state;
    script_can_kill();
    script_begin_up(&bounded, "abc");
    supervisor_stop(script.s, script.now_ns);
    EXPECT("!c");
    script_down('c', EXIT_KILLED);
    EXPECT("-b");
    script_down('b', EXIT_SHUTDOWN);
    script_down('a', EXIT_SHUTDOWN);
    script_assert_ended(SUPERVISOR_END_STOPPED);
    script_end();
    script_begin_up(&bounded, "abc"); /* threads */
    supervisor_stop(script.s, script.now_ns);
    EXPECT("-c");
    script_pass(SUPERVISOR_SHUTDOWN_MS);
    EXPECT("!c-b");
    script_end();
}

/* Where a carrier can be killed, a hang is a failure like others. */
static void one_that_hangs_is_killed_and_restarted(void **state)
{
    (void)state;
    script_can_kill();
    script_begin_up(&one, "abc");
    supervisor_abandon(script.s, script.now_ns, script_id('b'));
    EXPECT("!b");
    supervisor_abandon(script.s, script.now_ns, script_id('b')); /* told again before it is dead */
    EXPECT("");
    script_down('b', EXIT_KILLED);
    EXPECT("+b");
    script_pass(SUPERVISOR_START_MS); /* now its start hangs */
    EXPECT("!b");
    script_down('b', EXIT_KILLED);
    EXPECT("");
    assert_string_equal(script_children("one"), "a:running b:restarting c:running");
    script_pass(50);
    EXPECT("+b");
    script_up("b");
    supervisor_abandon(script.s, script.now_ns, script_id('b'));
    script_pass(SUPERVISOR_KILL_MS); /* not even that helps: now the process has to end */
    EXPECT("!b-c");
    script_down('c', EXIT_SHUTDOWN);
    script_down('a', EXIT_SHUTDOWN);
    EXPECT("-a");
    script_assert_ended(SUPERVISOR_END_STUCK);
    script_end();
}

static void an_end_during_the_start_is_a_start_that_failed(void **state)
{
    (void)state;
    script_begin(&one);
    script_up("a");
    script_down('b', EXIT_KILLED);
    EXPECT("+a+b-a");
    script_down('a', EXIT_SHUTDOWN);
    script_assert_ended(SUPERVISOR_END_START_FAILED);
    script_end();
}

static void children_end_by_themselves_while_all_stop(void **state)
{
    (void)state;
    static const enum exit_reason reasons[] = {EXIT_NORMAL, EXIT_SHUTDOWN, EXIT_FAILED};
    for (size_t i = 0; i < ARRAY_LEN(reasons) * 3; i++) {
        const struct child_spec list[] = {WORKER(a, RESTART_PERMANENT),
                                          {.id = "b", .start = 2, .restart = (enum restart)(i % 3)},
                                          WORKER(c, RESTART_PERMANENT)};
        const struct supervisor_spec spec = {.name = "race", .period_ms = 1000, .children = list, .child_count = 3};
        script_begin_up(&spec, "abc");
        supervisor_stop(script.s, script.now_ns);
        script_down('b', reasons[i / 3]); /* before its turn */
        EXPECT("-c");
        script_down('c', EXIT_SHUTDOWN);
        EXPECT("-a");
        script_down('a', EXIT_SHUTDOWN);
        script_assert_ended(SUPERVISOR_END_STOPPED);
        script_end();
    }
}

static void the_order_of_children(void **state)
{
    (void)state;
    static const struct child_spec mixed[] = {WORKER(d, RESTART_PERMANENT), WORKER(b, RESTART_PERMANENT),
                                              WORKER(e, RESTART_PERMANENT), WORKER(a, RESTART_PERMANENT),
                                              WORKER(c, RESTART_PERMANENT)};
    SPEC(order, STRATEGY_REST_FOR_ONE, 2, mixed);
    script_begin(&order);
    script_up("dbeac");
    EXPECT("+d+b+e+a+c");
    script_down('e', EXIT_FAILED);
    script_down('c', EXIT_SHUTDOWN);
    script_down('a', EXIT_SHUTDOWN);
    script_up("eac");
    EXPECT("-c-a+e+a+c");
    supervisor_stop(script.s, script.now_ns);
    for (const char *letter = "caebd"; *letter != '\0'; letter++)
        script_down(*letter, EXIT_SHUTDOWN);
    EXPECT("-c-a-e-b-d");
    script_assert_ended(SUPERVISOR_END_STOPPED);
    script_end();
}

/* ---- intensity and escalation ---- */

static void restarts_up_to_the_intensity_are_survived(void **state)
{
    (void)state;
    static const struct supervisor_spec careful = {
        .name = "careful", .intensity = 1, .period_ms = 1000, .children = three, .child_count = 3};
    script_begin_up(&careful, "abc");
    for (int i = 0; i < 5; i++) {
        script_down('a', EXIT_FAILED);
        script_pass(1000); /* one that is as old as the period does not count any more */
        script_up("a");
    }
    script.orders[0] = '\0';
    script_down('b', EXIT_FAILED);
    script_pass(999);
    script_down('a', EXIT_FAILED); /* whoever it is: the supervisor counts */
    EXPECT("+b-c");
    script_end();
    static const struct supervisor_spec most = {.name = "most",
                                                .intensity = SUPERVISOR_INTENSITY_MAX,
                                                .period_ms = UINT32_MAX,
                                                .children = three,
                                                .child_count = 3};
    script_begin_up(&most, "abc");
    for (int i = 0; i < SUPERVISOR_INTENSITY_MAX; i++) {
        script_down('a', EXIT_FAILED);
        script_up("a");
        script_pass(SUPERVISOR_HEALTHY_MS);
        script.orders[0] = '\0';
    }
    assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING);
    script_down('a', EXIT_FAILED);
    EXPECT("-c");
    script_end();
}

static void a_child_that_cannot_start_again_ends_its_supervisor(void **state)
{
    (void)state;
    static const struct supervisor_spec *const specs[] = {&one, &all, &rest};
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        script_begin_up(specs[i], "abc");
        script_down('a', EXIT_FAILED);
        if (i > 0) {
            script_down('c', EXIT_SHUTDOWN);
            script_down('b', EXIT_SHUTDOWN);
        }
        for (int tries = 0; tries < 4; tries++) {
            assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING);
            script_start_fails('a');
            script_pass(400);
        }
        assert_int_equal(supervisor_state(script.s), i == 0 ? SUPERVISOR_STOPPING : SUPERVISOR_ENDED);
        script_down('c', EXIT_SHUTDOWN);
        script_down('b', EXIT_SHUTDOWN);
        script_assert_ended(SUPERVISOR_END_ESCALATED);
        script_end();
    }
}

static void another_child_fails_in_the_restart_of_all(void **state)
{
    (void)state;
    static const struct child_spec two[] = {WORKER(a, RESTART_PERMANENT), WORKER(b, RESTART_PERMANENT)};
    SPEC(both, STRATEGY_ONE_FOR_ALL, 3, two);
    SPEC(after, STRATEGY_REST_FOR_ONE, 3, two);
    script_begin_up(&both, "ab");
    script_down('a', EXIT_FAILED);
    script_down('b', EXIT_SHUTDOWN);
    script_up("a");
    EXPECT("-b+a+b");
    script_start_fails('b');
    EXPECT("-a"); /* the one that had been restarted goes again */
    script_down('a', EXIT_SHUTDOWN);
    EXPECT("+a");
    script_up("a");
    script_pass(50);
    EXPECT("+b");
    script_up("b");
    script_end();
    script_begin_up(&after, "ab");
    script_down('a', EXIT_FAILED);
    script_down('b', EXIT_SHUTDOWN);
    script_up("a");
    script_start_fails('b');
    EXPECT("-b+a+b"); /* a stays */
    script_pass(50);
    EXPECT("+b");
    script_end();
}

/* ---- significant children ---- */

/* a and b of this type, significant or not, then c; b is there so that one significant child is left. */
static void begin_significant(enum auto_shutdown how, enum strategy strategy, enum restart restart, bool significant)
{
    static struct child_spec list[3];
    static struct supervisor_spec spec;
    list[0] = (struct child_spec){.id = "a", .start = 1, .restart = restart, .significant = significant};
    list[1] = (struct child_spec){.id = "b", .start = 2, .restart = restart, .significant = significant};
    list[2] = (struct child_spec){.id = "c", .start = 3, .restart = RESTART_TRANSIENT};
    spec = (struct supervisor_spec){.name = "auto",
                                    .strategy = strategy,
                                    .intensity = 5,
                                    .period_ms = 5000,
                                    .auto_shutdown = how,
                                    .children = list,
                                    .child_count = 3};
    script_begin_up(&spec, "abc");
}

static void who_is_not_significant_ends_nobody_else(void **state)
{
    (void)state;
    static const enum exit_reason reasons[] = {EXIT_NORMAL, EXIT_SHUTDOWN, EXIT_FAILED, EXIT_KILLED};
    for (unsigned i = 0; i < 3 * 2 * ARRAY_LEN(reasons); i++) {
        enum restart restart = i % 2 == 0 ? RESTART_TEMPORARY : RESTART_TRANSIENT;
        begin_significant((enum auto_shutdown)(i / 2 % 3), STRATEGY_ONE_FOR_ONE, restart, false);
        enum exit_reason reason = reasons[i / 6];
        script_down('a', reason);
        bool back = restart == RESTART_TRANSIENT && (reason == EXIT_FAILED || reason == EXIT_KILLED);
        EXPECT(back ? "+a" : "");
        assert_int_equal(script_terminate("b"), CHILD_OK);
        script_down('b', EXIT_SHUTDOWN);
        assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING);
        script_end();
    }
}

static void the_end_of_a_significant_child(void **state)
{
    (void)state;
    static const enum exit_reason reasons[] = {EXIT_NORMAL, EXIT_SHUTDOWN, EXIT_FAILED, EXIT_KILLED};
    for (unsigned i = 0; i < 2 * 2 * ARRAY_LEN(reasons); i++) {
        enum restart restart = i % 2 == 0 ? RESTART_TEMPORARY : RESTART_TRANSIENT;
        bool any = i / 2 % 2 == 0;
        enum exit_reason reason = reasons[i / 4];
        begin_significant(any ? AUTO_SHUTDOWN_ANY_SIGNIFICANT : AUTO_SHUTDOWN_ALL_SIGNIFICANT, STRATEGY_ONE_FOR_ONE,
                          restart, true);
        script_down('a', reason);
        if (restart == RESTART_TRANSIENT && (reason == EXIT_FAILED || reason == EXIT_KILLED)) {
            EXPECT("+a"); /* it comes back: nothing has ended */
        } else if (any) {
            EXPECT("-c"); /* and all others */
        } else {
            EXPECT("");
            script_down('b', EXIT_NORMAL); /* the last significant one */
            EXPECT("-c");
        }
        script_end();
    }
    begin_significant(AUTO_SHUTDOWN_ANY_SIGNIFICANT, STRATEGY_ONE_FOR_ONE, RESTART_TRANSIENT, true);
    assert_int_equal(script_terminate("a"), CHILD_OK); /* as ordered: no end of its own */
    script_down('a', EXIT_SHUTDOWN);
    EXPECT("-a=a");
    assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING);
    script_end();
}

static void a_significant_bystander_ends_nobody(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3 * 2 * 2; i++) {
        begin_significant(i % 2 == 0 ? AUTO_SHUTDOWN_ANY_SIGNIFICANT : AUTO_SHUTDOWN_ALL_SIGNIFICANT,
                          (enum strategy)(i / 2 % 3), i / 6 == 0 ? RESTART_TRANSIENT : RESTART_TEMPORARY, true);
        script_down('c', EXIT_FAILED); /* of one_for_all: a and b go with it */
        script_down('b', EXIT_SHUTDOWN);
        script_down('a', EXIT_SHUTDOWN);
        if ((enum strategy)(i / 2 % 3) == STRATEGY_ONE_FOR_ALL)
            assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING);
        script_end();
    }
}

static void an_auto_shutdown_goes_up(void **state)
{
    (void)state;
    static const struct child_spec leaf[] = {
        {.id = "b", .start = 2, .restart = RESTART_TRANSIENT, .significant = true},
    };
    static const struct supervisor_spec lower = {.name = "lower",
                                                 .period_ms = 1000,
                                                 .auto_shutdown = AUTO_SHUTDOWN_ANY_SIGNIFICANT,
                                                 .children = leaf,
                                                 .child_count = 1};
    for (int i = 0; i < 2; i++) {
        const struct child_spec list[] = {
            WORKER(a, RESTART_PERMANENT),
            {.id = "lower",
             .type = CHILD_SUPERVISOR,
             .tree = &lower,
             .restart = RESTART_TRANSIENT,
             .significant = i == 0},
        };
        const struct supervisor_spec upper = {.name = "upper",
                                              .period_ms = 1000,
                                              .auto_shutdown = AUTO_SHUTDOWN_ANY_SIGNIFICANT,
                                              .children = list,
                                              .child_count = 2};
        script_begin_up(&upper, "ab");
        script_down('b', EXIT_NORMAL);
        EXPECT(i == 0 ? "-a" : "");
        assert_string_equal(script_children("upper"), i == 0 ? "a:stopping lower:ended" : "a:running lower:ended");
        script_end();
    }
}

/* ---- trees ---- */

static const struct child_spec inner_list[] = {WORKER(b, RESTART_PERMANENT)};
static const struct supervisor_spec inner = {.name = "inner",
                                             .strategy = STRATEGY_ONE_FOR_ONE,
                                             .intensity = 0,
                                             .period_ms = 5000,
                                             .children = inner_list,
                                             .child_count = 1,
                                             .dynamic_max = 2};
static const struct child_spec outer_list[] = {WORKER(a, RESTART_PERMANENT),
                                               {.id = "inner", .type = CHILD_SUPERVISOR, .tree = &inner}};
SPEC(outer, STRATEGY_ONE_FOR_ALL, 4, outer_list);

static void added_children_end_with_their_supervisor(void **state)
{
    (void)state;
    script_begin_up(&outer, "ab");
    assert_int_equal(script_add("inner", 'c', RESTART_PERMANENT), CHILD_OK);
    script_up("c");
    assert_string_equal(script_children("inner"), "b:running c:running");
    script_assert_counts("outer", 2, 2, 1, 1);
    EXPECT("+c");
    script_down('b', EXIT_FAILED); /* more than inner bears */
    script_down('c', EXIT_SHUTDOWN);
    script_down('a', EXIT_SHUTDOWN);
    EXPECT("-c-a+a");
    assert_string_equal(script_children("inner"), "b:waiting"); /* c was of its life */
    assert_int_equal(script_add("inner", 'd', RESTART_PERMANENT), CHILD_SUPERVISOR_ENDED);
    script_up("ab");
    EXPECT("+b");
    assert_string_equal(script_children("inner"), "b:running");
    assert_int_equal(script_add("inner", 'c', RESTART_PERMANENT), CHILD_OK);
    script_end();
}

static void a_supervisor_is_stopped_and_started_like_a_worker(void **state)
{
    (void)state;
    script_begin_up(&outer, "ab");
    assert_int_equal(script_terminate("inner"), CHILD_OK);
    EXPECT("-b");
    script_down('b', EXIT_SHUTDOWN);
    EXPECT("");
    assert_string_equal(script_children("outer"), "a:running inner:stopped");
    assert_int_equal(script_restart("b"), CHILD_SUPERVISOR_ENDED);
    assert_int_equal(script_cycle("b"), CHILD_SUPERVISOR_ENDED);
    script_down('a', EXIT_FAILED);
    EXPECT("+a"); /* one_for_all: inner stays down */
    script_up("a");
    assert_int_equal(script_restart("inner"), CHILD_OK);
    EXPECT("+b");
    script_start_fails('b');
    assert_string_equal(script_children("outer"), "a:running inner:stopped"); /* the answer, not a failure */
    assert_int_equal(script_restart("inner"), CHILD_OK);
    script_up("b");
    EXPECT("+b");
    assert_int_equal(script_terminate("b"), CHILD_OK);
    script_down('b', EXIT_SHUTDOWN);
    assert_int_equal(script_cycle("inner"), CHILD_OK); /* one_for_all takes a along */
    script_down('a', EXIT_SHUTDOWN);
    script_up("a");
    EXPECT("-b=b-a+a");
    assert_string_equal(script_children("inner"), "b:stopped"); /* held over its supervisor's restart */
    assert_int_equal(script_restart("b"), CHILD_OK);
    EXPECT("+b");
    script_up("b");
    assert_int_equal(script_terminate("inner"), CHILD_OK);
    script_down('b', EXIT_SHUTDOWN);
    assert_int_equal(script_delete("inner"), CHILD_OK);
    assert_string_equal(script_children("outer"), "a:running");
    assert_int_equal(supervisor_find(script.s, "b"), CHILD_NONE);
    script_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_has_its_default),
        cmocka_unit_test(faulty_specifications_are_refused_by_name),
        cmocka_unit_test(significance_is_checked_when_it_is_read),
        cmocka_unit_test(a_stop_without_a_bound_is_waited_for),
        cmocka_unit_test(a_stop_that_takes_too_long_is_killed),
        cmocka_unit_test(a_brutal_stop_kills_at_once),
        cmocka_unit_test(one_that_hangs_is_killed_and_restarted),
        cmocka_unit_test(an_end_during_the_start_is_a_start_that_failed),
        cmocka_unit_test(children_end_by_themselves_while_all_stop),
        cmocka_unit_test(the_order_of_children),
        cmocka_unit_test(restarts_up_to_the_intensity_are_survived),
        cmocka_unit_test(a_child_that_cannot_start_again_ends_its_supervisor),
        cmocka_unit_test(another_child_fails_in_the_restart_of_all),
        cmocka_unit_test(who_is_not_significant_ends_nobody_else),
        cmocka_unit_test(the_end_of_a_significant_child),
        cmocka_unit_test(a_significant_bystander_ends_nobody),
        cmocka_unit_test(an_auto_shutdown_goes_up),
        cmocka_unit_test(added_children_end_with_their_supervisor),
        cmocka_unit_test(a_supervisor_is_stopped_and_started_like_a_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
