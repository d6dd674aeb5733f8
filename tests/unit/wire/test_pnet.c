/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/random.h"
#include "wire/pnet.h"
#include "wire/swarm_key.h"

enum { NACL_BYTES = 4 * 1024 * 1024 };

/* tests/stream.c and stream3.c of NaCl: the first 32 bytes, and SHA-256 of the first 4 MiB. */
static const uint8_t first_key[32] = {0x1b, 0x27, 0x55, 0x64, 0x73, 0xe9, 0x85, 0xd4, 0x62, 0xcd, 0x51,
                                      0x19, 0x7a, 0x9a, 0x46, 0xc7, 0x60, 0x09, 0x54, 0x9e, 0xac, 0x64,
                                      0x74, 0xf2, 0x06, 0xc4, 0xee, 0x08, 0x44, 0xf6, 0x83, 0x89};
static const uint8_t nacl_nonce[24] = {0x69, 0x69, 0x6e, 0xe9, 0x55, 0xb6, 0x2b, 0x73, 0xcd, 0x62, 0xbd, 0xa8,
                                       0x75, 0xfc, 0x73, 0xd6, 0x82, 0x19, 0xe0, 0x03, 0x6b, 0x7a, 0x0b, 0x37};
static const char first_bytes[] = "eea6a7251c1e72916d11c2cb214d3c252539121d8e234e652d651fa4c8cff880";
static const char whole_hash[] = "662b9d0e3463029156069b12f918691a98f7dfb2ca0393c96bbfc6b1fbd630a2";

static void expect_hex(const uint8_t *bytes, size_t len, const char *expected)
{
    char hex[129];
    assert_true(len * 2 < sizeof(hex));
    (void)sodium_bin2hex(hex, sizeof(hex), bytes, len);
    assert_string_equal(hex, expected);
}

/* However the bytes are cut, the keystream is NaCl's. */
static void the_stream_is_that_of_nacl_in_any_pieces(void **state)
{
    (void)state;
    uint8_t *stream = malloc(NACL_BYTES);
    assert_non_null(stream);
    struct prng prng;
    prng_init(&prng, 7);
    for (int round = 0; round < 3; round++) {
        static const size_t most[] = {NACL_BYTES, 200, 5000};
        struct pnet p;
        memset(stream, 0, NACL_BYTES);
        pnet_init(&p, first_key, nacl_nonce);
        for (size_t at = 0; at < NACL_BYTES;) {
            size_t piece = round == 0 ? NACL_BYTES : (size_t)prng_below(&prng, most[round]);
            piece = MIN(piece, NACL_BYTES - at);
            pnet_seal(&p, stream + at, piece);
            at += piece;
        }
        uint8_t hash[32];
        (void)crypto_hash_sha256(hash, stream, NACL_BYTES);
        expect_hex(stream, 32, first_bytes);
        expect_hex(hash, sizeof(hash), whole_hash);
        pnet_release(&p);
    }
    free(stream);
}

static void what_one_end_says_the_other_hears(void **state)
{
    (void)state;
    struct pnet a;
    struct pnet b;
    struct prng prng;
    prng_init(&prng, 8);
    pnet_init(&a, first_key, nacl_nonce);
    pnet_init(&b, first_key, first_key);
    uint8_t sent[20000 + PNET_NONCE_BYTES];
    uint8_t said[20000];
    for (size_t i = 0; i < sizeof(said); i++)
        said[i] = (uint8_t)(i * 7);
    memcpy(sent, nacl_nonce, PNET_NONCE_BYTES);
    memcpy(sent + PNET_NONCE_BYTES, said, sizeof(said));
    pnet_seal(&a, sent + PNET_NONCE_BYTES, sizeof(said));
    assert_memory_not_equal(sent + PNET_NONCE_BYTES, said, 64);
    size_t heard = 0;
    for (size_t at = 0; at < sizeof(sent);) {
        size_t piece = MIN((size_t)prng_below(&prng, 100), sizeof(sent) - at);
        size_t skip = pnet_open(&b, sent + at, piece);
        assert_memory_equal(sent + at + skip, said + heard, piece - skip);
        heard += piece - skip;
        at += piece;
    }
    assert_int_equal(heard, sizeof(said));
}

