/* SPDX-License-Identifier: MIT */
#include "actors/discovery/contacts.h"

#include <string.h>

#include "actors/tree.h"
#include "base/text.h"
#include "schemas/config.h"
#include "schemas/messages.h"

enum { CONNECT_TIMEOUT_S = 60, KNOWN_TIMEOUT_S = 10, KNOWN_REPLY_BYTES = 128 * 1024, REPLY_BYTES_MAX = 64 * 1024 };

static uint64_t any_number(struct ctx *ctx)
{
    uint64_t random;
    ctx_random(ctx, &random, sizeof(random));
    return random;
}

static void add_one(struct contacts *c, struct ctx *ctx, const char *addr, enum keeper_role role)
{
    enum err err = keeper_add(&c->keeper, addr, role, any_number(ctx));
    if (err != ERR_OK)
        ctx_log(ctx, LOG_WARN, "%s: %s is passed over: %s", role == KEEPER_PEERING ? "Peering.Peers" : "Bootstrap",
                addr, err == ERR_INVALID ? "it is no multiaddr that ends in /p2p/ID" : err_text(err));
}

static void add_bootstrap(struct contacts *c, struct ctx *ctx, const struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        size_t count = 1;
        const char *const *items = (const char *const *)&list->items[i];
        if (strcmp(list->items[i], CONFIG_BOOTSTRAP_AUTO) == 0)
            items = config_bootstrap_auto(&count);
        for (size_t n = 0; n < count; n++)
            add_one(c, ctx, items[n], KEEPER_BOOTSTRAP);
    }
}

/* Once. Without an answer there are no peers of earlier lives, that is all. */
static void ask_known(struct contacts *c, struct ctx *ctx)
{
    if (c->asked || c->keeper.bootstraps == 0)
        return;
    c->asked = true;
    struct msg_state_peers fields = {.limit = KEEPER_KNOWN_MAX};
    struct call_opts opts = {.timeout_ns = KNOWN_TIMEOUT_S * SECOND_NS, .reply_bytes_max = KNOWN_REPLY_BYTES};
    if (ctx_call(ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_PEERS, .fields = &fields}, opts,
                 TAG_CONTACTS_KNOWN) != ERR_OK)
        ctx_log(ctx, LOG_WARN, "peers of earlier lives could not be asked for");
}

void contacts_init(struct contacts *c, struct ctx *ctx, const struct config *config, const struct table *connected)
{
    c->connected = connected;
    c->offline = config->offline;
    c->timer = ctx_timer(ctx, ctx_now(ctx), TAG_CONTACTS_TIMER);
    if (c->offline)
        return;
    for (size_t i = 0; i < config->peering_peers.count; i++)
        add_one(c, ctx, config->peering_peers.items[i], KEEPER_PEERING);
    add_bootstrap(c, ctx, &config->bootstrap);
}

void contacts_release(struct contacts *c)
{
    keeper_release(&c->keeper);
}

/* Who was added may be connected already: no peer_up comes for it. */
static void note_connected(struct contacts *c)
{
    for (size_t i = 0; i < KEEPER_PEERS_MAX; i++) {
        struct keeper_peer *peer = &c->keeper.peers[i];
        if (peer->used && !peer->connected && table_get(c->connected, peer_id_span(&peer->id)) != NULL)
            keeper_found(peer);
    }
}

/*
 * None is sought by name, which is for ever: bootstrap and known peers are a chance, since who serves thousands may let us go, and
 * peerings are protected as long as they are ones.
 */
static void connect_to(struct contacts *c, struct ctx *ctx, struct keeper_peer *peer)
{
    struct buf items;
    buf_init(&items, KEEPER_ADDRS_MAX * (MSG_ADDR_MAX + 8), NULL);
    enum err err = ERR_OK;
    for (size_t i = 0; i < peer->addr_count && err == ERR_OK; i++)
        err = schema_list_add_text(&items, span_text(peer->addrs[i]));
    struct msg_peer_connect fields = {.peer = peer_id_span(&peer->id),
                                      .addrs = schema_list_of(&items, (uint32_t)peer->addr_count),
                                      .casual = true,
                                      .needed = peer->peering};
    struct call_opts opts = {.timeout_ns = CONNECT_TIMEOUT_S * SECOND_NS};
    if (err == ERR_OK)
        err = ctx_call(ctx, ACTOR_CONNECTION_MANAGER, &(struct msg){.kind = MSG_PEER_CONNECT, .fields = &fields}, opts,
                       TAG_CONTACTS_CONNECT + (uint64_t)(peer - c->keeper.peers));
    buf_release(&items);
    if (err != ERR_OK)
        keeper_ended(&c->keeper, peer, false, ctx_now(ctx), any_number(ctx));
}

