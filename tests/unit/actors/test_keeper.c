/* SPDX-License-Identifier: MIT */
/* Peers that are dialled by themselves: peering for ever, bootstrap while few are connected, known ones when those fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "actors/discovery/keeper.h"
#include "base/buf.h"

#define PEER_1 "/ip4/203.0.113.1/tcp/4001/p2p/12D3KooWC29Yo8tMd9DTJLYtEJAt2BCef4FHfzfviixApuQxekna"
#define PEER_2 "/ip4/203.0.113.2/tcp/4001/p2p/12D3KooWPbZpXYPm9Y1dWXZqakccg4NUTA221BxhYA7nCz3QtvH9"

static const uint64_t start_ns = 3600 * SECOND_NS;
static struct keeper k;

static struct peer_id peer_of(uint8_t n)
{
    uint8_t key[36] = {8, 1, 18, 32, n};
    return peer_id_of_key(span_of(key, sizeof(key)));
}

static void add(uint8_t n, enum keeper_role role, uint64_t random)
{
    struct peer_id id = peer_of(n);
    char text[PEER_ID_TEXT_MAX];
    char addr[200];
    peer_id_text(&id, text);
    (void)snprintf(addr, sizeof(addr), "/ip4/203.0.113.%u/tcp/4001/p2p/%s", n, text);
    assert_int_equal(keeper_add(&k, addr, role, random), ERR_OK);
}

static void add_known(uint8_t n)
{
    struct peer_id id = peer_of(n);
    keeper_add_known(&k, &id, n);
}

static bool is(const struct keeper_peer *peer, uint8_t n)
{
    struct peer_id id = peer_of(n);
    return peer != NULL && peer_id_equal(&peer->id, &id);
}

static void come_up(uint8_t n)
{
    struct peer_id id = peer_of(n);
    keeper_up(&k, &id);
}

static void go_down(uint8_t n, uint64_t now)
{
    struct peer_id id = peer_of(n);
    keeper_down(&k, &id, now, 0);
}

static int begin(void **state)
{
    (void)state;
    k = (struct keeper){0};
    return 0;
}

static int end(void **state)
{
    (void)state;
    keeper_release(&k);
    return 0;
}

static void only_addresses_with_a_peer_are_taken(void **state)
{
    (void)state;
    assert_int_equal(keeper_add(&k, "/ip4/1.2.3.4/tcp/1", KEEPER_PEERING, 0), ERR_INVALID);
    assert_int_equal(keeper_add(&k, "nonsense", KEEPER_PEERING, 0), ERR_INVALID);
    assert_null(keeper_next(&k, start_ns));
}

static void a_peer_named_twice_is_one_with_both_addresses(void **state)
{
    (void)state;
    assert_int_equal(keeper_add(&k, PEER_1, KEEPER_BOOTSTRAP, 0), ERR_OK);
    assert_int_equal(keeper_add(&k, PEER_1, KEEPER_PEERING, 0), ERR_OK);
    assert_int_equal(
        keeper_add(&k, "/dns4/a.org/tcp/1/p2p/12D3KooWC29Yo8tMd9DTJLYtEJAt2BCef4FHfzfviixApuQxekna", KEEPER_PEERING, 0),
        ERR_OK);
    struct keeper_peer *peer = keeper_next(&k, start_ns);
    assert_true(peer->peering && peer->bootstrap);
    assert_int_equal(peer->addr_count, 2);
    assert_null(keeper_next(&k, start_ns));
    assert_true(keeper_remove(&k, &peer->id));
    assert_false(keeper_remove(&k, &peer->id));
    assert_true(peer->used && peer->bootstrap); /* that it still is */
    keeper_ended(&k, peer, false, start_ns, 0);
}