static void expect_key(const char *text, size_t len, enum err expected)
{
    uint8_t key[PNET_KEY_BYTES] = {0};
    assert_int_equal(swarm_key_parse(span_of(text, len), key), expected);
    if (expected == ERR_OK)
        expect_hex(key, sizeof(key), "6189c5cf0b87fb800c1a9feeda73c6ab5e998db48fb9e6a978575c770ceef683");
}

#define HEX  "6189c5cf0b87fb800c1a9feeda73c6ab5e998db48fb9e6a978575c770ceef683"
#define KIND "/key/swarm/psk/1.0.0/\n"

/* The key and fingerprint of rust-libp2p's test, which are go-libp2p's too. */
static void a_published_key_has_its_published_fingerprint(void **state)
{
    (void)state;
    uint8_t key[PNET_KEY_BYTES];
    uint8_t fingerprint[SWARM_KEY_FINGERPRINT_BYTES];
    assert_int_equal(swarm_key_parse(span_text(KIND "/base16/\n" HEX), key), ERR_OK);
    assert_int_equal(swarm_key_fingerprint(key, fingerprint), ERR_OK);
    expect_hex(fingerprint, sizeof(fingerprint), "45fc986bbc9388a11d939df26f730f0c");
}

static void every_form_of_the_file_is_read(void **state)
{
    (void)state;
    static const char *const good[] = {
        KIND "/base16/\n" HEX,
        KIND "/base16/\n" HEX "\n",
        "/key/swarm/psk/1.0.0/\r\n/base16/\r\n" HEX "\r\n\n ",
        KIND "/base16/\n6189C5CF0B87FB800C1A9FEEDA73C6AB5E998DB48FB9E6A978575C770CEEF683",
        KIND "/base64/\nYYnFzwuH+4AMGp/u2nPGq16ZjbSPueapeFdcdwzu9oM=\n",
        HEX,
        HEX "\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        expect_key(good[i], strlen(good[i]), ERR_OK);
    static const char binary[] =
        KIND "/bin/\n\x61\x89\xc5\xcf\x0b\x87\xfb\x80\x0c\x1a\x9f\xee\xda\x73\xc6\xab\x5e\x99\x8d\xb4\x8f\xb9"
             "\xe6\xa9\x78\x57\x5c\x77\x0c\xee\xf6\x83";
    expect_key(binary, sizeof(binary) - 1, ERR_OK);
}

static void a_damaged_file_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err err;
    } bad[] = {
        {"", ERR_UNSUPPORTED},
        {"\n", ERR_UNSUPPORTED},
        {KIND, ERR_UNSUPPORTED},
        {"/key/swarm/psk/2.0.0/\n/base16/\n" HEX, ERR_UNSUPPORTED},
        {KIND "/base58/\n" HEX, ERR_UNSUPPORTED},
        {KIND "/base16/\n", ERR_TRUNCATED},
        {KIND "/base16/\n6189", ERR_TRUNCATED},
        {KIND "/base16/\n" HEX "00", ERR_INVALID},
        {KIND "/base16/\nx189c5cf0b87fb800c1a9feeda73c6ab5e998db48fb9e6a978575c770ceef683", ERR_INVALID},
        {KIND "/base16/\n" HEX "\n" HEX, ERR_INVALID},
        {KIND "/base64/\nYYnFzwuH+4AM\n", ERR_TRUNCATED},
        {KIND "/bin/\nabc", ERR_TRUNCATED},
        {KIND "/bin/\n012345678901234567890123456789012", ERR_INVALID},
        {"6189c5cf0b87fb800c1a9feeda73c6ab5e998db48fb9e6a978575c770ceef6", ERR_UNSUPPORTED},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect_key(bad[i].text, strlen(bad[i].text), bad[i].err);
    char large[SWARM_KEY_TEXT_MAX + 1];
    memset(large, ' ', sizeof(large));
    memcpy(large, HEX, 64);
    expect_key(large, sizeof(large), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stream_is_that_of_nacl_in_any_pieces),
        cmocka_unit_test(what_one_end_says_the_other_hears),
        cmocka_unit_test(a_published_key_has_its_published_fingerprint),
        cmocka_unit_test(every_form_of_the_file_is_read),
        cmocka_unit_test(a_damaged_file_is_refused),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
