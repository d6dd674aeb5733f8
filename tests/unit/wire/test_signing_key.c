/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/signing_key.h"

/* The key pairs that rust-libp2p's identity tests print. */
static const struct {
    enum key_type type;
    const char *secret;
    const char *public_key;
} published[] = {
    {KEY_ED25519,
     "080112407e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3"
     "cacf6010f0e42d474fce27e",
     "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"},
    {KEY_ECDSA,
     "08031279307702010104203e5b1fe9712e6c314942a750bd67485de3c1efe85b1bfb520ae8f9ae3dfa4a4ca00a06082a8648ce3d030107a1"
     "4403420004de3d300fa36ae0e8f5d530899d83abab44abf3161f162a4bc901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646"
     "a597fb4dcec034e9f77c409e62",
     "0803125b3059301306072a8648ce3d020106082a8648ce3d03010703420004de3d300fa36ae0e8f5d530899d83abab44abf3161f162a4bc90"
     "1"
     "d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62"},
    {KEY_SECP256K1, "0802122053dadf1d5a164d6b4acdb15e24aa4c5b1d3461bdbd42abedb0a4404d56ced8fb",
     "08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99"},
};

static void assert_signs(const struct signing_key *key)
{
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t len = 0;
    assert_ok(signing_key_sign(key, span_text("hello"), signature, &len));
    assert_ok(public_key_verify(signing_key_public(key), span_text("hello"), span_of(signature, len)));
    assert_err(public_key_verify(signing_key_public(key), span_text("hullo"), span_of(signature, len)), ERR_AUTH);
}

static void assert_same(const struct signing_key *a, const struct signing_key *b)
{
    assert_int_equal(signing_key_type(a), signing_key_type(b));
    assert_true(span_equal(signing_key_public(a), signing_key_public(b)));
    assert_true(span_equal(signing_key_secret(a), signing_key_secret(b)));
}

static void published_keys_are_read_written_and_sign(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(published); i++) {
        struct signing_key *key = NULL;
        assert_ok(signing_key_decode(bytes_of_hex(published[i].secret), &key));
        assert_int_equal(signing_key_type(key), published[i].type);
        assert_span(signing_key_public(key), published[i].public_key);
        assert_span(signing_key_secret(key), published[i].secret);
        struct peer_id id = signing_key_peer_id(key);
        struct peer_id expected = peer_id_of_key(bytes_of_hex(published[i].public_key));
        assert_true(peer_id_equal(&id, &expected));
        assert_signs(key);
        signing_key_free(key);
    }
    signing_key_free(NULL);
}

/* go-libp2p's files: a private key, its public key, and a signature of a fixed message. */
static void keys_of_go_are_the_same_here(void **state)
{
    (void)state;
    static const char *const numbers[] = {"0", "2", "3"};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        char path[128];
        size_t secret_len = 0;
        size_t public_len = 0;
        struct signing_key *key = NULL;
        (void)snprintf(path, sizeof(path), "libp2p-keys/core/crypto/test_data/%s.priv", numbers[i]);
        char *secret = vectors_read(path, &secret_len);
        (void)snprintf(path, sizeof(path), "libp2p-keys/core/crypto/test_data/%s.pub", numbers[i]);
        char *public_key = vectors_read(path, &public_len);
        if (secret == NULL || public_key == NULL)
            skip();
        assert_ok(signing_key_decode(span_of(secret, secret_len), &key));
        assert_true(span_equal(signing_key_public(key), span_of(public_key, public_len)));
        assert_true(span_equal(signing_key_secret(key), span_of(secret, secret_len)));
        assert_signs(key);
        signing_key_free(key);
        free(secret);
        free(public_key);
    }
}

static void made_keys_survive_both_formats(void **state)
{
    (void)state;
    static const enum key_type types[] = {KEY_ED25519, KEY_RSA, KEY_ECDSA, KEY_SECP256K1};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        uint8_t pem[SIGNING_KEY_PEM_BYTES_MAX];
        size_t len = 0;
        struct signing_key *key = NULL;
        struct signing_key *again = NULL;
        assert_ok(signing_key_generate(types[i], 0, &key));
        assert_int_equal(signing_key_type(key), types[i]);
        assert_signs(key);
        assert_ok(signing_key_decode(signing_key_secret(key), &again));
        assert_same(key, again);
        signing_key_free(again);
        assert_ok(signing_key_encode_pem(key, pem, &len));
        assert_memory_equal(pem, "-----BEGIN PRIVATE KEY-----\n", 28);
        assert_ok(signing_key_decode_pem(span_of(pem, len), &again));
        assert_int_equal(signing_key_type(again), types[i]);
        assert_same(key, again);
        signing_key_free(again);
        signing_key_free(key);
    }
}

/* Strict readers of secp256k1 take only the lower of the two forms of s; the signature's own form has it in its last 32 bytes. */
static void secp256k1_signatures_are_low(void **state)
{
    (void)state;
    struct signing_key *key = NULL;
    assert_ok(signing_key_decode(bytes_of_hex(published[2].secret), &key));
    for (unsigned i = 0; i < 64; i++) {
        uint8_t signature[SIGNATURE_BYTES_MAX];
        size_t len = 0;
        assert_ok(signing_key_sign(key, span_of(&i, sizeof(i)), signature, &len));
        size_t s_at = 4u + signature[3] + 2;
        assert_true(signature[s_at - 1] <= 32); /* a 33rd byte is the sign of one above half the range */
        assert_true(signature[s_at - 1] < 32 || signature[s_at] <= 0x7f);
    }
    signing_key_free(key);
}

