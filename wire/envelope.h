/* SPDX-License-Identifier: MIT */
/*
 * Signed envelope: a payload that proves who made it and for what.
 *
 *      Envelope { 1: public_key, 2: payload_type, 3: payload, 5: signature }
 *      signature over: <len>domain <len>payload_type <len>payload          (varint lengths)
 *
 * The domain is never sent: a signature made for one use does not verify for another. Parsing borrows from the input. Spec:
 * libp2p/specs RFC 0002.
 */
#ifndef HEARTH_WIRE_ENVELOPE_H
#define HEARTH_WIRE_ENVELOPE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/keys.h"

enum { ENVELOPE_BYTES_MAX = 64 * 1024 };

struct envelope {
    struct span public_key; /* the protobuf */
    struct span payload_type;
    struct span payload;
    struct span signature;
};

/* Reads the protobuf; proves nothing. ERR_INVALID when a field is missing, ERR_TRUNCATED, ERR_TOO_LARGE. */
enum err envelope_parse(struct span bytes, struct envelope *ret_envelope) MUST_CHECK;

/*
 * Checks type and signature. ERR_MISMATCH: another payload type; ERR_AUTH: not signed by its key for this domain; ERR_INVALID,
 * ERR_UNSUPPORTED: of the key; ERR_NOMEM.
 */
enum err envelope_verify(const struct envelope *envelope, const char *domain, struct span payload_type) MUST_CHECK;

/* Appends a sealed envelope. Errors of buf_append, ERR_NOMEM. */
enum err envelope_seal(const struct key_pair *pair, const char *domain, struct span payload_type, struct span payload,
                       struct buf *out) MUST_CHECK;

#endif
