/* SPDX-License-Identifier: MIT */
/*
 * The receiving side: records of a batch become calls of the actor's handlers.
 *
 * A record is dropped when it was meant for an earlier life, when the life is over, when its deadline has passed, or when its
 * cancel came first (control overtakes data). Room in the box is given back after handling, in steps of 64 records.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mailbox/ctx.h"

static struct account *account_of(const struct ctx *c)
{
    return c->rt->account;
}

static bool is_counted(const struct record *r)
{
    return r->type == RECORD_CALL || r->type == RECORD_CAST;
}

/* cause: what the actor is told of was done for it, and so is what it does next. */
static void tell_caused(struct ctx *c, const struct info *info, struct hop_ref cause)
{
    struct hop_ref outer = c->cause; /* a handler may run within another: tell_outside */
    c->cause = cause;
    if (!c->over && c->class->handle_info != NULL)
        c->class->handle_info(c, c->state, info);
    c->cause = outer;
}

void delivery_tell(struct ctx *c, const struct info *info)
{
    tell_caused(c, info, c->cause);
}

/* What is no message: its handler's time is noted here, a message's in walk(). */
static void tell_timed(struct ctx *c, const struct info *info, struct hop_ref cause, uint64_t began_ns)
{
    crash_slot_does(c->slot, CRASH_DOES_INFO | (uint32_t)info->kind);
    tell_caused(c, info, cause);
    handling_note(&c->shared->handling, began_ns, handling_now(c));
}

/* ---- ends of own calls ---- */

void delivery_drop_call(struct ctx *c, struct call *call, enum err err, bool tell)
{
    trace_call_ended(c, call, err);
    if (call->timer != 0)
        (void)timers_cancel(&c->deadlines, call->timer);
    if (tell && life_of(actor_of(c->rt, call->to)) == life_word(call->to_epoch, LIFE_RUNNING)) {
        struct record cancel = {.type = RECORD_CANCEL,
                                .from = c->id,
                                .to = call->to,
                                .from_epoch = c->epoch,
                                .to_epoch = call->to_epoch,
                                .correlation = call->correlation};
        outbox_raw(c, LANE_CONTROL, &cancel, NULL);
    }
    calls_remove(&c->calls, call);
}

void delivery_end_call(struct ctx *c, struct call *call, enum err err, const char *text, bool tell)
{
    struct info info = {.kind = INFO_REPLY, .tag = call->tag, .err = err, .text = text, .actor = call->to};
    struct hop_ref cause = call->cause;
    delivery_drop_call(c, call, err, tell);
    tell_caused(c, &info, cause);
}

/* ---- messages ---- */

/* Unpacks into the scratch; the message is valid until the next. */
static enum err unpack(struct ctx *c, const struct record *r, struct msg *ret_msg, char *why, size_t why_bytes)
{
    const struct schema *schema = runtime_schema(c->rt, r->kind);
    if (schema == NULL)
        return ERR_UNSUPPORTED;
    enum err err = schema_unpack(schema, SCHEMA_ARRAY, span_of(r->body, r->body_len), c->scratch, why, why_bytes);
    *ret_msg = (struct msg){.kind = r->kind,
                            .fields = c->scratch,
                            .tail = r->tail,
                            .from = r->from,
                            .deadline_ns = r->deadline_ns,
                            .trace = r->trace};
    return err;
}

/* True when the call was cancelled before it arrived; entries that this call has passed are forgotten. */
static bool was_cancelled(struct ctx *c, const struct record *r)
{
    bool found = false;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->cancelled_count; i++) {
        const struct reply_to *entry = &c->cancelled[i];
        bool same_life = entry->from == r->from && entry->epoch == r->from_epoch;
        found = found || (same_life && entry->correlation == r->correlation);
        if (!same_life || entry->correlation > r->correlation)
            c->cancelled[kept++] = *entry;
    }
    c->cancelled_count = kept;
    return found;
}

/* Nobody would hear the answer, and what was done for that life may be cleared away already. */
static bool caller_is_dead(const struct ctx *c, const struct record *r)
{
    uint64_t life = life_of(actor_of(c->rt, r->from));
    return life_epoch(life) != r->from_epoch || life_state(life) == LIFE_ENDED;
}

