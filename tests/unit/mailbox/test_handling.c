/* SPDX-License-Identifier: MIT */
/* The histogram of handlers' times: its scale, its quantiles beside a sorted list, its windows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/random.h"
#include "mailbox/handling.h"

static void the_scale_rises_and_ends(void **state)
{
    (void)state;
    assert_int_equal(handling_bucket(0), 0);
    assert_int_equal(handling_bucket(255), 0);
    assert_int_equal(handling_bucket(256), 0);
    assert_int_equal(handling_bucket(320), 1);
    assert_int_equal(handling_bucket(512), 4);
    assert_int_equal(handling_bucket(UINT64_MAX), HANDLING_BUCKETS - 1);
    uint32_t last = 0;
    for (uint64_t ns = 1; ns < 10 * SECOND_NS; ns += 1 + ns / 16) {
        uint32_t bucket = handling_bucket(ns);
        assert_in_range(bucket, last, last + 1);
        last = bucket;
    }
    assert_int_equal(last, HANDLING_BUCKETS - 1);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void quantiles_are_those_of_a_sorted_list_to_a_quarter(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    static uint64_t times[COUNT];
    struct prng prng;
    prng_init(&prng, 7);
    for (int round = 0; round < 100; round++) {
        struct handling h;
        memset(&h, 0, sizeof(h));
        for (size_t i = 0; i < COUNT; i++) {
            times[i] = 300 + prng_below(&prng, UINT64_C(1) << (9 + prng_below(&prng, 20)));
            handling_note(&h, 100 * SECOND_NS + i - times[i], 100 * SECOND_NS + i);
            handling_count(&h, i % 2);
        }
        qsort(times, COUNT, sizeof(times[0]), compare);
        struct handling_figures f;
        handling_read(&h, 102 * SECOND_NS, &f);
        assert_int_equal(f.messages, COUNT / 2);
        assert_in_range(f.p50_ns, times[COUNT / 2 - 1] * 4 / 5, times[COUNT / 2 - 1] * 5 / 4);
        assert_in_range(f.p99_ns, times[COUNT * 99 / 100 - 1] * 4 / 5, times[COUNT * 99 / 100 - 1] * 5 / 4);
    }
}

static void one(struct handling *h, uint64_t began_ns, uint64_t took_ns)
{
    handling_note(h, began_ns, began_ns + took_ns);
    handling_count(h, 1);
}

static void figures_are_of_the_last_seconds(void **state)
{
    (void)state;
    struct handling h;
    struct handling_figures f;
    memset(&h, 0, sizeof(h));
    handling_read(&h, 5 * SECOND_NS, &f);
    assert_int_equal(f.p99_ns, 0);
    assert_true(f.messages_per_s < 0.001);
    for (uint64_t i = 0; i < 1000; i++) /* slow ones, then a minute later fast ones, 100 a second each */
        one(&h, 100 * SECOND_NS + i * 10 * MS_NS, 5 * MS_NS);
    handling_read(&h, 110 * SECOND_NS, &f);
    assert_in_range(f.p50_ns, 4 * MS_NS, 6 * MS_NS);
    assert_true(f.messages_per_s > 95 && f.messages_per_s < 105);
    for (uint64_t i = 0; i < 1500; i++)
        one(&h, 160 * SECOND_NS + i * 10 * MS_NS, 2000);
    handling_read(&h, 175 * SECOND_NS, &f);
    assert_in_range(f.p99_ns, 1600, 2500); /* nothing of the slow ones */
    assert_true(f.messages_per_s > 95 && f.messages_per_s < 105);
    assert_int_equal(f.messages, 2500);
    handling_read(&h, 300 * SECOND_NS, &f); /* at rest */
    assert_int_equal(f.p50_ns, 0);
    assert_true(f.messages_per_s < 0.001);
    assert_int_equal(f.messages, 2500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scale_rises_and_ends),
        cmocka_unit_test(quantiles_are_those_of_a_sorted_list_to_a_quarter),
        cmocka_unit_test(figures_are_of_the_last_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
