/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "dht/addr_scope.h"
#include "dht/ip_group.h"
#include "dht/kad_key.h"
#include "tests/support/bytes.h"
#include "wire/addr_list.h"
#include "wire/multiaddr.h"

/* SHA-256 of "abc" is published with the function (FIPS 180-2). */
static void a_key_is_the_hash_of_its_bytes(void **state)
{
    (void)state;
    struct kad_key key = kad_key_of(span_text("abc"));
    assert_span(span_of(key.bytes, sizeof(key.bytes)),
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct peer_id id;
    assert_ok(peer_id_parse_text(span_text("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"), &id));
    struct kad_key of_peer = kad_key_of_peer(&id);
    struct kad_key of_bytes = kad_key_of(peer_id_span(&id));
    assert_int_equal(kad_key_compare(&of_peer, &of_bytes), 0);
}

static void common_prefix_counts_equal_bits(void **state)
{
    (void)state;
    struct kad_key a = {{0}};
    for (unsigned bit = 0; bit < KAD_KEY_BITS; bit++) {
        struct kad_key b = a;
        b.bytes[bit / 8] = (uint8_t)(0x80 >> (bit % 8));
        assert_int_equal(kad_key_common_prefix(&a, &b), bit);
        b.bytes[31] |= 1;
        assert_int_equal(kad_key_common_prefix(&a, &b), bit);
    }
    assert_int_equal(kad_key_common_prefix(&a, &a), KAD_KEY_BITS);
}

/* Beside the byte by byte comparison of distances. */
static void closer_is_the_order_of_distances(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 7);
    for (int round = 0; round < 20000; round++) {
        struct kad_key k[3];
        for (size_t i = 0; i < 3; i++) {
            for (size_t b = 0; b < KAD_KEY_BYTES; b++) /* few values, so that equal prefixes are long */
                k[i].bytes[b] = (uint8_t)(prng_below(&prng, 12) == 0 ? prng_next(&prng) : 0x55);
        }
        struct kad_key to_a = kad_key_distance(&k[0], &k[1]);
        struct kad_key to_b = kad_key_distance(&k[0], &k[2]);
        int want = memcmp(to_a.bytes, to_b.bytes, sizeof(to_a.bytes));
        int got = kad_key_closer(&k[0], &k[1], &k[2]);
        assert_true((want < 0) == (got < 0) && (want > 0) == (got > 0));
    }
}

static ip_group group(const char *text)
{
    struct multiaddr addr;
    assert_ok(multiaddr_parse_text(span_text(text), &addr));
    return ip_group_of_addr(multiaddr_span(&addr));
}

/* The cases of go-libp2p-kbucket's filter, and IPv6 by /32. */
static void groups_are_what_one_owner_holds(void **state)
{
    (void)state;
    assert_true(group("/ip4/1.2.3.4/tcp/1") == group("/ip4/1.2.200.4/udp/9/quic-v1"));
    assert_true(group("/ip4/1.2.3.4/tcp/1") != group("/ip4/1.3.3.4/tcp/1"));
    assert_true(group("/ip4/12.1.3.4/tcp/1") == group("/ip4/12.99.3.4/tcp/1"));
    assert_true(group("/ip4/17.1.3.4/tcp/1") == group("/ip4/17.200.3.4/tcp/1"));
    assert_true(group("/ip4/13.1.3.4/tcp/1") != group("/ip4/13.200.3.4/tcp/1"));
    assert_true(group("/ip6/2a01:4f8:1:2::1/tcp/1") == group("/ip6/2a01:4f8:ffff::1/tcp/1"));
    assert_true(group("/ip6/2a01:4f8::1/tcp/1") != group("/ip6/2a01:4f9::1/tcp/1"));
    assert_true(group("/ip6/2002:102:304::1/tcp/1") == group("/ip4/1.2.3.4/tcp/1"));
    assert_true(group("/ip6/::ffff:1.2.3.4/tcp/1") == group("/ip4/1.2.3.4/tcp/1"));
    assert_true(group("/dns4/a.example/tcp/1") == group("/dnsaddr/b.example"));
    assert_true(group("/unix/a") == 0);
    assert_true(ip_group_of_addr(span_text("\xff\xff")) == 0);
}

