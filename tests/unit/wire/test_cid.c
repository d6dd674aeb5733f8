/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/cid.h"

static struct cid of_text(const char *text)
{
    struct cid cid;
    memset(&cid, 0xab, sizeof(cid));
    assert_ok(cid_parse_text(span_text(text), &cid));
    return cid;
}

/* The empty UnixFS directory and the empty raw block, as every IPFS node prints them; the CID spec's example. */
#define DIR_V0    "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
#define DIR_V1    "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
#define EMPTY_RAW "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
#define SPEC_58   "zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA"
#define SPEC_32   "bafkreidon73zkcrwdb5iafqtijxildoonbwnpv7dyd6ef3qdgads2jc4su"

static void texts_are_read_and_written(void **state)
{
    (void)state;
    static const char *texts[] = {DIR_V0, DIR_V1, EMPTY_RAW};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct cid cid = of_text(texts[i]);
        char text[CID_TEXT_MAX];
        cid_text(&cid, text);
        assert_string_equal(text, texts[i]);
        uint8_t bytes[CID_BYTES_MAX];
        struct cid back;
        assert_ok(cid_parse(span_of(bytes, cid_encode(&cid, bytes)), &back));
        assert_true(cid_equal(&cid, &back));
    }
    struct cid empty = of_text(EMPTY_RAW);
    assert_ok(multihash_verify(&empty.hash, span_text("")));
    assert_int_equal(empty.codec, CODEC_RAW);
}

static void versions_convert(void **state)
{
    (void)state;
    struct cid v0 = of_text(DIR_V0);
    struct cid v1 = of_text(DIR_V1);
    struct cid other;
    assert_false(cid_equal(&v0, &v1));
    assert_true(cid_same_block(&v0, &v1));
    assert_ok(cid_as_version(&v0, 1, &other));
    assert_true(cid_equal(&other, &v1));
    assert_ok(cid_as_version(&v1, 0, &other));
    assert_true(cid_equal(&other, &v0));
    struct cid raw = of_text(EMPTY_RAW);
    assert_err(cid_as_version(&raw, 0, &other), ERR_INVALID);
    assert_err(cid_as_version(&raw, 2, &other), ERR_INVALID);
}

static void bases_convert(void **state)
{
    (void)state;
    struct cid cid = of_text(SPEC_58);
    struct cid same = of_text(SPEC_32);
    assert_true(cid_equal(&cid, &same));
    char text[CID_TEXT_MAX];
    assert_ok(cid_text_base(&cid, MULTIBASE_58_BTC, text));
    assert_string_equal(text, SPEC_58);
    assert_ok(cid_text_base(&cid, MULTIBASE_16, text));
    assert_string_equal(text, "f015512206e6ff7950a36187a801613426e858dce686cd7d7e3c0fc42ee0330072d245c95");
    assert_err(cid_text_base(&cid, MULTIBASE_2, text), ERR_UNSUPPORTED);
    struct cid v0 = of_text(DIR_V0);
    assert_err(cid_text_base(&v0, MULTIBASE_32, text), ERR_UNSUPPORTED);
}

static void foreign_text_is_refused(void **state)
{
    (void)state;
    static const char *invalid[] = {
        "",
        "Q",
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3N",  /* a character short */
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3N0", /* 0 is not in the alphabet */
        "z" DIR_V0,                                       /* v0 has no multibase form */
        "f1220e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyk",
        "f0255122000",
        "f0155",
        "b",
        "/ipfs/" DIR_V0,
    };
    for (size_t i = 0; i < ARRAY_LEN(invalid); i++) {
        struct cid cid;
        assert_int_not_equal(cid_parse_text(span_text(invalid[i]), &cid), ERR_OK);
    }
}

