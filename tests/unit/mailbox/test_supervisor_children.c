/* SPDX-License-Identifier: MIT */
/*
 * Single children by hand, after OTP's supervisor_SUITE (the table is in test_supervisor_suite.c): which_children and count_children,
 * terminate, restart, delete, add; starts that ignore; simple_one_for_one; all of it while a restart fails again and again.
 */
#include "helper_script.h"

#include <string.h>

static const struct child_spec three[] = {WORKER(a, RESTART_PERMANENT), WORKER(b, RESTART_PERMANENT),
                                          WORKER(c, RESTART_PERMANENT)};
static const struct child_spec kinds[] = {WORKER(a, RESTART_PERMANENT), WORKER(b, RESTART_TRANSIENT),
                                          WORKER(c, RESTART_TEMPORARY)};
SPEC(one, STRATEGY_ONE_FOR_ONE, 8, three);
SPEC(all, STRATEGY_ONE_FOR_ALL, 8, three);
SPEC(rest, STRATEGY_REST_FOR_ONE, 8, three);
SPEC(mixed, STRATEGY_ONE_FOR_ONE, 8, kinds);

#define OPEN(spec_name, how)                                                                                           \
    static const struct supervisor_spec spec_name = {.name = #spec_name,                                               \
                                                     .strategy = how,                                                  \
                                                     .intensity = 8,                                                   \
                                                     .period_ms = 10000,                                               \
                                                     .children = three,                                                \
                                                     .child_count = 1,                                                 \
                                                     .dynamic_max = 3}
OPEN(open_one, STRATEGY_ONE_FOR_ONE);
OPEN(open_rest, STRATEGY_REST_FOR_ONE);

/* ---- stop, start, delete ---- */

static void a_child_is_stopped_started_and_deleted(void **state)
{
    (void)state;
    script_begin_up(&one, "abc");
    assert_string_equal(script_children("one"), "a:running b:running c:running");
    script_assert_counts("one", 3, 3, 0, 3);
    assert_int_equal(script_terminate("nobody"), CHILD_NOT_FOUND);
    assert_int_equal(script_restart("nobody"), CHILD_NOT_FOUND);
    assert_int_equal(script_delete("nobody"), CHILD_NOT_FOUND);
    assert_int_equal(script_restart("b"), CHILD_RUNNING);
    assert_int_equal(script_delete("b"), CHILD_RUNNING);
    EXPECT("");
    assert_int_equal(script_terminate("b"), CHILD_OK);
    EXPECT("-b");
    assert_string_equal(script_children("one"), "a:running b:stopping c:running");
    script_down('b', EXIT_FAILED); /* however it ends: it was told to */
    EXPECT("=b");
    script_pass(60000);
    EXPECT("");
    assert_string_equal(script_children("one"), "a:running b:stopped c:running");
    script_assert_counts("one", 3, 2, 0, 3);
    assert_int_equal(script_terminate("b"), CHILD_OK); /* once more: nothing to do */
    EXPECT("");
    assert_int_equal(script_restart("b"), CHILD_OK);
    EXPECT("+b");
    script_up("b");
    assert_int_equal(script.restarts, 0); /* none of it was a failure */
    assert_int_equal(script_terminate("b"), CHILD_OK);
    script_down('b', EXIT_SHUTDOWN);
    assert_int_equal(script_delete("b"), CHILD_OK);
    assert_int_equal(script_restart("b"), CHILD_NOT_FOUND);
    assert_string_equal(script_children("one"), "a:running c:running");
    script_assert_counts("one", 2, 2, 0, 2);
    script_end();
}

static void the_root_is_not_a_child(void **state)
{
    (void)state;
    script_begin_up(&one, "abc");
    assert_int_equal(script_terminate("one"), CHILD_IS_ROOT);
    assert_int_equal(script_restart("one"), CHILD_IS_ROOT);
    assert_int_equal(script_cycle("one"), CHILD_IS_ROOT);
    assert_int_equal(script_delete("one"), CHILD_IS_ROOT);
    EXPECT("");
    script_end();
}

