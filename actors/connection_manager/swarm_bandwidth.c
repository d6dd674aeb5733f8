/* SPDX-License-Identifier: MIT */
/*
 * Bandwidth: who may move bytes now, by the rates of the configuration, and how many were moved.
 *
 *      socket   reads pause and writes stay in the engine while its turn waits
 *      stream   of a limited protocol: written bytes stay in its queue; the credit for received ones is given when the rate allows,
 *               so the peer's window holds it back; one that comes with windows enough to overdraw the rate all the same (a new
 *               stream for each message) has its connection's reads paused
 *
 * All waiting is for one timer at the first deadline of the lines.
 */
#include <time.h>

#include "actors/connection_manager/swarm.h"
#include "actors/tree.h"
#include "schemas/messages.h"

enum { OVERDRAFT_MIN = 256 * 1024 }; /* a stream's first window */

enum err swarm_bandwidth_init(struct swarm *s)
{
    const char *item = "";
    enum err err = bandwidth_init(&s->bandwidth, s->config, ctx_now(s->ctx), &item);
    if (err != ERR_OK)
        return ctx_fail(s->ctx, err, "Swarm.Bandwidth: \"%s\" is no limit such as \"* 1MB 500kB\"", item);
    swarm_bandwidth_tick(s);
    return ERR_OK;
}

void swarm_bandwidth_tick(struct swarm *s)
{
    struct tm local;
    time_t seconds = (time_t)(ctx_real_now(s->ctx) / SECOND_NS);
    if (s->bandwidth.hour_count > 0 && localtime_r(&seconds, &local) != NULL)
        bandwidth_hour(&s->bandwidth, (unsigned)local.tm_hour, ctx_now(s->ctx));
}

/* ---- sockets ---- */

size_t swarm_may_move(struct swarm_conn *c, enum bandwidth_direction d, size_t want)
{
    struct swarm *s = c->swarm;
    if (!s->bandwidth.limited || c->over) /* the last words wait for nobody */
        return want;
    return rate_line_ask(&s->bandwidth.all[d], &c->turns[d], want, ctx_now(s->ctx));
}

static void count(struct swarm_traffic *t, enum bandwidth_direction d, size_t bytes)
{
    t->bytes[d] += bytes;
}

void swarm_moved(struct swarm_conn *c, enum bandwidth_direction d, size_t bytes)
{
    struct swarm *s = c->swarm;
    count(&s->traffic, d, bytes);
    if (c->peer != NULL)
        count(&c->peer->traffic, d, bytes);
    if (s->bandwidth.limited)
        rate_line_spend(&s->bandwidth.all[d], &c->turns[d], bytes, ctx_now(s->ctx));
}

bool swarm_may_receive(const struct swarm_conn *c)
{
    return c->turns[BANDWIDTH_IN].in == NULL && (c->slow_until_ns == 0 || c->slow_until_ns <= ctx_now(c->swarm->ctx));
}

void swarm_bandwidth_peer(struct swarm_conn *c)
{
    for (int d = 0; d < BANDWIDTH_DIRECTIONS; d++)
        c->turns[d].own = &c->peer->rates[d];
}

/* ---- streams ---- */

void swarm_bandwidth_protocol(struct swarm_stream *st)
{
    st->limit = bandwidth_protocol_of(&st->conn->swarm->bandwidth, span_text(st->protocol));
}

/* What arrives without having been allowed overdraws the rate; far below zero, the connection's reads pause. */
static void charge_arrival(struct swarm_stream *st, size_t bytes)
{
    struct swarm *s = st->conn->swarm;
    uint64_t now = ctx_now(s->ctx);
    struct rate_bucket *bucket = &st->limit->line[BANDWIDTH_IN].bucket;
    uint64_t allowed = MIN(st->prepaid, (uint64_t)bytes);
    st->prepaid -= allowed;
    rate_bucket_take(bucket, bytes - allowed, now);
    if (bucket->rate == 0 || rate_bucket_level(bucket, now) >= -(int64_t)MAX(bucket->rate, (uint64_t)OVERDRAFT_MIN))
        return;
    st->conn->slow_until_ns = rate_bucket_ready(bucket, RATE_QUANTUM_BYTES, now);
    s->slow_at_ns = s->slow_at_ns == 0 ? st->conn->slow_until_ns : MIN(s->slow_at_ns, st->conn->slow_until_ns);
}

void swarm_stream_moved(struct swarm_stream *st, enum bandwidth_direction d, size_t bytes)
{
    struct swarm *s = st->conn->swarm;
    const char *name = st->protocol == NULL ? st->service : st->protocol;
    int row = name == NULL ? -1 : protocols_row(&s->protocols, span_text(name));
    if (row >= 0)
        count(&s->protocol_traffic[row], d, bytes);
    if (st->limit == NULL || st->kind != STREAM_OWNED)
        return;
    if (d == BANDWIDTH_OUT)
        rate_line_spend(&st->limit->line[d], &st->turns[d], bytes, ctx_now(s->ctx));
    else
        charge_arrival(st, bytes);
}

