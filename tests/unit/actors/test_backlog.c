/* SPDX-License-Identifier: MIT */
/*
 * Casts to a full mailbox, on both backends: whatever the receiver's pace, each arrives once, in order, with its bytes, and nothing is
 * charged when all is over. A receiver that dies takes what waited for it along.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <string.h>

#include "actors/connection_manager/backlog.h"
#include "base/attr.h"
#include "base/block_ref.h"
#include "base/buf.h"
#include "base/limits.h"
#include "mailbox/backend.h"
#include "mailbox/runtime.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "sim/sim.h"

enum {
    SENDER = 1,
    RECEIVER,
    ACTORS,
    CASTS = 3000,
    BURST = 300,
    BURST_NS = 20000,
    ROOM = 16,
    DIES_AT = 100,
    START = 1,
    SCENE_TIMEOUT_S = 60
};

/* Shared by the actors' threads and the test's. */
static struct {
    struct account account;
    uint64_t next; /* the receiver's alone */
    bool dies;
    _Atomic uint64_t received;
    _Atomic uint64_t wrong;
    _Atomic uint64_t waited;
    _Atomic uint64_t lost;
    _Atomic bool forgotten;
    _Atomic uint64_t sent; /* the first burst lets a receiver on a thread begin, so that it is behind for certain */
} play;

/* ---- the sender ---- */

static struct block_ref *numbered(uint64_t n)
{
    struct block_ref *tail = block_ref_new(sizeof(n), &play.account);
    if (tail != NULL)
        memcpy(tail->data, &n, sizeof(n));
    return tail;
}

/* In bursts, so that some casts come while older ones wait and there is room again: they must not overtake. */
static void send_burst(struct ctx *ctx, struct backlog *backlog)
{
    uint64_t first = atomic_load(&play.sent);
    for (uint64_t n = first + 1; n <= first + BURST; n++) {
        struct msg_stream_data fields = {.stream = n, .fin = n == CASTS};
        struct msg msg = {.kind = MSG_STREAM_DATA, .fields = &fields, .tail = numbered(n)};
        backlog_cast(backlog, ctx, RECEIVER, &msg);
        block_ref_unref(msg.tail);
    }
    if (first == 0)
        atomic_store(&play.waited, backlog->waiting);
    atomic_store(&play.sent, first + BURST);
    if (first + BURST < CASTS)
        (void)ctx_timer(ctx, ctx_now(ctx) + BURST_NS, START);
}

static enum err sender_init(struct ctx *ctx, void *state, const struct config *config)
{
    (void)config;
    backlog_init(state);
    return ctx_monitor(ctx, RECEIVER);
}

static void sender_info(struct ctx *ctx, void *state, const struct info *info)
{
    if (info->kind == INFO_UP || (info->kind == INFO_TIMER && !play.dies))
        send_burst(ctx, state);
    if (info->kind == INFO_ROOM)
        backlog_room(state, ctx, info->actor);
    if (info->kind == INFO_DOWN) {
        backlog_forget(state, info->actor);
        atomic_store(&play.forgotten, !backlog_is_congested(state));
    }
}

static void sender_end(struct ctx *ctx, void *state, enum exit_reason reason)
{
    (void)ctx;
    (void)reason;
    struct backlog *backlog = state;
    atomic_store(&play.lost, backlog->lost);
    backlog_release(backlog);
}

/* ---- the receiver ---- */

static void receiver_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    (void)state;
    const struct msg_stream_data *fields = msg->fields;
    uint64_t n = 0;
    while (atomic_load(&play.sent) == 0) {
    }
    if (msg->tail != NULL && msg->tail->len == sizeof(n))
        memcpy(&n, msg->tail->data, sizeof(n));
    play.next++;
    if (fields->stream != play.next || n != play.next || fields->fin != (n == CASTS))
        atomic_fetch_add(&play.wrong, 1);
    if (atomic_fetch_add(&play.received, 1) + 1 == DIES_AT && play.dies)
        ctx_exit(ctx, EXIT_FAILED, "as the test wants it");
}

