/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/random.h"
#include "dht/routing_table.h"
#include "tests/support/bytes.h"
#include "wire/addr_list.h"
#include "wire/multiaddr.h"

enum { NOW = 1000000 };

static struct peer_id peer_of(uint64_t n)
{
    uint8_t bytes[34] = {0x12, 0x20};
    struct peer_id id;
    memcpy(bytes + 2, &n, sizeof(n));
    assert_ok(peer_id_parse(span_of(bytes, sizeof(bytes)), &id));
    return id;
}

static struct multiaddr at(unsigned a, unsigned b, unsigned c)
{
    char text[64];
    struct multiaddr addr;
    (void)snprintf(text, sizeof(text), "/ip4/%u.%u.%u.1/tcp/4001", a, b, c);
    assert_ok(multiaddr_parse_text(span_text(text), &addr));
    return addr;
}

static enum err add(struct routing_table *t, uint64_t n, const struct multiaddr *seen_at, bool useful, uint64_t now)
{
    struct peer_id id = peer_of(n);
    struct buf list;
    buf_init(&list, 512, NULL);
    assert_ok(addr_list_add(&list, multiaddr_span(seen_at)));
    enum err err = routing_table_add(t, &id, multiaddr_span(seen_at), buf_span(&list), useful, now);
    buf_release(&list);
    return err;
}

/* Each peer where it belongs, in no bucket too many, counted rightly. */
static void check(const struct routing_table *t)
{
    size_t count = 0;
    for (size_t b = 0; b < t->bucket_count; b++) {
        assert_true(t->buckets[b]->count <= KAD_K);
        for (size_t i = 0; i < t->buckets[b]->count; i++) {
            const struct routing_peer *peer = t->buckets[b]->peers[i];
            struct kad_key key = kad_key_of_peer(&peer->id);
            assert_memory_equal(&key, &peer->key, sizeof(key));
            assert_int_equal(peer->cpl, kad_key_common_prefix(&t->own, &key));
            assert_int_equal(MIN(peer->cpl, t->bucket_count - 1), b);
            count++;
        }
    }
    assert_int_equal(count, t->count);
}

static const struct kad_key *sort_target;

static int by_distance(const void *a, const void *b)
{
    return kad_key_closer(sort_target, a, b);
}

/* Against sorting everything. */
static void check_closest(const struct routing_table *t, const struct kad_key *target, size_t max)
{
    static struct kad_key all[ROUTING_PEERS_MAX];
    const struct routing_peer *got[ROUTING_PEERS_MAX];
    size_t n = 0, position = 0;
    const struct routing_peer *peer;
    while ((peer = routing_table_next(t, &position)) != NULL)
        all[n++] = peer->key;
    sort_target = target;
    qsort(all, n, sizeof(all[0]), by_distance);
    assert_int_equal(routing_table_closest(t, target, got, max), MIN(n, max));
    for (size_t i = 0; i < MIN(n, max); i++)
        assert_memory_equal(&got[i]->key, &all[i], sizeof(all[i]));
}

static void random_steps_keep_the_table_whole(void **state)
{
    (void)state;
    struct account account;
    struct routing_table t;
    struct prng prng;
    struct peer_id own = peer_of(0);
    account_init(&account, "test", 4 * MIB);
    prng_init(&prng, 3);
    routing_table_init(&t, &own, true, ROUTING_GRACE_MS, &account);
    for (uint64_t step = 0; step < 20000; step++) {
        uint64_t n = prng_below(&prng, 3000);
        struct peer_id id = peer_of(n);
        struct multiaddr seen_at = at(1 + (unsigned)prng_below(&prng, 200), (unsigned)prng_below(&prng, 4), 1);
        uint64_t now = NOW + step * 1000;
        switch (prng_below(&prng, 8)) {
        case 0:
            (void)routing_table_failed(&t, &id);
            break;
        case 1:
            (void)routing_table_remove(&t, &id);
            break;
        case 2:
            routing_table_answered(&t, &id, n % 2 == 0, now);
            break;
        default: {
            enum err err = add(&t, n, &seen_at, n % 3 == 0, now);
            assert_int_equal(err == ERR_OK || err == ERR_EXISTS, routing_table_find(&t, &id) != NULL);
        }
        }
        if (step % 50 != 0)
            continue;
        check(&t);
        struct kad_key target = kad_key_of(span_of((uint8_t *)&step, sizeof(step)));
        check_closest(&t, &target, KAD_K);
        check_closest(&t, &t.own, 3);
        check_closest(&t, &target, ROUTING_PEERS_MAX);
    }
    assert_true(t.count > 50);
    assert_true(t.replaced > 0 && t.refused_diversity > 0);
    routing_table_release(&t);
    assert_int_equal(account_used(&account), 0);
}

