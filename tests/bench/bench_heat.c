/* SPDX-License-Identifier: MIT */
/*
 * What the heat policy costs:
 *
 *      bench_heat TRACKED HELD skewed|even [ACCESSES]
 *
 * Each of TRACKED blocks is used once, in a tier that has room for HELD of them; then ACCESSES are measured as a busy heat_tracker tells the
 * disk's policy of them: as many announced as it gathers, then each asked whether it is known (heat.db would be asked otherwise), used, and after a miss
 * admitted or not. Its mailbox and its table of scores are not in it. skewed: the logarithm of a block's number is even, so that a few get most; even:
 * all alike, which is what near caches can do nothing about. Prints one line of JSON: CPU time an access, what a read of a random line takes that has
 * to wait for the one before it, of as much memory as rows and index take, the longest of the first uses, in which tables grow, the share of a core
 * that 100,000 a second take, hits, and the bytes a tracked block takes in rows and in all.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "base/random.h"
#include "storage/tier_policy.h"

enum { ACCESSES = 5000000, ACCESSES_A_SECOND = 100000 };

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_heat: %s\n", what);
    exit(1);
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    check(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0, "no clock");
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t key_of(uint64_t id)
{
    return (id + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

static void ignore(void *context, uint64_t key)
{
    (void)context;
    (void)key;
}

static bool visit(struct tier_policy *policy, uint64_t key)
{
    bool known = heat_policy_knows(tier_policy_heat(policy), key);
    bool held = tier_policy_use(policy, key, 1, 0);
    check(known || !held, "an unknown block is held");
    if (held)
        return true;
    (void)tier_policy_admit(policy, key, 1, UINT64_MAX, ignore, NULL);
    return false;
}

/* Each block is used once. Returns what the longest of these uses took: those in which tables grow. */
static uint64_t fill(struct tier_policy *policy, uint64_t tracked)
{
    uint64_t longest = 0;
    uint64_t now = cpu_ns();
    for (uint64_t id = 0; id < tracked; id++) {
        uint64_t began = now;
        (void)visit(policy, key_of(id));
        now = cpu_ns();
        longest = MAX(longest, now - began);
    }
    return longest;
}

/* Each line names the next one, so that none can be fetched before the one before it is there. */
static double wait_ns(uint64_t bytes)
{
    enum { LINE = 64, READS = 1000000 };
    uint64_t lines = bytes / LINE;
    uint8_t *memory = malloc(lines * LINE);
    struct prng prng;
    uint32_t at = 0;
    check(memory != NULL && lines > 1, "no memory");
    prng_init(&prng, 9);
    for (uint32_t i = 0; i < lines; i++)
        memcpy(memory + (size_t)i * LINE, &i, sizeof(i));
    for (uint32_t i = (uint32_t)lines - 1; i > 0; i--) { /* one ring of all: Sattolo's shuffle */
        uint32_t mine;
        uint32_t theirs;
        uint8_t *other = memory + (size_t)prng_below(&prng, i) * LINE;
        memcpy(&mine, memory + (size_t)i * LINE, sizeof(mine));
        memcpy(&theirs, other, sizeof(theirs));
        memcpy(memory + (size_t)i * LINE, &theirs, sizeof(theirs));
        memcpy(other, &mine, sizeof(mine));
    }
    uint64_t began = cpu_ns();
    for (int i = 0; i < READS; i++)
        memcpy(&at, memory + (size_t)at * LINE, sizeof(at));
    double ns = (double)(cpu_ns() - began) / READS;
    check(at < lines, "the ring is broken"); /* also keeps the reads */
    free(memory);
    return ns;
}

static uint64_t *keys_of(uint64_t accesses, uint64_t tracked, bool skewed)
{
    struct prng prng;
    uint64_t *keys = malloc(accesses * sizeof(*keys));
    check(keys != NULL, "no memory");
    prng_init(&prng, 7);
    for (uint64_t i = 0; i < accesses; i++) {
        double even = (double)prng_below(&prng, UINT32_MAX) / UINT32_MAX;
        uint64_t id = skewed ? (uint64_t)exp(even * log((double)tracked)) - 1 : prng_below(&prng, tracked);
        keys[i] = key_of(MIN(id, tracked - 1));
    }
    return keys;
}

int main(int argc, char **argv)
{
    check(argc >= 4, "which TRACKED, HELD, skewed or even?");
    uint64_t tracked = strtoull(argv[1], NULL, 10);
    uint64_t held = strtoull(argv[2], NULL, 10);
    uint64_t accesses = argc > 4 ? strtoull(argv[4], NULL, 10) : ACCESSES;
    struct account account;
    account_init(&account, "bench", UINT64_MAX);
    struct tier_policy *policy = tier_policy_new(&(struct tier_policy_config){.kind = TIER_POLICY_HEARTH,
                                                                              .goal = HEAT_GOAL_BYTES,
                                                                              .capacity_bytes = held,
                                                                              .blocks_max = (uint32_t)tracked,
                                                                              .account = &account});
    check(policy != NULL, "no memory");
    uint64_t longest = fill(policy, tracked);
    uint64_t *keys = keys_of(accesses, tracked, strcmp(argv[3], "skewed") == 0);
    uint64_t hits = 0;
    uint64_t began = cpu_ns();
    for (uint64_t i = 0; i < accesses; i++) {
        if (i % TIER_POLICY_ANNOUNCED_MAX == 0)
            tier_policy_announce(policy, keys + i, MIN(TIER_POLICY_ANNOUNCED_MAX, accesses - i));
        hits += visit(policy, keys[i]) ? 1 : 0;
    }
    double ns = (double)(cpu_ns() - began) / (double)accesses;
    check(tier_policy_stats(policy).remembered == tracked, "not all are tracked");
    printf("{\"ns\": %.1f, \"wait_ns\": %.1f, \"longest_ms\": %.1f, \"core_percent\": %.2f, \"hit_percent\": %.1f, "
           "\"row_bytes\": %zu, "
           "\"all_bytes\": %.1f}\n",
           ns, wait_ns(account_used(&account)), (double)longest / 1e6, ns * ACCESSES_A_SECOND / 1e7,
           100.0 * (double)hits / (double)accesses, sizeof(struct heat_row),
           (double)account_used(&account) / (double)tracked);
    free(keys);
    tier_policy_free(policy);
    return 0;
}
