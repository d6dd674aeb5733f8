/* SPDX-License-Identifier: MIT */
#include "helper_nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { POLL = 77, CALL = 78, OPEN = 79, PIECE = 64 * 1024, IN_FLIGHT_MAX = 1024 * 1024, POLL_MS = 5 };
enum { GIVEN_DRIVER = 1, GIVEN_PROBE = 4 };

struct node nodes[NODES_MAX];
bool nodes_whole;
struct sim *nodes_sim;
struct sim_net *nodes_net;
struct sim_zone *nodes_zone;
static unsigned node_count;
static enum nodes_backend running_on;

/* What a probe's life knows. */
struct probe {
    struct node *node;
    uint64_t stream; /* being sent */
    uint64_t left;
    uint64_t in_flight;
    uint64_t offset;
    bool fin_sent;
    uint64_t awaited; /* streams being opened */
};

static struct node *node_of(const struct config *config)
{
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (nodes[i].config == config)
            return &nodes[i];
    abort();
}

static enum err probe_init(struct ctx *ctx, void *state, const struct config *config)
{
    ((struct probe *)state)->node = node_of(config);
    (void)ctx_timer(ctx, ctx_now(ctx) + POLL_MS * MS_NS, POLL);
    return ERR_OK;
}

static void probe_end(struct ctx *ctx, void *state, enum exit_reason reason)
{
    (void)ctx;
    (void)state;
    (void)reason;
}

static void no_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    (void)ctx;
    (void)state;
    (void)msg;
}

static void no_info(struct ctx *ctx, void *state, const struct info *info)
{
    (void)ctx;
    (void)state;
    (void)info;
}

/* ---- state's place: no peers from earlier lives ---- */

static enum err state_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to call)
{
    (void)state;
    if (msg->kind != MSG_STATE_PEERS)
        return ERR_UNSUPPORTED;
    struct msg_state_peers_ok fields = {0};
    ctx_reply(ctx, call, &(struct msg){.kind = MSG_STATE_PEERS_OK, .fields = &fields});
    return ERR_OK;
}

static enum err quiet_init(struct ctx *ctx, void *state, const struct config *config)
{
    (void)ctx;
    (void)state;
    (void)config;
    return ERR_OK;
}

static enum err no_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to call)
{
    (void)ctx;
    (void)state;
    (void)msg;
    (void)call;
    return ERR_UNSUPPORTED;
}

/* ---- bitswap's place: sends patterns, counts and checks what comes ---- */

static uint8_t pattern(uint64_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8));
}

static void send_more(struct ctx *ctx, struct probe *p)
{
    while (p->stream != 0 && !p->fin_sent && p->in_flight + PIECE <= IN_FLIGHT_MAX) {
        size_t len = (size_t)MIN(p->left, (uint64_t)PIECE);
        struct block_ref *ref = block_ref_new(len == 0 ? 1 : len, NULL);
        for (size_t i = 0; i < len; i++)
            ref->data[i] = pattern(p->offset + i);
        p->left -= len;
        p->offset += len;
        p->in_flight += len;
        p->fin_sent = p->left == 0;
        struct msg_stream_write fields = {.stream = p->stream, .fin = p->fin_sent};
        (void)ctx_cast(ctx, ACTOR_CONNECTION_MANAGER,
                       &(struct msg){.kind = MSG_STREAM_WRITE, .fields = &fields, .tail = len == 0 ? NULL : ref});
        block_ref_unref(ref);
    }
}

static void credit(struct ctx *ctx, uint64_t stream, uint64_t bytes)
{
    struct msg_stream_credit fields = {.stream = stream, .bytes = bytes};
    (void)ctx_cast(ctx, ACTOR_CONNECTION_MANAGER, &(struct msg){.kind = MSG_STREAM_CREDIT, .fields = &fields});
}

/* In pieces, as one would read them. */
static void answer(struct ctx *ctx, const struct node *n, uint64_t stream)
{
    for (size_t at = 0; at < n->answer.len; at += PIECE) {
        struct span piece = span_first(span_skip(n->answer, at), PIECE);
        struct block_ref *ref = block_ref_copy(piece, NULL);
        struct msg_stream_write fields = {.stream = stream};
        (void)ctx_cast(ctx, ACTOR_CONNECTION_MANAGER,
                       &(struct msg){.kind = MSG_STREAM_WRITE, .fields = &fields, .tail = ref});
        block_ref_unref(ref);
    }
}

