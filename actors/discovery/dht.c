/* SPDX-License-Identifier: MIT */
/* What discovery hands on to the DHT, and its clock: who is client or server, when the tables are looked after. */
#include "actors/discovery/dht.h"

#include <string.h>

#include "actors/tree.h"
#include "wire/addr_list.h"
#include "wire/keys.h"
#include "wire/multiaddr.h"

/* As reachability_status of connection_manager. */
enum { DHT_REACHABILITY_PUBLIC = 1, DHT_REACHABILITY_PRIVATE };
enum { OWN_TIMEOUT_S = 5, OWN_REPLY_BYTES = 64 * 1024, RECORD_BYTES = 256 * 1024, STALE_MS = 2 * DHT_REFRESH_MS };

/* ---- init ---- */

static void init_net(struct dht *d, enum dht_net_number number, const struct config *config)
{
    struct dht_net *net = &d->nets[number];
    bool lan = number == DHT_LAN;
    enum addr_scope scope = config->routing_loopback_addresses_on_lan_dht ? ADDR_SCOPE_LAN_LOOPBACK : ADDR_SCOPE_LAN;
    *net = (struct dht_net){.dht = d,
                            .number = number,
                            .name = lan ? "lan" : "wan",
                            .protocol = lan ? KAD_LAN_PROTOCOL : KAD_PROTOCOL,
                            .scope = lan ? scope : ADDR_SCOPE_WAN};
    routing_table_init(&net->table, &d->self, !lan, ROUTING_GRACE_MS, d->tables);
}

static enum err init_stores(struct dht *d)
{
    struct provider_options providers = provider_options_for(d->tables->limit_bytes);
    struct record_options records = {.bytes_max = RECORD_BYTES, .rules = dht_denied_rules(d), .account = d->tables};
    if (d->client_only)
        return ERR_OK;
    providers.account = d->tables;
    ctx_random(d->ctx, providers.seed, sizeof(providers.seed));
    ctx_random(d->ctx, records.seed, sizeof(records.seed));
    enum err err = provider_store_new(&providers, &d->providers);
    return err == ERR_OK ? record_store_new(&records, &d->records) : err;
}

static void init_lists(struct dht *d)
{
    TAILQ_INIT(&d->requests);
    TAILQ_INIT(&d->channels);
    TAILQ_INIT(&d->ready);
    TAILQ_INIT(&d->inbounds);
    TAILQ_INIT(&d->waiting);
    TAILQ_INIT(&d->to_dial);
    table_init(&d->peers, DHT_PEERS_MAX, d->tables);
    table_init(&d->outs, DHT_REQUESTS_MAX * 4, d->tables);
    table_init(&d->ins, DHT_INBOUND_MAX, d->tables);
    table_init(&d->ops, DHT_REQUESTS_MAX * 2, d->tables);
    table_init(&d->searches, DHT_SEARCHES_MAX, d->tables);
    buf_init(&d->own_addrs, DHT_OWN_ADDRS_BYTES, d->tables);
    buf_init(&d->out, DHT_MESSAGE_BYTES, d->tables);
    kad_writer_init(&d->writer, d->tables);
}

static void read_type(struct dht *d, const struct config *config)
{
    const char *type = config->routing_type;
    bool leecher = strcmp(config->role, "leecher") == 0 && strcmp(type, "auto") == 0;
    d->enabled = strcmp(type, "none") != 0 && !config->offline && config->identity != NULL;
    d->routers_only = strcmp(type, "delegated") == 0;
    d->client_only = leecher || d->routers_only || strcmp(type, "dhtclient") == 0 || strcmp(type, "autoclient") == 0;
    d->server_always = strcmp(type, "dhtserver") == 0;
}