static const struct actor_class sender = {.name = "sender",
                                          .state_bytes = sizeof(struct backlog),
                                          .init = sender_init,
                                          .handle_info = sender_info,
                                          .terminate = sender_end};
static const struct actor_class receiver = {
    .name = "receiver", .state_bytes = 8, .mailbox_records = ROOM, .handle_cast = receiver_cast};
static const struct actor_class *const classes[ACTORS] = {[SENDER] = &sender, [RECEIVER] = &receiver};
static const struct child_spec children[] = {
    {.id = "sender", .type = CHILD_WORKER, .start = SENDER, .restart = RESTART_PERMANENT},
    {.id = "receiver", .type = CHILD_WORKER, .start = RECEIVER, .restart = RESTART_TEMPORARY},
};
static const struct supervisor_spec tree = {.name = "root",
                                            .strategy = STRATEGY_ONE_FOR_ONE,
                                            .intensity = 1,
                                            .period_ms = 1000,
                                            .children = children,
                                            .child_count = ARRAY_LEN(children)};
static const struct edge_spec edges[] = {{SENDER, RECEIVER}};

static bool all_received(void *arg)
{
    (void)arg;
    return atomic_load(&play.received) >= CASTS;
}

static bool all_forgotten(void *arg)
{
    (void)arg;
    return atomic_load(&play.forgotten);
}

static void play_on(struct sim *sim, bool dies)
{
    struct runtime *rt = NULL;
    struct config *config = NULL;
    char why[256] = "";
    memset(&play, 0, sizeof(play));
    play.dies = dies;
    account_init(&play.account, "test", MIB);
    assert_int_equal(config_new("/nowhere", &config), ERR_OK);
    struct runtime_config rc = {.name = "backlog",
                                .backend = sim != NULL ? &backend_sim : NULL,
                                .backend_arg = sim,
                                .classes = classes,
                                .class_count = ACTORS,
                                .tree = &tree,
                                .edges = edges,
                                .edge_count = ARRAY_LEN(edges),
                                .schemas = &schema_messages,
                                .config = config};
    if (runtime_start(&rc, &rt, why, sizeof(why)) != ERR_OK)
        fail_msg("start: %s", why);
    bool done = runtime_await(rt, dies ? all_forgotten : all_received, NULL, SCENE_TIMEOUT_S * SECOND_NS);
    (void)runtime_stop(&rt, 10 * SECOND_NS);
    config_free(config);
    assert_true(done);
    assert_int_equal(atomic_load(&play.wrong), 0);
    assert_int_equal(atomic_load(&play.lost), 0);
    assert_true(atomic_load(&play.waited) >= BURST - ROOM); /* the mailbox was full, else this shows nothing */
    assert_int_equal(account_used(&play.account), 0);
}

static void play_sims(bool dies)
{
    uint64_t trace = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim *sim = sim_new(seed / 2); /* each twice, with one trace */
        assert_non_null(sim);
        play_on(sim, dies);
        assert_true(seed % 2 == 0 || trace == 0 || sim_trace(sim) == trace);
        trace = seed % 2 == 0 ? sim_trace(sim) : 0;
        sim_free(sim);
    }
}

static void all_arrive_in_order_on_threads(void **state)
{
    (void)state;
    play_on(NULL, false);
}

static void all_arrive_in_order_in_the_simulator(void **state)
{
    (void)state;
    play_sims(false);
}

static void a_dead_receiver_frees_what_waited(void **state)
{
    (void)state;
    play_on(NULL, true);
    play_sims(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_arrive_in_order_on_threads),
        cmocka_unit_test(all_arrive_in_order_in_the_simulator),
        cmocka_unit_test(a_dead_receiver_frees_what_waited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
