/* SPDX-License-Identifier: MIT */
/* The chaos switch: A makes B fail in each way there is, and sees what it would see of a real failure. */
#include "helper_scene.h"

#include "base/limits.h"
#include "mailbox/chaos.h"

enum { VALUE_MS = 100, ANSWERED = 1, AGAIN };

static enum err order(struct ctx *c, enum chaos_kind kind, uint64_t value)
{
    return ctx_chaos(c, span_text("b"), kind, value);
}

static enum err answer(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    scene_reply(c, call, note_of(msg)->n);
    return ERR_OK;
}

static void begin(void (*on_info)(struct ctx *, const struct info *))
{
    scene_begin();
    scene.config.chaos = true;
    scene.on_info[A] = on_info;
    scene.on_call[B] = answer;
}

/* ---- refusals ---- */

static void try_while_off(struct ctx *c, const struct info *info)
{
    if (!is_start(info))
        return;
    CHECK(!ctx_chaos_allowed(c));
    for (int kind = CHAOS_NONE; kind < CHAOS_COUNT; kind++)
        CHECK(order(c, (enum chaos_kind)kind, 0) == ERR_DENIED);
    CHECK(ctx_chaos(c, span_text("nobody"), CHAOS_FAIL, 0) == ERR_DENIED);
    CHECK(scene_call(c, B, 1, 0, ANSWERED) == ERR_OK);
}

static void stop_on_answer(struct ctx *c, const struct info *info)
{
    try_while_off(c, info);
    if (info->kind == INFO_REPLY) {
        CHECK(info->err == ERR_OK);
        scene_done();
    }
}

static void test_it_is_off_unless_asked_for(void **state)
{
    (void)state;
    begin(stop_on_answer);
    scene.config.chaos = false;
    scene_play(10);
}

static void try_nonsense(struct ctx *c, const struct info *info)
{
    if (!is_start(info))
        return;
    CHECK(ctx_chaos(c, span_text("nobody"), CHAOS_FAIL, 0) == ERR_NOT_FOUND);
    CHECK(ctx_chaos(c, span_text("root"), CHAOS_FAIL, 0) == ERR_NOT_FOUND);
    CHECK(order(c, CHAOS_NONE, 0) == ERR_INVALID);
    CHECK(order(c, CHAOS_FAIL, 1) == ERR_TOO_LARGE);
    CHECK(order(c, CHAOS_STALL, chaos_value_max(CHAOS_STALL) + 1) == ERR_TOO_LARGE);
    CHECK(chaos_kind_of(span_text("start-fails")) == CHAOS_START_FAILS);
    CHECK(chaos_kind_of(span_text("")) == CHAOS_NONE);
    scene_done();
}

static void test_nonsense_is_refused(void **state)
{
    (void)state;
    begin(try_nonsense);
    scene_play(10);
}

/* ---- ends ---- */

static void end_it_twice(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        CHECK(ctx_monitor(c, B) == ERR_OK);
    if (info->kind == INFO_UP && counted(0) == 2)
        scene_done();
    else if (info->kind == INFO_UP)
        CHECK(order(c, counted(0) == 0 ? CHAOS_EXIT : CHAOS_FAIL, 0) == ERR_OK);
    if (info->kind != INFO_DOWN || counted(0) == 2)
        return; /* the end of the scene */
    CHECK(info->reason == (counted(0) == 0 ? EXIT_NORMAL : EXIT_FAILED));
    count(0);
}

static void test_exit_and_fail_end_a_life(void **state)
{
    (void)state;
    begin(end_it_twice);
    scene_play(10);
    assert_int_equal(counted(0), 2);
}

static void end_oneself(struct ctx *c, const struct info *info)
{
    if (!is_start(info))
        return;
    count(0);
    if (counted(0) == 1)
        CHECK(ctx_chaos(c, span_text("a"), CHAOS_FAIL, 0) == ERR_OK);
    else
        scene_done();
}

static void test_an_actor_may_be_told_by_itself(void **state)
{
    (void)state;
    begin(end_oneself);
    scene_play(10);
    assert_int_equal(counted(0), 2);
}

static void note_failed_starts(void *arg, struct ctx *root, const struct supervision_event *event)
{
    (void)arg;
    (void)root;
    if (event->kind == SUPERVISION_START_FAILED)
        count(1);
}

