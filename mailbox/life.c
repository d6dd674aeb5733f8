/* SPDX-License-Identifier: MIT */
/*
 * A life of an actor: its beginning, its turns, its end. Backends call these three and nothing else.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mailbox/ctx.h"

/* ---- beginning ---- */

static void take_now(struct ctx *c)
{
    c->now_ns = c->rt->backend->now(c->rt);
}

static void turn_begins(struct ctx *c)
{
    take_now(c);
    turn_note_beat(c);
    turn_note_since(c, c->now_ns);
}

static void turn_ends(struct ctx *c)
{
    atomic_store_explicit(&c->shared->turn_bound_ns, 0, memory_order_relaxed);
    crash_slot_done(c->slot);
    turn_note_since(c, 0);
}

static void reset(struct ctx *c)
{
    c->over = c->stopping = c->initialised = c->started = c->ignored = false;
    c->reason = EXIT_NORMAL;
    c->text[0] = '\0';
    c->cancelled_count = 0;
    c->watch_count = 0;
    c->current = (struct reply_to){0};
    c->cause = (struct hop_ref){0};
    for (size_t i = 0; i < c->rt->actor_count; i++) {
        c->peers[i].monitored = false;
        c->peers[i].wants_room = false;
        c->peers[i].told = 0;
        c->peers[i].retry_timer = 0;
    }
}

static enum err init_actor(struct ctx *c)
{
    const struct loop_port *loop = c->rt->config.loop;
    if (c->rt->config.chaos && chaos_fails_start(c))
        return ctx_fail(c, ERR_INTERNAL, "chaos: this start was told to fail");
    c->state = calloc(1, MAX(c->class->state_bytes, 1));
    if (c->state == NULL)
        return ctx_fail(c, ERR_NOMEM, "no memory for the actor's state");
    if ((c->class->ports & PORT_NET) != 0) {
        if (loop == NULL)
            return ctx_fail(c, ERR_INVALID, "the runtime was given no network");
        enum err err = loop->open(loop->self, delivery_net, c, &c->loop);
        if (err != ERR_OK)
            return ctx_fail(c, err, "cannot open the event loop: %s", err_text(err));
    }
    if ((c->class->ports & PORT_MULTICAST) != 0 && c->rt->config.multicast != NULL) {
        const struct multicast_port *port = c->rt->config.multicast;
        enum err err = port->open(port->self, delivery_multicast, c, &c->multicast);
        if (err != ERR_OK)
            return ctx_fail(c, err, "cannot open the multicast port: %s", err_text(err));
    }
    c->initialised = true;
    return c->class->init == NULL ? ERR_OK : c->class->init(c, c->state, c->rt->config.config);
}

/* Root fences a start that took too long by ending the epoch: then it is not to run. */
static bool running_now(struct ctx *c)
{
    uint64_t starting = life_word(c->epoch, LIFE_STARTING);
    return atomic_compare_exchange_strong_explicit(&c->shared->life, &starting, life_word(c->epoch, LIFE_RUNNING),
                                                   memory_order_acq_rel, memory_order_acquire);
}

bool life_begin(struct ctx *c)
{
    c->epoch = life_epoch(life_of(c));
    reset(c);
    turn_begins(c);
    if (c->slot != NULL)
        atomic_store_explicit(&c->slot->epoch, c->epoch, memory_order_relaxed);
    crash_slot_does(c->slot, CRASH_DOES_STEP | CRASH_STEP_INIT);
    enum err err = init_actor(c);
    if (err == ERR_OK && !running_now(c))
        err = ctx_fail(c, ERR_TIMEOUT, "the start took too long");
    if (err != ERR_OK) {
        if (c->text[0] == '\0')
            (void)ctx_fail(c, err, "%s", err_text(err));
        c->over = true;
        c->reason = c->ignored ? EXIT_NORMAL : EXIT_FAILED;
        return false;
    }
    c->started = true;
    if (c->id != ROOT_ID) {
        struct record started = {.type = RECORD_STARTED,
                                 .from = c->id,
                                 .to = ROOT_ID,
                                 .from_epoch = c->epoch,
                                 .to_epoch = life_epoch(life_of(actor_of(c->rt, ROOT_ID)))};
        outbox_raw(c, LANE_CONTROL, &started, NULL);
    }
    (void)outbox_flush(c);
    turn_ends(c);
    return true;
}

/* ---- turn ---- */

/* At most max batches or 2 ms, so that a slow handler does not keep the other lane waiting; true when more may be there. */
static bool receive(struct ctx *c, enum lane lane, uint32_t max)
{
    uint64_t began = c->now_ns;
    for (uint32_t i = 0; i < max; i++) {
        struct batch *batch;
        if (c->now_ns - began > TURN_DATA_NS_MAX)
            return true;
        if (c->rt->backend->recv(c, lane, &batch) != ERR_OK)
            return false;
        delivery_batch(c, batch);
        if (c->over)
            return true;
        take_now(c);
    }
    return true;
}

