/* SPDX-License-Identifier: MIT */
/*
 * The cases of OTP's supervisor_SUITE (the table is in test_supervisor_suite.c) as lives of actors on each backend: A asks root for the
 * tree and orders, the others end and start as the case wants.
 */
#include "helper_scene.h"

#include <stdio.h>
#include <string.h>

#include "helper_process.h"
#include "schemas/messages.h"

enum { ROOT, TREE_BYTES = 64 * 1024 };

/* ---- what A asks ---- */

static void order(struct ctx *c, const char *name, enum actor_order what, uint64_t tag)
{
    struct msg_actor_order ask = {.name = span_text(name), .order = what};
    struct msg msg = {.kind = MSG_ACTOR_ORDER, .fields = &ask};
    CHECK(ctx_call(c, ROOT, &msg, (struct call_opts){.timeout_ns = 20 * SECOND_NS}, tag) == ERR_OK);
}

static void add(struct ctx *c, actor_id actor, enum restart restart, uint64_t tag)
{
    struct msg_actor_add ask = {.supervisor = span_text("root"), .actor = actor, .restart = restart};
    struct msg msg = {.kind = MSG_ACTOR_ADD, .fields = &ask};
    CHECK(ctx_call(c, ROOT, &msg, (struct call_opts){.timeout_ns = 20 * SECOND_NS}, tag) == ERR_OK);
}

static void ask_tree(struct ctx *c, uint64_t tag)
{
    static const struct msg_actor_tree ask = {0};
    struct msg msg = {.kind = MSG_ACTOR_TREE, .fields = &ask};
    struct call_opts opts = {.timeout_ns = 20 * SECOND_NS, .reply_bytes_max = TREE_BYTES};
    CHECK(ctx_call(c, ROOT, &msg, opts, tag) == ERR_OK);
}

/* The state of a child in the answer; "" when it is not there. */
static const char *state_in(const struct info *info, const char *name, struct item_tree_child *ret_row)
{
    static _Thread_local char state[33];
    const struct msg_actor_tree_ok *m = info->msg->fields;
    size_t position = 0;
    state[0] = '\0';
    while (schema_list_next_map(&m->children, &schema_item_tree_child, &position, ret_row)) {
        if (!span_equal_text(ret_row->name, name))
            continue;
        memcpy(state, ret_row->state.data, MIN(ret_row->state.len, sizeof(state) - 1));
        state[MIN(ret_row->state.len, sizeof(state) - 1)] = '\0';
        break;
    }
    return state;
}

static bool tree_says(const struct info *info, const char *name, const char *state)
{
    struct item_tree_child row;
    return info->err == ERR_OK && strcmp(state_in(info, name, &row), state) == 0;
}

static uint64_t epoch_in(const struct info *info, const char *name)
{
    struct item_tree_child row;
    return state_in(info, name, &row)[0] == '\0' ? 0 : row.epoch;
}

static bool it_is(const struct info *info, const char *state)
{
    if (info->err != ERR_OK || info->msg->kind != MSG_ACTOR_ORDERED)
        return false;
    const struct msg_actor_ordered *m = info->msg->fields;
    return span_equal_text(m->state, state);
}

/* A number in a cast says what its receiver does: 0 ends in peace, 1 fails. */
static void end_as_told(struct ctx *c, const struct msg *msg)
{
    ctx_exit(c, note_of(msg)->n == 0 ? EXIT_NORMAL : EXIT_FAILED, "as told");
}

static enum err echo(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    scene_reply(c, call, note_of(msg)->n + ctx_self(c));
    return ERR_OK;
}

/* Each answer to A is the next step of a test. */
static void (*steps)(struct ctx *c, uint64_t step, const struct info *info);

static void walk_steps(struct ctx *c, const struct info *info)
{
    if (is_start(info) || info->kind == INFO_REPLY || (info->kind == INFO_TIMER && info->tag == 1)) {
        uint64_t step = counted(31);
        count(31);
        steps(c, step, info);
    }
}

static void play(void (*walk)(struct ctx *, uint64_t, const struct info *))
{
    steps = walk;
    scene.on_info[A] = walk_steps;
    for (int i = B; i < SCENE_ACTORS; i++) {
        scene.on_cast[i] = end_as_told;
        scene.on_call[i] = echo;
    }
    scene_play(60);
}

