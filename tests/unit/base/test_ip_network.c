/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/ip_network.h"

static struct ip_network network(const char *text)
{
    struct ip_network n = {0};
    assert_int_equal(ip_network_parse(span_text(text), &n), ERR_OK);
    return n;
}

static bool holds(const char *text, const char *ip)
{
    struct ip_network n = network(text);
    struct ip_network one = network(ip);
    return ip_network_contains(&n, one.ip);
}

static void each_form_is_read_and_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *canonical;
    } rows[] = {
        {"10.1.2.3/8", "/ip4/10.0.0.0/ipcidr/8"},
        {"/ip4/192.168.0.0/ipcidr/16", "/ip4/192.168.0.0/ipcidr/16"},
        {"203.0.113.7", "/ip4/203.0.113.7/ipcidr/32"},
        {"/ip4/203.0.113.7", "/ip4/203.0.113.7/ipcidr/32"},
        {"0.0.0.0/0", "/ip4/0.0.0.0/ipcidr/0"},
        {"fc00::1/7", "/ip6/fc00::/ipcidr/7"},
        {"/ip6/2001:db8::/ipcidr/32", "/ip6/2001:db8::/ipcidr/32"},
        {"::/0", "/ip6/::/ipcidr/0"},
        {"::1", "/ip6/::1/ipcidr/128"},
        {"::ffff:10.0.0.0/104", "/ip4/10.0.0.0/ipcidr/8"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[IP_NETWORK_TEXT_MAX];
        struct ip_network n = network(rows[i].text);
        ip_network_text(&n, text);
        assert_string_equal(text, rows[i].canonical);
        struct ip_network again = network(text);
        assert_true(ip_network_equal(&n, &again));
    }
}

static void what_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "/",
                                      "a",
                                      "10.0.0.0/33",
                                      "10.0.0.0/",
                                      "10.0.0/8",
                                      "::/129",
                                      "1.2.3.4/-1",
                                      "1.2.3.4/8x",
                                      "1.2.3.4/0008",
                                      "1.2.3.4/8/8",
                                      "/ip4/10.0.0.0/8",
                                      "/ip4/10.0.0.0/ipcidr/33",
                                      "/ip4/10.0.0.0/ipcidr/",
                                      "/ip6/10.0.0.0/ipcidr/8",
                                      "/ip4/::/ipcidr/8",
                                      "/ip5/10.0.0.0/ipcidr/8",
                                      "/ip4/10.0.0.0/tcp/4001"};
    struct ip_network n;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(ip_network_parse(span_text(bad[i]), &n), ERR_INVALID);
    assert_int_equal(ip_network_parse(span_of("10.0.0.0\0/8", 11), &n), ERR_INVALID);
}

static void a_network_holds_its_own_and_one_family(void **state)
{
    (void)state;
    assert_true(holds("10.0.0.0/15", "10.1.255.255"));
    assert_false(holds("10.0.0.0/15", "10.2.0.0"));
    assert_true(holds("10.0.0.0/8", "::ffff:10.9.9.9"));
    assert_true(holds("0.0.0.0/0", "203.0.113.7"));
    assert_false(holds("0.0.0.0/0", "2001:db8::1"));
    assert_false(holds("::/0", "203.0.113.7"));
    assert_true(holds("::/0", "2001:db8::1"));
    assert_true(holds("fc00::/7", "fd12::1"));
    assert_false(holds("2001:db8::/32", "2001:db9::"));
    assert_true(holds("198.51.100.7", "198.51.100.7"));
    assert_false(holds("198.51.100.7", "198.51.100.8"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_is_read_and_written),
        cmocka_unit_test(what_is_none_is_refused),
        cmocka_unit_test(a_network_holds_its_own_and_one_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