static void take_data(struct ctx *ctx, struct probe *p, const struct msg *msg)
{
    const struct msg_stream_data *fields = msg->fields;
    struct node *n = p->node;
    if (n->answer.len > 0 && msg->tail != NULL) {
        credit(ctx, fields->stream, msg->tail->len);
        answer(ctx, n, fields->stream);
        return;
    }
    struct span bytes = block_ref_span(msg->tail);
    uint64_t base = atomic_load(&n->received);
    for (size_t i = 0; i < bytes.len; i++)
        if (bytes.data[i] != pattern(base + i))
            atomic_fetch_add(&n->mismatches, 1);
    atomic_fetch_add(&n->received, bytes.len);
    atomic_fetch_add(&n->fins, fields->fin);
    if (atomic_load(&n->hold_credit)) {
        atomic_fetch_add(&n->held, bytes.len);
        p->stream = fields->stream;
        return;
    }
    credit(ctx, fields->stream, bytes.len);
    if (fields->fin) { /* we have nothing to say: both ends are finished then */
        struct msg_stream_write end = {.stream = fields->stream, .fin = true};
        (void)ctx_cast(ctx, ACTOR_CONNECTION_MANAGER, &(struct msg){.kind = MSG_STREAM_WRITE, .fields = &end});
    }
}

static void probe_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    struct probe *p = state;
    struct node *n = p->node;
    if (msg->kind == MSG_PEER_UP) {
        const struct msg_peer_up *fields = msg->fields;
        atomic_store(&n->up_protocols, fields->protocols.count);
        atomic_fetch_add(&n->ups, 1);
    } else if (msg->kind == MSG_PEER_DOWN) {
        atomic_fetch_add(&n->downs, 1);
    } else if (msg->kind == MSG_STREAM_OPENED) {
        atomic_fetch_add(&n->opened_in, 1);
    } else if (msg->kind == MSG_STREAM_DATA) {
        take_data(ctx, p, msg);
    } else if (msg->kind == MSG_STREAM_CLOSED) {
        const struct msg_stream_closed *fields = msg->fields;
        atomic_store(&n->closed_err, (int)fields->err);
        atomic_fetch_add(&n->closed, 1);
        if (fields->stream == p->stream)
            p->stream = 0;
    } else if (msg->kind == MSG_STREAM_WRITTEN) {
        const struct msg_stream_written *fields = msg->fields;
        atomic_fetch_add(&n->sent, fields->bytes);
        p->in_flight -= fields->bytes;
        send_more(ctx, p);
    }
    if (n->rt != NULL)
        runtime_notify(n->rt);
}

/* The command belongs to whom it was given, from here until it is done. */
static bool take_command(struct node *n, int given)
{
    return atomic_compare_exchange_strong(&n->command_state, &given, 2);
}

static void command_done(struct node *n, enum err err)
{
    atomic_store(&n->result, (int)err);
    atomic_store(&n->command_state, 3);
    if (n->rt != NULL)
        runtime_notify(n->rt);
}

static uint64_t within(const struct command *c, uint64_t seconds)
{
    return c->within_ms == 0 ? seconds * SECOND_NS : c->within_ms * MS_NS;
}

static void open_and_send(struct ctx *ctx, struct probe *p)
{
    struct node *n = p->node;
    const struct command *c = &n->command;
    struct buf items;
    buf_init(&items, 64, NULL);
    if (schema_list_add_text(&items, span_text(c->protocol == NULL ? "/ipfs/bitswap/1.2.0" : c->protocol)) != ERR_OK)
        abort();
    struct msg_stream_open fields = {.peer = peer_id_span(&nodes[c->target].id),
                                     .protocols = schema_list_of(&items, 1)};
    struct call_opts opts = {.timeout_ns = within(c, 20)};
    struct msg msg = {.kind = MSG_STREAM_OPEN, .fields = &fields};
    enum err err = ERR_OK;
    uint64_t streams = c->count == 0 ? 1 : c->count;
    p->awaited = 0;
    for (uint64_t i = 0; i < streams && err == ERR_OK; i++, p->awaited++)
        err = ctx_call(ctx, ACTOR_CONNECTION_MANAGER, &msg, opts, OPEN);
    buf_release(&items);
    if (err != ERR_OK)
        command_done(n, err);
}