static void buckets_split_as_the_key_space_does(void **state)
{
    (void)state;
    struct routing_table t;
    struct peer_id own = peer_of(0);
    struct multiaddr seen_at = at(1, 2, 3);
    routing_table_init(&t, &own, false, ROUTING_GRACE_MS, NULL);
    for (uint64_t n = 1; n <= 10000; n++)
        (void)add(&t, n, &seen_at, false, NOW);
    check(&t);
    /* 10,000 peers: about log2(10000/20) = 9 full buckets and the rest. */
    assert_in_range(t.bucket_count, 8, 13);
    for (size_t b = 0; b < 7; b++)
        assert_int_equal(t.buckets[b]->count, KAD_K);
    assert_in_range(t.count, 160, 250);
    routing_table_release(&t);
}

static uint64_t next_of_prefix_0(const struct routing_table *t, uint64_t n)
{
    for (;; n++) {
        struct peer_id id = peer_of(n);
        struct kad_key key = kad_key_of_peer(&id);
        if (kad_key_common_prefix(&t->own, &key) == 0)
            return n;
    }
}

/* As kubo: 3 of a group in the table, 2 of them at one common prefix length. RELIABILITY row P14. */
static void forty_of_one_network_get_three_places(void **state)
{
    (void)state;
    struct routing_table t;
    struct peer_id own = peer_of(0);
    struct multiaddr seen_at = at(1, 2, 3);
    routing_table_init(&t, &own, true, ROUTING_GRACE_MS, NULL);
    uint64_t first = next_of_prefix_0(&t, 1);
    for (uint64_t n = first, i = 0; i < 40; i++, n = next_of_prefix_0(&t, n + 1))
        assert_err(add(&t, n, &seen_at, true, NOW), i < ROUTING_GROUP_CPL_MAX ? ERR_OK : ERR_DENIED);
    for (uint64_t n = 1; n <= 200; n++) {
        enum err err = add(&t, n, &seen_at, true, NOW);
        assert_true(err == ERR_OK || err == ERR_DENIED || err == ERR_EXISTS);
    }
    assert_int_equal(t.count, ROUTING_GROUP_MAX);
    /* A place that gets free can be taken; a peer without an IP gets none. */
    struct peer_id gone = peer_of(first);
    assert_true(routing_table_remove(&t, &gone));
    assert_ok(add(&t, first, &seen_at, true, NOW));
    struct peer_id other = peer_of(999);
    assert_err(routing_table_add(&t, &other, span_text("\xff"), span_of(NULL, 0), true, NOW), ERR_DENIED);
    /* Who came from another network and moves here is not counted here. */
    struct multiaddr elsewhere = at(4, 5, 6);
    uint64_t mover = next_of_prefix_0(&t, 5000);
    struct peer_id id = peer_of(mover);
    assert_ok(add(&t, mover, &elsewhere, true, NOW));
    ip_group before = routing_table_find(&t, &id)->group;
    uint64_t refused = t.refused_diversity;
    assert_err(add(&t, mover, &seen_at, true, NOW), ERR_EXISTS);
    assert_true(routing_table_find(&t, &id)->group == before);
    assert_int_equal(t.refused_diversity, refused + 1);
    routing_table_release(&t);
}

