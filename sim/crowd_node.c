/* SPDX-License-Identifier: MIT */
/* A node of a crowd: what it has, and its lives. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "schemas/config.h"
#include "sim/crowd_internal.h"
#include "sim/disk.h"
#include "sim/globe.h"

enum { DISK_MIB = 64, ADDRESS_TRIES = 100, KNOWN_BOOTSTRAPS = 4, STOP_SECONDS = 30, BOOTSTRAP_CONNECTIONS = 1000 };

/* ---- which actors ---- */

static void keep_wanted(struct crowd_tree *tree, const struct supervisor_spec *from, struct supervisor_spec *to)
{
    struct child_spec *children = tree->children[to - tree->supervisors];
    *to = *from;
    to->children = children;
    to->child_count = 0;
    for (size_t i = 0; i < from->child_count && to->child_count < CROWD_CHILDREN_MAX; i++) {
        struct child_spec child = from->children[i];
        if (child.type == CHILD_SUPERVISOR) {
            struct supervisor_spec *sub = &tree->supervisors[++tree->used];
            keep_wanted(tree, child.tree, sub);
            child.tree = sub;
            if (sub->child_count > 0)
                children[to->child_count++] = child;
        } else if (tree->wanted[child.start]) {
            children[to->child_count++] = child;
        }
    }
}

enum err crowd_tree_choose(struct crowd *c)
{
    struct crowd_tree *tree = &c->tree;
    struct config *plain;
    enum err err = config_new("/", &plain);
    if (err != ERR_OK)
        return err;
    struct runtime_config described = {.config = plain};
    tree_describe(&described);
    memcpy(tree->classes, described.classes, sizeof(tree->classes[0]) * described.class_count);
    tree->classes[ACTOR_CONTROL] = &crowd_driver_class;
    tree->wanted[ACTOR_CONTROL] = true;
    memcpy(tree->sybils, tree->classes, sizeof(tree->sybils));
    tree->sybils[ACTOR_DISCOVERY] = &crowd_sybil_class;
    const char *name = c->options->actors == NULL ? "connection_manager,discovery,state" : c->options->actors;
    while (*name != '\0' && err == ERR_OK) {
        size_t len = strcspn(name, ",");
        size_t id = 1;
        while (id < described.class_count && !span_equal_text(span_of(name, len), tree->classes[id]->name))
            id++;
        if (id == described.class_count) {
            (void)snprintf(c->why, CROWD_WHY_BYTES, "there is no actor %.*s", (int)MIN(len, (size_t)40), name);
            err = ERR_INVALID;
        } else {
            tree->wanted[id] = true;
        }
        name += len + (name[len] == ',');
    }
    if (err == ERR_OK && !tree->wanted[ACTOR_CONNECTION_MANAGER]) {
        (void)snprintf(c->why, CROWD_WHY_BYTES, "a crowd without connection_manager would be silent");
        err = ERR_INVALID;
    }
    keep_wanted(tree, described.tree, &tree->supervisors[0]);
    memcpy(c->whole.classes, described.classes, sizeof(c->whole.classes[0]) * described.class_count);
    c->whole.classes[ACTOR_CONTROL] = &crowd_provider_class;
    for (size_t i = 0; i < ACTOR_COUNT; i++)
        c->whole.wanted[i] = true;
    keep_wanted(&c->whole, described.tree, &c->whole.supervisors[0]);
    config_free(plain);
    return err;
}

/* ---- what it has ---- */

void crowd_node_addr(const struct crowd_node *n, char to[CROWD_ADDR_MAX])
{
    char id[PEER_ID_TEXT_MAX];
    peer_id_text(&n->id, id);
    (void)snprintf(to, CROWD_ADDR_MAX, "/ip4/%u.%u.%u.%u/tcp/%d/p2p/%s", n->ip.ip[0], n->ip.ip[1], n->ip.ip[2],
                   n->ip.ip[3], CROWD_PORT, id);
}

/* Some of the bootstrap nodes, never itself; the list that a release would carry is as long. */
static void list_bootstraps(struct crowd *c, unsigned number, char *to, size_t size)
{
    size_t len = 0;
    unsigned first = (unsigned)prng_below(&c->prng, c->bootstraps);
    to[0] = '\0';
    for (unsigned i = 0, taken = 0; i < c->bootstraps && taken < KNOWN_BOOTSTRAPS; i++) {
        unsigned at = (first + i) % c->bootstraps;
        char addr[CROWD_ADDR_MAX];
        if (at >= number) /* itself, or one that is not there yet */
            continue;
        crowd_node_addr(&c->nodes[at], addr);
        len += (size_t)snprintf(to + len, size - len, "%s%s", taken == 0 ? "" : ",", addr);
        taken++;
    }
}

static bool is_provider(const struct crowd_node *n)
{
    return n->number >= n->crowd->options->nodes + n->crowd->options->sybils;
}

static bool is_sybil(const struct crowd_node *n)
{
    return n->number >= n->crowd->options->nodes && !is_provider(n);
}

static enum err limit_connections(struct config *config, unsigned most, const char *grace)
{
    char high[16];
    char low[16];
    char why[CONFIG_WHY_BYTES];
    (void)snprintf(high, sizeof(high), "%u", most);
    (void)snprintf(low, sizeof(low), "%u", most / 2);
    enum err err = config_set(config, "Swarm.ConnMgr.HighWater", span_text(high), why);
    if (err == ERR_OK)
        err = config_set(config, "Swarm.ConnMgr.LowWater", span_text(low), why);
    return err == ERR_OK ? config_set(config, "Swarm.ConnMgr.GracePeriod", span_text(grace), why) : err;
}