static void peering_is_tried_for_ever_with_growing_pauses(void **state)
{
    (void)state;
    assert_int_equal(keeper_add(&k, PEER_1, KEEPER_PEERING, 0), ERR_OK);
    uint64_t now = start_ns;
    uint64_t last = 0;
    for (int i = 0; i < 20; i++) {
        struct keeper_peer *peer = keeper_next(&k, now);
        assert_non_null(peer);
        assert_null(keeper_next(&k, now)); /* one try at a time */
        keeper_ended(&k, peer, false, now, 0);
        uint64_t pause = keeper_due(&k) - now;
        assert_true(pause >= last && pause <= KEEPER_RETRY_MAX_MS * MS_NS);
        last = pause;
        assert_null(keeper_next(&k, now + pause - 1));
        now += pause;
    }
    assert_int_equal(last, KEEPER_RETRY_MAX_MS / 2 * MS_NS);
    struct keeper_peer *peer = keeper_next(&k, now);
    keeper_up(&k, &peer->id);
    keeper_ended(&k, peer, true, now, 0);
    assert_int_equal(keeper_due(&k), UINT64_MAX);
    keeper_down(&k, &peer->id, now, 0);
    assert_int_equal(keeper_due(&k), now + KEEPER_RETRY_MS / 2 * MS_NS); /* the count began anew */
}

/* Or it would be trimmed like any other. */
static void a_peering_that_dialled_us_is_claimed(void **state)
{
    (void)state;
    add(1, KEEPER_PEERING, 0);
    struct keeper_peer *peer = keeper_next(&k, start_ns);
    keeper_ended(&k, peer, false, start_ns, 0);
    come_up(1);
    peer = keeper_next(&k, start_ns);
    assert_true(is(peer, 1));
    keeper_ended(&k, peer, true, start_ns, 0);
    assert_int_equal(keeper_due(&k), UINT64_MAX);
    go_down(1, start_ns);
    come_up(1); /* another connection, which nobody claimed yet */
    peer = keeper_next(&k, start_ns);
    assert_true(is(peer, 1));
    keeper_ended(&k, peer, true, start_ns, 0);
    add(2, KEEPER_BOOTSTRAP, 0);
    peer = keeper_next(&k, start_ns);
    assert_true(is(peer, 2));
    add(2, KEEPER_PEERING, 0); /* it becomes one while it is tried as a bootstrap peer */
    come_up(2);
    keeper_ended(&k, peer, true, start_ns, 0);
    assert_true(is(keeper_next(&k, start_ns + KEEPER_RETRY_MS * MS_NS), 2));
}

static void few_tries_run_at_a_time(void **state)
{
    (void)state;
    struct keeper_peer *peer = NULL;
    for (uint8_t n = 0; n < KEEPER_RUNNING_MAX + 2; n++)
        add(n, KEEPER_PEERING, n);
    for (uint8_t n = 0; n < KEEPER_RUNNING_MAX; n++)
        assert_non_null(peer = keeper_next(&k, start_ns));
    assert_null(keeper_next(&k, start_ns));
    assert_int_equal(keeper_due(&k), UINT64_MAX);
    keeper_ended(&k, peer, false, start_ns, 0);
    assert_non_null(keeper_next(&k, start_ns));
}

static void a_removed_peering_is_left_alone(void **state)
{
    (void)state;
    struct peer_id id = peer_of(1);
    add(1, KEEPER_PEERING, 0);
    struct keeper_peer *peer = keeper_next(&k, start_ns);
    assert_true(keeper_remove(&k, &id));
    add(2, KEEPER_PEERING, 0); /* not in its place: its try is under way */
    assert_false(is(peer, 2));
    keeper_ended(&k, peer, false, start_ns, 0);
    peer = keeper_next(&k, start_ns + SECOND_NS * 3600);
    assert_true(is(peer, 2));
    assert_null(keeper_next(&k, start_ns + SECOND_NS * 3600));
    keeper_ended(&k, peer, false, start_ns, 0);
    assert_int_equal(k.running, 0);
}

static void four_bootstrap_peers_at_a_time_in_their_random_order(void **state)
{
    (void)state;
    struct keeper_peer *tried[4];
    static const uint8_t order[] = {6, 5, 4, 3};
    for (uint8_t n = 1; n <= 6; n++)
        add(n, KEEPER_BOOTSTRAP, 10 - n);
    for (size_t i = 0; i < 4; i++) {
        tried[i] = keeper_next(&k, start_ns);
        assert_true(is(tried[i], order[i]));
    }
    assert_null(keeper_next(&k, start_ns));
    keeper_ended(&k, tried[0], false, start_ns, 0); /* the next takes its place */
    struct keeper_peer *fifth = keeper_next(&k, start_ns);
    assert_true(is(fifth, 2));
    come_up(5);
    keeper_ended(&k, tried[1], true, start_ns, 0);
    assert_null(keeper_next(&k, start_ns));
}