static void serve(struct ctx *ctx, const struct probe *p)
{
    struct buf items;
    buf_init(&items, 1024, NULL);
    const char *name = p->node->command.protocol;
    if (name != NULL && schema_list_add_text(&items, span_text(name)) != ERR_OK)
        abort();
    struct msg_protocol_serve fields = {.protocols = schema_list_of(&items, name != NULL)};
    enum err err =
        ctx_cast(ctx, ACTOR_CONNECTION_MANAGER, &(struct msg){.kind = MSG_PROTOCOL_SERVE, .fields = &fields});
    buf_release(&items);
    command_done(p->node, err);
}

static void send_payload(struct ctx *ctx, const struct probe *p, uint64_t stream)
{
    struct block_ref *ref = block_ref_copy(p->node->command.payload, NULL);
    struct msg_stream_write fields = {.stream = stream, .fin = true};
    (void)ctx_cast(ctx, ACTOR_CONNECTION_MANAGER,
                   &(struct msg){.kind = MSG_STREAM_WRITE, .fields = &fields, .tail = ref});
    block_ref_unref(ref);
}

static void opened(struct ctx *ctx, struct probe *p, const struct info *info)
{
    struct node *n = p->node;
    uint64_t awaited = p->awaited;
    (void)snprintf(n->text, sizeof(n->text), "%s", info->text == NULL ? "" : info->text);
    if (info->err == ERR_OK) {
        const struct msg_stream_opened_ok *fields = info->msg->fields;
        if (n->command.payload.len > 0) {
            send_payload(ctx, p, fields->stream);
        } else {
            *p = (struct probe){.node = n, .stream = fields->stream, .left = n->command.bytes};
            send_more(ctx, p);
        }
    }
    p->awaited = awaited - 1;
    if (p->awaited == 0)
        command_done(n, info->err);
}

static void probe_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct probe *p = state;
    struct node *n = p->node;
    if (info->kind == INFO_TIMER && info->tag == POLL) {
        (void)ctx_timer(ctx, ctx_now(ctx) + POLL_MS * MS_NS, POLL);
        if (take_command(n, GIVEN_PROBE)) {
            if (n->command.kind == CMD_SERVE)
                serve(ctx, p);
            else
                open_and_send(ctx, p);
        }
        uint64_t held = atomic_load(&n->release_credit) ? atomic_exchange(&n->held, 0) : 0;
        if (held > 0) {
            atomic_store(&n->hold_credit, false);
            credit(ctx, p->stream, held);
        }
    } else if (info->kind == INFO_REPLY && info->tag == OPEN) {
        opened(ctx, p, info);
    }
}

/* ---- control's place: carries out commands ---- */

struct cid nodes_cid_of(struct span block)
{
    struct multihash hash;
    if (multihash_sum(MULTIHASH_SHA2_256, SHA256_BYTES, block, &hash) != ERR_OK)
        abort();
    return cid_v1(CODEC_RAW, &hash);
}

static enum err carry_out_block(struct ctx *ctx, const struct command *c)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct cid cid = nodes_cid_of(c->payload);
    struct span key = span_of(bytes, cid_encode(&cid, bytes));
    struct call_opts opts = {.timeout_ns = within(c, 20), .reply_bytes_max = 4096};
    struct msg_block_put put = {.cid = key};
    struct msg_block_get get = {.cid = key};
    struct msg_fetch fetch = {.cid = key, .session = 1};
    if (c->kind == CMD_FETCH)
        return ctx_call(ctx, ACTOR_BITSWAP, &(struct msg){.kind = MSG_FETCH, .fields = &fetch}, opts, CALL);
    if (c->kind == CMD_HAS)
        return ctx_call(ctx, ACTOR_TIERED_STORAGE, &(struct msg){.kind = MSG_BLOCK_GET, .fields = &get}, opts, CALL);
    struct block_ref *block = block_ref_copy(c->payload, NULL);
    enum err err = ctx_call(ctx, ACTOR_TIERED_STORAGE,
                            &(struct msg){.kind = MSG_BLOCK_PUT, .fields = &put, .tail = block}, opts, CALL);
    block_ref_unref(block);
    return err;
}

