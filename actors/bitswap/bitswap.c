/* SPDX-License-Identifier: MIT */
/*
 * bitswap: trades blocks with peers.
 *
 * Owns: the session engine (what we want), the serving engine with its ledgers (what others want), the streams of the protocol.
 * Accepts: calls fetch, bitswap_stat, bitswap_wantlist, denylist_list, denylist_check, probe; casts peer_up, peer_down, stream_opened, stream_data, stream_written,
 * stream_closed, block_stored, cold_up, heal, provider_found. Emits: stream_* to connection_manager, block_* and healed to tiered_storage, find_providers to discovery,
 * want_seen to heat_tracker, state_want to state, denylist to control and discovery. Restart: permanent; a new life knows nothing and hears of all peers again.
 *
 * This file only routes; node.h says where the rest is.
 */
#include <stdlib.h>

#include "actors/bitswap/node.h"
#include "actors/tree.h"
#include "schemas/config.h"

enum { PROTOCOL_BYTES = 512 };

/* ---- what the other files send through ---- */

struct op *node_op_new(struct node *n, enum op_kind kind)
{
    struct op *op = table_len(&n->ops) >= NODE_OPS_MAX ? NULL : calloc(1, sizeof(*op));
    if (op != NULL)
        *op = (struct op){.tag = ++n->last_tag, .kind = kind};
    return op;
}

void node_op_free(struct op *op)
{
    if (op == NULL)
        return;
    free(op->cids);
    free(op);
}

enum err node_call(struct node *n, struct op *op, actor_id to, const struct msg *msg, uint64_t timeout_ns)
{
    /* what is reserved in our mailbox for the answer: fields only, blocks travel as tails */
    static const uint32_t reply_bytes[OP_KIND_COUNT] = {
        [OP_LOCAL] = 512, [OP_PUT] = 512,          [OP_LOOKUP] = 2048,         [OP_SERVE] = 512,
        [OP_OPEN] = 512,  [OP_CONNECT] = 3 * 1024, [OP_PROVIDERS] = 32 * 1024,
    };
    struct call_opts opts = {.timeout_ns = timeout_ns, .reply_bytes_max = reply_bytes[op->kind]};
    enum err err = table_put(&n->ops, table_key_u64(&op->tag), op, NULL);
    if (err == ERR_OK) {
        err = ctx_call(n->ctx, to, msg, opts, op->tag);
        if (err == ERR_OK) {
            n->op_count[op->kind]++;
            return ERR_OK;
        }
        (void)table_remove(&n->ops, table_key_u64(&op->tag));
    }
    node_op_free(op);
    return err;
}

void node_cancel(struct node *n, uint64_t tag)
{
    struct op *op = table_remove(&n->ops, table_key_u64(&tag));
    if (op == NULL)
        return;
    n->op_count[op->kind]--;
    ctx_cancel_call(n->ctx, tag);
    node_op_free(op);
}

static void on_reply(struct node *n, const struct info *info)
{
    struct op *op = table_remove(&n->ops, table_key_u64(&info->tag));
    if (op == NULL)
        return;
    n->op_count[op->kind]--;
    switch (op->kind) {
    case OP_LOCAL:
        fetch_local_done(n, op, info);
        break;
    case OP_PUT:
        fetch_put_done(n, op, info);
        break;
    case OP_LOOKUP:
        serve_looked_up(n, op, info);
        break;
    case OP_SERVE:
        serve_fetched(n, op, info);
        break;
    case OP_OPEN:
        partner_opened(n, op, info);
        break;
    case OP_PROVIDERS: /* those that were not told as they were found */
        if (info->err == ERR_OK && info->msg->kind == MSG_PROVIDERS)
            search_found(n, &op->cid, &((const struct msg_providers *)info->msg->fields)->providers);
        break;
    case OP_CONNECT:
        search_connected(n, op, info);
        break;
    case OP_KIND_COUNT:
        break;
    }
    node_op_free(op);
}

/* ---- pump and tick ---- */

