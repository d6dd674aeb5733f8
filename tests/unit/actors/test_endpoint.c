/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/connection_manager/endpoint.h"

static enum err parse(const char *text, struct endpoint *ret)
{
    struct multiaddr ma;
    struct multiaddr_target target;
    assert_int_equal(multiaddr_parse_text(span_text(text), &ma), ERR_OK);
    assert_int_equal(multiaddr_target(multiaddr_span(&ma), &target), ERR_OK);
    return endpoint_of_target(&target, ret);
}

static void texts_go_round(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host;
    } rows[] = {
        {"/ip4/1.2.3.4/tcp/4001", "1.2.3.4:4001"},
        {"/ip4/1.2.3.4/tcp/80/ws", "1.2.3.4:80"},
        {"/ip6/::1/tcp/65535", "[::1]:65535"},
        {"/ip6/2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/tcp/65535/ws", "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535"},
    };
    struct endpoint last = {0};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct endpoint e;
        char text[ENDPOINT_TEXT_MAX];
        assert_int_equal(parse(rows[i].text, &e), ERR_OK);
        endpoint_text(&e, text);
        assert_string_equal(text, rows[i].text);
        endpoint_host(&e, text);
        assert_string_equal(text, rows[i].host);
        assert_true(endpoint_equal(&e, &e));
        assert_false(endpoint_equal(&e, &last));
        last = e;
    }
}

static void only_tcp_and_ws_are_endpoints(void **state)
{
    (void)state;
    static const char *const rows[] = {"/ip4/1.2.3.4/tcp/1/wss", "/ip4/1.2.3.4/tcp/1/tls/ws",
                                       "/ip4/1.2.3.4/udp/1/quic-v1", "/dns4/a.org/tcp/1/ws",
                                       "/ip6zone/eth0/ip6/fe80::1/tcp/1"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct endpoint e;
        assert_int_equal(parse(rows[i], &e), ERR_UNSUPPORTED);
    }
}

static void the_protocol_tells_endpoints_apart(void **state)
{
    (void)state;
    struct endpoint raw;
    struct endpoint ws;
    assert_int_equal(parse("/ip4/1.2.3.4/tcp/1", &raw), ERR_OK);
    assert_int_equal(parse("/ip4/1.2.3.4/tcp/1/ws", &ws), ERR_OK);
    assert_false(endpoint_equal(&raw, &ws));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_go_round),
        cmocka_unit_test(only_tcp_and_ws_are_endpoints),
        cmocka_unit_test(the_protocol_tells_endpoints_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
