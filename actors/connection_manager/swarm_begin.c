/* SPDX-License-Identifier: MIT */
/* How connections begin: accepted or dialled, until they are upgraded and belong to a peer. */
#include <stdlib.h>
#include <string.h>

#include "actors/connection_manager/swarm.h"

static void random_bytes(void *arg, void *to, size_t len)
{
    ctx_random(((struct swarm *)arg)->ctx, to, len);
}

static struct swarm_peer *peer_of(struct swarm *s, const struct peer_id *id)
{
    struct swarm_peer *peer = swarm_peer_find(s, id);
    if (peer != NULL)
        return peer;
    if (!account_take(s->tables, sizeof(*peer)))
        return NULL;
    peer = calloc(1, sizeof(*peer));
    if (peer == NULL || table_put(&s->peers, peer_id_span(id), peer, NULL) != ERR_OK) {
        account_give(s->tables, sizeof(*peer));
        free(peer);
        return NULL;
    }
    peer->id = *id;
    bandwidth_peer(&s->bandwidth, id, ctx_now(s->ctx), peer->rates);
    peer->entry = peerstore_add(&s->store, id);
    return peer;
}

static void on_upgraded(void *user, struct connection *engine, const struct connection_info *info)
{
    (void)engine;
    struct swarm_conn *c = user;
    struct swarm *s = c->swarm;
    if (!swarm_may_speak(s, info->peer, &c->remote.addr)) {
        swarm_close(c, ERR_DENIED);
        return;
    }
    enum err err = peer_id_equal(info->peer, &s->self) ? ERR_MISMATCH : ERR_OK;
    if (err == ERR_OK)
        err = resources_upgraded(&s->resources, &c->resource, info->peer);
    struct swarm_peer *peer = err == ERR_OK ? peer_of(s, info->peer) : NULL;
    if (peer == NULL) {
        swarm_close(c, err == ERR_OK ? ERR_NOMEM : err);
        return;
    }
    c->half_open = false;
    c->up = true;
    c->peer = peer;
    c->next_of_peer = peer->conns;
    peer->conns = c;
    c->active_ns = ctx_now(s->ctx);
    swarm_bandwidth_peer(c);
    if (peer->entry != NULL) {
        peerstore_connected(peer->entry, ctx_real_now(s->ctx));
        struct multiaddr addr = endpoint_to_multiaddr(&c->remote);
        if (!c->inbound && peerstore_add_addr(peer->entry, multiaddr_span(&addr)) == ERR_OK)
            peerstore_prefer_addr(peer->entry, multiaddr_span(&addr));
    }
    if (c->attempt != 0)
        dialer_attempt_upgraded(s->dialer, c->attempt, info->peer, info->security);
    swarm_state_connection(c, false);
    autonat_upgraded(c);
    identify_start(c);
}

static void on_over(void *user, struct connection *engine, enum err err)
{
    (void)engine;
    swarm_end(user, err);
}

static const struct connection_events events = {.upgraded = on_upgraded,
                                                .stream_opened = swarm_on_opened,
                                                .stream_data = swarm_on_data,
                                                .stream_fin = swarm_on_fin,
                                                .stream_writable = swarm_on_writable,
                                                .stream_closed = swarm_on_closed,
                                                .closed = on_over};

static struct swarm_conn *conn_new(struct swarm *s, const struct endpoint *remote)
{
    if (!account_take(s->tables, sizeof(struct swarm_conn)))
        return NULL;
    struct swarm_conn *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        account_give(s->tables, sizeof(*c));
        return NULL;
    }
    c->id = ++s->last_number + SWARM_TAG_CONNECTION;
    c->swarm = s;
    c->remote = *remote;
    c->opened_ns = ctx_now(s->ctx);
    c->turns[BANDWIDTH_IN].owner = c;
    c->turns[BANDWIDTH_OUT].owner = c;
    c->opened_real_ns = ctx_real_now(s->ctx);
    c->push_credit_ns = SWARM_PUSH_BURST * SWARM_PUSH_PERIOD_MS * MS_NS;
    c->push_updated_ns = c->opened_ns;
    if (table_put(&s->conns, table_key_u64(&c->id), c, NULL) == ERR_OK)
        return c;
    account_give(s->tables, sizeof(*c));
    free(c);
    return NULL;
}