/* Without any of this nothing happens by time: an idle node sleeps. */
static bool has_work(const struct node *n)
{
    return bitswap_session_count(n->session) > 0 || engine_has_work(n->engine) || table_len(&n->outs) > 0 ||
           table_len(&n->targets) > 0 || !TAILQ_EMPTY(&n->stalled) || n->retry_open || n->storage_pause ||
           stream_orders_are_congested(&n->orders);
}

/*
 * Most of what is on its way is on the path still and takes no memory. While blocks come faster than they are stored, no more is asked than
 * there is memory for: else peers would have to wait for it, and the last of many for too long.
 */
static void bound_wants(struct node *n)
{
    bool waits = !TAILQ_EMPTY(&n->stalled);
    bitswap_session_bound(n->session, waits ? n->blocks.limit_bytes : n->receive->limit_bytes);
}

void node_pump(struct node *n)
{
    inbound_pump(n);
    bound_wants(n);
    serve_pump(n);
    struct bitswap_session_peer *wants;
    while ((wants = bitswap_session_next_dirty(n->session)) != NULL)
        partner_send(bitswap_session_peer_owner(wants));
    struct engine_peer *due;
    while ((due = engine_next_dirty(n->engine)) != NULL)
        partner_send(engine_peer_owner(due));
    if (n->timer == 0 && has_work(n))
        n->timer = ctx_timer(n->ctx, ctx_now(n->ctx) + SESSION_TICK_MS * MS_NS, NODE_TAG_TICK);
    bool starves = n->storage_pause || engine_waits_for_memory(n->engine);
    if (n->memory_timer == 0 && starves)
        n->memory_timer = ctx_timer(n->ctx, ctx_now(n->ctx) + NODE_MEMORY_MS * MS_NS, NODE_TAG_MEMORY);
}

/* Memory is given back on other threads, unheard: whoever serves looks again. */
static void memory_tick(struct node *n)
{
    n->memory_timer = 0;
    n->storage_pause = false;
}

static void tick(struct node *n)
{
    uint64_t now = ctx_now(n->ctx);
    size_t position = 0;
    n->timer = 0;
    n->retry_open = false;
    bitswap_session_tick(n->session, now);
    fetch_retry_puts(n);
    fetch_tick(n);
    search_tick(n);
    inbound_tick(n, now);
    for (struct partner *p = table_next(&n->partners, &position, NULL); p != NULL;
         p = table_next(&n->partners, &position, NULL))
        partner_tick(p, now);
}

/* ---- messages ---- */

static enum err route_call(struct node *n, const struct msg *msg, struct reply_to call)
{
    switch (msg->kind) {
    case MSG_FETCH:
        return fetch_call(n, msg->fields, call);
    case MSG_BITSWAP_STAT:
        return report_stat(n, call);
    case MSG_BITSWAP_WANTLIST:
        return report_wantlist(n, msg->fields, call);
    case MSG_BITSWAP_WANTED:
        return report_wanted(n, msg->fields, call);
    case MSG_DENYLIST_LIST:
        return denied_list(n, call);
    case MSG_DENYLIST_CHECK:
        return denied_check(n, msg->fields, call);
    case MSG_PROBE:
        ctx_reply(n->ctx, call, &(struct msg){.kind = MSG_OK, .fields = &(struct msg_ok){0}});
        return ERR_OK;
    }
    return ERR_UNSUPPORTED;
}

static void on_stored(struct node *n, const struct msg_block_stored *fields)
{
    size_t position = 0;
    struct span item;
    while (schema_list_next_bytes(&fields->cids, &position, &item)) {
        struct cid cid;
        if (cid_parse(item, &cid) != ERR_OK)
            continue;
        engine_stored(n->engine, &cid);
        fetch_stored(n, &cid);
    }
}

static void on_written(struct node *n, const struct msg_stream_written *fields)
{
    struct partner *p = table_get(&n->outs, table_key_u64(&fields->stream));
    n->storage_pause = false;
    if (p != NULL)
        partner_written(p, fields->bytes);
}