static void a_lost_bootstrap_peer_waits_unless_nobody_is_left(void **state)
{
    (void)state;
    add(1, KEEPER_BOOTSTRAP, 0);
    add(2, KEEPER_BOOTSTRAP, 1);
    for (uint8_t n = 1; n <= 2; n++) {
        struct keeper_peer *peer = keeper_next(&k, start_ns);
        come_up(n);
        keeper_ended(&k, peer, true, start_ns, 0);
    }
    assert_int_equal(keeper_due(&k), UINT64_MAX);
    go_down(1, start_ns);
    assert_int_equal(keeper_due(&k), start_ns + KEEPER_PERIOD_MS / 2 * MS_NS);
    for (uint8_t n = 10; n < 13; n++)
        come_up(n); /* found otherwise: with peer 2 that is enough */
    assert_null(keeper_next(&k, start_ns + KEEPER_PERIOD_MS * MS_NS));
    for (uint8_t n = 10; n < 13; n++)
        go_down(n, start_ns);
    go_down(2, start_ns);
    assert_true(keeper_due(&k) < start_ns + KEEPER_RETRY_MS * MS_NS);
    assert_non_null(keeper_next(&k, start_ns + KEEPER_RETRY_MS * MS_NS));
    assert_non_null(keeper_next(&k, start_ns + KEEPER_RETRY_MS * MS_NS));
}

/* Alone or not, who failed often is not tried the more. */
static void loneliness_does_not_hurry_who_failed(void **state)
{
    (void)state;
    add(1, KEEPER_BOOTSTRAP, 0);
    add(2, KEEPER_BOOTSTRAP, 1);
    struct keeper_peer *bad = keeper_next(&k, start_ns);
    struct keeper_peer *good = keeper_next(&k, start_ns);
    bad->failures = 6;
    keeper_ended(&k, bad, false, start_ns, 0);
    come_up(2);
    keeper_ended(&k, good, true, start_ns, 0);
    uint64_t due = bad->due_ns;
    assert_true(due > start_ns + 10 * KEEPER_RETRY_MS * MS_NS);
    go_down(2, start_ns + SECOND_NS);
    assert_int_equal(bad->due_ns, due);
    assert_true(good->due_ns < start_ns + 10 * SECOND_NS);
}

/* The other part of a network that fell apart may be behind it. */
static void a_bootstrap_peer_is_tried_now_and_then_though_there_are_peers_enough(void **state)
{
    (void)state;
    const uint64_t shortest_ns = KEEPER_LOOK_MS / 2 * MS_NS;
    add(1, KEEPER_BOOTSTRAP, 0);
    add(2, KEEPER_BOOTSTRAP, 1);
    for (uint8_t n = 2; n < 8; n++)
        come_up(n);
    assert_null(keeper_next(&k, start_ns));
    assert_int_equal(keeper_due(&k), start_ns + shortest_ns);
    assert_null(keeper_next(&k, start_ns + shortest_ns - 1));
    uint64_t now = start_ns + shortest_ns;
    struct keeper_peer *peer = keeper_next(&k, now);
    assert_true(is(peer, 1));
    assert_null(keeper_next(&k, now)); /* one at a time */
    keeper_ended(&k, peer, false, now, KEEPER_LOOK_MS / 2);
    now = keeper_due(&k);
    assert_int_equal(now, start_ns + 2 * shortest_ns);
    peer = keeper_next(&k, now);
    assert_true(is(peer, 1));
    come_up(1);
    keeper_ended(&k, peer, true, now, 0);
    assert_int_equal(keeper_due(&k), UINT64_MAX); /* all are connected */
    go_down(1, now);
    assert_true(keeper_due(&k) >= now + shortest_ns);
}

