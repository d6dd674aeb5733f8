/* SPDX-License-Identifier: MIT */
/* What the swarm says of itself: to protocol actors (peer_up, peer_down), to state (rows), to control (replies). */
#include <string.h>

#include "actors/connection_manager/swarm.h"
#include "actors/tree.h"
#include "net/addr.h"
#include "schemas/messages.h"

enum {
    LIST_BYTES_MAX = 512 * 1024,
    REPLY_FRAME_BYTES = 64, /* of a reply around its list */
    STATE_PROTOCOLS_MAX = 64,
    STATE_ADDRS_MAX = 32,
    ADDRS_TOLD_MAX = 500
};

static const actor_id listeners_to_peers[] = {ACTOR_BITSWAP, ACTOR_DISCOVERY};

static const char *security_name(const struct swarm_conn *c)
{
    return connection_info(c->engine)->security == CONNECTION_TLS ? "/tls/1.0.0" : "/noise";
}

/* ---- protocol actors ---- */

static uint32_t list_addr_bytes(const struct peer_entry *entry, struct buf *items)
{
    size_t position = 0;
    struct span addr;
    uint32_t count = 0;
    while (count < PEER_UP_ADDRS_MAX && entry != NULL && peerstore_next(&entry->addrs, &position, &addr))
        if (schema_list_add_bytes(items, addr) == ERR_OK)
            count++;
    return count;
}

/* An own address that is public proves nothing: a firewall may stand before it. Addresses.Announce is where ports are forwarded. */
bool swarm_is_reached(const struct swarm_conn *c)
{
    bool forwarded = c->swarm->config->addresses_announce.count > 0;
    return c->inbound && reach_of(&c->remote.addr) == REACH_PUBLIC &&
           (forwarded || reach_of(&c->local) == REACH_PUBLIC);
}

static bool has_reached(const struct swarm_peer *peer)
{
    for (const struct swarm_conn *c = peer->conns; c != NULL; c = c->next_of_peer)
        if (swarm_is_reached(c))
            return true;
    return false;
}

static void cast_up(struct swarm *s, const struct swarm_peer *peer, actor_id to)
{
    struct buf items;
    struct buf addrs;
    buf_init(&items, LIST_BYTES_MAX, NULL);
    buf_init(&addrs, LIST_BYTES_MAX, NULL);
    uint32_t addr_count = list_addr_bytes(peer->entry, &addrs);
    uint32_t count = 0;
    size_t position = 0;
    struct span protocol;
    while (peer->entry != NULL && peerstore_next(&peer->entry->protocols, &position, &protocol))
        if (schema_list_add_text(&items, protocol) == ERR_OK)
            count++;
    struct multiaddr seen_at = endpoint_to_multiaddr(&peer->conns->remote);
    struct msg_peer_up fields = {.peer = peer_id_span(&peer->id),
                                 .seen_at = multiaddr_span(&seen_at),
                                 .protocols = schema_list_of(&items, count),
                                 .local = reach_is_near(&peer->conns->remote.addr),
                                 .reached = has_reached(peer),
                                 .addrs = schema_list_of(&addrs, addr_count)};
    backlog_cast(&s->backlog, s->ctx, to, &(struct msg){.kind = MSG_PEER_UP, .fields = &fields});
    buf_release(&addrs);
    buf_release(&items);
}

void swarm_tell_up(struct swarm *s, struct swarm_peer *peer)
{
    peer->told = true;
    for (size_t i = 0; i < ARRAY_LEN(listeners_to_peers); i++)
        cast_up(s, peer, listeners_to_peers[i]);
}

/* Also of one that was never told to be up: it may have opened streams before it was identified. */
void swarm_tell_down(struct swarm *s, struct swarm_peer *peer)
{
    if (s->closing)
        return;
    struct msg_peer_down fields = {.peer = peer_id_span(&peer->id)};
    for (size_t i = 0; i < ARRAY_LEN(listeners_to_peers); i++)
        backlog_cast(&s->backlog, s->ctx, listeners_to_peers[i],
                     &(struct msg){.kind = MSG_PEER_DOWN, .fields = &fields});
}

void swarm_tell_all_up(struct swarm *s, actor_id to)
{
    bool listens = false;
    for (size_t i = 0; i < ARRAY_LEN(listeners_to_peers); i++)
        listens = listens || listeners_to_peers[i] == to;
    size_t position = 0;
    const struct swarm_peer *peer;
    while (listens && (peer = table_next(&s->peers, &position, NULL)) != NULL)
        if (peer->told)
            cast_up(s, peer, to);
    if (to == ACTOR_DISCOVERY)
        autonat_tell_again(s);
}

/* ---- rows of state ---- */

static void cast_state(struct swarm *s, uint16_t kind, const void *fields)
{
    if (!s->closing)
        (void)ctx_cast(s->ctx, ACTOR_STATE, &(struct msg){.kind = kind, .fields = fields});
}

