/* SPDX-License-Identifier: MIT */
/* A node of a trial: what it has, its lives and their ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/config.h"
#include "sim/disk.h"
#include "sim/globe.h"
#include "sim/trial_internal.h"

enum {
    ADDRESS_TRIES = 100,
    BOOTSTRAPS = 4,
    STOP_SECONDS = 60,
    RETRY_SECONDS = 5, /* a start that failed is tried again, as systemd would */
    SMALL_CONNECTIONS = 16
};

static void watch_disk(void *arg, enum sim_disk_op op, const char *path, uint64_t offset, uint64_t len, enum err err)
{
    const struct trial_node *n = arg;
    const char *slash = strrchr(path, '/');
    const struct journal_row row = {.type = JOURNAL_DISK,
                                    .node = (uint16_t)n->number,
                                    .kind = (uint16_t)op,
                                    .a = offset,
                                    .b = (uint32_t)len,
                                    .err = (uint8_t)err};
    trial_note(n->trial, &row, slash == NULL ? path : slash + 1);
}

/* ---- what it has ---- */

enum err trial_node_prepare(struct trial *t, unsigned number)
{
    struct trial_node *n = &t->nodes[number];
    uint64_t seed = t->plan->seed;
    uint8_t key_seed[ED25519_SEED_BYTES] = {(uint8_t)number, (uint8_t)(number >> 8), 2};
    n->trial = t;
    n->number = number;
    n->back_at_ns = UINT64_MAX;
    for (size_t i = 0; i < sizeof(seed); i++)
        key_seed[8 + i] = (uint8_t)(seed >> 8 * i);
    for (unsigned attempt = 0; attempt < ADDRESS_TRIES && n->host == NULL; attempt++) {
        n->ip = globe_address(seed, number, attempt);
        n->host = sim_net_add_host(t->net, &n->ip);
    }
    enum err err = n->host == NULL ? ERR_NOMEM : key_pair_of_seed(key_seed, &n->identity);
    if (err != ERR_OK)
        return err;
    n->id = key_pair_peer_id(n->identity);
    n->disk = sim_disk_new(seed + number, TRIAL_DISK_MIB * MIB);
    if (n->disk == NULL)
        return ERR_NOMEM;
    sim_disk_set_watch(n->disk, watch_disk, n);
    sim_disk_skip_syncs(n->disk, t->options->skip, NULL);
    return ERR_OK;
}

static void list_bootstraps(const struct trial *t, unsigned number, char *to, size_t size)
{
    size_t len = 0;
    to[0] = '\0';
    for (unsigned i = 0; i < BOOTSTRAPS && i < t->plan->nodes; i++) {
        const struct trial_node *n = &t->nodes[i];
        char id[PEER_ID_TEXT_MAX];
        if (i == number)
            continue;
        peer_id_text(&n->id, id);
        len += (size_t)snprintf(to + len, size - len, "%s/ip4/%u.%u.%u.%u/tcp/%d/p2p/%s", len == 0 ? "" : ",",
                                n->ip.ip[0], n->ip.ip[1], n->ip.ip[2], n->ip.ip[3], TRIAL_PORT, id);
    }
}

enum err trial_node_configure(struct trial *t, unsigned number)
{
    struct trial_node *n = &t->nodes[number];
    char path[32];
    char addr[64];
    char most[16];
    char bootstrap[BOOTSTRAPS * TRIAL_ADDR_MAX];
    char why[CONFIG_WHY_BYTES];
    (void)snprintf(path, sizeof(path), "/node-%u", number);
    (void)snprintf(addr, sizeof(addr), "/ip4/%u.%u.%u.%u/tcp/%d", n->ip.ip[0], n->ip.ip[1], n->ip.ip[2], n->ip.ip[3],
                   TRIAL_PORT);
    (void)snprintf(most, sizeof(most), "%d", SMALL_CONNECTIONS);
    list_bootstraps(t, number, bootstrap, sizeof(bootstrap));
    enum err err = config_new(path, &n->config);
    const char *const settings[][2] = {
        {"Addresses.Swarm", addr},
        {"Bootstrap", bootstrap},
        {"Discovery.MDNS.Enabled", "false"},
        {"Routing.Type", "dhtserver"},          /* all have public addresses */
        {"Swarm.Transports.Security", "noise"}, /* OpenSSL's own randomness would not repeat */
        {"Swarm.ConnMgr.LowWater", "8"},        /* these two in small trials only */
        {"Swarm.ConnMgr.HighWater", most},
    };
    size_t count = ARRAY_LEN(settings) - (t->plan->small ? 0 : 2);
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        err = config_set(n->config, settings[i][0], span_text(settings[i][1]), why);
    if (err != ERR_OK)
        return err;
    n->config->identity = n->identity;
    const struct disk_port *disk = sim_disk_port(n->disk);
    err = disk->make_dir(disk->self, n->config->path);
    return err == ERR_OK ? disk->sync_dir(disk->self, "/") : err;
}

