/* SPDX-License-Identifier: MIT */
/* Conversions of addresses, and the resolver on what every machine can resolve. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>

#include "net/addr.h"

static void sockaddrs_go_round(void **state)
{
    (void)state;
    struct net_addr four = {.family = NET_IP4, .port = 4001, .ip = {203, 0, 113, 7}};
    struct net_addr six = {.family = NET_IP6, .port = 1, .scope_id = 3, .ip = {0xfe, 0x80, [15] = 9}};
    struct sockaddr_storage sa;
    struct net_addr back;
    assert_int_equal(addr_to_sockaddr(&four, &sa), sizeof(struct sockaddr_in));
    assert_int_equal(addr_from_sockaddr((struct sockaddr *)&sa, &back), ERR_OK);
    assert_true(addr_equal(&four, &back));
    assert_int_equal(addr_to_sockaddr(&six, &sa), sizeof(struct sockaddr_in6));
    assert_int_equal(addr_from_sockaddr((struct sockaddr *)&sa, &back), ERR_OK);
    assert_true(addr_equal(&six, &back));
    sa.ss_family = AF_UNIX;
    assert_int_equal(addr_from_sockaddr((struct sockaddr *)&sa, &back), ERR_UNSUPPORTED);
}

static void a_mapped_address_is_the_ipv4_one(void **state)
{
    (void)state;
    struct net_addr mapped = {.family = NET_IP6, .port = 5, .ip = {[10] = 0xff, 0xff, 10, 1, 2, 3}};
    struct net_addr four = {.family = NET_IP4, .port = 5, .ip = {10, 1, 2, 3}};
    struct sockaddr_storage sa;
    struct net_addr back;
    (void)addr_to_sockaddr(&mapped, &sa);
    assert_int_equal(addr_from_sockaddr((struct sockaddr *)&sa, &back), ERR_OK);
    assert_true(addr_equal(&four, &back));
}

static void multiaddrs_go_round(void **state)
{
    (void)state;
    const char *texts[] = {"/ip4/203.0.113.7/tcp/4001", "/ip6/2001:db8::1/tcp/4001"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct multiaddr ma;
        struct multiaddr_target target;
        struct net_addr addr;
        char text[MULTIADDR_TEXT_MAX];
        assert_int_equal(multiaddr_parse_text(span_text(texts[i]), &ma), ERR_OK);
        assert_int_equal(multiaddr_target(multiaddr_span(&ma), &target), ERR_OK);
        assert_int_equal(addr_of_target(&target, &addr), ERR_OK);
        ma = addr_to_multiaddr(&addr);
        assert_int_equal(multiaddr_text(multiaddr_span(&ma), text, sizeof(text)), ERR_OK);
        assert_string_equal(text, texts[i]);
    }
    struct multiaddr ma;
    struct multiaddr_target target;
    struct net_addr addr;
    assert_int_equal(multiaddr_parse_text(span_text("/dns4/example.org/tcp/1"), &ma), ERR_OK);
    assert_int_equal(multiaddr_target(multiaddr_span(&ma), &target), ERR_OK);
    assert_int_equal(addr_of_target(&target, &addr), ERR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockaddrs_go_round),
        cmocka_unit_test(a_mapped_address_is_the_ipv4_one),
        cmocka_unit_test(multiaddrs_go_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
