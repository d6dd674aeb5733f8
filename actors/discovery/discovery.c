/* SPDX-License-Identifier: MIT */
/*
 * discovery: who to be connected with, and who may have a block. This file only routes; dht.h says where the DHT is.
 *
 * Owns: the peers that are dialled without being asked for (contacts: Bootstrap, Peering.Peers, those of earlier lives); multicast
 * DNS and the peers it found; which connected peers speak Bitswap; the DHTs with their tables, stores, streams and searches; what this
 * node provides. Accepts: find_providers, find_peer, provide, provide_stat, provide_change, route_get, route_put, dht_stat, mdns_stat,
 * peering_*, bootstrap_change, dns_link, probe; peer_up, peer_down, stream_* of the DHT's protocols, block_stored, provide_root, provide_hot, denylist; datagrams;
 * state_peers_ok. Emits: peer_connect, peer_protect, swarm_addrs, stream_* and protocol_serve to connection_manager, provider_found to who asked,
 * state_peers, state_dht and events to state. With Routing.Type = none delegated routers are asked who has a block (finder.h), or
 * there are none, and find_providers names connected peers that speak Bitswap: those who can be asked. Restart: permanent; a new life hears of all connected peers again.
 */
#include <string.h>

#include "actors/discovery/contacts.h"
#include "actors/discovery/dht.h"
#include "actors/discovery/dns_links.h"
#include "actors/discovery/finder.h"
#include "actors/discovery/lan.h"
#include "actors/discovery/provide.h"
#include "actors/tree.h"
#include "base/limits.h"
#include "base/table.h"
#include "schemas/config.h"
#include "schemas/messages.h"

enum { PARTNERS_MAX = 4096, PROVIDERS_DEFAULT = 10, REPLY_BYTES_MAX = 64 * 1024 };

enum { TAG_PROVIDE = 9 };

/* Turns that the DHT and who provides give each other in one handler. */
enum { TURNS_MAX = 64 };

static const char bitswap_prefix[] = "/ipfs/bitswap";

struct discovery {
    struct contacts contacts;
    struct table peers; /* id -> whether it speaks Bitswap (a pointer to one of the two below) */
    struct dns_links dns_links;
    struct lan lan;
    struct dht dht;
    struct provide provide;
    struct finder finder; /* where there is no DHT */
    uint64_t provide_timer;
    uint64_t provide_at_ns; /* of the timer */
};

/* What the table's values point to. */
static char speaks_bitswap;
static char speaks_other;

static enum err init(struct ctx *ctx, void *state, const struct config *config)
{
    struct discovery *d = state;
    table_init(&d->peers, PARTNERS_MAX, &ctx_budget(ctx)->accounts[ACCOUNT_TABLES]);
    contacts_init(&d->contacts, ctx, config, &d->peers);
    lan_init(&d->lan, ctx, config);
    enum err err = dht_init(&d->dht, ctx, config);
    if (err == ERR_OK)
        err = provide_init(&d->provide, &d->dht, ctx, config);
    if (err == ERR_OK && !d->dht.enabled)
        err = finder_init(&d->finder, ctx, config);
    if (err == ERR_OK && d->provide.enabled)
        d->provide_timer = ctx_timer(ctx, ctx_now(ctx), TAG_PROVIDE);
    return err;
}

/* What one of them has begun is the other's to go on with. */
static void route(struct ctx *ctx, struct discovery *d)
{
    uint64_t due = UINT64_MAX;
    for (unsigned turn = 0; turn < TURNS_MAX; turn++) {
        dht_run(&d->dht, ctx);
        due = provide_run(&d->provide, ctx);
        if (!d->provide.enabled || (!d->dht.dirty && TAILQ_EMPTY(&d->dht.ready)))
            break;
        if (turn + 1 == TURNS_MAX)
            due = ctx_now(ctx) + MS_NS;
    }
    if (d->provide_timer != 0 && d->provide_at_ns == due)
        return;
    if (d->provide_timer != 0)
        ctx_timer_cancel(ctx, d->provide_timer);
    d->provide_timer = due == UINT64_MAX ? 0 : ctx_timer(ctx, due, TAG_PROVIDE);
    d->provide_at_ns = due;
}

/* What is due, at the end of each handler: of no request, but for the searches that say so. */
static void settle(struct ctx *ctx, struct discovery *d)
{
    ctx_caused_by(ctx, NULL);
    contacts_run(&d->contacts, ctx);
    lan_run(&d->lan, ctx, &d->peers);
    route(ctx, d);
}

/* ---- messages ---- */

static void peer_up(struct discovery *d, const struct msg_peer_up *fields)
{
    struct peer_id id;
    if (peer_id_parse(fields->peer, &id) != ERR_OK)
        return;
    bool bitswap = false;
    size_t position = 0;
    struct span protocol;
    while (schema_list_next_bytes(&fields->protocols, &position, &protocol))
        bitswap = bitswap || span_equal_text(span_first(protocol, sizeof(bitswap_prefix) - 1), bitswap_prefix);
    bool known = table_get(&d->peers, peer_id_span(&id)) != NULL;
    if (table_put(&d->peers, peer_id_span(&id), bitswap ? &speaks_bitswap : &speaks_other, NULL) == ERR_OK && !known)
        contacts_up(&d->contacts, &id);
}

