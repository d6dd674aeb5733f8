/* SPDX-License-Identifier: MIT */
#include "wire/noise.h"

#include <assert.h>
#include <openssl/evp.h>
#include <sodium.h>

#include "base/le.h"

/* Exactly HASHLEN bytes, so the initial h is the name itself. */
static const char protocol_name[] = "Noise_XX_25519_ChaChaPoly_SHA256";

enum { NONCE_BYTES = 12, STEPS = 3 };

static void nonce_encode(uint64_t n, uint8_t to[NONCE_BYTES])
{
    memset(to, 0, 4);
    le_put(to + 4, n, 8);
}

void noise_keypair_from_secret(const uint8_t secret[NOISE_KEY_BYTES], struct noise_keypair *ret_pair)
{
    memmove(ret_pair->secret, secret, NOISE_KEY_BYTES);
    (void)crypto_scalarmult_curve25519_base(ret_pair->public_key, ret_pair->secret);
}

/* ---- SymmetricState ---- */

static void mix_hash(struct noise_handshake *hs, struct span data)
{
    crypto_hash_sha256_state st;
    (void)crypto_hash_sha256_init(&st);
    (void)crypto_hash_sha256_update(&st, hs->h, sizeof(hs->h));
    if (data.len > 0)
        (void)crypto_hash_sha256_update(&st, data.data, data.len);
    (void)crypto_hash_sha256_final(&st, hs->h);
}

static void hmac(const uint8_t key[NOISE_HASH_BYTES], struct span a, uint8_t last, uint8_t to[NOISE_HASH_BYTES])
{
    crypto_auth_hmacsha256_state st;
    (void)crypto_auth_hmacsha256_init(&st, key, NOISE_HASH_BYTES);
    if (a.len > 0)
        (void)crypto_auth_hmacsha256_update(&st, a.data, a.len);
    if (last != 0)
        (void)crypto_auth_hmacsha256_update(&st, &last, 1);
    (void)crypto_auth_hmacsha256_final(&st, to);
    sodium_memzero(&st, sizeof(st));
}

/* HKDF with two outputs. out1 may be the chaining key itself. */
static void hkdf(const uint8_t ck[NOISE_HASH_BYTES], struct span input, uint8_t out1[NOISE_HASH_BYTES],
                 uint8_t out2[NOISE_HASH_BYTES])
{
    uint8_t temp[NOISE_HASH_BYTES];
    hmac(ck, input, 0, temp);
    hmac(temp, (struct span){0}, 1, out1);
    hmac(temp, span_of(out1, NOISE_HASH_BYTES), 2, out2);
    sodium_memzero(temp, sizeof(temp));
}

/* A DH and MixKey of its result. An all-zero result comes from a key of low order, which no honest peer has. */
static enum err mix_dh(struct noise_handshake *hs, const uint8_t secret[NOISE_KEY_BYTES],
                       const uint8_t remote[NOISE_KEY_BYTES])
{
    uint8_t shared[NOISE_KEY_BYTES];
    if (crypto_scalarmult_curve25519(shared, secret, remote) != 0)
        return ERR_AUTH;
    hkdf(hs->ck, span_of(shared, sizeof(shared)), hs->ck, hs->k);
    hs->has_key = true;
    hs->n = 0;
    sodium_memzero(shared, sizeof(shared));
    return ERR_OK;
}

static enum err encrypt_and_hash(struct noise_handshake *hs, struct span plain, struct buf *out)
{
    size_t len = plain.len + (hs->has_key ? NOISE_TAG_BYTES : 0);
    uint8_t *to = buf_reserve(out, MAX(len, 1));
    if (to == NULL)
        return ERR_NOMEM;
    if (hs->has_key) {
        uint8_t nonce[NONCE_BYTES];
        nonce_encode(hs->n++, nonce);
        (void)crypto_aead_chacha20poly1305_ietf_encrypt(to, NULL, plain.data, plain.len, hs->h, sizeof(hs->h), NULL,
                                                        nonce, hs->k);
    } else if (len > 0) {
        memcpy(to, plain.data, len);
    }
    mix_hash(hs, span_of(to, len));
    buf_commit(out, len);
    return ERR_OK;
}

