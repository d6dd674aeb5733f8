/* SPDX-License-Identifier: MIT */
/*
 * connection_manager: the swarm.
 *
 * Owns: sockets, secure channels, muxers, identify, ping, dials, the limits on connections, and what is known of peers.
 * Accepts: peer_connect, peer_disconnect, swarm_peers, swarm_addrs, swarm_autonat, swarm_filters, swarm_filters_change, swarm_resources, node_id,
 * ping, stats_bw, probe; stream_open, stream_write, stream_reset, stream_credit, protocol_serve of protocol actors; peer_tag,
 * peer_protect of any actor; state_peers_ok. Emits: peer_up, peer_down, stream_* to the owners of protocols (protocols.h), rows to
 * state. Restart: permanent; a new life has no connections, the ports stay, peers are loaded from state.
 */
#include <stdlib.h>
#include <string.h>

#include "actors/connection_manager/swarm.h"
#include "actors/tree.h"
#include "schemas/messages.h"

enum { KNOWN_PEERS = 256 };

/* ---- init ---- */

static enum err read_exempt(struct ctx *ctx, const struct config *config, struct gate_config *limits)
{
    *limits = (struct gate_config){0};
    const struct config_list *exempt = &config->swarm_per_ip_exempt;
    for (size_t i = 0; i < exempt->count && i < GATE_EXEMPT_MAX; i++) {
        if (ip_network_parse(span_text(exempt->items[i]), &limits->exempt[limits->exempt_count++]) != ERR_OK)
            return ctx_fail(ctx, ERR_INVALID, "Swarm.PerIPExempt: %s is no network such as 10.0.0.0/8",
                            exempt->items[i]);
    }
    return ERR_OK;
}

static enum err read_security(struct ctx *ctx, struct swarm *s)
{
    const struct config_list *list = &s->config->swarm_security;
    for (size_t i = 0; i < list->count && i < ARRAY_LEN(s->security); i++) {
        bool tls = strcmp(list->items[i], "tls") == 0;
        if (!tls && strcmp(list->items[i], "noise") != 0)
            return ctx_fail(ctx, ERR_INVALID, "Swarm.Transports.Security: %s is neither noise nor tls", list->items[i]);
        s->security[s->security_count++] = tls ? CONNECTION_TLS : CONNECTION_NOISE;
    }
    return ERR_OK;
}

static void random_bytes(void *arg, void *to, size_t len)
{
    ctx_random(arg, to, len);
}

static enum err init_identity(struct ctx *ctx, struct swarm *s)
{
    if (s->config->identity == NULL)
        return ctx_fail(ctx, ERR_INVALID, "the configuration has no identity");
    s->key = s->config->identity;
    s->self = key_pair_peer_id(s->key);
    enum err err = connection_identity_new(s->key, random_bytes, ctx, &s->identity);
    return err == ERR_OK ? err : ctx_fail(ctx, err, "cannot prepare the secure channels: %s", err_text(err));
}

static enum err listen_all(struct ctx *ctx, struct swarm *s)
{
    char why[512];
    const struct config_list *list = &s->config->addresses_swarm;
    size_t unsupported = 0;
    for (size_t i = 0; i < list->count && !s->config->offline; i++) {
        enum err err = swarm_listen(s, list->items[i], why, sizeof(why));
        if (err == ERR_UNSUPPORTED || err == ERR_UNREACHABLE) { /* a machine without IPv6, a transport we do not have */
            ctx_log(ctx, LOG_WARN, "%s", why);
            unsupported++;
        } else if (err != ERR_OK) {
            return ctx_fail(ctx, err, "%s", why);
        }
    }
    if (unsupported > 0 && unsupported == list->count)
        return ctx_fail(ctx, ERR_UNSUPPORTED, "none of Addresses.Swarm can be listened on: %s", why);
    return ERR_OK;
}