static bool admits(enum addr_scope scope, const char *text)
{
    struct multiaddr addr;
    assert_ok(multiaddr_parse_text(span_text(text), &addr));
    bool yes = addr_scope_admits(scope, multiaddr_span(&addr));
    assert_int_equal(addr_scope_admits_listed(scope, multiaddr_span(&addr)), yes);
    return yes;
}

static void addresses_stay_in_their_dht(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool wan, lan, loopback;
    } cases[] = {
        {"/ip4/1.2.3.4/tcp/1", true, true, true},           {"/ip4/10.0.0.1/tcp/1", false, true, true},
        {"/ip4/192.168.1.1/tcp/1", false, true, true},      {"/ip4/172.16.1.1/tcp/1", false, true, true},
        {"/ip4/100.64.0.1/tcp/1", false, true, true},       {"/ip4/169.254.0.1/tcp/1", false, true, true},
        {"/ip4/127.0.0.1/tcp/1", false, false, true},       {"/ip6/::1/tcp/1", false, false, true},
        {"/ip6/fd00::1/tcp/1", false, true, true},          {"/ip6/2a01:4f8::1/tcp/1", true, true, true},
        {"/ip4/0.0.0.0/tcp/1", false, false, false},        {"/ip4/224.0.0.1/tcp/1", false, false, false},
        {"/dns4/peer.example.org/tcp/1", true, true, true}, {"/dns4/peer.local/tcp/1", false, true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(admits(ADDR_SCOPE_WAN, cases[i].text), cases[i].wan);
        assert_int_equal(admits(ADDR_SCOPE_LAN, cases[i].text), cases[i].lan);
        assert_int_equal(admits(ADDR_SCOPE_LAN_LOOPBACK, cases[i].text), cases[i].loopback);
    }
    assert_false(addr_scope_admits(ADDR_SCOPE_LAN_LOOPBACK, span_text("\xff\xff\xff")));
    assert_false(addr_scope_admits(ADDR_SCOPE_LAN_LOOPBACK, span_of(NULL, 0)));
}

static void list_of(struct buf *list, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct multiaddr addr;
        assert_ok(multiaddr_parse_text(span_text(texts[i]), &addr));
        assert_ok(addr_list_add(list, multiaddr_span(&addr)));
    }
}

static void a_list_is_filtered(void **state)
{
    (void)state;
    static const char *const texts[] = {"/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1", "/ip4/1.2.3.4/tcp/1",
                                        "/ip4/5.6.7.8/tcp/1"};
    static const char *const relayed[] = {
        "/ip4/1.2.3.4/tcp/1/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA/p2p-circuit"};
    struct buf list, out;
    buf_init(&list, 1024, NULL);
    buf_init(&out, 1024, NULL);
    list_of(&list, texts, ARRAY_LEN(texts));
    assert_ok(addr_scope_filter(ADDR_SCOPE_WAN, buf_span(&list), 8, &out));
    assert_int_equal(addr_list_count(buf_span(&out)), 2);
    buf_clear(&out);
    assert_ok(addr_scope_filter(ADDR_SCOPE_LAN, buf_span(&list), 2, &out));
    assert_int_equal(addr_list_count(buf_span(&out)), 2);
    assert_true(addr_scope_usable(ADDR_SCOPE_WAN, buf_span(&list)));
    buf_clear(&list);
    assert_false(addr_scope_usable(ADDR_SCOPE_LAN, buf_span(&list)));
    list_of(&list, relayed, 1);
    assert_false(addr_scope_usable(ADDR_SCOPE_WAN, buf_span(&list)));
    assert_true(addr_scope_usable(ADDR_SCOPE_LAN, buf_span(&list)));
    buf_release(&list);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_the_hash_of_its_bytes),   cmocka_unit_test(common_prefix_counts_equal_bits),
        cmocka_unit_test(closer_is_the_order_of_distances), cmocka_unit_test(groups_are_what_one_owner_holds),
        cmocka_unit_test(addresses_stay_in_their_dht),      cmocka_unit_test(a_list_is_filtered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
