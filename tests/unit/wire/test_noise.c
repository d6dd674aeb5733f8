/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/random.h"
#include "wire/noise.h"

enum { VECTOR_MESSAGES_MAX = 8, FILE_MAX = 64 * 1024, TEXT_MAX = 600 };

struct vector {
    char prologue[TEXT_MAX];
    char init_static[TEXT_MAX];
    char init_ephemeral[TEXT_MAX];
    char resp_static[TEXT_MAX];
    char resp_ephemeral[TEXT_MAX];
    char hash[TEXT_MAX];
    char payload[VECTOR_MESSAGES_MAX][TEXT_MAX];
    char ciphertext[VECTOR_MESSAGES_MAX][TEXT_MAX];
    size_t messages;
};

static size_t unhex(const char *hex, uint8_t *to, size_t max)
{
    size_t len = 0;
    assert_int_equal(sodium_hex2bin(to, max, hex, strlen(hex), NULL, &len, NULL), 0);
    return len;
}

static void keypair(const char *hex, struct noise_keypair *ret_pair)
{
    uint8_t secret[NOISE_KEY_BYTES];
    assert_int_equal(unhex(hex, secret, sizeof(secret)), NOISE_KEY_BYTES);
    noise_keypair_from_secret(secret, ret_pair);
}

struct pair {
    struct noise_handshake hs[2]; /* initiator, responder */
    struct noise_cipher send[2];
    struct noise_cipher receive[2];
};

static void pair_release(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        noise_handshake_release(&p->hs[i]);
        noise_cipher_release(&p->send[i]);
        noise_cipher_release(&p->receive[i]);
    }
}

static void pair_init(struct pair *p, const struct vector *v)
{
    memset(p, 0, sizeof(*p));
    uint8_t prologue[TEXT_MAX];
    struct span pro = span_of(prologue, unhex(v->prologue, prologue, sizeof(prologue)));
    struct noise_keypair s;
    struct noise_keypair e;
    keypair(v->init_static, &s);
    keypair(v->init_ephemeral, &e);
    noise_handshake_init(&p->hs[0], true, pro, &s, &e);
    keypair(v->resp_static, &s);
    keypair(v->resp_ephemeral, &e);
    noise_handshake_init(&p->hs[1], false, pro, &s, &e);
}

static void split(struct pair *p)
{
    for (int i = 0; i < 2; i++)
        assert_int_equal(noise_split(&p->hs[i], &p->send[i], &p->receive[i]), ERR_OK);
}

static void handshake_message(struct pair *p, int from, struct span payload, struct span want)
{
    struct buf message;
    struct buf got;
    buf_init(&message, NOISE_MESSAGE_MAX, NULL);
    buf_init(&got, NOISE_MESSAGE_MAX, NULL);
    assert_true(noise_handshake_is_my_turn(&p->hs[from]));
    assert_int_equal(noise_handshake_write(&p->hs[from], payload, &message), ERR_OK);
    assert_true(want.data == NULL || span_equal(buf_span(&message), want));
    assert_int_equal(noise_handshake_read(&p->hs[!from], buf_span(&message), &got), ERR_OK);
    assert_true(span_equal(buf_span(&got), payload));
    buf_release(&message);
    buf_release(&got);
}

static void transport_message(struct pair *p, int from, struct span payload, struct span want)
{
    uint8_t message[TEXT_MAX];
    struct iovec iov = {.iov_base = (void *)(uintptr_t)payload.data, .iov_len = payload.len};
    assert_int_equal(noise_cipher_seal(&p->send[from], &iov, 1, message), ERR_OK);
    assert_true(span_equal(span_of(message, payload.len + NOISE_TAG_BYTES), want));
    assert_int_equal(noise_cipher_open(&p->receive[!from], message, payload.len + NOISE_TAG_BYTES), ERR_OK);
    assert_true(span_equal(span_of(message, payload.len), payload));
}

static void run_vector(const struct vector *v)
{
    struct pair p;
    pair_init(&p, v);
    assert_true(v->messages > 3);
    for (size_t i = 0; i < v->messages; i++) {
        uint8_t payload[TEXT_MAX];
        uint8_t cipher[TEXT_MAX];
        struct span in = span_of(payload, unhex(v->payload[i], payload, sizeof(payload)));
        struct span want = span_of(cipher, unhex(v->ciphertext[i], cipher, sizeof(cipher)));
        if (i == 3) {
            uint8_t hash[NOISE_HASH_BYTES];
            if (v->hash[0] != '\0') {
                assert_int_equal(unhex(v->hash, hash, sizeof(hash)), NOISE_HASH_BYTES);
                assert_memory_equal(p.hs[0].h, hash, sizeof(hash));
            }
            assert_memory_equal(p.hs[0].h, p.hs[1].h, NOISE_HASH_BYTES);
            assert_memory_equal(p.hs[0].rs, p.hs[1].s.public_key, NOISE_KEY_BYTES);
            split(&p);
        }
        if (i < 3)
            handshake_message(&p, (int)(i % 2), in, want);
        else
            transport_message(&p, (int)(i % 2), in, want);
    }
    pair_release(&p);
}

