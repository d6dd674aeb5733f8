/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "base/err.h"

static void each_error_has_a_name_and_a_text(void **state)
{
    (void)state;
    for (int err = 0; err < ERR_COUNT; err++) {
        assert_string_not_equal(err_name((enum err)err), "unknown");
        assert_string_not_equal(err_text((enum err)err), "unknown error");
        for (int other = 0; other < err; other++)
            assert_string_not_equal(err_name((enum err)err), err_name((enum err)other));
    }
    assert_string_equal(err_name(ERR_COUNT), "unknown");
    assert_string_equal(err_text(ERR_COUNT), "unknown error");
}

/* What decides whether a node goes on: a machine without IPv6 is one reason, a taken port another, the rest is a fault. */
static void numbers_of_the_system_become_kinds(void **state)
{
    (void)state;
    assert_int_equal(err_from_errno(0), ERR_OK);
    assert_int_equal(err_from_errno(EAGAIN), ERR_AGAIN);
    assert_int_equal(err_from_errno(EAFNOSUPPORT), ERR_UNSUPPORTED);
    assert_int_equal(err_from_errno(EADDRNOTAVAIL), ERR_UNREACHABLE);
    assert_int_equal(err_from_errno(EADDRINUSE), ERR_EXISTS);
    assert_int_equal(err_from_errno(ENOSPC), ERR_NO_SPACE);
    assert_int_equal(err_from_errno(ENOTTY), ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_error_has_a_name_and_a_text),
        cmocka_unit_test(numbers_of_the_system_become_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
