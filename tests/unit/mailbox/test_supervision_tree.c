/* SPDX-License-Identifier: MIT */
/* Bounds, trees of supervisors, significant children, broken specifications, and random events against a model. */
#include "helper_script.h"

#include <string.h>

#include "base/random.h"

static const struct child_spec three[] = {WORKER(a, RESTART_PERMANENT), WORKER(b, RESTART_PERMANENT),
                                          WORKER(c, RESTART_PERMANENT)};
static const struct child_spec kinds[] = {WORKER(a, RESTART_PERMANENT), WORKER(b, RESTART_TRANSIENT),
                                          WORKER(c, RESTART_TEMPORARY)};
SPEC(one, STRATEGY_ONE_FOR_ONE, 3, three);
SPEC(all, STRATEGY_ONE_FOR_ALL, 3, three);
SPEC(rest, STRATEGY_REST_FOR_ONE, 3, three);
SPEC(mixed_rest, STRATEGY_REST_FOR_ONE, 3, kinds);

/* ---- bounds ---- */

static void a_start_that_is_never_acknowledged_is_stuck(void **state)
{
    (void)state;
    script_begin(&one);
    script_up("a");
    script_pass(SUPERVISOR_START_MS - 1);
    EXPECT("+a+b");
    script_pass(1);
    EXPECT("!b-a");
    script_down('a', EXIT_SHUTDOWN);
    script_assert_ended(SUPERVISOR_END_STUCK);
    script_end();
}

static void a_start_has_the_bound_of_its_spec(void **state)
{
    (void)state;
    static const struct child_spec slow[] = {
        {.id = "a", .start = 1, .restart = RESTART_PERMANENT, .start_ms = 3 * SUPERVISOR_START_MS}};
    SPEC(patient, STRATEGY_ONE_FOR_ONE, 3, slow);
    script_begin(&patient);
    script_pass(3 * SUPERVISOR_START_MS - 1);
    EXPECT("+a");
    script_pass(1);
    EXPECT("!a");
    script_assert_ended(SUPERVISOR_END_STUCK);
    script_end();
}

static void a_stop_that_takes_too_long_is_stuck_and_the_rest_still_stops(void **state)
{
    (void)state;
    script_begin_up(&one, "abc");
    supervisor_stop(script.s, script.now_ns);
    EXPECT("-c");
    script_pass(SUPERVISOR_SHUTDOWN_MS);
    EXPECT("!c-b");
    script_down('b', EXIT_SHUTDOWN);
    script_down('a', EXIT_SHUTDOWN);
    script_assert_ended(SUPERVISOR_END_STUCK);
    script_end();
}

static void one_that_does_not_turn_any_more_ends_the_tree(void **state)
{
    (void)state;
    script_begin_up(&one, "abc");
    supervisor_abandon(script.s, script.now_ns, script_id('b'));
    EXPECT("!b-c");
    script_down('c', EXIT_SHUTDOWN);
    EXPECT("-a");
    script_down('a', EXIT_SHUTDOWN);
    script_assert_ended(SUPERVISOR_END_STUCK);
    script_end();
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
    script_begin(&outer);
    script_up("abcd");
    EXPECT("+a+b+c+d");
    script_down('b', EXIT_FAILED);
    EXPECT("+b");
    script_up("b");
    script_down('b', EXIT_FAILED); /* the second within the period: inner gives up */
    EXPECT("-c");
    script_down('c', EXIT_SHUTDOWN);
    EXPECT("-d"); /* rest_for_one */
    script_down('d', EXIT_SHUTDOWN);
    EXPECT("+b"); /* inner begins anew, at once */
    script_up("bcd");
    EXPECT("+c+d");
    assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING);
    supervisor_stop(script.s, script.now_ns);
    script_down('d', EXIT_SHUTDOWN);
    script_down('c', EXIT_SHUTDOWN);
    script_down('b', EXIT_SHUTDOWN);
    script_down('a', EXIT_SHUTDOWN);
    EXPECT("-d-c-b-a");
    script_assert_ended(SUPERVISOR_END_STOPPED);
    script_end();
}

