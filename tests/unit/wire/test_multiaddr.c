/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/multiaddr.h"

#define PEER  "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
#define RELAY "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"

static struct multiaddr of_text(const char *text)
{
    struct multiaddr addr;
    assert_ok(multiaddr_parse_text(span_text(text), &addr));
    return addr;
}

static void expect_text(const struct multiaddr *addr, const char *text)
{
    char out[MULTIADDR_TEXT_MAX];
    assert_ok(multiaddr_text(multiaddr_span(addr), out, sizeof(out)));
    assert_string_equal(out, text);
}

/* The multiaddr spec's example and the byte forms that go-multiaddr's tests print. */
static void known_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *hex;
    } facts[] = {
        {"/ip4/127.0.0.1/udp/1234", "047f000001910204d2"},
        {"/ip4/127.0.0.1/tcp/4321", "047f0000010610e1"},
        {"/ip4/127.0.0.1/udp/1234/ip4/127.0.0.1/tcp/4321", "047f000001910204d2047f0000010610e1"},
        {"/onion/aaimaq4ygg2iegci:80", "bc030010c0439831b48218480050"},
        {"/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234",
         "bd03adadec040be047f9658668b11a504f3155001f231a37f54c4476c07fb4cc139ed7e30304d2"},
        {"/dnsaddr/sjc-1.bootstrap.libp2p.io", "3819736a632d312e626f6f7473747261702e6c69627032702e696f"},
        {"/ip6zone/x/ip6/fe80::1", "2a017829fe800000000000000000000000000001"},
        {"/ip4/1.2.3.4/ipcidr/24", "04010203042b18"},
        {"/unix/a/b/c/d/e", "90030a2f612f622f632f642f65"},
    };
    for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
        struct multiaddr addr = of_text(facts[i].text);
        assert_span(multiaddr_span(&addr), facts[i].hex);
        expect_text(&addr, facts[i].text);
        struct multiaddr back;
        assert_ok(multiaddr_parse(bytes_of_hex(facts[i].hex), &back));
        assert_memory_equal(&back, &addr, sizeof(addr));
    }
}

static void texts_of_the_public_network_round_trip(void **state)
{
    (void)state;
    static const char *texts[] = {
        "/ip4/10.0.0.1/tcp/4001/p2p/" PEER,
        "/ip6/2604:1380:1000:6000::1/udp/4001/quic-v1/p2p/" RELAY,
        "/ip6/::ffff:1.2.3.4/tcp/0",
        "/ip4/1.2.3.4/udp/4001/quic/webtransport",
        "/ip4/1.2.3.4/udp/4001/quic-v1/webtransport/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjLa2R_RF71v86aVxlqdKNOQ",
        "/ip4/1.2.3.4/udp/9090/webrtc-direct/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjLa2R_RF71v86aVxlqdKNOQ/p2p/" PEER,
        "/ip4/1.2.3.4/tcp/4001/p2p/" RELAY "/p2p-circuit/p2p/" PEER,
        "/dns4/example.com/tcp/443/wss/p2p/" PEER,
        "/dns/example.com/tcp/443/tls/ws",
        "/dns6/example.com/tcp/443/tls/sni/a.example.com/ws",
        "/ip4/1.2.3.4/tcp/80/http/http-path/a%2Fb%20c",
        "/ip4/1.2.3.4/tcp/443/https",
        "/ip4/1.2.3.4/tcp/443/tls/noise",
        "/dnsaddr/bootstrap.libp2p.io/p2p/" RELAY,
        "/memory/1234",
        "/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertzuq",
        "/ip4/1.2.3.4/udp/1/utp",
        "/webrtc",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct multiaddr addr = of_text(texts[i]);
        expect_text(&addr, texts[i]);
        struct multiaddr back;
        assert_ok(multiaddr_parse(multiaddr_span(&addr), &back));
        assert_memory_equal(&back, &addr, sizeof(addr));
    }
}