/* Not yet so: goes back to the step that asked. */
static void look_again(struct ctx *c, uint64_t asked)
{
    atomic_store(&scene.n[31], asked);
    (void)ctx_timer(c, ctx_now(c) + 5 * MS_NS, 1);
}

/* ---- child_adm ---- */

static void stop_and_start(struct ctx *c, uint64_t step, const struct info *info)
{
    struct item_tree_child row;
    switch (step) {
    case 0:
        order(c, "b", ORDER_STOP, step);
        break;
    case 1: {
        CHECK(it_is(info, "stopped"));
        const struct msg_actor_ordered *m = info->msg->fields;
        size_t position = 0;
        struct span caller;
        CHECK(m->callers.count == 1 && schema_list_next_bytes(&m->callers, &position, &caller) &&
              span_equal_text(caller, "a"));
        CHECK(scene_call(c, B, 1, SECOND_NS, 9) == ERR_UNAVAILABLE); /* at once */
        CHECK(scene_cast(c, B, TELL, 1) == ERR_OK);                  /* dropped */
        ask_tree(c, step);
        break;
    }
    case 2:
        CHECK(tree_says(info, "b", "stopped") && tree_says(info, "c", "running"));
        CHECK(tree_says(info, "root", "running"));
        order(c, "b", ORDER_STOP, step); /* once more: as it is */
        break;
    case 3:
        CHECK(it_is(info, "stopped"));
        order(c, "b", ORDER_START, step);
        break;
    case 4:
        CHECK(it_is(info, "running") && ((const struct msg_actor_ordered *)info->msg->fields)->epoch == 2);
        CHECK(scene_call(c, B, 1, 10 * SECOND_NS, 9) == ERR_OK);
        break;
    case 5:
        CHECK(info->err == ERR_OK && note_of(info->msg)->n == 1 + B);
        order(c, "b", ORDER_START, step);
        break;
    case 6:
        CHECK(it_is(info, "running"));
        order(c, "b", ORDER_RESTART, step);
        break;
    case 7:
        CHECK(it_is(info, "running") && ((const struct msg_actor_ordered *)info->msg->fields)->epoch == 3);
        order(c, "b", ORDER_DELETE, step);
        break;
    case 8:
        CHECK(info->err == ERR_REFUSED && strcmp(info->text, "b: it runs") == 0);
        ask_tree(c, step);
        break;
    case 9:
        CHECK(strcmp(state_in(info, "root", &row), "running") == 0 && row.restarts == 0); /* none was a failure */
        scene_done();
        break;
    default:
        CHECK(false);
    }
}

static void test_an_actor_is_stopped_and_started(void **state)
{
    (void)state;
    scene_begin();
    play(stop_and_start);
}

static void ask_the_impossible(struct ctx *c, uint64_t step, const struct info *info)
{
    static const struct {
        const char *name;
        enum actor_order order;
        enum err err;
        const char *text;
    } cases[] = {
        {"a", ORDER_STOP, ERR_DENIED, "a: a answers you, and would end with it"},
        {"a", ORDER_RESTART, ERR_DENIED, "a: a answers you, and would end with it"},
        {"root", ORDER_STOP, ERR_DENIED, "root: the root can only be stopped with the whole"},
        {"nobody", ORDER_STOP, ERR_NOT_FOUND, "nobody: there is no such actor"},
        {"nobody", ORDER_START, ERR_NOT_FOUND, "nobody: there is no such actor"},
    };
    if (step > 0)
        CHECK(info->err == cases[step - 1].err && strcmp(info->text, cases[step - 1].text) == 0);
    if (step < ARRAY_LEN(cases))
        order(c, cases[step].name, cases[step].order, step);
    else
        scene_done();
}

static void test_what_would_take_the_caller_along_is_refused(void **state)
{
    (void)state;
    scene_begin();
    play(ask_the_impossible);
}

/* ---- hanging_restart_loop ---- */

static enum err start_when_allowed(struct ctx *c)
{
    count(1);
    return counted(1) > 1 && counted(2) == 0 ? ctx_fail(c, ERR_IO, "not yet") : ERR_OK;
}

