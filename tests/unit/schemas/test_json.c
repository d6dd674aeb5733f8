/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/random.h"
#include "schemas/json.h"
#include "schemas/pack.h"
#include "schemas/walk.h"

#define assert_ok(expr) assert_int_equal((expr), ERR_OK)

static void expect_packed(const char *text, const char *packed, size_t len)
{
    struct buf b;
    buf_init(&b, 4096, NULL);
    assert_ok(json_to_msgpack(span_text(text), &b, NULL));
    assert_int_equal(b.len, len);
    assert_memory_equal(b.data, packed, len);
    buf_release(&b);
}

static void expect_refused(const char *text, enum err want)
{
    struct buf b;
    buf_init(&b, 4096, NULL);
    enum err err = json_to_msgpack(span_text(text), &b, NULL);
    if (err != want)
        fail_msg("%s: %s, not %s", text, err_name(err), err_name(want));
    assert_int_equal(b.len, 0);
    buf_release(&b);
}

static void values_become_msgpack(void **state)
{
    (void)state;
    expect_packed(" true ", "\xc3", 1);
    expect_packed("null", "\xc0", 1);
    expect_packed("-1", "\xff", 1);
    expect_packed("18446744073709551615", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9);
    expect_packed("1.5", "\xcb\x3f\xf8\0\0\0\0\0\0", 9);
    expect_packed("\"a\\u00e4\\ud83d\\udd25\\n\"",
                  "\xa8"
                  "a\xc3\xa4\xf0\x9f\x94\xa5\n",
                  9);
    expect_packed("[]", "\xdd\0\0\0\0", 5);
    expect_packed("{\"op\" : \"id\", \"a\":[1,{}]}",
                  "\xdf\0\0\0\x02\xa2op\xa2id\xa1"
                  "a\xdd\0\0\0\x02\x01\xdf\0\0\0\0",
                  24);
}

static void malformed_text_is_refused(void **state)
{
    (void)state;
    const char *bad[] = {"[1,]",         "{1:2}",       "{\"a\" 1}", "01",    "tru3",       "\"\\x\"",
                         "\"\\ud800x\"", "\"\\udc00\"", "1 2",       "[1 2]", "{\"a\":1,}", "\"\xff\"",
                         "\"a\nb\"",     "+1",          ".5",        "nan"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect_refused(bad[i], ERR_INVALID);
    const char *cut[] = {"", "  ", "[", "{\"a\"", "\"abc", "\"\\", "-", "1.", "1e", "tr", "[1,", "{\"a\":"};
    for (size_t i = 0; i < ARRAY_LEN(cut); i++)
        expect_refused(cut[i], ERR_TRUNCATED);
    expect_refused("1e999", ERR_TOO_LARGE);
    expect_refused("[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", ERR_TOO_LARGE); /* 17 levels */
}

static void bytes_are_multibase(void **state)
{
    (void)state;
    struct buf packed, text;
    buf_init(&packed, 256, NULL);
    buf_init(&text, 256, NULL);
    struct pack p = pack_begin(&packed);
    pack_bytes(&p, span_text("yes mani !"));
    assert_ok(pack_end(&p));
    assert_ok(json_from_msgpack(buf_span(&packed), &text));
    /* multiformats/multibase tests/basic.csv: base64url of "yes mani !" */
    assert_true(span_equal_text(buf_span(&text), "\"ueWVzIG1hbmkgIQ\""));
    struct buf back;
    buf_init(&back, 256, NULL);
    p = pack_begin(&back);
    assert_ok(json_pack_bytes(span_text("ueWVzIG1hbmkgIQ"), &p));
    assert_true(span_equal(buf_span(&back), buf_span(&packed)));
    const char *bad[] = {"", "eWVz", "ueWVzIG1hbmkgIQ==", "u!", "zabc"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(json_pack_bytes(span_text(bad[i]), &p), ERR_INVALID);
    buf_release(&back);
    buf_release(&packed);
    buf_release(&text);
}

static void hostile_packed_values_are_refused(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 256, NULL);
    const char *bad[] = {"\xdd\xff\xff\xff\xff", "\x81\x01\x02", "\x92\x01", "\xc1", "\x01\x02"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_not_equal(json_from_msgpack(span_text(bad[i]), &text), ERR_OK);
    buf_release(&text);
}

/* ---- jansson as the independent witness ---- */

static json_t *random_value(struct prng *prng, int depth)
{
    uint64_t kind = prng_below(prng, depth > 0 ? 7 : 5);
    char text[24];
    switch (kind) {
    case 0:
        return json_boolean((int)prng_below(prng, 2));
    case 1:
        return json_integer((json_int_t)(prng_next(prng) >> prng_below(prng, 64)) * (prng_below(prng, 2) ? 1 : -1));
    case 2:
        return json_real((double)prng_next(prng) / 7.0);
    case 3:
        return json_null();
    case 4:
        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = (char)(1 + prng_below(prng, 126));
        return json_stringn(text, (size_t)prng_below(prng, sizeof(text)));
    case 5: {
        json_t *list = json_array();
        for (uint64_t i = prng_below(prng, 5); i > 0; i--)
            json_array_append_new(list, random_value(prng, depth - 1));
        return list;
    }
    default: {
        json_t *map = json_object();
        for (uint64_t i = prng_below(prng, 5); i > 0; i--) {
            char key[2] = {(char)('a' + i), '\0'};
            json_object_set_new(map, key, random_value(prng, depth - 1));
        }
        return map;
    }
    }
}

static void a_library_reads_what_we_write(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 11);
    struct buf packed, text;
    buf_init(&packed, 1 << 20, NULL);
    buf_init(&text, 1 << 20, NULL);
    for (int i = 0; i < 3000; i++) {
        json_t *value = random_value(&prng, 5);
        char *dumped = json_dumps(value, JSON_ENCODE_ANY | (i % 2 ? JSON_INDENT(2) : JSON_ENSURE_ASCII));
        buf_clear(&packed);
        buf_clear(&text);
        assert_ok(json_to_msgpack(span_text(dumped), &packed, NULL));
        assert_ok(json_from_msgpack(buf_span(&packed), &text));
        json_t *back = json_loadb((const char *)text.data, text.len, JSON_DECODE_ANY, NULL);
        if (back == NULL || !json_equal(value, back))
            fail_msg("%s became %.*s", dumped, (int)text.len, (const char *)text.data);
        free(dumped);
        json_decref(back);
        json_decref(value);
    }
    buf_release(&packed);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_become_msgpack),         cmocka_unit_test(malformed_text_is_refused),
        cmocka_unit_test(bytes_are_multibase),           cmocka_unit_test(hostile_packed_values_are_refused),
        cmocka_unit_test(a_library_reads_what_we_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
