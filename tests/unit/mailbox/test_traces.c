/* SPDX-License-Identifier: MIT */
/* Traces: what a request caused, through turns, jobs and casts, put together again as a tree; the ring when it is full. */
#include "helper_scene.h"

#include <pthread.h>
#include <stdlib.h>

#include "mailbox/hop_tree.h"

enum { OPERATION = 7, CODE = 3, NAMED = 0x80000005, LOOK_MS = 5, JOB_TAG = 9 };

static struct reply_to request;
static struct reply_to asked;

struct seen {
    struct trace_hop rows[64];
    size_t row_count;
    bool whole;
};

static struct seen *seen(void)
{
    _Static_assert(sizeof(struct seen) <= SCENE_PAGE_BYTES, "it fits");
    return scene.page;
}

static void read_rows(struct ctx *c, uint32_t trace)
{
    struct seen *s = seen();
    s->row_count = ctx_trace_read(c, trace, s->rows, ARRAY_LEN(s->rows), &s->whole);
    scene_done();
}

static const struct trace_hop *row_of(enum trace_what what, actor_id from, actor_id to)
{
    const struct trace_hop *rows = seen()->rows;
    for (size_t i = 0; i < seen()->row_count; i++)
        if (rows[i].what == what && rows[i].from == from && rows[i].to == to)
            return &rows[i];
    fail_msg("no row %u from %u to %u among %zu", (unsigned)what, from, to, seen()->row_count);
    return NULL;
}

static enum err answer_at_once(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    scene_reply(c, call, note_of(msg)->n);
    return ERR_OK;
}

static enum err work(void *arg, const _Atomic bool *cancelled)
{
    (void)arg;
    (void)cancelled;
    return ERR_NOT_FOUND;
}

/* True once the row of D's cast says that it was handled. */
static bool told_handled(struct ctx *c)
{
    struct seen *s = seen();
    s->row_count = ctx_trace_read(c, NAMED, s->rows, ARRAY_LEN(s->rows), &s->whole);
    for (size_t i = 0; i < s->row_count; i++)
        if (s->rows[i].what == TRACE_CAST && s->rows[i].to == D)
            return s->rows[i].handled_ns != 0;
    return false;
}

/* ---- A asks B; B does a job, and then, in a later turn, asks C and tells D ---- */

static void begin(struct ctx *c, const struct info *info)
{
    struct note note = {.n = 1};
    const struct msg msg = {.kind = ASK, .fields = &note};
    if (is_start(info)) {
        ctx_request_begin(c, NAMED, OPERATION, ctx_now(c) + SECOND_NS, &request);
        CHECK(ctx_call(c, B, &msg, (struct call_opts){.scope = &request}, 1) == ERR_OK);
        return;
    }
    if (info->kind == INFO_REPLY) {
        CHECK(info->err == ERR_OK);
        ctx_request_end(c, &request, CODE);
        count(2);
    }
    if (counted(2) == 0 || !told_handled(c)) /* D notes its row once its handler has returned */
        (void)ctx_timer(c, ctx_now(c) + LOOK_MS * MS_NS, 2);
    else
        read_rows(c, NAMED);
}

static enum err do_job(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)msg;
    asked = call;
    CHECK(ctx_job(c, "work", work, NULL, NULL, JOB_TAG) == ERR_OK);
    return ERR_OK;
}

static void ask_on(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        return;
    if (info->kind == INFO_JOB) {
        CHECK(scene_call(c, C, 5, SECOND_NS, 2) == ERR_OK); /* of no scope, but caused by the request */
        CHECK(scene_cast(c, D, TELL, 6) == ERR_OK);
        return;
    }
    CHECK(info->kind == INFO_REPLY && info->err == ERR_OK);
    scene_reply(c, asked, 1);
}

static void hear(struct ctx *c, const struct msg *msg)
{
    (void)c;
    (void)msg;
    count(1);
}

