/* SPDX-License-Identifier: MIT */
/* Peers heard of on the link: who is dialled when, and what a flood of inventions cannot do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/discovery/neighbours.h"
#include "wire/multiaddr.h"

static const uint64_t start_ns = 3600 * SECOND_NS;
static const struct net_addr here = {.family = NET_IP4, .port = 5353, .ip = {10, 0, 0, 9}};

static struct neighbours n;
static struct account account;

static int setup(void **state)
{
    (void)state;
    account_init(&account, "tables", 1024 * 1024);
    neighbours_init(&n, &account, start_ns);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    neighbours_release(&n);
    return account_used(&account) == 0 ? 0 : -1;
}

static struct peer_id peer_of(unsigned number)
{
    uint8_t key[36] = {0x08, 0x01, 0x12, 0x20, (uint8_t)(number >> 8), (uint8_t)number};
    return peer_id_of_key(span_of(key, sizeof(key)));
}

static void note(unsigned number, uint8_t last, uint16_t port, const struct net_addr *from, uint64_t now_ns)
{
    const uint8_t ip[4] = {10, 0, 0, last};
    struct multiaddr addr = multiaddr_of_tcp(span_of(ip, 4), port);
    struct peer_id id = peer_of(number);
    neighbours_note(&n, &id, multiaddr_span(&addr), from, now_ns);
}

static void a_peer_is_dialled_once_per_hearing(void **state)
{
    (void)state;
    size_t slot;
    assert_null(neighbours_next(&n, &slot));
    note(1, 1, 4001, &here, start_ns);
    note(1, 1, 4001, &here, start_ns);
    note(1, 1, 4002, &here, start_ns);
    struct neighbour *peer = neighbours_next(&n, &slot);
    struct peer_id id = peer_of(1);
    assert_non_null(peer);
    assert_true(peer_id_equal(&peer->id, &id));
    assert_int_equal(peer->addr_count, 2);
    assert_null(neighbours_next(&n, &slot)); /* under way */
    neighbours_ended(&n, slot, true, start_ns);
    assert_null(neighbours_next(&n, &slot)); /* not heard of again */
    note(1, 1, 4001, &here, start_ns + NEIGHBOUR_AGAIN_MS * MS_NS - 1);
    assert_null(neighbours_next(&n, &slot)); /* too early, and that does not count later */
    note(1, 1, 4001, &here, start_ns + NEIGHBOUR_AGAIN_MS * MS_NS);
    assert_non_null(neighbours_next(&n, &slot));
}

static void failures_back_off(void **state)
{
    (void)state;
    uint64_t now = start_ns;
    uint64_t last = 0;
    size_t slot;
    for (int i = 0; i < 12; i++) {
        note(1, 1, 4001, &here, now);
        struct neighbour *peer = neighbours_next(&n, &slot);
        assert_non_null(peer);
        neighbours_ended(&n, slot, false, now);
        uint64_t pause = peer->due_ns - now;
        assert_true(pause >= last && pause <= NEIGHBOUR_RETRY_MAX_MS * MS_NS);
        last = pause;
        note(1, 1, 4001, &here, peer->due_ns - 1);
        assert_null(neighbours_next(&n, &slot));
        now = peer->due_ns;
    }
    assert_int_equal(last, NEIGHBOUR_RETRY_MAX_MS * MS_NS);
}

static void few_dials_run_at_once(void **state)
{
    (void)state;
    size_t slot = 0;
    for (unsigned i = 0; i < 10; i++)
        note(i, (uint8_t)i, 4001, &here, start_ns);
    for (unsigned i = 0; i < NEIGHBOURS_DIALS_MAX; i++)
        assert_non_null(neighbours_next(&n, &slot));
    assert_null(neighbours_next(&n, &slot));
    neighbours_ended(&n, slot, false, start_ns);
    assert_non_null(neighbours_next(&n, &slot));
}

static void the_latest_addresses_are_kept(void **state)
{
    (void)state;
    size_t slot;
    static const uint8_t long_addr[NEIGHBOUR_ADDR_BYTES_MAX + 1] = {4};
    struct peer_id id = peer_of(1);
    for (uint16_t port = 1; port <= 100; port++)
        note(1, 1, port, &here, start_ns);
    neighbours_note(&n, &id, span_of(long_addr, sizeof(long_addr)), &here, start_ns);
    struct neighbour *peer = neighbours_next(&n, &slot);
    assert_int_equal(peer->addr_count, NEIGHBOUR_ADDRS_MAX);
    for (size_t i = 0; i < NEIGHBOUR_ADDRS_MAX; i++)
        assert_true(peer->addrs[i].bytes[7] > 100 - NEIGHBOUR_ADDRS_MAX); /* low byte of /ip4/4/tcp/2 */
}

/* One liar invents peers as fast as he likes: he gets his burst and then a trickle, and honest neighbours still get in. */
static void one_source_does_not_fill_the_table(void **state)
{
    (void)state;
    struct net_addr liar = here;
    liar.ip[3] = 66;
    for (unsigned i = 0; i < 5000; i++) {
        liar.port = (uint16_t)i; /* from many sockets */
        note(1000 + i, 66, 4001, &liar, start_ns + i * MS_NS);
    }
    assert_int_equal(n.count, NEIGHBOURS_SOURCE_BURST);
    assert_int_equal(n.refused, 5000 - NEIGHBOURS_SOURCE_BURST);
    note(1, 1, 4001, &here, start_ns + 5000 * MS_NS);
    assert_int_equal(n.count, NEIGHBOURS_SOURCE_BURST + 1);
}

/* With as many false sources as he likes, he does not push out who is there, and what is held stays bounded. */
static void a_flood_does_not_push_out_who_is_there(void **state)
{
    (void)state;
    size_t slot;
    struct peer_id id = peer_of(1);
    note(1, 1, 4001, &here, start_ns);
    for (unsigned i = 0; i < 100000; i++) {
        struct net_addr liar = here;
        liar.ip[1] = (uint8_t)(i >> 8);
        liar.ip[3] = (uint8_t)i;
        note(2 + i, 66, 4001, &liar, start_ns + i * MS_NS);
        assert_true(n.count <= NEIGHBOURS_MAX);
        assert_true(account_used(&account) == n.count * sizeof(struct neighbour));
    }
    assert_int_equal(n.count, NEIGHBOURS_MAX);
    struct neighbour *peer = neighbours_next(&n, &slot);
    assert_true(peer_id_equal(&peer->id, &id));
    /* Once the inventions are silent for long enough, newcomers have room again. */
    uint64_t later = start_ns + 100 * SECOND_NS + NEIGHBOUR_LIFE_S * SECOND_NS;
    note(99999999, 1, 4001, &here, later);
    assert_int_equal(n.count, 2); /* the one being dialled and the newcomer */
}

static void without_memory_peers_are_refused(void **state)
{
    (void)state;
    account_init(&account, "tables", 2 * sizeof(struct neighbour));
    for (unsigned i = 0; i < 5; i++)
        note(i, 1, 4001, &here, start_ns);
    assert_int_equal(n.count, 2);
    assert_int_equal(n.refused, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_peer_is_dialled_once_per_hearing, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_back_off, setup, teardown),
        cmocka_unit_test_setup_teardown(few_dials_run_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(the_latest_addresses_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(one_source_does_not_fill_the_table, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flood_does_not_push_out_who_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_peers_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
