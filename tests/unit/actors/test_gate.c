/* SPDX-License-Identifier: MIT */
/* The gate's limits, among them rows T1 and T18 of the attack list, and a random model of its counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/connection_manager/gate.h"
#include "base/limits.h"
#include "base/random.h"

static const uint64_t start_ns = 3600 * SECOND_NS;

static struct gate_config config_of(void)
{
    struct gate_config c = {.low = 32, .high = 96, .grace_ns = 20 * SECOND_NS, .per_ip_max = GATE_PER_IP_MAX};
    assert_int_equal(ip_network_parse(span_text("127.0.0.0/8"), &c.exempt[0]), ERR_OK);
    assert_int_equal(ip_network_parse(span_text("::1/128"), &c.exempt[1]), ERR_OK);
    c.exempt_count = 2;
    return c;
}

static struct net_addr ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    return (struct net_addr){.family = NET_IP4, .port = 1, .ip = {a, b, c, d}};
}

static void eight_per_address_then_room_again(void **state)
{
    (void)state;
    struct gate_config c = config_of();
    struct gate g;
    gate_init(&g, &c, NULL);
    struct net_addr a = ip4(203, 0, 113, 7);
    for (int i = 0; i < GATE_PER_IP_MAX; i++) {
        assert_int_equal(gate_enter(&g, &a, start_ns), ERR_OK);
        gate_upgraded(&g, &a);
    }
    assert_int_equal(gate_enter(&g, &a, start_ns), ERR_BUSY);
    gate_left(&g, &a, true, false);
    assert_int_equal(gate_enter(&g, &a, start_ns), ERR_OK);
    assert_int_equal(g.refused, 1);
    gate_release(&g);
}

static void the_rate_is_a_burst_of_16_then_one_each_5_seconds(void **state)
{
    (void)state;
    struct gate_config c = config_of();
    struct gate g;
    gate_init(&g, &c, NULL);
    struct net_addr a = ip4(203, 0, 113, 7);
    unsigned entered = 0;
    for (int i = 0; i < 100; i++) {
        if (gate_enter(&g, &a, start_ns) != ERR_OK)
            continue;
        entered++;
        gate_left(&g, &a, true, true);
    }
    assert_int_equal(entered, GATE_RATE_BURST);
    assert_int_equal(gate_enter(&g, &a, start_ns + 4999 * MS_NS), ERR_BUSY);
    assert_int_equal(gate_enter(&g, &a, start_ns + 5000 * MS_NS), ERR_OK);
    assert_int_equal(gate_enter(&g, &a, start_ns + 5000 * MS_NS), ERR_BUSY);
    gate_release(&g);
}

static void ipv6_counts_by_56(void **state)
{
    (void)state;
    struct gate_config c = config_of();
    struct gate g;
    gate_init(&g, &c, NULL);
    for (uint8_t i = 0; i < GATE_PER_IP_MAX; i++) {
        struct net_addr a = {.family = NET_IP6, .ip = {0x20, 1, 0xd, 0xb8, 0, 0, 1, i, i}};
        assert_int_equal(gate_enter(&g, &a, start_ns), ERR_OK);
    }
    struct net_addr same = {.family = NET_IP6, .ip = {0x20, 1, 0xd, 0xb8, 0, 0, 1, 0xff, 0xff}};
    struct net_addr other = {.family = NET_IP6, .ip = {0x20, 1, 0xd, 0xb8, 0, 0, 2}};
    assert_int_equal(gate_enter(&g, &same, start_ns), ERR_BUSY);
    assert_int_equal(gate_enter(&g, &other, start_ns), ERR_OK);
    gate_release(&g);
}

/* More addresses than the table holds, each from a network of its own, all at once: the next newcomer enters all the same. */
static void T18_a_flood_of_addresses_keeps_nobody_out(void **state)
{
    (void)state;
    struct gate_config c = config_of();
    struct account tables;
    struct gate g;
    account_init(&tables, "tables", 8 * MIB);
    gate_init(&g, &c, &tables);
    struct net_addr stays = ip4(203, 0, 113, 7);
    assert_int_equal(gate_enter(&g, &stays, start_ns), ERR_OK);
    for (unsigned i = 0; i < 3 * GATE_SOURCES_MAX; i++) {
        struct net_addr a = ip4(60, (uint8_t)(i >> 8), (uint8_t)i, 1);
        assert_int_equal(gate_enter(&g, &a, start_ns), ERR_OK);
        gate_left(&g, &a, true, true);
        assert_true(table_len(&g.sources) <= GATE_SOURCES_MAX);
    }
    gate_left(&g, &stays, true, true);
    assert_int_equal(g.refused, 0);
    gate_release(&g);
    assert_int_equal(account_used(&tables), 0);
}

static void T18_a_flood_from_one_24_is_bounded(void **state)
{
    (void)state;
    struct gate_config c = config_of();
    struct gate g;
    gate_init(&g, &c, NULL);
    unsigned entered = 0;
    for (int i = 0; i < 10000; i++) {
        struct net_addr a = ip4(198, 51, 100, (uint8_t)i);
        entered += gate_enter(&g, &a, start_ns) == ERR_OK;
    }
    assert_int_equal(entered, GATE_PER_IP_MAX * GATE_PREFIX_FACTOR);
    struct net_addr honest = ip4(198, 51, 101, 1);
    assert_int_equal(gate_enter(&g, &honest, start_ns), ERR_OK);
    gate_release(&g);
}