static void test_what_a_request_caused_is_a_tree(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = begin;
    scene.on_call[B] = do_job;
    scene.on_info[B] = ask_on;
    scene.on_call[C] = answer_at_once;
    scene.on_cast[D] = hear;
    scene_play(10);
    assert_int_equal(counted(1), 1);
    assert_int_equal(seen()->row_count, 5);
    assert_true(seen()->whole);
    const struct trace_hop *root = row_of(TRACE_REQUEST, A, A);
    const struct trace_hop *call = row_of(TRACE_CALL, A, B);
    const struct trace_hop *job = row_of(TRACE_JOB, B, B);
    const struct trace_hop *next = row_of(TRACE_CALL, B, C);
    const struct trace_hop *told = row_of(TRACE_CAST, B, D);
    assert_true(root->depth == 0 && root->kind == OPERATION && root->ended && root->err == CODE);
    assert_true(call->depth == 1 && call->kind == ASK && call->ended && call->err == ERR_OK);
    assert_true(job->depth == 2 && job->err == ERR_NOT_FOUND);
    assert_true(next->depth == 2 && next->kind == ASK && told->depth == 2 && told->kind == TELL);
    assert_true(root->deadline_ns == call->deadline_ns && call->deadline_ns > next->sent_ns);
    assert_true(root->sent_ns <= call->sent_ns && call->sent_ns <= call->received_ns);
    assert_true(call->received_ns <= call->handled_ns); /* by then the job that it began may have ended */
    assert_true(call->received_ns <= job->sent_ns);
    assert_true(job->sent_ns <= job->received_ns && job->received_ns <= job->handled_ns);
    assert_true(job->ended_ns <= next->sent_ns && next->ended_ns <= call->ended_ns);
    assert_true(told->received_ns >= told->sent_ns && call->ended_ns <= root->ended_ns);
}

/* ---- ends ---- */

/* Of three calls one is given up, one is too late, one is refused by its callee: each row says so. */
static void end_in_each_way(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        ctx_request_begin(c, 0, OPERATION, ctx_now(c) + SECOND_NS, &request);
        CHECK(request.trace != 0 && request.trace == ctx_trace_last(c));
        CHECK(scene_call(c, C, 1, SECOND_NS, 1) == ERR_OK);
        CHECK(scene_call(c, B, 1, LOOK_MS * MS_NS, 2) == ERR_OK);
        CHECK(scene_call(c, D, 1, SECOND_NS, 3) == ERR_OK);
        return;
    }
    CHECK(info->kind == INFO_REPLY);
    count(1);
    if (info->tag == 3)
        ctx_cancel_call(c, 1);
    if (counted(1) == 2)
        read_rows(c, request.trace);
}

static enum err hold(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)c;
    (void)msg;
    (void)call;
    return ERR_OK;
}

static enum err refuse(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)c;
    (void)msg;
    (void)call;
    return ERR_DENIED;
}

static void test_each_end_is_told(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = end_in_each_way;
    scene.on_call[B] = hold;
    scene.on_call[C] = hold;
    scene.on_call[D] = refuse;
    scene_play(10);
    assert_int_equal(seen()->row_count, 4);
    assert_false(row_of(TRACE_REQUEST, A, A)->ended);
    assert_true(row_of(TRACE_CALL, A, B)->ended && row_of(TRACE_CALL, A, B)->err == ERR_TIMEOUT);
    assert_true(row_of(TRACE_CALL, A, C)->ended && row_of(TRACE_CALL, A, C)->err == ERR_CANCELLED);
    assert_true(row_of(TRACE_CALL, A, D)->ended && row_of(TRACE_CALL, A, D)->err == ERR_DENIED);
}

/* What comes between, and what nobody asked to trace, is not in it. */
static void ask_untraced(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        CHECK(scene_call(c, B, 1, SECOND_NS, 1) == ERR_OK);
        ctx_request_begin(c, 0, OPERATION, ctx_now(c) + SECOND_NS, &request);
        ctx_caused_by(c, NULL);
        CHECK(scene_call(c, B, 2, SECOND_NS, 2) == ERR_OK);
        ctx_caused_by(c, &request);
        CHECK(scene_call(c, C, 3, SECOND_NS, 3) == ERR_OK);
        return;
    }
    count(1);
    if (counted(1) == 3)
        read_rows(c, request.trace);
}

