/* SPDX-License-Identifier: MIT */
#include "helper_pair.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mailbox/ctx.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "schemas/walk.h"
#include "sim/disk.h"
#include "sim/net.h"
#include "sim/sim.h"
#include "storage/sqlite_vfs.h"
#include "wire/keys.h"

/* Shorter than what becomes a job. */
enum { POLL_TAG = 1, ASK_TAG = 2, ASK_S = 40, EDGES_MAX = 32, LOOKS = 5, LOOK_MS = 130 };

enum client_state { CLIENT_IDLE, CLIENT_GIVEN, CLIENT_WAITS, CLIENT_ANSWERED, CLIENT_STRUCK };

struct pair_node {
    unsigned index;
    struct sim_host *host;
    struct sim_disk *disk;
    struct disk_port port;
    struct config *config;
    struct key_pair *key;
    struct budget budget;
    char addr[160];
    const struct actor_class *classes[ACTOR_COUNT];
    struct edge_spec edges[EDGES_MAX];
    struct child_spec children[2];
    struct supervisor_spec tree;
    struct runtime *rt;
    struct ctx *client;
    enum client_state state;
    struct buf request;
    struct buf answer;
    enum err err;
};

static struct pair_node nodes[PAIR_NODES];
static struct sim *sim;
static struct sim_net *net;

static struct {
    bool counts;
    enum pair_blow blow;
    uint64_t at;
    uint64_t count;
} blow;

/* ---- the client ---- */

static struct pair_node *node_of(const struct config *config)
{
    return config == nodes[0].config ? &nodes[0] : &nodes[1];
}

static struct pair_node *node_of_client(const struct ctx *ctx)
{
    return ctx == nodes[0].client ? &nodes[0] : &nodes[1];
}

static enum err client_init(struct ctx *ctx, void *state, const struct config *config)
{
    (void)state;
    node_of(config)->client = ctx;
    (void)ctx_timer(ctx, ctx_now(ctx) + MS_NS, POLL_TAG);
    return ERR_OK;
}

static void send_request(struct ctx *ctx, struct pair_node *n)
{
    struct block_ref *tail = block_ref_copy(buf_span(&n->request), NULL);
    struct msg_control_request fields = {.client = 1};
    const struct msg msg = {.kind = MSG_CONTROL_REQUEST, .fields = &fields, .tail = tail};
    if (ctx_call(ctx, ACTOR_CONTROL, &msg, (struct call_opts){.timeout_ns = (ASK_S + 5) * SECOND_NS}, ASK_TAG) ==
        ERR_OK)
        n->state = CLIENT_WAITS;
    block_ref_unref(tail);
}

static void client_info(struct ctx *ctx, void *state, const struct info *info)
{
    (void)state;
    struct pair_node *n = node_of_client(ctx);
    if (info->kind == INFO_TIMER) {
        (void)ctx_timer(ctx, ctx_now(ctx) + MS_NS, POLL_TAG);
        if (n->state == CLIENT_GIVEN)
            send_request(ctx, n);
    } else if (info->kind == INFO_REPLY && n->state == CLIENT_WAITS) {
        n->err = info->err;
        n->state = CLIENT_ANSWERED;
        if (info->err == ERR_OK)
            assert_int_equal(buf_append_span(&n->answer, block_ref_span(info->msg->tail)), ERR_OK);
    }
}

static const struct actor_class client_class = {.name = "client", .init = client_init, .handle_info = client_info};

/* ---- boundaries ---- */

static void strike(void *arg)
{
    struct pair_node *n = arg;
    if (n->state != CLIENT_WAITS)
        return;
    n->state = CLIENT_STRUCK;
    if (blow.blow == BLOW_CANCEL)
        ctx_cancel_call(n->client, ASK_TAG);
    else
        ctx_exit(n->client, EXIT_NORMAL, "the client dies");
    backend_sim.wake(n->client);
}

static void boundary(void)
{
    if (blow.counts && ++blow.count == blow.at)
        (void)sim_schedule(sim, sim_now(sim), strike, &nodes[PAIR_VICTIM]);
}

static const struct actor_class *production[ACTOR_COUNT];
static struct actor_class watched[ACTOR_COUNT];

static enum err watched_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to call)
{
    const struct actor_class *class = production[ctx_self(ctx)];
    enum err err = class->handle_call == NULL ? ERR_UNSUPPORTED : class->handle_call(ctx, state, msg, call);
    boundary();
    return err;
}

static void watched_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    if (production[ctx_self(ctx)]->handle_cast != NULL)
        production[ctx_self(ctx)]->handle_cast(ctx, state, msg);
    boundary();
}