static void deliver_call(struct ctx *c, const struct record *r)
{
    if (caller_is_dead(c, r)) {
        count_up(&c->shared->counters.stale);
        trace_handler_ended(c, r, c->now_ns, ERR_CANCELLED);
        return;
    }
    if (r->deadline_ns <= c->now_ns) {
        count_up(&c->shared->counters.expired);
        trace_handler_ended(c, r, c->now_ns, ERR_TIMEOUT);
        return;
    }
    if (c->cancelled_count > 0 && was_cancelled(c, r)) {
        trace_handler_ended(c, r, c->now_ns, ERR_CANCELLED);
        return;
    }
    c->current = (struct reply_to){.correlation = r->correlation,
                                   .deadline_ns = r->deadline_ns,
                                   .epoch = r->from_epoch,
                                   .trace = r->trace,
                                   .bytes_max = (uint32_t)r->err,
                                   .from = r->from};
    const struct reply_to call = c->current;
    uint64_t began = trace_handler_begins(c, r);
    char why[TEXT_MAX] = "";
    struct msg msg;
    enum err err = unpack(c, r, &msg, why, sizeof(why));
    if (err == ERR_OK)
        err = c->class->handle_call == NULL ? ERR_UNSUPPORTED : c->class->handle_call(c, c->state, &msg, call);
    c->current = (struct reply_to){0};
    trace_handler_ended(c, r, began, ERR_OK);
    if (err != ERR_OK)
        ctx_reply_err(c, call, err, "%s", why);
}

static void deliver_cast(struct ctx *c, const struct record *r)
{
    char why[TEXT_MAX] = "";
    struct msg msg;
    enum err err = unpack(c, r, &msg, why, sizeof(why));
    if (err != ERR_OK) {
        count_up(&c->shared->counters.dropped);
        ctx_log(c, LOG_ERROR, "dropped a message of kind %u: %s %s", r->kind, err_text(err), why);
        return;
    }
    uint64_t began = trace_handler_begins(c, r);
    if (c->class->handle_cast != NULL)
        c->class->handle_cast(c, c->state, &msg);
    trace_handler_ended(c, r, began, ERR_OK);
}

static void deliver_reply(struct ctx *c, const struct record *r)
{
    struct call *call = calls_find(&c->calls, r->correlation);
    if (call == NULL || call->to != r->from) {
        count_up(&c->shared->counters.late);
        return;
    }
    char text[TEXT_MAX] = "";
    struct msg msg;
    struct info info = {.kind = INFO_REPLY, .tag = call->tag, .err = r->err, .text = text, .actor = r->from};
    struct hop_ref cause = call->cause;
    delivery_drop_call(c, call, r->err, false);
    if (r->type == RECORD_REPLY) {
        info.err = unpack(c, r, &msg, text, sizeof(text)) == ERR_OK ? ERR_OK : ERR_INTERNAL;
        info.msg = info.err == ERR_OK ? &msg : NULL;
    } else {
        memcpy(text, r->body, MIN(r->body_len, sizeof(text) - 1));
    }
    tell_caused(c, &info, cause);
}

/* ---- control ---- */

/* The calls made on behalf of it end first, then the actor hears of the cancel itself. */
static void deliver_cancel(struct ctx *c, const struct record *r)
{
    const struct reply_to scope = {.correlation = r->correlation, .epoch = r->from_epoch, .from = r->from};
    if (c->cancelled_count == CANCELLED_MAX)
        memmove(c->cancelled, c->cancelled + 1, --c->cancelled_count * sizeof(scope));
    c->cancelled[c->cancelled_count++] = scope;
    for (uint32_t i = 0; i < c->calls.cap; i++) {
        struct call *call = calls_at(&c->calls, i);
        if (call != NULL && call->scope.correlation != 0 && reply_same(&call->scope, &scope))
            delivery_end_call(c, call, ERR_CANCELLED, "", true);
    }
    delivery_tell(c, &(struct info){.kind = INFO_CANCEL, .call = scope});
}

void delivery_room(struct ctx *c, actor_id who)
{
    struct peer_out *peer = &c->peers[who];
    outbox_room(c, who);
    if (!peer->wants_room)
        return;
    peer->wants_room = false;
    delivery_tell(c, &(struct info){.kind = INFO_ROOM, .actor = who});
}