static enum err init(struct ctx *ctx, void *state, const struct config *config)
{
    struct swarm *s = state;
    struct gate_config limits;
    struct budget *budget = ctx_budget(ctx);
    s->ctx = ctx;
    s->config = config;
    s->net = ctx_net(ctx);
    s->receive = &budget->accounts[ACCOUNT_RECEIVE];
    s->send = &budget->accounts[ACCOUNT_SEND];
    s->tables = &budget->accounts[ACCOUNT_TABLES];
    account_init(&s->windows, "receive windows", s->receive->limit_bytes / 32 * SWARM_WINDOWS_SHARE);
    uint64_t identify = s->receive->limit_bytes / 16 * SWARM_IDENTIFY_SHARE;
    if (!account_take(s->receive, identify)) /* what a life before received may be with others still */
        return ctx_fail(ctx, ERR_NOMEM, "the receive account is in use already");
    account_init(&s->identify, "receive identify", identify); /* given back by terminate */
    backlog_init(&s->backlog);
    table_init(&s->conns, SWARM_CONNECTIONS_MAX, s->tables);
    table_init(&s->peers, SWARM_CONNECTIONS_MAX, s->tables);
    table_init(&s->streams, SWARM_STREAMS_MAX, s->tables);
    peerstore_init(&s->store, s->tables);
    protocols_init(&s->protocols);
    peer_tags_init(&s->tags, s->tables);
    enum err err = read_exempt(ctx, config, &limits);
    if (err == ERR_OK)
        gate_init(&s->gate, &limits, s->tables);
    if (err == ERR_OK)
        swarm_resources_init(s);
    if (err == ERR_OK)
        err = swarm_rules_init(s);
    if (err == ERR_OK)
        err = swarm_bandwidth_init(s);
    if (err == ERR_OK)
        err = read_security(ctx, s);
    if (err == ERR_OK)
        err = dialer_new(s->security, s->security_count, s->tables, &s->dialer);
    if (err == ERR_OK)
        dialer_pace(s->dialer, (unsigned)config->swarm_dial_rate, (unsigned)config->swarm_dial_burst,
                    (unsigned)config->swarm_dial_concurrent, ctx_now(ctx));
    if (err == ERR_OK)
        err = init_identity(ctx, s);
    if (err == ERR_OK && (s->scratch = malloc(SWARM_READ_BYTES)) == NULL)
        err = ERR_NOMEM;
    if (err == ERR_OK)
        err = listen_all(ctx, s);
    if (err != ERR_OK)
        return err;
    autonat_init(s);
    identify_refresh_own(s);
    s->push_at_ns = 0; /* nobody knows us yet */
    (void)ctx_timer(ctx, ctx_now(ctx), TAG_START);
    return ERR_OK;
}

/* After every start: what other lives left in state, and who else is alive. */
static void start(struct ctx *ctx, struct swarm *s)
{
    (void)s;
    (void)ctx_monitor(ctx, ACTOR_BITSWAP);
    (void)ctx_monitor(ctx, ACTOR_DISCOVERY);
    struct msg_state_peers fields = {.limit = KNOWN_PEERS};
    struct call_opts opts = {.timeout_ns = 10 * SECOND_NS, .reply_bytes_max = 256 * 1024};
    if (ctx_call(ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_PEERS, .fields = &fields}, opts, TAG_STATE_PEERS) !=
        ERR_OK)
        ctx_log(ctx, LOG_WARN, "peers of earlier lives could not be asked for");
}

static void load_peers(struct swarm *s, const struct msg *msg)
{
    const struct msg_state_peers_ok *fields = msg->fields;
    struct item_known_peer row;
    size_t position = 0;
    while (schema_list_next_map(&fields->peers, &schema_item_known_peer, &position, &row)) {
        struct peer_id id;
        struct peer_entry *entry = peer_id_parse(row.peer, &id) == ERR_OK ? peerstore_add(&s->store, &id) : NULL;
        if (entry == NULL)
            continue;
        entry->seen_ns = MAX(entry->seen_ns, row.last_seen);
        entry->successes += (uint32_t)MIN(row.successes, (uint64_t)PEERSTORE_DIALS_MAX);
        entry->failures += (uint32_t)MIN(row.failures, (uint64_t)PEERSTORE_DIALS_MAX);
        size_t at = 0;
        struct span text;
        struct multiaddr addr;
        while (schema_list_next_bytes(&row.addrs, &at, &text))
            if (multiaddr_parse_text(text, &addr) == ERR_OK)
                (void)peerstore_add_addr(entry, multiaddr_span(&addr));
    }
}

/* ---- handlers ---- */

static enum err peer_disconnect(struct swarm *s, const struct msg_peer_disconnect *fields, struct reply_to call)
{
    struct peer_id id;
    if (peer_id_parse(fields->peer, &id) != ERR_OK)
        return ERR_INVALID;
    swarm_return_forget(s, &id);
    struct swarm_peer *peer = swarm_peer_find(s, &id);
    if (peer == NULL) {
        char text[PEER_ID_TEXT_MAX];
        peer_id_text(&id, text);
        ctx_reply_err(s->ctx, call, ERR_NOT_FOUND, "disconnect %s failure: not connected", text);
        return ERR_OK;
    }
    peer->wanted = false;
    for (struct swarm_conn *c = peer->conns; c != NULL; c = c->next_of_peer)
        swarm_close(c, ERR_CLOSED);
    struct msg_ok ok = {0};
    ctx_reply(s->ctx, call, &(struct msg){.kind = MSG_OK, .fields = &ok});
    return ERR_OK;
}

static enum err answer_probe(struct swarm *s, struct reply_to call)
{
    struct msg_ok ok = {0};
    ctx_reply(s->ctx, call, &(struct msg){.kind = MSG_OK, .fields = &ok});
    return ERR_OK;
}