enum err dht_init(struct dht *d, struct ctx *ctx, const struct config *config)
{
    struct budget *budget = ctx_budget(ctx);
    d->ctx = ctx;
    read_type(d, config);
    if (!d->enabled)
        return ERR_OK;
    d->tables = &budget->accounts[ACCOUNT_TABLES];
    d->self = key_pair_peer_id(config->identity);
    d->last_tag = TAG_DHT_FIRST;
    stream_orders_init(&d->orders, ctx);
    init_lists(d);
    for (unsigned n = 0; n < DHT_NET_COUNT; n++)
        init_net(d, n, config);
    uint64_t share = d->tables->limit_bytes / 16 * DHT_MESSAGES_SHARE;
    if (!account_take(d->tables, share))
        return ctx_fail(ctx, ERR_NOMEM, "the account of tables is in use already");
    account_init(&d->messages, "tables dht", share);
    d->look_at_ns = ctx_now(ctx);
    d->timer = ctx_timer(ctx, ctx_now(ctx), TAG_DHT_TIMER);
    if (dht_delegated_init(d, config) != ERR_OK)
        return ctx_fail(ctx, ERR_NOMEM, "no memory for delegated routers");
    return init_stores(d) == ERR_OK ? ERR_OK : ctx_fail(ctx, ERR_NOMEM, "no memory for the stores of the DHT");
}

void dht_release(struct dht *d)
{
    if (!d->enabled)
        return;
    dht_keep_release(d);
    dht_searches_release(d);
    delegated_release(&d->routers);
    dht_serve_release(d);
    dht_ask_release(d);
    dht_dial_release(d);
    dht_peers_release(d);
    for (unsigned n = 0; n < DHT_NET_COUNT; n++)
        routing_table_release(&d->nets[n].table);
    provider_store_free(d->providers);
    record_store_free(d->records);
    block_ref_unref(d->denylist);
    kad_writer_release(&d->writer);
    buf_release(&d->own_addrs);
    buf_release(&d->out);
    stream_orders_release(&d->orders);
    account_give(d->tables, d->messages.limit_bytes);
}

/* ---- client or server ---- */

static void announce(struct dht *d)
{
    struct buf items;
    uint32_t count = 0;
    buf_init(&items, 256, NULL);
    for (unsigned n = 0; n < DHT_NET_COUNT; n++)
        if (d->nets[n].server && schema_list_add_text(&items, span_text(d->nets[n].protocol)) == ERR_OK)
            count++;
    stream_orders_serve(&d->orders, schema_list_of(&items, count));
    buf_release(&items);
}

static void choose_mode(struct dht *d)
{
    bool changed = false;
    for (unsigned n = 0; n < DHT_NET_COUNT; n++) {
        struct dht_net *net = &d->nets[n];
        bool server =
            !d->client_only && (n == DHT_LAN || d->server_always || (d->is_public && (d->reached || d->confirmed)));
        if (server == net->server)
            continue;
        changed = true;
        net->server = server;
        ctx_log(d->ctx, LOG_INFO, "the %s DHT: %s", net->name, server ? "server" : "client");
        if (!server)
            dht_serve_stop(net);
    }
    if (changed)
        announce(d);
}

static void take_own(struct dht *d, const struct msg_swarm_addrs_ok *fields)
{
    struct item_peer_addrs row;
    size_t position = 0;
    buf_clear(&d->own_addrs);
    d->is_public = false;
    while (schema_list_next_map(&fields->peers, &schema_item_peer_addrs, &position, &row)) {
        size_t at = 0;
        struct span text;
        struct multiaddr addr;
        while (schema_list_next_bytes(&row.addrs, &at, &text)) {
            if (multiaddr_parse_text(text, &addr) != ERR_OK)
                continue;
            d->is_public = d->is_public || multiaddr_is_public(multiaddr_span(&addr));
            (void)!addr_list_add(&d->own_addrs, multiaddr_span(&addr));
        }
    }
    d->reached = d->reached && d->is_public; /* another network proves itself anew */
    choose_mode(d);
}

static void take_up(struct dht *d, const struct msg_peer_up *fields)
{
    dht_peer_up(d, fields);
    if (d->reached || !fields->reached)
        return;
    d->reached = true;
    choose_mode(d);
}

/* What AutoNAT has found out: peers were asked to dial. That they cannot outweighs the visits before. */
static void take_reachability(struct dht *d, uint64_t status)
{
    d->confirmed = status == DHT_REACHABILITY_PUBLIC;
    d->reached = d->reached && status != DHT_REACHABILITY_PRIVATE;
    choose_mode(d);
}

/* ---- the tables ---- */