static void watched_info(struct ctx *ctx, void *state, const struct info *info)
{
    if (production[ctx_self(ctx)]->handle_info != NULL)
        production[ctx_self(ctx)]->handle_info(ctx, state, info);
    if (info->kind != INFO_TIMER)
        boundary();
}

static void watch(struct pair_node *n)
{
    for (size_t i = 1; i < PAIR_CLIENT; i++) {
        production[i] = n->classes[i];
        watched[i] = *n->classes[i];
        watched[i].handle_call = watched_call;
        watched[i].handle_cast = watched_cast;
        watched[i].handle_info = watched_info;
        n->classes[i] = &watched[i];
    }
}

void pair_strike(enum pair_blow kind, uint64_t at)
{
    blow.counts = true;
    blow.blow = kind;
    blow.at = at;
    blow.count = 0;
}

uint64_t pair_boundaries(void)
{
    blow.counts = false;
    return blow.count;
}

/* ---- disks that count their open files ---- */

static const struct disk_port *real_port;
static uint64_t files_open;

static enum err counted_open(void *self, const char *path, unsigned flags, struct disk_file **ret_file)
{
    enum err err = real_port->open(self, path, flags, ret_file);
    files_open += err == ERR_OK;
    return err;
}

static void counted_close(struct disk_file *file)
{
    files_open -= file != NULL;
    real_port->close(file);
}

/* ---- nodes ---- */

static void set(struct pair_node *n, const char *key, const char *value)
{
    char why[CONFIG_WHY_BYTES];
    if (config_set(n->config, key, span_text(value), why) != ERR_OK)
        fail_msg("%s: %s", key, why);
}

static void configure(struct pair_node *n)
{
    char path[32];
    char id[PEER_ID_TEXT_MAX];
    uint8_t seed[ED25519_SEED_BYTES] = {0x51, (uint8_t)n->index};
    struct net_addr ip = sim_net_ip(n->index + 1);
    (void)snprintf(path, sizeof(path), "/pair-%u", n->index);
    assert_int_equal(config_new(path, &n->config), ERR_OK);
    (void)snprintf(n->addr, sizeof(n->addr), "/ip4/%u.%u.%u.%u/tcp/4001", ip.ip[0], ip.ip[1], ip.ip[2], ip.ip[3]);
    set(n, "Addresses.Swarm", n->addr);
    set(n, "Discovery.MDNS.Enabled", "false");
    set(n, "Bootstrap", "");
    set(n, "Routing.Type", "none");
    set(n, "Role", "leecher");                    /* it caches nothing: what it holds of a request is the request's */
    set(n, "Swarm.Transports.Security", "noise"); /* OpenSSL's randomness does not repeat */
    assert_int_equal(key_pair_of_seed(seed, &n->key), ERR_OK);
    struct peer_id peer = key_pair_peer_id(n->key);
    peer_id_text(&peer, id);
    (void)snprintf(n->addr + strlen(n->addr), sizeof(n->addr) - strlen(n->addr), "/p2p/%s", id);
    n->config->identity = n->key;
    assert_int_equal(budget_init(&n->budget, BUDGET_DEFAULT_MIB * MIB), ERR_OK);
}

static void plant(struct pair_node *n, struct runtime_config *config)
{
    tree_describe(config);
    memcpy(n->classes, config->classes, sizeof(n->classes));
    memcpy(n->edges, config->edges, config->edge_count * sizeof(*n->edges));
    n->edges[config->edge_count++] = (struct edge_spec){PAIR_CLIENT, ACTOR_CONTROL};
    if (n->index == PAIR_VICTIM)
        watch(n);
    n->classes[PAIR_CLIENT] = &client_class;
    n->children[0] = (struct child_spec){
        .id = "hearth", .type = CHILD_SUPERVISOR, .tree = config->tree, .restart = RESTART_PERMANENT};
    n->children[1] =
        (struct child_spec){.id = "client", .type = CHILD_WORKER, .start = PAIR_CLIENT, .restart = RESTART_PERMANENT};
    n->tree = (struct supervisor_spec){.name = "root",
                                       .strategy = STRATEGY_ONE_FOR_ONE,
                                       .intensity = 10,
                                       .period_ms = 60000,
                                       .children = n->children,
                                       .child_count = 2};
    config->classes = n->classes;
    config->class_count = ACTOR_COUNT;
    config->tree = &n->tree;
    config->edges = n->edges;
}

static void note(void *arg, enum log_level level, const char *actor, const char *text)
{
    (void)level;
    if (getenv("PAIR_LOG") != NULL)
        (void)fprintf(stderr, "%u %s: %s\n", ((struct pair_node *)arg)->index, actor, text);
}

