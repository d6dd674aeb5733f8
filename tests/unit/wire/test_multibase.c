/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/multibase.h"

static void expect_text(enum multibase base, struct span data, const char *text)
{
    struct buf out;
    buf_init(&out, 4096, NULL);
    assert_ok(multibase_encode(base, data, &out));
    assert_true(span_equal_text(buf_span(&out), text));
    buf_release(&out);
}

static void expect_bytes(const char *text, struct span data)
{
    struct buf out;
    enum multibase base = 0;
    buf_init(&out, 4096, NULL);
    assert_ok(multibase_decode(span_text(text), &out, &base));
    assert_int_equal((char)base, text[0]);
    assert_true(span_equal(buf_span(&out), data));
    buf_release(&out);
}

/* RFC 4648 section 10 and the spec's examples. */
static void known_texts(void **state)
{
    (void)state;
    static const struct {
        enum multibase base;
        const char *data;
        const char *text;
    } facts[] = {
        {MULTIBASE_16, "foobar", "f666f6f626172"},
        {MULTIBASE_32, "foobar", "bmzxw6ytboi"},
        {MULTIBASE_32_PAD, "foobar", "cmzxw6ytboi======"},
        {MULTIBASE_64, "foob", "mZm9vYg"},
        {MULTIBASE_64_PAD, "foob", "MZm9vYg=="},
        {MULTIBASE_32_HEX, "fooba", "vcpnmuoj1"},
        {MULTIBASE_58_BTC, "yes mani !", "z7paNL19xttacUY"},
        {MULTIBASE_36, "yes mani !", "k2lcpzo5yikidynfl"},
        {MULTIBASE_32, "", "b"},
        {MULTIBASE_58_BTC, "", "z"},
    };
    for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
        expect_text(facts[i].base, span_text(facts[i].data), facts[i].text);
        expect_bytes(facts[i].text, span_text(facts[i].data));
    }
}

/* Rows are: name, "text"; a name that is not ours is base256emoji, the only one missing. */
static int check_rows(char *rows, struct span data, bool canonical)
{
    int checked = 0;
    for (char *line = strsep(&rows, "\n"); line != NULL; line = strsep(&rows, "\n")) {
        char *text = strchr(line, '"');
        enum multibase base;
        char *comma = strchr(line, ',');
        if (text == NULL || comma == NULL)
            continue;
        *comma = '\0';
        if (multibase_of_name(line, &base) != ERR_OK)
            continue;
        text++;
        *strchr(text, '"') = '\0';
        if (canonical)
            expect_text(base, data, text);
        expect_bytes(text, data);
        checked++;
    }
    return checked;
}

static void published_tables(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        struct span data;
        bool canonical;
        int rows_min;
    } files[] = {
        {"multiformats/multibase-tests/basic.csv", {(const uint8_t *)"yes mani !", 10}, true, 22},
        {"multiformats/multibase-tests/leading_zero.csv", {(const uint8_t *)"\0yes mani !", 11}, true, 22},
        {"multiformats/multibase-tests/two_leading_zeros.csv", {(const uint8_t *)"\0\0yes mani !", 12}, true, 22},
        {"multiformats/multibase-tests/case_insensitivity.csv", {(const uint8_t *)"hello world", 11}, false, 10},
    };
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        size_t len = 0;
        char *rows = vectors_read(files[i].path, &len);
        if (rows == NULL)
            skip();
        int checked = check_rows(rows, files[i].data, files[i].canonical);
        free(rows);
        assert_true(checked >= files[i].rows_min);
    }
}

static void only_the_one_text_is_read(void **state)
{
    (void)state;
    static const char *invalid[] = {"f0",
                                    "fg0",
                                    "bmzxw6ytbo",
                                    "bmzxw6ytboj",
                                    "bm",
                                    "cmzxw6ytboi=====",
                                    "cmzxw6ytboi=======",
                                    "c=",
                                    "MZm9vYg=",
                                    "mZm9vYh",
                                    "z0",
                                    "zl",
                                    "k-",
                                    "mZm 9",
                                    "bmzxw6ytboi="};
    for (size_t i = 0; i < ARRAY_LEN(invalid); i++) {
        struct buf out;
        buf_init(&out, 4096, NULL);
        assert_err(multibase_decode(span_text(invalid[i]), &out, NULL), ERR_INVALID);
        assert_int_equal(out.len, 0);
        buf_release(&out);
    }
    struct buf out;
    buf_init(&out, 16, NULL);
    assert_err(multibase_decode(span_text("xab"), &out, NULL), ERR_UNSUPPORTED);
    assert_err(multibase_decode(span_text(""), &out, NULL), ERR_INVALID);
    assert_err(multibase_decode(span_text("f000102030405060708090a0b0c0d0e0f10"), &out, NULL), ERR_TOO_LARGE);
    buf_release(&out);
}

static void large_numbers_are_bounded(void **state)
{
    (void)state;
    static char text[70000];
    static uint8_t bytes[70000];
    size_t len = 0;
    memset(text, 'z', sizeof(text));
    assert_err(multibase_decode_bare(MULTIBASE_58_BTC, span_of(text, sizeof(text)), bytes, sizeof(bytes), &len),
               ERR_TOO_LARGE);
    memset(text, '1', sizeof(text));
    assert_err(multibase_decode_bare(MULTIBASE_58_BTC, span_of(text, sizeof(text)), bytes, sizeof(bytes), &len),
               ERR_TOO_LARGE);
    assert_err(multibase_encode_bare(MULTIBASE_36, span_of(bytes, MULTIBASE_NUMBER_MAX + 1), text, sizeof(text), &len),
               ERR_TOO_LARGE);
}

static void random_bytes_round_trip_in_every_base(void **state)
{
    (void)state;
    static const char bases[] = "079fFvVtTbBcChkKzZmMuU";
    struct prng prng;
    prng_init(&prng, 3);
    for (int i = 0; i < 4000; i++) {
        uint8_t data[80];
        uint8_t back[640];
        char text[700];
        size_t len = prng_below(&prng, sizeof(data));
        prng_fill(&prng, data, len);
        if (i % 3 == 0)
            memset(data, 0, prng_below(&prng, len + 1));
        enum multibase base = (enum multibase)bases[(size_t)i % (sizeof(bases) - 1)];
        size_t chars = 0;
        size_t bytes = 0;
        size_t cap = multibase_text_max(base, len);
        assert_true(cap <= sizeof(text));
        assert_ok(multibase_encode_bare(base, span_of(data, len), text, cap, &chars));
        assert_true(chars <= cap);
        assert_ok(multibase_decode_bare(base, span_of(text, chars), back, multibase_bytes_max(base, chars), &bytes));
        assert_true(span_equal(span_of(data, len), span_of(back, bytes)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_texts),
        cmocka_unit_test(published_tables),
        cmocka_unit_test(only_the_one_text_is_read),
        cmocka_unit_test(large_numbers_are_bounded),
        cmocka_unit_test(random_bytes_round_trip_in_every_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
