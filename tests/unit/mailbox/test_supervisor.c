/* SPDX-License-Identifier: MIT */
/*
 * The supervision engine by hand, after the cases of OTP's supervisor_SUITE: orders go to a script that a test reads, time is a
 * number. Children are a to e with actors 1 to 5; "+a" is an order to start, "-a" to stop, "!a" to kill.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/random.h"
#include "mailbox/supervisor.h"

struct bench {
    struct supervisor *s;
    uint64_t now_ns;
    char script[512];
    char events[2048];
    uint32_t last_delay_ms;
    uint64_t restarts;
};

static struct bench bench;

static void note(const char *what, actor_id actor)
{
    size_t used = strlen(bench.script);
    (void)snprintf(bench.script + used, sizeof(bench.script) - used, "%s%c", what, 'a' + actor - 1);
}

static void order_start(void *self, actor_id actor)
{
    (void)self;
    note("+", actor);
}

static void order_stop(void *self, actor_id actor)
{
    (void)self;
    note("-", actor);
}

static void order_kill(void *self, actor_id actor)
{
    (void)self;
    note("!", actor);
}

static void order_event(void *self, const struct supervision_event *event)
{
    (void)self;
    size_t used = strlen(bench.events);
    if (used < sizeof(bench.events) - 64)
        (void)snprintf(bench.events + used, sizeof(bench.events) - used, "%s %s;", event->child,
                       supervision_kind_name(event->kind));
    if (event->kind == SUPERVISION_RESTARTING) {
        bench.last_delay_ms = event->delay_ms;
        bench.restarts++;
    }
}

static uint64_t order_random(void *self)
{
    (void)self;
    return 0; /* half of each delay */
}

static void begin(const struct supervisor_spec *spec)
{
    const struct supervisor_ops ops = {
        .start = order_start, .stop = order_stop, .kill = order_kill, .event = order_event, .random = order_random};
    char why[128];
    memset(&bench, 0, sizeof(bench));
    bench.now_ns = 1000 * SECOND_NS;
    assert_int_equal(supervisor_new(spec, &ops, &bench.s, why, sizeof(why)), ERR_OK);
    supervisor_start(bench.s, bench.now_ns);
}

static void end(void)
{
    supervisor_free(bench.s);
}

#define EXPECT(text)                                                                                                   \
    do {                                                                                                               \
        assert_string_equal(bench.script, text);                                                                       \
        bench.script[0] = '\0';                                                                                        \
    } while (0)

static actor_id id(char letter)
{
    return (actor_id)(letter - 'a' + 1);
}

static void up(const char *letters)
{
    for (; *letters != '\0'; letters++)
        supervisor_started(bench.s, bench.now_ns, id(*letters), 1);
}

static void down(char letter, enum exit_reason reason)
{
    supervisor_exited(bench.s, bench.now_ns, id(letter), reason, "");
}

static void start_fails(char letter)
{
    supervisor_start_failed(bench.s, bench.now_ns, id(letter), "no");
}

static void pass(uint64_t ms)
{
    bench.now_ns += ms * MS_NS;
    supervisor_tick(bench.s, bench.now_ns);
}

static void begin_up(const struct supervisor_spec *spec, const char *letters)
{
    begin(spec);
    up(letters);
    assert_int_equal(supervisor_state(bench.s), SUPERVISOR_RUNNING);
    bench.script[0] = '\0';
}

static void assert_ended(enum supervisor_end how)
{
    assert_int_equal(supervisor_state(bench.s), SUPERVISOR_ENDED);
    assert_int_equal(supervisor_end(bench.s), how);
}

#define WORKER(letter, kind)                                                                                           \
    {                                                                                                                  \
        .id = #letter, .start = #letter[0] - 'a' + 1, .restart = kind                                                  \
    }
#define SPEC(spec_name, how, max, list)                                                                                \
    static const struct supervisor_spec spec_name = {.name = #spec_name,                                               \
                                                     .strategy = how,                                                  \
                                                     .intensity = max,                                                 \
                                                     .period_ms = 5000,                                                \
                                                     .children = list,                                                 \
                                                     .child_count = ARRAY_LEN(list)}

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
    begin(&one);
    EXPECT("+a");
    up("a");
    EXPECT("+b");
    assert_int_equal(supervisor_state(bench.s), SUPERVISOR_STARTING);
    up("b");
    EXPECT("+c");
    up("c");
    assert_int_equal(supervisor_state(bench.s), SUPERVISOR_RUNNING);
    supervisor_stop(bench.s, bench.now_ns);
    EXPECT("-c");
    down('c', EXIT_SHUTDOWN);
    EXPECT("-b");
    down('b', EXIT_FAILED); /* however it ends: it was asked to */
    EXPECT("-a");
    down('a', EXIT_SHUTDOWN);
    EXPECT("");
    assert_ended(SUPERVISOR_END_STOPPED);
    end();
}

