/* SPDX-License-Identifier: MIT */
#include "actors/discovery/lan.h"

#include <stdio.h>

#include "actors/tree.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "wire/keys.h"

enum { CONNECT_TIMEOUT_S = 30, ADDRS_TIMEOUT_S = 5, ADDRS_REPLY_BYTES = 64 * 1024, STAT_BYTES_MAX = 120 * 1024 };

static uint64_t jitter(struct ctx *ctx)
{
    uint64_t random;
    ctx_random(ctx, &random, sizeof(random));
    return random;
}

void lan_init(struct lan *lan, struct ctx *ctx, const struct config *config)
{
    uint8_t random[64];
    if (config->offline || !config->discovery_mdns || config->identity == NULL)
        return;
    lan->port = ctx_multicast(ctx, &lan->multicast);
    if (lan->port == NULL)
        return;
    struct peer_id self = key_pair_peer_id(config->identity);
    ctx_random(ctx, random, sizeof(random));
    neighbours_init(&lan->neighbours, &ctx_budget(ctx)->accounts[ACCOUNT_TABLES], ctx_now(ctx));
    mdns_init(&lan->mdns, &self, &lan->neighbours, random);
    lan->look_at_ns = ctx_now(ctx);
    lan->timer = ctx_timer(ctx, lan->look_at_ns, TAG_LAN_TIMER);
}

void lan_release(struct lan *lan)
{
    neighbours_release(&lan->neighbours);
}

/* ---- the network and the node's own addresses ---- */

static void look(struct lan *lan, struct ctx *ctx)
{
    struct multicast_addr addrs[MULTICAST_ADDRS_MAX];
    size_t count = 0;
    enum err err = lan->port->join(lan->multicast, addrs, MULTICAST_ADDRS_MAX, &count);
    lan->look_at_ns = ctx_now(ctx) + LAN_LOOK_MS * MS_NS;
    neighbours_expire(&lan->neighbours, ctx_now(ctx));
    mdns_set_links(&lan->mdns, addrs, count, ctx_now(ctx), jitter(ctx));
    if (count == 0 && !lan->told_none)
        ctx_log(ctx, LOG_INFO, "mDNS waits: %s",
                err == ERR_OK ? "no interface carries multicast, so nobody is found on the local network"
                              : "UDP port 5353 cannot be used");
    if (count > 0 && lan->told_none)
        ctx_log(ctx, LOG_INFO, "mDNS goes on: an interface carries multicast");
    lan->told_none = count == 0;
    if (count == 0)
        return;
    struct msg_swarm_addrs fields = {.local = true};
    struct call_opts opts = {.timeout_ns = ADDRS_TIMEOUT_S * SECOND_NS, .reply_bytes_max = ADDRS_REPLY_BYTES};
    if (ctx_call(ctx, ACTOR_CONNECTION_MANAGER, &(struct msg){.kind = MSG_SWARM_ADDRS, .fields = &fields}, opts,
                 TAG_LAN_ADDRS) != ERR_OK)
        ctx_log(ctx, LOG_DEBUG, "mDNS: own addresses cannot be asked for now");
}

static void take_own(struct lan *lan, struct ctx *ctx, const struct msg_swarm_addrs_ok *fields)
{
    struct mdns_own own = {0};
    struct item_peer_addrs row;
    size_t position = 0;
    while (schema_list_next_map(&fields->peers, &schema_item_peer_addrs, &position, &row)) {
        size_t at = 0;
        struct span text;
        struct multiaddr addr;
        while (schema_list_next_bytes(&row.addrs, &at, &text))
            if (multiaddr_parse_text(text, &addr) == ERR_OK)
                mdns_own_add(&own, multiaddr_span(&addr));
    }
    mdns_set_own(&lan->mdns, &own, ctx_now(ctx), jitter(ctx));
}

/* ---- peers ---- */

static uint32_t list_addrs(const struct neighbour *peer, struct buf *items)
{
    uint32_t count = 0;
    for (size_t i = 0; i < peer->addr_count; i++) {
        char text[MSG_ADDR_MAX];
        struct span addr = span_of(peer->addrs[i].bytes, peer->addrs[i].len);
        if (multiaddr_text(addr, text, sizeof(text)) == ERR_OK &&
            schema_list_add_text(items, span_text(text)) == ERR_OK)
            count++;
    }
    return count;
}

/* One line in the log and one row in events for each peer that was not known. */
static void tell_found(struct ctx *ctx, struct neighbour *peer)
{
    char id[PEER_ID_TEXT_MAX];
    char addr[MSG_ADDR_MAX] = "";
    char reason[REASON_TEXT_MAX];
    if (peer->told)
        return;
    peer->told = true;
    peer_id_text(&peer->id, id);
    if (multiaddr_text(span_of(peer->addrs[0].bytes, peer->addrs[0].len), addr, sizeof(addr)) != ERR_OK)
        return;
    (void)snprintf(reason, sizeof(reason), "mDNS: %.80s/p2p/%s", addr, id);
    ctx_log(ctx, LOG_INFO, "found a peer by %s", reason);
    struct msg_event fields = {
        .actor = span_text("discovery"), .event = span_text("peer found"), .reason = span_text(reason)};
    (void)ctx_cast(ctx, ACTOR_STATE, &(struct msg){.kind = MSG_EVENT, .fields = &fields});
}

