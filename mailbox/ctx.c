/* SPDX-License-Identifier: MIT */
#include "mailbox/ctx.h"

#include <assert.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- time and randomness ---- */

uint64_t ctx_now(const struct ctx *c)
{
    return c->now_ns;
}

uint64_t ctx_real_now(const struct ctx *c)
{
    return c->rt->backend->real_now(c->rt);
}

void ctx_random(struct ctx *c, void *to, size_t len)
{
    c->rt->backend->random(c, to, len);
}

uint64_t ctx_left(const struct ctx *c, uint64_t deadline_ns)
{
    return deadline_ns <= c->now_ns ? 0 : deadline_ns - c->now_ns;
}

actor_id ctx_self(const struct ctx *c)
{
    return c->id;
}

/* ---- calls ---- */

static uint64_t sum_saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* The inherited deadline bounds what the caller asks for; without either a call still ends. */
static uint64_t call_deadline(const struct ctx *c, const struct call_opts *opts)
{
    uint64_t inherited = UINT64_MAX;
    if (c->current.correlation != 0)
        inherited = c->current.deadline_ns;
    if (opts->scope != NULL)
        inherited = MIN(inherited, opts->scope->deadline_ns);
    uint64_t timeout = opts->timeout_ns;
    if (timeout == 0 && inherited == UINT64_MAX)
        timeout = CALL_TIMEOUT_DEFAULT_S * SECOND_NS;
    return timeout == 0 ? inherited : MIN(inherited, sum_saturated(c->now_ns, timeout));
}

/* Who may be asked is the table of the configuration; a call outside it is a bug that must not reach users. */
static bool may_call(const struct ctx *c, actor_id to)
{
    bool allowed = to < c->rt->actor_count && c->peers[to].may_call;
    assert(allowed && "a call outside the call table");
    return allowed;
}

static struct call *new_call(struct ctx *c, actor_id to, uint32_t to_epoch, const struct call_opts *opts,
                             uint64_t deadline_ns, uint64_t tag)
{
    uint32_t reply_bytes = opts->reply_bytes_max == 0 ? REPLY_BYTES_DEFAULT : opts->reply_bytes_max;
    if (c->calls.reply_bytes + reply_bytes > REPLY_BYTES_TOTAL_MAX)
        return NULL;
    struct call *call = calls_add(&c->calls);
    if (call == NULL)
        return NULL;
    call->tag = tag;
    call->to = to;
    call->to_epoch = to_epoch;
    call->deadline_ns = deadline_ns;
    call->reply_bytes = reply_bytes;
    c->calls.reply_bytes += reply_bytes;
    if (opts->scope != NULL)
        call->scope = *opts->scope;
    else
        call->scope = c->current;
    call->cause = trace_cause(c, opts->scope);
    call->timer = timers_set(&c->deadlines, deadline_ns, call->correlation);
    if (call->timer == 0) {
        calls_remove(&c->calls, call);
        return NULL;
    }
    return call;
}

void ctx_detach(struct ctx *c)
{
    c->current = (struct reply_to){0};
}

enum err ctx_call(struct ctx *c, actor_id to, const struct msg *msg, struct call_opts opts, uint64_t tag)
{
    if (!may_call(c, to))
        return ERR_DENIED;
    uint64_t life = life_of(actor_of(c->rt, to));
    if (life_state(life) != LIFE_RUNNING)
        return ERR_UNAVAILABLE;
    uint64_t deadline = call_deadline(c, &opts);
    if (deadline <= c->now_ns)
        return ERR_TIMEOUT;
    struct call *call = new_call(c, to, life_epoch(life), &opts, deadline, tag);
    if (call == NULL) {
        count_up(&c->shared->counters.busy);
        return ERR_BUSY;
    }
    trace_call(c, call, msg->kind);
    struct record record = {.type = RECORD_CALL,
                            .from = c->id,
                            .to = to,
                            .from_epoch = c->epoch,
                            .to_epoch = call->to_epoch,
                            .trace = call->cause.trace,
                            .correlation = call->correlation,
                            .deadline_ns = deadline,
                            .err = (enum err)call->reply_bytes};
    enum err err = outbox_message(c, &record, msg, false);
    if (err != ERR_OK) {
        c->peers[to].wants_room = c->peers[to].wants_room || err == ERR_BUSY;
        delivery_drop_call(c, call, err, false);
        return err;
    }
    count_up(&c->shared->counters.calls);
    return ERR_OK;
}

