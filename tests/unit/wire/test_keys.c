/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "base/clock.h"
#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/keys.h"
#include "wire/protobuf.h"

/* The key pairs that rust-libp2p's identity tests print. */
#define FIXTURE_PRIVATE                                                                                                \
    "080112407e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c" \
    "3cacf6010f0e42d474fce27e"
#define FIXTURE_PUBLIC "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
#define RUST_SECP256K1 "08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99"

static void our_pair_reads_writes_and_signs(void **state)
{
    (void)state;
    struct key_pair *pair = NULL;
    uint8_t bytes[ED25519_PRIVATE_KEY_BYTES];
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    assert_ok(key_pair_decode(bytes_of_hex(FIXTURE_PRIVATE), &pair));
    key_pair_encode(pair, bytes);
    assert_span(span_of(bytes, sizeof(bytes)), FIXTURE_PRIVATE);
    assert_span(key_pair_public(pair), FIXTURE_PUBLIC);
    char text[PEER_ID_TEXT_MAX];
    struct peer_id id = key_pair_peer_id(pair);
    peer_id_text(&id, text);
    assert_memory_equal(text, "12D3KooW", 8);
    key_pair_sign(pair, span_text("hello"), signature);
    assert_ok(public_key_verify(key_pair_public(pair), span_text("hello"), span_of(signature, sizeof(signature))));
    signature[0] ^= 1;
    assert_err(public_key_verify(key_pair_public(pair), span_text("hello"), span_of(signature, sizeof(signature))),
               ERR_AUTH);
    assert_err(public_key_verify(key_pair_public(pair), span_text("hello"), span_of(signature, 63)), ERR_AUTH);
    assert_err(public_key_verify(key_pair_public(pair), span_text("hello"), span_of(signature, 0)), ERR_AUTH);
    key_pair_free(pair);
    key_pair_free(NULL);
}

static void generated_pairs_differ(void **state)
{
    (void)state;
    struct key_pair *a = NULL;
    struct key_pair *b = NULL;
    assert_ok(key_pair_generate(&a));
    assert_ok(key_pair_generate(&b));
    assert_false(span_equal(key_pair_public(a), key_pair_public(b)));
    key_pair_free(a);
    key_pair_free(b);
}

/* RFC 8032 section 7.1, test 2. */
static void rfc8032(void **state)
{
    (void)state;
    struct key_pair *pair = NULL;
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    assert_ok(
        key_pair_of_seed(bytes_of_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").data, &pair));
    assert_span(key_pair_public(pair), "080112203d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    key_pair_sign(pair, bytes_of_hex("72"), signature);
    assert_span(span_of(signature, sizeof(signature)), "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69d"
                                                       "a085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb"
                                                       "00d291612bb0c00");
    key_pair_free(pair);
}

static void private_keys_that_lie_are_refused(void **state)
{
    (void)state;
    struct key_pair *pair = NULL;
    uint8_t bytes[ED25519_PRIVATE_KEY_BYTES];
    memcpy(bytes, bytes_of_hex(FIXTURE_PRIVATE).data, sizeof(bytes));
    bytes[sizeof(bytes) - 1] ^= 1;
    assert_err(key_pair_decode(span_of(bytes, sizeof(bytes)), &pair), ERR_INVALID);
    for (size_t len = 0; len < sizeof(bytes); len++)
        assert_err(key_pair_decode(span_of(bytes, len), &pair), ERR_INVALID);
    assert_err(key_pair_decode(bytes_of_hex(FIXTURE_PUBLIC), &pair), ERR_INVALID);
    assert_err(key_pair_decode(bytes_of_hex("08021220"
                                            "53dadf1d5a164d6b4acdb15e24aa4c5b1d3461bdbd42abedb0a4404d56ced8fb"),
                               &pair),
               ERR_UNSUPPORTED);
    assert_null(pair);
}

static void only_the_canonical_encoding_is_read(void **state)
{
    (void)state;
    static const char *wrappers[] = {
        "",
        "0801",
        "12201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e0801",
        "0881001220"
        "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
        FIXTURE_PUBLIC "1800",
        "08011221"
        "001ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
        "0801121f"
        "d1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
        "080212200377",
        "08011200",
    };
    struct public_key key;
    for (size_t i = 0; i < ARRAY_LEN(wrappers); i++)
        assert_err(public_key_parse(bytes_of_hex(wrappers[i]), &key), ERR_INVALID);
    assert_err(public_key_parse(bytes_of_hex("0804120101"), &key), ERR_UNSUPPORTED);
    assert_ok(public_key_parse(bytes_of_hex(FIXTURE_PUBLIC), &key));
    assert_int_equal(key.type, KEY_ED25519);
    assert_ok(public_key_parse(bytes_of_hex(RUST_SECP256K1), &key));
    assert_int_equal(key.type, KEY_SECP256K1);
}

/* go-libp2p signed this sentence with one key of each type. */
static void foreign_signatures_verify(void **state)
{
    (void)state;
    static const char *files[] = {"0", "2", "3"};
    static const struct span message = {(const uint8_t *)"Libp2p is the _best_!", 21};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char path[64];
        size_t key_len = 0;
        size_t signature_len = 0;
        (void)snprintf(path, sizeof(path), "libp2p-keys/core/crypto/test_data/%s.pub", files[i]);
        char *key = vectors_read(path, &key_len);
        (void)snprintf(path, sizeof(path), "libp2p-keys/core/crypto/test_data/%s.sig", files[i]);
        char *signature = vectors_read(path, &signature_len);
        if (key == NULL || signature == NULL)
            skip();
        assert_ok(public_key_verify(span_of(key, key_len), message, span_of(signature, signature_len)));
        assert_err(public_key_verify(span_of(key, key_len), span_text("other"), span_of(signature, signature_len)),
                   ERR_AUTH);
        signature[signature_len - 1] ^= 1;
        assert_err(public_key_verify(span_of(key, key_len), message, span_of(signature, signature_len)), ERR_AUTH);
        free(key);
        free(signature);
    }
}

/* A public key protobuf around a made-up modulus of this many bits. */
static size_t rsa_wrapper(int bits, unsigned exponent, uint8_t *to, size_t cap)
{
    BIGNUM *n = BN_new();
    BIGNUM *e = BN_new();
    EVP_PKEY *pkey = NULL;
    assert_true(BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD) && BN_set_word(e, exponent));
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    assert_true(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n));
    assert_true(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e));
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    assert_true(EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1);
    unsigned char *der = NULL;
    int der_len = i2d_PUBKEY(pkey, &der);
    assert_true(der_len > 0);
    struct buf out;
    buf_init(&out, cap, NULL);
    assert_ok(protobuf_put_varint(&out, 1, KEY_RSA));
    assert_ok(protobuf_put_bytes(&out, 2, span_of(der, (size_t)der_len)));
    size_t len = out.len;
    memcpy(to, out.data, len);
    buf_release(&out);
    OPENSSL_free(der);
    EVP_PKEY_free(pkey);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    BN_free(n);
    BN_free(e);
    return len;
}