static enum err connect_to(struct ctx *ctx, const struct neighbour *peer, size_t slot)
{
    struct buf items;
    buf_init(&items, ADDRS_REPLY_BYTES, NULL);
    uint32_t count = list_addrs(peer, &items);
    struct msg_peer_connect fields = {
        .peer = peer_id_span(&peer->id), .addrs = schema_list_of(&items, count), .casual = true};
    struct call_opts opts = {.timeout_ns = CONNECT_TIMEOUT_S * SECOND_NS};
    enum err err = ctx_call(ctx, ACTOR_CONNECTION_MANAGER, &(struct msg){.kind = MSG_PEER_CONNECT, .fields = &fields},
                            opts, TAG_LAN_CONNECT + slot);
    buf_release(&items);
    return err;
}

static void dial(struct lan *lan, struct ctx *ctx, const struct table *peers)
{
    struct neighbour *peer;
    size_t slot;
    while ((peer = neighbours_next(&lan->neighbours, &slot)) != NULL) {
        tell_found(ctx, peer);
        bool connected = table_get(peers, peer_id_span(&peer->id)) != NULL;
        if (connected || connect_to(ctx, peer, slot) != ERR_OK)
            neighbours_ended(&lan->neighbours, slot, connected, ctx_now(ctx));
    }
}

/* ---- what discovery calls ---- */

static void speak(struct lan *lan, struct ctx *ctx)
{
    struct buf message;
    struct mdns_send send;
    buf_init(&message, MDNS_MESSAGE_BYTES_MAX, NULL);
    while (mdns_next(&lan->mdns, ctx_now(ctx), jitter(ctx), &message, &send)) {
        enum err err = lan->port->send(lan->multicast, send.link, send.family, message.data, message.len);
        if (err != ERR_OK)
            ctx_log(ctx, LOG_DEBUG, "mDNS: nothing leaves on link %u: %s", send.link, err_text(err));
        buf_clear(&message);
    }
    buf_release(&message);
}

void lan_run(struct lan *lan, struct ctx *ctx, const struct table *peers)
{
    if (lan->port == NULL)
        return;
    if (lan->look_at_ns <= ctx_now(ctx))
        look(lan, ctx);
    speak(lan, ctx);
    dial(lan, ctx, peers);
    if (lan->timer != 0)
        ctx_timer_cancel(ctx, lan->timer);
    lan->timer = ctx_timer(ctx, MIN(lan->look_at_ns, mdns_due(&lan->mdns)), TAG_LAN_TIMER);
}

void lan_info(struct lan *lan, struct ctx *ctx, const struct info *info)
{
    if (lan->port == NULL)
        return;
    if (info->kind == INFO_MULTICAST)
        mdns_feed(&lan->mdns, info->datagram, ctx_now(ctx), jitter(ctx));
    else if (info->kind == INFO_TIMER && info->tag == TAG_LAN_TIMER)
        lan->timer = 0;
    else if (info->kind == INFO_REPLY && info->tag == TAG_LAN_ADDRS && info->err == ERR_OK)
        take_own(lan, ctx, info->msg->fields);
    else if (info->kind == INFO_REPLY && info->tag >= TAG_LAN_CONNECT && info->tag < TAG_LAN_CONNECT + NEIGHBOURS_MAX)
        neighbours_ended(&lan->neighbours, info->tag - TAG_LAN_CONNECT, info->err == ERR_OK, ctx_now(ctx));
}

void lan_reply(const struct lan *lan, struct ctx *ctx, const struct table *peers, struct reply_to call)
{
    const struct mdns_counters *c = &lan->mdns.counters;
    uint64_t now = ctx_now(ctx);
    uint64_t real_now = ctx_real_now(ctx);
    struct buf rows;
    uint32_t count = 0;
    buf_init(&rows, STAT_BYTES_MAX, NULL);
    for (size_t i = 0; i < NEIGHBOURS_MAX; i++) {
        const struct neighbour *peer = lan->neighbours.slots[i];
        if (peer == NULL)
            continue;
        struct buf addrs;
        buf_init(&addrs, ADDRS_REPLY_BYTES, NULL);
        uint32_t addr_count = list_addrs(peer, &addrs);
        struct item_neighbour row = {.peer = peer_id_span(&peer->id),
                                     .addrs = schema_list_of(&addrs, addr_count),
                                     .connected = table_get(peers, peer_id_span(&peer->id)) != NULL,
                                     .first_seen = real_now - (now - peer->first_seen_ns),
                                     .last_seen = real_now - (now - peer->seen_ns)};
        if (schema_list_add_map(&rows, &schema_item_neighbour, &row) == ERR_OK)
            count++;
        buf_release(&addrs);
    }
    struct msg_mdns_stat_ok fields = {.enabled = lan->port != NULL,
                                      .links = lan->mdns.link_count,
                                      .questions_sent = c->questions_sent,
                                      .questions_heard = c->questions_heard,
                                      .answers_sent = c->answers_sent,
                                      .answers_heard = c->answers_heard,
                                      .unusable = c->unusable,
                                      .foreign = c->foreign,
                                      .refused = lan->neighbours.refused,
                                      .neighbours = schema_list_of(&rows, count)};
    ctx_reply(ctx, call, &(struct msg){.kind = MSG_MDNS_STAT_OK, .fields = &fields});
    buf_release(&rows);
}