void ctx_cancel_call(struct ctx *c, uint64_t tag)
{
    for (uint32_t i = 0; i < c->calls.cap; i++) {
        struct call *call = calls_at(&c->calls, i);
        if (call != NULL && call->tag == tag)
            delivery_drop_call(c, call, ERR_CANCELLED, true);
    }
}

/* ---- casts and replies ---- */

enum err ctx_cast(struct ctx *c, actor_id to, const struct msg *msg)
{
    assert(to < c->rt->actor_count && to != ROOT_ID);
    uint64_t life = life_of(actor_of(c->rt, to));
    if (life_state(life) != LIFE_RUNNING) {
        count_up(&c->shared->counters.dropped);
        return ERR_OK;
    }
    struct record record = {.type = RECORD_CAST,
                            .from = c->id,
                            .to = to,
                            .from_epoch = c->epoch,
                            .to_epoch = life_epoch(life),
                            .trace = c->cause.trace,
                            .deadline_ns = UINT64_MAX};
    if (record.trace != 0)
        record.correlation = HOP_CAST_BIT | ++c->traced_casts;
    enum err err = outbox_message(c, &record, msg, false);
    trace_cast(c, &record, err);
    if (err == ERR_OK)
        count_up(&c->shared->counters.casts);
    c->peers[to].wants_room = c->peers[to].wants_room || err == ERR_BUSY;
    return err;
}

/* False when the caller's life has ended: nobody waits. */
static bool reply_wanted(struct ctx *c, const struct reply_to *call)
{
    assert(call->from < c->rt->actor_count && call->correlation != 0);
    if (life_of(actor_of(c->rt, call->from)) == life_word(call->epoch, LIFE_RUNNING))
        return true;
    count_up(&c->shared->counters.stale);
    return false;
}

static struct record reply_record(const struct ctx *c, const struct reply_to *call, enum record_type type)
{
    return (struct record){.type = type,
                           .from = c->id,
                           .to = call->from,
                           .from_epoch = c->epoch,
                           .to_epoch = call->epoch,
                           .trace = call->trace,
                           .correlation = call->correlation,
                           .deadline_ns = call->deadline_ns};
}

void ctx_reply(struct ctx *c, struct reply_to call, const struct msg *msg)
{
    if (!reply_wanted(c, &call))
        return;
    struct record record = reply_record(c, &call, RECORD_REPLY);
    record.err = ERR_OK;
    record.body_max = call.bytes_max;
    enum err err = outbox_message(c, &record, msg, true);
    if (err != ERR_OK)
        ctx_reply_err(c, call, err, "the reply does not fit");
}

void ctx_reply_err(struct ctx *c, struct reply_to call, enum err err, const char *fmt, ...)
{
    assert(err != ERR_OK);
    if (!reply_wanted(c, &call))
        return;
    char text[TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    struct record record = reply_record(c, &call, RECORD_REPLY_ERR);
    record.err = err;
    outbox_raw(c, LANE_DATA, &record, text);
}

/* ---- timers, monitors, descriptors ---- */

uint64_t ctx_timer(struct ctx *c, uint64_t at_ns, uint64_t tag)
{
    uint64_t handle = timers_set(&c->timers, at_ns, tag);
    if (handle == TIMERS_NONE)
        abort(); /* more than TIMERS_MAX: the actor has no bound of its own */
    return handle;
}

void ctx_timer_cancel(struct ctx *c, uint64_t id)
{
    (void)timers_cancel(&c->timers, id);
}

enum err ctx_monitor(struct ctx *c, actor_id who)
{
    if (who == ROOT_ID || who >= c->rt->actor_count)
        return ERR_INVALID;
    if (c->peers[who].monitored)
        return ERR_OK;
    struct peer_out *peer = &c->peers[who];
    uint64_t life = life_of(actor_of(c->rt, who));
    peer->monitored = true;
    peer->owes_down = life_state(life) == LIFE_RUNNING;
    peer->told = peer->owes_down ? (uint64_t)life_epoch(life) * 2 - 1 : 0; /* the end of the life before */
    /* The first INFO_UP comes from outside this handler. */
    return timers_set(&c->deadlines, c->now_ns, UP_TAG | who) == TIMERS_NONE ? ERR_NOMEM : ERR_OK;
}

enum err ctx_watch(struct ctx *c, int fd, uint64_t tag)
{
    assert((c->class->ports & PORT_WATCH) != 0);
    if (!c->rt->backend->watches || c->loop != NULL)
        return ERR_UNSUPPORTED;
    if (c->watch_count == WATCHES_MAX)
        return ERR_BUSY;
    c->watches[c->watch_count++] = (struct watch){.fd = fd, .tag = tag};
    return ERR_OK;
}

void ctx_unwatch(struct ctx *c, int fd)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->watch_count; i++) {
        if (c->watches[i].fd != fd)
            c->watches[kept++] = c->watches[i];
    }
    c->watch_count = kept;
}

