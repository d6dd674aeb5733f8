/* SPDX-License-Identifier: MIT */
/*
 * libp2p's TLS 1.3 (/tls/1.0.0) as an engine over OpenSSL: bytes in, bytes out, no socket.
 *
 *      certificate: self-signed, one only, with extension 1.3.6.1.4.1.53594.1.1 =
 *      SEQUENCE { publicKey OCTET STRING (PublicKey protobuf), signature OCTET STRING }
 *      signature over "libp2p-tls-handshake:" + the certificate's SubjectPublicKeyInfo (DER)
 *
 * Both sides send one certificate, no tickets are given or taken. ALPN lists the muxers, then "libp2p", which stands for "negotiate
 * the muxer inside". OpenSSL keeps its own randomness for keys and nonces. Its memory BIOs would copy each record once more, so
 * a small BIO of our own reads from the caller's input and writes to the caller's output.
 *
 * Not thread-safe but for tls_certificate_check. Specs: libp2p/specs tls, inlined-muxer-negotiation; RFC 8446.
 */
#ifndef HEARTH_WIRE_TLS_H
#define HEARTH_WIRE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/peer_id.h"

struct key_pair;
struct tls_identity;
struct tls_session;

enum {
    TLS_PLAIN_MAX = 16384,        /* of one record */
    TLS_RECORD_OVERHEAD = 22,     /* header, content type, tag */
    TLS_CERTIFICATE_MAX = 16384,  /* bytes of a certificate message */
    TLS_HANDSHAKE_OUT_MAX = 16384 /* an out buffer needs this room */
};

/* A fresh certificate and contexts for both roles. ERR_NOMEM, ERR_INTERNAL. */
enum err tls_identity_new(const struct key_pair *pair, struct tls_identity **ret_identity) MUST_CHECK;
void tls_identity_free(struct tls_identity *identity);

struct tls_session_config {
    const struct tls_identity *identity; /* borrowed for the session's life */
    bool client;
    const struct peer_id *expected; /* copied; NULL: whoever answers */
    const char *const *muxers;      /* borrowed for the session's life */
    size_t muxer_count;             /* 0: no early selection */
    uint64_t wall_clock_s;          /* for the certificate's validity; 0: not checked */
};

enum err tls_session_new(const struct tls_session_config *config, struct tls_session **ret_session) MUST_CHECK;
void tls_session_free(struct tls_session *s);

/* The client's first message; nothing for a server. */
enum err tls_session_start(struct tls_session *s, struct buf *out) MUST_CHECK;

/* Takes plaintext, valid during the call. An error ends the feed and is returned from it. */
typedef enum err tls_sink(void *arg, struct span plain);

/*
 * Takes all of data: handshake answers and alerts are appended to out, plaintext goes to sink. ERR_AUTH: certificate;
 * ERR_MISMATCH: another peer than expected; ERR_PROTOCOL: any other breach of TLS; ERR_CLOSED: close_notify. After an error the session
 * is dead; out may hold an alert that explains it to the peer.
 */
enum err tls_session_feed(struct tls_session *s, struct span data, struct buf *out, tls_sink *sink,
                          void *arg) MUST_CHECK;

/* Seals a prefix of the pieces as one record into to, as noise_session_seal does. Only when established. */
enum err tls_session_seal(struct tls_session *s, const struct iovec *plain, int count, uint8_t *to, size_t room,
                          size_t *ret_taken, size_t *ret_written) MUST_CHECK;

bool tls_session_is_established(const struct tls_session *s);
/* Once established: the index into muxers, or -1. */
int tls_session_muxer(const struct tls_session *s);
struct span tls_session_remote_key(const struct tls_session *s);
const struct peer_id *tls_session_remote(const struct tls_session *s);

/*
 * Checks one certificate (DER) as libp2p asks for: validity at wall_clock_s (0: not checked), self-signature, no unknown critical
 * extension, the libp2p extension and its signature. Appends the PublicKey protobuf to key. ERR_AUTH, ERR_NOMEM.
 */
enum err tls_certificate_check(struct span der, uint64_t wall_clock_s, struct buf *key) MUST_CHECK;

#endif