void trial_node_release(struct trial_node *n)
{
    config_free(n->config);
    key_pair_free(n->identity);
    sim_disk_free(n->disk);
    history_release(&n->history);
}

/* ---- its lives ---- */

static void log_line(void *arg, enum log_level level, const char *actor, const char *text)
{
    const struct trial_node *n = arg;
    int id = actor == NULL ? -1 : journal_actor(actor);
    const struct journal_row row = {
        .type = JOURNAL_LOG, .node = (uint16_t)n->number, .actor = (uint8_t)(id < 0 ? 0 : id), .kind = (uint16_t)level};
    trial_note(n->trial, &row, text);
    if (n->trial->options->log != NULL)
        n->trial->options->log(NULL, level, actor, text);
}

void trial_node_start(struct trial_node *n)
{
    struct trial *t = n->trial;
    char why[TRIAL_WHY_BYTES] = "";
    struct runtime_config config = {.name = n->config->path + 1,
                                    .backend = &backend_sim,
                                    .backend_arg = t->sim,
                                    .config = n->config,
                                    .budget = &n->budget,
                                    .disk = sim_disk_port(n->disk),
                                    .loop = sim_host_loop(n->host),
                                    .log = log_line,
                                    .log_arg = n,
                                    .log_level = LOG_INFO};
    tree_describe(&config);
    config.classes = trial_classes(&config);
    config.event_arg = n;
    n->back_at_ns = UINT64_MAX;
    n->dead = false;
    memset(n->plots, 0, sizeof(n->plots));
    memset(n->errands, 0, sizeof(n->errands));
    history_restart(&n->history);
    if (budget_init(&n->budget, BUDGET_DEFAULT_MIB * MIB) != ERR_OK)
        abort();
    sim_host_set_power(n->host, true);
    t->result.lives++;
    enum err err = runtime_start(&config, &n->runtime, why, sizeof(why));
    trial_note_fault(t, n, "start: %s %s", err_name(err), why);
    if (err == ERR_OK)
        return;
    n->runtime = NULL;
    n->back_at_ns = sim_now(t->sim) + RETRY_SECONDS * SECOND_NS;
    if (t->phase == PHASE_LIVENESS)
        (void)snprintf(n->lacks, sizeof(n->lacks), "does not start: %.100s", why);
}

static void count_restarts(struct trial_node *n)
{
    struct actor_stats stats;
    for (size_t i = 0; i < runtime_actor_count(n->runtime); i++)
        if (runtime_actor_stats(n->runtime, i, &stats))
            n->trial->result.restarts += stats.restarts;
}

/* All that was taken must have been given back. */
static void judge_budget(struct trial_node *n)
{
    for (size_t i = 0; i < ACCOUNT_COUNT; i++) {
        const struct account *account = &n->budget.accounts[i];
        if (account_used(account) > 0)
            trial_fail(n->trial, (int)n->number, "%llu bytes of account %s are taken after the end",
                       (unsigned long long)account_used(account), account->name);
    }
}

/* What a process leaves behind: a copy of the disk as it is now; whatever the old one still writes goes nowhere. */
static struct sim_disk *take_disk(struct trial_node *n, enum trial_end how)
{
    struct trial *t = n->trial;
    struct sim_disk *disk = sim_disk_clone(n->disk);
    if (disk == NULL)
        abort();
    enum sim_disk_cut cut = SIM_CUT_KEEP;
    if (how == TRIAL_END_POWER)
        cut = (enum sim_disk_cut)sim_below(t->sim, SIM_CUT_COUNT);
    t->result.cuts[cut]++;
    sim_disk_power_cut(disk, cut, sim_random(t->sim));
    return disk;
}

void trial_node_end(struct trial_node *n, enum trial_end how, uint64_t away_ns)
{
    struct trial *t = n->trial;
    n->back_at_ns = away_ns == UINT64_MAX ? UINT64_MAX : sim_now(t->sim) + away_ns;
    if (n->runtime == NULL)
        return;
    struct sim_disk *left = how == TRIAL_END_STOP ? NULL : take_disk(n, how);
    n->dead = true;
    for (unsigned i = 0; i < t->plan->nodes && how == TRIAL_END_KILL; i++)
        sim_net_reset(t->net, n->host, t->nodes[i].host); /* as the kernel does for a process that is gone */
    if (how != TRIAL_END_STOP)
        sim_host_set_power(n->host, false);
    count_restarts(n);
    if (runtime_stop(&n->runtime, STOP_SECONDS * SECOND_NS) == RUNTIME_EXIT_STUCK)
        trial_fail(t, (int)n->number, "it did not stop within %d s", STOP_SECONDS);
    else
        judge_budget(n);
    n->runtime = NULL;
    if (left == NULL)
        return;
    sim_disk_free(n->disk);
    n->disk = left;
    sim_disk_set_watch(left, watch_disk, n);
}