void contacts_run(struct contacts *c, struct ctx *ctx)
{
    struct keeper_peer *peer;
    while ((peer = keeper_next(&c->keeper, ctx_now(ctx))) != NULL)
        connect_to(c, ctx, peer);
    if (c->timer != 0)
        ctx_timer_cancel(ctx, c->timer);
    uint64_t at = keeper_due(&c->keeper);
    c->timer = at == UINT64_MAX ? 0 : ctx_timer(ctx, at, TAG_CONTACTS_TIMER);
}

void contacts_up(struct contacts *c, const struct peer_id *id)
{
    keeper_up(&c->keeper, id);
}

void contacts_down(struct contacts *c, struct ctx *ctx, const struct peer_id *id)
{
    keeper_down(&c->keeper, id, ctx_now(ctx), any_number(ctx));
}

static void take_known(struct contacts *c, struct ctx *ctx, const struct msg_state_peers_ok *fields)
{
    struct item_known_peer row;
    struct peer_id id;
    size_t position = 0;
    while (schema_list_next_map(&fields->peers, &schema_item_known_peer, &position, &row))
        if (peer_id_parse(row.peer, &id) == ERR_OK)
            keeper_add_known(&c->keeper, &id, any_number(ctx));
    note_connected(c);
}

/* Whether connection_manager hears of it. */
static bool protect(struct ctx *ctx, const struct peer_id *id, bool yes)
{
    struct msg_peer_protect fields = {.peer = peer_id_span(id), .name = span_text("peering"), .protect = yes};
    return ctx_cast(ctx, ACTOR_CONNECTION_MANAGER, &(struct msg){.kind = MSG_PEER_PROTECT, .fields = &fields}) ==
           ERR_OK;
}

/* Each failure but the first of a row is what was to be expected. */
static void connect_ended(struct contacts *c, struct ctx *ctx, struct keeper_peer *peer, const struct info *info)
{
    if (info->err != ERR_OK && peer->used) {
        char id[PEER_ID_TEXT_MAX];
        peer_id_text(&peer->id, id);
        ctx_log(ctx, peer->failures == 0 ? LOG_INFO : LOG_DEBUG, "%s cannot be reached: %s",
                peer->addr_count == 0 ? id : peer->addrs[0], info->text[0] != '\0' ? info->text : err_text(info->err));
    }
    bool peering = peer->used && peer->peering;
    bool good = info->err == ERR_OK && (!peering || protect(ctx, &peer->id, true));
    keeper_ended(&c->keeper, peer, good, ctx_now(ctx), any_number(ctx));
}

void contacts_info(struct contacts *c, struct ctx *ctx, const struct info *info)
{
    if (info->kind == INFO_TIMER && info->tag == TAG_CONTACTS_TIMER) {
        c->timer = 0;
        ask_known(c, ctx);
    }
    if (info->kind != INFO_REPLY)
        return;
    if (info->tag == TAG_CONTACTS_KNOWN && info->err == ERR_OK)
        take_known(c, ctx, info->msg->fields);
    if (info->tag >= TAG_CONTACTS_CONNECT && info->tag < TAG_CONTACTS_CONNECT + KEEPER_PEERS_MAX)
        connect_ended(c, ctx, &c->keeper.peers[info->tag - TAG_CONTACTS_CONNECT], info);
}

/* ---- peering ---- */

static void reply_ok(struct ctx *ctx, struct reply_to call)
{
    struct msg_ok ok = {0};
    ctx_reply(ctx, call, &(struct msg){.kind = MSG_OK, .fields = &ok});
}