static void fail_starts(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        CHECK(ctx_monitor(c, B) == ERR_OK);
    if (info->kind == INFO_UP && counted(0) == 1)
        scene_done();
    else if (info->kind == INFO_UP)
        CHECK(order(c, CHAOS_START_FAILS, 2) == ERR_OK);
    if (info->kind == INFO_DOWN)
        count(0);
}

static void test_so_many_starts_fail(void **state)
{
    (void)state;
    begin(fail_starts);
    scene.config.event = note_failed_starts;
    scene_play(10);
    assert_int_equal(counted(1), 2);
}

/* ---- time ---- */

static void ask_under_order(struct ctx *c, const struct info *info, enum chaos_kind kind)
{
    if (is_start(info)) {
        CHECK(order(c, kind, VALUE_MS) == ERR_OK);
        atomic_store(&scene.n[1], ctx_now(c));
        CHECK(scene_call(c, B, 1, 0, ANSWERED) == ERR_OK);
    }
    if (info->kind != INFO_REPLY)
        return;
    CHECK(info->err == ERR_OK);
    uint64_t took = ctx_now(c) - counted(1);
    if (info->tag == AGAIN) {
        CHECK(!scene.is_sim || took < VALUE_MS * MS_NS); /* calm: only the simulator's time is only ours */
        scene_done();
        return;
    }
    CHECK(took >= VALUE_MS * MS_NS);
    CHECK(order(c, CHAOS_CALM, 0) == ERR_OK);
    atomic_store(&scene.n[1], ctx_now(c));
    (void)ctx_timer(c, ctx_now(c) + 4 * VALUE_MS * MS_NS, 7); /* a turn that is slow already is over then */
}

static void ask_calm(struct ctx *c, const struct info *info)
{
    if (info->kind != INFO_TIMER || info->tag != 7)
        return;
    atomic_store(&scene.n[1], ctx_now(c));
    CHECK(scene_call(c, B, 2, 0, AGAIN) == ERR_OK);
}

static void ask_stalled(struct ctx *c, const struct info *info)
{
    ask_under_order(c, info, CHAOS_STALL);
    ask_calm(c, info);
}

static void ask_slow(struct ctx *c, const struct info *info)
{
    ask_under_order(c, info, CHAOS_SLOW);
    ask_calm(c, info);
}

static void test_a_stalled_actor_answers_later(void **state)
{
    (void)state;
    begin(ask_stalled);
    scene_play(10);
}

static void test_a_slow_actor_answers_later_until_calm(void **state)
{
    (void)state;
    begin(ask_slow);
    scene_play(10);
}

/* ---- room ---- */

static void knock_until_room(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        CHECK(order(c, CHAOS_FILL, VALUE_MS) == ERR_OK);
    if (info->kind == INFO_ROOM) {
        CHECK(info->actor == B && counted(0) == 1);
        CHECK(scene_cast(c, B, TELL, 1) == ERR_OK);
        scene_done();
    }
    if (info->kind != INFO_TIMER || counted(0) == 1)
        return;
    if (scene_cast(c, B, TELL, 0) == ERR_BUSY)
        count(0);
    else
        (void)ctx_timer(c, ctx_now(c) + MS_NS / 10, 8); /* it has not read the order yet */
}

static void test_a_full_mailbox_refuses_then_says_room(void **state)
{
    (void)state;
    begin(knock_until_room);
    scene_play(10);
    assert_int_equal(counted(0), 1);
}

static void fill_then_fail(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        CHECK(ctx_monitor(c, B) == ERR_OK);
        CHECK(order(c, CHAOS_FILL, chaos_value_max(CHAOS_FILL)) == ERR_OK);
    }
    if (info->kind == INFO_UP && counted(1) == 1) {
        CHECK(scene_cast(c, B, TELL, 1) == ERR_OK);
        scene_done();
    }
    if (info->kind == INFO_DOWN)
        count(1);
    if (info->kind != INFO_TIMER || counted(0) == 1)
        return;
    if (scene_cast(c, B, TELL, 0) == ERR_BUSY) {
        count(0);
        CHECK(order(c, CHAOS_FAIL, 0) == ERR_OK);
    } else {
        (void)ctx_timer(c, ctx_now(c) + MS_NS / 10, 8);
    }
}

static void test_a_new_life_has_its_room_again(void **state)
{
    (void)state;
    begin(fill_then_fail);
    scene_play(10);
}

/* ---- memory ---- */

static struct budget budget;

static uint64_t mailbox_bytes(struct budget *of)
{
    return account_used(&of->accounts[ACCOUNT_MAILBOX]);
}

