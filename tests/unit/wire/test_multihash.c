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
#include "wire/multihash.h"

static const char *encoded(const struct multihash *hash)
{
    uint8_t bytes[MULTIHASH_BYTES_MAX];
    return bytes_to_hex(span_of(bytes, multihash_encode(hash, bytes)));
}

/* FIPS 180-4 and 202 and RFC 7693 print the digests of "abc". */
static void known_digests(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        const char *hex;
    } facts[] = {
        {MULTIHASH_SHA2_256, "1220ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {MULTIHASH_SHA1, "1114a9993e364706816aba3e25717850c26c9cd0d89d"},
        {MULTIHASH_SHA3_256, "16203a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"},
        {MULTIHASH_BLAKE2B_512, "c0e40240ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                                "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"},
        {MULTIHASH_BLAKE2S_256, "e0e40220508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"},
        {MULTIHASH_DBL_SHA2_256, "56204f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358"},
        {MULTIHASH_SHA2_512, "1340ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3"
                             "c23a3feebbd454d4423643ce"
                             "80e2a9ac94fa54ca49f"},
        {MULTIHASH_IDENTITY, "0003616263"},
    };
    for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
        struct multihash hash;
        assert_ok(multihash_sum(facts[i].code, 0, span_text("abc"), &hash));
        assert_string_equal(encoded(&hash), facts[i].hex);
        assert_ok(multihash_verify(&hash, span_text("abc")));
        assert_err(multihash_verify(&hash, span_text("abd")), ERR_CORRUPT);
        struct multihash back;
        assert_ok(multihash_parse(bytes_of_hex(facts[i].hex), &back));
        assert_true(multihash_equal(&back, &hash));
    }
}

static char *field(char **line)
{
    return strsep(line, ",\r");
}

static void check_row(char *line, int *checked)
{
    const char *name = field(&line);
    size_t bits = (size_t)strtoul(field(&line), NULL, 10);
    struct span input = span_text(field(&line));
    const char *expected = field(&line);
    uint32_t code = MULTIHASH_SHA3_512;
    if (strcmp(name, "sha3") != 0)
        assert_ok(multihash_code_of(name, &code));
    struct multihash hash;
    enum err err = multihash_sum(code, bits / 8, input, &hash);
    if (bits < 160) {
        assert_err(err, ERR_UNSUPPORTED);
        return;
    }
    assert_ok(err);
    assert_string_equal(encoded(&hash), expected);
    (*checked)++;
}

static void published_rows(void **state)
{
    (void)state;
    size_t len = 0;
    char *text = vectors_read("multiformats/multihash_test_cases.csv", &len);
    if (text == NULL)
        skip();
    char *rest = text;
    (void)strsep(&rest, "\n");
    int checked = 0;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
        if (*line != '\0')
            check_row(line, &checked);
    free(text);
    assert_true(checked >= 180);
}

static void weak_and_unknown_ones_are_refused(void **state)
{
    (void)state;
    struct multihash hash;
    assert_err(multihash_sum(MULTIHASH_MD5, 0, span_text("abc"), &hash), ERR_UNSUPPORTED);
    assert_err(multihash_sum(MULTIHASH_SHA2_256, 19, span_text("abc"), &hash), ERR_UNSUPPORTED);
    assert_err(multihash_sum(MULTIHASH_SHA2_256, 33, span_text("abc"), &hash), ERR_UNSUPPORTED);
    assert_ok(multihash_parse(bytes_of_hex("d50110900150983cd24fb0d6963f7d28e17f72"), &hash));
    assert_int_equal(hash.code, MULTIHASH_MD5);
    assert_err(multihash_allowed(&hash), ERR_UNSUPPORTED);
    assert_err(multihash_verify(&hash, span_text("abc")), ERR_UNSUPPORTED);
    uint8_t big[MULTIHASH_DIGEST_MAX + 1] = {0};
    assert_ok(multihash_sum(MULTIHASH_IDENTITY, 0, span_of(big, sizeof(big) - 1), &hash));
    assert_err(multihash_sum(MULTIHASH_IDENTITY, 0, span_of(big, sizeof(big)), &hash), ERR_TOO_LARGE);
}

static void broken_bytes_are_refused(void **state)
{
    (void)state;
    struct multihash hash;
    assert_err(multihash_parse(bytes_of_hex(""), &hash), ERR_TRUNCATED);
    assert_err(multihash_parse(bytes_of_hex("12"), &hash), ERR_TRUNCATED);
    assert_err(multihash_parse(bytes_of_hex("1220ba78"), &hash), ERR_TRUNCATED);
    assert_err(multihash_parse(bytes_of_hex("920020"), &hash), ERR_INVALID);
    assert_err(multihash_parse(bytes_of_hex("00016161"), &hash), ERR_INVALID);
    assert_err(multihash_parse(bytes_of_hex("008101"), &hash), ERR_TOO_LARGE);
    assert_err(multihash_parse(bytes_of_hex("ffffffff1f00"), &hash), ERR_UNSUPPORTED);
}

static void pieces_give_the_same_digest(void **state)
{
    (void)state;
    static const uint32_t codes[] = {MULTIHASH_SHA2_256,     MULTIHASH_SHA1,        MULTIHASH_SHAKE_256,
                                     MULTIHASH_DBL_SHA2_256, MULTIHASH_BLAKE2B_256, MULTIHASH_SHA3_384};
    uint8_t data[1000];
    struct prng prng;
    prng_init(&prng, 7);
    prng_fill(&prng, data, sizeof(data));
    for (size_t c = 0; c < ARRAY_LEN(codes); c++) {
        struct multihash whole;
        struct multihash pieces;
        struct multihasher *hasher = NULL;
        assert_ok(multihash_sum(codes[c], 0, span_of(data, sizeof(data)), &whole));
        assert_ok(multihasher_new(codes[c], &hasher));
        for (struct span rest = span_of(data, sizeof(data)); rest.len > 0;) {
            size_t n = 1 + prng_below(&prng, 200);
            assert_ok(multihasher_update(hasher, span_first(rest, n)));
            rest = span_skip(rest, n);
        }
        assert_ok(multihasher_final(hasher, &pieces));
        assert_true(multihash_equal(&whole, &pieces));
        multihasher_free(hasher);
    }
    struct multihasher *none = NULL;
    assert_err(multihasher_new(MULTIHASH_MD5, &none), ERR_UNSUPPORTED);
    assert_null(none);
}

static void names_and_codes_agree(void **state)
{
    (void)state;
    static const uint32_t codes[] = {MULTIHASH_IDENTITY, MULTIHASH_SHA2_256, MULTIHASH_BLAKE2B_160,
                                     MULTIHASH_BLAKE2S_256};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        char name[MULTIHASH_NAME_MAX];
        uint32_t code = 0;
        assert_true(multihash_name(codes[i], name));
        assert_ok(multihash_code_of(name, &code));
        assert_int_equal(code, codes[i]);
    }
    char name[MULTIHASH_NAME_MAX];
    uint32_t code = 0;
    assert_false(multihash_name(MULTIHASH_MD5, name));
    assert_err(multihash_code_of("md5", &code), ERR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_digests),
        cmocka_unit_test(published_rows),
        cmocka_unit_test(weak_and_unknown_ones_are_refused),
        cmocka_unit_test(broken_bytes_are_refused),
        cmocka_unit_test(pieces_give_the_same_digest),
        cmocka_unit_test(names_and_codes_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