void swarm_state_connection(struct swarm_conn *c, bool gone)
{
    struct swarm *s = c->swarm;
    char addr[ENDPOINT_TEXT_MAX];
    struct msg_state_connection fields = {.id = c->id, .gone = gone};
    if (!gone) {
        endpoint_text(&c->remote, addr);
        fields.peer = peer_id_span(&c->peer->id);
        fields.addr = span_text(addr);
        fields.inbound = c->inbound;
        fields.security = span_text(security_name(c));
        fields.muxer = span_text("/yamux/1.0.0");
        fields.streams = connection_streams(c->engine);
        fields.opened_at = c->opened_real_ns;
        fields.rtt_ns = connection_rtt_ns(c->engine);
        connection_traffic(c->engine, &fields.bytes_in, &fields.bytes_out);
        c->reported_ns = ctx_now(s->ctx);
        c->reported_bytes = fields.bytes_in + fields.bytes_out;
        c->reported_rtt_ns = fields.rtt_ns;
        c->reported_streams = (uint32_t)fields.streams;
    }
    cast_state(s, MSG_STATE_CONNECTION, &fields);
}

static uint32_t list_addrs(const struct peer_entry *entry, size_t max, struct buf *items)
{
    char text[MULTIADDR_TEXT_MAX];
    size_t position = 0;
    struct span addr;
    uint32_t count = 0;
    while (count < max && peerstore_next(&entry->addrs, &position, &addr))
        if (multiaddr_text(addr, text, MIN(sizeof(text), (size_t)MSG_ADDR_MAX)) == ERR_OK &&
            schema_list_add_text(items, span_text(text)) == ERR_OK)
            count++;
    return count;
}

void swarm_state_peer(struct swarm *s, const struct peer_entry *entry)
{
    struct buf addrs;
    struct buf protocols;
    buf_init(&addrs, LIST_BYTES_MAX, NULL);
    buf_init(&protocols, LIST_BYTES_MAX, NULL);
    uint32_t addr_count = list_addrs(entry, STATE_ADDRS_MAX, &addrs);
    uint32_t count = 0;
    size_t position = 0;
    struct span protocol;
    while (count < STATE_PROTOCOLS_MAX && peerstore_next(&entry->protocols, &position, &protocol))
        if (schema_list_add_text(&protocols, protocol) == ERR_OK)
            count++;
    struct msg_state_peer fields = {.peer = peer_id_span(&entry->id),
                                    .addrs = schema_list_of(&addrs, addr_count),
                                    .protocols = schema_list_of(&protocols, count),
                                    .agent = span_text(entry->agent),
                                    .last_seen = entry->seen_ns,
                                    .successes = entry->successes,
                                    .failures = entry->failures,
                                    .connected = entry->connections > 0};
    cast_state(s, MSG_STATE_PEER, &fields);
    buf_release(&addrs);
    buf_release(&protocols);
}

/* A ping that took as long as the last one is no news: a row for each was most of what a node at rest wrote. */
static bool has_news(const struct swarm_conn *c, uint64_t now)
{
    uint64_t in = 0;
    uint64_t out = 0;
    uint64_t rtt = connection_rtt_ns(c->engine);
    connection_traffic(c->engine, &in, &out);
    uint64_t moved = in + out - c->reported_bytes;
    uint64_t apart = MAX(rtt, c->reported_rtt_ns) - MIN(rtt, c->reported_rtt_ns);
    if (moved == 0)
        return false;
    return moved >= SWARM_REPORT_BYTES || connection_streams(c->engine) != c->reported_streams ||
           apart > c->reported_rtt_ns / 4 + 5 * MS_NS || (c->reported_rtt_ns == 0 && rtt != 0) ||
           now >= c->reported_ns + SWARM_REPORT_QUIET_MS * MS_NS;
}

void swarm_report_tick(struct swarm *s)
{
    uint64_t now = ctx_now(s->ctx);
    if (s->report_at_ns > now)
        return;
    s->report_at_ns = now + SWARM_REPORT_MS * MS_NS;
    swarm_measure(s, now);
    size_t position = 0;
    struct swarm_conn *c;
    while ((c = table_next(&s->conns, &position, NULL)) != NULL)
        if (c->up && !c->over && has_news(c, now))
            swarm_state_connection(c, false);
    identify_refresh_own(s);
}

/* ---- replies ---- */

static void fill_connection(const struct swarm_conn *c, char addr[ENDPOINT_TEXT_MAX], struct item_connection *row)
{
    endpoint_text(&c->remote, addr);
    *row = (struct item_connection){.peer = peer_id_span(&c->peer->id),
                                    .addr = span_text(addr),
                                    .inbound = c->inbound,
                                    .security = span_text(security_name(c)),
                                    .muxer = span_text("/yamux/1.0.0"),
                                    .agent = span_text(c->peer->entry == NULL ? "" : c->peer->entry->agent),
                                    .streams = connection_streams(c->engine),
                                    .opened_at = c->opened_real_ns,
                                    .rtt_ns = connection_rtt_ns(c->engine)};
    connection_traffic(c->engine, &row->bytes_in, &row->bytes_out);
}

