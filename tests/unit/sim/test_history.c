/* SPDX-License-Identifier: MIT */
/* The model of what a node has acknowledged: when a promise begins, and what ends it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/history.h"

static void what_is_acknowledged_is_promised(void **state)
{
    (void)state;
    struct history h = {0};
    history_put_asked(&h, 1);
    assert_int_equal(history_of(&h, 1)->stored, UNSURE);
    history_put_done(&h, 1, 0);
    assert_int_equal(history_of(&h, 1)->stored, SURE_YES);
    history_remove_asked(&h, 1);
    assert_int_equal(history_of(&h, 1)->stored, UNSURE);
    assert_int_equal(history_of(&h, 1)->version, 1);
    history_remove_done(&h, 1);
    assert_int_equal(history_of(&h, 1)->stored, SURE_NO);
    history_release(&h);
}

static void a_collection_takes_what_is_not_pinned(void **state)
{
    (void)state;
    struct history h = {0};
    for (unsigned block = 1; block <= 3; block++) {
        history_put_asked(&h, block);
        history_put_done(&h, block, 0);
    }
    history_pin_asked(&h, 1);
    history_pin_done(&h, 1, true);
    history_pin_asked(&h, 2); /* and not acknowledged */
    history_collect_asked(&h);
    assert_int_equal(history_of(&h, 1)->stored, SURE_YES);
    assert_int_equal(history_of(&h, 2)->stored, UNSURE);
    assert_int_equal(history_of(&h, 3)->stored, UNSURE);
    history_put_asked(&h, 4);
    history_put_done(&h, 4, 0);
    assert_int_equal(history_of(&h, 4)->stored, UNSURE);
    history_pin_done(&h, 4, true);
    assert_int_equal(history_of(&h, 4)->stored, SURE_YES);
    history_collect_done(&h, false, 100);
    history_put_asked(&h, 5);
    history_put_done(&h, 5, 99);
    assert_int_equal(history_of(&h, 5)->stored, UNSURE);
    history_put_done(&h, 5, 100);
    assert_int_equal(history_of(&h, 5)->stored, SURE_YES);
    history_release(&h);
}

static void a_pin_that_is_taken_back_is_none(void **state)
{
    (void)state;
    struct history h = {0};
    history_put_asked(&h, 1);
    history_put_done(&h, 1, 0);
    history_pin_asked(&h, 1);
    history_pin_done(&h, 1, true);
    history_collect_asked(&h);
    history_unpin_asked(&h, 1); /* the collection may see it */
    assert_int_equal(history_of(&h, 1)->stored, UNSURE);
    assert_int_equal(history_of(&h, 1)->pinned, UNSURE);
    history_restart(&h);
    assert_false(h.collecting);
    history_unpin_done(&h, 1);
    assert_int_equal(history_of(&h, 1)->pinned, SURE_NO);
    history_release(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_acknowledged_is_promised),
        cmocka_unit_test(a_collection_takes_what_is_not_pinned),
        cmocka_unit_test(a_pin_that_is_taken_back_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
