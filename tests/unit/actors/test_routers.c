/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "actors/discovery/routers.h"

static struct routers routers;
static struct cid cid;

static int set_up(void **state)
{
    const char *why;
    (void)state;
    routers.count = 0;
    assert_int_equal(routers_add(&routers, span_text("http://a"), &why), ERR_OK);
    assert_int_equal(routers_add(&routers, span_text("http://b/routing/v1/ipns"), &why), ERR_OK);
    assert_int_equal(cid_parse_text(span_text("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"), &cid),
                     ERR_OK);
    return 0;
}

static bool may(size_t index, enum routing_v1_kind kind, uint64_t at_s)
{
    char url[ROUTING_V1_URL_MAX];
    return routers_may_ask(&routers, index, kind, &cid, at_s * SECOND_NS, url);
}

static enum err answered(enum err err, unsigned status, uint64_t retry_s, bool any, uint64_t at_s)
{
    const struct router_answer answer = {.err = err, .status = status, .retry_after_s = retry_s, .any = any};
    return routers_answered(&routers, 0, ROUTING_V1_PROVIDERS, &answer, at_s * SECOND_NS);
}

static void each_is_asked_for_what_it_is_for(void **state)
{
    (void)state;
    assert_true(may(0, ROUTING_V1_PROVIDERS, 0));
    assert_false(may(1, ROUTING_V1_PROVIDERS, 0));
    assert_true(may(1, ROUTING_V1_NAMES, 0));
    assert_int_equal(answered(ERR_OK, 501, 0, false, 0), ERR_UNSUPPORTED);
    assert_false(may(0, ROUTING_V1_PROVIDERS, 1000));
    assert_true(may(0, ROUTING_V1_NAMES, 1000));
}

static void failures_rest_a_router_longer_each_time(void **state)
{
    (void)state;
    uint64_t now = 100;
    for (uint64_t rest = 1; rest < 2000; rest *= 2) {
        assert_int_equal(answered(ERR_REFUSED, 0, 0, false, now), ERR_REFUSED);
        uint64_t until = now + MIN(rest, (uint64_t)ROUTERS_REST_MAX_S);
        assert_false(may(0, ROUTING_V1_PROVIDERS, until - 1));
        assert_true(may(0, ROUTING_V1_PROVIDERS, until));
        now = until;
    }
    assert_int_equal(answered(ERR_OK, 200, 0, true, now), ERR_OK);
    assert_int_equal(answered(ERR_OK, 503, 0, false, now), ERR_PROTOCOL);
    assert_true(may(0, ROUTING_V1_PROVIDERS, now + 1));
}

static void not_found_and_cut_off_are_no_failures(void **state)
{
    (void)state;
    assert_int_equal(answered(ERR_OK, 404, 0, false, 5), ERR_NOT_FOUND);
    assert_int_equal(answered(ERR_TIMEOUT, 0, 0, true, 5), ERR_OK);
    assert_int_equal(answered(ERR_TOO_LARGE, 0, 0, true, 5), ERR_OK);
    assert_int_equal(answered(ERR_OK, 422, 0, false, 5), ERR_INVALID);
    assert_int_equal(answered(ERR_CANCELLED, 0, 0, false, 5), ERR_CANCELLED);
    assert_true(may(0, ROUTING_V1_PROVIDERS, 5));
    assert_int_equal(answered(ERR_TIMEOUT, 0, 0, false, 5), ERR_TIMEOUT);
    assert_false(may(0, ROUTING_V1_PROVIDERS, 5));
    assert_int_equal(answered(ERR_OK, 500, 0, false, 6), ERR_PROTOCOL);
    assert_false(may(0, ROUTING_V1_PROVIDERS, 7));
    assert_int_equal(answered(ERR_OK, 404, 0, false, 8), ERR_NOT_FOUND); /* it works: the count begins anew */
    assert_int_equal(answered(ERR_TIMEOUT, 0, 0, false, 8), ERR_TIMEOUT);
    assert_true(may(0, ROUTING_V1_PROVIDERS, 9));
}

static void a_router_says_when_to_come_again(void **state)
{
    (void)state;
    assert_int_equal(answered(ERR_OK, 429, 7, false, 10), ERR_BUSY);
    assert_false(may(0, ROUTING_V1_PROVIDERS, 16));
    assert_true(may(0, ROUTING_V1_PROVIDERS, 17));
    assert_int_equal(answered(ERR_OK, 429, UINT64_MAX, false, 20), ERR_BUSY); /* within bounds */
    assert_true(may(0, ROUTING_V1_PROVIDERS, 20 + ROUTERS_REST_MAX_S));
}

static void there_are_eight_at_most(void **state)
{
    const char *why = NULL;
    (void)state;
    while (routers.count < ROUTERS_MAX)
        assert_int_equal(routers_add(&routers, span_text("http://x"), &why), ERR_OK);
    assert_int_equal(routers_add(&routers, span_text("http://x"), &why), ERR_BUSY);
    assert_non_null(why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_is_asked_for_what_it_is_for, set_up),
        cmocka_unit_test_setup(failures_rest_a_router_longer_each_time, set_up),
        cmocka_unit_test_setup(not_found_and_cut_off_are_no_failures, set_up),
        cmocka_unit_test_setup(a_router_says_when_to_come_again, set_up),
        cmocka_unit_test_setup(there_are_eight_at_most, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
