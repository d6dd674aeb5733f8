/* SPDX-License-Identifier: MIT */
/*
 * discovery: who to be connected with, and who may have a block.
 *
 * Owns: the configured peers (Bootstrap, Peering.Peers) and when to try them again; multicast DNS and the peers it found; which
 * connected peers speak Bitswap. Accepts: find_providers, mdns_stat, probe; peer_up, peer_down; datagrams. Emits: peer_connect and
 * swarm_addrs to connection_manager, events to state. Without a routing system it knows no
 * providers, so find_providers names connected peers that speak Bitswap: those who can be asked. Restart: permanent; a new life
 * hears of all connected peers again.
 */
#include <string.h>

#include "actors/discovery/keeper.h"
#include "actors/discovery/lan.h"
#include "actors/tree.h"
#include "base/limits.h"
#include "base/table.h"
#include "schemas/config.h"
#include "schemas/messages.h"

enum { PARTNERS_MAX = 4096, PROVIDERS_DEFAULT = 10, CONNECT_TIMEOUT_S = 60, REPLY_BYTES_MAX = 64 * 1024 };

enum { TAG_KEEP = 1, TAG_CONNECT = 1000 };

static const char bitswap_prefix[] = "/ipfs/bitswap";

struct discovery {
    struct keeper keeper;
    struct table peers; /* id -> whether it speaks Bitswap (a pointer to one of the two below) */
    uint64_t timer;
    struct lan lan;
};

/* What the table's values point to. */
static char speaks_bitswap;
static char speaks_other;

static uint64_t jitter(struct ctx *ctx)
{
    uint64_t random;
    ctx_random(ctx, &random, sizeof(random));
    return random;
}

static void add_all(struct ctx *ctx, struct discovery *d, const struct config_list *list, bool peering)
{
    for (size_t i = 0; i < list->count; i++)
        if (keeper_add(&d->keeper, list->items[i], peering) != ERR_OK)
            ctx_log(ctx, LOG_WARN, "%s: %s is no multiaddr that ends in /p2p/ID: passed over",
                    peering ? "Peering.Peers" : "Bootstrap", list->items[i]);
}

static enum err init(struct ctx *ctx, void *state, const struct config *config)
{
    struct discovery *d = state;
    table_init(&d->peers, PARTNERS_MAX, &ctx_budget(ctx)->accounts[ACCOUNT_TABLES]);
    if (!config->offline) {
        add_all(ctx, d, &config->peering_peers, true);
        add_all(ctx, d, &config->bootstrap, false);
    }
    d->timer = ctx_timer(ctx, ctx_now(ctx), TAG_KEEP);
    lan_init(&d->lan, ctx, config);
    return ERR_OK;
}

static void connect_to(struct ctx *ctx, struct discovery *d, struct keeper_peer *peer)
{
    struct buf items;
    buf_init(&items, MSG_ADDR_MAX + 8, NULL);
    enum err err = schema_list_add_text(&items, span_text(peer->addr));
    struct msg_peer_connect fields = {.peer = peer_id_span(&peer->id), .addrs = schema_list_of(&items, 1)};
    struct call_opts opts = {.timeout_ns = CONNECT_TIMEOUT_S * SECOND_NS};
    if (err == ERR_OK)
        err = ctx_call(ctx, ACTOR_CONNECTION_MANAGER, &(struct msg){.kind = MSG_PEER_CONNECT, .fields = &fields}, opts,
                       TAG_CONNECT + (uint64_t)(peer - d->keeper.peers));
    buf_release(&items);
    if (err != ERR_OK)
        keeper_ended(&d->keeper, peer, false, ctx_now(ctx), jitter(ctx));
}

static void keep(struct ctx *ctx, struct discovery *d)
{
    struct keeper_peer *peer;
    while ((peer = keeper_next(&d->keeper, ctx_now(ctx))) != NULL)
        connect_to(ctx, d, peer);
    if (d->timer != 0)
        ctx_timer_cancel(ctx, d->timer);
    uint64_t at = keeper_due(&d->keeper);
    d->timer = at == UINT64_MAX ? 0 : ctx_timer(ctx, at, TAG_KEEP);
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
        keeper_up(&d->keeper, &id);
}

static void peer_down(struct ctx *ctx, struct discovery *d, const struct msg_peer_down *fields)
{
    struct peer_id id;
    if (peer_id_parse(fields->peer, &id) == ERR_OK && table_remove(&d->peers, peer_id_span(&id)) != NULL)
        keeper_down(&d->keeper, &id, ctx_now(ctx), jitter(ctx));
}

static enum err find_providers(struct ctx *ctx, struct discovery *d, const struct msg_find_providers *fields,
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
    struct msg_providers reply = {.providers = schema_list_of(&rows, count)};
    ctx_reply(ctx, call, &(struct msg){.kind = MSG_PROVIDERS, .fields = &reply});
    buf_release(&rows);
    return ERR_OK;
}

static enum err handle_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to call)
{
    if (msg->kind == MSG_FIND_PROVIDERS)
        return find_providers(ctx, state, msg->fields, call);
    if (msg->kind == MSG_MDNS_STAT) {
        const struct discovery *d = state;
        lan_reply(&d->lan, ctx, &d->peers, call);
        return ERR_OK;
    }
    if (msg->kind != MSG_PROBE)
        return ERR_UNSUPPORTED;
    struct msg_ok ok = {0};
    ctx_reply(ctx, call, &(struct msg){.kind = MSG_OK, .fields = &ok});
    return ERR_OK;
}

static void handle_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    struct discovery *d = state;
    if (msg->kind == MSG_PEER_UP)
        peer_up(d, msg->fields);
    else if (msg->kind == MSG_PEER_DOWN)
        peer_down(ctx, d, msg->fields);
    keep(ctx, d);
    lan_run(&d->lan, ctx, &d->peers);
}

static void handle_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct discovery *d = state;
    lan_info(&d->lan, ctx, info);
    if (info->kind == INFO_TIMER && info->tag == TAG_KEEP)
        d->timer = 0;
    if (info->kind == INFO_REPLY && info->tag >= TAG_CONNECT && info->tag - TAG_CONNECT < d->keeper.count) {
        struct keeper_peer *peer = &d->keeper.peers[info->tag - TAG_CONNECT];
        if (info->err != ERR_OK)
            ctx_log(ctx, LOG_INFO, "%s cannot be reached: %s", peer->addr,
                    info->text[0] != '\0' ? info->text : err_text(info->err));
        keeper_ended(&d->keeper, peer, info->err == ERR_OK, ctx_now(ctx), jitter(ctx));
    }
    keep(ctx, d);
    lan_run(&d->lan, ctx, &d->peers);
}

static void terminate(struct ctx *ctx, void *state, enum exit_reason reason)
{
    (void)ctx;
    (void)reason;
    struct discovery *d = state;
    lan_release(&d->lan);
    table_release(&d->peers);
}

const struct actor_class discovery_class = {
    .name = "discovery",
    .state_bytes = sizeof(struct discovery),
    .ports = PORT_MULTICAST,
    .init = init,
    .handle_call = handle_call,
    .handle_cast = handle_cast,
    .handle_info = handle_info,
    .terminate = terminate,
};
