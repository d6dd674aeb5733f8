/* SPDX-License-Identifier: MIT */
/* The table of served protocols: rows that stay, names that come and go, its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "actors/connection_manager/protocols.h"

static const char *const kad = "/ipfs/kad/1.0.0";

static void what_the_tree_says_is_always_served(void **state)
{
    (void)state;
    struct protocols p;
    const char *names[PROTOCOLS_MAX];
    protocols_init(&p);
    size_t count = protocols_list(&p, names);
    protocols_clear(&p, ACTOR_BITSWAP);
    assert_int_equal(protocols_list(&p, names), count);
    assert_false(protocols_changed(&p));
    int row = protocols_match(&p, span_text("/ipfs/bitswap/1.2.0"));
    assert_true(row >= 0);
    assert_int_equal(protocols_at(&p, row)->owner, ACTOR_BITSWAP);
    assert_int_equal(protocols_serve(&p, ACTOR_DISCOVERY, span_text("/ipfs/bitswap/1.2.0")), ERR_EXISTS);
    assert_int_equal(protocols_serve(&p, ACTOR_DISCOVERY, span_text("/ipfs/ping/1.0.0")), ERR_EXISTS);
}

static void a_row_stays_while_its_name_comes_and_goes(void **state)
{
    (void)state;
    struct protocols p;
    protocols_init(&p);
    assert_int_equal(protocols_match(&p, span_text(kad)), -1);
    assert_null(protocols_known(&p, span_text(kad)));
    assert_int_equal(protocols_serve(&p, ACTOR_DISCOVERY, span_text(kad)), ERR_OK);
    int row = protocols_match(&p, span_text(kad));
    const char *known = protocols_known(&p, span_text(kad));
    assert_true(row >= 0);
    assert_true(protocols_changed(&p));
    assert_false(protocols_changed(&p));
    protocols_clear(&p, ACTOR_DISCOVERY);
    assert_true(protocols_changed(&p));
    assert_int_equal(protocols_match(&p, span_text(kad)), -1);
    assert_ptr_equal(protocols_known(&p, span_text(kad)), known);
    protocols_clear(&p, ACTOR_DISCOVERY);
    assert_int_equal(protocols_serve(&p, ACTOR_DISCOVERY, span_text(kad)), ERR_OK);
    assert_int_equal(protocols_match(&p, span_text(kad)), row);
    protocols_clear(&p, ACTOR_DISCOVERY);
    assert_int_equal(protocols_serve(&p, ACTOR_BITSWAP, span_text(kad)), ERR_OK); /* who had it has let go of it */
    assert_int_equal(protocols_at(&p, row)->owner, ACTOR_BITSWAP);
}

static void the_table_is_bounded(void **state)
{
    (void)state;
    struct protocols p;
    char name[PROTOCOLS_NAME_BYTES + 1];
    size_t added = 0;
    protocols_init(&p);
    size_t fixed = p.count;
    for (int i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "/test/%d", i);
        added += protocols_serve(&p, ACTOR_DISCOVERY, span_text(name)) == ERR_OK;
    }
    assert_int_equal(added, PROTOCOLS_MAX - fixed);
    memset(name, 'x', sizeof(name));
    assert_int_equal(protocols_serve(&p, ACTOR_DISCOVERY, span_of(name, sizeof(name))), ERR_TOO_LARGE);
    assert_int_equal(protocols_serve(&p, ACTOR_DISCOVERY, span_of(name, 0)), ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_tree_says_is_always_served),
        cmocka_unit_test(a_row_stays_while_its_name_comes_and_goes),
        cmocka_unit_test(the_table_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