static void give_credit(struct swarm_stream *st)
{
    struct rate_line *line = &st->limit->line[BANDWIDTH_IN];
    struct rate_turn *turn = &st->turns[BANDWIDTH_IN];
    uint64_t now = ctx_now(st->conn->swarm->ctx);
    size_t may;
    while (st->credit_held > 0 && (may = rate_line_ask(line, turn, (size_t)st->credit_held, now)) > 0) {
        rate_line_spend(line, turn, may, now);
        st->credit_held -= may;
        st->prepaid += may;
        connection_stream_consume(st->engine, may);
    }
}

void swarm_stream_consumed(struct swarm_stream *st, uint64_t bytes)
{
    if (st->limit == NULL) {
        connection_stream_consume(st->engine, (size_t)bytes);
        return;
    }
    st->credit_held += bytes;
    give_credit(st);
}

/* ---- the timer ---- */

static void run_streams(struct swarm *s, enum bandwidth_direction d, uint64_t now)
{
    for (size_t i = 0; i < s->bandwidth.protocol_count; i++) {
        struct rate_turn *turn;
        while ((turn = rate_line_next(&s->bandwidth.protocols[i].line[d], now)) != NULL) {
            struct swarm_stream *st = turn->owner;
            swarm_touch(st->conn);
            if (d == BANDWIDTH_IN)
                give_credit(st);
            else
                swarm_stream_flush(st);
        }
    }
}

static void wake_slow(struct swarm *s, uint64_t now)
{
    if (s->slow_at_ns == 0 || s->slow_at_ns > now)
        return;
    s->slow_at_ns = 0;
    size_t position = 0;
    struct swarm_conn *c;
    while ((c = table_next(&s->conns, &position, NULL)) != NULL) {
        if (c->slow_until_ns > now)
            s->slow_at_ns = s->slow_at_ns == 0 ? c->slow_until_ns : MIN(s->slow_at_ns, c->slow_until_ns);
        else if (c->slow_until_ns != 0)
            swarm_touch(c);
        if (c->slow_until_ns <= now)
            c->slow_until_ns = 0;
    }
}

void swarm_bandwidth_run(struct swarm *s)
{
    uint64_t now = ctx_now(s->ctx);
    for (int d = 0; d < BANDWIDTH_DIRECTIONS; d++) {
        struct rate_turn *turn;
        while ((turn = rate_line_next(&s->bandwidth.all[d], now)) != NULL)
            swarm_touch(turn->owner); /* settling arms its socket, or writes */
        run_streams(s, d, now);
    }
    wake_slow(s, now);
}

void swarm_bandwidth_arm(struct swarm *s)
{
    if (!s->bandwidth.limited)
        return;
    uint64_t at = bandwidth_deadline(&s->bandwidth, ctx_now(s->ctx));
    if (s->slow_at_ns != 0)
        at = MIN(at, s->slow_at_ns);
    if (at == UINT64_MAX || (s->bandwidth_timer != 0 && s->bandwidth_at_ns <= at))
        return;
    if (s->bandwidth_timer != 0)
        ctx_timer_cancel(s->ctx, s->bandwidth_timer);
    s->bandwidth_timer = ctx_timer(s->ctx, at, TAG_BANDWIDTH);
    s->bandwidth_at_ns = at;
}

/* ---- figures ---- */

static void measure(struct swarm_traffic *t, uint64_t ms)
{
    for (int d = 0; d < BANDWIDTH_DIRECTIONS; d++) {
        t->rate[d] = (t->bytes[d] - t->last[d]) * 1000 / ms;
        t->last[d] = t->bytes[d];
    }
}

void swarm_measure(struct swarm *s, uint64_t now_ns)
{
    uint64_t ms = (now_ns - s->rates_at_ns) / MS_NS;
    if (ms == 0)
        return;
    s->rates_at_ns = now_ns;
    measure(&s->traffic, ms);
    for (size_t i = 0; i < PROTOCOLS_MAX; i++)
        measure(&s->protocol_traffic[i], ms);
    size_t position = 0;
    struct swarm_peer *peer;
    while ((peer = table_next(&s->peers, &position, NULL)) != NULL)
        measure(&peer->traffic, ms);
}

enum err swarm_reply_bandwidth(struct swarm *s, const struct msg_stats_bw *fields, struct reply_to call)
{
    static const struct swarm_traffic none;
    const struct swarm_traffic *t = &s->traffic;
    struct peer_id id;
    if (fields->peer.len > 0) {
        if (peer_id_parse(fields->peer, &id) != ERR_OK)
            return ERR_INVALID;
        const struct swarm_peer *peer = swarm_peer_find(s, &id);
        t = peer == NULL ? &none : &peer->traffic;
    } else if (fields->protocol.len > 0) {
        int row = protocols_row(&s->protocols, fields->protocol);
        t = row < 0 ? &none : &s->protocol_traffic[row];
    }
    struct msg_stats_bw_ok reply = {.total_in = t->bytes[BANDWIDTH_IN],
                                    .total_out = t->bytes[BANDWIDTH_OUT],
                                    .rate_in = (double)t->rate[BANDWIDTH_IN],
                                    .rate_out = (double)t->rate[BANDWIDTH_OUT]};
    ctx_reply(s->ctx, call, &(struct msg){.kind = MSG_STATS_BW_OK, .fields = &reply});
    return ERR_OK;
}
