/* SPDX-License-Identifier: MIT */
/*
 * Headers of tar archives, byte by byte. That other programs read them is seen where the command runs against a daemon.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/tar.h"
#include "tests/support/bytes.h"

enum { OUT_MAX = 64 * 1024 };

static struct buf head_of(const struct tar_entry *entry)
{
    struct buf out;
    buf_init(&out, OUT_MAX, NULL);
    assert_ok(tar_append_head(&out, entry));
    assert_int_equal(out.len % TAR_BLOCK, 0);
    return out;
}

static void expect_sum(const uint8_t *header)
{
    unsigned sum = 8 * ' ';
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= 148 && i < 156 ? 0 : header[i];
    assert_int_equal(strtoul((const char *)header + 148, NULL, 8), sum);
}

static void a_short_entry_is_one_header(void **state)
{
    (void)state;
    struct tar_entry entry = {.type = TAR_SYMLINK,
                              .path = span_text("a/link"),
                              .target = span_text("../b"),
                              .mode = 0777,
                              .mtime_seconds = 1700000000};
    struct buf out = head_of(&entry);
    const char *header = (const char *)out.data;
    assert_int_equal(out.len, TAR_BLOCK);
    assert_string_equal(header, "a/link");
    assert_string_equal(header + 100, "0000777");
    assert_string_equal(header + 124, "00000000000");
    assert_string_equal(header + 136, "14524770400");
    assert_int_equal(header[156], '2');
    assert_string_equal(header + 157, "../b");
    assert_memory_equal(header + 257,
                        "ustar\0"
                        "00",
                        8);
    expect_sum(out.data);
    buf_release(&out);
}

static void sizes_are_set_later(void **state)
{
    (void)state;
    struct tar_entry entry = {.type = TAR_FILE, .path = span_text("f"), .mode = 0644};
    struct buf out = head_of(&entry);
    tar_set_size(out.data, 077777777777);
    assert_string_equal((const char *)out.data + 124, "77777777777");
    expect_sum(out.data);
    tar_set_size(out.data, UINT64_C(1) << 33); /* one more than octal digits hold */
    assert_span(span_of(out.data + 124, 12), "800000000000000200000000");
    expect_sum(out.data);
    buf_release(&out);
}

static void times_before_1970_are_negative(void **state)
{
    (void)state;
    struct tar_entry entry = {.type = TAR_FOLDER, .path = span_text("d"), .mode = 0755, .mtime_seconds = -2};
    struct buf out = head_of(&entry);
    assert_span(span_of(out.data + 136, 12), "fffffffffffffffffffffffe");
    expect_sum(out.data);
    buf_release(&out);
}

/* The length of a pax record counts its own digits, which may make it longer. */
static void long_names_are_records(void **state)
{
    (void)state;
    static const size_t lengths[] = {100, 101, 989, 990, 991, 992, 4000};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        size_t len = lengths[i];
        char *path = malloc(len);
        assert_non_null(path);
        memset(path, 'p', len);
        struct tar_entry entry = {.type = TAR_FILE, .path = span_of(path, len), .mode = 0644};
        struct buf out = head_of(&entry);
        if (len <= 100) {
            assert_int_equal(out.len, TAR_BLOCK);
        } else {
            char *rest = NULL;
            const char *record = (const char *)out.data + TAR_BLOCK;
            assert_int_equal(out.data[156], 'x');
            size_t told = strtoul(record, &rest, 10);
            assert_memory_equal(rest, " path=p", 7);
            assert_int_equal(record[told - 1], '\n');
            assert_int_equal(rest + strlen(" path=") + len + 1 - record, told);
            assert_int_equal(strtoul((const char *)out.data + 124, NULL, 8), told);
            assert_int_equal(out.len, 2 * TAR_BLOCK + told + tar_padding(told));
            expect_sum(out.data);
        }
        expect_sum(out.data + out.len - TAR_BLOCK);
        buf_release(&out);
        free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_entry_is_one_header),
        cmocka_unit_test(sizes_are_set_later),
        cmocka_unit_test(times_before_1970_are_negative),
        cmocka_unit_test(long_names_are_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
