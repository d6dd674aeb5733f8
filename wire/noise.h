/* SPDX-License-Identifier: MIT */
/*
 * Noise_XX_25519_ChaChaPoly_SHA256: the handshake's state and the transport ciphers, for any payloads and any prologue.
 *
 *      -> e                      32 + payload
 *      <- e, ee, s, es           32 + (32 + 16) + payload + 16
 *      -> s, se                       (32 + 16) + payload + 16
 *
 * The handshake is the state machine of the Noise specification, in its words, and knows nothing of libp2p: that is why the
 * published vectors run against it. libp2p's framing, payload and identity are in noise_session.h. The handshake's few bytes go
 * through libsodium; transport messages through OpenSSL, twice as fast, with one context per direction for the connection's life.
 *
 * Secrets are wiped by split and release. Not thread-safe. Spec: The Noise Protocol Framework, revision 34.
 */
#ifndef HEARTH_WIRE_NOISE_H
#define HEARTH_WIRE_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    NOISE_KEY_BYTES = 32,
    NOISE_HASH_BYTES = 32,
    NOISE_TAG_BYTES = 16,
    NOISE_MESSAGE_MAX = 65535,
    NOISE_PLAIN_MAX = NOISE_MESSAGE_MAX - NOISE_TAG_BYTES
};

struct noise_keypair {
    uint8_t secret[NOISE_KEY_BYTES];
    uint8_t public_key[NOISE_KEY_BYTES];
};

/* Derives the public half of a random secret. */
void noise_keypair_from_secret(const uint8_t secret[NOISE_KEY_BYTES], struct noise_keypair *ret_pair);

/* ---- handshake ---- */

struct noise_handshake {
    bool initiator;
    bool has_key;                 /* k is not empty */
    uint8_t step;                 /* messages written and read: 0..3 */
    uint64_t n;                   /* the CipherState's counter */
    struct noise_keypair s;       /* local static */
    struct noise_keypair e;       /* local ephemeral */
    uint8_t rs[NOISE_KEY_BYTES];  /* remote static */
    uint8_t re[NOISE_KEY_BYTES];  /* remote ephemeral */
    uint8_t ck[NOISE_HASH_BYTES]; /* chaining key */
    uint8_t h[NOISE_HASH_BYTES];  /* handshake hash */
    uint8_t k[NOISE_KEY_BYTES];
};

/* Copies both pairs; the ephemeral must be fresh and random for each handshake. */
void noise_handshake_init(struct noise_handshake *hs, bool initiator, struct span prologue,
                          const struct noise_keypair *s, const struct noise_keypair *e);

/* True when the next message is ours to write. */
bool noise_handshake_is_my_turn(const struct noise_handshake *hs);

/* True after the third message. rs is then authenticated as the owner of its secret. */
bool noise_handshake_is_done(const struct noise_handshake *hs);

/* Appends the next message with its payload. ERR_TOO_LARGE, ERR_NOMEM; ERR_AUTH: the peer's key gives an all-zero secret. */
enum err noise_handshake_write(struct noise_handshake *hs, struct span payload, struct buf *out) MUST_CHECK;

/*
 * Reads the next message, appends its payload to out. ERR_TRUNCATED: shorter than its fixed part; ERR_AUTH: a tag is wrong or a
 * key is of low order. After an error the handshake is dead.
 */
enum err noise_handshake_read(struct noise_handshake *hs, struct span message, struct buf *out) MUST_CHECK;

/* Wipes everything. */
void noise_handshake_release(struct noise_handshake *hs);

/* ---- transport ---- */

struct noise_cipher {
    struct evp_cipher_ctx_st *ctx; /* OpenSSL's EVP_CIPHER_CTX, keyed for the connection's life */
    uint64_t n;                    /* the next nonce; 2^64 - 1 is never used */
};

/*
 * Makes the two ciphers of a finished handshake and wipes its secrets. ERR_NOMEM, ERR_INTERNAL; nothing to release then.
 */
enum err noise_split(struct noise_handshake *hs, struct noise_cipher *ret_send,
                     struct noise_cipher *ret_receive) MUST_CHECK;

/* Frees and wipes; a zeroed cipher is ignored. */
void noise_cipher_release(struct noise_cipher *c);

/*
 * Encrypts the concatenation of count pieces, NOISE_PLAIN_MAX bytes at most, into to, which has room for their sum and the tag;
 * it must not overlap them. ERR_TOO_LARGE; ERR_CLOSED: the nonces are used up.
 */
enum err noise_cipher_seal(struct noise_cipher *c, const struct iovec *plain, int count, uint8_t *to) MUST_CHECK;

/*
 * Decrypts in place: the plaintext is the first len - NOISE_TAG_BYTES bytes of message. ERR_TRUNCATED: shorter than a tag;
 * ERR_AUTH: wrong tag, the nonce stays and the connection must close; ERR_CLOSED as above.
 */
enum err noise_cipher_open(struct noise_cipher *c, uint8_t *message, size_t len) MUST_CHECK;

#endif