static void tell_waiters(struct ctx *c)
{
    uint64_t waiters = box_take_waiters(&c->shared->box);
    while (waiters != 0) {
        actor_id who = (actor_id)__builtin_ctzll(waiters);
        waiters &= waiters - 1;
        struct record room = {.type = RECORD_ROOM,
                              .from = c->id,
                              .to = who,
                              .from_epoch = c->epoch,
                              .to_epoch = life_epoch(life_of(actor_of(c->rt, who)))};
        outbox_raw(c, LANE_CONTROL, &room, NULL);
    }
}

/*
 * The order to stop overtakes what others sent before, and some of them have ended by now: it is handled first, as an exit that comes
 * through OTP's one mailbox would find it handled. The box says what is under way, which an empty lane does not.
 */
static bool has_stopped(struct ctx *c)
{
    if (!c->stopping || c->over)
        return c->over;
    if (box_records(box_held(&c->shared->box)) == 0 || c->now_ns >= c->stop_by_ns)
        ctx_exit(c, EXIT_SHUTDOWN, "%s", "asked to stop");
    return c->over;
}

bool actor_turn(struct ctx *c, uint64_t *ret_wake_at_ns)
{
    turn_begins(c);
    if (c->id == ROOT_ID)
        root_turn(c);
    if (chaos_ordered(c) && chaos_turn(c)) {
        *ret_wake_at_ns = 0;
        turn_ends(c);
        return !c->over;
    }
    bool more = receive(c, LANE_CONTROL, TURN_CONTROL_MAX);
    more = (!c->over && receive(c, LANE_DATA, TURN_DATA_MAX)) || more;
    delivery_watches(c);
    delivery_multicast_ready(c);
    take_now(c);
    delivery_deadlines(c);
    delivery_timers(c);
    delivery_jobs(c);
    tell_waiters(c);
    (void)outbox_flush(c);
    *ret_wake_at_ns = more ? 0 : MIN(timers_next(&c->timers), timers_next(&c->deadlines));
    if (!has_stopped(c) && c->stopping)
        *ret_wake_at_ns = MIN(*ret_wake_at_ns, c->stop_by_ns);
    turn_ends(c);
    return !c->over;
}

/* ---- end ---- */

static void drop_calls(struct ctx *c)
{
    for (uint32_t i = 0; i < c->calls.cap; i++) {
        struct call *call = calls_at(&c->calls, i);
        if (call != NULL)
            delivery_drop_call(c, call, ERR_CANCELLED, true);
    }
    calls_release(&c->calls);
    timers_release(&c->timers);
    timers_release(&c->deadlines);
    for (size_t i = 0; i < c->rt->actor_count; i++) {
        outbox_forget(c, (actor_id)i); /* what waits for room is this life's */
        outbox_report_due(c, (actor_id)i);
    }
}

static void report_end(struct ctx *c)
{
    struct record end = {.type = c->started ? RECORD_EXITED : RECORD_STARTED,
                         .kind = (uint16_t)c->reason,
                         .from = c->id,
                         .to = ROOT_ID,
                         .from_epoch = c->epoch,
                         .to_epoch = life_epoch(life_of(actor_of(c->rt, ROOT_ID))),
                         .err = c->started ? ERR_OK : ERR_INTERNAL};
    outbox_raw(c, LANE_CONTROL, &end, c->text);
}

void life_end(struct ctx *c)
{
    turn_begins(c);
    c->over = true;
    crash_slot_does(c->slot, CRASH_DOES_STEP | CRASH_STEP_TERMINATE);
    atomic_store_explicit(&c->shared->life, life_word(c->epoch, LIFE_ENDED), memory_order_release);
    if (c->initialised && c->class->terminate != NULL)
        c->class->terminate(c, c->state, c->reason);
    jobs_abandon(c);
    drop_calls(c);
    chaos_end_life(c);
    if (c->loop != NULL)
        c->rt->config.loop->close(c->loop);
    c->loop = NULL;
    if (c->multicast != NULL)
        c->rt->config.multicast->close(c->multicast);
    c->multicast = NULL;
    c->multicast_ready = false;
    free(c->state);
    c->state = NULL;
    if (c->rt->backend->drain != NULL)
        c->rt->backend->drain(c);
    c->rt->backend->settle(c); /* first: who reports its end may be gone in the next moment */
    if (c->id != ROOT_ID) {
        report_end(c);
        c->rt->backend->settle(c);
    }
    turn_ends(c);
    if (c->id != ROOT_ID)
        return;
    atomic_store_explicit(&c->rt->ended, true, memory_order_release);
    runtime_notify(c->rt);
}