/* haskell-cryptography/cacophony, vectors/cacophony.txt, its first messages. */
static const struct vector cacophony = {
    .prologue = "4a6f686e2047616c74",
    .init_static = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
    .init_ephemeral = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
    .resp_static = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
    .resp_ephemeral = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
    .hash = "c8e5f64e846193be2a834104c2a009868d6c9f3bd3c186299888b488b2f1f58e",
    .payload = {"4c756477696720766f6e204d69736573", "4d757272617920526f746862617264", "462e20412e20486179656b",
                "4361726c204d656e676572"},
    .ciphertext = {"ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79444c756477696720766f6e204d69736573",
                   "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f14480884381cbad1f276e038c48378ffce2b65285e08"
                   "d6b68aaa3629"
                   "a5a8639392490e5b9bd5269c2f1e4f488ed8831161f19b7815528f8982ffe09be9b5c412f8a0db50f8814c7194e83f23dbd"
                   "8d162c9326ad",
                   "c7195ffacac1307ff99046f219750fc47693e23c3cb08b89c2af808b444850a80ae475b9df0f169ae80a89be0865b57f58c"
                   "9fea0d4ec82a2"
                   "86427402f113e4b6ae769a1d95941d49b25030",
                   "96763ed773f8e47bb3712f0e29b3060ffc956ffc146cee53d5e1df"},
    .messages = 4,
};

static void a_published_exchange_comes_out_byte_for_byte(void **state)
{
    (void)state;
    run_vector(&cacophony);
}

/* Copies the string value of the next "key" after *at into to and moves *at behind it; false when there is none before end. */
static bool next_value(const char **at, const char *end, const char *key, char to[TEXT_MAX])
{
    char quoted[64];
    (void)snprintf(quoted, sizeof(quoted), "\"%s\": \"", key);
    const char *found = strstr(*at, quoted);
    if (found == NULL || found >= end)
        return false;
    found += strlen(quoted);
    const char *stop = strchr(found, '"');
    if (stop == NULL || stop - found >= TEXT_MAX)
        return false;
    memcpy(to, found, (size_t)(stop - found));
    to[stop - found] = '\0';
    *at = stop;
    return true;
}

/* Each file has the exact XX vector first. */
static void run_file(const char *path)
{
    static char text[FILE_MAX + 1];
    static struct vector v;
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    text[fread(text, 1, FILE_MAX, file)] = '\0';
    (void)fclose(file);
    memset(&v, 0, sizeof(v));
    const char *begin = strstr(text, "Noise_XX_25519_ChaChaPoly_SHA256");
    assert_non_null(begin);
    const char *end = strstr(begin + 1, "\"dh\": \"25519\"");
    end = end == NULL ? strstr(begin, "protocol_name") : strstr(end + 1, "\"name\"");
    if (end == NULL)
        end = begin + strlen(begin);
    const char *at = begin;
    assert_true(next_value(&at, end, "init_prologue", v.prologue));
    assert_true(next_value(&at, end, "init_static", v.init_static));
    assert_true(next_value(&at, end, "init_ephemeral", v.init_ephemeral));
    assert_true(next_value(&at, end, "resp_static", v.resp_static));
    assert_true(next_value(&at, end, "resp_ephemeral", v.resp_ephemeral));
    const char *hash = at;
    (void)next_value(&hash, end, "handshake_hash", v.hash);
    while (v.messages < VECTOR_MESSAGES_MAX && next_value(&at, end, "payload", v.payload[v.messages]) &&
           next_value(&at, end, "ciphertext", v.ciphertext[v.messages]))
        v.messages++;
    run_vector(&v);
}

static void the_published_vectors_pass(void **state)
{
    (void)state;
#ifdef HEARTH_VECTORS
    run_file(HEARTH_VECTORS "/noise/cacophony-XX_25519_ChaChaPoly_SHA256.json");
    run_file(HEARTH_VECTORS "/noise/snow-XX_25519_ChaChaPoly_SHA256.json");
    run_file(HEARTH_VECTORS "/noise/noise-c-basic-XX_25519_ChaChaPoly_SHA256.json");
#else
    (void)run_file;
    skip();
#endif
}

static void established(struct pair *p)
{
    pair_init(p, &cacophony);
    for (int i = 0; i < 3; i++)
        handshake_message(p, i % 2, (struct span){0}, (struct span){0});
    split(p);
}

