/* SPDX-License-Identifier: MIT */
#include "sim/swarm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/tree.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "sim/disk.h"
#include "sim/net.h"
#include "sim/sim.h"
#include "wire/cid.h"
#include "wire/keys.h"
#include "wire/multihash.h"

enum { WINDOW = 16, START_TAG = 1 << 30, CONNECT_TAG, TICK_MS = 50, CALL_SECONDS = 30, DISK_MIB = 512 };

struct swarm;

struct node {
    struct swarm *swarm;
    unsigned number;
    struct sim_host *host;
    struct sim_disk *disk;
    struct config *config;
    struct key_pair *identity;
    struct budget budget;
    const struct actor_class *classes[ACTOR_COUNT];
    struct runtime *runtime;
    bool done;
    unsigned fetched;
};

struct swarm {
    const struct swarm_options *options;
    struct sim *sim;
    struct sim_net *net;
    struct node nodes[SWARM_NODES_MAX];
    bool stored; /* node 0 holds all blocks */
    char *why;
};

/* The driver finds its node by this: the simulator is one thread, and one swarm plays at a time. */
static struct swarm *playing;

/* ---- the driver actor ---- */

struct driver {
    struct node *node;
    unsigned next;
    unsigned in_flight;
    bool connected;
};

static struct node *node_of(const struct config *config)
{
    for (unsigned i = 0; i < playing->options->nodes; i++) {
        if (playing->nodes[i].config == config)
            return &playing->nodes[i];
    }
    return NULL;
}

static struct block_ref *make_block(unsigned index, struct cid *ret_cid)
{
    struct block_ref *block = block_ref_new(playing->options->block_bytes, NULL);
    if (block == NULL)
        return NULL;
    struct prng prng;
    prng_init(&prng, playing->options->seed * 1000003 + index);
    prng_fill(&prng, block->data, block->len);
    struct multihash hash;
    if (multihash_sum(MULTIHASH_SHA2_256, SHA256_BYTES, block_ref_span(block), &hash) != ERR_OK) {
        block_ref_unref(block);
        return NULL;
    }
    *ret_cid = cid_v1(CODEC_RAW, &hash);
    return block;
}

static void store_more(struct ctx *ctx, struct driver *d)
{
    for (; d->in_flight < WINDOW && d->next < playing->options->blocks; d->next++, d->in_flight++) {
        struct cid cid;
        uint8_t bytes[CID_BYTES_MAX];
        struct block_ref *block = make_block(d->next, &cid);
        if (block == NULL)
            return;
        struct msg_block_put put = {.cid = span_of(bytes, cid_encode(&cid, bytes))};
        const struct msg msg = {.kind = MSG_BLOCK_PUT, .fields = &put, .tail = block};
        enum err err = ctx_call(ctx, ACTOR_TIERED_STORAGE, &msg,
                                (struct call_opts){.timeout_ns = CALL_SECONDS * SECOND_NS}, d->next);
        block_ref_unref(block);
        if (err != ERR_OK)
            return;
    }
    if (d->in_flight == 0) {
        playing->stored = true;
        d->node->done = true;
    }
}

static void fetch_more(struct ctx *ctx, struct driver *d)
{
    for (; d->in_flight < WINDOW && d->next < playing->options->blocks; d->next++, d->in_flight++) {
        struct cid cid;
        uint8_t bytes[CID_BYTES_MAX];
        block_ref_unref(make_block(d->next, &cid));
        struct msg_fetch fetch = {.cid = span_of(bytes, cid_encode(&cid, bytes)), .session = 1};
        const struct msg msg = {.kind = MSG_FETCH, .fields = &fetch};
        if (ctx_call(ctx, ACTOR_BITSWAP, &msg, (struct call_opts){.timeout_ns = CALL_SECONDS * SECOND_NS}, d->next) !=
            ERR_OK)
            return;
    }
    d->node->done = d->in_flight == 0 && d->node->fetched == playing->options->blocks;
}

