/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"

static uint64_t size_of(const char *text)
{
    uint64_t bytes = UINT64_MAX;
    assert_int_equal(text_parse_size(span_text(text), &bytes), ERR_OK);
    return bytes;
}

static uint64_t duration_of(const char *text)
{
    uint64_t ns = UINT64_MAX;
    assert_int_equal(text_parse_duration(span_text(text), &ns), ERR_OK);
    return ns;
}

static void sizes_read_as_people_write_them(void **state)
{
    (void)state;
    uint64_t unused;
    assert_int_equal(size_of("10GB"), UINT64_C(10000000000));
    assert_int_equal(size_of("64MiB"), 64 * MIB);
    assert_int_equal(size_of("0"), 0);
    assert_int_equal(size_of("7 kB"), 7000);
    assert_int_equal(text_parse_size(span_text("12XB"), &unused), ERR_INVALID);
    assert_int_equal(text_parse_size(span_text("-1"), &unused), ERR_INVALID);
    assert_int_equal(text_parse_size(span_text("99999999TiB"), &unused), ERR_TOO_LARGE);
    assert_int_equal(text_parse_u64(span_text("18446744073709551616"), &unused), ERR_TOO_LARGE);
}

static void durations_follow_go(void **state)
{
    (void)state;
    uint64_t unused;
    assert_int_equal(duration_of("22h"), 22 * 3600 * SECOND_NS);
    assert_int_equal(duration_of("1h30m"), 5400 * SECOND_NS);
    assert_int_equal(duration_of("300ms"), 300 * MS_NS);
    assert_int_equal(duration_of("0"), 0);
    assert_int_equal(text_parse_duration(span_text("5"), &unused), ERR_INVALID);
    assert_int_equal(text_parse_duration(span_text(""), &unused), ERR_INVALID);
    assert_int_equal(text_parse_duration(span_text("99999999999h"), &unused), ERR_TOO_LARGE);
}

static void terminal_escapes_are_defused(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 256, NULL);
    assert_int_equal(text_append_escaped(&b, span_text("a\x1b[31m\xe2\x80\xae\xff\xc3\xa9")), ERR_OK);
    assert_true(span_equal_text(buf_span(&b), "a\\x1b[31m\\xe2\\x80\\xae\\xff\xc3\xa9"));
    assert_false(text_is_utf8(span_text("\xc0\xaf")));
    assert_false(text_is_utf8(span_text("\xed\xa0\x80")));
    assert_true(text_is_utf8(span_text("gr\xc3\xbc\xc3\x9f dich")));
    buf_release(&b);
}

static void near_words_are_near(void **state)
{
    (void)state;
    assert_int_equal(text_distance("StorageMax", "storagemax"), 0);
    assert_int_equal(text_distance("HighWater", "HigWater"), 1);
    assert_true(text_distance("Bootstrap", "Swarm") > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_read_as_people_write_them),
        cmocka_unit_test(durations_follow_go),
        cmocka_unit_test(terminal_escapes_are_defused),
        cmocka_unit_test(near_words_are_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
