/* SPDX-License-Identifier: MIT */
/*
 * The upgrade of a raw byte stream to a secure, muxed one: the layers below Yamux, as one engine.
 *
 *      SECURITY   multistream-select: /noise or /tls/1.0.0
 *      HANDSHAKE  of the channel, with early muxer selection
 *      MUXER      multistream-select inside the channel, when the handshake chose none
 *      DONE       plaintext passes through
 *
 * Handshake bytes are appended to the owner's output buffer as they arise. Plaintext of the upgrade's own (the inner negotiation)
 * waits in inner; the owner seals it before anything else. With optimism the dialer sends the first flight of the only proposal
 * behind it: {header, /noise, message 1} and {message 3, Yamux frames} are single flights.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_UPGRADE_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_UPGRADE_H

#include "actors/connection_manager/connection.h"
#include "actors/connection_manager/secure.h"
#include "wire/multistream.h"

enum upgrade_stage { UPGRADE_SECURITY, UPGRADE_HANDSHAKE, UPGRADE_MUXER, UPGRADE_DONE };

struct upgrade_config {
    bool dialer;
    bool optimistic;
    bool early_muxer; /* offer muxers in the handshake */
    const enum connection_security *security;
    size_t security_count;
    struct secure_config secure; /* seed unset */
    connection_random *random;
    void *random_arg;
    void (*done)(void *arg);                         /* the stage became DONE */
    enum err (*plain)(void *arg, struct span bytes); /* bytes of the muxer; an error ends the feed */
    void *arg;
};

struct upgrade {
    struct upgrade_config config;
    enum upgrade_stage stage;
    struct multistream negotiation; /* of the stages SECURITY and MUXER */
    const char *protocols[2];       /* proposals of the stage SECURITY */
    enum connection_security offered[2];
    size_t offered_count;
    enum connection_security chosen;
    const struct secure_class *secure; /* of the channel; NULL before one is open */
    void *channel;
    bool early;       /* the handshake chose the muxer */
    struct buf inner; /* plaintext of the inner negotiation, to be sealed first */
    struct buf *out;  /* of the running call */
};

/* The muxers that hearth speaks: one. */
extern const char *const upgrade_muxers[1];

/* Takes over a zeroed struct. ERR_INVALID: no or too many security protocols. */
enum err upgrade_init(struct upgrade *u, const struct upgrade_config *config) MUST_CHECK;
void upgrade_release(struct upgrade *u);

/* Writes what is said at once. */
enum err upgrade_start(struct upgrade *u, struct buf *out) MUST_CHECK;

/*
 * Takes all of data. ERR_REFUSED: no security protocol in common; ERR_UNSUPPORTED: the peer refuses the muxer; ERR_AUTH,
 * ERR_MISMATCH, ERR_PROTOCOL, ERR_CLOSED from the layers; errors of plain.
 */
enum err upgrade_feed(struct upgrade *u, uint8_t *data, size_t len, struct buf *out) MUST_CHECK;

/* True when the muxer's bytes may be sealed: when done, or behind an optimistic proposal of the muxer. */
bool upgrade_may_send(const struct upgrade *u);

/* True once the channel can seal. */
bool upgrade_is_secure(const struct upgrade *u);

#endif