static void leak_then_ask(struct ctx *c, const struct info *info)
{
    enum { BYTES = 300000 };
    if (is_start(info)) {
        CHECK(order(c, counted(0) == 0 ? CHAOS_LEAK : CHAOS_LEAK_CHARGED, BYTES) == ERR_OK);
        CHECK(scene_call(c, B, 1, 0, ANSWERED) == ERR_OK);
    }
    if (info->kind != INFO_REPLY)
        return;
    CHECK(info->err == ERR_OK);
    CHECK(counted(0) == 0 ? mailbox_bytes(ctx_budget(c)) < BYTES : mailbox_bytes(ctx_budget(c)) >= BYTES);
    count(0);
    if (counted(0) == 1)
        (void)ctx_timer(c, ctx_now(c), START);
    else
        scene_done();
}

static void test_a_leak_is_charged_where_it_is_asked_to_be(void **state)
{
    (void)state;
    begin(leak_then_ask);
    assert_int_equal(budget_init(&budget, 64 * MIB), ERR_OK);
    scene.config.budget = &budget;
    scene_play(10);
    assert_int_equal(counted(0), 2);
    assert_int_equal(mailbox_bytes(&budget), 0);
}

/* ---- for good ---- */

static struct runtime *left_behind UNUSED;

static void hang_it(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        CHECK(ctx_monitor(c, B) == ERR_OK && order(c, CHAOS_HANG, 0) == ERR_OK);
    if (info->kind == INFO_UP && info->actor == B)
        count(0);
    if (scene.is_ipc && counted(0) == 2) /* the life that hung, and the next */
        scene_done();
    if (is_start(info) && scene.is_sim)
        (void)ctx_timer(c, ctx_now(c) + SECOND_NS, 1);
    if (info->kind == INFO_TIMER && info->tag == 1)
        scene_done();
}

/* The watchdog finds it, or who stops it does; either way the process has to end: that of all, or on ipc its own. */
static void test_a_hung_actor_ends_its_process(void **state)
{
    (void)state;
    begin(hang_it);
    scene_watch();
    char why[256];
    assert_int_equal(scene_start(why, sizeof(why)), ERR_OK);
    assert_true(scene_wait(10));
    left_behind = scene.rt;
    scene_stop();
    assert_int_equal(scene.exit, scene.is_ipc ? RUNTIME_EXIT_OK : RUNTIME_EXIT_STUCK);
}

/* ---- without bounds ---- */

enum { OFTEN = 200 }; /* more than the intensity of a scene */

static void end_often(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        CHECK(ctx_monitor(c, B) == ERR_OK);
    if (info->kind != INFO_UP)
        return;
    count(0);
    if (counted(0) > OFTEN)
        scene_done();
    else
        CHECK(order(c, CHAOS_FAIL, 0) == ERR_OK);
}

static void note_delays(void *arg, struct ctx *root, const struct supervision_event *event)
{
    (void)arg;
    (void)root;
    CHECK(event->kind != SUPERVISION_RESTARTING || event->delay_ms == 0);
}

static void test_without_bounds_no_number_of_restarts_is_too_many(void **state)
{
    (void)state;
    begin(end_often);
    scene.config.unbounded_restarts = true;
    scene.config.event = note_delays;
    scene_play(60);
    assert_int_equal(counted(0), OFTEN + 1);
}

static void test_a_lower_intensity_ends_the_tree_sooner(void **state)
{
    (void)state;
    begin(end_often);
    scene.config.intensity = 2;
    scene_play(60);
    assert_int_equal(scene.exit, RUNTIME_EXIT_ESCALATED);
    assert_int_equal(counted(0), 3); /* the first life and two restarts */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_off_unless_asked_for),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_exit_and_fail_end_a_life),
        cmocka_unit_test(test_an_actor_may_be_told_by_itself),
        cmocka_unit_test(test_so_many_starts_fail),
        cmocka_unit_test(test_a_stalled_actor_answers_later),
        cmocka_unit_test(test_a_slow_actor_answers_later_until_calm),
        cmocka_unit_test(test_a_full_mailbox_refuses_then_says_room),
        cmocka_unit_test(test_a_new_life_has_its_room_again),
        cmocka_unit_test(test_a_leak_is_charged_where_it_is_asked_to_be),
        cmocka_unit_test(test_without_bounds_no_number_of_restarts_is_too_many),
        cmocka_unit_test(test_a_lower_intensity_ends_the_tree_sooner),
        cmocka_unit_test(test_a_hung_actor_ends_its_process),
    };
    return SCENE_MAIN(tests);
}