enum err swarm_reply_peers(struct swarm *s, struct reply_to call)
{
    struct buf items;
    size_t room = MIN(call.bytes_max, (uint32_t)LIST_BYTES_MAX);
    buf_init(&items, room - MIN(room, (size_t)REPLY_FRAME_BYTES), NULL);
    uint32_t count = 0;
    uint64_t omitted = 0;
    size_t position = 0;
    const struct swarm_conn *c;
    while ((c = table_next(&s->conns, &position, NULL)) != NULL) {
        struct item_connection row;
        char addr[ENDPOINT_TEXT_MAX];
        if (!c->up || c->over)
            continue;
        fill_connection(c, addr, &row);
        if (omitted == 0 && count < BATCH_COUNT_MAX &&
            schema_list_add_map(&items, &schema_item_connection, &row) == ERR_OK)
            count++;
        else
            omitted++;
    }
    struct msg_swarm_peers_ok fields = {.connections = schema_list_of(&items, count), .omitted = omitted};
    ctx_reply(s->ctx, call, &(struct msg){.kind = MSG_SWARM_PEERS_OK, .fields = &fields});
    buf_release(&items);
    return ERR_OK;
}

static uint32_t list_own(struct swarm *s, struct buf *items)
{
    char text[MULTIADDR_TEXT_MAX];
    uint32_t count = 0;
    identify_refresh_own(s);
    for (size_t i = 0; i < s->own_addr_count; i++)
        if (multiaddr_text(multiaddr_span(&s->own_addrs[i]), text, MIN(sizeof(text), (size_t)MSG_ADDR_MAX)) == ERR_OK &&
            schema_list_add_text(items, span_text(text)) == ERR_OK)
            count++;
    return count;
}

static uint32_t list_peer_addrs(const struct swarm *s, struct buf *rows)
{
    uint32_t count = 0;
    size_t position = 0;
    const struct peer_entry *entry;
    while (count < BATCH_COUNT_MAX && (entry = table_next(&s->store.peers, &position, NULL)) != NULL) {
        struct buf items;
        buf_init(&items, LIST_BYTES_MAX, NULL);
        uint32_t addrs = list_addrs(entry, ADDRS_TOLD_MAX, &items);
        struct item_peer_addrs row = {.peer = peer_id_span(&entry->id), .addrs = schema_list_of(&items, addrs)};
        if (schema_list_add_map(rows, &schema_item_peer_addrs, &row) == ERR_OK)
            count++;
        buf_release(&items);
    }
    return count;
}

enum err swarm_reply_addrs(struct swarm *s, bool local, struct reply_to call)
{
    struct buf rows;
    struct buf items;
    buf_init(&rows, LIST_BYTES_MAX, NULL);
    buf_init(&items, LIST_BYTES_MAX, NULL);
    uint32_t count = 1;
    enum err err = ERR_OK;
    if (local) {
        uint32_t addrs = list_own(s, &items);
        struct item_peer_addrs row = {.peer = peer_id_span(&s->self), .addrs = schema_list_of(&items, addrs)};
        err = schema_list_add_map(&rows, &schema_item_peer_addrs, &row);
    } else {
        count = list_peer_addrs(s, &rows);
    }
    struct msg_swarm_addrs_ok fields = {.peers = schema_list_of(&rows, count)};
    if (err == ERR_OK)
        ctx_reply(s->ctx, call, &(struct msg){.kind = MSG_SWARM_ADDRS_OK, .fields = &fields});
    buf_release(&items);
    buf_release(&rows);
    return err;
}

enum err swarm_reply_id(struct swarm *s, struct reply_to call)
{
    struct buf addrs;
    struct buf protocols;
    buf_init(&addrs, LIST_BYTES_MAX, NULL);
    buf_init(&protocols, LIST_BYTES_MAX, NULL);
    uint32_t addr_count = list_own(s, &addrs);
    const char *names[PROTOCOLS_MAX];
    size_t name_count = protocols_list(&s->protocols, names);
    uint32_t count = 0;
    for (size_t i = 0; i < name_count; i++)
        if (schema_list_add_text(&protocols, span_text(names[i])) == ERR_OK)
            count++;
    struct msg_node_id_ok fields = {.peer = peer_id_span(&s->self),
                                    .public_key = key_pair_public(s->key),
                                    .agent = span_text("hearth/" HEARTH_VERSION),
                                    .addrs = schema_list_of(&addrs, addr_count),
                                    .protocols = schema_list_of(&protocols, count)};
    ctx_reply(s->ctx, call, &(struct msg){.kind = MSG_NODE_ID_OK, .fields = &fields});
    buf_release(&addrs);
    buf_release(&protocols);
    return ERR_OK;
}