static void deliver(struct ctx *c, const struct record *r)
{
    if (r->type != RECORD_DOWN && r->type != RECORD_UP)
        monitor_hears(c, r->from, r->from_epoch);
    if (c->over)
        return;
    switch (r->type) {
    case RECORD_CALL:
        deliver_call(c, r);
        break;
    case RECORD_CAST:
        deliver_cast(c, r);
        break;
    case RECORD_REPLY:
    case RECORD_REPLY_ERR:
        deliver_reply(c, r);
        break;
    case RECORD_CANCEL:
        deliver_cancel(c, r);
        break;
    case RECORD_ROOM:
        delivery_room(c, r->from);
        break;
    case RECORD_STOP:
        c->stopping = true;
        c->stop_by_ns = c->now_ns + STOP_DRAIN_MS * MS_NS;
        break;
    case RECORD_STARTED:
    case RECORD_EXITED:
        root_record(c, r);
        break;
    case RECORD_ACCUSED:
        root_accused(c, r);
        break;
    case RECORD_DOWN:
        monitor_down(c, r->from, r->from_epoch, (enum exit_reason)r->kind);
        break;
    case RECORD_UP:
        monitor_up(c, r->from, r->from_epoch);
        break;
    }
}

static void trace_record(struct ctx *c, const uint8_t *at, const struct record *r)
{
    uint64_t tail_len = r->tail == NULL ? 0 : r->tail->len + 1;
    c->rt->backend->trace(c->rt, at, ENVELOPE_RECORD_BYTES - sizeof(uint64_t)); /* not the tail's address */
    c->rt->backend->trace(c->rt, r->body, r->body_len);
    c->rt->backend->trace(c->rt, &tail_len, sizeof(tail_len));
}

static struct box_pair pair_of(const struct record *r)
{
    return box_pair_of(r->from, r->from_epoch, r->to_epoch);
}

/* Room in the box that is given back together. */
struct giving {
    struct box *box;
    struct box_pair pair;
    uint64_t records;
    uint64_t bytes;
};

static void give(struct giving *g)
{
    box_give(g->box, g->pair, g->records, g->bytes);
    g->records = g->bytes = 0;
}

static void give_record(struct giving *g, const struct record *r)
{
    enum { GIVE_RECORDS = 64 };
    struct box_pair pair = pair_of(r);
    if (pair.sender != g->pair.sender || pair.generation != g->pair.generation)
        give(g);
    g->pair = pair;
    g->records++;
    g->bytes += r->length;
    if (g->records == GIVE_RECORDS)
        give(g);
}

/* Walks the records; each is delivered, or dropped when deliver_them is false or the life is over. */
static void walk(struct ctx *c, struct batch *batch, bool deliver_them)
{
    /* Under load, when batches are large, every eighth is timed: reading the clock costs more than a small handler. */
    enum { TIME_ALL_MAX = 16, TIMED_EACH = 8 };
    bool time_all = batch_count(batch) <= TIME_ALL_MAX;
    const uint8_t *at = batch_body(batch) + ENVELOPE_BATCH_BYTES;
    struct giving giving = {.box = &c->shared->box};
    uint64_t handled = 0;
    uint64_t began_ns = c->now_ns;
    for (uint32_t left = batch_count(batch); left > 0; left--) {
        struct record r;
        envelope_decode(at, &r);
        assert(r.to == c->id);
        if (!deliver_them || c->over || r.to_epoch != c->epoch) {
            count_up(&c->shared->counters.stale);
        } else {
            turn_note_kind(c, r.kind);
            if (c->rt->backend->trace != NULL)
                trace_record(c, at, &r);
            bool timed = time_all || left % TIMED_EACH == 0;
            if (timed && !time_all)
                began_ns = handling_now(c);
            if (!poison_stops(c, &r))
                deliver(c, &r);
            uint64_t ended_ns = timed ? handling_now(c) : 0; /* and the next one begins */
            if (timed)
                handling_note(&c->shared->handling, began_ns, ended_ns);
            began_ns = ended_ns;
            handled++;
        }
        block_ref_unref(r.tail);
        at += r.length;
        if (is_counted(&r))
            give_record(&giving, &r);
    }
    give(&giving);
    crash_slot_done(c->slot);
    handling_count(&c->shared->handling, handled);
    batch_free(batch, account_of(c));
}

void delivery_batch(struct ctx *c, struct batch *batch)
{
    walk(c, batch, true);
}

void delivery_discard(struct ctx *c, struct batch *batch)
{
    walk(c, batch, false);
}

/* ---- time, jobs, descriptors ---- */

static void trace_info(struct ctx *c, enum info_kind kind, uint64_t tag)
{
    if (c->rt->backend->trace == NULL)
        return;
    uint64_t mixed[] = {c->id, (uint64_t)kind, tag, c->now_ns};
    c->rt->backend->trace(c->rt, mixed, sizeof(mixed));
}