static void other_spellings_are_read(void **state)
{
    (void)state;
    struct multiaddr addr = of_text("/ip4/1.2.3.4/tcp/1/ipfs/" RELAY "/");
    expect_text(&addr, "/ip4/1.2.3.4/tcp/1/p2p/" RELAY);
    addr = of_text("/p2p/bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe");
    expect_text(&addr, "/p2p/" RELAY);
    addr = of_text("/ip6/2001:0db8:0:0:0:0:0:1");
    expect_text(&addr, "/ip6/2001:db8::1");
}

static void foreign_text_is_refused(void **state)
{
    (void)state;
    static const char *texts[] = {
        "",
        "/",
        "//",
        "ip4/1.2.3.4",
        "/ip4",
        "/ip4/",
        "/ip4/1.2.3",
        "/ip4/1.2.3.256",
        "/ip4/::1",
        "/ip6/1.2.3.4",
        "/ip6/fe80::1%eth0",
        "/ip4/1.2.3.4/tcp",
        "/ip4/1.2.3.4/tcp/65536",
        "/ip4/1.2.3.4/tcp/-1",
        "/ip4/1.2.3.4/tcp/0x1",
        "/ip4/1.2.3.4/tcp/a",
        "/ip4/1.2.3.4/nosuch/1",
        "/p2p",
        "/p2p/",
        "/p2p/Qm",
        "/dns4//tcp/1",
        "/onion/aaimaq4ygg2iegci",
        "/onion/aaimaq4ygg2iegci:0",
        "/onion/aaimaq4ygg2iegci:65536",
        "/onion3/aaimaq4ygg2iegci:80",
        "/certhash/",
        "/certhash/uEiAk",
        "/http-path/%2",
        "/http-path/%zz",
        "/unix",
        "/unix/",
        "/ip4/1.2.3.4/ipcidr/256",
        "/garlic32/aaaa",
        "/garlic64/AAAA",
        "/sni//sni/0",
        "/memory/18446744073709551616",
        "/ip4/1.2.3.4//tcp/1",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct multiaddr addr = {.len = 7};
        assert_int_not_equal(multiaddr_parse_text(span_text(texts[i]), &addr), ERR_OK);
        assert_int_equal(addr.len, 7);
    }
}

static void foreign_bytes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum err expected;
    } cases[] = {
        {"", ERR_INVALID},
        {"04", ERR_TRUNCATED},
        {"047f0000", ERR_TRUNCATED},
        {"84007f000001", ERR_INVALID}, /* code not minimal */
        {"ffff03", ERR_UNSUPPORTED},
        {"3805616263", ERR_TRUNCATED},
        {"3503612f62", ERR_INVALID}, /* a slash in a name */
        {"3503610062", ERR_INVALID}, /* NUL in a name */
        {"3500", ERR_INVALID},
        {"a50300", ERR_INVALID},
        {"a503021200", ERR_INVALID},
        {"d20300", ERR_INVALID},
        {"9003022f610600", ERR_INVALID},   /* something after a unix path: cut */
        {"9003022f610610e1", ERR_INVALID}, /* and whole */
        {"35ffffffffffffffff7f", ERR_TRUNCATED},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct multiaddr addr;
        assert_err(multiaddr_parse(bytes_of_hex(cases[i].hex), &addr), cases[i].expected);
    }
    uint8_t big[MULTIADDR_BYTES_MAX + 4];
    for (size_t i = 0; i < sizeof(big); i += 2)
        memcpy(big + i, "\x99\x02", 2); /* webrtc */
    struct multiaddr addr;
    assert_err(multiaddr_parse(span_of(big, sizeof(big)), &addr), ERR_TOO_LARGE);
    assert_ok(multiaddr_parse(span_of(big, MULTIADDR_BYTES_MAX), &addr));
    char text[MULTIADDR_TEXT_MAX];
    assert_ok(multiaddr_text(multiaddr_span(&addr), text, sizeof(text)));
    assert_err(multiaddr_text(multiaddr_span(&addr), text, 100), ERR_TOO_LARGE);
}

