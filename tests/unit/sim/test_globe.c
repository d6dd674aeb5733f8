/* SPDX-License-Identifier: MIT */
/* Where nodes live: what is promised of addresses, latencies and sessions, counted over many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "sim/globe.h"

enum { DRAWS = 10000 };

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void addresses_are_public_and_spread(void **state)
{
    (void)state;
    static uint64_t nets[2][DRAWS];
    for (unsigned i = 0; i < DRAWS; i++) {
        struct net_addr a = globe_address(1, i, 0);
        assert_int_equal(a.family, NET_IP4);
        assert_true(a.ip[0] != 0 && a.ip[0] != 10 && a.ip[0] != 127 && a.ip[0] < 224);
        assert_false((a.ip[0] == 192 && a.ip[1] == 168) || (a.ip[0] == 172 && a.ip[1] >= 16 && a.ip[1] < 32));
        nets[0][i] = (uint64_t)a.ip[0] << 8 | a.ip[1];
        nets[1][i] = nets[0][i] << 8 | a.ip[2];
        struct net_addr again = globe_address(1, i, 0);
        struct net_addr other = globe_address(1, i, 1);
        assert_memory_equal(a.ip, again.ip, 4);
        assert_memory_not_equal(a.ip, other.ip, 4);
    }
    unsigned distinct[2] = {1, 1};
    for (unsigned n = 0; n < 2; n++) {
        qsort(nets[n], DRAWS, sizeof(nets[n][0]), by_size);
        for (unsigned i = 1; i < DRAWS; i++)
            distinct[n] += nets[n][i] != nets[n][i - 1];
    }
    assert_in_range(distinct[0], DRAWS / 2, DRAWS * 3 / 4); /* three quarters anywhere, a quarter in 64 of them */
    assert_in_range(distinct[1], DRAWS * 8 / 10, DRAWS);
}

static void latencies_are_symmetric_and_log_normal(void **state)
{
    (void)state;
    static uint64_t ns[DRAWS];
    for (unsigned i = 0; i < DRAWS; i++) {
        ns[i] = globe_latency_ns(7, i, i + 1 + i % 13);
        assert_true(ns[i] == globe_latency_ns(7, i + 1 + i % 13, i));
    }
    qsort(ns, DRAWS, sizeof(ns[0]), by_size);
    assert_true(ns[0] >= 4 * MS_NS && ns[DRAWS - 1] <= 250 * MS_NS);
    assert_in_range(ns[DRAWS / 2], 38 * MS_NS, 42 * MS_NS);
    assert_in_range(ns[DRAWS * 84 / 100], 66 * MS_NS, 78 * MS_NS); /* one sigma: a factor of e^0.6 */
}

static void sessions_are_exponential(void **state)
{
    (void)state;
    static uint64_t ns[DRAWS];
    const uint64_t median = 3600 * SECOND_NS;
    struct prng prng;
    prng_init(&prng, 3);
    for (unsigned i = 0; i < DRAWS; i++)
        ns[i] = globe_exponential_ns(&prng, median);
    qsort(ns, DRAWS, sizeof(ns[0]), by_size);
    assert_in_range(ns[DRAWS / 4], median * 39 / 100, median * 44 / 100); /* log2(4/3) = 0.415 */
    assert_in_range(ns[DRAWS / 2], median * 96 / 100, median * 104 / 100);
    assert_in_range(ns[DRAWS * 3 / 4], median * 194 / 100, median * 206 / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_public_and_spread),
        cmocka_unit_test(latencies_are_symmetric_and_log_normal),
        cmocka_unit_test(sessions_are_exponential),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
