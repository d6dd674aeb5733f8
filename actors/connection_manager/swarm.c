/* SPDX-License-Identifier: MIT */
/*
 * Connections: their bytes, and their end. How they begin is in swarm_begin.c.
 *
 *      net events --read--> scratch --feed--> engine --events--> this folder        engine --output--> net port
 *
 * Everything that can end a connection only marks it; swarm_settle, at the end of each handler, does the rest in one place.
 */
#include "actors/connection_manager/swarm.h"

#include <stdlib.h>
#include <string.h>

void swarm_touch(struct swarm_conn *c)
{
    if (c->dirty)
        return;
    c->dirty = true;
    c->next_dirty = c->swarm->dirty;
    c->swarm->dirty = c;
}

void swarm_settle_soon(struct swarm *s)
{
    if (s->settle_timer == 0)
        s->settle_timer = ctx_timer(s->ctx, ctx_now(s->ctx), TAG_SETTLE);
}

struct swarm_peer *swarm_peer_find(const struct swarm *s, const struct peer_id *id)
{
    return table_get(&s->peers, peer_id_span(id));
}

static struct swarm_conn *best_conn(const struct swarm_peer *peer)
{
    struct swarm_conn *best = NULL;
    for (struct swarm_conn *c = peer->conns; c != NULL; c = c->next_of_peer) {
        if (c->over || connection_is_closed(c->engine))
            continue;
        if (best == NULL || connection_streams(c->engine) > connection_streams(best->engine))
            best = c;
    }
    return best;
}

enum err swarm_conn_to(const struct swarm *s, struct span peer, struct swarm_conn **ret_conn)
{
    struct peer_id id;
    if (peer_id_parse(peer, &id) != ERR_OK)
        return ERR_INVALID;
    const struct swarm_peer *known = swarm_peer_find(s, &id);
    *ret_conn = known == NULL ? NULL : best_conn(known);
    return *ret_conn == NULL ? ERR_UNREACHABLE : ERR_OK;
}

struct swarm_conn *swarm_conn_of_attempt(const struct swarm *s, uint64_t attempt)
{
    size_t position = 0;
    struct swarm_conn *c;
    while ((c = table_next(&s->conns, &position, NULL)) != NULL)
        if (c->attempt == attempt && !c->over)
            return c;
    return NULL;
}

/* ---- the end ---- */

void swarm_end(struct swarm_conn *c, enum err why)
{
    if (!c->over) {
        c->over = true;
        if (c->why == ERR_OK)
            c->why = why;
    }
    swarm_touch(c);
}

void swarm_close(struct swarm_conn *c, enum err why)
{
    if (c->why == ERR_OK)
        c->why = why;
    if (c->engine != NULL)
        connection_close(c->engine); /* reports the streams, then calls on_over */
    swarm_end(c, why);
}

static void unlink_peer(struct swarm_conn *c)
{
    struct swarm *s = c->swarm;
    struct swarm_peer *peer = c->peer;
    struct swarm_conn **at = &peer->conns;
    while (*at != c)
        at = &(*at)->next_of_peer;
    *at = c->next_of_peer;
    if (peer->entry != NULL)
        peerstore_disconnected(peer->entry, ctx_real_now(s->ctx));
    if (peer->conns != NULL)
        return;
    swarm_waiters_down(s, &peer->id, c->why == ERR_OK ? ERR_CLOSED : c->why);
    swarm_tell_down(s, peer);
    if (peer->wanted && !s->closing)
        swarm_return_later(s, &peer->id, ctx_now(s->ctx) - c->opened_ns);
    if (peer->entry != NULL)
        swarm_state_peer(s, peer->entry);
    (void)table_remove(&s->peers, peer_id_span(&peer->id));
    account_give(s->tables, sizeof(*peer));
    free(peer);
}

static void finish(struct swarm_conn *c)
{
    struct swarm *s = c->swarm;
    while (c->streams != NULL)
        swarm_stream_forget(c->streams);
    if (c->attempt != 0 && !c->up)
        dialer_attempt_failed(s->dialer, c->attempt, c->why == ERR_OK ? ERR_CLOSED : c->why);
    if (c->up)
        swarm_state_connection(c, true);
    rate_turn_leave(&c->turns[BANDWIDTH_IN]);
    rate_turn_leave(&c->turns[BANDWIDTH_OUT]);
    if (c->peer != NULL)
        unlink_peer(c);
    if (c->sock != NULL)
        s->net->close(c->sock, c->reset_close);
    connection_free(c->engine);
    swarm_unpause(c);
    resources_leave(&s->resources, &c->resource);
    (void)table_remove(&s->conns, table_key_u64(&c->id));
    account_give(s->tables, sizeof(*c));
    free(c);
}

/* ---- bytes ---- */

static bool may_read(struct swarm_conn *c)
{
    struct swarm *s = c->swarm;
    if (c->eof || c->engine == NULL || !connection_wants_read(c->engine) || !swarm_may_receive(c))
        return false;
    if (backlog_is_congested(&s->backlog) || account_free(s->receive) < SWARM_READ_BYTES) {
        s->reading_paused = true;
        return false;
    }
    if (resources_have_room(&s->resources, &c->resource, SWARM_READ_BYTES))
        return true;
    swarm_pause(c);
    return false;
}