static enum err decrypt_and_hash(struct noise_handshake *hs, struct span cipher, struct buf *out)
{
    size_t tag = hs->has_key ? NOISE_TAG_BYTES : 0;
    if (cipher.len < tag)
        return ERR_TRUNCATED;
    size_t len = cipher.len - tag;
    uint8_t *to = buf_reserve(out, MAX(len, 1));
    if (to == NULL)
        return ERR_NOMEM;
    if (hs->has_key) {
        uint8_t nonce[NONCE_BYTES];
        nonce_encode(hs->n, nonce);
        if (crypto_aead_chacha20poly1305_ietf_decrypt(to, NULL, NULL, cipher.data, cipher.len, hs->h, sizeof(hs->h),
                                                      nonce, hs->k) != 0)
            return ERR_AUTH;
        hs->n++;
    } else if (len > 0) {
        memcpy(to, cipher.data, len);
    }
    mix_hash(hs, cipher);
    buf_commit(out, len);
    return ERR_OK;
}

/* ---- HandshakeState ---- */

void noise_handshake_init(struct noise_handshake *hs, bool initiator, struct span prologue,
                          const struct noise_keypair *s, const struct noise_keypair *e)
{
    memset(hs, 0, sizeof(*hs));
    hs->initiator = initiator;
    hs->s = *s;
    hs->e = *e;
    memcpy(hs->h, protocol_name, NOISE_HASH_BYTES);
    memcpy(hs->ck, hs->h, NOISE_HASH_BYTES);
    mix_hash(hs, prologue);
}

bool noise_handshake_is_my_turn(const struct noise_handshake *hs)
{
    return hs->step < STEPS && (hs->step % 2 == 0) == hs->initiator;
}

bool noise_handshake_is_done(const struct noise_handshake *hs)
{
    return hs->step == STEPS;
}

static enum err write_e(struct noise_handshake *hs, struct buf *out)
{
    mix_hash(hs, span_of(hs->e.public_key, NOISE_KEY_BYTES));
    return buf_append(out, hs->e.public_key, NOISE_KEY_BYTES);
}

static enum err write_s(struct noise_handshake *hs, struct buf *out)
{
    return encrypt_and_hash(hs, span_of(hs->s.public_key, NOISE_KEY_BYTES), out);
}

enum err noise_handshake_write(struct noise_handshake *hs, struct span payload, struct buf *out)
{
    assert(noise_handshake_is_my_turn(hs));
    if (payload.len > NOISE_MESSAGE_MAX - 2 * NOISE_KEY_BYTES - 2 * NOISE_TAG_BYTES)
        return ERR_TOO_LARGE;
    enum err err;
    if (hs->step == 0) { /* e */
        err = write_e(hs, out);
    } else if (hs->step == 1) { /* e, ee, s, es */
        err = write_e(hs, out);
        if (err == ERR_OK)
            err = mix_dh(hs, hs->e.secret, hs->re);
        if (err == ERR_OK)
            err = write_s(hs, out);
        if (err == ERR_OK)
            err = mix_dh(hs, hs->s.secret, hs->re);
    } else { /* s, se */
        err = write_s(hs, out);
        if (err == ERR_OK)
            err = mix_dh(hs, hs->s.secret, hs->re);
    }
    if (err == ERR_OK)
        err = encrypt_and_hash(hs, payload, out);
    if (err == ERR_OK)
        hs->step++;
    return err;
}

static enum err read_e(struct noise_handshake *hs, struct span *message)
{
    if (message->len < NOISE_KEY_BYTES)
        return ERR_TRUNCATED;
    memcpy(hs->re, message->data, NOISE_KEY_BYTES);
    mix_hash(hs, span_first(*message, NOISE_KEY_BYTES));
    *message = span_skip(*message, NOISE_KEY_BYTES);
    return ERR_OK;
}

static enum err read_s(struct noise_handshake *hs, struct span *message)
{
    enum { SEALED = NOISE_KEY_BYTES + NOISE_TAG_BYTES };
    if (message->len < SEALED)
        return ERR_TRUNCATED;
    struct buf key;
    buf_init(&key, NOISE_KEY_BYTES, NULL);
    enum err err = decrypt_and_hash(hs, span_first(*message, SEALED), &key);
    if (err == ERR_OK)
        memcpy(hs->rs, key.data, NOISE_KEY_BYTES);
    buf_release(&key);
    *message = span_skip(*message, SEALED);
    return err;
}

