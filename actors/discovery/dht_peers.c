/* SPDX-License-Identifier: MIT */
/* Peers as the DHT knows them: connected, asked or asking; and which routing tables they enter. */
#include <stdlib.h>

#include "actors/discovery/dht.h"
#include "wire/addr_list.h"
#include "wire/multiaddr.h"

enum { ADDRS_BYTES_MAX = 2048, SEEN_BYTES_MAX = MULTIADDR_BYTES_MAX, TAG_UNSURE = -1 };

struct dht_peer *dht_peer_find(const struct dht *d, const struct peer_id *id)
{
    return table_get(&d->peers, peer_id_span(id));
}

static void take_addrs(struct dht_peer *peer, struct span addrs)
{
    struct span addr;
    while (addr_list_next(&addrs, &addr))
        if (addr_list_add(&peer->addrs, addr) == ERR_TOO_LARGE)
            return;
}

struct dht_peer *dht_peer_get(struct dht *d, const struct peer_id *id, struct span addrs)
{
    struct dht_peer *peer = dht_peer_find(d, id);
    if (peer == NULL) {
        if (!account_take(d->tables, sizeof(*peer)))
            return NULL;
        peer = calloc(1, sizeof(*peer));
        if (peer == NULL || table_put(&d->peers, peer_id_span(id), peer, NULL) != ERR_OK) {
            free(peer);
            account_give(d->tables, sizeof(*peer));
            return NULL;
        }
        peer->dht = d;
        peer->id = *id;
        peer->credit_ns = DHT_BURST * SECOND_NS / DHT_RATE;
        buf_init(&peer->addrs, ADDRS_BYTES_MAX, d->tables);
        buf_init(&peer->seen_at, SEEN_BYTES_MAX, d->tables);
    }
    if (!peer->up)
        take_addrs(peer, addrs);
    return peer;
}

static void peer_free(struct dht_peer *peer)
{
    struct dht *d = peer->dht;
    if (peer->dial_waits)
        TAILQ_REMOVE(&d->to_dial, peer, to_dial);
    for (unsigned n = 0; n < DHT_NET_COUNT; n++)
        free(peer->channels[n]);
    buf_release(&peer->addrs);
    buf_release(&peer->seen_at);
    (void)table_remove(&d->peers, peer_id_span(&peer->id));
    free(peer);
    account_give(d->tables, sizeof(*peer));
}

void dht_peer_drop_if_idle(struct dht_peer *peer)
{
    if (peer->up || peer->inbound > 0)
        return;
    for (unsigned n = 0; n < DHT_NET_COUNT; n++)
        if (peer->channels[n] != NULL)
            return;
    if (peer->dialling)
        dht_dial_cancel(peer);
    peer_free(peer);
}

/* ---- the tables ---- */

/* Whether the peer is one of this DHT's: a server of it, on the right side of the border. */
static bool belongs(const struct dht_peer *peer, const struct dht_net *net)
{
    if (!peer->up || !peer->speaks[net->number])
        return false;
    return net->number == DHT_LAN ? peer->local : !peer->local && addr_scope_usable(net->scope, buf_span(&peer->addrs));
}

static void enter(struct dht_peer *peer, struct dht_net *net)
{
    struct buf addrs;
    buf_init(&addrs, ROUTING_ADDRS_BYTES_MAX, NULL);
    enum err err = addr_scope_filter(net->scope, buf_span(&peer->addrs), ROUTING_ADDRS_MAX, &addrs);
    if (err == ERR_OK)
        err = routing_table_add(&net->table, &peer->id, buf_span(&peer->seen_at), buf_span(&addrs), false,
                                dht_ms(peer->dht));
    buf_release(&addrs);
    if (err == ERR_OK && net->self_due_ns == 0)
        net->self_due_ns = net->look_at_ns = ctx_now(peer->dht->ctx) + SECOND_NS; /* more may come at once */
}

static void place(struct dht_peer *peer)
{
    for (unsigned n = 0; n < DHT_NET_COUNT; n++) {
        struct dht_net *net = &peer->dht->nets[n];
        if (belongs(peer, net))
            enter(peer, net);
        else
            (void)routing_table_remove(&net->table, &peer->id);
    }
}

void dht_peers_enter(struct dht *d, struct dht_net *net)
{
    size_t position = 0;
    struct dht_peer *peer;
    while ((peer = table_next(&d->peers, &position, NULL)) != NULL)
        if (belongs(peer, net) && routing_table_find(&net->table, &peer->id) == NULL)
            enter(peer, net);
}

static int64_t worth(const struct dht *d, const struct dht_peer *peer)
{
    int64_t value = 0;
    for (unsigned n = 0; n < DHT_NET_COUNT; n++)
        if (routing_table_find(&d->nets[n].table, &peer->id) != NULL) {
            struct kad_key key = kad_key_of_peer(&peer->id);
            value = DHT_TAG_VALUE + (int64_t)kad_key_common_prefix(&key, &d->nets[n].table.own);
        }
    return value;
}

static void tag(struct dht_peer *peer, int64_t value)
{
    struct msg_peer_tag fields = {.peer = peer_id_span(&peer->id), .name = span_text("dht"), .value = value};
    if (value == peer->tag)
        return;
    peer->tag = value;
    stream_orders_tag(&peer->dht->orders, &fields);
}

void dht_peers_tag(struct dht *d)
{
    size_t position = 0;
    struct dht_peer *peer;
    while ((peer = table_next(&d->peers, &position, NULL)) != NULL)
        if (peer->up)
            tag(peer, worth(d, peer));
}

/* ---- up and down ---- */

void dht_peer_up(struct dht *d, const struct msg_peer_up *fields)
{
    struct peer_id id;
    struct span item;
    size_t position = 0;
    if (peer_id_parse(fields->peer, &id) != ERR_OK || fields->limited || d->routers_only)
        return;
    struct dht_peer *peer = dht_peer_get(d, &id, (struct span){0});
    if (peer == NULL)
        return;
    peer->up = true;
    peer->tag = peer->tag == 0 ? 0 : TAG_UNSURE; /* connection_manager may have begun anew */
    peer->local = fields->local;
    peer->speaks[DHT_WAN] = peer->speaks[DHT_LAN] = false;
    while (schema_list_next_bytes(&fields->protocols, &position, &item))
        for (unsigned n = 0; n < DHT_NET_COUNT; n++)
            peer->speaks[n] = peer->speaks[n] || span_equal_text(item, d->nets[n].protocol);
    buf_clear(&peer->addrs);
    buf_clear(&peer->seen_at);
    if (buf_append_span(&peer->seen_at, fields->seen_at) != ERR_OK)
        buf_clear(&peer->seen_at);
    position = 0;
    while (schema_list_next_bytes(&fields->addrs, &position, &item))
        (void)!addr_list_add(&peer->addrs, item);
    place(peer);
}

void dht_peer_down(struct dht *d, const struct msg_peer_down *fields)
{
    struct peer_id id;
    struct dht_peer *peer = peer_id_parse(fields->peer, &id) == ERR_OK ? dht_peer_find(d, &id) : NULL;
    if (peer == NULL)
        return;
    tag(peer, 0);
    peer->up = false; /* it stays in its table: where it is to be found is known */
    dht_peer_drop_if_idle(peer);
}

void dht_peers_release(struct dht *d)
{
    size_t position = 0;
    struct dht_peer *peer;
    while ((peer = table_next(&d->peers, &position, NULL)) != NULL)
        peer_free(peer);
    table_release(&d->peers);
}
