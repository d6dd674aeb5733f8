/* SPDX-License-Identifier: MIT */
/*
 * libp2p's use of Noise (/noise): framing, identity payload, early muxer selection.
 *
 *      | length, 2 bytes big endian | Noise message, at most 65535 |         handshake messages too
 *
 *      payload of messages 2 and 3 = { 1: identity_key, 2: identity_sig, 4: { 1: certhash..., 2: stream_muxer... } }
 *
 * identity_sig signs "noise-libp2p-static-key:" and the static key, so it is made once for the process (struct noise_identity). The
 * muxer is the first of the initiator's list that the responder listed too; without one, multistream-select goes on inside.
 *
 * After the handshake a frame that arrived whole is decrypted where it lies; only one that is cut is copied, so that a connection
 * that rests holds no buffer. Not thread-safe. Specs: libp2p/specs noise, inlined-muxer-negotiation.
 */
#ifndef HEARTH_WIRE_NOISE_SESSION_H
#define HEARTH_WIRE_NOISE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/noise.h"
#include "wire/peer_id.h"

struct key_pair;

enum {
    NOISE_LENGTH_BYTES = 2,
    NOISE_FRAME_OVERHEAD = NOISE_LENGTH_BYTES + NOISE_TAG_BYTES,
    NOISE_HANDSHAKE_FRAME_MAX = 4096, /* an RSA key of 8192 bits, its signature and the muxers take 2.3 KiB */
    NOISE_HANDSHAKE_OUT_MAX = 1024    /* one own handshake message, framed */
};

/* What all handshakes of a process share: a fresh static key, and the payload that proves whose it is. */
struct noise_identity {
    struct noise_keypair s;
    struct buf proof; /* payload fields 1 and 2 */
};

/* secret is 32 fresh random bytes, which the caller wipes. ERR_NOMEM. */
enum err noise_identity_init(struct noise_identity *identity, const struct key_pair *pair,
                             const uint8_t secret[NOISE_KEY_BYTES]) MUST_CHECK;
void noise_identity_release(struct noise_identity *identity);

struct noise_session_config {
    const struct noise_identity *identity; /* borrowed until established */
    bool initiator;
    const struct peer_id *expected;     /* borrowed until established; NULL: whoever answers */
    const char *const *muxers;          /* in order of preference, borrowed for the session's life */
    size_t muxer_count;                 /* 0: no early selection */
    uint8_t ephemeral[NOISE_KEY_BYTES]; /* fresh random secret for each session */
};

struct noise_session {
    struct noise_session_config config;
    struct noise_handshake hs;
    struct noise_cipher send;
    struct noise_cipher receive;
    struct buf partial; /* a frame that was cut, with its length in front */
    bool partial_spent; /* its plaintext was handed out */
    bool established;
    int muxer;             /* index into config.muxers; -1: none in common */
    struct buf remote_key; /* the peer's PublicKey protobuf */
    struct peer_id remote;
};

void noise_session_init(struct noise_session *s, const struct noise_session_config *config);
void noise_session_release(struct noise_session *s);

/* The initiator's first message; nothing for a responder. Appends to out: errors as buf_append. */
enum err noise_session_start(struct noise_session *s, struct buf *out) MUST_CHECK;

/*
 * Takes one frame from the front of data, or a piece of one: ret_used tells how much. Handshake answers are appended to out;
 * the plaintext of a transport frame is ret_plain, in data or in the session, valid until the next call. data is scratch.
 * ERR_AUTH: signature, key or tag are wrong; ERR_MISMATCH: another peer than expected; ERR_PROTOCOL; ERR_CLOSED: nonces used up;
 * ERR_NOMEM. After an error the session is dead.
 */
enum err noise_session_feed(struct noise_session *s, uint8_t *data, size_t len, struct buf *out, size_t *ret_used,
                            struct span *ret_plain) MUST_CHECK;

/*
 * Seals a prefix of the pieces as one frame into to: ret_taken bytes of plaintext become ret_written bytes, as many as room and the
 * frame's size allow (none when room is not more than NOISE_FRAME_OVERHEAD). Only when established. ERR_CLOSED, ERR_INTERNAL.
 */
enum err noise_session_seal(struct noise_session *s, const struct iovec *plain, int count, uint8_t *to, size_t room,
                            size_t *ret_taken, size_t *ret_written) MUST_CHECK;

/* True once both sides are authenticated and transport frames flow. remote, remote_key and muxer are valid then. */
static inline bool noise_session_is_established(const struct noise_session *s)
{
    return s->established;
}

#endif