static void start(struct pair_node *n)
{
    char why[256] = "";
    struct net_addr ip = sim_net_ip(n->index + 1);
    configure(n);
    buf_init(&n->request, REQUEST_BYTES_MAX, NULL);
    buf_init(&n->answer, REQUEST_BYTES_MAX * 2, NULL);
    n->host = sim_net_add_host(net, &ip);
    n->disk = sim_disk_new(n->index + 1, 256 * MIB);
    assert_true(n->host != NULL && n->disk != NULL);
    real_port = sim_disk_port(n->disk);
    n->port = *real_port;
    n->port.open = counted_open;
    n->port.close = counted_close;
    assert_int_equal(n->port.make_dir(n->port.self, n->config->path), ERR_OK);
    struct runtime_config config = {.name = n->config->path + 1,
                                    .backend = &backend_sim,
                                    .backend_arg = sim,
                                    .config = n->config,
                                    .budget = &n->budget,
                                    .disk = &n->port,
                                    .loop = sim_host_loop(n->host),
                                    .log = note,
                                    .log_arg = n,
                                    .log_level = LOG_INFO};
    plant(n, &config);
    if (runtime_start(&config, &n->rt, why, sizeof(why)) != ERR_OK)
        fail_msg("node %u does not start: %s", n->index, why);
}

void pair_begin(uint64_t seed)
{
    memset(nodes, 0, sizeof(nodes));
    memset(&blow, 0, sizeof(blow));
    files_open = 0;
    sim = sim_new(seed);
    net = sim_net_new(sim);
    assert_non_null(net);
    for (unsigned i = 0; i < PAIR_NODES; i++) {
        nodes[i].index = i;
        start(&nodes[i]);
    }
}

void pair_end(void)
{
    for (unsigned i = 0; i < PAIR_NODES; i++) {
        struct pair_node *n = &nodes[i];
        assert_int_equal(runtime_stop(&n->rt, 10 * SECOND_NS), RUNTIME_EXIT_OK);
        for (size_t a = 0; a < ACCOUNT_COUNT; a++)
            if (account_used(&n->budget.accounts[a]) != 0)
                fail_msg("node %u ends with %llu bytes of %s", i,
                         (unsigned long long)account_used(&n->budget.accounts[a]), n->budget.accounts[a].name);
        sim_disk_free(n->disk);
        config_free(n->config);
        key_pair_free(n->key);
        buf_release(&n->request);
        buf_release(&n->answer);
    }
    assert_int_equal(files_open, 0);
    sim_net_free(net);
    sim_free(sim);
}

void pair_pass_s(uint64_t seconds)
{
    sim_run_until(sim, sim_now(sim) + seconds * SECOND_NS);
}

const char *pair_addr(unsigned node)
{
    return nodes[node].addr;
}

/* ---- questions ---- */

static bool is_over(void *arg)
{
    const struct pair_node *n = arg;
    return n->state == CLIENT_ANSWERED || n->state == CLIENT_STRUCK;
}

bool pair_ask(unsigned node, const char *op, struct span args, struct answer *ret_answer)
{
    struct pair_node *n = &nodes[node];
    const struct request request = {.op = span_text(op), .args = args, .timeout_ms = ASK_S * 1000};
    buf_clear(&n->request);
    buf_clear(&n->answer);
    assert_int_equal(request_pack(&request, &n->request), ERR_OK);
    n->state = CLIENT_GIVEN;
    if (!sim_run_while_not(sim, is_over, n, 2 * (uint64_t)ASK_S * SECOND_NS))
        fail_msg("%s is not answered", op);
    bool answered = n->state == CLIENT_ANSWERED;
    n->state = CLIENT_IDLE;
    if (!answered)
        return false;
    if (n->err != ERR_OK || answer_unpack(buf_span(&n->answer), ret_answer) != ERR_OK)
        fail_msg("%s: %s", op, err_text(n->err));
    return true;
}

/* ---- what is held ---- */

static uint64_t count_rows(const struct pair_node *n)
{
    char path[64];
    sqlite3 *db;
    sqlite3_stmt *statement;
    struct sqlite_vfs *vfs;
    struct sim_disk *copy = sim_disk_clone(n->disk); /* as another process would read it */
    (void)snprintf(path, sizeof(path), "%s/state.db", n->config->path);
    assert_int_equal(sqlite_vfs_open(sim_disk_port(copy), &vfs), ERR_OK);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, sqlite_vfs_name(vfs)), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT (SELECT count(*) FROM wants) + (SELECT count(*) FROM transfers)",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    uint64_t rows = (uint64_t)sqlite3_column_int64(statement, 0);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    sqlite_vfs_close(vfs);
    sim_disk_free(copy);
    return rows;
}

uint64_t pair_rows(void)
{
    return count_rows(&nodes[0]) + count_rows(&nodes[1]);
}