static void an_ordered_start_that_fails_leaves_it_down(void **state)
{
    (void)state;
    script_begin_up(&one, "abc");
    assert_int_equal(script_terminate("b"), CHILD_OK);
    script_down('b', EXIT_SHUTDOWN);
    for (int i = 0; i < 20; i++) { /* it is not a restart: no intensity, no second try */
        assert_int_equal(script_restart("b"), CHILD_OK);
        script_start_fails('b');
        assert_string_equal(script_children("one"), "a:running b:stopped c:running");
        script_pass(60);
    }
    script.orders[0] = '\0';
    script_pass(60000);
    EXPECT("");
    assert_int_equal(script_restart("b"), CHILD_OK);
    script_up("b");
    script_down('b', EXIT_FAILED); /* from now on as ever */
    EXPECT("+b+b");
    script_end();
}

static void a_stop_holds_over_the_restarts_of_others(void **state)
{
    (void)state;
    script_begin_up(&all, "abc");
    assert_int_equal(script_terminate("b"), CHILD_OK);
    script_down('b', EXIT_SHUTDOWN);
    EXPECT("-b=b");
    script_down('a', EXIT_FAILED);
    EXPECT("-c");
    script_down('c', EXIT_SHUTDOWN);
    EXPECT("+a");
    script_up("a");
    EXPECT("+c");
    script_up("c");
    assert_string_equal(script_children("all"), "a:running b:stopped c:running");
    script_end();
}

static void one_that_ended_in_peace_begins_anew_with_the_others(void **state)
{
    (void)state;
    static const struct child_spec list[] = {WORKER(a, RESTART_PERMANENT), WORKER(b, RESTART_TRANSIENT)};
    SPEC(pair, STRATEGY_ONE_FOR_ALL, 8, list);
    script_begin_up(&pair, "ab");
    script_down('b', EXIT_NORMAL);
    assert_string_equal(script_children("pair"), "a:running b:ended");
    script_down('a', EXIT_FAILED);
    script_up("a");
    EXPECT("+a+b");
    script_end();
}

static void a_stop_crosses_a_failure(void **state)
{
    (void)state;
    script_begin_up(&one, "abc");
    assert_int_equal(script_terminate("b"), CHILD_OK);
    script_down('b', EXIT_FAILED);
    script_down('b', EXIT_FAILED); /* told twice: ignored */
    EXPECT("-b=b");
    assert_int_equal(script_terminate("a"), CHILD_OK);
    assert_int_equal(script_restart("a"), CHILD_OK); /* before it is down */
    EXPECT("-a");
    script_down('a', EXIT_SHUTDOWN);
    EXPECT("+a");
    script_end();
    script_begin_up(&rest, "abc");
    assert_int_equal(script_cycle("a"), CHILD_OK);
    assert_int_equal(script_terminate("b"), CHILD_OK);
    script_down('b', EXIT_FAILED); /* before its turn: it was told to, all the same */
    EXPECT("-c");
    assert_int_equal(script.restarts, 1); /* that of a, as ordered */
    script_down('c', EXIT_SHUTDOWN);
    script_down('a', EXIT_SHUTDOWN);
    script_up("a");
    EXPECT("=b-a+a+c");
    script_end();
}

static void a_restart_takes_along_whom_the_strategy_says_and_counts_nothing(void **state)
{
    (void)state;
    script_begin_up(&rest, "abc");
    for (int i = 0; i < 20; i++) {
        assert_int_equal(script_cycle("b"), CHILD_OK);
        EXPECT("-c");
        script_down('c', EXIT_SHUTDOWN);
        EXPECT("-b");
        script_down('b', EXIT_SHUTDOWN);
        EXPECT("+b");
        script_up("b");
        EXPECT("+c");
        script_up("c");
    }
    assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING);
    assert_int_equal(script_terminate("b"), CHILD_OK);
    script_down('b', EXIT_SHUTDOWN);
    EXPECT("-b=b"); /* only it */
    assert_int_equal(script_cycle("b"), CHILD_OK);
    EXPECT("+b");
    script_end();
}

/* ---- restart types and their memory ---- */