static void a_failed_first_start_stops_what_runs_and_fails(void **state)
{
    (void)state;
    begin(&one);
    up("a");
    start_fails('b');
    EXPECT("+a+b-a");
    down('a', EXIT_SHUTDOWN);
    assert_ended(SUPERVISOR_END_START_FAILED);
    end();
}

static void a_stop_during_the_start_stops_the_one_that_starts_too(void **state)
{
    (void)state;
    begin(&one);
    up("a");
    supervisor_stop(bench.s, bench.now_ns);
    EXPECT("+a+b-b");
    up("b"); /* its acknowledgement crossed the order */
    EXPECT("");
    down('b', EXIT_SHUTDOWN);
    EXPECT("-a");
    down('a', EXIT_SHUTDOWN);
    assert_ended(SUPERVISOR_END_STOPPED);
    end();
}

/* ---- restart types ---- */

static void restart_types_decide_who_comes_back(void **state)
{
    (void)state;
    begin_up(&mixed, "abc");
    down('a', EXIT_NORMAL); /* permanent: always */
    EXPECT("+a");
    up("a");
    down('b', EXIT_NORMAL); /* transient: not after normal */
    EXPECT("");
    down('c', EXIT_FAILED); /* temporary: never */
    EXPECT("");
    assert_int_equal(supervisor_state(bench.s), SUPERVISOR_RUNNING);
    end();
    begin_up(&mixed, "abc");
    down('b', EXIT_SHUTDOWN);
    EXPECT("");
    end();
    begin_up(&mixed, "abc");
    down('b', EXIT_FAILED); /* transient: after a failure */
    EXPECT("+b");
    end();
}

/* ---- strategies ---- */

static void one_for_all_takes_everybody_down_in_reverse(void **state)
{
    (void)state;
    begin_up(&all, "abc");
    down('b', EXIT_FAILED);
    EXPECT("-c");
    down('c', EXIT_SHUTDOWN);
    EXPECT("-a");
    down('a', EXIT_SHUTDOWN);
    EXPECT("+a");
    up("a");
    EXPECT("+b");
    up("b");
    EXPECT("+c");
    end();
}

static void rest_for_one_takes_those_after_it(void **state)
{
    (void)state;
    begin_up(&rest, "abc");
    down('b', EXIT_FAILED);
    EXPECT("-c");
    down('c', EXIT_SHUTDOWN);
    EXPECT("+b");
    up("b");
    EXPECT("+c");
    up("c");
    down('c', EXIT_FAILED);
    EXPECT("+c");
    end();
}

static void temporary_bystanders_do_not_come_back(void **state)
{
    (void)state;
    begin_up(&mixed_rest, "abc");
    down('a', EXIT_FAILED);
    EXPECT("-c");
    down('c', EXIT_SHUTDOWN);
    EXPECT("-b");
    down('b', EXIT_SHUTDOWN);
    EXPECT("+a");
    up("a");
    EXPECT("+b"); /* transient, stopped as a bystander: comes back */
    up("b");
    EXPECT(""); /* temporary: does not */
    end();
}

static void another_child_fails_during_a_restart(void **state)
{
    (void)state;
    begin_up(&rest, "abc");
    down('b', EXIT_FAILED);
    EXPECT("-c");
    down('a', EXIT_FAILED); /* while c is being stopped for b */
    EXPECT("");
    down('c', EXIT_SHUTDOWN);
    EXPECT("+a"); /* all from the first on, each once */
    up("a");
    EXPECT("+b");
    up("b");
    EXPECT("+c");
    up("c");
    EXPECT("");
    end();
    begin_up(&one, "abc");
    down('a', EXIT_FAILED);
    down('b', EXIT_FAILED); /* a's start hangs; b does not wait for it */
    EXPECT("+a+b");
    up("b");
    assert_int_equal(supervisor_state(bench.s), SUPERVISOR_RUNNING);
    end();
}

/* ---- intensity and backoff ---- */

static void more_than_intensity_in_a_period_escalates(void **state)
{
    (void)state;
    begin_up(&one, "abc");
    for (int i = 0; i < 3; i++) {
        down('b', EXIT_FAILED);
        pass(400);
        EXPECT("+b");
        up("b");
    }
    down('b', EXIT_FAILED);
    EXPECT("-c");
    down('c', EXIT_SHUTDOWN);
    EXPECT("-a");
    down('a', EXIT_SHUTDOWN);
    assert_ended(SUPERVISOR_END_ESCALATED);
    end();
}