static void test_what_is_of_no_request_is_in_no_trace(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = ask_untraced;
    scene.on_call[B] = answer_at_once;
    scene.on_call[C] = answer_at_once;
    scene_play(10);
    assert_int_equal(seen()->row_count, 2);
    assert_int_equal(row_of(TRACE_CALL, A, C)->depth, 1);
}

/* ---- the ring ---- */

static struct hop_event call_event(uint32_t trace, uint64_t number)
{
    return (struct hop_event){.type = HOP_CALL,
                              .hop = {.trace = trace, .from = A, .epoch = 1, .correlation = number},
                              .cause = {.trace = trace, .from = A, .epoch = 1, .correlation = HOP_REQUEST_BIT | 1},
                              .to = B,
                              .at_ns = number,
                              .until_ns = ~number};
}

static void test_the_ring_keeps_the_last(void **state)
{
    static struct hop_event events[HOPS_MAX];
    struct trace_hop rows[8];
    bool whole = false;
    (void)state;
    struct hops *hops = calloc(1, sizeof(*hops));
    assert_non_null(hops);
    assert_int_equal(hops_read(hops, 1, events, HOPS_MAX), 0);
    hops_add(hops, &(struct hop_event){.type = HOP_REQUEST,
                                       .hop = {.trace = 1, .from = A, .epoch = 1, .correlation = HOP_REQUEST_BIT | 1}});
    for (uint64_t i = 1; i <= 3; i++)
        hops_add(hops, &(struct hop_event){0});
    struct hop_event one = call_event(1, 77);
    hops_add(hops, &one);
    assert_int_equal(hops_read(hops, 1, events, HOPS_MAX), 2);
    assert_int_equal(events[1].hop.correlation, 77);
    assert_true(events[1].at_ns == one.at_ns && events[1].until_ns == one.until_ns && events[1].to == one.to);
    assert_int_equal(hop_tree_make(events, 2, rows, ARRAY_LEN(rows), &whole), 2);
    assert_true(whole && rows[1].depth == 1);
    for (uint64_t i = 5; i <= HOPS_MAX; i++) /* the last of them falls on the request */
        hops_add(hops, &(struct hop_event){.hop = {.trace = 2}});
    assert_int_equal(hops_read(hops, 1, events, HOPS_MAX), 1);
    assert_int_equal(hop_tree_make(events, 1, rows, ARRAY_LEN(rows), &whole), 1);
    assert_true(!whole && rows[0].depth == 0 && rows[0].to == B);
    free(hops);
}

enum { WRITERS = 4, EACH = 20000 };

static void *write_events(void *arg)
{
    struct hops *hops = arg;
    for (uint64_t i = 1; i <= EACH; i++) {
        struct hop_event event = call_event(1 + (uint32_t)(i % 2), i);
        hops_add(hops, &event);
    }
    return NULL;
}

/* No event is read that is of two. */
static void test_the_ring_is_read_while_it_is_written(void **state)
{
    static struct hop_event events[HOPS_MAX];
    (void)state;
    pthread_t writers[WRITERS];
    struct hops *hops = calloc(1, sizeof(*hops));
    assert_non_null(hops);
    for (size_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_events, hops), 0);
    for (int round = 0; round < 50; round++) {
        size_t count = hops_read(hops, 1, events, HOPS_MAX);
        for (size_t i = 0; i < count; i++)
            assert_true(events[i].at_ns == ~events[i].until_ns && events[i].hop.correlation == events[i].at_ns &&
                        events[i].at_ns % 2 == 0);
    }
    for (size_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(writers[i], NULL), 0);
    assert_int_not_equal(hops_read(hops, 1, events, HOPS_MAX), 0);
    free(hops);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_request_caused_is_a_tree),      cmocka_unit_test(test_each_end_is_told),
        cmocka_unit_test(test_what_is_of_no_request_is_in_no_trace), cmocka_unit_test(test_the_ring_keeps_the_last),
        cmocka_unit_test(test_the_ring_is_read_while_it_is_written),
    };
    return scene_main(argc, argv, tests, ARRAY_LEN(tests));
}