static void T18_a_million_sources_leave_the_table_flat(void **state)
{
    (void)state;
    struct account account;
    account_init(&account, "tables", 2 * MIB);
    struct gate_config c = config_of();
    struct gate g;
    gate_init(&g, &c, &account);
    for (uint32_t i = 0; i < 60000; i++) {
        struct net_addr a = ip4(45, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i);
        if (gate_enter(&g, &a, start_ns + i) == ERR_OK)
            gate_left(&g, &a, true, true);
        assert_true(table_len(&g.sources) <= GATE_SOURCES_MAX);
    }
    struct net_addr honest = ip4(203, 0, 113, 7);
    assert_int_equal(gate_enter(&g, &honest, start_ns), ERR_OK);
    gate_left(&g, &honest, true, true);
    gate_release(&g);
    assert_int_equal(account_used(&account), 0);
}

static void T1_half_open_is_capped_also_for_exempt_addresses(void **state)
{
    (void)state;
    struct gate_config c = config_of();
    struct gate g;
    gate_init(&g, &c, NULL);
    struct net_addr lo = ip4(127, 0, 0, 1);
    unsigned entered = 0;
    for (int i = 0; i < 10000; i++)
        entered += gate_enter(&g, &lo, start_ns) == ERR_OK;
    assert_int_equal(entered, GATE_HALF_OPEN_MAX);
    assert_true(gate_is_crowded(&g));
    assert_int_equal(gate_half_open_of(&g, &lo), GATE_HALF_OPEN_MAX);
    gate_left(&g, &lo, true, true); /* the victim */
    struct net_addr honest = ip4(127, 0, 0, 2);
    assert_int_equal(gate_enter(&g, &honest, start_ns), ERR_OK);
    gate_release(&g);
}

static void trimming_takes_idle_old_and_unkept_ones(void **state)
{
    (void)state;
    struct gate_config c = config_of();
    c.low = 2;
    c.high = 4;
    struct gate g;
    gate_init(&g, &c, NULL);
    for (int i = 0; i < 5; i++)
        gate_dialled(&g);
    uint64_t old = start_ns - 60 * SECOND_NS;
    struct gate_candidate list[] = {
        {.id = 1, .opened_ns = old, .active_ns = old, .kept = true},
        {.id = 2, .opened_ns = start_ns - SECOND_NS, .active_ns = old},
        {.id = 3, .opened_ns = old, .active_ns = start_ns, .streams = 1},
        {.id = 4, .opened_ns = old, .active_ns = start_ns},
        {.id = 5, .opened_ns = old, .active_ns = old},
    };
    size_t n;
    gate_trim(&g, list, ARRAY_LEN(list), start_ns, &n);
    assert_int_equal(n, 3);
    assert_int_equal(list[0].id, 5);
    assert_int_equal(list[1].id, 4);
    assert_int_equal(list[2].id, 3);
    gate_left(&g, &(struct net_addr){.family = NET_IP4}, false, false);
    gate_trim(&g, list, ARRAY_LEN(list), start_ns, &n);
    assert_int_equal(n, 0); /* at high water nobody goes */
    gate_release(&g);
}

static void counters_agree_with_a_model(void **state)
{
    (void)state;
    struct gate_config c = config_of();
    struct gate g;
    gate_init(&g, &c, NULL);
    struct prng prng;
    prng_init(&prng, 11);
    enum { HOSTS = 40 };
    uint32_t half[HOSTS] = {0};
    uint32_t full[HOSTS] = {0};
    uint64_t now = start_ns;
    for (int step = 0; step < 20000; step++) {
        size_t h = (size_t)prng_below(&prng, HOSTS);
        struct net_addr a = ip4(10, 0, (uint8_t)(h / 8), (uint8_t)h);
        now += prng_below(&prng, SECOND_NS);
        uint64_t what = prng_below(&prng, 4);
        if (what == 0 && gate_enter(&g, &a, now) == ERR_OK) {
            half[h]++;
        } else if (what == 1 && half[h] > 0) {
            gate_upgraded(&g, &a);
            half[h]--;
            full[h]++;
        } else if (what == 2 && half[h] > 0) {
            gate_left(&g, &a, true, true);
            half[h]--;
        } else if (what == 3 && full[h] > 0) {
            gate_left(&g, &a, true, false);
            full[h]--;
        }
        assert_true(half[h] + full[h] <= GATE_PER_IP_MAX);
        assert_int_equal(gate_half_open_of(&g, &a), half[h]);
    }
    uint32_t all = 0;
    uint32_t open = 0;
    for (size_t h = 0; h < HOSTS; h++) {
        open += half[h];
        all += half[h] + full[h];
    }
    assert_int_equal(g.half_open, open);
    assert_int_equal(g.total, all);
    gate_release(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_per_address_then_room_again),
        cmocka_unit_test(the_rate_is_a_burst_of_16_then_one_each_5_seconds),
        cmocka_unit_test(ipv6_counts_by_56),
        cmocka_unit_test(T18_a_flood_of_addresses_keeps_nobody_out),
        cmocka_unit_test(T18_a_flood_from_one_24_is_bounded),
        cmocka_unit_test(T18_a_million_sources_leave_the_table_flat),
        cmocka_unit_test(T1_half_open_is_capped_also_for_exempt_addresses),
        cmocka_unit_test(trimming_takes_idle_old_and_unkept_ones),
        cmocka_unit_test(counters_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
