/* SPDX-License-Identifier: MIT */
/*
 * A private key of any type that libp2p knows, for names that were made elsewhere: reads, writes, signs.
 *
 *      libp2p-protobuf   {1: type, 2: data}; data is <seed><public> of Ed25519, PKCS #1 of RSA, SEC 1 of ECDSA, the scalar of secp256k1
 *      PEM               PKCS #8 without encryption; the curve tells secp256k1 from ECDSA, whose protobufs differ
 *
 * The node's own identity is a key_pair (keys.h), which is Ed25519. The secret is held as its protobuf in guarded memory that is wiped
 * when freed; libcrypto gets it for the time of one signature only. Not thread-safe for one key. Spec: libp2p/specs peer-ids.
 */
#ifndef HEARTH_WIRE_SIGNING_KEY_H
#define HEARTH_WIRE_SIGNING_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/keys.h"
#include "wire/peer_id.h"

enum { SIGNING_KEY_BYTES_MAX = 6 * 1024, SIGNING_KEY_PEM_BYTES_MAX = 10 * 1024 };

struct signing_key;

/*
 * A new key. bits is for RSA only (KEY_RSA_BITS_MIN to KEY_RSA_BITS_MAX, 0 = 2048) and takes up to seconds, so this is for jobs. ERR_INVALID
 * (bits), ERR_UNSUPPORTED, ERR_NOMEM.
 */
enum err signing_key_generate(enum key_type type, unsigned bits, struct signing_key **ret_key) MUST_CHECK;

/* Reads the private key protobuf. ERR_INVALID, ERR_UNSUPPORTED (a type), ERR_TOO_LARGE, ERR_NOMEM. */
enum err signing_key_decode(struct span protobuf, struct signing_key **ret_key) MUST_CHECK;

/* Reads PEM. Errors as above. */
enum err signing_key_decode_pem(struct span pem, struct signing_key **ret_key) MUST_CHECK;

/* The private key protobuf, borrowed from the key. */
struct span signing_key_secret(const struct signing_key *key);

/* Writes PEM with no NUL; the caller wipes it. ERR_NOMEM. */
enum err signing_key_encode_pem(const struct signing_key *key, uint8_t to[SIGNING_KEY_PEM_BYTES_MAX],
                                size_t *ret_len) MUST_CHECK;

enum key_type signing_key_type(const struct signing_key *key);

/* The public key protobuf, borrowed from the key. */
struct span signing_key_public(const struct signing_key *key);
struct peer_id signing_key_peer_id(const struct signing_key *key);

/* Signs as public_key_verify checks it. ERR_NOMEM, ERR_INTERNAL. */
enum err signing_key_sign(const struct signing_key *key, struct span message, uint8_t to[SIGNATURE_BYTES_MAX],
                          size_t *ret_len) MUST_CHECK;

/* Wipes and frees; NULL is ignored. */
void signing_key_free(struct signing_key *key);

#endif
