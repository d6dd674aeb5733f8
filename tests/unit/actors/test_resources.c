/* SPDX-License-Identifier: MIT */
/* Resources by scope: each limit, rows T1 and T18 of the attack list, and random use beside a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "actors/connection_manager/resources.h"
#include "base/limits.h"
#include "base/random.h"

static struct resource_limits usual(void)
{
    struct resource_limits l = {0};
    l.of[RESOURCE_SYSTEM][RESOURCE_CONNS_IN] = 160;
    l.of[RESOURCE_SYSTEM][RESOURCE_BYTES] = 1000;
    l.of[RESOURCE_TRANSIENT][RESOURCE_CONNS_IN] = RESOURCES_HALF_OPEN_MAX;
    l.of[RESOURCE_PEER][RESOURCE_CONNS_IN] = 2;
    l.of[RESOURCE_PEER][RESOURCE_STREAMS] = 10;
    l.of[RESOURCE_PEER][RESOURCE_BYTES] = 500;
    l.of[RESOURCE_PROTOCOL][RESOURCE_STREAMS] = 12;
    l.of[RESOURCE_PROTOCOL][RESOURCE_BYTES] = 800;
    l.of[RESOURCE_IP][RESOURCE_CONNS_IN] = RESOURCES_PER_IP_MAX;
    l.of[RESOURCE_PREFIX][RESOURCE_CONNS_IN] = RESOURCES_PER_IP_MAX * RESOURCES_PREFIX_FACTOR;
    l.of[RESOURCE_PREFIX][RESOURCE_STREAMS] = 25;
    return l;
}

static struct net_addr ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    return (struct net_addr){.family = NET_IP4, .port = 1, .ip = {a, b, c, d}};
}

static struct peer_id peer(uint8_t n)
{
    struct peer_id id = {.len = 34, .bytes = {0x12, 0x20, n}};
    return id;
}

static struct account account;

static void begin(struct resources *r)
{
    struct resource_limits l = usual();
    account_init(&account, "tables", 8 * MIB);
    resources_init(r, &l, &account);
}

/* Everything was given back. */
static void end(struct resources *r)
{
    static const struct resource_scope empty;
    assert_memory_equal(&r->system, &empty, sizeof(empty));
    assert_memory_equal(&r->transient, &empty, sizeof(empty));
    for (int kind = RESOURCE_PEER; kind < RESOURCE_KINDS; kind++)
        assert_int_equal(table_len(&r->scopes[kind]), 0);
    resources_release(r);
    assert_int_equal(account_used(&account), 0);
}

static enum err enter(struct resources *r, struct resource_conn *c, struct net_addr addr)
{
    return resources_enter(r, c, &addr, true, false);
}

static enum err upgrade(struct resources *r, struct resource_conn *c, uint8_t who)
{
    struct peer_id id = peer(who);
    return resources_upgraded(r, c, &id);
}

static void eight_per_address_then_room_again(void **state)
{
    (void)state;
    struct resources r;
    struct resource_conn c[RESOURCES_PER_IP_MAX + 1] = {0};
    begin(&r);
    for (uint8_t i = 0; i < RESOURCES_PER_IP_MAX; i++) {
        assert_int_equal(enter(&r, &c[i], ip4(203, 0, 113, 7)), ERR_OK);
        assert_int_equal(upgrade(&r, &c[i], i), ERR_OK);
    }
    assert_int_equal(enter(&r, &c[8], ip4(203, 0, 113, 7)), ERR_BUSY);
    assert_int_equal(r.refused[RESOURCE_IP], 1);
    resources_leave(&r, &c[0]);
    assert_int_equal(enter(&r, &c[0], ip4(203, 0, 113, 7)), ERR_OK);
    resources_leave(&r, &c[8]); /* it never entered */
    for (int i = 0; i < RESOURCES_PER_IP_MAX; i++)
        resources_leave(&r, &c[i]);
    end(&r);
}

static void ipv6_counts_by_56_and_48(void **state)
{
    (void)state;
    struct resources r;
    struct resource_conn c[40] = {0};
    begin(&r);
    size_t n = 0;
    for (uint8_t i = 0; i < 10; i++) { /* addresses of one /56 */
        struct net_addr a = {.family = NET_IP6, .ip = {0x20, 1, 0xd, 0xb8, 0, 0, 1, i, i}};
        enum err err = enter(&r, &c[n], a);
        n += err == ERR_OK;
    }
    assert_int_equal(n, RESOURCES_PER_IP_MAX);
    for (uint8_t i = 2; i < 40; i++) { /* others of its /48 */
        struct net_addr a = {.family = NET_IP6, .ip = {0x20, 1, 0xd, 0xb8, 0, 0, i}};
        enum err err = n < 40 ? enter(&r, &c[n], a) : ERR_BUSY;
        n += err == ERR_OK;
    }
    assert_int_equal(n, RESOURCES_PER_IP_MAX * RESOURCES_PREFIX_FACTOR);
    struct resource_conn other = {0};
    struct net_addr elsewhere = {.family = NET_IP6, .ip = {0x20, 1, 0xd, 0xb8, 0, 1}};
    assert_int_equal(enter(&r, &other, elsewhere), ERR_OK);
    resources_leave(&r, &other);
    for (size_t i = 0; i < n; i++)
        resources_leave(&r, &c[i]);
    end(&r);
}