/* Fills the bucket of prefix 0; returns how many numbers were tried. */
static uint64_t fill(struct routing_table *t, const struct multiaddr *seen_at)
{
    uint64_t n = 1;
    for (; t->bucket_count < 2 || t->buckets[0]->count < KAD_K; n++)
        (void)add(t, n, seen_at, true, NOW);
    return n;
}

static void only_failed_or_idle_peers_are_replaced(void **state)
{
    (void)state;
    struct routing_table t;
    struct peer_id own = peer_of(0);
    struct multiaddr seen_at = at(1, 2, 3);
    routing_table_init(&t, &own, false, ROUTING_GRACE_MS, NULL);
    uint64_t n = next_of_prefix_0(&t, fill(&t, &seen_at));
    assert_err(add(&t, n, &seen_at, true, NOW + ROUTING_GRACE_MS), ERR_BUSY);
    assert_int_equal(t.refused_full > 0, 1);
    /* A failure opens a place, once; an answer would have closed it. */
    struct peer_id failing = t.buckets[0]->peers[7]->id;
    struct peer_id healed = t.buckets[0]->peers[3]->id;
    assert_false(routing_table_failed(&t, &healed));
    routing_table_answered(&t, &healed, false, NOW);
    assert_false(routing_table_failed(&t, &failing));
    assert_ok(add(&t, n, &seen_at, true, NOW));
    assert_null(routing_table_find(&t, &failing));
    assert_non_null(routing_table_find(&t, &healed));
    n = next_of_prefix_0(&t, n + 1);
    assert_err(add(&t, n, &seen_at, true, NOW), ERR_BUSY);
    /* Past the grace the one that was of no use the longest goes. */
    for (size_t i = 0; i < KAD_K; i++) {
        struct peer_id id = t.buckets[0]->peers[i]->id;
        routing_table_answered(&t, &id, i != 5, NOW + 1000);
    }
    struct peer_id idle = t.buckets[0]->peers[5]->id;
    assert_ok(add(&t, n, &seen_at, true, NOW + ROUTING_GRACE_MS + 500));
    assert_null(routing_table_find(&t, &idle));
    /* Two failures in a row end a peer. */
    struct peer_id gone = peer_of(n);
    assert_false(routing_table_failed(&t, &gone));
    assert_true(routing_table_failed(&t, &gone));
    assert_null(routing_table_find(&t, &gone));
    assert_false(routing_table_failed(&t, &gone));
    check(&t);
    routing_table_release(&t);
}

static void a_newcomer_has_its_grace_and_the_oldest_goes(void **state)
{
    (void)state;
    struct routing_table t;
    struct peer_id own = peer_of(0);
    struct multiaddr seen_at = at(1, 2, 3);
    uint64_t n = 1;
    routing_table_init(&t, &own, false, ROUTING_GRACE_MS, NULL);
    for (; t.bucket_count < 2 || t.buckets[0]->count < KAD_K; n++)
        (void)add(&t, n, &seen_at, false, NOW); /* nobody was of use yet */
    n = next_of_prefix_0(&t, n);
    assert_err(add(&t, n, &seen_at, false, NOW + ROUTING_GRACE_MS), ERR_BUSY);
    for (size_t i = 0; i < KAD_K; i++) {
        struct peer_id id = t.buckets[0]->peers[i]->id;
        routing_table_answered(&t, &id, true, NOW + (i + 7) % KAD_K + 1);
    }
    struct peer_id oldest = t.buckets[0]->peers[13]->id;
    assert_ok(add(&t, n, &seen_at, false, NOW + 2 * ROUTING_GRACE_MS));
    assert_null(routing_table_find(&t, &oldest));
    routing_table_release(&t);
}