static void connect_to_first(struct ctx *ctx, struct driver *d)
{
    struct peer_id id = key_pair_peer_id(playing->nodes[0].identity);
    char text[PEER_ID_TEXT_MAX];
    char addr[160];
    peer_id_text(&id, text);
    (void)snprintf(addr, sizeof(addr), "%s/p2p/%s", playing->nodes[0].config->addresses_swarm.items[0], text);
    struct buf list;
    buf_init(&list, 256, NULL);
    if (schema_list_add_text(&list, span_text(addr)) == ERR_OK) {
        struct msg_peer_connect connect = {.addrs = schema_list_of(&list, 1)};
        const struct msg msg = {.kind = MSG_PEER_CONNECT, .fields = &connect};
        d->connected = ctx_call(ctx, ACTOR_CONNECTION_MANAGER, &msg,
                                (struct call_opts){.timeout_ns = CALL_SECONDS * SECOND_NS}, CONNECT_TAG) == ERR_OK;
    }
    buf_release(&list);
}

static void go_on(struct ctx *ctx, struct driver *d)
{
    if (d->node->number == 0)
        store_more(ctx, d);
    else if (playing->stored && !d->connected)
        connect_to_first(ctx, d);
    if (!d->node->done)
        (void)ctx_timer(ctx, ctx_now(ctx) + TICK_MS * MS_NS, START_TAG);
}

static void take_reply(struct ctx *ctx, struct driver *d, const struct info *info)
{
    if (info->err != ERR_OK) {
        (void)snprintf(playing->why, SWARM_WHY_BYTES, "node %u, call %u: %s (%s)", d->node->number, (unsigned)info->tag,
                       err_text(info->err), info->text);
        if (info->tag == CONNECT_TAG)
            d->connected = false; /* the next tick dials again */
        else
            d->in_flight--;
        return;
    }
    if (info->tag == CONNECT_TAG) {
        fetch_more(ctx, d);
        return;
    }
    d->in_flight--;
    if (d->node->number == 0) {
        store_more(ctx, d);
        return;
    }
    struct cid cid;
    struct block_ref *expected = make_block((unsigned)info->tag, &cid);
    if (expected != NULL && span_equal(block_ref_span(info->msg->tail), block_ref_span(expected)))
        d->node->fetched++;
    block_ref_unref(expected);
    fetch_more(ctx, d);
}

static enum err driver_init(struct ctx *ctx, void *state, const struct config *config)
{
    struct driver *d = state;
    d->node = node_of(config);
    (void)ctx_timer(ctx, ctx_now(ctx) + TICK_MS * MS_NS, START_TAG);
    return d->node == NULL ? ERR_INTERNAL : ERR_OK;
}

static void driver_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct driver *d = state;
    if (info->kind == INFO_TIMER)
        go_on(ctx, d);
    else if (info->kind == INFO_REPLY)
        take_reply(ctx, d, info);
}

static const struct actor_class driver_class = {
    .name = "driver",
    .state_bytes = sizeof(struct driver),
    .init = driver_init,
    .handle_info = driver_info,
};

/* ---- nodes ---- */

static enum err configure(struct node *n)
{
    char path[32];
    char addr[64];
    char why[CONFIG_WHY_BYTES];
    uint8_t seed[ED25519_SEED_BYTES] = {(uint8_t)n->number, 1};
    struct net_addr ip = sim_net_ip(n->number);
    (void)snprintf(path, sizeof(path), "/node-%u", n->number);
    (void)snprintf(addr, sizeof(addr), "/ip4/%u.%u.%u.%u/tcp/4001", ip.ip[0], ip.ip[1], ip.ip[2], ip.ip[3]);
    enum err err = config_new(path, &n->config);
    if (err == ERR_OK)
        err = config_set(n->config, "Addresses.Swarm", span_text(addr), why);
    if (err == ERR_OK)
        err = config_set(n->config, "Discovery.MDNS.Enabled", span_text("false"), why);
    if (err == ERR_OK) /* there is no public network, and no DNS */
        err = config_set(n->config, "Bootstrap", span_text(""), why);
    if (err == ERR_OK) /* its own randomness would not repeat */
        err = config_set(n->config, "Swarm.Transports.Security", span_text("noise"), why);
    if (err == ERR_OK)
        err = key_pair_of_seed(seed, &n->identity);
    if (err == ERR_OK)
        err = budget_init(&n->budget, BUDGET_DEFAULT_MIB * MIB);
    if (err == ERR_OK)
        n->config->identity = n->identity;
    return err;
}