static enum err carry_out_raw(struct ctx *ctx, struct node *n)
{
    struct call_opts opts = {.timeout_ns = within(&n->command, 40), .reply_bytes_max = 65536};
    actor_id to = n->command.to == 0 ? ACTOR_CONNECTION_MANAGER : n->command.to;
    if (n->command.kind == CMD_ASK)
        return ctx_call(ctx, to, n->command.msg, opts, CALL);
    enum err err = ctx_cast(ctx, to, n->command.msg);
    if (err == ERR_OK)
        command_done(n, ERR_OK);
    return err;
}

static enum err carry_out_routing(struct ctx *ctx, const struct command *c)
{
    uint8_t bytes[CID_BYTES_MAX];
    uint8_t key[4 + PEER_ID_BYTES_MAX] = "/pk/";
    struct cid cid = nodes_cid_of(c->payload);
    struct span name = span_of(bytes, cid_encode(&cid, bytes));
    const struct peer_id *target = &nodes[c->target].id;
    memcpy(key + 4, target->bytes, target->len);
    struct msg_dht_stat stat = {0};
    struct msg_provide provide = {.cid = name};
    struct msg_find_providers providers = {.cid = name, .count = c->count, .stream = c->bytes};
    struct msg_find_peer peer = {.peer = peer_id_span(target)};
    struct msg_route_put put = {.key = span_of(key, 4 + target->len), .value = c->payload};
    struct msg_route_get get = {.key = span_of(key, 4 + target->len), .count = c->count};
    const struct msg asks[] = {{.kind = MSG_DHT_STAT, .fields = &stat},
                               {.kind = MSG_PROVIDE, .fields = &provide},
                               {.kind = MSG_FIND_PROVIDERS, .fields = &providers},
                               {.kind = MSG_FIND_PEER, .fields = &peer},
                               {.kind = MSG_ROUTE_PUT, .fields = &put},
                               {.kind = MSG_ROUTE_GET, .fields = &get}};
    struct call_opts opts = {.timeout_ns = within(c, 40), .reply_bytes_max = 250 * 1024};
    return ctx_call(ctx, ACTOR_DISCOVERY, &asks[c->kind - CMD_DHT], opts, CALL);
}

static enum err carry_out(struct ctx *ctx, struct node *n)
{
    const struct command *c = &n->command;
    struct reply_to request;
    if (c->trace != 0)
        ctx_request_begin(ctx, c->trace, 0, UINT64_MAX, &request);
    if (c->kind == CMD_ASK || c->kind == CMD_TELL)
        return carry_out_raw(ctx, n);
    if (c->kind >= CMD_PUT)
        return carry_out_block(ctx, c);
    if (c->kind >= CMD_DHT)
        return carry_out_routing(ctx, c);
    const struct node *target = &nodes[c->target];
    struct call_opts opts = {.timeout_ns = within(c, 40), .reply_bytes_max = 65536};
    if (c->kind == CMD_PEERS && c->bytes > 0)
        opts.reply_bytes_max = (uint32_t)c->bytes;
    struct buf items;
    buf_init(&items, 1024, NULL);
    const char *addr = c->addr[0] != '\0' ? c->addr : target->addr;
    if (schema_list_add_text(&items, span_text(addr)) != ERR_OK)
        abort();
    struct msg_peer_connect connect = {.addrs = schema_list_of(&items, 1)};
    struct msg_peer_disconnect disconnect = {.peer = peer_id_span(&target->id)};
    struct msg_ping ping = {.peer = peer_id_span(&target->id), .count = c->count};
    struct msg_swarm_peers peers = {0};
    struct msg_swarm_addrs addrs = {.local = c->kind == CMD_ADDRS};
    struct msg_mdns_stat mdns = {0};
    const void *fields[] = {
        [CMD_CONNECT] = &connect, [CMD_DISCONNECT] = &disconnect, [CMD_PING] = &ping, [CMD_PEERS] = &peers,
        [CMD_ADDRS] = &addrs,     [CMD_KNOWN] = &addrs,           [CMD_MDNS] = &mdns};
    static const uint16_t kinds[] = {
        [CMD_CONNECT] = MSG_PEER_CONNECT, [CMD_DISCONNECT] = MSG_PEER_DISCONNECT, [CMD_PING] = MSG_PING,
        [CMD_PEERS] = MSG_SWARM_PEERS,    [CMD_ADDRS] = MSG_SWARM_ADDRS,          [CMD_KNOWN] = MSG_SWARM_ADDRS,
        [CMD_MDNS] = MSG_MDNS_STAT};
    struct msg msg = {.kind = kinds[c->kind], .fields = fields[c->kind]};
    enum err err = ctx_call(ctx, c->kind == CMD_MDNS ? ACTOR_DISCOVERY : ACTOR_CONNECTION_MANAGER, &msg, opts, CALL);
    buf_release(&items);
    return err;
}