static void foreign_bytes_are_refused(void **state)
{
    (void)state;
    struct cid cid;
    struct span v0 = bytes_of_hex("1220e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_ok(cid_parse(v0, &cid));
    for (size_t len = 0; len < v0.len; len++)
        assert_err(cid_parse(span_first(v0, len), &cid), len == 1 ? ERR_INVALID : ERR_TRUNCATED);
    assert_err(cid_parse(bytes_of_hex("02551200"), &cid), ERR_INVALID);
    assert_err(cid_parse(bytes_of_hex("00701200"), &cid), ERR_INVALID);
    assert_err(cid_parse(bytes_of_hex("8100551200"), &cid), ERR_INVALID);
    assert_err(cid_parse(bytes_of_hex("01d5001200"), &cid), ERR_INVALID);
    assert_err(cid_parse(bytes_of_hex("0155120000"), &cid), ERR_INVALID);
    assert_err(cid_parse(bytes_of_hex("0155008101"), &cid), ERR_TOO_LARGE);
    assert_err(cid_parse(bytes_of_hex("01ffffffff1f1200"), &cid), ERR_UNSUPPORTED);
}

static void prefixes_carry_all_but_the_digest(void **state)
{
    (void)state;
    uint8_t bytes[CID_PREFIX_BYTES_MAX];
    struct cid v0 = of_text(DIR_V0);
    struct cid v1 = of_text(DIR_V1);
    struct cid_prefix prefix = cid_prefix_of(&v0);
    assert_span(span_of(bytes, cid_prefix_encode(&prefix, bytes)), "00701220");
    assert_ok(cid_prefix_parse(bytes_of_hex("00701220"), &prefix));
    struct cid sum;
    assert_ok(cid_prefix_sum(&prefix, bytes_of_hex("0a020801"), &sum));
    assert_true(cid_equal(&sum, &v0));
    prefix = cid_prefix_of(&v1);
    assert_span(span_of(bytes, cid_prefix_encode(&prefix, bytes)), "01701220");
    assert_ok(cid_prefix_sum(&prefix, bytes_of_hex("0a020801"), &sum));
    assert_true(cid_equal(&sum, &v1));
}

static void bad_prefixes_are_refused(void **state)
{
    (void)state;
    struct cid_prefix prefix;
    struct cid cid;
    assert_err(cid_prefix_parse(bytes_of_hex("00551220"), &prefix), ERR_INVALID);
    assert_err(cid_prefix_parse(bytes_of_hex("00701240"), &prefix), ERR_INVALID);
    assert_err(cid_prefix_parse(bytes_of_hex("02701220"), &prefix), ERR_INVALID);
    assert_err(cid_prefix_parse(bytes_of_hex("0155122000"), &prefix), ERR_INVALID);
    assert_err(cid_prefix_parse(bytes_of_hex("015512"), &prefix), ERR_TRUNCATED);
    assert_err(cid_prefix_parse(bytes_of_hex("0155128101"), &prefix), ERR_TOO_LARGE);
    assert_ok(cid_prefix_parse(bytes_of_hex("0155d50110"), &prefix));
    assert_err(cid_prefix_sum(&prefix, span_text("x"), &cid), ERR_UNSUPPORTED);
    assert_ok(cid_prefix_parse(bytes_of_hex("01551213"), &prefix));
    assert_err(cid_prefix_sum(&prefix, span_text("x"), &cid), ERR_UNSUPPORTED);
}

static void the_largest_fits_its_text(void **state)
{
    (void)state;
    struct multihash hash = {.code = UINT32_MAX, .len = MULTIHASH_DIGEST_MAX};
    struct cid cid = cid_v1(UINT32_MAX, &hash);
    uint8_t bytes[CID_BYTES_MAX];
    char text[CID_TEXT_MAX];
    struct cid back;
    assert_int_equal(cid_encode(&cid, bytes), CID_BYTES_MAX);
    assert_ok(cid_text_base(&cid, MULTIBASE_16, text));
    assert_int_equal(strlen(text), CID_TEXT_MAX - 1);
    assert_ok(cid_parse_text(span_text(text), &back));
    assert_true(cid_equal(&cid, &back));
}

static void random_bytes_never_break_it(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 11);
    for (int i = 0; i < 50000; i++) {
        uint8_t bytes[64];
        size_t len = prng_below(&prng, sizeof(bytes));
        prng_fill(&prng, bytes, len);
        if (len > 2 && i % 2 == 0)
            memcpy(bytes, i % 4 == 0 ? "\x01\x55\x12" : "\x12\x20\x00", 2);
        struct cid cid;
        uint8_t back[CID_BYTES_MAX];
        if (cid_parse(span_of(bytes, len), &cid) == ERR_OK)
            assert_true(span_equal(span_of(back, cid_encode(&cid, back)), span_of(bytes, len)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read_and_written),
        cmocka_unit_test(versions_convert),
        cmocka_unit_test(bases_convert),
        cmocka_unit_test(foreign_text_is_refused),
        cmocka_unit_test(foreign_bytes_are_refused),
        cmocka_unit_test(prefixes_carry_all_but_the_digest),
        cmocka_unit_test(bad_prefixes_are_refused),
        cmocka_unit_test(the_largest_fits_its_text),
        cmocka_unit_test(random_bytes_never_break_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