static void targets_are_extracted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum multiaddr_host host;
        enum multiaddr_transport via;
        uint16_t port;
        bool peer;
    } cases[] = {
        {"/ip4/1.2.3.4/tcp/4001", MULTIADDR_HOST_IP4, MULTIADDR_VIA_TCP, 4001, false},
        {"/ip6/::1/tcp/4001/p2p/" PEER, MULTIADDR_HOST_IP6, MULTIADDR_VIA_TCP, 4001, true},
        {"/dns/example.com/tcp/443/tls/ws/p2p/" PEER, MULTIADDR_HOST_DNS, MULTIADDR_VIA_WSS, 443, true},
        {"/dns4/example.com/tcp/443/wss", MULTIADDR_HOST_DNS4, MULTIADDR_VIA_WSS, 443, false},
        {"/ip4/1.2.3.4/tcp/8081/ws", MULTIADDR_HOST_IP4, MULTIADDR_VIA_WS, 8081, false},
        {"/dnsaddr/bootstrap.libp2p.io/p2p/" RELAY, MULTIADDR_HOST_DNSADDR, MULTIADDR_VIA_DNSADDR, 0, true},
        {"/ip4/1.2.3.4/udp/4001/quic-v1", MULTIADDR_HOST_IP4, MULTIADDR_VIA_OTHER, 4001, false},
        {"/ip4/1.2.3.4/tcp/4001/p2p/" RELAY "/p2p-circuit/p2p/" PEER, MULTIADDR_HOST_IP4, MULTIADDR_VIA_CIRCUIT, 4001,
         true},
        {"/ip4/1.2.3.4/tcp/4001/p2p/" RELAY "/p2p-circuit", MULTIADDR_HOST_IP4, MULTIADDR_VIA_CIRCUIT, 4001, false},
        {"/ip4/1.2.3.4/tcp/443/https", MULTIADDR_HOST_IP4, MULTIADDR_VIA_OTHER, 443, false},
        {"/ip4/1.2.3.4", MULTIADDR_HOST_IP4, MULTIADDR_VIA_OTHER, 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct multiaddr addr = of_text(cases[i].text);
        struct multiaddr_target target;
        assert_ok(multiaddr_target(multiaddr_span(&addr), &target));
        assert_int_equal(target.host, cases[i].host);
        assert_int_equal(target.via, cases[i].via);
        assert_int_equal(target.port, cases[i].port);
        assert_int_equal(!peer_id_is_empty(&target.peer), cases[i].peer);
    }
    struct multiaddr_target target;
    struct multiaddr addr = of_text("/ip6zone/eth0/ip6/fe80::1/tcp/5");
    assert_ok(multiaddr_target(multiaddr_span(&addr), &target));
    assert_true(span_equal_text(target.zone, "eth0"));
    addr = of_text("/dns/a.b/tcp/443/tls/sni/c.d/ws");
    assert_ok(multiaddr_target(multiaddr_span(&addr), &target));
    assert_true(span_equal_text(target.name, "a.b") && span_equal_text(target.sni, "c.d"));
    addr = of_text("/p2p/" PEER);
    assert_err(multiaddr_target(multiaddr_span(&addr), &target), ERR_UNSUPPORTED);
}

static void peers_are_added_and_removed(void **state)
{
    (void)state;
    struct multiaddr addr = of_text("/ip4/1.2.3.4/tcp/1");
    struct multiaddr with = of_text("/ip4/1.2.3.4/tcp/1/p2p/" PEER);
    struct peer_id peer;
    struct peer_id other;
    assert_ok(peer_id_parse_text(span_text(PEER), &peer));
    assert_ok(peer_id_parse_text(span_text(RELAY), &other));
    struct peer_id found;
    assert_err(multiaddr_peer(multiaddr_span(&addr), &found), ERR_NOT_FOUND);
    assert_true(span_equal(multiaddr_without_peer(multiaddr_span(&with)), multiaddr_span(&addr)));
    assert_true(span_equal(multiaddr_without_peer(multiaddr_span(&addr)), multiaddr_span(&addr)));
    assert_ok(multiaddr_add_peer(&addr, &peer));
    assert_memory_equal(&addr, &with, sizeof(addr));
    assert_ok(multiaddr_add_peer(&addr, &peer));
    assert_memory_equal(&addr, &with, sizeof(addr));
    assert_err(multiaddr_add_peer(&addr, &other), ERR_MISMATCH);
    assert_ok(multiaddr_peer(multiaddr_span(&addr), &found));
    assert_true(peer_id_equal(&found, &peer));
    assert_true(multiaddr_has(multiaddr_span(&addr), MULTIADDR_TCP));
    assert_false(multiaddr_has(multiaddr_span(&addr), MULTIADDR_UDP));
}

