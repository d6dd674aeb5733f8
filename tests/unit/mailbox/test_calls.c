/* SPDX-License-Identifier: MIT */
/* Calls and casts as two actors see them: answers, errors, deadlines, cancels, coalescing. */
#include "helper_scene.h"

#include <string.h>

#include "mailbox/runtime.h"

/* ---- answers ---- */

static enum err answer_double(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    CHECK(msg->kind == ASK && msg->from == A);
    CHECK(msg->deadline_ns > ctx_now(c));
    scene_reply(c, call, note_of(msg)->n * 2);
    return ERR_OK;
}

static void ask_hundred(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        for (uint64_t i = 0; i < 100; i++)
            CHECK(scene_call(c, B, i, SECOND_NS, i) == ERR_OK);
        return;
    }
    CHECK(info->kind == INFO_REPLY && info->err == ERR_OK && info->actor == B);
    CHECK(note_of(info->msg)->n == info->tag * 2);
    CHECK(info->tag == counted(0)); /* in order */
    count(0);
    if (counted(0) == 100)
        scene_done();
}

static void test_each_call_is_answered_in_order(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = ask_hundred;
    scene.on_call[B] = answer_double;
    scene_play(10);
    assert_int_equal(counted(0), 100);
}

static enum err answer_error(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    if (note_of(msg)->n == 0)
        return ERR_NOT_FOUND;
    ctx_reply_err(c, call, ERR_DENIED, "not number %d", 7);
    return ERR_OK;
}

static void expect_errors(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        CHECK(scene_call(c, B, 0, SECOND_NS, 0) == ERR_OK);
        CHECK(scene_call(c, B, 1, SECOND_NS, 1) == ERR_OK);
        CHECK(scene_call(c, C, 0, SECOND_NS, 2) == ERR_OK); /* has no handler */
        return;
    }
    CHECK(info->kind == INFO_REPLY && info->msg == NULL);
    if (info->tag == 0)
        CHECK(info->err == ERR_NOT_FOUND && strcmp(info->text, "") == 0);
    if (info->tag == 1)
        CHECK(info->err == ERR_DENIED && strcmp(info->text, "not number 7") == 0);
    if (info->tag == 2)
        CHECK(info->err == ERR_UNSUPPORTED);
    count(0);
    if (counted(0) == 3)
        scene_done();
}

static void test_errors_carry_code_and_text(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = expect_errors;
    scene.on_call[B] = answer_error;
    scene_play(10);
}

/* ---- a reply must fit what was reserved ---- */

static enum err answer_large(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    static const uint8_t pad[8000];
    struct note note = {.n = 1, .pad = span_of(pad, note_of(msg)->n)};
    ctx_reply(c, call, &(struct msg){.kind = ANSWER, .fields = &note});
    return ERR_OK;
}

static void expect_large(struct ctx *c, const struct info *info)
{
    struct note ask = {.n = 8000};
    struct msg msg = {.kind = ASK, .fields = &ask};
    if (is_start(info)) {
        CHECK(ctx_call(c, B, &msg, (struct call_opts){.timeout_ns = SECOND_NS}, 1) == ERR_OK);
        CHECK(ctx_call(c, B, &msg, (struct call_opts){.timeout_ns = SECOND_NS, .reply_bytes_max = 9000}, 2) == ERR_OK);
        return;
    }
    CHECK(info->err == (info->tag == 1 ? ERR_TOO_LARGE : ERR_OK));
    if (info->tag == 2) {
        CHECK(note_of(info->msg)->pad.len == 8000);
        scene_done();
    }
}

static void test_a_reply_beyond_its_reservation_is_too_large(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = expect_large;
    scene.on_call[B] = answer_large;
    scene_play(10);
}

static void reserve_too_much(struct ctx *c, const struct info *info)
{
    struct note ask = {.n = 0};
    struct msg msg = {.kind = ASK, .fields = &ask};
    const struct call_opts half = {.timeout_ns = SECOND_NS, .reply_bytes_max = 2 * 1024 * 1024};
    if (is_start(info)) {
        CHECK(ctx_call(c, B, &msg, half, 1) == ERR_OK);
        CHECK(ctx_call(c, B, &msg, half, 2) == ERR_OK);
        CHECK(ctx_call(c, B, &msg, half, 3) == ERR_BUSY); /* 4 MiB are reserved */
        return;
    }
    count(0);
    if (info->tag == 1)
        CHECK(ctx_call(c, B, &msg, half, 4) == ERR_OK); /* a reply gives its reservation back */
    if (counted(0) == 3)
        scene_done();
}

static void test_reservations_are_bounded(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = reserve_too_much;
    scene.on_call[B] = answer_large;
    scene_play(10);
}

/* ---- 1,024 in flight ---- */

static struct reply_to held[CALLS_IN_FLIGHT_MAX];

