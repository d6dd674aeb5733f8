/* SPDX-License-Identifier: MIT */
/* The gate: rates of newcomers, among them row T18 of the attack list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/connection_manager/gate.h"
#include "base/limits.h"

static const uint64_t start_ns = 3600 * SECOND_NS;

static struct gate_config config_of(void)
{
    struct gate_config c = {0};
    assert_int_equal(ip_network_parse(span_text("127.0.0.0/8"), &c.exempt[0]), ERR_OK);
    assert_int_equal(ip_network_parse(span_text("::1/128"), &c.exempt[1]), ERR_OK);
    c.exempt_count = 2;
    return c;
}

static struct net_addr ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    return (struct net_addr){.family = NET_IP4, .port = 1, .ip = {a, b, c, d}};
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
        entered += gate_enter(&g, &a, start_ns) == ERR_OK;
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
    for (uint8_t i = 0; i < GATE_RATE_BURST; i++) {
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
    for (unsigned i = 0; i < 3 * GATE_SOURCES_MAX; i++) {
        struct net_addr a = ip4(60, (uint8_t)(i >> 8), (uint8_t)i, 1);
        assert_int_equal(gate_enter(&g, &a, start_ns), ERR_OK);
        assert_true(table_len(&g.sources) <= GATE_SOURCES_MAX);
    }
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
    assert_int_equal(entered, GATE_RATE_BURST * GATE_PREFIX_FACTOR);
    struct net_addr honest = ip4(198, 51, 101, 1);
    assert_int_equal(gate_enter(&g, &honest, start_ns), ERR_OK);
    gate_release(&g);
}

/* A network that was exhausted is not forgotten before it has rested: a flood of others would give it its burst again. */
static void T18_an_exhausted_24_is_not_forgotten_too_early(void **state)
{
    (void)state;
    struct gate_config c = config_of();
    struct gate g;
    const uint64_t period_ns = GATE_RATE_PERIOD_MS * MS_NS;
    const uint64_t later_ns = start_ns + (GATE_RATE_BURST + 1) * period_ns;
    unsigned entered = 0;
    gate_init(&g, &c, NULL);
    for (unsigned i = 0; i < 2 * GATE_RATE_BURST * GATE_PREFIX_FACTOR; i++) {
        struct net_addr a = ip4(198, 51, 100, (uint8_t)i);
        entered += gate_enter(&g, &a, start_ns) == ERR_OK;
    }
    assert_int_equal(entered, GATE_RATE_BURST * GATE_PREFIX_FACTOR);
    size_t before = 0;
    for (unsigned i = 0; table_len(&g.sources) >= before; i++) { /* until room was made */
        struct net_addr a = ip4(60, (uint8_t)(i >> 8), (uint8_t)i, 1);
        before = table_len(&g.sources);
        assert_int_equal(gate_enter(&g, &a, later_ns), ERR_OK);
    }
    entered = 0;
    for (unsigned i = 0; i < 3 * GATE_RATE_BURST; i++) {
        struct net_addr a = ip4(198, 51, 100, (uint8_t)i);
        entered += gate_enter(&g, &a, later_ns) == ERR_OK;
    }
    assert_int_equal(entered, GATE_RATE_BURST + 1);
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
        (void)!gate_enter(&g, &a, start_ns + i);
        assert_true(table_len(&g.sources) <= GATE_SOURCES_MAX);
    }
    struct net_addr honest = ip4(203, 0, 113, 7);
    assert_int_equal(gate_enter(&g, &honest, start_ns), ERR_OK);
    gate_release(&g);
    assert_int_equal(account_used(&account), 0);
}

static void exempt_networks_come_as_they_like(void **state)
{
    (void)state;
    struct gate_config c = config_of();
    struct gate g;
    gate_init(&g, &c, NULL);
    struct net_addr lo = ip4(127, 0, 0, 1);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(gate_enter(&g, &lo, start_ns), ERR_OK);
    assert_int_equal(table_len(&g.sources), 0);
    gate_release(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exempt_networks_come_as_they_like),
        cmocka_unit_test(the_rate_is_a_burst_of_16_then_one_each_5_seconds),
        cmocka_unit_test(ipv6_counts_by_56),
        cmocka_unit_test(T18_a_flood_of_addresses_keeps_nobody_out),
        cmocka_unit_test(T18_a_flood_from_one_24_is_bounded),
        cmocka_unit_test(T18_an_exhausted_24_is_not_forgotten_too_early),
        cmocka_unit_test(T18_a_million_sources_leave_the_table_flat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
