/* SPDX-License-Identifier: MIT */
/* Cancels: down the chain, in their own scope only, and when they overtake their call. */
#include "helper_scene.h"

#include <poll.h>

enum { LOOK_MS = 5, ARRIVAL_MS = 50, ROUNDS = 7 };

static struct reply_to held[16];

static enum err never(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)c;
    (void)msg;
    (void)call;
    count(1);
    return ERR_OK;
}

static void count_cancels_of_c(struct ctx *c, const struct info *info)
{
    (void)c;
    if (info->kind == INFO_CANCEL)
        count(6);
    if (counted(3) == 2 && counted(4) == 1 && counted(6) == 2)
        scene_done();
}

static enum err remember_and_pass_on(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    held[0] = call;
    (void)ctx_timer(c, ctx_now(c) + 5 * MS_NS, 1); /* later turn: the scope is named */
    (void)msg;
    return ERR_OK;
}

static void pass_on_later(struct ctx *c, const struct info *info)
{
    struct note note = {.n = 3};
    struct msg msg = {.kind = ASK, .fields = &note};
    if (info->kind == INFO_TIMER && info->tag == 1)
        CHECK(ctx_call(c, C, &msg, (struct call_opts){.scope = &held[0]}, 7) == ERR_OK);
    if (info->kind == INFO_REPLY) {
        CHECK(info->err == ERR_CANCELLED && info->tag == 7);
        CHECK(counted(4) == 0); /* its calls end before it hears of the cancel */
        count(3);
    }
    if (info->kind == INFO_CANCEL) {
        CHECK(reply_same(&info->call, &held[0]));
        count(4);
    }
}

static void give_up(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        CHECK(scene_call(c, B, 1, 10 * SECOND_NS, 1) == ERR_OK);
        (void)ctx_timer(c, ctx_now(c) + LOOK_MS * MS_NS, 2);
        return;
    }
    CHECK(info->kind == INFO_TIMER); /* no INFO_REPLY follows a cancel */
    if (counted(1) == 0)
        (void)ctx_timer(c, ctx_now(c) + LOOK_MS * MS_NS, 2); /* C is to have been asked */
    else
        ctx_cancel_call(c, 1);
}

static void test_a_cancel_runs_down_the_chain(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = give_up;
    scene.on_call[B] = remember_and_pass_on;
    scene.on_info[B] = pass_on_later;
    scene.on_call[C] = never;
    scene.on_info[C] = count_cancels_of_c;
    atomic_store(&scene.n[3], 1); /* one INFO_REPLY and one INFO_CANCEL at B, one more at C end it */
    atomic_store(&scene.n[6], 1);
    scene_play(10);
    assert_int_equal(counted(1), 1);
    assert_int_equal(counted(3), 2);
    assert_int_equal(counted(4), 1);
    assert_int_equal(counted(6), 2);
}

/* A asks B twice and gives the second up: what B asked C for the first goes on. */
static enum err ask_c_for_it(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    held[note_of(msg)->n] = call;
    CHECK(scene_call(c, C, note_of(msg)->n, 0, note_of(msg)->n) ==
          ERR_OK); /* within the handler: its scope by itself */
    return ERR_OK;
}

static void pass_answer_on(struct ctx *c, const struct info *info)
{
    if (info->kind == INFO_CANCEL)
        CHECK(reply_same(&info->call, &held[2]));
    if (info->kind != INFO_REPLY)
        return;
    CHECK(info->err == (info->tag == 1 ? ERR_OK : ERR_CANCELLED));
    if (info->err == ERR_OK)
        scene_reply(c, held[1], 1);
}

static enum err hold(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)c;
    held[10 + note_of(msg)->n] = call;
    count(8);
    return ERR_OK;
}

static void answer_the_other(struct ctx *c, const struct info *info)
{
    if (info->kind != INFO_CANCEL)
        return;
    CHECK(reply_same(&info->call, &held[12]));
    scene_reply(c, held[11], 1);
}

static void give_one_up(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        CHECK(scene_call(c, B, 1, 10 * SECOND_NS, 1) == ERR_OK);
        CHECK(scene_call(c, B, 2, 10 * SECOND_NS, 2) == ERR_OK);
        (void)ctx_timer(c, ctx_now(c) + LOOK_MS * MS_NS, 3);
    } else if (info->kind == INFO_TIMER && counted(8) < 2) {
        (void)ctx_timer(c, ctx_now(c) + LOOK_MS * MS_NS, 3);
    } else if (info->kind == INFO_TIMER) {
        ctx_cancel_call(c, 2);
    } else {
        CHECK(info->kind == INFO_REPLY && info->tag == 1 && info->err == ERR_OK);
        scene_done();
    }
}

