/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "actors/bitswap/provider_book.h"
#include "base/limits.h"

#define HOUR_NS (3600 * SECOND_NS)

static struct provider_book book;
static struct account account;

static struct peer_id peer(uint32_t n)
{
    struct peer_id id = {.len = 34};
    id.bytes[0] = 0x12;
    id.bytes[1] = 0x20;
    memcpy(id.bytes + 2, &n, sizeof(n));
    return id;
}

static int set_up(void **state)
{
    (void)state;
    account_init(&account, "test", 4 * MIB);
    provider_book_init(&book, &account);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    provider_book_release(&book);
    assert_int_equal(account_used(&account), 0);
    return 0;
}

static void near(double got, double wanted)
{
    if (fabs(got - wanted) > 1e-9)
        fail_msg("%f, not %f", got, wanted);
}

static void the_score_is_that_of_the_origin(void **state)
{
    (void)state;
    struct peer_id a = peer(1);
    near(provider_book_score(&book, &a), 0.4 * 0.5 + 0.4 * 0.5 + 0.2);
    provider_book_success(&book, &a, SECOND_NS, 1);
    near(provider_book_score(&book, &a), 0.4 * 0.55 + 0.4 * 1 + 0.2 / 2 + 0.1 / 16);
    provider_book_success(&book, &a, 3 * SECOND_NS, 2); /* the mean is 2 s */
    near(provider_book_score(&book, &a), 0.4 * 0.595 + 0.4 + 0.2 / 3 + 0.1 * 2 / 16);
    provider_book_failure(&book, &a, 3);
    near(provider_book_score(&book, &a), 0.4 * 0.595 * 0.8 + 0.4 * 2 / 3 + 0.2 / 3 + 0.1 * 2 / 16);
    double before = provider_book_score(&book, &a);
    provider_book_prefer(&book, &a, 4);
    near(provider_book_score(&book, &a), before + 0.2);
    for (int i = 0; i < 1000; i++)
        provider_book_success(&book, &a, 0, 5);
    assert_true(provider_book_score(&book, &a) <= 1.3 && provider_book_score(&book, &a) > 1.15);
}

static void only_the_last_latencies_count(void **state)
{
    (void)state;
    struct peer_id a = peer(1);
    for (int i = 0; i < 100; i++)
        provider_book_success(&book, &a, 60 * SECOND_NS, 1);
    double slow = provider_book_score(&book, &a);
    for (int i = 0; i < PROVIDER_LATENCIES; i++)
        provider_book_success(&book, &a, MS_NS, 1);
    assert_true(provider_book_score(&book, &a) > slow + 0.19);
}

static void failures_rest_a_provider_longer_each_time(void **state)
{
    (void)state;
    struct peer_id a = peer(1);
    uint64_t now = SECOND_NS;
    for (uint64_t rest = 1; rest <= 1024; rest *= 2) {
        if (rest == 256)
            provider_book_prefer(&book, &a, now); /* not dropped though it never succeeds */
        provider_book_failure(&book, &a, now);
        uint64_t until = now + MIN(rest, (uint64_t)PROVIDER_REST_MAX_S) * SECOND_NS;
        assert_false(provider_book_may_ask(&book, &a, until - 1));
        assert_true(provider_book_may_ask(&book, &a, until));
        now = until;
    }
    provider_book_success(&book, &a, 0, now);
    provider_book_failure(&book, &a, now);
    assert_true(provider_book_may_ask(&book, &a, now + SECOND_NS));
}

static void who_hardly_ever_succeeds_is_dropped_for_a_day(void **state)
{
    (void)state;
    struct peer_id a = peer(1);
    for (int i = 0; i < 2; i++)
        provider_book_success(&book, &a, 0, 1);
    for (int i = 0; i < 8; i++)
        provider_book_failure(&book, &a, 1);
    assert_true(provider_book_may_ask(&book, &a, HOUR_NS)); /* 2 of 10 */
    provider_book_failure(&book, &a, 1);
    assert_false(provider_book_may_ask(&book, &a, HOUR_NS)); /* 2 of 11 */
    provider_book_tidy(&book, 23 * HOUR_NS);
    assert_false(provider_book_may_ask(&book, &a, 23 * HOUR_NS));
    provider_book_tidy(&book, 1 + 24 * HOUR_NS);
    assert_true(provider_book_may_ask(&book, &a, 24 * HOUR_NS));
    near(provider_book_score(&book, &a), 0.6);
}

static void the_best_come_first_and_those_that_rest_are_left_out(void **state)
{
    (void)state;
    struct peer_id ids[] = {peer(1), peer(2), peer(3), peer(4), peer(5)};
    struct peer_id all[5];
    memcpy(all, ids, sizeof(ids));
    provider_book_success(&book, &all[2], MS_NS, 1); /* good */
    provider_book_failure(&book, &all[3], 1);        /* rests */
    provider_book_prefer(&book, &all[4], 1);
    provider_book_failure(&book, &all[1], 1);
    assert_int_equal(provider_book_choose(&book, ids, 5, 1 + SECOND_NS / 2), 3);
    assert_true(peer_id_equal(&ids[0], &all[2]));
    assert_true(peer_id_equal(&ids[1], &all[4]));
    assert_true(peer_id_equal(&ids[2], &all[0]));
    memcpy(ids, all, sizeof(ids));
    assert_int_equal(provider_book_choose(&book, ids, 5, 10 * SECOND_NS), 5);
    assert_true(peer_id_equal(&ids[3], &all[1])); /* equal ones as they came */
    assert_true(peer_id_equal(&ids[4], &all[3]));
}

static void a_flood_of_names_pushes_out_the_oldest_and_no_memory_is_no_harm(void **state)
{
    (void)state;
    struct peer_id mine = peer(0);
    struct peer_id first = peer(1);
    provider_book_prefer(&book, &mine, 1);
    provider_book_failure(&book, &first, 1);
    for (uint32_t i = 2; i < 5 * PROVIDERS_MAX; i++) {
        struct peer_id id = peer(i);
        provider_book_seen(&book, &id, i);
    }
    assert_int_equal(table_len(&book.providers), PROVIDERS_MAX);
    near(provider_book_score(&book, &mine), 0.8);
    assert_true(provider_book_may_ask(&book, &first, 1));
    account.limit_bytes = account_used(&account);
    provider_book_tidy(&book, UINT64_MAX);
    account.limit_bytes = 0;
    provider_book_success(&book, &first, 1, 2);
    near(provider_book_score(&book, &first), 0.6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_score_is_that_of_the_origin, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_the_last_latencies_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures_rest_a_provider_longer_each_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_hardly_ever_succeeds_is_dropped_for_a_day, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_best_come_first_and_those_that_rest_are_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flood_of_names_pushes_out_the_oldest_and_no_memory_is_no_harm, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