/* Of all scopes that `swarm resources` names, so each stream counts a few times. */
static uint64_t count_streams(unsigned node)
{
    struct answer answer;
    struct span list;
    struct walk_token token;
    uint64_t sum = 0;
    assert_true(pair_ask(node, "swarm resources", (struct span){0}, &answer) && answer.ok);
    struct walk walk = {0};
    assert_int_equal(walk_find(answer.result, "resources", &list), ERR_OK);
    walk.left = list;
    assert_int_equal(walk_next(&walk, &token), ERR_OK);
    for (uint32_t i = 0; i < token.count; i++) {
        struct span row;
        struct span name;
        uint64_t used = 0;
        assert_int_equal(walk_skip(&walk, &row), ERR_OK);
        assert_int_equal(walk_find_text(row, "name", &name), ERR_OK);
        if (memmem(name.data, name.len, "treams", strlen("treams")) != NULL)
            assert_int_equal(walk_find_u64(row, "used", &used), ERR_OK);
        sum += used;
    }
    return sum;
}

static uint64_t count_jobs(struct ctx *c)
{
    uint64_t count = 0;
    for (const struct job *job = c->jobs.running; job != NULL; job = job->next)
        count++;
    return count;
}

/* Now and then something is said on any node; what stays is of interest. */
static void look_at_mailboxes(struct pair_measure *measure)
{
    for (unsigned i = 0; i < PAIR_NODES; i++) {
        struct pair_node_measure *m = &measure->node[i];
        for (size_t a = 1; a < ACTOR_COUNT; a++) {
            struct ctx *c = actor_of(nodes[i].rt, (actor_id)a);
            m->mailbox[a] = MIN(m->mailbox[a], box_records(box_held(&c->shared->box)));
        }
        m->accounts[ACCOUNT_MAILBOX] =
            MIN(m->accounts[ACCOUNT_MAILBOX], account_used(&nodes[i].budget.accounts[ACCOUNT_MAILBOX]));
    }
}

void pair_measure(struct pair_measure *ret_measure)
{
    memset(ret_measure, 0, sizeof(*ret_measure));
    for (unsigned i = 0; i < PAIR_NODES; i++) {
        struct pair_node_measure *m = &ret_measure->node[i];
        m->streams = count_streams(i);
        m->rows = count_rows(&nodes[i]);
        m->sockets = sim_host_sockets(nodes[i].host);
        for (size_t a = 0; a < ACCOUNT_COUNT; a++)
            m->accounts[a] = account_used(&nodes[i].budget.accounts[a]);
        for (size_t a = 1; a < ACTOR_COUNT; a++) {
            struct ctx *c = actor_of(nodes[i].rt, (actor_id)a);
            m->calls[a] = c->calls.count;
            m->timers[a] = c->timers.count;
            m->jobs[a] = count_jobs(c);
            m->mailbox[a] = UINT64_MAX;
        }
    }
    ret_measure->files = files_open;
    for (int i = 0; i < LOOKS; i++) {
        look_at_mailboxes(ret_measure);
        sim_run_until(sim, sim_now(sim) + LOOK_MS * MS_NS);
    }
}

static void expect_row(const char *what, unsigned node, const char *of, const char *name, uint64_t now, uint64_t then)
{
    if (now > then)
        fail_msg("%s: node %u holds %llu %s of %s, not %llu", what, node, (unsigned long long)now, of, name,
                 (unsigned long long)then);
}

void pair_expect_no_more(const struct pair_measure *now, const struct pair_measure *then, const char *what)
{
    for (unsigned i = 0; i < PAIR_NODES; i++) {
        const struct pair_node_measure *n = &now->node[i];
        const struct pair_node_measure *t = &then->node[i];
        for (size_t a = 0; a < ACCOUNT_COUNT; a++) {
            uint64_t spare = a == ACCOUNT_TABLES ? PAIR_TABLES_SPARE : 0;
            expect_row(what, i, "bytes", nodes[i].budget.accounts[a].name, n->accounts[a], t->accounts[a] + spare);
        }
        for (size_t a = 1; a < ACTOR_COUNT; a++) {
            const char *name = nodes[i].classes[a]->name;
            expect_row(what, i, "calls", name, n->calls[a], t->calls[a]);
            expect_row(what, i, "timers", name, n->timers[a], t->timers[a]);
            expect_row(what, i, "jobs", name, n->jobs[a], t->jobs[a]);
            expect_row(what, i, "records", name, n->mailbox[a], t->mailbox[a]);
        }
        expect_row(what, i, "sockets", "the network", n->sockets, t->sockets);
        expect_row(what, i, "rows", "state.db", n->rows, t->rows);
        expect_row(what, i, "streams", "its connections", n->streams, t->streams);
    }
    expect_row(what, 0, "open files", "both disks", now->files, then->files);
}