static void on_closed(struct node *n, const struct msg_stream_closed *fields)
{
    struct partner *p = table_get(&n->outs, table_key_u64(&fields->stream));
    struct inbound *in = table_get(&n->streams, table_key_u64(&fields->stream));
    if (p != NULL)
        partner_out_closed(p, (enum err)fields->err);
    if (in != NULL)
        inbound_closed(in);
}

/* Of a search that has ended, or was given up, nobody needs to be dialled. */
static void on_found(struct node *n, const struct msg_provider_found *fields)
{
    const struct op *op = table_get(&n->ops, table_key_u64(&fields->stream));
    if (op != NULL && op->kind == OP_PROVIDERS)
        search_found(n, &op->cid, &fields->providers);
}

/* Data on a stream of ours: peers never write there; what they do is thrown away. */
static void on_data(struct node *n, const struct msg *msg)
{
    const struct msg_stream_data *fields = msg->fields;
    struct inbound *in = table_get(&n->streams, table_key_u64(&fields->stream));
    if (in != NULL) {
        inbound_data(in, msg);
    } else if (msg->tail != NULL) {
        stream_orders_credit(&n->orders, fields->stream, msg->tail->len, 0);
    }
}

static void route_cast(struct node *n, const struct msg *msg)
{
    switch (msg->kind) {
    case MSG_PEER_UP:
        partner_up(n, msg->fields);
        break;
    case MSG_PEER_DOWN:
        partner_down(n, ((const struct msg_peer_down *)msg->fields)->peer);
        break;
    case MSG_STREAM_OPENED:
        if (((const struct msg_stream_opened *)msg->fields)->inbound)
            inbound_opened(n, msg->fields);
        break;
    case MSG_STREAM_DATA:
        on_data(n, msg);
        break;
    case MSG_STREAM_WRITTEN:
        on_written(n, msg->fields);
        break;
    case MSG_STREAM_CLOSED:
        on_closed(n, msg->fields);
        break;
    case MSG_BLOCK_STORED:
        on_stored(n, msg->fields);
        break;
    case MSG_COLD_UP:
        engine_look_at_all(n->engine);
        break;
    case MSG_PROVIDER_FOUND:
        on_found(n, msg->fields);
        break;
    case MSG_HEAL:
        fetch_heal(n, msg->fields);
        break;
    }
}

/* ---- the actor ---- */

static enum err handle_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to call)
{
    struct node *n = state;
    n->ctx = n->orders.ctx = ctx;
    ctx_detach(ctx); /* the node looks, stores and dials for all who want a block */
    enum err err = route_call(n, msg, call);
    node_pump(n);
    return err;
}

static void handle_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    struct node *n = state;
    n->ctx = n->orders.ctx = ctx;
    route_cast(n, msg);
    node_pump(n);
}

static void on_room(struct node *n, actor_id actor)
{
    size_t position = 0;
    stream_orders_room(&n->orders, actor);
    if (actor == ACTOR_TIERED_STORAGE)
        fetch_retry_puts(n);
    if (actor != ACTOR_CONNECTION_MANAGER)
        return;
    for (struct partner *p = table_next(&n->partners, &position, NULL); p != NULL;
         p = table_next(&n->partners, &position, NULL))
        partner_send(p);
}

static void handle_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct node *n = state;
    n->ctx = n->orders.ctx = ctx;
    switch (info->kind) {
    case INFO_REPLY:
        on_reply(n, info);
        break;
    case INFO_CANCEL:
        fetch_cancel(n, &info->call);
        break;
    case INFO_TIMER:
        if (info->tag == NODE_TAG_MEMORY)
            memory_tick(n);
        else if (info->tag == NODE_TAG_DENIED)
            denied_timer(n);
        else
            tick(n);
        break;
    case INFO_ROOM:
        on_room(n, info->actor);
        break;
    case INFO_JOB:
        denied_job(n, info);
        break;
    case INFO_WATCH:
        denied_watch(n);
        break;
    case INFO_UP:
        denied_up(n, info->actor);
        break;
    case INFO_DOWN:
    case INFO_NET:
    case INFO_MULTICAST:
        break;
    }
    node_pump(n);
}

