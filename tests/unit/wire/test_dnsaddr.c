/* SPDX-License-Identifier: MIT */
/* The expansion of /dnsaddr, with the records of the specification's example and with records that lead nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "wire/dnsaddr.h"

#define ONE "QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN"
#define TWO "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"

static struct dnsaddr d;

static enum err begin(const char *text)
{
    struct multiaddr addr;
    assert_int_equal(multiaddr_parse_text(span_text(text), &addr), ERR_OK);
    return dnsaddr_init(&d, &addr);
}

static enum err take(const char *record)
{
    struct multiaddr addr;
    return dnsaddr_take(&d, span_text(record), &addr);
}

static void records_of_the_suffix_are_taken(void **state)
{
    (void)state;
    struct multiaddr addr;
    char text[MULTIADDR_TEXT_MAX];
    assert_int_equal(begin("/dnsaddr/bootstrap.libp2p.io/p2p/" ONE), ERR_OK);
    assert_string_equal(dnsaddr_next(&d), "_dnsaddr.bootstrap.libp2p.io");
    assert_int_equal(dnsaddr_take(&d, span_text("dnsaddr=/ip4/147.75.83.83/tcp/4001/p2p/" ONE), &addr), ERR_OK);
    assert_int_equal(multiaddr_text(multiaddr_span(&addr), text, sizeof(text)), ERR_OK);
    assert_string_equal(text, "/ip4/147.75.83.83/tcp/4001/p2p/" ONE);
    assert_int_equal(take("dnsaddr=/ip4/147.75.83.83/tcp/4001/p2p/" TWO), ERR_NOT_FOUND);
    assert_int_equal(take("dnsaddr=/ip4/147.75.83.83/tcp/4001"), ERR_NOT_FOUND);
    assert_int_equal(take("dnsaddr=/dnsaddr/sv15.bootstrap.libp2p.io"), ERR_NOT_FOUND);
    assert_int_equal(take("dnsaddr=/dnsaddr/sv15.bootstrap.libp2p.io/p2p/" ONE), ERR_AGAIN);
    assert_string_equal(dnsaddr_next(&d), "_dnsaddr.sv15.bootstrap.libp2p.io");
    assert_null(dnsaddr_next(&d));
}

static void without_a_suffix_each_record_is_taken_with_its_own(void **state)
{
    (void)state;
    assert_int_equal(begin("/dnsaddr/a.org"), ERR_OK);
    assert_non_null(dnsaddr_next(&d));
    assert_int_equal(take("dnsaddr=/ip4/1.2.3.4/tcp/1"), ERR_OK);
    assert_int_equal(take("dnsaddr=/ip6/::1/udp/1/quic-v1/p2p/" TWO), ERR_OK);
    assert_int_equal(take("dnsaddr=/dnsaddr/b.org/p2p/" ONE), ERR_AGAIN);
    assert_int_equal(take("dnsaddr=/dnsaddr/b.org/p2p/" TWO), ERR_AGAIN);
    assert_non_null(dnsaddr_next(&d));
    assert_int_equal(take("dnsaddr=/ip4/1.2.3.4/tcp/1/p2p/" TWO), ERR_NOT_FOUND);
    assert_non_null(dnsaddr_next(&d));
    assert_int_equal(take("dnsaddr=/ip4/1.2.3.4/tcp/1/p2p/" TWO), ERR_OK);
}

static void what_is_no_record_is_passed_over(void **state)
{
    (void)state;
    assert_int_equal(begin("/dnsaddr/a.org"), ERR_OK);
    assert_non_null(dnsaddr_next(&d));
    assert_int_equal(take(""), ERR_NOT_FOUND);
    assert_int_equal(take("v=spf1 -all"), ERR_NOT_FOUND);
    assert_int_equal(take("DNSADDR=/ip4/1.2.3.4/tcp/1"), ERR_NOT_FOUND);
    assert_int_not_equal(take("dnsaddr="), ERR_OK);
    assert_int_not_equal(take("dnsaddr=ip4/1.2.3.4"), ERR_OK);
    assert_int_not_equal(take("dnsaddr=/ip4/1.2.3.4.5/tcp/1"), ERR_OK);
    assert_int_equal(take("dnsaddr=/dnsaddr/b.org/tcp/1"), ERR_UNSUPPORTED);
    assert_null(dnsaddr_next(&d));
    assert_int_equal(begin("/dns4/a.org/tcp/1"), ERR_UNSUPPORTED);
    assert_int_equal(begin("/dnsaddr/a.org/tcp/1"), ERR_UNSUPPORTED);
}

static void P17_a_circle_is_walked_once(void **state)
{
    (void)state;
    assert_int_equal(begin("/dnsaddr/a.org"), ERR_OK);
    assert_non_null(dnsaddr_next(&d));
    assert_int_equal(take("dnsaddr=/dnsaddr/A.ORG"), ERR_EXISTS);
    assert_int_equal(take("dnsaddr=/dnsaddr/b.org"), ERR_AGAIN);
    assert_non_null(dnsaddr_next(&d));
    assert_int_equal(take("dnsaddr=/dnsaddr/a.org"), ERR_EXISTS);
    assert_null(dnsaddr_next(&d));
}

static void P17_depth_questions_and_addresses_are_bounded(void **state)
{
    (void)state;
    char record[64];
    unsigned asked = 0;
    assert_int_equal(begin("/dnsaddr/0.org"), ERR_OK);
    for (; dnsaddr_next(&d) != NULL; asked++) {
        (void)snprintf(record, sizeof(record), "dnsaddr=/dnsaddr/%u.org", asked + 1);
        assert_int_equal(take(record), asked + 1 < DNSADDR_DEPTH_MAX ? ERR_AGAIN : ERR_TOO_LARGE);
    }
    assert_int_equal(asked, DNSADDR_DEPTH_MAX);
    assert_int_equal(begin("/dnsaddr/a.org"), ERR_OK);
    for (asked = 0; dnsaddr_next(&d) != NULL; asked++)
        for (unsigned i = 0; i < 50; i++) {
            (void)snprintf(record, sizeof(record), "dnsaddr=/dnsaddr/%u-%u.org", asked, i);
            enum err err = take(record);
            assert_true(err == ERR_AGAIN || err == ERR_TOO_LARGE);
        }
    assert_int_equal(asked, DNSADDR_QUESTIONS_MAX);
    assert_int_equal(begin("/dnsaddr/a.org"), ERR_OK);
    assert_non_null(dnsaddr_next(&d));
    assert_int_equal(take("dnsaddr=/dnsaddr/b.org"), ERR_AGAIN);
    for (unsigned i = 0; i < DNSADDR_ADDRS_MAX; i++)
        assert_int_equal(take("dnsaddr=/ip4/1.2.3.4/tcp/1"), ERR_OK);
    assert_int_equal(take("dnsaddr=/ip4/1.2.3.4/tcp/1"), ERR_TOO_LARGE);
    assert_null(dnsaddr_next(&d)); /* enough: nobody else is asked */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_of_the_suffix_are_taken),
        cmocka_unit_test(without_a_suffix_each_record_is_taken_with_its_own),
        cmocka_unit_test(what_is_no_record_is_passed_over),
        cmocka_unit_test(P17_a_circle_is_walked_once),
        cmocka_unit_test(P17_depth_questions_and_addresses_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