static void a_subtree_whose_restart_fails_is_tried_again(void **state)
{
    (void)state;
    script_begin(&outer);
    script_up("abcd");
    script_down('a', EXIT_FAILED);
    EXPECT("+a+b+c+d-d");
    script_down('d', EXIT_SHUTDOWN);
    script_down('c', EXIT_SHUTDOWN);
    script_down('b', EXIT_SHUTDOWN);
    EXPECT("-c-b+a");
    script_up("a");
    EXPECT("+b");
    script_start_fails('b'); /* inner cannot start: a failed start of outer's child */
    EXPECT("");
    script_pass(50);
    EXPECT("+b");
    script_up("bcd");
    assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING);
    script_end();
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
    script_begin_up(&any_significant, "abc");
    script_down('a', EXIT_FAILED);
    EXPECT("+a"); /* it comes back: nothing more */
    script_up("a");
    script_down('a', EXIT_NORMAL);
    EXPECT("-c");
    script_end();
    script_begin_up(&all_significant, "abc");
    script_down('b', EXIT_FAILED);
    EXPECT("");
    script_down('a', EXIT_NORMAL); /* the last one */
    EXPECT("-c");
    script_down('c', EXIT_SHUTDOWN);
    script_assert_ended(SUPERVISOR_END_STOPPED);
    script_end();
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