static enum err start_engine(struct swarm_conn *c, const struct dialer_order *order)
{
    struct swarm *s = c->swarm;
    char host[ENDPOINT_TEXT_MAX];
    endpoint_host(&c->remote, host);
    struct connection_config config = {.role = order != NULL ? CONNECTION_DIALER : CONNECTION_LISTENER,
                                       .identity = s->identity,
                                       .security = {s->security[0], s->security[1]},
                                       .security_count = s->security_count,
                                       .swarm_key = s->config->swarm_key,
                                       .websocket = c->remote.websocket,
                                       .websocket_host = host,
                                       .receive = &s->windows,
                                       .send = s->send,
                                       .tables = s->tables,
                                       .wall_clock_s = ctx_real_now(s->ctx) / SECOND_NS,
                                       .random = random_bytes,
                                       .random_arg = s,
                                       .match_protocol = swarm_match_protocol,
                                       .events = &events,
                                       .user = c};
    if (order != NULL) {
        config.expected = peer_id_is_empty(&order->peer) ? NULL : &order->peer;
        memcpy(config.security, order->security, sizeof(config.security));
        config.optimistic = order->optimistic;
    }
    return connection_new(&config, ctx_now(s->ctx), &c->engine);
}

void swarm_connect(struct swarm *s, const struct dialer_order *order)
{
    if (!swarm_may_speak(s, &order->peer, &order->to.addr)) {
        dialer_attempt_failed(s->dialer, order->attempt, ERR_DENIED);
        return;
    }
    struct swarm_conn *c = conn_new(s, &order->to);
    if (c == NULL) {
        dialer_attempt_failed(s->dialer, order->attempt, ERR_NOMEM);
        return;
    }
    c->attempt = order->attempt;
    if (resources_are_full(&s->resources))
        swarm_make_room(s);
    enum err err =
        resources_enter(&s->resources, &c->resource, &order->to.addr, false, gate_is_exempt(&s->gate, &order->to.addr));
    if (err == ERR_OK)
        err = s->net->connect(s->net->self, &order->to.addr, c->id, &c->sock);
    if (err == ERR_OK)
        err = start_engine(c, order); /* its first flight leaves when TCP is there */
    if (err != ERR_OK)
        swarm_end(c, err);
}

/* One half-open connection too many: the oldest of the address that holds most of them goes. */
static void evict_half_open(struct swarm *s)
{
    size_t position = 0;
    struct swarm_conn *c;
    struct swarm_conn *victim = NULL;
    uint32_t most = 0;
    while ((c = table_next(&s->conns, &position, NULL)) != NULL) {
        if (!c->half_open || c->over)
            continue;
        uint32_t n = c->resource.ip->half_open;
        if (victim != NULL && n <= most)
            continue;
        victim = c;
        most = n;
    }
    if (victim == NULL)
        return;
    resources_leave(&s->resources, &victim->resource);
    victim->half_open = false;
    victim->reset_close = true;
    swarm_close(victim, ERR_BUSY);
}

static bool listens_for_websocket(const struct swarm *s, uint64_t tag)
{
    for (size_t i = 0; i < s->listener_count; i++)
        if (s->listeners[i].tag == tag)
            return s->listeners[i].bound.websocket;
    return false;
}

/* May it stay? Then ret_resource counts it, and the crowd has made room. */
static enum err admit(struct swarm *s, const struct net_addr *from, struct resource_conn *ret_resource)
{
    if (!swarm_may_speak(s, NULL, from))
        return ERR_DENIED;
    if (resources_are_crowded(&s->resources))
        evict_half_open(s);
    enum err err = resources_enter(&s->resources, ret_resource, from, true, gate_is_exempt(&s->gate, from));
    if (err == ERR_OK)
        err = gate_enter(&s->gate, from, ctx_now(s->ctx));
    if (err != ERR_OK)
        resources_leave(&s->resources, ret_resource);
    return err;
}

/* The socket becomes a connection, or is the caller's still. */
static enum err begin_accepted(struct swarm *s, const struct net_event *event)
{
    struct resource_conn resource = {0};
    struct endpoint remote = {.addr = event->remote, .websocket = listens_for_websocket(s, event->tag)};
    enum err err = admit(s, &event->remote, &resource);
    if (err != ERR_OK)
        return err;
    struct swarm_conn *c = conn_new(s, &remote);
    if (c == NULL) {
        resources_leave(&s->resources, &resource);
        return ERR_NOMEM;
    }
    c->resource = resource;
    c->sock = event->sock;
    c->local = event->local;
    c->inbound = true;
    c->half_open = true;
    s->net->set_tag(c->sock, c->id);
    err = start_engine(c, NULL);
    if (err != ERR_OK)
        swarm_end(c, err);
    swarm_touch(c);
    return ERR_OK;
}

void swarm_accepted(struct swarm *s, const struct net_event *event)
{
    if (begin_accepted(s, event) != ERR_OK)
        s->net->close(event->sock, true);
}