/* RELIABILITY row T2. */
static void rsa_outside_the_bounds_is_refused_before_verification(void **state)
{
    (void)state;
    static const struct {
        int bits;
        unsigned exponent;
        enum err expected;
    } cases[] = {
        {1024, 65537, ERR_INVALID},      {2047, 65537, ERR_INVALID}, {2048, 65537, ERR_AUTH},
        {8192, 65537, ERR_AUTH},         {8193, 65537, ERR_INVALID}, {16384, 65537, ERR_TOO_LARGE},
        {2048, 0xffffffff, ERR_INVALID},
    };
    static uint8_t key[16384];
    static const uint8_t signature[1024] = {0};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = rsa_wrapper(cases[i].bits, cases[i].exponent, key, sizeof(key));
        uint64_t before = clock_mono_ns();
        struct span forged = span_of(signature, (size_t)MIN(cases[i].bits / 8, 1024));
        assert_err(public_key_verify(span_of(key, len), span_text("m"), forged), cases[i].expected);
        if (cases[i].expected != ERR_AUTH)
            assert_true(clock_mono_ns() - before < 50 * MS_NS); /* 5 ms with room for a busy machine */
    }
    /* 65536 bits: 8 KiB of modulus, refused by its length alone */
    memset(key, 0xff, sizeof(key));
    assert_err(public_key_verify(span_of(key, 8300), span_text("m"), span_of(signature, 1024)), ERR_TOO_LARGE);
}

static void broken_key_material_is_refused(void **state)
{
    (void)state;
    uint8_t signature[70] = {0x30, 0x44};
    struct span forged = span_of(signature, sizeof(signature));
    /* x = all ones is no point of secp256k1; DER of nothing; an Ed25519 SPKI where RSA is announced */
    assert_err(
        public_key_verify(bytes_of_hex("0802122103ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
                          span_text("m"), forged),
        ERR_INVALID);
    assert_err(public_key_verify(bytes_of_hex("0800120430020500"), span_text("m"), forged), ERR_INVALID);
    assert_err(public_key_verify(bytes_of_hex("0803120430020500"), span_text("m"), forged), ERR_INVALID);
    assert_err(
        public_key_verify(bytes_of_hex("0800122c302a300506032b65700321001ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf60"
                                       "10f0e42d474fce27e"),
                          span_text("m"), forged),
        ERR_INVALID);
    assert_err(public_key_verify(bytes_of_hex(RUST_SECP256K1), span_text("m"), forged), ERR_AUTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_pair_reads_writes_and_signs),
        cmocka_unit_test(generated_pairs_differ),
        cmocka_unit_test(rfc8032),
        cmocka_unit_test(private_keys_that_lie_are_refused),
        cmocka_unit_test(only_the_canonical_encoding_is_read),
        cmocka_unit_test(foreign_signatures_verify),
        cmocka_unit_test(rsa_outside_the_bounds_is_refused_before_verification),
        cmocka_unit_test(broken_key_material_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