static void a_removed_bootstrap_peer_is_left_alone(void **state)
{
    (void)state;
    char addr[200];
    char text[PEER_ID_TEXT_MAX];
    struct peer_id id = peer_of(1);
    peer_id_text(&id, text);
    add(1, KEEPER_BOOTSTRAP, 1);
    (void)snprintf(addr, sizeof(addr), "/ip4/203.0.113.77/tcp/4001/p2p/%s", text);
    assert_false(keeper_remove_bootstrap(&k, addr)); /* another address of it */
    assert_int_equal(keeper_add(&k, addr, KEEPER_BOOTSTRAP, 1), ERR_OK);
    assert_true(keeper_remove_bootstrap(&k, addr));
    assert_int_equal(k.bootstraps, 1);                                             /* it has one left */
    (void)snprintf(addr, sizeof(addr), "/ip4/203.0.113.1/tcp/4001/ipfs/%s", text); /* the same in other words */
    assert_true(keeper_remove_bootstrap(&k, addr));
    assert_int_equal(k.bootstraps, 0);
    assert_null(keeper_next(&k, start_ns));
    assert_false(keeper_remove_bootstrap(&k, addr));
    assert_false(keeper_remove_bootstrap(&k, "nonsense"));
    add(1, KEEPER_BOOTSTRAP, 1);
    add(1, KEEPER_PEERING, 1);
    assert_true(keeper_remove_bootstrap(&k, addr));
    assert_int_equal(k.bootstraps, 0);
    assert_true(is(keeper_next(&k, start_ns), 1)); /* a peering stays */
    add(2, KEEPER_PEERING, 2);
    id = peer_of(2);
    peer_id_text(&id, text);
    (void)snprintf(addr, sizeof(addr), "/ip4/203.0.113.2/tcp/4001/p2p/%s", text);
    assert_false(keeper_remove_bootstrap(&k, addr));
}

static void known_peers_stand_in_for_bootstrap_peers_that_fail(void **state)
{
    (void)state;
    add(1, KEEPER_BOOTSTRAP, 0);
    for (uint8_t n = 20; n < 100; n++)
        add_known(n);
    assert_int_equal(k.known, KEEPER_KNOWN_MAX);
    struct keeper_peer *peer = keeper_next(&k, start_ns);
    assert_true(is(peer, 1));
    assert_null(keeper_next(&k, start_ns)); /* it may work yet */
    keeper_ended(&k, peer, false, start_ns, 0);
    for (uint8_t n = 20; n < 20 + KEEPER_WANTED; n++) {
        peer = keeper_next(&k, start_ns);
        assert_true(is(peer, n));
        assert_int_equal(peer->addr_count, 0);
    }
    assert_null(keeper_next(&k, start_ns));
}

static void without_bootstrap_nobody_is_sought(void **state)
{
    (void)state;
    add_known(20);
    assert_null(keeper_next(&k, start_ns));
    assert_int_equal(keeper_due(&k), UINT64_MAX);
}

static void tables_are_bounded(void **state)
{
    (void)state;
    char addr[200];
    for (uint8_t n = 0; n < KEEPER_PEERS_MAX; n++)
        add(n, KEEPER_BOOTSTRAP, n);
    assert_int_equal(keeper_add(&k, PEER_2, KEEPER_PEERING, 0), ERR_BUSY);
    keeper_release(&k);
    for (unsigned i = 0; i <= KEEPER_ADDRS_MAX; i++) {
        (void)snprintf(addr, sizeof(addr),
                       "/ip4/1.2.3.4/tcp/%u/p2p/12D3KooWPbZpXYPm9Y1dWXZqakccg4NUTA221BxhYA7nCz3QtvH9", i + 1);
        assert_int_equal(keeper_add(&k, addr, KEEPER_PEERING, 0), i < KEEPER_ADDRS_MAX ? ERR_OK : ERR_BUSY);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_addresses_with_a_peer_are_taken),
        TEST(a_peer_named_twice_is_one_with_both_addresses),
        TEST(peering_is_tried_for_ever_with_growing_pauses),
        TEST(a_peering_that_dialled_us_is_claimed),
        TEST(few_tries_run_at_a_time),
        TEST(loneliness_does_not_hurry_who_failed),
        TEST(a_removed_peering_is_left_alone),
        TEST(four_bootstrap_peers_at_a_time_in_their_random_order),
        TEST(a_lost_bootstrap_peer_waits_unless_nobody_is_left),
        TEST(a_bootstrap_peer_is_tried_now_and_then_though_there_are_peers_enough),
        TEST(a_removed_bootstrap_peer_is_left_alone),
        TEST(known_peers_stand_in_for_bootstrap_peers_that_fail),
        TEST(without_bootstrap_nobody_is_sought),
        TEST(tables_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