/* ---- what the actor was given ---- */

const struct net_port *ctx_net(struct ctx *c)
{
    assert((c->class->ports & PORT_NET) != 0 && c->loop != NULL);
    return c->rt->config.loop->net(c->loop);
}

const struct disk_port *ctx_disk(struct ctx *c)
{
    assert((c->class->ports & PORT_DISK) != 0);
    return c->rt->config.disk;
}

const struct dns_port *ctx_dns(struct ctx *c)
{
    assert((c->class->ports & PORT_DNS) != 0);
    return c->rt->config.dns;
}

const struct http_port *ctx_http(struct ctx *c)
{
    assert((c->class->ports & PORT_HTTP) != 0);
    return c->rt->config.http;
}

const struct multicast_port *ctx_multicast(struct ctx *c, struct multicast **ret_multicast)
{
    assert((c->class->ports & PORT_MULTICAST) != 0);
    *ret_multicast = c->multicast;
    return c->multicast == NULL ? NULL : c->rt->config.multicast;
}

struct budget *ctx_budget(struct ctx *c)
{
    return c->rt->config.budget;
}

/* ---- life ---- */

PRINTF_LIKE(3, 0) static void end_with(struct ctx *c, enum exit_reason reason, const char *fmt, va_list args)
{
    c->over = true;
    c->reason = reason;
    (void)vsnprintf(c->text, sizeof(c->text), fmt, args);
}

void ctx_exit(struct ctx *c, enum exit_reason reason, const char *fmt, ...)
{
    if (c->over)
        return; /* the first reason is the cause */
    va_list args;
    va_start(args, fmt);
    end_with(c, reason, fmt, args);
    va_end(args);
}

static void free_heirloom(struct ctx *c)
{
    if (c->heirloom != NULL)
        c->heirloom_free(c->heirloom);
    c->heirloom = NULL;
}

void ctx_bequeath(struct ctx *c, void *thing, void (*free_fn)(void *thing))
{
    free_heirloom(c);
    c->heirloom = thing;
    c->heirloom_free = free_fn;
    /* Nobody inherits when all end, and a process takes along what it has. */
    if (c->rt->joined || atomic_load_explicit(&c->rt->shared->stop_requested, memory_order_acquire))
        free_heirloom(c);
}

void *ctx_inherit(struct ctx *c)
{
    void *thing = c->heirloom;
    c->heirloom = NULL;
    return thing;
}

const struct keep_port *ctx_keep(struct ctx *c)
{
    return c->rt->keep;
}

enum err ctx_fail(struct ctx *c, enum err err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(c->text, sizeof(c->text), fmt, args);
    va_end(args);
    return err;
}

enum err ctx_ignore(struct ctx *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(c->text, sizeof(c->text), fmt, args);
    va_end(args);
    c->ignored = true;
    return ERR_UNAVAILABLE;
}

void ctx_long(struct ctx *c, uint64_t bound_ns)
{
    atomic_store_explicit(&c->shared->turn_bound_ns, bound_ns, memory_order_relaxed);
}

/* ---- stats and log ---- */

size_t ctx_actor_count(const struct ctx *c)
{
    return runtime_actor_count(c->rt);
}

bool ctx_actor_stats(const struct ctx *c, size_t index, struct actor_stats *ret_stats)
{
    return runtime_actor_stats(c->rt, index, ret_stats);
}

bool ctx_actor_stats_of(const struct ctx *c, actor_id id, struct actor_stats *ret_stats)
{
    return runtime_actor_stats_of(c->rt, id, ret_stats);
}

void ctx_log(struct ctx *c, enum log_level level, const char *fmt, ...)
{
    if ((uint32_t)level > atomic_load_explicit(&c->rt->shared->log_level, memory_order_relaxed))
        return;
    char text[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    runtime_log(c->rt, level, c->class->name, text);
}

void ctx_end_runtime(struct ctx *c)
{
    (void)kill(c->rt->joined ? getppid() : getpid(), SIGTERM);
}

void ctx_set_log_level(struct ctx *c, enum log_level level)
{
    runtime_set_log_level(c->rt, level);
}