static void restarts_outside_the_period_do_not_add_up(void **state)
{
    (void)state;
    begin_up(&one, "abc");
    for (int i = 0; i < 50; i++) {
        down('b', EXIT_FAILED);
        EXPECT("+b");
        up("b");
        pass(30000);
    }
    assert_int_equal(supervisor_state(bench.s), SUPERVISOR_RUNNING);
    end();
}

static void intensity_zero_escalates_at_once(void **state)
{
    (void)state;
    begin_up(&never, "abc");
    down('a', EXIT_NORMAL);
    EXPECT("-c");
    end();
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
    begin_up(&eager, "abc");
    for (size_t i = 0; i < ARRAY_LEN(halves); i++) {
        down('a', EXIT_FAILED);
        assert_int_equal(bench.last_delay_ms, halves[i]);
        if (halves[i] > 0) {
            EXPECT("");
            assert_int_equal(supervisor_wake_at(bench.s), bench.now_ns + halves[i] * MS_NS);
            pass(halves[i] - 1);
            EXPECT("");
            pass(1);
        }
        EXPECT("+a");
        up("a");
    }
    pass(SUPERVISOR_HEALTHY_MS);
    down('a', EXIT_FAILED);
    assert_int_equal(bench.last_delay_ms, 0);
    end();
}

static void a_restart_that_fails_to_start_waits_from_the_first_time_on(void **state)
{
    (void)state;
    begin_up(&eager, "abc");
    down('a', EXIT_FAILED);
    EXPECT("+a");
    start_fails('a');
    EXPECT("");
    assert_int_equal(bench.last_delay_ms, 50);
    pass(50);
    EXPECT("+a");
    end();
}

/* A start that fails again and again: the supervisor still answers, looks after others and stops when asked. */
static void a_hanging_restart_loop_keeps_nobody_from_being_served(void **state)
{
    (void)state;
    begin_up(&eager, "abc");
    down('a', EXIT_FAILED);
    for (int i = 0; i < 20; i++) {
        start_fails('a');
        pass(15000);
    }
    bench.script[0] = '\0';
    down('b', EXIT_FAILED);
    EXPECT("+b");
    up("b");
    supervisor_stop(bench.s, bench.now_ns);
    EXPECT("-c");
    down('c', EXIT_SHUTDOWN);
    down('b', EXIT_SHUTDOWN);
    EXPECT("-b-a");
    start_fails('a');
    assert_ended(SUPERVISOR_END_STOPPED);
    end();
}

/* ---- bounds ---- */

static void a_start_that_is_never_acknowledged_is_stuck(void **state)
{
    (void)state;
    begin(&one);
    up("a");
    pass(SUPERVISOR_START_MS - 1);
    EXPECT("+a+b");
    pass(1);
    EXPECT("!b-a");
    down('a', EXIT_SHUTDOWN);
    assert_ended(SUPERVISOR_END_STUCK);
    end();
}

static void a_stop_that_takes_too_long_is_stuck_and_the_rest_still_stops(void **state)
{
    (void)state;
    begin_up(&one, "abc");
    supervisor_stop(bench.s, bench.now_ns);
    EXPECT("-c");
    pass(SUPERVISOR_SHUTDOWN_MS);
    EXPECT("!c-b");
    down('b', EXIT_SHUTDOWN);
    down('a', EXIT_SHUTDOWN);
    assert_ended(SUPERVISOR_END_STUCK);
    end();
}

static void one_that_does_not_turn_any_more_ends_the_tree(void **state)
{
    (void)state;
    begin_up(&one, "abc");
    supervisor_abandon(bench.s, bench.now_ns, id('b'));
    EXPECT("!b-c");
    down('c', EXIT_SHUTDOWN);
    EXPECT("-a");
    down('a', EXIT_SHUTDOWN);
    assert_ended(SUPERVISOR_END_STUCK);
    end();
}

/* ---- trees ---- */

static const struct child_spec inner_list[] = {WORKER(b, RESTART_PERMANENT), WORKER(c, RESTART_PERMANENT)};
static const struct supervisor_spec inner = {.name = "inner",
                                             .strategy = STRATEGY_ONE_FOR_ONE,
                                             .intensity = 1,
                                             .period_ms = 5000,
                                             .children = inner_list,
                                             .child_count = 2};
static const struct child_spec outer_list[] = {WORKER(a, RESTART_PERMANENT),
                                               {.id = "inner", .type = CHILD_SUPERVISOR, .tree = &inner},
                                               WORKER(d, RESTART_PERMANENT)};