static void test_a_cancel_ends_its_own_scope_only(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = give_one_up;
    scene.on_call[B] = ask_c_for_it;
    scene.on_info[B] = pass_answer_on;
    scene.on_call[C] = hold;
    scene.on_info[C] = answer_the_other;
    scene_play(10);
}

/* What B asks C for is for all: it goes on when A, whose call set it off, gives up. */
static enum err ask_c_for_all(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)msg;
    (void)call;
    ctx_detach(c);
    CHECK(scene_call(c, C, 1, 0, 1) == ERR_OK);
    return ERR_OK;
}

static void ask_once_more(struct ctx *c, const struct info *info)
{
    if (info->kind == INFO_CANCEL)
        CHECK(scene_call(c, C, 2, 0, 2) == ERR_OK);
    if (info->kind != INFO_REPLY)
        return;
    CHECK(info->err == ERR_OK);
    if (info->tag == 1)
        scene_done();
}

static enum err answer_both(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    held[10 + note_of(msg)->n] = call;
    count(8);
    if (counted(8) < 2)
        return ERR_OK;
    scene_reply(c, held[12], 1);
    scene_reply(c, held[11], 1);
    return ERR_OK;
}

static void give_up_once_c_was_asked(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        CHECK(scene_call(c, B, 1, 10 * SECOND_NS, 1) == ERR_OK);
    if (counted(8) == 0)
        (void)ctx_timer(c, ctx_now(c) + LOOK_MS * MS_NS, 2);
    else
        ctx_cancel_call(c, 1);
}

static void test_what_is_detached_goes_on(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = give_up_once_c_was_asked;
    scene.on_call[B] = ask_c_for_all;
    scene.on_info[B] = ask_once_more;
    scene.on_call[C] = answer_both;
    scene_play(10);
}

/*
 * On inproc B sits in its first call until the calls, their cancels and the last call have arrived. Nobody can see that they have: if they
 * have not, all begins anew with more time.
 */
static void begin_round(struct ctx *c)
{
    atomic_store(&scene.n[1], 0);
    atomic_store(&scene.n[7], 0);
    CHECK(scene_call(c, B, 50, 60 * SECOND_NS, 50) == ERR_OK);
    (void)ctx_timer(c, ctx_now(c) + LOOK_MS * MS_NS, 1);
}

static void cancel_at_once(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        begin_round(c);
        return;
    }
    if (info->kind == INFO_TIMER && info->tag == 1) {
        for (uint64_t i = 0; i < 10; i++)
            CHECK(scene_call(c, B, i, 60 * SECOND_NS, i) == ERR_OK);
        for (uint64_t i = 0; i < 10; i++)
            ctx_cancel_call(c, i);
        CHECK(scene_call(c, B, 99, 60 * SECOND_NS, 99) == ERR_OK);
        (void)ctx_timer(c, ctx_now(c) + (ARRIVAL_MS * MS_NS << counted(8)), 2);
        return;
    }
    if (info->kind == INFO_TIMER) {
        atomic_store(&scene.n[7], 1);
        return;
    }
    CHECK(info->kind == INFO_REPLY && (info->tag == 50 || info->tag == 99));
    if (info->tag != 99)
        return;
    count(8);
    if (scene.is_sim || counted(1) == 2 || counted(8) == ROUNDS)
        scene_done();
    else
        begin_round(c);
}

static enum err count_calls(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    count(1);
    while (!scene.is_sim && counted(7) == 0)
        (void)poll(NULL, 0, 1);
    scene_reply(c, call, note_of(msg)->n);
    return ERR_OK;
}

static void test_a_cancelled_call_is_never_heard_of_again(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = cancel_at_once;
    scene.on_call[B] = count_calls;
    scene_play(30);
    if (scene.is_sim)
        assert_in_range(counted(1), 2, 12);
    else
        assert_int_equal(counted(1), 2); /* their cancels overtook them */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cancel_runs_down_the_chain),
        cmocka_unit_test(test_a_cancel_ends_its_own_scope_only),
        cmocka_unit_test(test_what_is_detached_goes_on),
        cmocka_unit_test(test_a_cancelled_call_is_never_heard_of_again),
    };
    return scene_main(argc, argv, tests, ARRAY_LEN(tests));
}