static void temporary_children_vanish_and_others_are_kept(void **state)
{
    (void)state;
    script_begin_up(&mixed, "abc");
    script_down('c', EXIT_NORMAL);
    assert_string_equal(script_children("mixed"), "a:running b:running");
    script_down('b', EXIT_SHUTDOWN);
    assert_string_equal(script_children("mixed"), "a:running b:ended");
    assert_int_equal(script_restart("b"), CHILD_OK);
    script_up("b");
    script_down('b', EXIT_NORMAL);
    assert_int_equal(script_delete("b"), CHILD_OK);
    assert_string_equal(script_children("mixed"), "a:running");
    script_end();
    script_begin_up(&mixed, "abc");
    assert_int_equal(script_terminate("c"), CHILD_OK);
    assert_int_equal(script_terminate("a"), CHILD_OK);
    script_down('c', EXIT_SHUTDOWN);
    script_down('a', EXIT_SHUTDOWN);
    assert_string_equal(script_children("mixed"), "a:stopped b:running");
    assert_int_equal(script_restart("c"), CHILD_NOT_FOUND);
    script_end();
}

static void children_are_added_within_a_bound_behind_all_others(void **state)
{
    (void)state;
    script_begin_up(&open_rest, "a");
    assert_int_equal(script_add("open_rest", 'd', RESTART_PERMANENT), CHILD_OK);
    EXPECT("+d");
    assert_int_equal(script_add("open_rest", 'd', RESTART_PERMANENT), CHILD_ALREADY_STARTED);
    script_up("d");
    assert_int_equal(script_add("open_rest", 'b', RESTART_TEMPORARY), CHILD_OK);
    script_up("b");
    assert_int_equal(script_add("open_rest", 'c', RESTART_PERMANENT), CHILD_OK);
    script_up("c");
    EXPECT("+b+c");
    assert_int_equal(script_add("open_rest", 'e', RESTART_PERMANENT), CHILD_NO_ROOM);
    assert_string_equal(script_children("open_rest"), "a:running d:running b:running c:running");
    script_down('b', EXIT_NORMAL); /* gone, and its room free: those behind it move up */
    assert_int_equal(script_add("open_rest", 'e', RESTART_PERMANENT), CHILD_OK);
    script_up("e");
    EXPECT("+e");
    assert_string_equal(script_children("open_rest"), "a:running d:running c:running e:running");
    script_down('c', EXIT_FAILED); /* rest_for_one goes by that order */
    EXPECT("-e");
    script_down('e', EXIT_SHUTDOWN);
    script_up("ce");
    EXPECT("+c+e");
    assert_int_equal(script_terminate("c"), CHILD_OK);
    script_down('c', EXIT_SHUTDOWN);
    assert_int_equal(script_add("open_rest", 'c', RESTART_PERMANENT), CHILD_ALREADY_PRESENT);
    script_end();
}

static void an_added_child_that_does_not_start_is_not_kept(void **state)
{
    (void)state;
    script_begin_up(&open_one, "a");
    for (int i = 0; i < 20; i++) {
        assert_int_equal(script_add("open_one", 'b', RESTART_PERMANENT), CHILD_OK);
        script_start_fails('b');
        assert_string_equal(script_children("open_one"), "a:running");
    }
    assert_int_equal(script.restarts, 0);
    assert_int_equal(script_add("a", 'b', RESTART_PERMANENT), CHILD_NOT_FOUND); /* a worker has no children */
    const struct child_spec bad = {.id = "x", .start = 2, .significant = true};
    const struct child_spec tree = {.id = "x", .type = CHILD_SUPERVISOR, .tree = &one};
    child_index child;
    char why[64];
    assert_int_equal(supervisor_start_child(script.s, script.now_ns, 0, &bad, &child, why, sizeof(why)), CHILD_INVALID);
    assert_string_equal(why, "open_one: child x cannot be significant");
    assert_int_equal(supervisor_start_child(script.s, script.now_ns, 0, &tree, &child, why, sizeof(why)),
                     CHILD_INVALID);
    assert_int_equal(supervisor_start_child(script.s, script.now_ns, 0, NULL, &child, why, sizeof(why)), CHILD_INVALID);
    script_end();
}