static const struct supervisor_spec outer = {.name = "outer",
                                             .strategy = STRATEGY_REST_FOR_ONE,
                                             .intensity = 2,
                                             .period_ms = 60000,
                                             .children = outer_list,
                                             .child_count = 3};

static void an_inner_supervisor_escalates_to_its_parent(void **state)
{
    (void)state;
    begin(&outer);
    up("abcd");
    EXPECT("+a+b+c+d");
    down('b', EXIT_FAILED);
    EXPECT("+b");
    up("b");
    down('b', EXIT_FAILED); /* the second within the period: inner gives up */
    EXPECT("-c");
    down('c', EXIT_SHUTDOWN);
    EXPECT("-d"); /* rest_for_one */
    down('d', EXIT_SHUTDOWN);
    EXPECT("+b"); /* inner begins anew, at once */
    up("bcd");
    EXPECT("+c+d");
    assert_int_equal(supervisor_state(bench.s), SUPERVISOR_RUNNING);
    supervisor_stop(bench.s, bench.now_ns);
    down('d', EXIT_SHUTDOWN);
    down('c', EXIT_SHUTDOWN);
    down('b', EXIT_SHUTDOWN);
    down('a', EXIT_SHUTDOWN);
    EXPECT("-d-c-b-a");
    assert_ended(SUPERVISOR_END_STOPPED);
    end();
}

static void a_subtree_whose_restart_fails_is_tried_again(void **state)
{
    (void)state;
    begin(&outer);
    up("abcd");
    down('a', EXIT_FAILED);
    EXPECT("+a+b+c+d-d");
    down('d', EXIT_SHUTDOWN);
    down('c', EXIT_SHUTDOWN);
    down('b', EXIT_SHUTDOWN);
    EXPECT("-c-b+a");
    up("a");
    EXPECT("+b");
    start_fails('b'); /* inner cannot start: a failed start of outer's child */
    EXPECT("");
    pass(50);
    EXPECT("+b");
    up("bcd");
    assert_int_equal(supervisor_state(bench.s), SUPERVISOR_RUNNING);
    end();
}

/* ---- significant children ---- */

static const struct child_spec significant_list[] = {
    {.id = "a", .start = 1, .restart = RESTART_TRANSIENT, .significant = true},
    {.id = "b", .start = 2, .restart = RESTART_TEMPORARY, .significant = true},
    {.id = "c", .start = 3, .restart = RESTART_PERMANENT},
};
static const struct supervisor_spec any_significant = {.name = "any",
                                                       .intensity = 3,
                                                       .period_ms = 5000,
                                                       .auto_shutdown = AUTO_SHUTDOWN_ANY_SIGNIFICANT,
                                                       .children = significant_list,
                                                       .child_count = 3};
static const struct supervisor_spec all_significant = {.name = "all",
                                                       .intensity = 3,
                                                       .period_ms = 5000,
                                                       .auto_shutdown = AUTO_SHUTDOWN_ALL_SIGNIFICANT,
                                                       .children = significant_list,
                                                       .child_count = 3};

static void a_significant_child_takes_its_supervisor_along(void **state)
{
    (void)state;
    begin_up(&any_significant, "abc");
    down('a', EXIT_FAILED);
    EXPECT("+a"); /* it comes back: nothing more */
    up("a");
    down('a', EXIT_NORMAL);
    EXPECT("-c");
    end();
    begin_up(&all_significant, "abc");
    down('b', EXIT_FAILED);
    EXPECT("");
    down('a', EXIT_NORMAL); /* the last one */
    EXPECT("-c");
    down('c', EXIT_SHUTDOWN);
    assert_ended(SUPERVISOR_END_STOPPED);
    end();
}

/* ---- broken specifications ---- */

static void expect_refused(const struct supervisor_spec *spec, const char *text)
{
    const struct supervisor_ops ops = {0};
    struct supervisor *s = NULL;
    char why[128] = "";
    assert_int_equal(supervisor_new(spec, &ops, &s, why, sizeof(why)), ERR_INVALID);
    assert_string_equal(why, text);
    assert_null(s);
}

