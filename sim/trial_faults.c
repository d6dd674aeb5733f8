/* SPDX-License-Identifier: MIT */
/* What is done to nodes and links, and when. */
#include "schemas/config.h"
#include "sim/disk.h"
#include "sim/globe.h"
#include "sim/trial_internal.h"

enum {
    PART_SECONDS = 60,
    ONE_WAY_SECONDS = 30,
    SLOW_SECONDS = 60,
    SLOW_BYTES_MIN = 20 * 1000,
    SLOW_BYTES_MAX = 1000 * 1000,
    AWAY_SECONDS = 20,
    FULL_SECONDS = 30,
    STALL_MS_MAX = 2000,
    HOUR_SECONDS = 3600
};
#define TEN_YEARS_NS (INT64_C(10) * 365 * 24 * HOUR_SECONDS * (int64_t)SECOND_NS)

/* ---- links ---- */

static bool is_cut(const struct trial_node *from, const struct trial_node *to, uint64_t now)
{
    bool parted = (from->part_until_ns > now || to->part_until_ns > now) && from->part != to->part;
    return parted || from->one_way_until_ns > now;
}

/* The same for a pair in both directions, and over time, but for jitter and faults. */
static void change_link(void *arg, unsigned from, unsigned to, struct sim_link *link)
{
    const struct trial *t = arg;
    const struct trial_node *a = &t->nodes[from];
    const struct trial_node *b = &t->nodes[to];
    uint64_t now = sim_now(t->sim);
    uint64_t half = t->plan->latency_ns / 2;
    link->latency_ns = half + globe_latency_ns(t->plan->seed, from, to) % (half + 1);
    link->jitter_ns = t->phase == PHASE_SAFETY ? t->plan->jitter_ns : 0;
    link->connect_loss = t->phase == PHASE_SAFETY ? t->plan->connect_loss : 0;
    if (t->phase != PHASE_SAFETY)
        return;
    link->cut = is_cut(a, b, now);
    if (a->slow_until_ns > now)
        link->bytes_per_second = a->slow_bytes;
    if (b->slow_until_ns > now)
        link->bytes_per_second = MIN(link->bytes_per_second, b->slow_bytes);
}

/* ---- times ---- */

static uint64_t next_after(struct trial *t, enum trial_fault fault)
{
    uint64_t every = t->plan->every_ns[fault];
    return every == 0 ? UINT64_MAX : sim_now(t->sim) + trial_draw(t, every);
}

void trial_faults_prepare(struct trial *t)
{
    sim_net_set_links(t->net, change_link, t);
}

void trial_faults_begin(struct trial *t)
{
    for (unsigned i = 0; i < t->plan->nodes; i++) {
        for (unsigned f = 0; f < TRIAL_FAULTS; f++)
            t->nodes[i].next_ns[f] = next_after(t, (enum trial_fault)f);
        sim_disk_set_rates(t->nodes[i].disk, t->plan->disk_per_million);
    }
}

static struct trial_node *first_due(const struct trial *t, enum trial_fault *ret_fault)
{
    struct trial_node *first = &t->nodes[0];
    *ret_fault = FAULT_PART;
    for (unsigned i = 0; i < t->plan->nodes; i++) {
        for (unsigned f = 0; f < TRIAL_FAULTS; f++) {
            if (t->nodes[i].next_ns[f] < first->next_ns[*ret_fault]) {
                first = &t->nodes[i];
                *ret_fault = (enum trial_fault)f;
            }
        }
    }
    return first;
}

uint64_t trial_faults_next(const struct trial *t)
{
    enum trial_fault fault;
    const struct trial_node *n = first_due(t, &fault);
    return n->next_ns[fault];
}

/* ---- what they do ---- */

static uint64_t up_to_seconds(struct trial *t, uint64_t seconds)
{
    return 1 + prng_below(&t->prng, seconds * SECOND_NS);
}

static void part(struct trial *t, uint64_t until_ns)
{
    for (unsigned i = 0; i < t->plan->nodes; i++) {
        t->nodes[i].part = (unsigned)prng_below(&t->prng, 2);
        t->nodes[i].part_until_ns = until_ns;
    }
}

static void each_link(struct trial_node *n,
                      void (*each)(struct sim_net *, const struct sim_host *, const struct sim_host *))
{
    struct trial *t = n->trial;
    for (unsigned i = 0; i < t->plan->nodes; i++)
        if (i != n->number)
            each(t->net, n->host, t->nodes[i].host);
}

static unsigned some_actor(struct trial *t)
{
    static const unsigned actors[] = {ACTOR_STATE,        ACTOR_TIERED_STORAGE,
                                      ACTOR_HEAT_TRACKER, ACTOR_CONNECTION_MANAGER,
                                      ACTOR_DISCOVERY,    ACTOR_BITSWAP};
    return actors[prng_below(&t->prng, ARRAY_LEN(actors))];
}