static void while_it_fails(struct ctx *c, uint64_t step, const struct info *info)
{
    struct item_tree_child row;
    switch (step) {
    case 0:
        CHECK(scene_cast(c, B, TELL, 1) == ERR_OK);
        look_again(c, 1);
        break;
    case 1:
        ask_tree(c, step);
        break;
    case 2:
        if (counted(1) < 4 || strcmp(state_in(info, "b", &row), "restarting") != 0) {
            look_again(c, 1);
            break;
        }
        CHECK(span_equal_text(row.reason, "not yet") && row.next_start_ms <= SUPERVISOR_BACKOFF_MAX_MS);
        order(c, "b", ORDER_START, step);
        break;
    case 3:
        CHECK(info->err == ERR_REFUSED &&
              strncmp(info->text, "b: it ", 6) == 0); /* is being restarted, or just tried */
        order(c, "b", ORDER_RESTART, step);           /* at once: the next try fails as well */
        break;
    case 4:
        CHECK(info->err == ERR_UNAVAILABLE && strcmp(info->text, "b did not start: not yet") == 0);
        order(c, "c", ORDER_STOP, step); /* others are looked after */
        break;
    case 5:
        CHECK(it_is(info, "stopped"));
        order(c, "b", ORDER_STOP, step);
        break;
    case 6:
        CHECK(it_is(info, "stopped"));
        order(c, "b", ORDER_START, step);
        break;
    case 7: /* sup_start_restart_child_returns_error */
        CHECK(info->err == ERR_UNAVAILABLE && strcmp(info->text, "b did not start: not yet") == 0);
        ask_tree(c, step);
        break;
    case 8:
        CHECK(tree_says(info, "b", "stopped") && tree_says(info, "c", "stopped"));
        count(2);
        order(c, "b", ORDER_START, step);
        break;
    case 9:
        CHECK(it_is(info, "running"));
        order(c, "b", ORDER_STOP, step);
        break;
    case 10:
        order(c, "b", ORDER_DELETE, step);
        break;
    case 11:
        CHECK(it_is(info, "deleted"));
        ask_tree(c, step);
        break;
    case 12:
        CHECK(tree_says(info, "b", ""));
        scene_done();
        break;
    default:
        CHECK(false);
    }
}

static void test_root_answers_while_a_restart_keeps_failing(void **state)
{
    (void)state;
    scene_begin();
    scene.on_init[B] = start_when_allowed;
    play(while_it_fails);
}

/* ---- sup_start_ignore ---- */

static enum err ignore_at_first(struct ctx *c)
{
    count(1);
    return counted(1) == 1 ? ctx_ignore(c, "nothing to do") : ERR_OK;
}

static void see_ignored(struct ctx *c, uint64_t step, const struct info *info)
{
    switch (step) {
    case 0:
        ask_tree(c, step);
        break;
    case 1:
        CHECK(tree_says(info, "c", "ended") && tree_says(info, "d", "running") && tree_says(info, "root", "running"));
        CHECK(scene_call(c, C, 1, SECOND_NS, 9) == ERR_UNAVAILABLE);
        order(c, "c", ORDER_START, step);
        break;
    case 2:
        CHECK(it_is(info, "running"));
        scene_done();
        break;
    default:
        CHECK(false);
    }
}

static void test_a_start_that_ignores_is_no_failure(void **state)
{
    (void)state;
    scene_begin();
    scene.on_init[C] = ignore_at_first;
    play(see_ignored);
    assert_int_equal(counted(1), 2);
}

/* ---- start_child ---- */

static const struct child_spec four[] = {{.id = "a", .start = A},
                                         {.id = "b", .start = B},
                                         {.id = "c", .start = C, .restart = RESTART_TRANSIENT},
                                         {.id = "d", .start = D, .restart = RESTART_TEMPORARY}};
static const struct supervisor_spec roomy = {.name = "root",
                                             .intensity = 2,
                                             .period_ms = 600000,
                                             .children = four,
                                             .child_count = ARRAY_LEN(four),
                                             .dynamic_max = 1};