static void scopes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum multiaddr_scope scope;
    } cases[] = {
        {"/ip4/127.0.0.5/tcp/1", MULTIADDR_SCOPE_LOOPBACK},
        {"/ip6/::1/tcp/1", MULTIADDR_SCOPE_LOOPBACK},
        {"/ip4/0.0.0.0/tcp/1", MULTIADDR_SCOPE_UNSPECIFIED},
        {"/ip6/::/tcp/1", MULTIADDR_SCOPE_UNSPECIFIED},
        {"/ip4/10.1.2.3/tcp/1", MULTIADDR_SCOPE_PRIVATE},
        {"/ip4/172.31.255.255/tcp/1", MULTIADDR_SCOPE_PRIVATE},
        {"/ip4/172.32.0.0/tcp/1", MULTIADDR_SCOPE_PUBLIC},
        {"/ip4/192.168.0.1/tcp/1", MULTIADDR_SCOPE_PRIVATE},
        {"/ip4/100.127.0.1/tcp/1", MULTIADDR_SCOPE_PRIVATE},
        {"/ip4/100.128.0.1/tcp/1", MULTIADDR_SCOPE_PUBLIC},
        {"/ip4/169.254.1.1/tcp/1", MULTIADDR_SCOPE_LINK},
        {"/ip6/fe80::1/tcp/1", MULTIADDR_SCOPE_LINK},
        {"/ip6/fd00::1/tcp/1", MULTIADDR_SCOPE_PRIVATE},
        {"/ip4/224.0.0.251/tcp/1", MULTIADDR_SCOPE_RESERVED},
        {"/ip4/255.255.255.255/tcp/1", MULTIADDR_SCOPE_RESERVED},
        {"/ip6/2001:db8::1/tcp/1", MULTIADDR_SCOPE_RESERVED},
        {"/ip4/8.8.8.8/tcp/1", MULTIADDR_SCOPE_PUBLIC},
        {"/ip6/2606:4700::1/tcp/1", MULTIADDR_SCOPE_PUBLIC},
        {"/ip6/::ffff:10.0.0.1/tcp/1", MULTIADDR_SCOPE_PRIVATE},
        {"/dns/localhost/tcp/1", MULTIADDR_SCOPE_LOOPBACK},
        {"/dns/printer.local/tcp/1", MULTIADDR_SCOPE_PRIVATE},
        {"/dns/ipfs.io/tcp/1", MULTIADDR_SCOPE_PUBLIC},
        {"/p2p/" PEER, MULTIADDR_SCOPE_RESERVED},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct multiaddr addr = of_text(cases[i].text);
        assert_int_equal(multiaddr_scope(multiaddr_span(&addr)), cases[i].scope);
    }
}

static void made_from_sockets(void **state)
{
    (void)state;
    struct multiaddr addr = multiaddr_of_tcp(bytes_of_hex("7f000001"), 4001);
    expect_text(&addr, "/ip4/127.0.0.1/tcp/4001");
    addr = multiaddr_of_tcp(bytes_of_hex("00000000000000000000000000000001"), 1);
    expect_text(&addr, "/ip6/::1/tcp/1");
}

/* What holds for any input: no crash, and what is accepted has one text and one byte form. */
static void survive_bytes(struct span bytes)
{
    struct multiaddr addr;
    struct multiaddr back;
    struct multiaddr_target target;
    char text[MULTIADDR_TEXT_MAX];
    (void)multiaddr_scope(bytes);
    (void)multiaddr_without_peer(bytes);
    if (multiaddr_target(bytes, &target) == ERR_OK)
        assert_true(target.name.len <= bytes.len);
    if (multiaddr_parse(bytes, &addr) != ERR_OK)
        return;
    assert_ok(multiaddr_text(multiaddr_span(&addr), text, sizeof(text)));
    assert_ok(multiaddr_parse_text(span_text(text), &back));
    assert_memory_equal(&back, &addr, sizeof(addr));
}

