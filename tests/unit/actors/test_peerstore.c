/* SPDX-License-Identifier: MIT */
/* The peerstore's bounds (row P1), order and eviction; reach rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "actors/connection_manager/peerstore.h"
#include "actors/connection_manager/reach.h"
#include "base/limits.h"

static struct peer_id peer_of(uint32_t n)
{
    uint8_t key[36] = {8, 1, 18, 32, (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16)};
    return peer_id_of_key(span_of(key, sizeof(key)));
}

static struct multiaddr addr_of(unsigned n)
{
    char text[64];
    struct multiaddr ma;
    (void)snprintf(text, sizeof(text), "/ip4/203.0.%u.%u/tcp/%u", n / 256 % 256, n % 256, 1 + n / 65536);
    assert_int_equal(multiaddr_parse_text(span_text(text), &ma), ERR_OK);
    return ma;
}

static void add(struct peer_entry *entry, unsigned n)
{
    struct multiaddr ma = addr_of(n);
    assert_int_equal(peerstore_add_addr(entry, multiaddr_span(&ma)), ERR_OK);
}

static void addresses_are_bounded_500_connected_20_after(void **state)
{
    (void)state;
    struct peerstore store;
    struct account account;
    account_init(&account, "tables", MIB);
    peerstore_init(&store, &account);
    struct peer_id id = peer_of(1);
    struct peer_entry *entry = peerstore_add(&store, &id);
    peerstore_connected(entry, 1);
    for (unsigned i = 0; i < 600; i++)
        add(entry, i);
    add(entry, 5); /* twice is once */
    assert_int_equal(entry->addr_count, PEERSTORE_ADDRS_CONNECTED);
    peerstore_disconnected(entry, 2);
    assert_int_equal(entry->addr_count, PEERSTORE_ADDRS_KEPT);
    assert_int_equal(entry->seen_ns, 2); /* when it went */
    add(entry, 700);
    assert_int_equal(entry->addr_count, PEERSTORE_ADDRS_KEPT);
    peerstore_release(&store);
    assert_int_equal(account_used(&account), 0);
}

static void old_dials_fade(void **state)
{
    (void)state;
    struct peer_entry entry = {0};
    for (unsigned i = 0; i < 100; i++)
        peerstore_dialled(&entry, true);
    assert_true(entry.successes <= PEERSTORE_DIALS_MAX && entry.failures == 0);
    for (unsigned i = 0; i < 100; i++)
        peerstore_dialled(&entry, false);
    assert_true(entry.successes <= 1 && entry.failures > PEERSTORE_DIALS_MAX / 2);
    assert_true(entry.failures <= PEERSTORE_DIALS_MAX);
    for (unsigned i = 0; i < 100; i++)
        peerstore_dialled(&entry, true);
    assert_true(entry.failures <= 1 && entry.successes > PEERSTORE_DIALS_MAX / 2);
}

static void the_preferred_address_comes_first(void **state)
{
    (void)state;
    struct peerstore store;
    peerstore_init(&store, NULL);
    struct peer_id id = peer_of(1);
    struct peer_entry *entry = peerstore_add(&store, &id);
    for (unsigned i = 0; i < 5; i++)
        add(entry, i);
    struct multiaddr third = addr_of(3);
    peerstore_prefer_addr(entry, multiaddr_span(&third));
    unsigned expected[] = {3, 0, 1, 2, 4};
    size_t position = 0;
    struct span got;
    for (size_t i = 0; i < 5; i++) {
        struct multiaddr want = addr_of(expected[i]);
        assert_true(peerstore_next(&entry->addrs, &position, &got));
        assert_true(span_equal(got, multiaddr_span(&want)));
    }
    assert_false(peerstore_next(&entry->addrs, &position, &got));
    struct multiaddr with_peer = addr_of(9);
    assert_int_equal(multiaddr_add_peer(&with_peer, &id), ERR_OK);
    assert_int_equal(peerstore_add_addr(entry, multiaddr_span(&with_peer)), ERR_OK);
    add(entry, 9);
    assert_int_equal(entry->addr_count, 6); /* /p2p makes no difference */
    uint8_t junk[] = {0xff, 0xff, 1};
    assert_int_not_equal(peerstore_add_addr(entry, span_of(junk, sizeof(junk))), ERR_OK);
    peerstore_release(&store);
}