static enum err peering_add(struct contacts *c, struct ctx *ctx, const struct msg_peering_add *fields,
                            struct reply_to call)
{
    char addr[MSG_ADDR_MAX + 1];
    if (c->offline) {
        ctx_reply_err(ctx, call, ERR_UNAVAILABLE, "the daemon runs offline: it dials nobody");
        return ERR_OK;
    }
    enum err err = text_copy(fields->addr, addr, sizeof(addr));
    if (err == ERR_OK)
        err = keeper_add(&c->keeper, addr, KEEPER_PEERING, any_number(ctx));
    note_connected(c);
    if (err == ERR_OK)
        reply_ok(ctx, call);
    else if (err == ERR_BUSY)
        ctx_reply_err(ctx, call, err, "there are %d peers to keep, or %d addresses of this one", KEEPER_PEERS_MAX,
                      KEEPER_ADDRS_MAX);
    else
        ctx_reply_err(ctx, call, err, "%.200s is no multiaddr that ends in /p2p/<peer id>", addr);
    return ERR_OK;
}

static enum err bootstrap_change(struct contacts *c, struct ctx *ctx, const struct msg_bootstrap_change *fields,
                                 struct reply_to call)
{
    char addr[MSG_ADDR_MAX + 1];
    struct span text;
    size_t position = 0;
    enum err err = ERR_OK;
    while (err == ERR_OK && !c->offline && schema_list_next_bytes(&fields->addrs, &position, &text)) {
        err = text_copy(text, addr, sizeof(addr));
        if (err == ERR_OK && fields->remove)
            (void)keeper_remove_bootstrap(&c->keeper, addr);
        else if (err == ERR_OK)
            err = keeper_add(&c->keeper, addr, KEEPER_BOOTSTRAP, any_number(ctx));
    }
    ask_known(c, ctx);
    if (err == ERR_OK)
        reply_ok(ctx, call);
    else if (err == ERR_BUSY)
        ctx_reply_err(ctx, call, err, "there are %d peers to keep, or %d addresses of one", KEEPER_PEERS_MAX,
                      KEEPER_ADDRS_MAX);
    else
        ctx_reply_err(ctx, call, err, "%.*s is no multiaddr that ends in /p2p/<peer id>",
                      (int)MIN(text.len, (size_t)200), (const char *)text.data);
    return ERR_OK;
}

static enum err peering_rm(struct contacts *c, struct ctx *ctx, const struct msg_peering_rm *fields,
                           struct reply_to call)
{
    struct peer_id id;
    enum err err = peer_id_parse(fields->peer, &id);
    if (err != ERR_OK)
        return err;
    if (!protect(ctx, &id, false))
        return ERR_BUSY;
    (void)keeper_remove(&c->keeper, &id);
    reply_ok(ctx, call);
    return ERR_OK;
}

static enum err peering_ls(const struct contacts *c, struct ctx *ctx, struct reply_to call)
{
    struct buf rows;
    buf_init(&rows, REPLY_BYTES_MAX, NULL);
    uint32_t count = 0;
    for (size_t i = 0; i < KEEPER_PEERS_MAX; i++) {
        const struct keeper_peer *peer = &c->keeper.peers[i];
        struct buf items;
        if (!peer->used || !peer->peering)
            continue;
        buf_init(&items, REPLY_BYTES_MAX, NULL);
        uint32_t addrs = 0;
        for (size_t n = 0; n < peer->addr_count; n++)
            addrs += schema_list_add_text(&items, span_text(peer->addrs[n])) == ERR_OK;
        struct item_kept_peer row = {
            .peer = peer_id_span(&peer->id), .addrs = schema_list_of(&items, addrs), .connected = peer->connected};
        count += schema_list_add_map(&rows, &schema_item_kept_peer, &row) == ERR_OK;
        buf_release(&items);
    }
    struct msg_peering_ls_ok fields = {.peers = schema_list_of(&rows, count)};
    ctx_reply(ctx, call, &(struct msg){.kind = MSG_PEERING_LS_OK, .fields = &fields});
    buf_release(&rows);
    return ERR_OK;
}

enum err contacts_call(struct contacts *c, struct ctx *ctx, const struct msg *msg, struct reply_to call)
{
    if (msg->kind == MSG_PEERING_ADD)
        return peering_add(c, ctx, msg->fields, call);
    if (msg->kind == MSG_PEERING_RM)
        return peering_rm(c, ctx, msg->fields, call);
    if (msg->kind == MSG_BOOTSTRAP_CHANGE)
        return bootstrap_change(c, ctx, msg->fields, call);
    if (msg->kind == MSG_PEERING_LS)
        return peering_ls(c, ctx, call);
    return ERR_UNSUPPORTED;
}