static void an_actor_that_another_runs_is_not_started_twice(void **state)
{
    (void)state;
    script_begin_up(&open_one, "a");
    const struct child_spec other = {.id = "other", .start = 1};
    child_index child;
    assert_int_equal(supervisor_start_child(script.s, script.now_ns, 0, &other, &child, NULL, 0),
                     CHILD_ALREADY_STARTED);
    EXPECT("");
    script_end();
}

/* 100,000 in the room of three: nothing of them is left. */
static void many_children_come_and_go(void **state)
{
    (void)state;
    script_begin_up(&open_one, "a");
    for (int i = 0; i < 100000; i++) {
        char letter = (char)('b' + i % 3);
        assert_int_equal(script_add("open_one", letter, i % 2 == 0 ? RESTART_TEMPORARY : RESTART_PERMANENT), CHILD_OK);
        script_up((const char[]){letter, '\0'});
        const char id[] = {letter, '\0'};
        assert_int_equal(script_terminate(id), CHILD_OK);
        script_down(letter, EXIT_SHUTDOWN);
        assert_int_equal(script_delete(id), i % 2 == 0 ? CHILD_NOT_FOUND : CHILD_OK);
        script.orders[0] = '\0';
    }
    assert_string_equal(script_children("open_one"), "a:running");
    script_end();
}

/* ---- starts that ignore ---- */

static void a_child_that_ignores_is_kept_and_down_a_temporary_one_vanishes(void **state)
{
    (void)state;
    script_begin(&mixed);
    script_ignores('a');
    EXPECT("+a~a+b"); /* the next is started */
    script_up("b");
    script_ignores('c');
    assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING);
    assert_string_equal(script_children("mixed"), "a:ended b:running");
    script_assert_counts("mixed", 2, 1, 0, 2);
    script_pass(60000);
    EXPECT("+c~c");
    assert_int_equal(script_restart("a"), CHILD_OK);
    script_up("a");
    EXPECT("+a");
    script_down('a', EXIT_FAILED);
    script_ignores('a'); /* as a restart: it stays down, and no failure follows */
    EXPECT("+a~a");
    script_pass(60000);
    EXPECT("");
    assert_int_equal(script.restarts, 1);
    supervisor_stop(script.s, script.now_ns);
    EXPECT("-b");
    script_down('b', EXIT_SHUTDOWN);
    script_assert_ended(SUPERVISOR_END_STOPPED);
    script_end();
}

static void an_added_child_that_ignores(void **state)
{
    (void)state;
    script_begin_up(&open_one, "a");
    assert_int_equal(script_add("open_one", 'b', RESTART_PERMANENT), CHILD_OK);
    script_ignores('b');
    assert_int_equal(script_add("open_one", 'c', RESTART_TEMPORARY), CHILD_OK);
    script_ignores('c');
    assert_string_equal(script_children("open_one"), "a:running b:ended");
    script_assert_counts("open_one", 2, 1, 0, 2);
    script_end();
}

/* ---- simple_one_for_one ---- */

static const struct child_spec pattern[] = {WORKER(b, RESTART_PERMANENT)};
static const struct child_spec passing[] = {WORKER(b, RESTART_TEMPORARY)};
#define SIMPLE(spec_name, list)                                                                                        \
    static const struct supervisor_spec spec_name = {.name = #spec_name,                                               \
                                                     .strategy = STRATEGY_SIMPLE_ONE_FOR_ONE,                          \
                                                     .intensity = 2,                                                   \
                                                     .period_ms = 3600000,                                             \
                                                     .children = list,                                                 \
                                                     .child_count = 1,                                                 \
                                                     .dynamic_max = 4}
SIMPLE(simple, pattern);
SIMPLE(simple_passing, passing);

static enum child_answer one_more(void)
{
    child_index child;
    return supervisor_start_child(script.s, script.now_ns, 0, NULL, &child, NULL, 0);
}