static void pieces_seal_as_one_message(void **state)
{
    (void)state;
    struct pair p;
    established(&p);
    static uint8_t plain[NOISE_PLAIN_MAX];
    static uint8_t message[NOISE_MESSAGE_MAX];
    struct prng prng;
    prng_init(&prng, 3);
    prng_fill(&prng, plain, sizeof(plain));
    size_t cuts[] = {0, 12, 12, 1000, 30001, sizeof(plain)};
    struct iovec iov[5];
    for (int i = 0; i < 5; i++)
        iov[i] = (struct iovec){.iov_base = plain + cuts[i], .iov_len = cuts[i + 1] - cuts[i]};
    assert_int_equal(noise_cipher_seal(&p.send[0], iov, 5, message), ERR_OK);
    assert_int_equal(noise_cipher_open(&p.receive[1], message, sizeof(message)), ERR_OK);
    assert_memory_equal(message, plain, sizeof(plain));
    iov[0].iov_len++;
    assert_int_equal(noise_cipher_seal(&p.send[0], iov, 5, message), ERR_TOO_LARGE);
    assert_int_equal(noise_cipher_seal(&p.send[0], iov, 0, message), ERR_OK);
    assert_int_equal(noise_cipher_open(&p.receive[1], message, NOISE_TAG_BYTES), ERR_OK);
    pair_release(&p);
}

/* CVE-2021-4239: a failed decrypt moves no nonce, and the last nonce is never used. */
static void t8_nonces_stay_after_a_failure_and_never_wrap(void **state)
{
    (void)state;
    struct pair p;
    established(&p);
    uint8_t good[64];
    uint8_t bad[64];
    char text[] = "hearth";
    struct iovec iov = {.iov_base = text, .iov_len = 6};
    assert_int_equal(noise_cipher_seal(&p.send[0], &iov, 1, good), ERR_OK);
    for (size_t i = 0; i < 6 + NOISE_TAG_BYTES; i++) {
        memcpy(bad, good, sizeof(bad));
        bad[i] ^= 0x40;
        assert_int_equal(noise_cipher_open(&p.receive[1], bad, 6 + NOISE_TAG_BYTES), ERR_AUTH);
        assert_int_equal(p.receive[1].n, 0);
    }
    assert_int_equal(noise_cipher_open(&p.receive[1], good, NOISE_TAG_BYTES - 1), ERR_TRUNCATED);
    assert_int_equal(noise_cipher_open(&p.receive[1], good, 6 + NOISE_TAG_BYTES), ERR_OK);
    p.send[0].n = p.receive[1].n = UINT64_MAX - 1;
    assert_int_equal(noise_cipher_seal(&p.send[0], &iov, 1, good), ERR_OK);
    assert_int_equal(noise_cipher_seal(&p.send[0], &iov, 1, bad), ERR_CLOSED);
    assert_int_equal(noise_cipher_open(&p.receive[1], good, 6 + NOISE_TAG_BYTES), ERR_OK);
    assert_int_equal(noise_cipher_open(&p.receive[1], good, 6 + NOISE_TAG_BYTES), ERR_CLOSED);
    pair_release(&p);
}

static void any_flipped_or_missing_byte_kills_the_handshake(void **state)
{
    (void)state;
    for (int damaged = 1; damaged < 3; damaged++) {
        for (size_t at = 0; at < 200; at++) {
            struct pair p;
            pair_init(&p, &cacophony);
            enum err err = ERR_OK;
            bool hit = false;
            for (int i = 0; i < 3 && err == ERR_OK; i++) {
                struct buf m;
                struct buf got;
                buf_init(&m, 1024, NULL);
                buf_init(&got, 1024, NULL);
                assert_int_equal(noise_handshake_write(&p.hs[i % 2], span_text("payload"), &m), ERR_OK);
                struct span in = buf_span(&m);
                if (i == damaged && at < m.len) {
                    hit = true;
                    if (at % 2 == 0)
                        m.data[at] ^= 1;
                    else
                        in = span_first(in, at);
                }
                err = noise_handshake_read(&p.hs[!(i % 2)], in, &got);
                buf_release(&m);
                buf_release(&got);
            }
            assert_int_equal(err != ERR_OK, hit);
            pair_release(&p);
        }
    }
}

/* A peer key of low order makes every shared secret zero; it must not be taken. */
static void keys_of_low_order_are_refused(void **state)
{
    (void)state;
    struct pair p;
    pair_init(&p, &cacophony);
    uint8_t zero[NOISE_KEY_BYTES] = {0};
    struct buf out;
    buf_init(&out, 1024, NULL);
    assert_int_equal(noise_handshake_read(&p.hs[1], span_of(zero, sizeof(zero)), &out), ERR_OK);
    assert_int_equal(noise_handshake_write(&p.hs[1], (struct span){0}, &out), ERR_AUTH);
    buf_release(&out);
    pair_release(&p);
}

static void secrets_are_wiped(void **state)
{
    (void)state;
    struct pair p;
    established(&p);
    assert_true(sodium_is_zero((const uint8_t *)&p.hs[0], sizeof(p.hs[0])));
    pair_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_published_exchange_comes_out_byte_for_byte),
        cmocka_unit_test(the_published_vectors_pass),
        cmocka_unit_test(pieces_seal_as_one_message),
        cmocka_unit_test(t8_nonces_stay_after_a_failure_and_never_wrap),
        cmocka_unit_test(any_flipped_or_missing_byte_kills_the_handshake),
        cmocka_unit_test(keys_of_low_order_are_refused),
        cmocka_unit_test(secrets_are_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