static void note_due(struct ctx *c, uint64_t tag)
{
    actor_id who = (actor_id)tag;
    if ((tag & RETRY_TAG) != 0) {
        c->peers[who].retry_timer = 0;
        delivery_room(c, who);
        return;
    }
    if ((tag & REPORT_TAG) != 0) {
        outbox_report_due(c, who);
        return;
    }
    uint64_t life = life_of(actor_of(c->rt, who));
    if (life_state(life) == LIFE_RUNNING)
        monitor_up(c, who, life_epoch(life));
}

void delivery_deadlines(struct ctx *c)
{
    uint64_t tag;
    while (!c->over && timers_pop(&c->deadlines, c->now_ns, &tag)) {
        if (tag == CHAOS_TAG) {
            chaos_due(c);
            continue;
        }
        if ((tag & (RETRY_TAG | UP_TAG | REPORT_TAG)) != 0) {
            note_due(c, tag);
            continue;
        }
        struct call *call = calls_find(&c->calls, tag);
        assert(call != NULL);
        call->timer = 0;
        crash_slot_does(c->slot, CRASH_DOES_INFO | INFO_REPLY);
        delivery_end_call(c, call, ERR_TIMEOUT, "", true);
    }
}

void delivery_timers(struct ctx *c)
{
    uint64_t tag;
    /* A timer set for now by a timer's handler waits for the next turn. */
    for (uint32_t left = c->timers.count; left > 0 && !c->over && timers_pop(&c->timers, c->now_ns, &tag); left--) {
        trace_info(c, INFO_TIMER, tag);
        tell_timed(c, &(struct info){.kind = INFO_TIMER, .tag = tag}, c->cause, handling_now(c));
    }
}

void delivery_jobs(struct ctx *c)
{
    while (!c->over && atomic_load_explicit(&c->jobs.any_done, memory_order_acquire)) {
        struct job *job = jobs_take_done(c);
        if (job == NULL)
            return;
        struct info info = {.kind = INFO_JOB, .tag = job->tag, .err = job->result, .arg = job->arg};
        struct hop_ref cause = job->cause;
        trace_job_done(c, job);
        free(job);
        trace_info(c, INFO_JOB, info.tag);
        tell_timed(c, &info, cause, handling_now(c));
    }
}

void delivery_watches(struct ctx *c)
{
    for (uint32_t i = 0; i < c->watch_count && !c->over; i++) {
        if (!c->watches[i].ready)
            continue;
        c->watches[i].ready = false;
        tell_timed(c, &(struct info){.kind = INFO_WATCH, .tag = c->watches[i].tag}, c->cause, handling_now(c));
    }
}

/* Since when (0: it is over); between turns the watchdog looks too. */
static void note_outside(struct ctx *c, enum info_kind kind, uint64_t since_ns)
{
    crash_slot_does(c->slot, since_ns == 0 ? 0 : CRASH_DOES_INFO | (uint32_t)kind);
    turn_note_since(c, since_ns);
}

/* A handler that the outside world runs, between turns or within one. */
static void tell_outside(struct ctx *c, const struct info *info, uint64_t traced)
{
    uint64_t turn_since = atomic_load_explicit(&c->shared->turn_since_ns, memory_order_relaxed);
    c->now_ns = c->rt->backend->now(c->rt);
    trace_info(c, info->kind, traced);
    note_outside(c, info->kind, c->now_ns);
    tell_timed(c, info, c->cause, c->now_ns);
    note_outside(c, info->kind, turn_since);
    c->rt->backend->wake(c);
}

void delivery_net(void *ctx, const struct net_event *event)
{
    struct ctx *c = ctx;
    const struct info info = {.kind = INFO_NET, .tag = event->tag, .err = event->err, .net = event};
    tell_outside(c, &info, event->tag << 4 | (uint64_t)event->kind);
}

void delivery_multicast(void *ctx, const struct multicast_datagram *datagram)
{
    struct ctx *c = ctx;
    const struct info info = {.kind = INFO_MULTICAST, .datagram = datagram};
    tell_outside(c, &info, datagram->len);
}

void delivery_multicast_ready(struct ctx *c)
{
    if (!c->multicast_ready || c->over)
        return;
    c->multicast_ready = false;
    c->rt->config.multicast->receive(c->multicast);
}