static void strike_network(struct trial_node *n, enum trial_fault fault)
{
    struct trial *t = n->trial;
    uint64_t now = sim_now(t->sim);
    if (fault == FAULT_PART) {
        part(t, now + up_to_seconds(t, PART_SECONDS));
        trial_note_fault(t, n, "the network is in two parts for %.1f s", (double)(n->part_until_ns - now) / 1e9);
    } else if (fault == FAULT_ONE_WAY) {
        n->one_way_until_ns = now + up_to_seconds(t, ONE_WAY_SECONDS);
        trial_note_fault(t, n, "nothing it sends arrives for %.1f s", (double)(n->one_way_until_ns - now) / 1e9);
    } else if (fault == FAULT_SLOW) {
        n->slow_until_ns = now + up_to_seconds(t, SLOW_SECONDS);
        n->slow_bytes = SLOW_BYTES_MIN + prng_below(&t->prng, SLOW_BYTES_MAX - SLOW_BYTES_MIN);
        trial_note_fault(t, n, "its links carry %llu kB/s for %.1f s", (unsigned long long)n->slow_bytes / 1000,
                         (double)(n->slow_until_ns - now) / 1e9);
    } else if (fault == FAULT_FORGET) {
        trial_note_fault(t, n, "its connections are half-open");
        each_link(n, sim_net_forget);
    } else {
        trial_note_fault(t, n, "its connections are reset");
        each_link(n, sim_net_reset);
    }
}

static void strike_disk(struct trial_node *n, enum trial_fault fault)
{
    struct trial *t = n->trial;
    uint64_t now = sim_now(t->sim);
    if (fault == FAULT_FULL) {
        n->full_until_ns = now + up_to_seconds(t, FULL_SECONDS);
        trial_note_fault(t, n, "its disk is full for %.1f s", (double)(n->full_until_ns - now) / 1e9);
        sim_disk_resize(n->disk, 0);
        return;
    }
    uint64_t away_ns = fault == FAULT_KILL ? SECOND_NS : up_to_seconds(t, AWAY_SECONDS);
    trial_note_fault(t, n, fault == FAULT_KILL ? "kill -9" : "it loses its power");
    trial_node_end(n, fault == FAULT_KILL ? TRIAL_END_KILL : TRIAL_END_POWER, away_ns);
}

static void strike_actor(struct trial_node *n, enum trial_fault fault)
{
    struct trial *t = n->trial;
    unsigned actor = some_actor(t);
    struct trial_plot *plot = &n->plots[actor];
    uint64_t stall_ns = 1 + prng_below(&t->prng, STALL_MS_MAX * MS_NS);
    const char *name = journal_actor_name(actor);
    if (fault == FAULT_STALL) {
        plot->stall_ns = stall_ns;
        trial_note_fault(t, n, "%s is to stall for %.3f s", name, (double)stall_ns / 1e9);
        return;
    }
    plot->exits = true;
    plot->fails_start = fault == FAULT_START;
    trial_note_fault(t, n, "%s is to end%s", name, plot->fails_start ? " and to fail its start" : "");
}

static void jump(struct trial_node *n)
{
    static const int64_t jumps[] = {INT64_C(3600) * 1000000000, INT64_C(-3600) * 1000000000, TEN_YEARS_NS,
                                    -TEN_YEARS_NS};
    struct trial *t = n->trial;
    n->clock_off_ns = jumps[prng_below(&t->prng, ARRAY_LEN(jumps))];
    trial_note_fault(t, n, "its clock is off by %.0f s", (double)n->clock_off_ns / 1e9);
}

void trial_faults_strike(struct trial *t)
{
    enum trial_fault fault;
    struct trial_node *n = first_due(t, &fault);
    n->next_ns[fault] = next_after(t, fault);
    if (n->runtime == NULL)
        return;
    t->result.faults[fault]++;
    switch (fault) {
    case FAULT_PART:
    case FAULT_ONE_WAY:
    case FAULT_FORGET:
    case FAULT_RESET:
    case FAULT_SLOW:
        strike_network(n, fault);
        break;
    case FAULT_POWER:
    case FAULT_KILL:
    case FAULT_FULL:
        strike_disk(n, fault);
        break;
    case FAULT_EXIT:
    case FAULT_STALL:
    case FAULT_START:
        strike_actor(n, fault);
        break;
    case FAULT_CLOCK:
        jump(n);
        break;
    case TRIAL_FAULTS:
        break;
    }
}

void trial_faults_end(struct trial *t)
{
    for (unsigned i = 0; i < t->plan->nodes; i++) {
        struct trial_node *n = &t->nodes[i];
        for (unsigned f = 0; f < TRIAL_FAULTS; f++)
            n->next_ns[f] = UINT64_MAX;
        for (unsigned f = 0; f < SIM_FAULT_COUNT; f++)
            t->result.disk_faults[f] += sim_disk_struck(n->disk, (enum sim_disk_fault)f);
        sim_disk_set_rates(n->disk, NULL);
        sim_disk_resize(n->disk, TRIAL_DISK_MIB * MIB);
        t->result.connects_lost += sim_host_traffic(n->host).dials_lost;
        n->full_until_ns = 0;
        n->clock_off_ns = 0;
        for (unsigned a = 0; a < ACTOR_COUNT; a++)
            n->plots[a] = (struct trial_plot){0};
    }
}
