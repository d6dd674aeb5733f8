/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/protobuf.h"

/* The three examples of the encoding guide: a varint, a string, a nested message. */
static void published_examples(void **state)
{
    (void)state;
    struct protobuf_field field;
    struct span in = bytes_of_hex("089601");
    assert_ok(protobuf_next(&in, &field));
    assert_true(protobuf_is(&field, 1, PROTOBUF_VARINT) && field.value == 150);
    in = bytes_of_hex("120774657374696e67");
    assert_ok(protobuf_next(&in, &field));
    assert_true(protobuf_is(&field, 2, PROTOBUF_BYTES) && span_equal_text(field.bytes, "testing"));
    in = bytes_of_hex("1a03089601");
    assert_ok(protobuf_next(&in, &field));
    assert_true(protobuf_is(&field, 3, PROTOBUF_BYTES));
    assert_ok(protobuf_next(&field.bytes, &field));
    assert_int_equal(field.value, 150);
    assert_int_equal(in.len, 0);
}

static void fixed_fields_are_little_endian(void **state)
{
    (void)state;
    struct protobuf_field field;
    struct span in = bytes_of_hex("0d01020304"
                                  "110102030405060708");
    assert_ok(protobuf_next(&in, &field));
    assert_true(protobuf_is(&field, 1, PROTOBUF_FIXED32) && field.value == 0x04030201);
    assert_ok(protobuf_next(&in, &field));
    assert_true(protobuf_is(&field, 2, PROTOBUF_FIXED64) && field.value == UINT64_C(0x0807060504030201));
}

static void broken_fields_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum err expected;
    } cases[] = {
        {"08", ERR_TRUNCATED},
        {"0880", ERR_TRUNCATED},
        {"120574657374", ERR_TRUNCATED},
        {"0d010203", ERR_TRUNCATED},
        {"0b", ERR_INVALID},                     /* group start */
        {"0c", ERR_INVALID},                     /* group end */
        {"0e", ERR_INVALID},                     /* no such type */
        {"0001", ERR_INVALID},                   /* number 0 */
        {"80808080101a", ERR_INVALID},           /* number 2^29 */
        {"08ffffffffffffffffff02", ERR_INVALID}, /* 65 bits */
        {"0880808080808080808080"
         "01",
         ERR_INVALID},                             /* eleven bytes */
        {"12ffffffffffffffffff01", ERR_TRUNCATED}, /* length 2^64-1 */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct protobuf_field field;
        struct span in = bytes_of_hex(cases[i].hex);
        size_t len = in.len;
        assert_err(protobuf_next(&in, &field), cases[i].expected);
        assert_int_equal(in.len, len);
    }
}

static void lax_varints_are_read(void **state)
{
    (void)state;
    struct protobuf_field field;
    struct span in = bytes_of_hex("08ffffffffffffffffff01"
                                  "08818000");
    assert_ok(protobuf_next(&in, &field));
    assert_true(field.value == UINT64_MAX);
    assert_ok(protobuf_next(&in, &field));
    assert_int_equal(field.value, 1);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 5);
    for (int i = 0; i < 3000; i++) {
        struct buf out;
        buf_init(&out, 1000, NULL);
        uint32_t number = 1 + (uint32_t)prng_below(&prng, PROTOBUF_NUMBER_MAX);
        uint64_t value = prng_next(&prng) >> prng_below(&prng, 64);
        uint8_t data[200];
        size_t len = prng_below(&prng, sizeof(data));
        prng_fill(&prng, data, len);
        assert_ok(protobuf_put_varint(&out, number, value));
        assert_int_equal(out.len, protobuf_size_varint(number, value));
        assert_ok(protobuf_put_bytes(&out, number, span_of(data, len)));
        assert_int_equal(out.len, protobuf_size_varint(number, value) + protobuf_size_bytes(number, len));
        struct span in = buf_span(&out);
        struct protobuf_field field;
        assert_ok(protobuf_next(&in, &field));
        assert_true(protobuf_is(&field, number, PROTOBUF_VARINT) && field.value == value);
        assert_ok(protobuf_next(&in, &field));
        assert_true(protobuf_is(&field, number, PROTOBUF_BYTES) && span_equal(field.bytes, span_of(data, len)));
        buf_release(&out);
    }
}

static void a_full_buffer_stays_whole(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 4, NULL);
    assert_err(protobuf_put_text(&out, 1, "abc"), ERR_TOO_LARGE);
    assert_int_equal(out.len, 0);
    assert_ok(protobuf_put_text(&out, 1, "ab"));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_examples),        cmocka_unit_test(fixed_fields_are_little_endian),
        cmocka_unit_test(broken_fields_are_refused), cmocka_unit_test(lax_varints_are_read),
        cmocka_unit_test(what_is_written_is_read),   cmocka_unit_test(a_full_buffer_stays_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
