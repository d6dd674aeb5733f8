/* SPDX-License-Identifier: MIT */
/* A bounded list of byte strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/texts.h"

static void strings_come_back(void **state)
{
    (void)state;
    struct texts t;
    texts_init(&t, 64);
    assert_int_equal(texts_add(&t, span_text("")), ERR_OK);
    assert_int_equal(texts_get(&t, 0).len, 0);
    assert_int_equal(texts_add(&t, span_text("one")), ERR_OK);
    assert_int_equal(texts_add(&t, span_of("a\0b", 3)), ERR_OK);
    assert_int_equal(t.count, 3);
    assert_true(span_equal_text(texts_get(&t, 1), "one"));
    assert_true(span_equal(texts_get(&t, 2), span_of("a\0b", 3)));
    texts_clear(&t);
    assert_int_equal(t.count, 0);
    assert_int_equal(texts_add(&t, span_text("new")), ERR_OK);
    assert_true(span_equal_text(texts_get(&t, 0), "new"));
    texts_release(&t);
}

static void both_bounds_hold(void **state)
{
    (void)state;
    struct texts t;
    texts_init(&t, 10);
    assert_int_equal(texts_add(&t, span_text("123456")), ERR_OK);
    assert_int_equal(texts_add(&t, span_text("12345")), ERR_TOO_LARGE);
    assert_int_equal(t.count, 1);
    assert_int_equal(texts_add(&t, span_text("1234")), ERR_OK);
    texts_release(&t);
    texts_init(&t, 1000);
    for (unsigned i = 0; i < TEXTS_MAX; i++)
        assert_int_equal(texts_add(&t, span_text("x")), ERR_OK);
    assert_int_equal(texts_add(&t, span_text("")), ERR_TOO_LARGE);
    texts_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_come_back),
        cmocka_unit_test(both_bounds_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