static enum err fail_the_first_time(struct ctx *c)
{
    count(1);
    return counted(1) == 1 ? ctx_fail(c, ERR_IO, "no") : ERR_OK;
}

static void add_and_lose(struct ctx *c, uint64_t step, const struct info *info)
{
    switch (step) {
    case 0:
        add(c, E, RESTART_TEMPORARY, step);
        break;
    case 1: /* sup_start_child_returns_error */
        CHECK(info->err == ERR_UNAVAILABLE && strcmp(info->text, "e did not start: no") == 0);
        add(c, E, RESTART_TEMPORARY, step);
        break;
    case 2:
        CHECK(it_is(info, "running"));
        add(c, E, RESTART_TEMPORARY, step);
        break;
    case 3:
        CHECK(info->err == ERR_EXISTS);
        CHECK(scene_call(c, E, 1, 10 * SECOND_NS, 9) == ERR_OK);
        break;
    case 4:
        CHECK(info->err == ERR_OK && note_of(info->msg)->n == 1 + E);
        CHECK(scene_cast(c, E, TELL, 0) == ERR_OK); /* temporary_normal: it vanishes */
        CHECK(scene_cast(c, C, TELL, 0) == ERR_OK); /* transient_normal: it is kept, down */
        CHECK(scene_cast(c, D, TELL, 1) == ERR_OK); /* temporary_abnormal: it vanishes */
        CHECK(scene_cast(c, B, TELL, 0) == ERR_OK); /* permanent_normal: it comes back */
        look_again(c, 5);
        break;
    case 5:
        ask_tree(c, step);
        break;
    case 6:
        if (!tree_says(info, "e", "") || !tree_says(info, "d", "") || !tree_says(info, "c", "ended") ||
            !tree_says(info, "b", "running") || epoch_in(info, "b") != 2) {
            look_again(c, 5);
            break;
        }
        order(c, "c", ORDER_START, step);
        break;
    case 7:
        CHECK(it_is(info, "running"));
        CHECK(scene_cast(c, C, TELL, 1) == ERR_OK); /* transient_abnormal: it comes back */
        add(c, E, RESTART_PERMANENT, step);
        break;
    case 8:
        CHECK(it_is(info, "running"));
        look_again(c, 9);
        break;
    case 9:
        ask_tree(c, step);
        break;
    case 10:
        CHECK(tree_says(info, "e", "running"));
        if (!tree_says(info, "c", "running") || epoch_in(info, "c") != 3) {
            look_again(c, 9);
            break;
        }
        add(c, D, RESTART_TEMPORARY, step);
        break;
    case 11:
        CHECK(info->err == ERR_REFUSED); /* no room */
        scene_done();
        break;
    default:
        CHECK(false);
    }
}

static void test_children_are_added_and_end_by_their_type(void **state)
{
    (void)state;
    scene_begin();
    scene.config.tree = &roomy;
    scene.on_init[E] = fail_the_first_time;
    play(add_and_lose);
}

/* ---- strategies: who ends and starts, in which order ---- */

/* Numbers of the scene: 5 how many happened, 6 how many shall, then each: what << 8 | who. */
enum { STORY_AT = 8, STORY_MAX = 20 };

static void tell_story(char what, struct ctx *c)
{
    uint64_t at = atomic_fetch_add(&scene.n[5], 1);
    if (at < STORY_MAX)
        atomic_store(&scene.n[STORY_AT + at], (uint64_t)what << 8 | (uint64_t)('a' + ctx_self(c) - A));
}

static void read_story(char to[2 * STORY_MAX + 1])
{
    size_t len = 0;
    for (size_t i = 0; i < STORY_MAX && counted(STORY_AT + (int)i) != 0; i++) {
        to[len++] = (char)(counted(STORY_AT + (int)i) >> 8);
        to[len++] = (char)counted(STORY_AT + (int)i);
    }
    to[len] = '\0';
}

static enum err tell_init(struct ctx *c)
{
    tell_story('+', c);
    return ERR_OK;
}

static void tell_end(struct ctx *c, enum exit_reason reason)
{
    tell_story(reason == EXIT_SHUTDOWN ? '-' : '!', c);
}