enum err noise_handshake_read(struct noise_handshake *hs, struct span message, struct buf *out)
{
    assert(!noise_handshake_is_my_turn(hs) && !noise_handshake_is_done(hs));
    enum err err;
    if (hs->step == 0) { /* e */
        err = read_e(hs, &message);
    } else if (hs->step == 1) { /* e, ee, s, es */
        err = read_e(hs, &message);
        if (err == ERR_OK)
            err = mix_dh(hs, hs->e.secret, hs->re);
        if (err == ERR_OK)
            err = read_s(hs, &message);
        if (err == ERR_OK)
            err = mix_dh(hs, hs->e.secret, hs->rs);
    } else { /* s, se */
        err = read_s(hs, &message);
        if (err == ERR_OK)
            err = mix_dh(hs, hs->e.secret, hs->rs);
    }
    if (err == ERR_OK)
        err = decrypt_and_hash(hs, message, out);
    if (err == ERR_OK)
        hs->step++;
    return err;
}

void noise_handshake_release(struct noise_handshake *hs)
{
    sodium_memzero(hs, sizeof(*hs));
}

/* ---- CipherState of the transport ---- */

static enum err cipher_init(struct noise_cipher *c, const uint8_t key[NOISE_KEY_BYTES], bool encrypt)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL)
        return ERR_NOMEM;
    if (EVP_CipherInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key, NULL, encrypt) != 1) {
        EVP_CIPHER_CTX_free(ctx);
        return ERR_INTERNAL;
    }
    *c = (struct noise_cipher){.ctx = ctx};
    return ERR_OK;
}

enum err noise_split(struct noise_handshake *hs, struct noise_cipher *ret_send, struct noise_cipher *ret_receive)
{
    assert(noise_handshake_is_done(hs));
    uint8_t k1[NOISE_KEY_BYTES];
    uint8_t k2[NOISE_KEY_BYTES];
    hkdf(hs->ck, (struct span){0}, k1, k2);
    struct noise_cipher send = {0};
    struct noise_cipher receive = {0};
    enum err err = cipher_init(&send, hs->initiator ? k1 : k2, true);
    if (err == ERR_OK)
        err = cipher_init(&receive, hs->initiator ? k2 : k1, false);
    sodium_memzero(k1, sizeof(k1));
    sodium_memzero(k2, sizeof(k2));
    noise_handshake_release(hs);
    if (err != ERR_OK) {
        noise_cipher_release(&send);
        return err;
    }
    *ret_send = send;
    *ret_receive = receive;
    return ERR_OK;
}

void noise_cipher_release(struct noise_cipher *c)
{
    EVP_CIPHER_CTX_free(c->ctx); /* wipes the key schedule */
    *c = (struct noise_cipher){0};
}

static enum err next_nonce(struct noise_cipher *c)
{
    if (c->n == UINT64_MAX)
        return ERR_CLOSED;
    uint8_t nonce[NONCE_BYTES];
    nonce_encode(c->n, nonce);
    return EVP_CipherInit_ex(c->ctx, NULL, NULL, NULL, nonce, -1) == 1 ? ERR_OK : ERR_INTERNAL;
}

enum err noise_cipher_seal(struct noise_cipher *c, const struct iovec *plain, int count, uint8_t *to)
{
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        if (plain[i].iov_len > NOISE_PLAIN_MAX - total)
            return ERR_TOO_LARGE;
        total += plain[i].iov_len;
    }
    enum err err = next_nonce(c);
    if (err != ERR_OK)
        return err;
    int len = 0;
    for (int i = 0; i < count; i++) {
        if (plain[i].iov_len == 0)
            continue;
        if (EVP_EncryptUpdate(c->ctx, to, &len, plain[i].iov_base, (int)plain[i].iov_len) != 1)
            return ERR_INTERNAL;
        to += len;
    }
    if (EVP_EncryptFinal_ex(c->ctx, to, &len) != 1 ||
        EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_GET_TAG, NOISE_TAG_BYTES, to) != 1)
        return ERR_INTERNAL;
    c->n++;
    return ERR_OK;
}

enum err noise_cipher_open(struct noise_cipher *c, uint8_t *message, size_t len)
{
    if (len < NOISE_TAG_BYTES)
        return ERR_TRUNCATED;
    enum err err = next_nonce(c);
    if (err != ERR_OK)
        return err;
    size_t plain = len - NOISE_TAG_BYTES;
    int done = 0;
    if (EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_SET_TAG, NOISE_TAG_BYTES, message + plain) != 1 ||
        (plain > 0 && EVP_DecryptUpdate(c->ctx, message, &done, message, (int)plain) != 1))
        return ERR_INTERNAL;
    if (EVP_DecryptFinal_ex(c->ctx, message + plain, &done) != 1)
        return ERR_AUTH;
    c->n++;
    return ERR_OK;
}