static void refresh(struct dht_net *net, struct span key)
{
    struct dht_search *s;
    if (dht_search_new(net->dht, DHT_REFRESH, key, NULL, &s) != ERR_OK)
        return;
    net->refresh_search = s->id;
    dht_search_begin(s, net);
}

/* Peers that were of no use for long are asked something: who does not answer twice goes. */
static void look_at_stale(struct dht_net *net)
{
    struct dht *d = net->dht;
    const struct routing_peer *stale = routing_table_stale(&net->table, STALE_MS, dht_ms(d));
    if (stale == NULL)
        return;
    struct peer_id id = stale->id;
    buf_clear(&d->out);
    kad_writer_begin(&d->writer, KAD_FIND_NODE, peer_id_span(&d->self));
    if (kad_writer_finish(&d->writer, &d->out) == ERR_OK)
        (void)!dht_ask(net, &id, routing_peer_addrs(stale), KAD_FIND_NODE, buf_span(&d->out), 0);
}

/* Ourselves first, then each part of the key space that nobody looked at for long, one after the other. */
static void look_after(struct dht_net *net)
{
    struct dht *d = net->dht;
    uint8_t cpls[ROUTING_REFRESH_CPL_MAX + 1];
    uint8_t random[32];
    struct peer_id target;
    uint64_t now = ctx_now(d->ctx);
    bool few = routing_table_len(&net->table) < DHT_FEW_PEERS;
    net->look_at_ns = now + DHT_LOOK_MS * MS_NS; /* or when a refresh has ended */
    if (few)
        dht_peers_enter(d, net);
    if (net->refresh_search != 0 || routing_table_len(&net->table) == 0)
        return;
    if (net->self_due_ns <= now) {
        net->self_due_ns = now + (few ? DHT_FEW_REFRESH_MS : DHT_REFRESH_MS) * MS_NS;
        refresh(net, peer_id_span(&d->self));
        return;
    }
    look_at_stale(net);
    if (routing_table_due(&net->table, DHT_REFRESH_MS, dht_ms(d), cpls) == 0)
        return;
    ctx_random(d->ctx, random, sizeof(random));
    if (routing_table_target(&net->table, cpls[0], random, &target))
        refresh(net, peer_id_span(&target));
}

static void look(struct dht *d)
{
    struct msg_swarm_addrs fields = {.local = true};
    struct call_opts opts = {.timeout_ns = OWN_TIMEOUT_S * SECOND_NS, .reply_bytes_max = OWN_REPLY_BYTES};
    if (ctx_call(d->ctx, ACTOR_CONNECTION_MANAGER, &(struct msg){.kind = MSG_SWARM_ADDRS, .fields = &fields}, opts,
                 TAG_DHT_OWN) != ERR_OK)
        ctx_log(d->ctx, LOG_DEBUG, "the DHT: own addresses cannot be asked for now");
    for (unsigned n = 0; n < DHT_NET_COUNT; n++)
        dht_answers_report(&d->nets[n]);
    dht_peers_tag(d);
    if (d->providers != NULL)
        (void)provider_store_expire(d->providers, 1024, ctx_real_now(d->ctx));
    if (d->records != NULL)
        (void)record_store_expire(d->records, ctx_real_now(d->ctx));
    d->look_at_ns = ctx_now(d->ctx) + DHT_LOOK_MS * MS_NS;
}

/* ---- messages ---- */