static void fail_one(struct ctx *c, uint64_t step, const struct info *info)
{
    (void)info;
    if (step == 0)
        CHECK(scene_cast(c, C, TELL, 1) == ERR_OK);
    if (counted(5) < counted(6))
        look_again(c, 1);
    else
        scene_done();
}

/* Up to | before all is stopped. */
static void play_strategy(enum strategy strategy, const char *wanted)
{
    const char *stop = strchr(wanted, '|');
    char whole[2 * STORY_MAX + 1] = "";
    char told[2 * STORY_MAX + 1];
    static const struct child_spec under[] = {
        {.id = "b", .start = B}, {.id = "c", .start = C}, {.id = "d", .start = D}, {.id = "e", .start = E}};
    struct supervisor_spec inner = {
        .name = "inner", .strategy = strategy, .intensity = 3, .period_ms = 60000, .children = under, .child_count = 4};
    const struct child_spec top[] = {{.id = "a", .start = A},
                                     {.id = "inner", .type = CHILD_SUPERVISOR, .tree = &inner}};
    const struct supervisor_spec tree = {
        .name = "root", .intensity = 3, .period_ms = 60000, .children = top, .child_count = 2};
    scene_begin();
    scene.config.tree = &tree;
    for (int i = B; i < SCENE_ACTORS; i++) {
        scene.on_init[i] = tell_init;
        scene.on_end[i] = tell_end;
    }
    atomic_store(&scene.n[6], (uint64_t)(stop - wanted) / 2);
    (void)snprintf(whole, sizeof(whole), "%.*s%s", (int)(stop - wanted), wanted, stop + 1);
    play(fail_one);
    if (scene_is_process())
        return; /* of a later scene of this test */
    read_story(told);
    assert_string_equal(told, whole);
}

static void test_strategies_and_the_order_of_children(void **state)
{
    (void)state;
    play_strategy(STRATEGY_ONE_FOR_ONE, "+b+c+d+e!c+c|-e-d-c-b");
    play_strategy(STRATEGY_ONE_FOR_ALL, "+b+c+d+e!c-e-d-b+b+c+d+e|-e-d-c-b");
    play_strategy(STRATEGY_REST_FOR_ONE, "+b+c+d+e!c-e-d+c+d+e|-e-d-c-b");
}

/* ---- who comes back by itself ---- */

static bool stays_down(struct ctx *c, actor_id who)
{
    struct actor_stats stats;
    CHECK(ctx_actor_stats_of(c, who, &stats));
    return stats.stays_down;
}

/* Those behind C are down until it is up again, and then they come. */
static enum err look_at_those_behind(struct ctx *c)
{
    CHECK(!stays_down(c, C) && !stays_down(c, D) && !stays_down(c, E));
    return ERR_OK;
}

static void stop_all_and_fail_one(struct ctx *c, uint64_t step, const struct info *info)
{
    if (step == 0) {
        order(c, "inner", ORDER_STOP, step);
    } else if (step == 1) {
        CHECK(it_is(info, "stopped"));
        for (actor_id who = B; who < SCENE_ACTORS; who++)
            CHECK(stays_down(c, who));
        CHECK(!stays_down(c, A));
        order(c, "inner", ORDER_START, step);
    } else if (step == 2) {
        for (actor_id who = B; who < SCENE_ACTORS; who++)
            CHECK(!stays_down(c, who));
        CHECK(scene_cast(c, C, TELL, 1) == ERR_OK);
    }
    struct actor_stats last;
    if (step < 2)
        return;
    CHECK(ctx_actor_stats_of(c, E, &last));
    if (last.epoch < 3)
        look_again(c, 3);
    else
        scene_done();
}

static void test_only_what_was_stopped_stays_down(void **state)
{
    (void)state;
    static const struct child_spec under[] = {
        {.id = "b", .start = B}, {.id = "c", .start = C}, {.id = "d", .start = D}, {.id = "e", .start = E}};
    static const struct supervisor_spec inner = {.name = "inner",
                                                 .strategy = STRATEGY_REST_FOR_ONE,
                                                 .intensity = 3,
                                                 .period_ms = 60000,
                                                 .children = under,
                                                 .child_count = 4};
    static const struct child_spec top[] = {{.id = "a", .start = A},
                                            {.id = "inner", .type = CHILD_SUPERVISOR, .tree = &inner}};
    static const struct supervisor_spec tree = {
        .name = "root", .intensity = 3, .period_ms = 60000, .children = top, .child_count = 2};
    scene_begin();
    scene.config.tree = &tree;
    scene.on_init[C] = look_at_those_behind;
    play(stop_all_and_fail_one);
}