/* The RFC 8410 example of PKCS #8, section 10.3. */
static void a_published_pem_is_read(void **state)
{
    (void)state;
    struct signing_key *key = NULL;
    assert_ok(signing_key_decode_pem(span_text("-----BEGIN PRIVATE KEY-----\n"
                                               "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
                                               "-----END PRIVATE KEY-----\n"),
                                     &key));
    assert_span(signing_key_public(key), "0801122019bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
    signing_key_free(key);
}

/* As `ipfs key export` of Kubo 0.43 wrote a key that it calls kzwfwjn5ji4pusaf9z…, and reads it again as one of that type. */
static void a_pem_on_secp256k1_is_no_ecdsa_key(void **state)
{
    (void)state;
    struct signing_key *key = NULL;
    char name[PEER_ID_TEXT_MAX];
    assert_ok(signing_key_decode_pem(span_text("-----BEGIN PRIVATE KEY-----\n"
                                               "MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgS3AnjRz4+ZosUxhl/kDn\n"
                                               "5aNdcCZ+wn70iNtzPGpUtJyhRANCAARZuvlcLxpJMjvpQbgtx5QT/xlZTXTrpws3\n"
                                               "s+OvelfwKGSu2fpfc363HDEq98fNgm31TP13/WLssaC/ohIBrV0n\n"
                                               "-----END PRIVATE KEY-----\n"),
                                     &key));
    assert_int_equal(signing_key_type(key), KEY_SECP256K1);
    struct peer_id id = signing_key_peer_id(key);
    peer_id_text_cid(&id, name);
    assert_string_equal(name, "kzwfwjn5ji4pusaf9zl3rzcb9xv1c4a8bwaccuf7dza2nrcz195damdc28x9qnc");
    signing_key_free(key);
}

static void what_is_no_key_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "0801",
        "1240",
        "08011200",
        "080112410000",
        "08021201ff",
        "08021220ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "080212200000000000000000000000000000000000000000000000000000000000000000",
        "080012020500",
        "08031203300100",
        "1220aa0801",
    };
    struct signing_key *key = NULL;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_err(signing_key_decode(bytes_of_hex(bad[i]), &key), ERR_INVALID);
    assert_err(signing_key_decode(bytes_of_hex("08041201aa"), &key), ERR_UNSUPPORTED);
    uint8_t large[SIGNING_KEY_BYTES_MAX + 1] = {8, 1};
    assert_err(signing_key_decode(span_of(large, sizeof(large)), &key), ERR_TOO_LARGE);
    assert_err(signing_key_decode_pem(span_text("hello"), &key), ERR_INVALID);
    assert_err(signing_key_generate(KEY_RSA, 1024, &key), ERR_INVALID);
    assert_err(signing_key_generate(KEY_RSA, 16384, &key), ERR_INVALID);
    assert_null(key);
}

/* An RSA key whose parts do not belong together would sign what nobody can verify. */
static void an_rsa_key_of_foreign_parts_is_refused(void **state)
{
    (void)state;
    struct signing_key *key = NULL;
    struct signing_key *none = NULL;
    uint8_t copy[SIGNING_KEY_BYTES_MAX];
    assert_ok(signing_key_generate(KEY_RSA, 2048, &key));
    struct span whole = signing_key_secret(key);
    memcpy(copy, whole.data, whole.len);
    copy[100] ^= 1; /* in the modulus */
    assert_err(signing_key_decode(span_of(copy, whole.len), &none), ERR_INVALID);
    signing_key_free(key);
}

static void damaged_keys_do_no_harm(void **state)
{
    (void)state;
    struct prng random;
    prng_init(&random, 7);
    for (size_t i = 0; i < ARRAY_LEN(published); i++) {
        struct span whole = bytes_of_hex(published[i].secret);
        for (size_t n = 0; n < 400; n++) {
            uint8_t copy[256];
            struct signing_key *key = NULL;
            memcpy(copy, whole.data, whole.len);
            copy[prng_next(&random) % whole.len] ^= (uint8_t)(1u << (prng_next(&random) % 8));
            size_t len = n % 4 == 0 ? prng_next(&random) % whole.len : whole.len;
            if (signing_key_decode(span_of(copy, len), &key) == ERR_OK)
                signing_key_free(key);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_keys_are_read_written_and_sign),
        cmocka_unit_test(keys_of_go_are_the_same_here),
        cmocka_unit_test(made_keys_survive_both_formats),
        cmocka_unit_test(secp256k1_signatures_are_low),
        cmocka_unit_test(a_published_pem_is_read),
        cmocka_unit_test(a_pem_on_secp256k1_is_no_ecdsa_key),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(an_rsa_key_of_foreign_parts_is_refused),
        cmocka_unit_test(damaged_keys_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