bool dht_cast(struct dht *d, struct ctx *ctx, const struct msg *msg)
{
    if (!d->enabled)
        return false;
    d->ctx = d->orders.ctx = ctx;
    const struct msg_stream_data *data = msg->fields; /* the number is the first field of all three */
    uint64_t stream = 0;
    if (msg->kind == MSG_STREAM_DATA || msg->kind == MSG_STREAM_CLOSED || msg->kind == MSG_STREAM_WRITTEN)
        stream = data->stream;
    struct dht_channel *out = stream == 0 ? NULL : table_get(&d->outs, table_key_u64(&stream));
    struct dht_inbound *in = stream == 0 ? NULL : table_get(&d->ins, table_key_u64(&stream));
    if (in != NULL || out != NULL)
        ctx_of_peer(ctx, CRASH_WHO_PEER, peer_id_span(in != NULL ? &in->peer->id : &out->peer->id));
    if (msg->kind == MSG_ROUTE_PUT) /* what finds no room now comes again */
        (void)!dht_calls_put(d, msg->fields, NULL);
    else if (msg->kind == MSG_DENYLIST)
        dht_denied_take(d, msg->tail);
    else if (msg->kind == MSG_PEER_UP)
        take_up(d, msg->fields);
    else if (msg->kind == MSG_REACHABILITY)
        take_reachability(d, ((const struct msg_reachability *)msg->fields)->status);
    else if (msg->kind == MSG_PEER_DOWN)
        dht_peer_down(d, msg->fields);
    else if (msg->kind == MSG_STREAM_OPENED)
        dht_serve_opened(d, msg->fields);
    else if (msg->kind == MSG_STREAM_DATA && out != NULL)
        dht_ask_data(out, msg);
    else if (msg->kind == MSG_STREAM_DATA && in != NULL)
        dht_serve_data(in, msg);
    else if (msg->kind == MSG_STREAM_CLOSED && out != NULL)
        dht_ask_closed(out);
    else if (msg->kind == MSG_STREAM_CLOSED && in != NULL)
        dht_serve_closed(in);
    else if (msg->kind == MSG_STREAM_WRITTEN && in != NULL)
        dht_serve_written(in, ((const struct msg_stream_written *)msg->fields)->bytes);
    else
        return false;
    return true;
}

void dht_info(struct dht *d, struct ctx *ctx, const struct info *info)
{
    if (!d->enabled)
        return;
    d->ctx = d->orders.ctx = ctx;
    if (info->kind == INFO_TIMER && info->tag == TAG_DHT_TIMER)
        d->timer = 0;
    else if (info->kind == INFO_REPLY && info->tag > TAG_DHT_FIRST)
        dht_dial_reply(d, info);
    else if (info->kind == INFO_REPLY && info->tag == TAG_DHT_OWN && info->err == ERR_OK)
        take_own(d, info->msg->fields);
    else if (info->kind == INFO_REPLY && (info->tag == TAG_DHT_PROVIDERS || info->tag == TAG_DHT_VALUES))
        dht_keep_reply(d, info);
    else if (delegated_info(&d->routers, ctx, info))
        d->dirty = true;
    else if (info->kind == INFO_CANCEL)
        dht_search_cancel(d, &info->call);
    else if (info->kind == INFO_ROOM)
        stream_orders_room(&d->orders, info->actor);
    d->dirty = d->dirty || info->kind == INFO_ROOM;
}

void dht_run(struct dht *d, struct ctx *ctx)
{
    if (!d->enabled)
        return;
    d->ctx = d->orders.ctx = ctx;
    uint64_t now = ctx_now(ctx);
    dht_ask_tick(d, now);
    dht_serve_tick(d, now);
    dht_keep_tick(d, now);
    dht_dial_next(d);
    ctx_caused_by(ctx, NULL);
    if (d->look_at_ns <= now)
        look(d);
    for (unsigned n = 0; n < DHT_NET_COUNT; n++)
        if (d->nets[n].look_at_ns <= now)
            look_after(&d->nets[n]);
    while (d->dirty || d->searches_due_ns <= now || !TAILQ_EMPTY(&d->ready)) {
        dht_searches_run(d);
        dht_ask_run(d);
        d->searches_due_ns = MAX(dht_searches_due(d), now + 1);
    }
    uint64_t due = MIN(MIN(dht_ask_due(d), dht_serve_due(d)), MIN(d->look_at_ns, d->searches_due_ns));
    due = MIN(due, MIN(dht_keep_due(d), dht_dial_due(d)));
    for (unsigned n = 0; n < DHT_NET_COUNT; n++)
        if (routing_table_len(&d->nets[n].table) > 0)
            due = MIN(due, d->nets[n].look_at_ns);
    if (d->timer != 0 && d->timer_at_ns <= due)
        return; /* it looks again then: most events move nothing nearer */
    if (d->timer != 0)
        ctx_timer_cancel(ctx, d->timer);
    d->timer_at_ns = MAX(due, now + MS_NS);
    d->timer = ctx_timer(ctx, d->timer_at_ns, TAG_DHT_TIMER);
}