static enum err hold(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    uint64_t n = note_of(msg)->n;
    held[n] = call;
    count(1);
    if (counted(1) == CALLS_IN_FLIGHT_MAX) {
        for (int i = CALLS_IN_FLIGHT_MAX - 1; i >= 0; i--)
            scene_reply(c, held[i], (uint64_t)i);
    }
    return ERR_OK;
}

static void fill_flight(struct ctx *c, const struct info *info)
{
    const struct call_opts small = {.timeout_ns = 20 * SECOND_NS, .reply_bytes_max = 64};
    struct note ask = {0};
    struct msg msg = {.kind = ASK, .fields = &ask};
    if (is_start(info)) {
        for (ask.n = 0; ask.n < CALLS_IN_FLIGHT_MAX; ask.n++)
            CHECK(ctx_call(c, B, &msg, small, ask.n) == ERR_OK);
        CHECK(ctx_call(c, B, &msg, small, 0) == ERR_BUSY);
        return;
    }
    CHECK(info->err == ERR_OK && note_of(info->msg)->n == info->tag);
    CHECK(info->tag == CALLS_IN_FLIGHT_MAX - 1 - counted(0)); /* answered last first */
    count(0);
    if (counted(0) == CALLS_IN_FLIGHT_MAX)
        scene_done();
}

static void test_calls_in_flight_are_bounded_and_answered_in_any_order(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = fill_flight;
    scene.on_call[B] = hold;
    scene_play(20);
}

/* ---- deadlines ---- */

static enum err never(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)c;
    (void)msg;
    (void)call;
    count(1);
    return ERR_OK;
}

static void note_cancel(struct ctx *c, const struct info *info)
{
    (void)c;
    if (info->kind == INFO_CANCEL) {
        CHECK(info->call.from == A);
        count(2);
        scene_done();
    }
}

static void expect_timeout(struct ctx *c, const struct info *info)
{
    static _Thread_local uint64_t asked_at;
    if (is_start(info)) {
        asked_at = ctx_now(c);
        CHECK(scene_call(c, B, 1, 50 * MS_NS, 1) == ERR_OK);
        return;
    }
    CHECK(info->kind == INFO_REPLY && info->err == ERR_TIMEOUT);
    CHECK(ctx_now(c) - asked_at >= 50 * MS_NS && ctx_now(c) - asked_at < SECOND_NS);
    count(0);
}

static void test_a_call_times_out_and_the_callee_hears_of_it(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = expect_timeout;
    scene.on_call[B] = never;
    scene.on_info[B] = note_cancel;
    scene_play(10);
    assert_int_equal(counted(0), 1);
    assert_int_equal(counted(1), 1);
    assert_int_equal(counted(2), 1);
}

/* B's call to C inherits what is left of A's. */
static enum err pass_on(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)call;
    CHECK(scene_call(c, C, note_of(msg)->n, 100 * SECOND_NS, 7) == ERR_OK);
    struct note note = {.n = 0};
    struct msg again = {.kind = ASK, .fields = &note};
    CHECK(ctx_call(c, C, &again, (struct call_opts){0}, 8) == ERR_OK);
    atomic_store(&scene.n[5], msg->deadline_ns);
    return ERR_OK;
}

static enum err check_inherited(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)c;
    CHECK(msg->deadline_ns == atomic_load(&scene.n[5]));
    CHECK(call.deadline_ns == msg->deadline_ns);
    CHECK(msg->trace == call.trace && msg->trace == 0); /* of no request: see test_traces */
    count(1);
    return ERR_OK;
}

static void count_ends_of_b(struct ctx *c, const struct info *info)
{
    (void)c;
    if (info->kind == INFO_REPLY) {
        CHECK(info->err == ERR_TIMEOUT || info->err == ERR_CANCELLED);
        count(3);
    }
    if (info->kind == INFO_CANCEL)
        count(4);
    if (counted(3) == 2 && counted(4) == 1 && counted(6) == 2)
        scene_done();
}

static void count_cancels_of_c(struct ctx *c, const struct info *info)
{
    (void)c;
    if (info->kind == INFO_CANCEL)
        count(6);
    if (counted(3) == 2 && counted(4) == 1 && counted(6) == 2)
        scene_done();
}

static void test_deadlines_are_inherited(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = expect_timeout;
    scene.on_call[B] = pass_on;
    scene.on_info[B] = count_ends_of_b;
    scene.on_call[C] = check_inherited;
    scene.on_info[C] = count_cancels_of_c;
    scene_play(10);
    assert_int_equal(counted(1), 2);
}

/* An expired request is dropped unprocessed: B is busy beyond A's deadline. */
static enum err first_is_slow(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)call;
    CHECK(note_of(msg)->n == 0); /* the second must not come */
    count(1);
    uint64_t until = ctx_now(c) + 60 * MS_NS;
    (void)ctx_timer(c, until, 1);
    return ERR_OK;
}