static void peer_down(struct ctx *ctx, struct discovery *d, const struct msg_peer_down *fields)
{
    struct peer_id id;
    if (peer_id_parse(fields->peer, &id) == ERR_OK && table_remove(&d->peers, peer_id_span(&id)) != NULL)
        contacts_down(&d->contacts, ctx, &id);
}

/* Without a routing system: who can be asked. */
static enum err find_partners(struct ctx *ctx, struct discovery *d, const struct msg_find_providers *fields,
                              struct reply_to call)
{
    uint64_t want = fields->count == 0 ? PROVIDERS_DEFAULT : fields->count;
    struct buf rows;
    buf_init(&rows, REPLY_BYTES_MAX, NULL);
    uint32_t count = 0;
    size_t position = 0;
    struct span id;
    const void *value;
    while (count < want && (value = table_next(&d->peers, &position, &id)) != NULL) {
        struct item_provider row = {.peer = id};
        if (value == &speaks_bitswap && schema_list_add_map(&rows, &schema_item_provider, &row) == ERR_OK)
            count++;
    }
    struct schema_list list = schema_list_of(&rows, count);
    struct msg_provider_found found = {.stream = fields->stream, .providers = list};
    struct msg_providers reply = {.providers = list};
    if (fields->stream != 0) {
        reply = (struct msg_providers){.providers.count = 0};
        (void)ctx_cast(ctx, call.from, &(struct msg){.kind = MSG_PROVIDER_FOUND, .fields = &found});
    }
    ctx_reply(ctx, call, &(struct msg){.kind = MSG_PROVIDERS, .fields = &reply});
    buf_release(&rows);
    return ERR_OK;
}

static enum err handle_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to call)
{
    struct discovery *d = state;
    struct msg_ok ok = {0};
    if (msg->kind == MSG_PROBE) {
        ctx_reply(ctx, call, &(struct msg){.kind = MSG_OK, .fields = &ok});
        return ERR_OK;
    }
    if (msg->kind == MSG_MDNS_STAT) {
        lan_reply(&d->lan, ctx, &d->peers, call);
        return ERR_OK;
    }
    if (msg->kind == MSG_FIND_PROVIDERS && !d->dht.enabled) {
        enum err found = finder_call(&d->finder, ctx, msg->fields, call);
        return found == ERR_OK || found == ERR_INVALID ? found : find_partners(ctx, d, msg->fields, call);
    }
    if (msg->kind == MSG_DNS_LINK)
        return dns_links_call(&d->dns_links, ctx, msg->fields, call);
    enum err err = provide_call(&d->provide, ctx, msg, call);
    if (err == ERR_UNSUPPORTED)
        err = dht_call(&d->dht, ctx, msg, call);
    if (err == ERR_UNSUPPORTED)
        err = contacts_call(&d->contacts, ctx, msg, call);
    ctx_detach(ctx); /* what is due was not asked for by this call, nor ends with it */
    settle(ctx, d);
    return err;
}

static void handle_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    struct discovery *d = state;
    (void)dht_cast(&d->dht, ctx, msg);
    provide_cast(&d->provide, ctx, msg);
    if (msg->kind == MSG_PEER_UP)
        peer_up(d, msg->fields);
    else if (msg->kind == MSG_PEER_DOWN)
        peer_down(ctx, d, msg->fields);
    if (msg->kind == MSG_PEER_UP || msg->kind == MSG_PEER_DOWN)
        settle(ctx, d);
    else
        route(ctx, d); /* bytes of streams and stored blocks are nobody else's */
}

static void handle_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct discovery *d = state;
    lan_info(&d->lan, ctx, info);
    contacts_info(&d->contacts, ctx, info);
    dns_links_info(&d->dns_links, ctx, info);
    dht_info(&d->dht, ctx, info);
    if (!d->dht.enabled)
        finder_info(&d->finder, ctx, info);
    provide_info(&d->provide, ctx, info);
    if (info->kind == INFO_TIMER && info->tag == TAG_PROVIDE)
        d->provide_timer = 0;
    if (info->kind == INFO_TIMER && (info->tag == TAG_DHT_TIMER || info->tag == TAG_PROVIDE))
        route(ctx, d);
    else
        settle(ctx, d);
}

static void terminate(struct ctx *ctx, void *state, enum exit_reason reason)
{
    (void)ctx;
    (void)reason;
    struct discovery *d = state;
    contacts_release(&d->contacts);
    lan_release(&d->lan);
    finder_release(&d->finder);
    provide_release(&d->provide);
    dht_release(&d->dht);
    table_release(&d->peers);
}

const struct actor_class discovery_class = {
    .name = "discovery",
    .state_bytes = sizeof(struct discovery),
    .ports = PORT_MULTICAST | PORT_JOBS | PORT_DNS | PORT_HTTP,
    .init = init,
    .handle_call = handle_call,
    .handle_cast = handle_cast,
    .handle_info = handle_info,
    .terminate = terminate,
};