static void P1_records_of_a_million_peers_leave_it_flat(void **state)
{
    (void)state;
    struct peerstore store;
    struct account account;
    account_init(&account, "tables", 4 * MIB);
    peerstore_init(&store, &account);
    struct peer_id kept = peer_of(0xffffff);
    peerstore_connected(peerstore_add(&store, &kept), 1);
    for (uint32_t i = 0; i < 20000; i++) {
        struct peer_id id = peer_of(i);
        struct peer_entry *entry = peerstore_add(&store, &id);
        assert_non_null(entry);
        entry->seen_ns = i + 10;
        add(entry, i % 1000);
        assert_true(table_len(&store.peers) <= PEERSTORE_PEERS_MAX);
    }
    assert_non_null(peerstore_find(&store, &kept)); /* the connected one stays */
    struct peer_id first = peer_of(0);
    struct peer_id last = peer_of(19999);
    assert_null(peerstore_find(&store, &first));
    assert_non_null(peerstore_find(&store, &last));
    peerstore_release(&store);
    assert_int_equal(account_used(&account), 0);
}

static void P3_protocols_are_bounded(void **state)
{
    (void)state;
    struct peerstore store;
    peerstore_init(&store, NULL);
    struct peer_id id = peer_of(1);
    struct peer_entry *entry = peerstore_add(&store, &id);
    char name[32];
    for (unsigned i = 0; i < 5000; i++) {
        (void)snprintf(name, sizeof(name), "/p/%u", i);
        peerstore_add_protocol(entry, span_text(name));
    }
    assert_true(entry->protocol_count <= PEERSTORE_PROTOCOLS_MAX);
    assert_true(entry->protocols.len <= PEERSTORE_PROTOCOL_BYTES);
    assert_true(peerstore_speaks(entry, "/p/7"));
    assert_false(peerstore_speaks(entry, "/p/4999"));
    peerstore_set_agent(entry, span_text("evil\x1b[2J/1"));
    assert_string_equal(entry->agent, "evil?[2J/1");
    peerstore_release(&store);
}

static void reach_rules(void **state)
{
    (void)state;
    struct net_addr lo = {.family = NET_IP4, .ip = {127, 1, 2, 3}};
    struct net_addr lan = {.family = NET_IP4, .ip = {172, 31, 0, 1}};
    struct net_addr pub = {.family = NET_IP4, .ip = {172, 32, 0, 1}};
    struct net_addr ula = {.family = NET_IP6, .ip = {0xfd}};
    struct net_addr any = {.family = NET_IP6};
    assert_int_equal(reach_of(&lo), REACH_LOOPBACK);
    assert_int_equal(reach_of(&lan), REACH_LOCAL);
    assert_int_equal(reach_of(&pub), REACH_PUBLIC);
    assert_int_equal(reach_of(&ula), REACH_LOCAL);
    assert_int_equal(reach_of(&any), REACH_NOWHERE);
    assert_true(reach_may_tell(REACH_LOOPBACK, REACH_LOOPBACK));
    assert_false(reach_may_tell(REACH_LOOPBACK, REACH_LOCAL));
    assert_true(reach_may_tell(REACH_LOCAL, REACH_LOCAL));
    assert_false(reach_may_tell(REACH_LOCAL, REACH_PUBLIC));
    assert_true(reach_may_tell(REACH_PUBLIC, REACH_LOOPBACK));
    assert_false(reach_may_tell(REACH_NOWHERE, REACH_LOOPBACK));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_bounded_500_connected_20_after),
        cmocka_unit_test(old_dials_fade),
        cmocka_unit_test(the_preferred_address_comes_first),
        cmocka_unit_test(P1_records_of_a_million_peers_leave_it_flat),
        cmocka_unit_test(P3_protocols_are_bounded),
        cmocka_unit_test(reach_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