static void T18_a_flood_from_one_24_is_bounded(void **state)
{
    (void)state;
    static struct resource_conn c[10000];
    struct resources r;
    begin(&r);
    memset(c, 0, sizeof(c));
    unsigned entered = 0;
    for (int i = 0; i < 10000; i++)
        entered += enter(&r, &c[i], ip4(198, 51, 100, (uint8_t)i)) == ERR_OK;
    assert_int_equal(entered, RESOURCES_PER_IP_MAX * RESOURCES_PREFIX_FACTOR);
    assert_true(table_len(&r.scopes[RESOURCE_IP]) <= entered); /* the refused left nothing */
    struct resource_conn honest = {0};
    assert_int_equal(enter(&r, &honest, ip4(198, 51, 101, 1)), ERR_OK);
    resources_leave(&r, &honest);
    for (int i = 0; i < 10000; i++)
        resources_leave(&r, &c[i]);
    end(&r);
}

static void T1_half_open_is_capped_also_for_exempt_addresses(void **state)
{
    (void)state;
    static struct resource_conn c[1000];
    struct resources r;
    struct net_addr lo = ip4(127, 0, 0, 1);
    begin(&r);
    memset(c, 0, sizeof(c));
    unsigned entered = 0;
    for (int i = 0; i < 1000; i++)
        entered += resources_enter(&r, &c[i], &lo, true, true) == ERR_OK;
    assert_int_equal(entered, RESOURCES_HALF_OPEN_MAX);
    assert_true(resources_are_crowded(&r));
    assert_int_equal(c[0].ip->half_open, RESOURCES_HALF_OPEN_MAX);
    resources_leave(&r, &c[0]); /* the victim */
    assert_false(resources_are_crowded(&r));
    assert_int_equal(resources_enter(&r, &c[0], &lo, true, true), ERR_OK);
    for (int i = 0; i < 1000; i++)
        resources_leave(&r, &c[i]);
    end(&r);
}

static void a_peer_has_so_many_connections_from_wherever(void **state)
{
    (void)state;
    struct resources r;
    struct resource_conn c[3] = {0};
    begin(&r);
    for (uint8_t i = 0; i < 3; i++)
        assert_int_equal(enter(&r, &c[i], ip4(10, i, 0, 1)), ERR_OK);
    assert_int_equal(upgrade(&r, &c[0], 1), ERR_OK);
    assert_int_equal(upgrade(&r, &c[1], 1), ERR_OK);
    assert_int_equal(upgrade(&r, &c[2], 1), ERR_BUSY);
    assert_int_equal(r.refused[RESOURCE_PEER], 1);
    assert_int_equal(r.transient.used[RESOURCE_CONNS], 1);
    assert_int_equal(upgrade(&r, &c[2], 2), ERR_OK);
    for (int i = 0; i < 3; i++)
        resources_leave(&r, &c[i]);
    end(&r);
}

static void streams_and_bytes_count_in_every_scope(void **state)
{
    (void)state;
    struct resources r;
    struct resource_conn c[2] = {0};
    struct resource_stream s[20] = {0};
    begin(&r);
    for (uint8_t i = 0; i < 2; i++) {
        assert_int_equal(enter(&r, &c[i], ip4(10, 0, 0, i)), ERR_OK);
        assert_int_equal(upgrade(&r, &c[i], i), ERR_OK);
    }
    for (int i = 0; i < 10; i++) {
        assert_int_equal(resources_open(&r, &s[i], &c[0], true), ERR_OK);
        assert_int_equal(resources_agree(&r, &s[i], "/a"), ERR_OK);
    }
    assert_int_equal(resources_open(&r, &s[10], &c[0], false), ERR_BUSY); /* the peer's ten */
    for (int i = 10; i < 12; i++) {
        assert_int_equal(resources_open(&r, &s[i], &c[1], true), ERR_OK);
        assert_int_equal(resources_agree(&r, &s[i], "/a"), ERR_OK);
    }
    assert_int_equal(resources_open(&r, &s[12], &c[1], true), ERR_OK);
    assert_int_equal(resources_agree(&r, &s[12], "/a"), ERR_BUSY); /* the protocol's twelve */
    resources_close(&r, &s[12]);
    assert_true(resources_hold(&r, &s[0], 500));
    assert_false(resources_hold(&r, &s[1], 1)); /* the peer's 500 */
    assert_false(resources_have_room(&r, &c[0], 1));
    assert_true(resources_have_room(&r, &c[1], 500));
    assert_true(resources_hold(&r, &s[10], 300));
    assert_false(resources_hold(&r, &s[11], 1)); /* the protocol's 800 */
    assert_int_equal(r.refused[RESOURCE_PROTOCOL], 2);
    resources_give(&r, &s[0], 200);
    resources_give(&r, &s[10], UINT64_MAX); /* never more than it holds */
    assert_int_equal(r.system.used[RESOURCE_BYTES], 300);
    for (int i = 0; i < 13; i++)
        resources_close(&r, &s[i]); /* with what they hold */
    for (int i = 0; i < 2; i++)
        resources_leave(&r, &c[i]);
    end(&r);
}