static enum err start_node(struct swarm *s, unsigned number)
{
    struct node *n = &s->nodes[number];
    struct net_addr ip = sim_net_ip(number);
    n->swarm = s;
    n->number = number;
    enum err err = configure(n);
    if (err != ERR_OK)
        return err;
    n->host = sim_net_add_host(s->net, &ip);
    n->disk = sim_disk_new(s->options->seed + number, DISK_MIB * MIB);
    if (n->host == NULL || n->disk == NULL)
        return ERR_NOMEM;
    const struct disk_port *disk = sim_disk_port(n->disk);
    err = disk->make_dir(disk->self, n->config->path);
    if (err != ERR_OK)
        return err;
    struct runtime_config config = {.name = n->config->path + 1,
                                    .backend = &backend_sim,
                                    .backend_arg = s->sim,
                                    .config = n->config,
                                    .budget = &n->budget,
                                    .disk = disk,
                                    .loop = sim_host_loop(n->host),
                                    .log = s->options->log,
                                    .log_level = LOG_DEBUG};
    tree_describe(&config);
    memcpy(n->classes, config.classes, sizeof(n->classes));
    n->classes[ACTOR_CONTROL] = &driver_class;
    config.classes = n->classes;
    return runtime_start(&config, &n->runtime, s->why, SWARM_WHY_BYTES);
}

static void end_node(struct node *n)
{
    if (n->runtime != NULL)
        (void)runtime_stop(&n->runtime, 10 * SECOND_NS);
    config_free(n->config);
    key_pair_free(n->identity);
}

static bool all_done(void *arg)
{
    const struct swarm *s = arg;
    for (unsigned i = 0; i < s->options->nodes; i++) {
        if (!s->nodes[i].done)
            return false;
    }
    return true;
}

static void reset_links(void *arg)
{
    struct swarm *s = arg;
    sim_net_reset(s->net, s->nodes[0].host, s->nodes[1].host);
}

static enum err run(struct swarm *s, struct swarm_result *ret_result)
{
    enum err err = ERR_OK;
    uint64_t began = sim_now(s->sim);
    for (unsigned i = 0; i < s->options->nodes && err == ERR_OK; i++)
        err = start_node(s, i);
    if (err != ERR_OK)
        return err;
    if (s->options->reset_at_ns != 0)
        (void)sim_schedule(s->sim, began + s->options->reset_at_ns, reset_links, s);
    if (!sim_run_while_not(s->sim, all_done, s, s->options->timeout_ns))
        err = ERR_TIMEOUT;
    *ret_result = (struct swarm_result){
        .trace = sim_trace(s->sim), .steps = sim_steps(s->sim), .virtual_ns = sim_now(s->sim) - began};
    for (unsigned i = 0; i < s->options->nodes; i++)
        ret_result->fetched += s->nodes[i].fetched;
    return err;
}

enum err swarm_play(const struct swarm_options *options, struct swarm_result *ret_result, char why[SWARM_WHY_BYTES])
{
    why[0] = '\0';
    if (options->nodes < 2 || options->nodes > SWARM_NODES_MAX || options->blocks > SWARM_BLOCKS_MAX ||
        options->block_bytes == 0 || options->block_bytes > MIB)
        return ERR_INVALID;
    struct swarm *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NOMEM;
    s->options = options;
    s->why = why;
    s->sim = sim_new(options->seed);
    s->net = s->sim == NULL ? NULL : sim_net_new(s->sim);
    playing = s;
    enum err err = s->net == NULL ? ERR_NOMEM : run(s, ret_result);
    for (unsigned i = 0; i < options->nodes; i++)
        end_node(&s->nodes[i]);
    if (s->net != NULL)
        sim_net_free(s->net);
    for (unsigned i = 0; i < options->nodes; i++)
        sim_disk_free(s->nodes[i].disk);
    if (s->sim != NULL)
        sim_free(s->sim);
    playing = NULL;
    free(s);
    return err;
}