static void broken_specifications_are_refused_by_name(void **state)
{
    (void)state;
    static const struct child_spec twice[] = {WORKER(a, RESTART_PERMANENT), {.id = "z", .start = 1}};
    struct supervisor_spec spec = {.name = "bad", .period_ms = 1, .children = twice, .child_count = 2};
    expect_refused(&spec, "a and z start the same actor");
    spec.period_ms = 0;
    expect_refused(&spec, "bad: no such intensity or period");
    static const struct child_spec nothing[] = {{.id = "n"}};
    spec = (struct supervisor_spec){.name = "bad", .period_ms = 1, .children = nothing, .child_count = 1};
    expect_refused(&spec, "bad: child n has nothing to start");
    static const struct child_spec wrong[] = {{.id = "s", .start = 1, .significant = true}};
    spec = (struct supervisor_spec){.name = "bad", .period_ms = 1, .children = wrong, .child_count = 1};
    expect_refused(&spec, "bad: child s cannot be significant");
}

/* ---- random events: the engine never orders the impossible ---- */

enum fake { FAKE_DOWN, FAKE_STARTING, FAKE_UP, FAKE_STOPPING };
static enum fake fakes[6];

static void fake_start(void *self, actor_id actor)
{
    (void)self;
    assert_int_equal(fakes[actor], FAKE_DOWN); /* never two lives at once */
    fakes[actor] = FAKE_STARTING;
}

static void fake_stop(void *self, actor_id actor)
{
    (void)self;
    assert_true(fakes[actor] == FAKE_UP || fakes[actor] == FAKE_STARTING);
    fakes[actor] = FAKE_STOPPING;
}

static void fake_event(void *self, const struct supervision_event *event)
{
    (void)self;
    (void)event;
}

static uint64_t fake_random(void *self)
{
    return prng_next(self);
}

static void one_random_event(struct supervisor *s, struct prng *prng, uint64_t now_ns)
{
    actor_id actor = (actor_id)(1 + prng_below(prng, 4));
    uint64_t dice = prng_below(prng, 10);
    switch (fakes[actor]) {
    case FAKE_DOWN:
        supervisor_tick(s, now_ns);
        break;
    case FAKE_STARTING:
        fakes[actor] = dice == 0 ? FAKE_DOWN : FAKE_UP;
        if (dice == 0)
            supervisor_start_failed(s, now_ns, actor, "x");
        else
            supervisor_started(s, now_ns, actor, 1);
        break;
    case FAKE_UP:
        if (dice > 2)
            break;
        fakes[actor] = FAKE_DOWN;
        supervisor_exited(s, now_ns, actor, dice == 0 ? EXIT_NORMAL : EXIT_FAILED, "");
        break;
    case FAKE_STOPPING:
        fakes[actor] = FAKE_DOWN;
        supervisor_exited(s, now_ns, actor, EXIT_SHUTDOWN, "");
        break;
    }
}

static void random_events_never_give_impossible_orders(void **state)
{
    (void)state;
    static const struct supervisor_spec *const specs[] = {&outer, &one, &rest, &all, &mixed_rest, &any_significant};
    for (uint64_t seed = 0; seed < 600; seed++) {
        struct prng prng;
        struct supervisor *s;
        prng_init(&prng, seed);
        const struct supervisor_ops ops = {.self = &prng,
                                           .start = fake_start,
                                           .stop = fake_stop,
                                           .kill = fake_stop,
                                           .event = fake_event,
                                           .random = fake_random};
        memset(fakes, 0, sizeof(fakes));
        assert_int_equal(supervisor_new(specs[seed % ARRAY_LEN(specs)], &ops, &s, NULL, 0), ERR_OK);
        uint64_t now_ns = SECOND_NS;
        supervisor_start(s, now_ns);
        for (int i = 0; i < 2000 && supervisor_state(s) != SUPERVISOR_ENDED; i++) {
            now_ns += prng_below(&prng, 300) * MS_NS;
            if (i == 1500)
                supervisor_stop(s, now_ns);
            one_random_event(s, &prng, now_ns);
        }
        assert_int_equal(supervisor_state(s), SUPERVISOR_ENDED); /* and it always comes to an end */
        for (int i = 1; i <= 4; i++)
            assert_int_equal(fakes[i], FAKE_DOWN);
        supervisor_free(s);
    }
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
        cmocka_unit_test(a_start_that_is_never_acknowledged_is_stuck),
        cmocka_unit_test(a_stop_that_takes_too_long_is_stuck_and_the_rest_still_stops),
        cmocka_unit_test(one_that_does_not_turn_any_more_ends_the_tree),
        cmocka_unit_test(an_inner_supervisor_escalates_to_its_parent),
        cmocka_unit_test(a_subtree_whose_restart_fails_is_tried_again),
        cmocka_unit_test(a_significant_child_takes_its_supervisor_along),
        cmocka_unit_test(broken_specifications_are_refused_by_name),
        cmocka_unit_test(random_events_never_give_impossible_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