/* The newest first: that is what stream_open proposes. */
static enum err list_protocols(struct node *n)
{
    buf_init(&n->protocols, PROTOCOL_BYTES, NULL);
    for (int v = BITSWAP_VERSION_COUNT - 1; v >= 0; v--) {
        enum err err = schema_list_add_text(&n->protocols, span_text(bitswap_protocol((enum bitswap_version)v)));
        if (err != ERR_OK)
            return err;
        n->protocol_count++;
    }
    return ERR_OK;
}

static enum err init(struct ctx *ctx, void *state, const struct config *config)
{
    struct node *n = state;
    struct budget *budget = ctx_budget(ctx);
    n->ctx = n->orders.ctx = ctx;
    n->receive = &budget->accounts[ACCOUNT_RECEIVE];
    n->tables = &budget->accounts[ACCOUNT_TABLES];
    n->last_tag = NODE_TAG_CALLS;
    n->serves = config->bitswap_server_enabled;
    uint64_t blocks = n->receive->limit_bytes / 16 * NODE_BLOCKS_SHARE;
    if (!account_take(n->receive, blocks))
        return ctx_fail(ctx, ERR_NOMEM, "the receive account is in use already");
    account_init(&n->blocks, "received blocks", blocks);
    n->session = bitswap_session_new(n->tables, n->receive->limit_bytes);
    n->engine = engine_new(n->tables, &budget->accounts[ACCOUNT_SEND]);
    table_init(&n->partners, ENGINE_PEERS_MAX, n->tables);
    table_init(&n->streams, NODE_STREAMS_MAX, n->tables);
    table_init(&n->outs, ENGINE_PEERS_MAX, n->tables);
    table_init(&n->targets, NODE_TARGETS_MAX, n->tables);
    table_init(&n->ops, NODE_OPS_MAX + 1, n->tables);
    miss_init(n, config);
    search_init(n, config);
    stream_orders_init(&n->orders, ctx);
    TAILQ_INIT(&n->stalled);
    if (n->session == NULL || n->engine == NULL || list_protocols(n) != ERR_OK)
        return ctx_fail(ctx, ERR_NOMEM, "no memory for the tables of bitswap");
    return denied_init(n, config);
}

static void release_tables(struct node *n)
{
    size_t position = 0;
    for (struct inbound *in = table_next(&n->streams, &position, NULL); in != NULL;
         in = table_next(&n->streams, &position, NULL))
        inbound_closed(in);
    position = 0;
    for (struct partner *p = table_next(&n->partners, &position, NULL); p != NULL;
         p = table_next(&n->partners, &position, NULL))
        partner_free(p);
    position = 0;
    for (struct op *op = table_next(&n->ops, &position, NULL); op != NULL; op = table_next(&n->ops, &position, NULL))
        node_op_free(op);
}

static void terminate(struct ctx *ctx, void *state, enum exit_reason reason)
{
    struct node *n = state;
    (void)reason;
    n->ctx = n->orders.ctx = ctx;
    if (n->session != NULL && n->engine != NULL) {
        fetch_free_all(n);
        release_tables(n);
    }
    denied_release(n);
    bitswap_session_free(n->session);
    engine_free(n->engine);
    provider_book_release(&n->book);
    table_release(&n->partners);
    table_release(&n->streams);
    table_release(&n->outs);
    table_release(&n->targets);
    table_release(&n->ops);
    stream_orders_release(&n->orders);
    account_give(n->receive, n->blocks.limit_bytes);
    buf_release(&n->protocols);
}

const struct actor_class bitswap_class = {
    .name = "bitswap",
    .state_bytes = sizeof(struct node),
    .ports = PORT_JOBS | PORT_DISK | PORT_WATCH,
    .mailbox_bytes = 2 * 1024 * 1024,
    .init = init,
    .handle_call = handle_call,
    .handle_cast = handle_cast,
    .handle_info = handle_info,
    .terminate = terminate,
};