/* ---- escalation, auto_shutdown ---- */

static enum err start_only_once(struct ctx *c)
{
    count(1);
    return counted(1) > 1 ? ctx_fail(c, ERR_IO, "never again") : ERR_OK;
}

static void kill_b(struct ctx *c, uint64_t step, const struct info *info)
{
    (void)info;
    if (step == 0)
        CHECK(scene_cast(c, B, TELL, 1) == ERR_OK);
}

static void test_a_child_that_cannot_start_again_ends_all(void **state)
{
    (void)state;
    scene_begin();
    scene.config.tree = &roomy;
    scene.on_init[B] = start_only_once;
    play(kill_b);
    assert_int_equal(scene.exit, RUNTIME_EXIT_ESCALATED);
    assert_int_equal(counted(1), 3); /* the first, and two restarts */
}

static void end_b_in_peace(struct ctx *c, uint64_t step, const struct info *info)
{
    (void)info;
    if (step == 0)
        CHECK(scene_cast(c, B, TELL, 0) == ERR_OK);
}

static void test_the_end_of_a_significant_child_ends_all(void **state)
{
    (void)state;
    static const struct child_spec list[] = {
        {.id = "a", .start = A},
        {.id = "b", .start = B, .restart = RESTART_TRANSIENT, .significant = true},
    };
    static const struct supervisor_spec tree = {.name = "root",
                                                .intensity = 3,
                                                .period_ms = 60000,
                                                .auto_shutdown = AUTO_SHUTDOWN_ANY_SIGNIFICANT,
                                                .children = list,
                                                .child_count = 2};
    scene_begin();
    scene.config.tree = &tree;
    play(end_b_in_peace);
    assert_int_equal(scene.exit, RUNTIME_EXIT_OK);
}

/* ---- what is told of each actor ---- */

static void fill_figures(struct ctx *c, uint64_t step, const struct info *info)
{
    CHECK(step == 0 || info->err == ERR_OK);
    if (step < 100) {
        CHECK(scene_call(c, B, step, 10 * SECOND_NS, step) == ERR_OK);
        return;
    }
    struct actor_stats b;
    CHECK(ctx_actor_stats_of(c, B, &b));
    CHECK(strcmp(b.name, "b") == 0 && b.messages >= 100 && b.messages_per_s > 0);
    CHECK(b.p50_ns > 0 && b.p99_ns >= b.p50_ns && b.p99_ns < 60 * SECOND_NS);
    CHECK(scene.is_sim || b.cpu_ns > 0);
    struct actor_stats root;
    CHECK(ctx_actor_stats_of(c, ROOT, &root) && strcmp(root.name, "root") == 0 && root.messages >= 5);
    CHECK(!ctx_actor_stats_of(c, SCENE_ACTORS, &root));
    scene_done();
}

static void test_figures_of_an_actor(void **state)
{
    (void)state;
    scene_begin();
    play(fill_figures);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_actor_is_stopped_and_started),
        cmocka_unit_test(test_what_would_take_the_caller_along_is_refused),
        cmocka_unit_test(test_root_answers_while_a_restart_keeps_failing),
        cmocka_unit_test(test_a_start_that_ignores_is_no_failure),
        cmocka_unit_test(test_children_are_added_and_end_by_their_type),
        cmocka_unit_test(test_strategies_and_the_order_of_children),
        cmocka_unit_test(test_a_child_that_cannot_start_again_ends_all),
        cmocka_unit_test(test_the_end_of_a_significant_child_ends_all),
        cmocka_unit_test(test_only_what_was_stopped_stays_down),
        cmocka_unit_test(test_figures_of_an_actor),
    };
    return scene_main(argc, argv, tests, ARRAY_LEN(tests));
}