/* Random use: no scope of one kind is ever above its limit, and all sums agree. */
/* Bytes that came before the protocol was agreed are its bytes, too; and more than the whole limit never fits. */
static void bytes_go_with_their_stream(void **state)
{
    (void)state;
    struct resources r;
    struct resource_conn c = {0};
    struct resource_stream s = {0};
    begin(&r);
    assert_int_equal(enter(&r, &c, ip4(203, 0, 113, 1)), ERR_OK);
    assert_int_equal(upgrade(&r, &c, 1), ERR_OK);
    assert_int_equal(resources_open(&r, &s, &c, true), ERR_OK);
    assert_false(resources_hold(&r, &s, 501) || resources_hold(&r, &s, UINT64_MAX));
    assert_true(resources_hold(&r, &s, 300));
    assert_int_equal(resources_agree(&r, &s, "/a"), ERR_OK);
    const struct resource_scope *protocol = table_get(&r.scopes[RESOURCE_PROTOCOL], span_text("/a"));
    assert_int_equal(protocol->used[RESOURCE_BYTES], 300);
    resources_give(&r, &s, 100);
    assert_int_equal(protocol->used[RESOURCE_BYTES], 200);
    resources_close(&r, &s);
    resources_leave(&r, &c);
    end(&r);
}

static void random_use_stays_within_and_adds_up(void **state)
{
    (void)state;
    enum { CONNS = 60, STREAMS = 200 };
    static struct resource_conn c[CONNS];
    static struct resource_stream s[STREAMS];
    static bool up[CONNS];
    static const char *const names[] = {"/a", "/b", "/c"};
    struct resources r;
    struct prng prng;
    prng_init(&prng, 9);
    begin(&r);
    for (int step = 0; step < 100000; step++) {
        size_t i = (size_t)prng_below(&prng, CONNS);
        size_t k = (size_t)prng_below(&prng, STREAMS);
        uint64_t what = prng_below(&prng, 6);
        bool has_streams = false;
        for (size_t j = 0; j < STREAMS; j++)
            has_streams = has_streams || s[j].conn == &c[i];
        if (what == 0 && c[i].ip == NULL) {
            (void)!enter(&r, &c[i], ip4(10, 0, (uint8_t)(i / 30), (uint8_t)(i / 6)));
            up[i] = false;
        } else if (what == 1 && c[i].ip != NULL && !up[i]) {
            up[i] = upgrade(&r, &c[i], (uint8_t)(i / 3)) == ERR_OK;
        } else if (what == 2 && c[i].ip != NULL && !has_streams && prng_below(&prng, 8) == 0) {
            resources_leave(&r, &c[i]);
        } else if (what == 3 && s[k].conn == NULL && c[i].ip != NULL && up[i]) {
            if (resources_open(&r, &s[k], &c[i], prng_below(&prng, 2) == 0) == ERR_OK &&
                resources_agree(&r, &s[k], names[k % 3]) != ERR_OK)
                resources_close(&r, &s[k]);
        } else if (what == 4 && s[k].conn != NULL) {
            (void)!resources_hold(&r, &s[k], prng_below(&prng, 100));
        } else if (what == 5 && s[k].conn != NULL && prng_below(&prng, 2) == 0) {
            resources_close(&r, &s[k]);
        }
        uint64_t conns = 0;
        uint64_t bytes = 0;
        for (size_t j = 0; j < CONNS; j++)
            conns += c[j].ip != NULL;
        for (size_t j = 0; j < STREAMS; j++)
            bytes += s[j].bytes;
        assert_int_equal(r.system.used[RESOURCE_CONNS], conns);
        assert_int_equal(r.system.used[RESOURCE_BYTES], bytes);
        for (int kind = RESOURCE_PEER; kind < RESOURCE_KINDS; kind++) {
            size_t position = 0;
            const struct resource_scope *scope;
            while ((scope = table_next(&r.scopes[kind], &position, NULL)) != NULL)
                for (int w = 0; w < RESOURCES; w++)
                    assert_true(r.limits.of[kind][w] == 0 || scope->used[w] <= r.limits.of[kind][w]);
        }
    }
    for (size_t j = 0; j < STREAMS; j++)
        resources_close(&r, &s[j]);
    for (size_t j = 0; j < CONNS; j++)
        resources_leave(&r, &c[j]);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_per_address_then_room_again),
        cmocka_unit_test(ipv6_counts_by_56_and_48),
        cmocka_unit_test(T18_a_flood_from_one_24_is_bounded),
        cmocka_unit_test(T1_half_open_is_capped_also_for_exempt_addresses),
        cmocka_unit_test(a_peer_has_so_many_connections_from_wherever),
        cmocka_unit_test(streams_and_bytes_count_in_every_scope),
        cmocka_unit_test(bytes_go_with_their_stream),
        cmocka_unit_test(random_use_stays_within_and_adds_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
