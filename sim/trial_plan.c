/* SPDX-License-Identifier: MIT */
#include "sim/trial_plan.h"

#include <inttypes.h>
#include <string.h>

#include "base/attr.h"
#include "base/random.h"

enum { CALM_LATENCY_MS = 20, LATENCY_MS_MAX = 300, JITTER_MS_MAX = 100, LOSS_MAX = 200, RATE_MAX = 20000 };
enum { PAUSE_MS_MIN = 300, PAUSE_MS_MAX = 6000, FAULT_SECONDS_MIN = 15, FAULT_SECONDS_MAX = 150 };

static const char *const scenario_names[TRIAL_SCENARIOS] = {"calm", "network", "disk", "actors", "clock", "everything"};

static const char *const fault_names[TRIAL_FAULTS] = {"part", "one way", "forget", "reset", "slow",  "power",
                                                      "kill", "full",    "exit",   "stall", "start", "clock"};

static const char *const disk_fault_names[SIM_FAULT_COUNT] = {"write without space",     "failed write", "failed sync",
                                                              "failed sync of a folder", "failed read",  "flipped bit"};

/* Of which scenario a fault is one; TRIAL_EVERYTHING has all. */
static const enum trial_scenario fault_scenarios[TRIAL_FAULTS] = {
    [FAULT_PART] = TRIAL_NETWORK,  [FAULT_ONE_WAY] = TRIAL_NETWORK, [FAULT_FORGET] = TRIAL_NETWORK,
    [FAULT_RESET] = TRIAL_NETWORK, [FAULT_SLOW] = TRIAL_NETWORK,    [FAULT_POWER] = TRIAL_DISK,
    [FAULT_KILL] = TRIAL_DISK,     [FAULT_FULL] = TRIAL_DISK,       [FAULT_EXIT] = TRIAL_ACTORS,
    [FAULT_STALL] = TRIAL_ACTORS,  [FAULT_START] = TRIAL_ACTORS,    [FAULT_CLOCK] = TRIAL_CLOCK,
};

/* A flipped bit is for the tests of the store: what is damaged on the medium may be gone for good. */
static const enum sim_disk_fault disk_faults[] = {SIM_FAULT_WRITE_NO_SPACE, SIM_FAULT_WRITE_IO, SIM_FAULT_SYNC_IO,
                                                  SIM_FAULT_SYNC_DIR_IO, SIM_FAULT_READ_IO};

const char *trial_scenario_name(enum trial_scenario scenario)
{
    return scenario_names[scenario];
}

enum trial_scenario trial_scenario_of(const char *name)
{
    unsigned i = 0;
    while (i < TRIAL_SCENARIOS && strcmp(scenario_names[i], name) != 0)
        i++;
    return (enum trial_scenario)i;
}

const char *trial_fault_name(enum trial_fault fault)
{
    return fault_names[fault];
}

const char *trial_disk_fault_name(enum sim_disk_fault fault)
{
    return disk_fault_names[fault];
}

const char *trial_cut_name(enum sim_disk_cut cut)
{
    static const char *const names[SIM_CUT_COUNT] = {"dropped", "kept", "torn", "reordered"};
    return names[cut];
}

static uint64_t between(struct prng *prng, uint64_t low, uint64_t high)
{
    return low + prng_below(prng, high - low + 1);
}

/* Small values are as likely as large ones: between 2^n and 2^(n+1) for a random n. */
static uint64_t up_to(struct prng *prng, uint64_t high)
{
    unsigned bits = 1;
    while (bits < 63 && high >> bits != 0)
        bits++;
    return MIN(high, between(prng, 0, UINT64_C(1) << prng_below(prng, bits + 1)));
}

static bool has(enum trial_scenario scenario, enum trial_scenario part)
{
    return scenario == part || scenario == TRIAL_EVERYTHING;
}

/* Every draw is made in every scenario, so that a seed has the same load in each. */
void trial_plan_derive(struct trial_plan *plan, uint64_t seed, enum trial_scenario scenario)
{
    struct prng prng;
    prng_init(&prng, seed ^ UINT64_C(0x747269616c));
    plan->seed = seed;
    plan->scenario = scenario;
    plan->pause_ns = between(&prng, PAUSE_MS_MIN, PAUSE_MS_MAX) * MS_NS;
    plan->block_bytes_max = (size_t)between(&prng, 100, 1 + up_to(&prng, 256 * 1024) + 100);
    uint64_t latency_ms = between(&prng, 1, LATENCY_MS_MAX);
    uint64_t jitter_ms = up_to(&prng, JITTER_MS_MAX);
    uint32_t loss = (uint32_t)up_to(&prng, LOSS_MAX);
    bool bad_net = has(scenario, TRIAL_NETWORK);
    plan->latency_ns = (bad_net ? latency_ms : CALM_LATENCY_MS) * MS_NS;
    plan->jitter_ns = bad_net ? jitter_ms * MS_NS : 0;
    plan->connect_loss = bad_net ? loss : 0;
    for (size_t i = 0; i < TRIAL_FAULTS; i++) {
        bool there = prng_below(&prng, 4) != 0;
        uint64_t every_ns = between(&prng, FAULT_SECONDS_MIN, FAULT_SECONDS_MAX) * SECOND_NS;
        plan->every_ns[i] = there && has(scenario, fault_scenarios[i]) ? every_ns : 0;
    }
    memset(plan->disk_per_million, 0, sizeof(plan->disk_per_million));
    for (size_t i = 0; i < ARRAY_LEN(disk_faults); i++) {
        bool there = prng_below(&prng, 4) != 0;
        uint32_t rate = (uint32_t)up_to(&prng, RATE_MAX);
        plan->disk_per_million[disk_faults[i]] = there && has(scenario, TRIAL_DISK) ? rate : 0;
    }
}

void trial_plan_print(const struct trial_plan *plan, FILE *to)
{
    (void)fprintf(to, "  scenario %s, seed %" PRIu64 ", %u nodes, %.0f s%s\n", trial_scenario_name(plan->scenario),
                  plan->seed, plan->nodes, (double)plan->safety_ns / 1e9, plan->small ? ", few connections" : "");
    if (plan->idle)
        (void)fprintf(to, "  load: none\n");
    else
        (void)fprintf(to, "  load: an errand each %.1f s of a node, blocks up to %zu bytes\n",
                      (double)plan->pause_ns / 1e9, plan->block_bytes_max);
    (void)fprintf(to, "  links: latency up to %.0f ms, jitter %.0f ms, %" PRIu32 " of 1000 connects lost\n",
                  (double)plan->latency_ns / 1e6, (double)plan->jitter_ns / 1e6, plan->connect_loss);
    for (size_t i = 0; i < TRIAL_FAULTS; i++) {
        if (plan->every_ns[i] > 0)
            (void)fprintf(to, "  fault %s: of a node each %.0f s\n", fault_names[i], (double)plan->every_ns[i] / 1e9);
    }
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++) {
        if (plan->disk_per_million[i] > 0)
            (void)fprintf(to, "  disk: %s, %" PRIu32 " of a million\n", disk_fault_names[i], plan->disk_per_million[i]);
    }
}