/* One address a line. */
static void join_addrs(struct node *n, const struct item_peer_addrs *row)
{
    size_t at = 0;
    size_t used = 0;
    struct span text;
    while (schema_list_next_bytes(&row->addrs, &at, &text) && used + text.len + 2 < sizeof(n->text)) {
        if (used > 0)
            n->text[used++] = '\n';
        memcpy(n->text + used, text.data, text.len);
        used += text.len;
        n->text[used] = '\0';
    }
}

static void take_dht(struct node *n, const struct msg_dht_stat_ok *fields)
{
    struct item_dht_table row;
    size_t position = 0;
    uint64_t rows = 0;
    uint64_t server = 0;
    while (schema_list_next_map(&fields->tables, &schema_item_dht_table, &position, &row)) {
        rows += row.peers.count;
        server |= row.server ? span_equal_text(row.name, "wan") ? 1U : 2U : 0U;
    }
    atomic_store(&n->rows, rows);
    atomic_store(&n->server, server);
}

static void take_providers(struct node *n, const struct msg_providers *fields)
{
    struct item_provider row;
    size_t position = 0;
    uint64_t found = 0;
    while (schema_list_next_map(&fields->providers, &schema_item_provider, &position, &row))
        for (unsigned i = 0; i < NODES_MAX; i++)
            found |= span_equal(row.peer, peer_id_span(&nodes[i].id)) ? UINT64_C(1) << i : 0;
    atomic_store(&n->rows, fields->providers.count);
    atomic_store(&n->found, found);
}

static void take_reply(struct node *n, const struct msg *msg)
{
    if (n->command.take != NULL) {
        n->command.take(n, msg);
    } else if (msg->kind == MSG_DHT_STAT_OK) {
        take_dht(n, msg->fields);
    } else if (msg->kind == MSG_PROVIDERS) {
        take_providers(n, msg->fields);
    } else if (msg->kind == MSG_PROVIDE_OK) {
        atomic_store(&n->rows, ((const struct msg_provide_ok *)msg->fields)->count);
    } else if (msg->kind == MSG_ROUTE_PUT_OK) {
        atomic_store(&n->rows, ((const struct msg_route_put_ok *)msg->fields)->count);
    } else if (msg->kind == MSG_SWARM_PEERS_OK) {
        atomic_store(&n->found, ((const struct msg_swarm_peers_ok *)msg->fields)->omitted);
        atomic_store(&n->rows, ((const struct msg_swarm_peers_ok *)msg->fields)->connections.count);
    } else if (msg->kind == MSG_MDNS_STAT_OK) {
        atomic_store(&n->rows, ((const struct msg_mdns_stat_ok *)msg->fields)->neighbours.count);
    } else if (msg->kind == MSG_PING_OK) {
        const struct msg_ping_ok *fields = msg->fields;
        size_t position = 0;
        uint64_t rtt = 0;
        atomic_store(&n->rows, fields->rtt_ns.count);
        (void)schema_list_next_u64(&fields->rtt_ns, &position, &rtt);
        atomic_store(&n->rtt_ns, rtt);
    } else if (msg->kind == MSG_SWARM_ADDRS_OK) {
        const struct msg_swarm_addrs_ok *fields = msg->fields;
        const struct peer_id *of = n->command.kind == CMD_ADDRS ? &n->id : &nodes[n->command.target].id;
        struct item_peer_addrs row;
        size_t position = 0;
        n->text[0] = '\0';
        while (schema_list_next_map(&fields->peers, &schema_item_peer_addrs, &position, &row))
            if (span_equal(row.addrs.count == 0 ? (struct span){0} : row.peer, peer_id_span(of)))
                join_addrs(n, &row);
    }
}