static void survive_text(struct span text)
{
    struct multiaddr addr;
    if (multiaddr_parse_text(text, &addr) == ERR_OK)
        survive_bytes(multiaddr_span(&addr));
}

/* Undoes Go's quoting; the corpus uses \xNN and one-letter escapes only. */
static size_t unquote(char *text, char *end)
{
    char *to = text;
    for (const char *at = text; at < end; at++) {
        if (*at != '\\') {
            *to++ = *at;
            continue;
        }
        at++;
        const char *letters = "a\ab\bf\fn\nr\rt\tv\v\\\\\"\"";
        const char *hit = strchr(letters, *at);
        if (*at == 'x') {
            char hex[3] = {at[1], at[2], '\0'};
            *to++ = (char)strtoul(hex, NULL, 16);
            at += 2;
        } else if (hit != NULL) {
            *to++ = hit[1];
        }
    }
    return (size_t)(to - text);
}

static int run_corpus(const char *folder, void (*check)(struct span))
{
    char path[512];
    const char *full = vectors_path(folder);
    DIR *dir = full == NULL ? NULL : opendir(full);
    if (dir == NULL)
        return 0;
    int count = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        size_t len = 0;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        char *file = entry->d_name[0] == '.' ? NULL : vectors_read(path, &len);
        char *start = file == NULL ? NULL : strstr(file, "(\"");
        char *end = file == NULL ? NULL : strrchr(file, '"');
        if (start != NULL && end > start) {
            check(span_of(start + 2, unquote(start + 2, end)));
            count++;
        }
        free(file);
    }
    (void)closedir(dir);
    return count;
}

static void published_fuzz_corpus(void **state)
{
    (void)state;
    if (vectors_path("multiaddr") == NULL)
        skip();
    assert_true(run_corpus("multiaddr/go-multiaddr-fuzz-corpus/FuzzNewMultiaddrBytes", survive_bytes) >= 12);
    assert_true(run_corpus("multiaddr/go-multiaddr-fuzz-corpus/FuzzNewMultiaddrString", survive_text) >= 9);
}

static void mutated_addresses_never_break_it(void **state)
{
    (void)state;
    static const char *seeds[] = {"/ip4/1.2.3.4/tcp/4001/p2p/" RELAY "/p2p-circuit/p2p/" PEER, "/unix/a/b",
                                  "/dns4/example.com/tcp/443/tls/sni/x/ws",
                                  "/ip4/1.2.3.4/udp/1/quic-v1/webtransport/certhash/uEgAA",
                                  "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234"};
    struct prng prng;
    prng_init(&prng, 9);
    for (int i = 0; i < 60000; i++) {
        struct multiaddr addr = {0};
        char text[256];
        const char *seed = seeds[prng_below(&prng, ARRAY_LEN(seeds))];
        size_t len = strlen(seed);
        memcpy(text, seed, len + 1);
        if (i % 2 == 0) {
            text[prng_below(&prng, len)] = (char)prng_below(&prng, 256);
            survive_text(span_of(text, len));
            continue;
        }
        if (multiaddr_parse_text(span_text(seed), &addr) != ERR_OK)
            continue;
        addr.bytes[prng_below(&prng, addr.len)] = (uint8_t)prng_below(&prng, 256);
        survive_bytes(span_first(multiaddr_span(&addr), 1 + prng_below(&prng, addr.len)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_bytes),
        cmocka_unit_test(texts_of_the_public_network_round_trip),
        cmocka_unit_test(other_spellings_are_read),
        cmocka_unit_test(foreign_text_is_refused),
        cmocka_unit_test(foreign_bytes_are_refused),
        cmocka_unit_test(targets_are_extracted),
        cmocka_unit_test(peers_are_added_and_removed),
        cmocka_unit_test(scopes),
        cmocka_unit_test(made_from_sockets),
        cmocka_unit_test(published_fuzz_corpus),
        cmocka_unit_test(mutated_addresses_never_break_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
