/* SPDX-License-Identifier: MIT */
/*
 * Ping, both ways: we echo on at most two streams of a peer, and measure when asked to, one ping a second on one stream.
 * Spec: libp2p/specs ping.
 */
#include <stdlib.h>
#include <string.h>

#include "actors/connection_manager/swarm.h"
#include "schemas/messages.h"

enum { PINGS_MAX = 64 };

struct swarm_ping {
    struct ping feed;
    /* measuring */
    struct reply_to call;
    uint8_t sent[PING_BYTES];
    uint64_t sent_ns; /* 0: none under way */
    uint64_t next_ns;
    uint32_t count;
    uint32_t done;
    uint64_t rtt_ns[PINGS_MAX];
    bool open;
};

void ping_free(struct swarm_ping *ping)
{
    free(ping);
}

bool ping_accept(struct swarm_stream *st)
{
    unsigned streams = 0;
    for (const struct swarm_conn *c = st->conn->peer->conns; c != NULL; c = c->next_of_peer)
        for (const struct swarm_stream *other = c->streams; other != NULL; other = other->next)
            streams += other->kind == STREAM_PING_IN;
    if (streams > PING_STREAMS_IN_MAX)
        return false;
    st->ping = calloc(1, sizeof(*st->ping));
    return st->ping != NULL;
}

static bool write_all(struct swarm_stream *st, const uint8_t bytes[PING_BYTES])
{
    size_t accepted = 0;
    swarm_touch(st->conn);
    enum err err = connection_stream_write(st->engine, span_of(bytes, PING_BYTES), &accepted);
    swarm_stream_moved(st, BANDWIDTH_OUT, accepted);
    return err == ERR_OK && accepted == PING_BYTES;
}

static void reply(struct swarm_stream *st)
{
    struct swarm *s = st->conn->swarm;
    struct swarm_ping *p = st->ping;
    struct buf items;
    buf_init(&items, PINGS_MAX * 10, NULL);
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < p->count && err == ERR_OK; i++)
        err = schema_list_add_u64(&items, i < p->done ? p->rtt_ns[i] : 0);
    struct msg_ping_ok fields = {.rtt_ns = schema_list_of(&items, p->count)};
    if (err == ERR_OK)
        ctx_reply(s->ctx, p->call, &(struct msg){.kind = MSG_PING_OK, .fields = &fields});
    else
        ctx_reply_err(s->ctx, p->call, err, "no memory for the answer");
    buf_release(&items);
}

void ping_ended(struct swarm_stream *st, enum err err)
{
    if (st->ping == NULL)
        return;
    if (st->ping->done > 0)
        reply(st);
    else
        ctx_reply_err(st->conn->swarm->ctx, st->ping->call, err == ERR_OK ? ERR_CLOSED : err,
                      "the peer did not answer the ping: %s", err_text(err == ERR_OK ? ERR_CLOSED : err));
}

static void give_up(struct swarm_stream *st, enum err err)
{
    ping_ended(st, err);
    swarm_stream_drop(st, 0);
}

static void send_next(struct swarm_stream *st)
{
    struct swarm_ping *p = st->ping;
    struct swarm *s = st->conn->swarm;
    ctx_random(s->ctx, p->sent, sizeof(p->sent));
    p->sent_ns = ctx_now(s->ctx);
    p->next_ns = p->sent_ns + SECOND_NS;
    if (!write_all(st, p->sent))
        give_up(st, ERR_BUSY);
}

void ping_opened(struct swarm_stream *st)
{
    st->ping->open = true;
    send_next(st);
}

/* False when the stream is gone. */
static bool measured(struct swarm_stream *st)
{
    struct swarm_ping *p = st->ping;
    if (p->sent_ns == 0 || memcmp(p->feed.bytes, p->sent, PING_BYTES) != 0) {
        give_up(st, ERR_PROTOCOL);
        return false;
    }
    p->rtt_ns[p->done++] = MAX(ctx_now(st->conn->swarm->ctx) - p->sent_ns, UINT64_C(1));
    p->sent_ns = 0;
    if (p->done < p->count)
        return true;
    reply(st);
    swarm_stream_finish(st);
    return false;
}

void ping_data(struct swarm_stream *st, struct span bytes)
{
    while (bytes.len > 0) {
        if (!ping_feed(&st->ping->feed, &bytes))
            return;
        if (st->kind == STREAM_PING_OUT) {
            if (!measured(st))
                return;
        } else if (!write_all(st, st->ping->feed.bytes)) {
            swarm_stream_drop(st, 0); /* it asks and does not read */
            return;
        }
    }
}

void ping_fin(struct swarm_stream *st)
{
    if (st->kind == STREAM_PING_IN)
        swarm_stream_finish(st);
    else
        give_up(st, ERR_CLOSED);
}

uint64_t ping_deadline(const struct swarm_stream *st)
{
    const struct swarm_ping *p = st->kind == STREAM_PING_OUT ? st->ping : NULL;
    if (p == NULL || (!p->open && p->sent_ns == 0))
        return UINT64_MAX;
    return p->sent_ns != 0 ? p->sent_ns + PING_TIMEOUT_S * SECOND_NS : p->next_ns;
}

void ping_tick(struct swarm_stream *st, uint64_t now_ns)
{
    if (st->kind != STREAM_PING_OUT || st->ping == NULL)
        return;
    struct swarm_ping *p = st->ping;
    if (p->sent_ns != 0 && now_ns - p->sent_ns >= PING_TIMEOUT_S * SECOND_NS)
        give_up(st, ERR_TIMEOUT);
    else if (p->open && p->sent_ns == 0 && p->next_ns <= now_ns)
        send_next(st);
}

enum err ping_call(struct swarm *s, const struct msg *msg, struct reply_to call)
{
    const struct msg_ping *fields = msg->fields;
    struct swarm_conn *c = NULL;
    enum err err = swarm_conn_to(s, fields->peer, &c);
    if (err != ERR_OK)
        return err;
    struct swarm_ping *p = calloc(1, sizeof(*p));
    struct swarm_stream *st = p == NULL ? NULL : swarm_stream_open(c, STREAM_PING_OUT, PING_PROTOCOL, false);
    if (st == NULL) {
        free(p);
        return ERR_BUSY;
    }
    p->call = call;
    p->count = fields->count == 0 ? 1 : (uint32_t)MIN(fields->count, (uint64_t)PINGS_MAX);
    st->ping = p;
    return ERR_OK;
}

void ping_cancel(struct swarm *s, const struct reply_to *call)
{
    size_t position = 0;
    struct swarm_stream *st;
    while ((st = table_next(&s->streams, &position, NULL)) != NULL) {
        if (st->kind != STREAM_PING_OUT || st->ping == NULL)
            continue;
        const struct reply_to *c = &st->ping->call;
        if (c->from == call->from && c->epoch == call->epoch && c->correlation == call->correlation)
            swarm_stream_drop(st, 0);
    }
}