static enum child_answer terminate_actor(char letter)
{
    child_index child = supervisor_find_actor(script.s, script_id(letter));
    return supervisor_terminate_child(script.s, script.now_ns, child);
}

static void children_of_a_pattern_come_and_go(void **state)
{
    (void)state;
    script_begin(&simple);
    assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING); /* without a child */
    script_assert_counts("simple", 1, 0, 0, 0);
    assert_int_equal(one_more(), CHILD_OK);
    assert_int_equal(one_more(), CHILD_OK);
    EXPECT("+b+c");
    script_up("bc");
    script_assert_counts("simple", 1, 2, 0, 2);
    assert_int_equal(script_add("simple", 'g', RESTART_PERMANENT), CHILD_SIMPLE);
    assert_int_equal(script_restart("b"), CHILD_SIMPLE);
    assert_int_equal(script_delete("b"), CHILD_SIMPLE);
    assert_int_equal(terminate_actor('b'), CHILD_OK);
    script_down('b', EXIT_SHUTDOWN);
    EXPECT("-b=b");
    script_assert_counts("simple", 1, 1, 0, 1);
    assert_int_equal(terminate_actor('b'), CHILD_NOT_FOUND);
    assert_int_equal(one_more(), CHILD_OK); /* the first actor that nobody has, behind the others */
    assert_int_equal(one_more(), CHILD_OK);
    assert_int_equal(one_more(), CHILD_OK);
    assert_int_equal(one_more(), CHILD_NO_ROOM);
    EXPECT("+b+d+e");
    script_start_fails('e'); /* an ordered start: not kept */
    script_ignores('d');     /* not kept either, permanent or not */
    script_up("b");
    EXPECT("~d");
    script_assert_counts("simple", 1, 2, 0, 2);
    supervisor_stop(script.s, script.now_ns);
    script_down('b', EXIT_NORMAL); /* for whatever reason */
    script_down('c', EXIT_FAILED);
    EXPECT("-b-c");
    script_assert_ended(SUPERVISOR_END_STOPPED);
    script_end();
}

static void each_of_a_pattern_restarts_alone_and_all_count(void **state)
{
    (void)state;
    script_begin(&simple);
    assert_int_equal(one_more(), CHILD_OK);
    assert_int_equal(one_more(), CHILD_OK);
    script_up("bc");
    EXPECT("+b+c");
    script_down('b', EXIT_FAILED);
    EXPECT("+b");
    script_up("b");
    script_down('b', EXIT_FAILED);
    script_pass(50);
    EXPECT("+b");
    script_ignores('b'); /* in a restart: it vanishes */
    EXPECT("~b");
    script_assert_counts("simple", 1, 1, 0, 1);
    script_down('c', EXIT_FAILED); /* the third in the period */
    EXPECT("");
    script_assert_ended(SUPERVISOR_END_ESCALATED);
    script_end();
    script_begin(&simple_passing);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(one_more(), CHILD_OK);
        script_up("b");
        script_down('b', i % 2 == 0 ? EXIT_FAILED : EXIT_NORMAL);
        script_assert_counts("simple_passing", 1, 0, 0, 0);
    }
    script_end();
}

/* ---- while a restart fails again and again ---- */

static void fail_for_long(char letter)
{
    script_down(letter, EXIT_FAILED);
    for (int i = 0; i < 4; i++) {
        script_start_fails(letter);
        script_pass(15000);
    }
    script_start_fails(letter);
    script.orders[0] = '\0';
}