/* Who leaves for a newcomer of its own network does not count against it. */
static void one_of_a_full_network_replaces_another(void **state)
{
    (void)state;
    struct routing_table t;
    struct peer_id own = peer_of(0);
    struct multiaddr seen_at = at(1, 2, 3);
    routing_table_init(&t, &own, true, ROUTING_GRACE_MS, NULL);
    uint64_t n = next_of_prefix_0(&t, 1);
    struct peer_id failing = peer_of(n);
    for (unsigned i = 0; i < ROUTING_GROUP_CPL_MAX; i++, n = next_of_prefix_0(&t, n + 1))
        assert_ok(add(&t, n, &seen_at, true, NOW));
    for (unsigned i = 0; t.bucket_count < 2 || t.buckets[0]->count < KAD_K; i++, n++) {
        struct multiaddr other = at(60, i, 1);
        (void)add(&t, n, &other, true, NOW);
    }
    n = next_of_prefix_0(&t, n);
    assert_err(add(&t, n, &seen_at, true, NOW), ERR_BUSY);
    assert_false(routing_table_failed(&t, &failing));
    assert_ok(add(&t, n, &seen_at, true, NOW));
    assert_null(routing_table_find(&t, &failing));
    routing_table_release(&t);
}

static ip_group group_of(const char *text)
{
    struct multiaddr addr;
    assert_ok(multiaddr_parse_text(span_text(text), &addr));
    return ip_group_of_addr(multiaddr_span(&addr));
}

static void groups_are_networks(void **state)
{
    (void)state;
    assert_true(group_of("/ip4/1.2.3.4/tcp/1") == group_of("/ip4/1.2.9.9/tcp/1"));
    assert_true(group_of("/ip4/1.2.3.4/tcp/1") != group_of("/ip4/1.3.3.4/tcp/1"));
    assert_true(group_of("/ip4/12.2.3.4/tcp/1") == group_of("/ip4/12.9.3.4/tcp/1"));
    assert_true(group_of("/ip6/2002:102:304::1/tcp/1") == group_of("/ip4/1.2.9.9/tcp/1"));
    assert_true(group_of("/ip6/::ffff:1.2.3.4/tcp/1") == group_of("/ip4/1.2.9.9/tcp/1"));
    assert_true(group_of("/ip6/2a00:1:2::1/tcp/1") == group_of("/ip6/2a00:1:3::1/tcp/1"));
    assert_true(group_of("/ip6/2a00:1:2::1/tcp/1") != group_of("/ip6/2a00:2:2::1/tcp/1"));
    assert_true(group_of("/ip6zone/eth0/ip6/fe80::1/tcp/1") == group_of("/ip6/fe80::2/tcp/1"));
    assert_true(group_of("/ip6/fe80::2/tcp/1") != 0);
}

static void a_known_peer_is_renewed(void **state)
{
    (void)state;
    struct routing_table t;
    struct peer_id own = peer_of(0), id = peer_of(1);
    struct multiaddr here = at(1, 2, 3), there = at(4, 5, 6);
    routing_table_init(&t, &own, true, ROUTING_GRACE_MS, NULL);
    assert_ok(add(&t, 1, &here, false, NOW));
    const struct routing_peer *peer = routing_table_find(&t, &id);
    assert_int_equal(peer->last_useful_ms, 0);
    ip_group before = peer->group;
    assert_err(add(&t, 1, &there, true, NOW + 5), ERR_EXISTS);
    assert_int_equal(peer->last_useful_ms, NOW + 5);
    assert_true(peer->group != before);
    assert_true(addr_list_has(routing_peer_addrs(peer), multiaddr_span(&there)));
    assert_false(addr_list_has(routing_peer_addrs(peer), multiaddr_span(&here)));
    assert_err(add(&t, 0, &here, true, NOW), ERR_INVALID);
    routing_table_release(&t);
}

