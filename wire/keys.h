/* SPDX-License-Identifier: MIT */
/*
 * Keys of peers: the protobuf that wraps them, verification of all four types, and our own Ed25519 pair.
 *
 *      PublicKey, PrivateKey = { 1: type (varint), 2: data (bytes) }
 *      08 01 12 20 <32 bytes>                  an Ed25519 public key
 *      08 01 12 40 <32 seed> <32 public>       an Ed25519 private key: the format of the key file
 *
 * A peer id is made from these bytes, so only the canonical encoding is accepted. Ed25519 is libsodium's; RSA, secp256k1 and
 * ECDSA are libcrypto's and for verification only: the node never is one, though a name may be (signing_key.h). RSA sizes are
 * checked before any arithmetic, because verification time grows with the key that the peer sends. Functions are thread-safe.
 * Spec: libp2p/specs peer-ids.
 */
#ifndef HEARTH_WIRE_KEYS_H
#define HEARTH_WIRE_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/peer_id.h"

enum key_type { KEY_RSA = 0, KEY_ED25519 = 1, KEY_SECP256K1 = 2, KEY_ECDSA = 3 };

enum {
    KEY_RSA_BITS_MIN = 2048,
    KEY_RSA_BITS_MAX = 8192,
    PUBLIC_KEY_BYTES_MAX = 1200, /* the protobuf of an RSA key of 8192 bits is 1062 */
    SIGNATURE_BYTES_MAX = 1024,
    ED25519_SEED_BYTES = 32,
    ED25519_SIGNATURE_BYTES = 64,
    ED25519_PUBLIC_KEY_BYTES = 36, /* the protobuf */
    ED25519_PRIVATE_KEY_BYTES = 68 /* the protobuf */
};

/* A parsed public key; data is borrowed from the protobuf. */
struct public_key {
    enum key_type type;
    struct span data;
};

/*
 * Reads a public key protobuf. ERR_INVALID: not the canonical encoding or a wrong size for its type; ERR_UNSUPPORTED: a foreign
 * type; ERR_TOO_LARGE. The key material of RSA, secp256k1 and ECDSA is looked at by public_key_verify only.
 */
enum err public_key_parse(struct span protobuf, struct public_key *ret_key) MUST_CHECK;

/*
 * Checks a signature by the key of this protobuf. ERR_AUTH: it is not this key's signature; ERR_INVALID and ERR_TOO_LARGE: no
 * usable key (RSA outside 2048 to 8192 bits among them, found before verification); ERR_UNSUPPORTED: type or curve.
 */
enum err public_key_verify(struct span protobuf, struct span message, struct span signature) MUST_CHECK;

/* Our own Ed25519 pair, in guarded memory that is wiped when freed. */
struct key_pair;

/* A new pair from the kernel's randomness. ERR_NOMEM. */
enum err key_pair_generate(struct key_pair **ret_pair) MUST_CHECK;

/* The pair of a seed, which the caller wipes. ERR_NOMEM. */
enum err key_pair_of_seed(const uint8_t seed[ED25519_SEED_BYTES], struct key_pair **ret_pair) MUST_CHECK;

/*
 * Reads a private key protobuf, also the old form with the public key twice. ERR_UNSUPPORTED: not Ed25519; ERR_INVALID: broken, or
 * its public half belongs to another seed; ERR_NOMEM.
 */
enum err key_pair_decode(struct span protobuf, struct key_pair **ret_pair) MUST_CHECK;

/* Writes the private key protobuf; the caller wipes it. */
void key_pair_encode(const struct key_pair *pair, uint8_t to[ED25519_PRIVATE_KEY_BYTES]);

/* The public key protobuf, borrowed from the pair. */
struct span key_pair_public(const struct key_pair *pair);
struct peer_id key_pair_peer_id(const struct key_pair *pair);
void key_pair_sign(const struct key_pair *pair, struct span message, uint8_t to[ED25519_SIGNATURE_BYTES]);

/* Wipes and frees; NULL is ignored. */
void key_pair_free(struct key_pair *pair);

#endif