static void driver_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct node *n = ((struct probe *)state)->node;
    if (info->kind == INFO_TIMER && info->tag == POLL) {
        (void)ctx_timer(ctx, ctx_now(ctx) + POLL_MS * MS_NS, POLL);
        if (!take_command(n, GIVEN_DRIVER))
            return;
        enum err err = carry_out(ctx, n);
        if (err != ERR_OK)
            command_done(n, err);
    } else if (info->kind == INFO_REPLY && info->tag == CALL) {
        (void)snprintf(n->text, sizeof(n->text), "%s", info->text == NULL ? "" : info->text);
        if (info->err == ERR_OK)
            take_reply(n, info->msg);
        bool compare = info->err == ERR_OK && (n->command.kind == CMD_FETCH || n->command.kind == CMD_HAS);
        bool differs = compare && !span_equal(block_ref_span(info->msg->tail), n->command.payload);
        if (info->err == ERR_OK && n->command.kind == CMD_ROUTE_GET)
            differs = !span_equal(((const struct msg_route_value *)info->msg->fields)->value, n->command.payload);
        command_done(n, differs ? ERR_CORRUPT : info->err);
    }
}

#define CLASS(title, on_init, on_call, on_cast, on_info)                                                               \
    {                                                                                                                  \
        .name = (title), .state_bytes = sizeof(struct probe), .init = (on_init), .handle_call = (on_call),             \
        .handle_cast = (on_cast), .handle_info = (on_info), .terminate = probe_end                                     \
    }
static const struct actor_class state_probe = CLASS("state", quiet_init, state_call, no_cast, no_info);
static const struct actor_class quiet_probe = CLASS("quiet", quiet_init, no_call, no_cast, no_info);
static const struct actor_class bitswap_probe = CLASS("bitswap", probe_init, no_call, probe_cast, probe_info);
static const struct actor_class driver = CLASS("control", probe_init, no_call, no_cast, driver_info);

static const struct actor_class *const classes[ACTOR_COUNT] = {
    [ACTOR_STATE] = &state_probe,        [ACTOR_TIERED_STORAGE] = &quiet_probe,
    [ACTOR_HEAT_TRACKER] = &quiet_probe, [ACTOR_CONNECTION_MANAGER] = &connection_manager_class,
    [ACTOR_DISCOVERY] = &quiet_probe,    [ACTOR_BITSWAP] = &bitswap_probe,
    [ACTOR_CONTROL] = &driver,
};

#define WORKER(name, actor)                                                                                            \
    {                                                                                                                  \
        .id = (name), .type = CHILD_WORKER, .start = (actor), .restart = RESTART_PERMANENT                             \
    }
static const struct child_spec children[] = {
    WORKER("state", ACTOR_STATE),         WORKER("connection_manager", ACTOR_CONNECTION_MANAGER),
    WORKER("discovery", ACTOR_DISCOVERY), WORKER("bitswap", ACTOR_BITSWAP),
    WORKER("control", ACTOR_CONTROL),
};
static const struct supervisor_spec tree = {.name = "root",
                                            .strategy = STRATEGY_ONE_FOR_ONE,
                                            .intensity = 3,
                                            .period_ms = 10000,
                                            .children = children,
                                            .child_count = ARRAY_LEN(children)};
static const struct edge_spec edges[] = {
    {ACTOR_CONTROL, ACTOR_CONNECTION_MANAGER},
    {ACTOR_BITSWAP, ACTOR_CONNECTION_MANAGER},
    {ACTOR_CONNECTION_MANAGER, ACTOR_STATE},
    {ACTOR_DISCOVERY, ACTOR_CONNECTION_MANAGER},
    {ACTOR_DISCOVERY, ACTOR_STATE},
    {ACTOR_CONTROL, ACTOR_DISCOVERY},
};
static const struct lane_spec lanes[] = {{.name = "dns", .workers = 1, .queue = 32}};

