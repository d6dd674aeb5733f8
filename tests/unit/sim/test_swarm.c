/* SPDX-License-Identifier: MIT */
/* Whole nodes, the production tree linked unchanged, in the simulator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/swarm.h"

static struct swarm_result play(uint64_t seed, uint64_t reset_at_ns)
{
    const struct swarm_options options = {.seed = seed,
                                          .nodes = 3,
                                          .blocks = 30,
                                          .block_bytes = 50000,
                                          .timeout_ns = 300 * SECOND_NS,
                                          .reset_at_ns = reset_at_ns};
    struct swarm_result result = {0};
    char why[SWARM_WHY_BYTES] = "";
    if (swarm_play(&options, &result, why) != ERR_OK)
        fail_msg("seed %llu: %u fetched: %s", (unsigned long long)seed, result.fetched, why);
    assert_int_equal(result.fetched, 60);
    return result;
}

static void every_node_gets_every_block(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        (void)play(seed, 0);
}

static void one_seed_gives_one_trace(void **state)
{
    (void)state;
    struct swarm_result first = play(42, 0);
    struct swarm_result second = play(42, 0);
    struct swarm_result other = play(43, 0);
    assert_true(first.trace == second.trace);
    assert_int_equal(first.steps, second.steps);
    assert_true(first.trace != other.trace);
}

static void a_reset_link_costs_no_block(void **state)
{
    (void)state;
    for (uint64_t at_ms = 100; at_ms <= 150; at_ms += 25)
        (void)play(7, at_ms * MS_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_gets_every_block),
        cmocka_unit_test(one_seed_gives_one_trace),
        cmocka_unit_test(a_reset_link_costs_no_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