static void ask_past_deadline(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        /* In the past already when it is asked. */
        struct reply_to past = {.correlation = 1, .from = B, .deadline_ns = ctx_now(c)};
        struct note note = {.n = 9};
        struct msg msg = {.kind = ASK, .fields = &note};
        CHECK(ctx_call(c, B, &msg, (struct call_opts){.timeout_ns = SECOND_NS, .scope = &past}, 3) == ERR_TIMEOUT);
        CHECK(scene_call(c, B, 1, 1, 2) == ERR_OK); /* one nanosecond: over when it arrives */
        return;
    }
    CHECK(info->kind == INFO_REPLY && info->tag == 2 && info->err == ERR_TIMEOUT);
    (void)scene_call(c, B, 0, SECOND_NS, 4);
    scene.on_info[A] = NULL;
}

static void end_on_timer(struct ctx *c, const struct info *info)
{
    (void)c;
    if (info->kind == INFO_TIMER && info->tag == 1)
        scene_done();
}

static void test_expired_requests_are_not_processed(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = ask_past_deadline;
    scene.on_info[B] = end_on_timer;
    scene.on_call[B] = first_is_slow;
    char why[256];
    assert_int_equal(scene_start(why, sizeof(why)), ERR_OK);
    assert_true(scene_wait(10));
    struct runtime_stats stats;
    runtime_stats(scene.rt, &stats);
    assert_int_equal(stats.expired, 1);
    scene_stop();
    assert_int_equal(counted(1), 1);
}

/* ---- casts ---- */

enum { CASTS = 3000 };

static void cast_many(struct ctx *c, const struct info *info)
{
    if (!is_start(info))
        return;
    struct runtime_stats stats;
    runtime_stats(scene.rt, &stats);
    atomic_store(&scene.n[1], stats.batches);
    for (uint64_t i = 0; i < CASTS; i++)
        CHECK(scene_cast(c, B, TELL, i) == ERR_OK);
}

static void expect_in_order(struct ctx *c, const struct msg *msg)
{
    (void)c;
    CHECK(msg->from == A && note_of(msg)->n == counted(0));
    count(0);
    if (counted(0) == CASTS)
        scene_done();
}

static void test_casts_of_a_turn_travel_in_few_batches(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = cast_many;
    scene.on_cast[B] = expect_in_order;
    char why[256];
    assert_int_equal(scene_start(why, sizeof(why)), ERR_OK);
    assert_true(scene_wait(10));
    struct runtime_stats stats;
    runtime_stats(scene.rt, &stats);
    assert_int_equal(stats.casts, CASTS);
    /* 3,000 of 64 bytes: 64 KiB each, the rest in one when the socket is full. */
    assert_in_range(stats.batches - counted(1), 2, 12);
    scene_stop();
    assert_int_equal(counted(0), CASTS);
}

/* ---- tails ---- */

static enum err check_tail(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    CHECK(msg->tail != NULL && msg->tail->len == 100000 && msg->tail->data[99999] == 7);
    struct note note = {.n = 1};
    ctx_reply(c, call, &(struct msg){.kind = ANSWER, .fields = &note, .tail = msg->tail});
    return ERR_OK;
}

static struct block_ref *sent_tail;

static void send_tail(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        sent_tail = block_ref_new(100000, NULL);
        memset(sent_tail->data, 7, sent_tail->len);
        struct note note = {.n = 1};
        struct msg msg = {.kind = ASK, .fields = &note, .tail = sent_tail};
        CHECK(ctx_call(c, B, &msg, (struct call_opts){.timeout_ns = SECOND_NS}, 1) == ERR_OK);
        return;
    }
    CHECK(info->err == ERR_OK && info->msg->tail->len == 100000 && info->msg->tail->data[0] == 7);
    CHECK(scene.is_ipc || info->msg->tail == sent_tail); /* by reference, not by copy, where memory is one */
    block_ref_unref(sent_tail);
    scene_done();
}

static void test_tails_travel_by_reference(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = send_tail;
    scene.on_call[B] = check_tail;
    scene_play(10);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_is_answered_in_order),
        cmocka_unit_test(test_errors_carry_code_and_text),
        cmocka_unit_test(test_a_reply_beyond_its_reservation_is_too_large),
        cmocka_unit_test(test_reservations_are_bounded),
        cmocka_unit_test(test_calls_in_flight_are_bounded_and_answered_in_any_order),
        cmocka_unit_test(test_a_call_times_out_and_the_callee_hears_of_it),
        cmocka_unit_test(test_deadlines_are_inherited),
        cmocka_unit_test(test_expired_requests_are_not_processed),
        cmocka_unit_test(test_casts_of_a_turn_travel_in_few_batches),
        cmocka_unit_test(test_tails_travel_by_reference),
    };
    return scene_main(argc, argv, tests, ARRAY_LEN(tests));
}
