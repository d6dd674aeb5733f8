/* SPDX-License-Identifier: MIT */
/*
 * Peer id: the multihash of a peer's public key protobuf; identity for keys of up to 42 bytes (Ed25519, secp256k1), else
 * sha2-256 (RSA, ECDSA).
 *
 *      00 24 08 01 12 20 <32 bytes>     12D3KooW...      an Ed25519 key, in the id itself
 *      12 20 <32 bytes>                 Qm...            the hash of a larger key
 *
 * A value type of 48 bytes; bytes past len are zero, so equal ids are equal memory and the struct is a table key. The id of no
 * peer has len 0. Text is base58btc; the CID form (v1, libp2p-key, usually base36) is read as well. Spec: libp2p/specs peer-ids.
 */
#ifndef HEARTH_WIRE_PEER_ID_H
#define HEARTH_WIRE_PEER_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    PEER_ID_KEY_INLINE_MAX = 42,
    PEER_ID_BYTES_MAX = 2 + PEER_ID_KEY_INLINE_MAX,
    PEER_ID_TEXT_MAX = 80 /* base36 CID of the longest id and a NUL: 74 */
};

struct peer_id {
    uint8_t len;
    uint8_t bytes[47];
};

/* The id of the peer that owns this public key protobuf. */
struct peer_id peer_id_of_key(struct span public_key);

/* Reads the multihash bytes, nothing around them. ERR_INVALID for anything but identity of <= 42 bytes or sha2-256 of 32. */
enum err peer_id_parse(struct span bytes, struct peer_id *ret_id) MUST_CHECK;

/* Reads base58btc or CID text. ERR_INVALID. */
enum err peer_id_parse_text(struct span text, struct peer_id *ret_id) MUST_CHECK;

/* Writes base58btc text with a final NUL; the empty id gives the empty string. */
void peer_id_text(const struct peer_id *id, char to[PEER_ID_TEXT_MAX]);

/* Writes the CID text (base36, as in IPNS names) with a final NUL. */
void peer_id_text_cid(const struct peer_id *id, char to[PEER_ID_TEXT_MAX]);

/* The public key protobuf inside an identity id, borrowed from it. ERR_NOT_FOUND for hashed ids and the empty one. */
enum err peer_id_key(const struct peer_id *id, struct span *ret_public_key) MUST_CHECK;

bool peer_id_equal(const struct peer_id *a, const struct peer_id *b);

static inline bool peer_id_is_empty(const struct peer_id *id)
{
    return id->len == 0;
}

static inline struct span peer_id_span(const struct peer_id *id)
{
    return span_of(id->bytes, id->len);
}

#endif