static enum err handle_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to call)
{
    struct swarm *s = state;
    enum err err = ERR_UNSUPPORTED;
    s->ctx = ctx;
    if (msg->kind == MSG_STREAM_OPEN)
        err = swarm_stream_call_open(s, msg, call);
    else if (msg->kind == MSG_PEER_CONNECT)
        err = swarm_peer_connect(s, msg->fields, call);
    else if (msg->kind == MSG_PEER_DISCONNECT)
        err = peer_disconnect(s, msg->fields, call);
    else if (msg->kind == MSG_SWARM_PEERS)
        err = swarm_reply_peers(s, call);
    else if (msg->kind == MSG_SWARM_ADDRS)
        err = swarm_reply_addrs(s, ((const struct msg_swarm_addrs *)msg->fields)->local, call);
    else if (msg->kind == MSG_SWARM_AUTONAT)
        err = swarm_reply_autonat(s, call);
    else if (msg->kind == MSG_NODE_ID)
        err = swarm_reply_id(s, call);
    else if (msg->kind == MSG_PING)
        err = ping_call(s, msg, call);
    else if (msg->kind == MSG_STATS_BW)
        err = swarm_reply_bandwidth(s, msg->fields, call);
    else if (msg->kind == MSG_SWARM_RESOURCES)
        err = swarm_reply_resources(s, call);
    else if (msg->kind == MSG_SWARM_FILTERS)
        err = swarm_reply_filters(s, call);
    else if (msg->kind == MSG_SWARM_FILTERS_CHANGE)
        err = swarm_filters_change(s, msg->fields, call);
    else if (msg->kind == MSG_PROBE)
        err = answer_probe(s, call);
    swarm_settle_soon(s);
    return err;
}

static void handle_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    struct swarm *s = state;
    s->ctx = ctx;
    if (msg->kind == MSG_PEER_TAG || msg->kind == MSG_PEER_PROTECT)
        swarm_mark(s, msg);
    else if (msg->kind == MSG_SWARM_FILTERS_CHANGE)
        swarm_filters_again(s, msg->fields);
    else
        swarm_stream_cast(s, msg);
    swarm_settle_soon(s); /* at the end of the turn: many writes, one sendmsg */
}

static void handle_timer(struct swarm *s, uint64_t tag)
{
    if (tag == TAG_START) {
        start(s->ctx, s);
    } else if (tag == TAG_TICK) {
        swarm_tick(s);
    } else if (tag == TAG_DIALER) {
        s->dialer_timer = 0;
        s->dialer_at_ns = 0;
    } else if (tag == TAG_BANDWIDTH) {
        s->bandwidth_timer = 0;
        s->bandwidth_at_ns = 0;
        swarm_bandwidth_run(s);
    } else if (tag == TAG_RESUME) {
        s->resume_timer = 0;
        swarm_resume_reading(s);
    } else if (tag == TAG_SETTLE) {
        s->settle_timer = 0;
        swarm_resume_reading(s);
    }
}

static void handle_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct swarm *s = state;
    s->ctx = ctx;
    switch (info->kind) {
    case INFO_NET:
        swarm_net(s, info->net);
        break;
    case INFO_TIMER:
        handle_timer(s, info->tag);
        break;
    case INFO_REPLY:
        if (info->tag == TAG_STATE_PEERS && info->err == ERR_OK)
            load_peers(s, info->msg);
        break;
    case INFO_CANCEL:
        swarm_cancel_call(s, &info->call);
        ping_cancel(s, &info->call);
        break;
    case INFO_JOB:
        swarm_name_resolved(s, info->err, info->arg);
        break;
    case INFO_ROOM:
        backlog_room(&s->backlog, ctx, info->actor);
        swarm_resume_reading(s);
        break;
    case INFO_DOWN:
        swarm_streams_orphaned(s, info->actor);
        swarm_serve(s, info->actor, NULL);
        swarm_forget_marks(s, info->actor);
        swarm_enforce_bans(s);
        break;
    case INFO_UP:
        swarm_streams_orphaned(s, info->actor); /* opened while nobody was there */
        swarm_tell_all_up(s, info->actor);
        break;
    case INFO_WATCH:
    case INFO_MULTICAST:
        break;
    }
    swarm_settle(s);
}

static void terminate(struct ctx *ctx, void *state, enum exit_reason reason)
{
    (void)reason;
    struct swarm *s = state;
    s->ctx = ctx;
    swarm_release(s);
    autonat_release(s);
    swarm_waiters_release(s);
    backlog_release(&s->backlog);
    dialer_free(s->dialer);
    gate_release(&s->gate);
    resources_release(&s->resources);
    peer_tags_release(&s->tags);
    peer_rules_release(&s->rules);
    peerstore_release(&s->store);
    connection_identity_free(s->identity);
    free(s->scratch);
    account_give(s->receive, s->identify.limit_bytes);
}

const struct actor_class connection_manager_class = {
    .name = "connection_manager",
    .state_bytes = sizeof(struct swarm),
    .ports = PORT_NET | PORT_JOBS | PORT_DNS,
    .init = init,
    .handle_call = handle_call,
    .handle_cast = handle_cast,
    .handle_info = handle_info,
    .terminate = terminate,
};
