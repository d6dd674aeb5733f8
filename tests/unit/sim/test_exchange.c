/* SPDX-License-Identifier: MIT */
/* Some seeds of the exchange over windows of one byte; `make sim-bitswap` plays 10,000. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/exchange.h"
#include "tests/support/bytes.h"

enum { SEEDS = 25, BLOCKS = 12, BLOCK_BYTES = 60, TABLES_MOST = 256 * 1024 };

static struct exchange_result play(uint64_t seed)
{
    const struct exchange_options options = {
        .seed = seed, .blocks = BLOCKS, .block_bytes = BLOCK_BYTES, .timeout_ns = 120 * SECOND_NS};
    struct exchange_result result;
    char why[EXCHANGE_WHY_BYTES];
    enum err err = exchange_play(&options, &result, why);
    if (err != ERR_OK)
        fail_msg("seed %llu: %s", (unsigned long long)seed, why);
    assert_int_equal(result.fetched + result.cancelled, BLOCKS);
    assert_in_range(result.tables_peak, 1, TABLES_MOST);
    return result;
}

static void every_want_ends_and_nothing_is_left(void **state)
{
    (void)state;
    unsigned cancelled = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        cancelled += play(seed).cancelled;
    assert_in_range(cancelled, 1, SEEDS * BLOCKS - 1);
}

static void a_seed_replays_its_run(void **state)
{
    (void)state;
    assert_true(play(7).trace == play(7).trace);
    assert_true(play(7).trace != play(8).trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_want_ends_and_nothing_is_left),
        cmocka_unit_test(a_seed_replays_its_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