/* Writes what the engine has. True when the socket took no more. */
static bool write_out(struct swarm_conn *c)
{
    struct iovec iov[1];
    while (c->sock != NULL && connection_output(c->engine, iov, 1) > 0) {
        size_t n = 0;
        uint64_t now = ctx_now(c->swarm->ctx);
        iov[0].iov_len = swarm_may_move(c, BANDWIDTH_OUT, iov[0].iov_len);
        if (iov[0].iov_len == 0)
            return false;
        enum err err = c->swarm->net->write(c->sock, iov, 1, &n);
        swarm_moved(c, BANDWIDTH_OUT, n);
        if (err == ERR_AGAIN) {
            c->stuck_ns = c->stuck_ns == 0 ? now : c->stuck_ns;
            return true;
        }
        c->stuck_ns = 0;
        if (err != ERR_OK) {
            c->reset_close = true;
            swarm_close(c, err);
            return false;
        }
        connection_output_done(c->engine, n, now);
    }
    return false;
}

static void arm(struct swarm_conn *c, bool blocked)
{
    if (!c->over)
        c->swarm->net->want(c->sock, may_read(c), blocked);
}

static void read_in(struct swarm_conn *c)
{
    struct swarm *s = c->swarm;
    swarm_blame(c);
    for (int i = 0; i < SWARM_READS_PER_EVENT && !c->over && may_read(c); i++) {
        struct iovec iov = {.iov_base = s->scratch, .iov_len = swarm_may_move(c, BANDWIDTH_IN, SWARM_READ_BYTES)};
        size_t n = 0;
        if (iov.iov_len == 0)
            return;
        enum err err = s->net->read(c->sock, &iov, 1, &n);
        swarm_moved(c, BANDWIDTH_IN, n);
        if (err == ERR_AGAIN)
            return;
        if (err != ERR_OK) {
            c->reset_close = true;
            swarm_close(c, err);
            return;
        }
        c->eof = n == 0;
        connection_feed(c->engine, s->scratch, n, ctx_now(s->ctx));
        if (n < iov.iov_len)
            return;
        (void)write_out(c);
    }
}

void swarm_resume_reading(struct swarm *s)
{
    if (!s->reading_paused || backlog_is_congested(&s->backlog) || account_free(s->receive) < SWARM_READ_BYTES)
        return;
    s->reading_paused = false;
    size_t position = 0;
    struct swarm_conn *c;
    while ((c = table_next(&s->conns, &position, NULL)) != NULL)
        swarm_touch(c);
}

void swarm_settle(struct swarm *s)
{
    do {
        while (s->dirty != NULL) {
            struct swarm_conn *c = s->dirty;
            s->dirty = c->next_dirty; /* dirty stays set: a touch from in here must not list it again */
            bool blocked = c->engine != NULL && c->sock != NULL && write_out(c);
            if (c->over) {
                finish(c);
                continue;
            }
            swarm_stream_report_written(c);
            if (c->engine != NULL)
                arm(c, blocked);
            c->dirty = false;
            swarm_care(c);
        }
        swarm_dialer_run(s);
    } while (s->dirty != NULL);
    if (s->reading_paused && s->resume_timer == 0 && !backlog_is_congested(&s->backlog))
        s->resume_timer = ctx_timer(s->ctx, ctx_now(s->ctx) + SWARM_RESUME_MS * MS_NS, TAG_RESUME);
    swarm_bandwidth_arm(s);
    swarm_tick_arm(s);
}

void swarm_net(struct swarm *s, const struct net_event *event)
{
    if (event->kind == NET_ACCEPTED) {
        swarm_accepted(s, event);
        return;
    }
    struct swarm_conn *c = table_get(&s->conns, table_key_u64(&event->tag));
    if (c == NULL || c->over)
        return;
    swarm_touch(c);
    if (event->kind == NET_CLOSED) {
        c->reset_close = true;
        swarm_close(c, event->err);
        return;
    }
    if (event->kind == NET_CONNECTED)
        c->local = event->local;
    else if (event->readable)
        read_in(c);
    if (c->attempt != 0 && !c->up && !c->over && connection_is_open(c->engine))
        dialer_attempt_connected(s->dialer, c->attempt);
}

void swarm_release(struct swarm *s)
{
    s->closing = true;
    size_t position = 0;
    struct swarm_conn *c;
    while ((c = table_next(&s->conns, &position, NULL)) != NULL) {
        if (c->engine != NULL && !connection_is_closed(c->engine))
            connection_close(c->engine); /* says goodbye */
        if (c->engine != NULL && c->sock != NULL)
            (void)write_out(c);
        c->dirty = false;
        finish(c);
    }
    s->dirty = NULL;
    table_release(&s->conns);
    table_release(&s->peers);
    table_release(&s->streams);
}