static enum err configure(struct crowd *c, struct crowd_node *n)
{
    char path[32];
    char addr[64];
    char bootstrap[KNOWN_BOOTSTRAPS * CROWD_ADDR_MAX];
    char why[CONFIG_WHY_BYTES];
    (void)snprintf(path, sizeof(path), "/node-%u", n->number);
    (void)snprintf(addr, sizeof(addr), "/ip4/%u.%u.%u.%u/tcp/%d", n->ip.ip[0], n->ip.ip[1], n->ip.ip[2], n->ip.ip[3],
                   CROWD_PORT);
    list_bootstraps(c, n->number, bootstrap, sizeof(bootstrap));
    enum err err = config_new(path, &n->config);
    const char *const settings[][2] = {
        {"Addresses.Swarm", addr},
        {"Bootstrap", bootstrap},
        {"Discovery.MDNS.Enabled", "false"},
        {"Provide.Enabled",
         is_provider(n) ? "true" : "false"}, /* they store nothing: its tables would be for nothing */
        {"Routing.Type",
         "dhtserver"}, /* a node that waits to be dialled first is in no table, and this is about tables */
        {"Swarm.Transports.Security", "noise"}, /* OpenSSL's own randomness would not repeat */
    };
    for (size_t i = 0; i < ARRAY_LEN(settings) && err == ERR_OK; i++)
        err = config_set(n->config, settings[i][0], span_text(settings[i][1]), why);
    if (err == ERR_OK && n->number < c->bootstraps) /* as those who run one do */
        err = limit_connections(n->config, BOOTSTRAP_CONNECTIONS, "20s");
    else if (err == ERR_OK && c->options->connections > 0)
        err = limit_connections(n->config, c->options->connections, "5s");
    if (err == ERR_OK && is_provider(n)) /* the last one is told what to provide */
        err = config_set(n->config, "Provide.Strategy",
                         span_text(n->number + 1 < crowd_size(c->options) ? "all" : "off"), why);
    if (err == ERR_OK)
        n->config->identity = n->identity;
    return err;
}

static enum err place(struct crowd *c, struct crowd_node *n)
{
    if (is_sybil(n) && !c->options->sybils_spread) {
        n->ip = globe_address(c->options->seed, c->options->nodes, 0); /* of all of them, but for its last byte */
        n->ip.ip[3] = (uint8_t)(1 + n->number - c->options->nodes);
        n->host = sim_net_add_host(c->net, &n->ip);
    }
    for (unsigned attempt = 0; attempt < ADDRESS_TRIES && n->host == NULL; attempt++) {
        n->ip = globe_address(c->options->seed, n->number, attempt);
        n->host = sim_net_add_host(c->net, &n->ip);
    }
    return n->host == NULL ? ERR_NOMEM : ERR_OK;
}

enum err crowd_node_prepare(struct crowd *c, unsigned number)
{
    struct crowd_node *n = &c->nodes[number];
    uint8_t seed[ED25519_SEED_BYTES] = {(uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16), 1};
    n->crowd = c;
    n->number = number;
    n->change_at_ns = UINT64_MAX;
    n->last = &n->first;
    for (size_t i = 0; i < sizeof(uint64_t); i++)
        seed[8 + i] = (uint8_t)(c->options->seed >> 8 * i);
    enum err err = place(c, n);
    if (err == ERR_OK && is_sybil(n))
        err = crowd_sybil_identity(c->options->seed, number, crowd_sybil_bits(c->options->nodes), &n->identity);
    else if (err == ERR_OK)
        err = key_pair_of_seed(seed, &n->identity);
    if (err == ERR_OK) {
        n->id = key_pair_peer_id(n->identity);
        err = configure(c, n);
    }
    if (err != ERR_OK)
        return err;
    n->disk = sim_disk_new(c->options->seed + number, DISK_MIB * MIB);
    if (n->disk == NULL)
        return ERR_NOMEM;
    sim_disk_set_steady(n->disk);
    const struct disk_port *disk = sim_disk_port(n->disk);
    return disk->make_dir(disk->self, n->config->path);
}

/* ---- its lives ---- */

enum err crowd_node_start(struct crowd_node *n)
{
    struct crowd *c = n->crowd;
    struct runtime_config config = {.name = n->config->path + 1,
                                    .backend = &backend_sim,
                                    .backend_arg = c->sim,
                                    .config = n->config,
                                    .budget = &n->budget,
                                    .disk = sim_disk_port(n->disk),
                                    .loop = sim_host_loop(n->host),
                                    .log = c->options->log,
                                    .log_level = LOG_INFO};
    enum err err = budget_init(&n->budget, BUDGET_DEFAULT_MIB * MIB);
    if (err != ERR_OK)
        return err;
    sim_host_set_power(n->host, true);
    tree_describe(&config);
    const struct crowd_tree *tree = is_provider(n) ? &c->whole : &c->tree;
    config.classes = is_sybil(n) ? tree->sybils : tree->classes;
    config.tree = &tree->supervisors[0];
    return runtime_start(&config, &n->runtime, c->why, CROWD_WHY_BYTES);
}

void crowd_node_stop(struct crowd_node *n, bool silently)
{
    if (silently)
        sim_host_set_power(n->host, false);
    if (n->runtime != NULL)
        (void)runtime_stop(&n->runtime, STOP_SECONDS * SECOND_NS);
    while (n->first != NULL)
        crowd_task_end(n->first, TASK_VOID, ERR_CLOSED);
}

void crowd_node_release(struct crowd_node *n)
{
    config_free(n->config);
    key_pair_free(n->identity);
    sim_disk_free(n->disk);
}
