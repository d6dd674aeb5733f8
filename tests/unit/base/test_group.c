/* SPDX-License-Identifier: MIT */
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/group.h"

static void the_system_s_name_is_found(void **state)
{
    (void)state;
    const struct group *own = getgrgid(0);
    if (own == NULL)
        skip(); /* a system without a group file */
    gid_t gid = 77;
    assert_int_equal(group_find(own->gr_name, &gid), ERR_OK);
    assert_int_equal(gid, 0);
}

static void a_number_without_a_name_is_taken(void **state)
{
    (void)state;
    gid_t gid = 0;
    assert_int_equal(group_find("64321", &gid), ERR_OK);
    assert_int_equal(gid, 64321);
}

static void anything_else_is_not_found(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "no-such-group", "12x", "-1", "4294967295", "99999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        gid_t gid = 77;
        assert_int_equal(group_find(texts[i], &gid), ERR_NOT_FOUND);
        assert_int_equal(gid, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_system_s_name_is_found),
        cmocka_unit_test(a_number_without_a_name_is_taken),
        cmocka_unit_test(anything_else_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
