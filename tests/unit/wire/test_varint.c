/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/varint.h"

/* The examples that the unsigned-varint spec prints, and the ends of the range. */
static const struct {
    uint64_t value;
    const char *hex;
} facts[] = {
    {0, "00"},     {1, "01"},     {127, "7f"},       {128, "8001"},
    {255, "ff01"}, {300, "ac02"}, {16384, "808001"}, {VARINT_VALUE_MAX, "ffffffffffffffff7f"},
};

static void published_values_encode_and_decode(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
        uint8_t bytes[VARINT_BYTES_MAX];
        size_t len = varint_encode(facts[i].value, bytes);
        assert_span(span_of(bytes, len), facts[i].hex);
        assert_int_equal(varint_size(facts[i].value), len);
        struct span in = bytes_of_hex(facts[i].hex);
        uint64_t value = 0;
        assert_ok(varint_decode(&in, &value));
        assert_true(value == facts[i].value);
        assert_int_equal(in.len, 0);
    }
}

static void other_forms_are_refused(void **state)
{
    (void)state;
    static const char *invalid[] = {
        "8000", "ff00", "80808000", "ffffffffffffffffff01", "808080808080808080", "80808080808080808001"};
    for (size_t i = 0; i < ARRAY_LEN(invalid); i++) {
        struct span in = bytes_of_hex(invalid[i]);
        struct span before = in;
        uint64_t value = 77;
        assert_err(varint_decode(&in, &value), ERR_INVALID);
        assert_true(value == 77 && in.len == before.len);
    }
}

static void cut_input_asks_for_more(void **state)
{
    (void)state;
    struct span whole = bytes_of_hex("ffffffffffffffff7f");
    for (size_t len = 0; len < whole.len; len++) {
        struct span in = span_first(whole, len);
        uint64_t value = 0;
        assert_err(varint_decode(&in, &value), ERR_TRUNCATED);
        assert_int_equal(in.len, len);
    }
}

static void random_values_round_trip(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 1);
    for (int i = 0; i < 20000; i++) {
        uint64_t value = (prng_next(&prng) >> 1) >> prng_below(&prng, 63);
        uint8_t bytes[VARINT_BYTES_MAX + 1];
        size_t len = varint_encode(value, bytes);
        bytes[len] = 0xee;
        struct span in = span_of(bytes, len + 1);
        uint64_t back = 0;
        assert_ok(varint_decode(&in, &back));
        assert_true(back == value);
        assert_int_equal(in.len, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_values_encode_and_decode),
        cmocka_unit_test(other_forms_are_refused),
        cmocka_unit_test(cut_input_asks_for_more),
        cmocka_unit_test(random_values_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