static void everything_answers_while_a_restart_keeps_failing(void **state)
{
    (void)state;
    script_begin_up(&open_one, "a");
    assert_int_equal(script_add("open_one", 'b', RESTART_PERMANENT), CHILD_OK);
    script_up("b");
    fail_for_long('b');
    assert_string_equal(script_children("open_one"), "a:running b:restarting");
    script_assert_counts("open_one", 2, 1, 0, 2);
    assert_int_equal(script_add("open_one", 'b', RESTART_PERMANENT), CHILD_ALREADY_PRESENT);
    assert_int_equal(script_restart("b"), CHILD_RESTARTING);
    assert_int_equal(script_delete("b"), CHILD_RESTARTING);
    struct child_info info;
    assert_true(supervisor_child(script.s, supervisor_find(script.s, "b"), &info));
    assert_true(info.next_start_ns > script.now_ns);
    assert_true(supervisor_child(script.s, 0, &info));
    assert_in_range(info.restarts, 1, 8);
    assert_int_equal(script_cycle("b"), CHILD_OK); /* at once, not after the pause */
    EXPECT("+b");
    script_start_fails('b');
    assert_int_equal(script_terminate("b"), CHILD_OK); /* it is not tried any more */
    EXPECT("=b");
    script_pass(60000);
    EXPECT("");
    assert_string_equal(script_children("open_one"), "a:running b:stopped");
    assert_int_equal(script_restart("b"), CHILD_OK);
    script_up("b");
    assert_int_equal(script_terminate("b"), CHILD_OK);
    script_down('b', EXIT_SHUTDOWN);
    assert_int_equal(script_delete("b"), CHILD_OK);
    supervisor_stop(script.s, script.now_ns);
    script_down('a', EXIT_SHUTDOWN);
    script_assert_ended(SUPERVISOR_END_STOPPED);
    script_end();
}

static void those_behind_a_failing_one_wait_and_a_stop_lets_them_go(void **state)
{
    (void)state;
    script_begin_up(&rest, "abc");
    script_down('b', EXIT_FAILED);
    script_down('c', EXIT_SHUTDOWN);
    script_start_fails('b');
    EXPECT("-c+b");
    assert_string_equal(script_children("rest"), "a:running b:restarting c:waiting");
    script_assert_counts("rest", 3, 1, 0, 3);
    assert_int_equal(script_restart("c"), CHILD_RESTARTING);
    assert_int_equal(script_terminate("b"), CHILD_OK);
    EXPECT("=b+c");
    script_up("c");
    assert_string_equal(script_children("rest"), "a:running b:stopped c:running");
    assert_int_equal(script_restart("b"), CHILD_OK);
    script_up("b");
    EXPECT("+b");
    script_end();
}

static void a_stop_during_the_first_start_lets_the_others_start(void **state)
{
    (void)state;
    script_begin(&one);
    assert_int_equal(script_terminate("b"), CHILD_OK); /* before its turn */
    EXPECT("+a=b");
    assert_int_equal(script_terminate("a"), CHILD_OK); /* in its start */
    EXPECT("-a");
    script_start_fails('a');
    EXPECT("=a+c");
    script_up("c");
    assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING);
    script_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_is_stopped_started_and_deleted),
        cmocka_unit_test(the_root_is_not_a_child),
        cmocka_unit_test(an_ordered_start_that_fails_leaves_it_down),
        cmocka_unit_test(a_stop_holds_over_the_restarts_of_others),
        cmocka_unit_test(one_that_ended_in_peace_begins_anew_with_the_others),
        cmocka_unit_test(a_stop_crosses_a_failure),
        cmocka_unit_test(a_restart_takes_along_whom_the_strategy_says_and_counts_nothing),
        cmocka_unit_test(temporary_children_vanish_and_others_are_kept),
        cmocka_unit_test(children_are_added_within_a_bound_behind_all_others),
        cmocka_unit_test(an_added_child_that_does_not_start_is_not_kept),
        cmocka_unit_test(an_actor_that_another_runs_is_not_started_twice),
        cmocka_unit_test(many_children_come_and_go),
        cmocka_unit_test(a_child_that_ignores_is_kept_and_down_a_temporary_one_vanishes),
        cmocka_unit_test(an_added_child_that_ignores),
        cmocka_unit_test(children_of_a_pattern_come_and_go),
        cmocka_unit_test(each_of_a_pattern_restarts_alone_and_all_count),
        cmocka_unit_test(everything_answers_while_a_restart_keeps_failing),
        cmocka_unit_test(those_behind_a_failing_one_wait_and_a_stop_lets_them_go),
        cmocka_unit_test(a_stop_during_the_first_start_lets_the_others_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
