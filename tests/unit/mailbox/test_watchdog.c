/* SPDX-License-Identifier: MIT */
/* How long a turn has lasted, when the watchdog looks in time and when it does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "mailbox/ctx.h"

static void a_turn_grows_old(void **state)
{
    (void)state;
    struct watched w = {0};
    for (uint64_t s = 11; s < 60; s++)
        assert_int_equal(watchdog_age(&w, 10 * SECOND_NS, s * SECOND_NS, s * SECOND_NS), (s - 10) * SECOND_NS);
    assert_int_equal(watchdog_age(&w, 60 * SECOND_NS, 61 * SECOND_NS, 61 * SECOND_NS), SECOND_NS); /* another */
    assert_int_equal(watchdog_age(&w, 0, 62 * SECOND_NS, 62 * SECOND_NS), 0);
    assert_int_equal(watchdog_age(&w, 70 * SECOND_NS, 63 * SECOND_NS, 63 * SECOND_NS),
                     0); /* begun since it looked at the clock */
}

static void time_in_which_nobody_ran_is_not_counted(void **state)
{
    (void)state;
    struct watched w = {0};
    assert_int_equal(watchdog_age(&w, 10 * SECOND_NS, 11 * SECOND_NS, 11 * SECOND_NS), SECOND_NS);
    assert_int_equal(watchdog_age(&w, 10 * SECOND_NS, 12 * SECOND_NS, 72 * SECOND_NS),
                     2 * SECOND_NS); /* a minute frozen */
    assert_int_equal(watchdog_age(&w, 10 * SECOND_NS, 73 * SECOND_NS, 73 * SECOND_NS), 3 * SECOND_NS);
    assert_int_equal(watchdog_age(&w, 10 * SECOND_NS, 74 * SECOND_NS, 104 * SECOND_NS), 4 * SECOND_NS); /* and again */
    /* A turn that the watchdog sees for the first time behind it, begun before. */
    assert_int_equal(watchdog_age(&w, 104 * SECOND_NS + 1, 105 * SECOND_NS, 165 * SECOND_NS), SECOND_NS - 1);
    /* A little late is as usual. */
    assert_int_equal(watchdog_age(&w, 170 * SECOND_NS, 171 * SECOND_NS, 171 * SECOND_NS + 400 * MS_NS), 1400 * MS_NS);
    /* Begun behind it. */
    assert_int_equal(watchdog_age(&w, 200 * SECOND_NS, 180 * SECOND_NS, 201 * SECOND_NS), SECOND_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_grows_old),
        cmocka_unit_test(time_in_which_nobody_ran_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
