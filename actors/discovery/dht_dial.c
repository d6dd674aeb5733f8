/* SPDX-License-Identifier: MIT */
/*
 * The way to a peer: connections and streams that connection_manager is asked for. At most DHT_DIALS_MAX dials at a time, the others wait in
 * line, and all of them for a moment when the node itself had no room for one: that says nothing of the peer. What is dialled is needed now,
 * but no wish: it may be trimmed as soon as it is quiet.
 */
#include <stdlib.h>

#include "actors/discovery/dht.h"
#include "actors/tree.h"
#include "wire/addr_list.h"
#include "wire/multiaddr.h"

enum { LIST_BYTES_MAX = 64 * 1024, DIAL_ADDRS_MAX = 16 };

enum op_kind { OP_DIAL, OP_OPEN };

/* A call of connection_manager under way; its tag is the key. The peer may be gone when it ends. */
struct dht_op {
    uint64_t tag;
    enum op_kind kind;
    struct peer_id peer;
    enum dht_net_number net;
};

/* In the trace of who asks first what the connection or stream is for. */
static void caused_by(const struct dht_peer *peer)
{
    const struct dht_request *first = NULL;
    for (unsigned n = 0; n < DHT_NET_COUNT && first == NULL; n++)
        first = peer->channels[n] == NULL ? NULL : TAILQ_FIRST(&peer->channels[n]->queue);
    dht_search_caused(peer->dht, first == NULL ? 0 : first->search);
}

static enum err call(struct dht *d, enum op_kind kind, const struct dht_peer *peer, enum dht_net_number net,
                     const struct msg *msg)
{
    struct dht_op *op = calloc(1, sizeof(*op));
    if (op == NULL)
        return ERR_NOMEM;
    *op = (struct dht_op){.tag = d->last_tag + 1, .kind = kind, .peer = peer->id, .net = net};
    struct call_opts opts = {.timeout_ns = DHT_REQUEST_MS * MS_NS, .reply_bytes_max = 4096};
    enum err err = table_put(&d->ops, table_key_u64(&op->tag), op, NULL);
    if (err == ERR_OK) {
        err = ctx_call(d->ctx, ACTOR_CONNECTION_MANAGER, msg, opts, op->tag);
        if (err != ERR_OK)
            (void)table_remove(&d->ops, table_key_u64(&op->tag));
    }
    if (err == ERR_OK)
        d->last_tag++;
    else
        free(op);
    return err;
}

enum err dht_dial_stream(struct dht_channel *c)
{
    struct dht *d = c->net->dht;
    struct buf items;
    buf_init(&items, 256, NULL);
    enum err err = schema_list_add_text(&items, span_text(c->net->protocol));
    struct msg_stream_open fields = {.peer = peer_id_span(&c->peer->id), .protocols = schema_list_of(&items, 1)};
    if (err == ERR_OK)
        err = call(d, OP_OPEN, c->peer, c->net->number, &(struct msg){.kind = MSG_STREAM_OPEN, .fields = &fields});
    buf_release(&items);
    return err;
}

/* ---- dials ---- */

static uint32_t list_addrs(const struct dht_peer *peer, struct buf *items)
{
    struct span rest = buf_span(&peer->addrs);
    struct span addr;
    uint32_t count = 0;
    char text[MSG_ADDR_MAX];
    while (count < DIAL_ADDRS_MAX && addr_list_next(&rest, &addr))
        if (multiaddr_text(addr, text, sizeof(text)) == ERR_OK &&
            schema_list_add_text(items, span_text(text)) == ERR_OK)
            count++;
    return count;
}

static void connect_to(struct dht_peer *peer)
{
    struct dht *d = peer->dht;
    struct buf items;
    buf_init(&items, LIST_BYTES_MAX, NULL);
    uint32_t count = list_addrs(peer, &items);
    caused_by(peer);
    struct msg_peer_connect fields = {.peer = peer_id_span(&peer->id),
                                      .addrs = schema_list_of(&items, count),
                                      .casual = true,
                                      .needed = true,
                                      .patient = true};
    enum err err = call(d, OP_DIAL, peer, DHT_WAN, &(struct msg){.kind = MSG_PEER_CONNECT, .fields = &fields});
    buf_release(&items);
    peer->dialling = err == ERR_OK;
    peer->dial_tag = d->last_tag;
    d->dials += err == ERR_OK;
    if (err != ERR_OK)
        dht_ask_connected(peer, err);
}

static bool may_dial(const struct dht *d)
{
    return d->dials < DHT_DIALS_MAX && d->dial_at_ns <= ctx_now(d->ctx);
}

void dht_dial(struct dht_peer *peer)
{
    struct dht *d = peer->dht;
    if (peer->dialling || peer->dial_waits)
        return;
    peer->dial_until_ns = 0;
    if (may_dial(d)) {
        connect_to(peer);
        return;
    }
    peer->dial_waits = true;
    TAILQ_INSERT_TAIL(&d->to_dial, peer, to_dial);
}

void dht_dial_next(struct dht *d)
{
    struct dht_peer *peer;
    while (may_dial(d) && (peer = TAILQ_FIRST(&d->to_dial)) != NULL) {
        TAILQ_REMOVE(&d->to_dial, peer, to_dial);
        peer->dial_waits = false;
        if (peer->channels[DHT_WAN] != NULL || peer->channels[DHT_LAN] != NULL)
            connect_to(peer);
        else
            dht_peer_drop_if_idle(peer);
    }
}

void dht_dial_cancel(struct dht_peer *peer)
{
    struct dht *d = peer->dht;
    free(table_remove(&d->ops, table_key_u64(&peer->dial_tag)));
    ctx_cancel_call(d->ctx, peer->dial_tag);
    peer->dialling = false;
    d->dials--;
}

/* False: it has waited long enough. */
static bool wait_for_room(struct dht_peer *peer)
{
    struct dht *d = peer->dht;
    uint64_t now = ctx_now(d->ctx);
    if (peer->dial_until_ns == 0)
        peer->dial_until_ns = now + DHT_DIAL_ROOM_MS * MS_NS;
    if (peer->dial_until_ns <= now)
        return false;
    d->dial_at_ns = now + DHT_DIAL_PAUSE_MS * MS_NS;
    peer->dial_waits = true;
    TAILQ_INSERT_HEAD(&d->to_dial, peer, to_dial);
    return true;
}

static void dialled(struct dht *d, const struct dht_op *op, const struct info *info)
{
    struct dht_peer *peer = dht_peer_find(d, &op->peer);
    d->dials--;
    if (peer == NULL || !peer->dialling)
        return;
    peer->dialling = false;
    if (info->err == ERR_BUSY && wait_for_room(peer))
        return;
    dht_ask_connected(peer, info->err);
}

void dht_dial_reply(struct dht *d, const struct info *info)
{
    struct dht_op *op = table_remove(&d->ops, table_key_u64(&info->tag));
    if (op == NULL)
        return;
    if (op->kind == OP_DIAL)
        dialled(d, op, info);
    else
        dht_ask_opened(d, &op->peer, op->net, info);
    free(op);
    dht_dial_next(d);
}

uint64_t dht_dial_due(const struct dht *d)
{
    return TAILQ_EMPTY(&d->to_dial) || d->dials == DHT_DIALS_MAX ? UINT64_MAX : d->dial_at_ns;
}

void dht_dial_release(struct dht *d)
{
    size_t position = 0;
    struct dht_op *op;
    while ((op = table_next(&d->ops, &position, NULL)) != NULL)
        free(op);
    table_release(&d->ops);
}