/* Production's tree, but for the driver, and a disk of its own. */
static void make_whole(struct node *n, struct runtime_config *config)
{
    bool fresh = n->disk == NULL;
    n->disk = fresh ? sim_disk_new(n->index + 1, 256 * MIB) : n->disk;
    config->disk = sim_disk_port(n->disk);
    if (fresh)
        assert_int_equal(config->disk->make_dir(config->disk->self, n->config->path), ERR_OK);
    tree_describe(config);
    memcpy(n->classes, config->classes, sizeof(n->classes));
    n->classes[ACTOR_CONTROL] = &driver;
    if (n->state != NULL)
        n->classes[ACTOR_STATE] = n->state;
    config->classes = n->classes;
}

static void note(void *arg, enum log_level level, const char *actor, const char *text)
{
    (void)level;
    if (getenv("NODES_LOG") != NULL)
        (void)fprintf(stderr, "%u %s: %s\n", ((struct node *)arg)->index, actor, text);
}

static void configure(struct node *n, void (*change)(struct node *))
{
    char why[CONFIG_WHY_BYTES];
    uint8_t seed[ED25519_SEED_BYTES] = {0x42, (uint8_t)n->index};
    assert_int_equal(config_new("/nowhere", &n->config), ERR_OK);
    const char *listen = running_on == SIM ? "/ip4/0.0.0.0/tcp/4001" : "/ip4/127.0.0.1/tcp/0";
    assert_int_equal(config_set(n->config, "Addresses.Swarm", span_text(listen), why), ERR_OK);
    assert_int_equal(config_set(n->config, "Bootstrap", span_text(""), why), ERR_OK);
    assert_int_equal(config_set(n->config, "Routing.Type", span_text("none"), why), ERR_OK);
    assert_int_equal(key_pair_of_seed(seed, &n->key), ERR_OK);
    n->config->identity = n->key;
    n->id = key_pair_peer_id(n->key);
    assert_int_equal(budget_init(&n->budget, 64 * MIB), ERR_OK);
    if (change != NULL)
        change(n);
}

static void start(struct node *n)
{
    char why[512] = "";
    const struct loop_port *loop;
    const struct multicast_port *multicast = NULL;
    if (running_on == SIM) {
        struct net_addr ip = n->ip.port == 0 && n->ip.ip[0] == 0 ? sim_net_ip(n->index + 1) : n->ip;
        n->host = n->host == NULL ? sim_net_add_host(nodes_net, &ip) : n->host;
        loop = sim_host_loop(n->host);
        multicast = n->discovers ? sim_host_multicast(n->host) : NULL;
        sim_host_set_segment(n->host, n->segment);
    } else {
        n->reactor = reactor_new();
        loop = reactor_port(n->reactor);
    }
    struct runtime_config config = {.classes = n->classes,
                                    .class_count = ACTOR_COUNT,
                                    .tree = &tree,
                                    .edges = edges,
                                    .edge_count = ARRAY_LEN(edges),
                                    .lanes = lanes,
                                    .lane_count = ARRAY_LEN(lanes),
                                    .schemas = &schema_messages,
                                    .config = n->config,
                                    .budget = &n->budget,
                                    .dns = sim_zone_port(nodes_zone),
                                    .loop = loop,
                                    .multicast = multicast,
                                    .log = note,
                                    .log_arg = n,
                                    .log_level = LOG_DEBUG};
    memcpy(n->classes, classes, sizeof(classes));
    if (n->manager != NULL)
        n->classes[ACTOR_CONNECTION_MANAGER] = n->manager;
    if (n->discovers)
        n->classes[ACTOR_DISCOVERY] = &discovery_class;
    char name[16];
    (void)snprintf(name, sizeof(name), "n%u", n->index);
    config.name = name;
    if (running_on == SIM) {
        config.backend = &backend_sim;
        config.backend_arg = nodes_sim;
    }
    if (nodes_whole)
        make_whole(n, &config);
    if (runtime_start(&config, &n->rt, why, sizeof(why)) != ERR_OK)
        fail_msg("node %u does not start: %s", n->index, why);
    char id[PEER_ID_TEXT_MAX];
    peer_id_text(&n->id, id);
    assert_int_equal(node_do(n->index, (struct command){.kind = CMD_ADDRS}), ERR_OK);
    n->text[strcspn(n->text, "\n")] = '\0';
    (void)snprintf(n->addr, sizeof(n->addr), "%.80s/p2p/%s", n->text, id);
}