static void fake_kill(void *self, actor_id actor, enum exit_reason reason)
{
    (void)self;
    assert_int_equal(reason, EXIT_STUCK);
    assert_int_not_equal(fakes[actor], FAKE_DOWN);
    fakes[actor] = FAKE_DOWN; /* its carrier stays, and says nothing more */
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

static const struct supervisor_spec roomy = {.name = "roomy",
                                             .strategy = STRATEGY_REST_FOR_ONE,
                                             .intensity = 20,
                                             .period_ms = 5000,
                                             .children = three,
                                             .child_count = 1,
                                             .dynamic_max = 2};
static const struct supervisor_spec pattern = {.name = "pattern",
                                               .strategy = STRATEGY_SIMPLE_ONE_FOR_ONE,
                                               .intensity = 20,
                                               .period_ms = 5000,
                                               .children = three,
                                               .child_count = 1,
                                               .dynamic_max = 4};

static void one_random_order(struct supervisor *s, struct prng *prng, uint64_t now_ns)
{
    static const char *const ids[] = {"", "a", "b", "c", "d"};
    child_index child = supervisor_next(s, CHILD_NONE);
    for (uint64_t left = prng_below(prng, 6); left > 0 && child != CHILD_NONE; left--)
        child = supervisor_next(s, child);
    struct child_spec spec = {.start = (actor_id)(1 + prng_below(prng, 4)),
                              .restart = (enum restart)prng_below(prng, 3)};
    spec.id = ids[spec.start];
    switch (prng_below(prng, 6)) {
    case 0:
        (void)supervisor_terminate_child(s, now_ns, child);
        break;
    case 1:
        (void)supervisor_cycle_child(s, now_ns, child);
        break;
    case 2:
        (void)supervisor_delete_child(s, now_ns, child);
        break;
    case 3:
        (void)supervisor_start_child(s, now_ns, 0, prng_below(prng, 2) == 0 ? NULL : &spec, &child, NULL, 0);
        break;
    default:
        (void)supervisor_restart_child(s, now_ns, child);
    }
}

/* What the engine says of each child is what it was ordered to be. */
static void check_states(const struct supervisor *s)
{
    bool seen[6] = {false};
    for (child_index i = supervisor_next(s, CHILD_NONE); i != CHILD_NONE; i = supervisor_next(s, i)) {
        struct child_info info;
        assert_true(supervisor_child(s, i, &info));
        if (info.actor == 0)
            continue;
        enum fake fake = fakes[info.actor];
        assert_false(seen[info.actor]);
        seen[info.actor] = true;
        assert_int_equal(info.state == CHILD_STATE_STARTING, fake == FAKE_STARTING);
        assert_int_equal(info.state == CHILD_STATE_RUNNING, fake == FAKE_UP);
        assert_int_equal(info.state == CHILD_STATE_STOPPING, fake == FAKE_STOPPING);
    }
    for (int i = 1; i <= 5; i++)
        assert_true(seen[i] || fakes[i] == FAKE_DOWN);
}

static void play_random(const struct supervisor_spec *spec, uint64_t seed, bool orders)
{
    struct prng prng;
    struct supervisor *s;
    prng_init(&prng, seed);
    const struct supervisor_ops ops = {.self = &prng,
                                       .start = fake_start,
                                       .stop = fake_stop,
                                       .kill = fake_kill,
                                       .event = fake_event,
                                       .random = fake_random};
    memset(fakes, 0, sizeof(fakes));
    assert_int_equal(supervisor_new(spec, &ops, &s, NULL, 0), ERR_OK);
    uint64_t now_ns = SECOND_NS;
    supervisor_start(s, now_ns);
    for (int i = 0; i < 2000 && supervisor_state(s) != SUPERVISOR_ENDED; i++) {
        now_ns += prng_below(&prng, 300) * MS_NS;
        if (i == 1500)
            supervisor_stop(s, now_ns);
        if (orders && prng_below(&prng, 4) == 0)
            one_random_order(s, &prng, now_ns);
        else
            one_random_event(s, &prng, now_ns);
        check_states(s);
    }
    assert_int_equal(supervisor_state(s), SUPERVISOR_ENDED); /* and it always comes to an end */
    for (int i = 1; i <= 4; i++)
        assert_int_equal(fakes[i], FAKE_DOWN);
    supervisor_free(s);
}

static void random_events_never_give_impossible_orders(void **state)
{
    (void)state;
    static const struct supervisor_spec *const specs[] = {&outer, &one, &rest, &all, &mixed_rest, &any_significant};
    for (uint64_t seed = 0; seed < 600; seed++)
        play_random(specs[seed % ARRAY_LEN(specs)], seed, false);
}

static void random_orders_among_them_do_not_either(void **state)
{
    (void)state;
    static const struct supervisor_spec *const specs[] = {&outer,           &one,   &rest,  &all,    &mixed_rest,
                                                          &any_significant, &roomy, &roomy, &pattern};
    for (uint64_t seed = 0; seed < 1800; seed++)
        play_random(specs[seed % ARRAY_LEN(specs)], seed, true);
}

static void every_event_and_state_has_a_word(void **state)
{
    (void)state;
    for (int i = 0; i < SUPERVISION_KIND_COUNT; i++)
        assert_string_not_equal(supervision_kind_name((enum supervision_kind)i), "unknown");
    for (int i = 0; i < CHILD_STATE_COUNT; i++)
        assert_string_not_equal(child_state_name((enum child_state)i), "unknown");
    for (int i = 0; i < CHILD_ANSWER_COUNT; i++)
        assert_string_not_equal(child_answer_text((enum child_answer)i), "unknown");
    assert_string_equal(supervision_kind_name(SUPERVISION_KIND_COUNT), "unknown");
    assert_string_equal(child_state_name(CHILD_STATE_COUNT), "unknown");
    assert_string_equal(child_answer_text(CHILD_ANSWER_COUNT), "unknown");
    assert_string_equal(strategy_name(STRATEGY_SIMPLE_ONE_FOR_ONE), "simple_one_for_one");
    assert_string_equal(restart_name(RESTART_TEMPORARY), "temporary");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_that_is_never_acknowledged_is_stuck),
        cmocka_unit_test(a_start_has_the_bound_of_its_spec),
        cmocka_unit_test(a_stop_that_takes_too_long_is_stuck_and_the_rest_still_stops),
        cmocka_unit_test(one_that_does_not_turn_any_more_ends_the_tree),
        cmocka_unit_test(an_inner_supervisor_escalates_to_its_parent),
        cmocka_unit_test(a_subtree_whose_restart_fails_is_tried_again),
        cmocka_unit_test(a_significant_child_takes_its_supervisor_along),
        cmocka_unit_test(broken_specifications_are_refused_by_name),
        cmocka_unit_test(random_events_never_give_impossible_orders),
        cmocka_unit_test(random_orders_among_them_do_not_either),
        cmocka_unit_test(every_event_and_state_has_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
