/* SPDX-License-Identifier: MIT */
/* dag-json: the reserved maps, numbers, strings; what is refused; bombs cost nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/dag_json.h"
#include "wire/ipld_writer.h"

/* What is read comes out as it is written. */
static enum err rewrite(const char *text, char *to, size_t cap)
{
    struct buf out;
    struct ipld_writer writer;
    buf_init(&out, cap - 1, NULL);
    ipld_writer_init(&writer, CODEC_DAG_JSON, &out);
    enum err err = dag_json_decode(span_text(text), ipld_writer_event, &writer, NULL);
    memcpy(to, out.len == 0 ? (const uint8_t *)"" : out.data, out.len);
    to[err == ERR_OK ? out.len : 0] = '\0';
    ipld_writer_release(&writer);
    buf_release(&out);
    return err;
}

static void what_people_write_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *from;
        const char *to;
    } cases[] = {
        {" { \"b\" : [ 1 , 2 ] ,\n\t\"a\" : null } \r\n", "{\"a\":null,\"b\":[1,2]}"},
        {"[]", "[]"},
        {"[ ]", "[]"},
        {"{ }", "{}"},
        {"{\"bb\":1,\"a\":2,\"aa\":3}", "{\"a\":2,\"aa\":3,\"bb\":1}"},
        {"-0", "0"},
        {"18446744073709551615", "18446744073709551615"},
        {"-18446744073709551616", "-18446744073709551616"},
        {"-1", "-1"},
        {"1.0", "1.0"},
        {"-0.0", "-0.0"},
        {"1e2", "100.0"},
        {"1E-7", "1e-7"},
        {"123456789012345680000.0", "123456789012345680000.0"},
        {"1e21", "1e+21"},
        {"1.5e300", "1.5e+300"},
        {"0.000001", "0.000001"},
        {"0.1e-5", "0.000001"},
        {"5e-324", "5e-324"},
        {"3.141592653589793", "3.141592653589793"},
        {"\"\\u0041\\n\\t\\\"\\\\\\/\\b\\f\\r\"", "\"A\\n\\t\\\"\\\\/\\u0008\\u000c\\r\""},
        {"\"\\ud800\\udd51\"", "\"\xf0\x90\x85\x91\""},
        {"\"\\u2028\\u00e9\\u6c34\"", "\"\\u2028\xc3\xa9\xe6\xb0\xb4\""},
        {"{\"/\":\"bafkqaaa\"}", "{\"/\":\"bafkqaaa\"}"},
        {"{ \"\\/\" : \"bafkqaaa\" }", "{\"/\":\"bafkqaaa\"}"},
        {"{\"/\":\"f0155000401020304\"}", "{\"/\":\"bafkqababaibqi\"}"},
        {"{\"/\":{\"bytes\":\"AQID\"}}", "{\"/\":{\"bytes\":\"AQID\"}}"},
        {"{\"/\":{\"bytes\":\"oQ==\"}}", "{\"/\":{\"bytes\":\"oQ\"}}"},
        /* the spec: valid maps in the reserved namespace */
        {"{\"/\":true,\"bar\":\"baz\"}", "{\"/\":true,\"bar\":\"baz\"}"},
        {"{\"/\":{\"abar\":\"baz\",\"bytes\":\"foo\"}}", "{\"/\":{\"abar\":\"baz\",\"bytes\":\"foo\"}}"},
        {"{\"/\":{\"bytes\":true},\"bar\":\"baz\"}", "{\"/\":{\"bytes\":true},\"bar\":\"baz\"}"},
        {"{\"!bar\":\"baz\",\"/\":\"foo\"}", "{\"!bar\":\"baz\",\"/\":\"foo\"}"},
        {"{\"/\":{\"/\":\"bafkqaaa\"}}", "{\"/\":{\"/\":\"bafkqaaa\"}}"},
    };
    char text[256];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_ok(rewrite(cases[i].from, text, sizeof(text)));
        assert_string_equal(text, cases[i].to);
    }
}