/* Every allocation refused at its turn: the table stays whole and nothing is lost. */
static void memory_is_bounded(void **state)
{
    (void)state;
    struct peer_id own = peer_of(0);
    struct multiaddr seen_at = at(1, 2, 3);
    for (uint64_t limit = 0; limit < 20 * KIB; limit += 37) {
        struct account account;
        struct routing_table t;
        account_init(&account, "test", limit);
        routing_table_init(&t, &own, false, ROUTING_GRACE_MS, &account);
        for (uint64_t n = 1; n < 100; n++)
            (void)add(&t, n, &seen_at, true, NOW);
        check(&t);
        routing_table_release(&t);
        assert_int_equal(account_used(&account), 0);
    }
    /* Addresses past the bound are left out. */
    struct routing_table t;
    struct buf list;
    struct peer_id id = peer_of(1);
    routing_table_init(&t, &own, false, ROUTING_GRACE_MS, NULL);
    buf_init(&list, 8 * KIB, NULL);
    for (unsigned i = 0; i < 100; i++) {
        struct multiaddr addr = at(1, 2, i);
        assert_ok(addr_list_add(&list, multiaddr_span(&addr)));
    }
    assert_ok(routing_table_add(&t, &id, multiaddr_span(&seen_at), buf_span(&list), false, NOW));
    assert_int_equal(addr_list_count(routing_peer_addrs(routing_table_find(&t, &id))), ROUTING_ADDRS_MAX);
    buf_clear(&list);
    for (unsigned i = 0; i < 10; i++) {
        char text[200];
        struct multiaddr addr;
        (void)snprintf(text, sizeof(text), "/dns/%0150u.org/tcp/4001", i);
        assert_ok(multiaddr_parse_text(span_text(text), &addr));
        assert_ok(addr_list_add(&list, multiaddr_span(&addr)));
    }
    assert_err(routing_table_add(&t, &id, multiaddr_span(&seen_at), buf_span(&list), false, NOW), ERR_EXISTS);
    size_t len = routing_peer_addrs(routing_table_find(&t, &id)).len;
    assert_true(len <= ROUTING_ADDRS_BYTES_MAX && len > ROUTING_ADDRS_BYTES_MAX - 170);
    buf_release(&list);
    routing_table_release(&t);
}

static void refresh_says_what_is_due(void **state)
{
    (void)state;
    struct routing_table t;
    struct peer_id own = peer_of(0);
    struct multiaddr seen_at = at(1, 2, 3);
    uint8_t due[ROUTING_REFRESH_CPL_MAX + 1];
    routing_table_init(&t, &own, false, ROUTING_GRACE_MS, NULL);
    assert_int_equal(routing_table_due(&t, 600000, NOW, due), 1); /* an empty table: look anywhere */
    for (uint64_t n = 1; n <= 1000; n++)
        (void)add(&t, n, &seen_at, true, NOW);
    size_t count = routing_table_due(&t, 600000, NOW, due);
    assert_true(count >= t.bucket_count);
    for (size_t i = 0; i < count; i++) {
        struct peer_id target;
        uint8_t random[32] = {(uint8_t)i};
        assert_int_equal(due[i], i);
        assert_true(routing_table_target(&t, due[i], random, &target));
        struct kad_key key = kad_key_of_peer(&target);
        assert_int_equal(kad_key_common_prefix(&t.own, &key), due[i]);
        routing_table_refreshed(&t, &key, NOW);
    }
    assert_int_equal(routing_table_due(&t, 600000, NOW + 599999, due), 0);
    assert_int_equal(routing_table_due(&t, 600000, NOW + 600000, due), count);
    assert_null(routing_table_stale(&t, 1000, NOW + 999));
    const struct routing_peer *stale = routing_table_stale(&t, 1000, NOW + 1000);
    assert_non_null(stale);
    struct peer_id id = stale->id;
    routing_table_answered(&t, &id, false, NOW + 1000);
    assert_false(peer_id_equal(&routing_table_stale(&t, 1000, NOW + 1000)->id, &id));
    routing_table_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_steps_keep_the_table_whole),
        cmocka_unit_test(buckets_split_as_the_key_space_does),
        cmocka_unit_test(forty_of_one_network_get_three_places),
        cmocka_unit_test(only_failed_or_idle_peers_are_replaced),
        cmocka_unit_test(a_newcomer_has_its_grace_and_the_oldest_goes),
        cmocka_unit_test(one_of_a_full_network_replaces_another),
        cmocka_unit_test(groups_are_networks),
        cmocka_unit_test(a_known_peer_is_renewed),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(refresh_says_what_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