static void add_localhost(void)
{
    const struct net_addr addr = {.family = NET_IP4, .ip = {127, 0, 0, 1}};
    assert_non_null(nodes_zone);
    assert_int_equal(sim_zone_add_addr(nodes_zone, "localhost", &addr), ERR_OK);
}

void nodes_begin(unsigned count, enum nodes_backend backend, uint64_t seed, void (*change)(struct node *))
{
    memset(nodes, 0, sizeof(nodes));
    nodes_zone = sim_zone_new();
    add_localhost();
    running_on = backend;
    node_count = count;
    if (backend == SIM) {
        nodes_sim = sim_new(seed);
        nodes_net = sim_net_new(nodes_sim);
    }
    for (unsigned i = 0; i < count; i++) {
        nodes[i].index = i;
        configure(&nodes[i], change);
        start(&nodes[i]);
    }
}

void nodes_end(void)
{
    for (unsigned i = 0; i < node_count; i++) {
        struct node *n = &nodes[i];
        if (n->rt != NULL)
            assert_int_equal(runtime_stop(&n->rt, 10 * SECOND_NS), RUNTIME_EXIT_OK);
        assert_int_equal(account_used(&n->budget.accounts[ACCOUNT_RECEIVE]), 0);
        assert_int_equal(account_used(&n->budget.accounts[ACCOUNT_SEND]), 0);
        assert_int_equal(account_used(&n->budget.accounts[ACCOUNT_TABLES]), 0);
        sim_disk_free(n->disk);
        reactor_free(n->reactor);
        config_free(n->config);
        key_pair_free(n->key);
    }
    if (running_on == SIM) {
        sim_net_free(nodes_net);
        sim_free(nodes_sim);
    }
    sim_zone_free(nodes_zone);
    nodes_whole = false;
}

void node_restart(unsigned n)
{
    assert_int_equal(runtime_stop(&nodes[n].rt, 10 * SECOND_NS), RUNTIME_EXIT_OK);
    start(&nodes[n]);
}

static bool call_done(void *arg)
{
    return ((bool (*)(void))arg)();
}

static bool await_raw(bool (*done)(void *), void *arg, uint64_t timeout_ns)
{
    if (running_on == SIM)
        return sim_run_while_not(nodes_sim, done, arg, timeout_ns);
    uint64_t until = clock_mono_ns() + timeout_ns;
    while (!done(arg))
        if (clock_mono_ns() > until || runtime_await(nodes[0].rt, done, arg, 20 * MS_NS))
            return done(arg);
    return true;
}

void nodes_await(bool (*done)(void))
{
    if (!await_raw(call_done, (void *)done, NODE_TIMEOUT_S * SECOND_NS))
        fail_msg("what was awaited did not come");
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

void nodes_pass_ms(uint64_t ms)
{
    (void)await_raw(never, NULL, ms * MS_NS);
}

uint64_t nodes_trace(void)
{
    return running_on == SIM ? sim_trace(nodes_sim) : 0;
}

void node_give(unsigned n, struct command command)
{
    nodes[n].command = command;
    atomic_store(&nodes[n].command_state,
                 command.kind == CMD_SEND || command.kind == CMD_SERVE ? GIVEN_PROBE : GIVEN_DRIVER);
}

static bool is_done(void *arg)
{
    return atomic_load(&((struct node *)arg)->command_state) == 3;
}

enum err node_do(unsigned n, struct command command)
{
    node_give(n, command);
    if (!await_raw(is_done, &nodes[n], NODE_TIMEOUT_S * SECOND_NS))
        fail_msg("the command was not answered");
    atomic_store(&nodes[n].command_state, 0);
    return (enum err)atomic_load(&nodes[n].result);
}

enum err node_connect(unsigned from, unsigned to)
{
    return node_do(from, (struct command){.kind = CMD_CONNECT, .target = to});
}
