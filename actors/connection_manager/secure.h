/* SPDX-License-Identifier: MIT */
/*
 * The seam between a connection and its secure channel: one small vtable, implemented by Noise and by TLS. A channel turns socket
 * bytes into plaintext (feed, which hands it to a sink) and plaintext into socket bytes (seal). It says nothing about time,
 * streams or sockets.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_SECURE_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_SECURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/noise_session.h"
#include "wire/peer_id.h"
#include "wire/tls.h"

/* Shared by all channels of the process. */
struct connection_identity {
    struct noise_identity noise;
    struct tls_identity *tls;
};

struct secure_config {
    const struct connection_identity *identity; /* borrowed while the channel lives */
    bool dialer;
    const struct peer_id *expected; /* borrowed while the channel lives; NULL: whoever answers */
    const char *const *muxers;      /* borrowed while the channel lives */
    size_t muxer_count;
    uint64_t wall_clock_s;
    uint8_t seed[NOISE_KEY_BYTES]; /* fresh random bytes for ephemerals */
};

/* Takes plaintext; an error stops the feed and is returned from it. */
typedef enum err secure_sink(void *arg, struct span plain);

struct secure_class {
    const char *protocol;
    /* Bytes that sealing n bytes of plaintext may add, for sizing buffers. */
    size_t (*overhead)(size_t plain_bytes);
    enum err (*open)(const struct secure_config *config, void **ret_self);
    void (*close)(void *self); /* NULL is ignored */
    enum err (*start)(void *self, struct buf *out);
    /* Takes all of data, which is scratch afterwards; answers go to out, plaintext to sink. */
    enum err (*feed)(void *self, uint8_t *data, size_t len, struct buf *out, secure_sink *sink, void *arg);
    /* One frame from a prefix of the pieces into to; takes nothing when room is too small. */
    enum err (*seal)(void *self, const struct iovec *plain, int count, uint8_t *to, size_t room, size_t *ret_taken,
                     size_t *ret_written);
    bool (*is_established)(const void *self);
    /* The rest once established: the chosen muxer's index or -1, the peer, its PublicKey protobuf. */
    int (*muxer)(const void *self);
    const struct peer_id *(*remote)(const void *self);
    struct span (*remote_key)(const void *self);
};

extern const struct secure_class secure_noise;
extern const struct secure_class secure_tls;

#endif
