/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/rfc3339.h"

static uint64_t ns_of(const char *text)
{
    uint64_t ns = 77;
    assert_int_equal(rfc3339_parse(span_text(text), &ns), ERR_OK);
    return ns;
}

/* The examples of RFC 3339 section 5.8 and of the IPNS record's specification. */
static void published_examples(void **state)
{
    (void)state;
    assert_int_equal(ns_of("1985-04-12T23:20:50.52Z"), UINT64_C(482196050520000000));
    assert_int_equal(ns_of("1996-12-19T16:39:57-08:00"), ns_of("1996-12-20T00:39:57Z"));
    assert_int_equal(ns_of("1937-01-01T12:00:27.87+00:20"), 0);
    assert_int_equal(ns_of("1970-01-01T00:00:00.000000001Z"), 1);
    assert_int_equal(ns_of("2123-08-14T12:17:03.694052Z"), UINT64_C(4847689023694052000));
}

static void what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "Z",
        "2023-01-01",
        "2023-01-01T00:00:00",
        "2023-01-01 00:00:00Z",
        "2023-01-01t00:00:00Z",
        "2023-01-01T00:00:00z",
        "2023-13-01T00:00:00Z",
        "2023-00-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2023-01-32T00:00:00Z",
        "2023-01-00T00:00:00Z",
        "2023-01-01T24:00:00Z",
        "2023-01-01T00:60:00Z",
        "1990-12-31T23:59:60Z",
        "2023-01-01T00:00:00.Z",
        "2023-01-01T00:00:00,5Z",
        "2023-01-01T00:00:00+24:00",
        "2023-01-01T00:00:00+0200",
        "2023-01-01T00:00:00ZZ",
        " 2023-01-01T00:00:00Z",
        "+023-01-01T00:00:00Z",
        "20230-01-01T00:00:00Z",
    };
    uint64_t ns = 77;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(rfc3339_parse(span_text(bad[i]), &ns), ERR_INVALID);
    assert_int_equal(rfc3339_parse(span_of("2023-01-01T00:00:00\0Z", 21), &ns), ERR_INVALID);
    assert_int_equal(ns, 77);
}

static void ends_of_the_range_sort_where_they_belong(void **state)
{
    (void)state;
    assert_int_equal(ns_of("0000-01-01T00:00:00Z"), 0);
    assert_int_equal(ns_of("1970-01-01T00:00:00+00:01"), 0);
    assert_true(ns_of("9999-12-31T23:59:59.999999999Z") == UINT64_MAX);
    assert_true(ns_of("2554-01-01T00:00:00Z") < UINT64_MAX);
    assert_int_equal(ns_of("2023-01-01T00:00:00.1234567899999Z") % SECOND_NS, 123456789);
}

/* Each day of six centuries, as the C library counts them. */
static void the_calendar_is_the_librarys(void **state)
{
    (void)state;
    for (uint64_t day = 0; day < 213000; day += 1) {
        uint64_t ns = day * 86400 * SECOND_NS + day % 86400 * SECOND_NS + day;
        char text[RFC3339_TEXT_MAX];
        char expected[RFC3339_TEXT_MAX];
        time_t seconds = (time_t)(ns / SECOND_NS);
        struct tm tm;
        rfc3339_format(ns, text);
        assert_non_null(gmtime_r(&seconds, &tm));
        assert_int_equal(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &tm), 19);
        assert_memory_equal(text, expected, 19);
        assert_true(ns_of(text) == ns);
    }
}

static void zeros_at_the_end_are_left_out(void **state)
{
    (void)state;
    char text[RFC3339_TEXT_MAX];
    rfc3339_format(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    rfc3339_format(UINT64_C(4847689023694052000), text);
    assert_string_equal(text, "2123-08-14T12:17:03.694052Z");
    rfc3339_format(1, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000000001Z");
    rfc3339_format(10 * SECOND_NS, text);
    assert_string_equal(text, "1970-01-01T00:00:10Z");
    rfc3339_format(UINT64_MAX, text);
    assert_string_equal(text, "2554-07-21T23:34:33.709551615Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_examples),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(ends_of_the_range_sort_where_they_belong),
        cmocka_unit_test(the_calendar_is_the_librarys),
        cmocka_unit_test(zeros_at_the_end_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