static void foreign_forms_are_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x10",
        "NaN",
        "Infinity",
        "1 2",
        "nul",
        "True",
        "'a'",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" 1}",
        "{1:2}",
        "[1}",
        "{\"a\":1]",
        "]",
        "// x\n1",
        "\"\\x41\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\n\"",
        "\"\xc3\x28\"",
        "\"\xff\"",
        "{\"foo\":1,\"foo\":2,\"bar\":3}", /* negative-fixtures/dag-json/decode/duplicate-keys.json */
        "{\"foo\":1,\"bar\":3,\"foo\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"\":1,\"\":2}",
        /* the spec: maps that are neither link nor bytes nor anything else */
        "{\"/\":\"foo\",\"bar\":\"baz\"}",
        "{\"/\":\"bafkqaaa\",\"bar\":\"baz\"}",
        "{\"/\":{\"bytes\":\"foo\",\"bar\":\"baz\"}}",
        "{\"/\":{\"bytes\":\"foo\"},\"bar\":\"baz\"}",
        "{\"/\":\"no cid\"}",
        "{\"/\":{\"bytes\":\"!\"}}",
        "{\"/\":{\"bytes\":\"oQ=\"}}",
        "{\"/\":{\"bytes\":\"A\"}}",
        /* and those that would read as one of them if they were written in order */
        "{\"a\":1,\"/\":\"foo\"}",
        "{\"a\":1,\"/\":{\"bytes\":\"foo\"}}",
    };
    char text[256];
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_int_not_equal(rewrite(refused[i], text, sizeof(text)), ERR_OK);
    static const char *const cut[] = {"",   " ",   "\"", "\"a\\",  "\"\\u00", "[",
                                      "[1", "[1,", "{",  "{\"a\"", "{\"a\":", "{\"/\":\"bafkqaaa\""};
    for (size_t i = 0; i < ARRAY_LEN(cut); i++)
        assert_err(rewrite(cut[i], text, sizeof(text)), ERR_TRUNCATED);
    assert_err(rewrite("18446744073709551616", text, sizeof(text)), ERR_TOO_LARGE);
    assert_err(rewrite("-18446744073709551617", text, sizeof(text)), ERR_TOO_LARGE);
    assert_err(rewrite("1e309", text, sizeof(text)), ERR_TOO_LARGE);
}

static void bombs_are_refused(void **state)
{
    (void)state;
    size_t len = 1000000;
    char *nested = malloc(len + 1);
    assert_non_null(nested);
    memset(nested, '[', len);
    nested[len] = '\0';
    size_t at = 0;
    assert_err(dag_json_decode(span_of(nested, len), NULL, NULL, &at), ERR_TOO_LARGE);
    assert_int_equal(at, IPLD_DEPTH_MAX + 1);
    memset(nested + IPLD_DEPTH_MAX, ']', IPLD_DEPTH_MAX);
    assert_ok(dag_json_decode(span_of(nested, 2 * (size_t)IPLD_DEPTH_MAX), NULL, NULL, NULL));
    for (size_t i = 0; i + 5 <= len; i += 5)
        memcpy(nested + i, "{\"/\":", 5);
    assert_err(dag_json_decode(span_of(nested, len), NULL, NULL, NULL), ERR_TOO_LARGE);
    free(nested);
}

/* Every double comes back as it was, in the fewest digits that do so. */
static enum err keep_real(void *arg, const struct ipld_event *event)
{
    *(double *)arg = event->real;
    return event->kind == IPLD_FLOAT ? ERR_OK : ERR_INTERNAL;
}

static void reals_come_back(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 3);
    for (unsigned round = 0; round < 20000; round++) {
        uint64_t bits = prng_next(&prng);
        struct ipld_event event = {.kind = IPLD_FLOAT};
        memcpy(&event.real, &bits, sizeof(bits));
        if ((bits >> 52 & 0x7ff) == 0x7ff)
            continue;
        if (round % 2 == 0)
            event.real = (double)(int64_t)(bits >> (round % 60)) / 1000;
        struct buf out;
        double back = 0;
        buf_init(&out, 64, NULL);
        assert_ok(dag_json_append(&out, &event));
        assert_ok(dag_json_decode(buf_span(&out), keep_real, &back, NULL));
        assert_memory_equal(&back, &event.real, sizeof(back));
        buf_release(&out);
    }
}

static void broken_blocks_end_in_time(void **state)
{
    (void)state;
    static const char block[] = "{\"a\":[{\"/\":\"bafkqaaa\"},{\"/"
                                "\":{\"bytes\":\"oQ\"}},1.5e3,-12,\"\\u00e9\\n\"],\"b\":{\"/\":{}},\"c\":true}";
    struct prng prng;
    prng_init(&prng, 6);
    for (unsigned round = 0; round < 20000; round++) {
        size_t len = (size_t)prng_below(&prng, sizeof(block));
        uint8_t *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, block, len);
        for (unsigned i = 0; len > 0 && i < round % 4; i++)
            copy[prng_below(&prng, len)] = (uint8_t)block[prng_below(&prng, sizeof(block) - 1)];
        struct cid cid;
        struct span rest = span_of(copy, len);
        (void)!dag_json_decode(rest, NULL, NULL, NULL);
        while (dag_json_next_link(&rest, &cid)) {
        }
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_people_write_is_read), cmocka_unit_test(foreign_forms_are_refused),
        cmocka_unit_test(bombs_are_refused),         cmocka_unit_test(reals_come_back),
        cmocka_unit_test(broken_blocks_end_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
