/* SPDX-License-Identifier: MIT */
/*
 * One libp2p connection as an engine: bytes in, bytes out, events. No socket, no clock, no context.
 *
 *      socket bytes -> [pnet] -> [websocket] -> [multistream] -> noise | tls -> [multistream] -> yamux -> per stream: [multistream] -> events
 *
 * The owner reads a socket into any scratch buffer and calls connection_feed; after every call into the engine it writes what
 * connection_output shows. Time comes in as an argument (nanoseconds, any monotonic origin); connection_deadline says when the
 * next connection_tick is due. Streams may be opened and written before the upgrade is done: what they queue leaves in the same
 * flight as the last handshake message.
 *
 * Events are called synchronously from connection_feed, _tick, _output_done, _close. Inside an event every function of this
 * header may be called but connection_feed, _tick, _output, _output_done and connection_free of the same connection: the owner of
 * a closed connection frees it after the call that reported it has returned.
 *
 * Threads: one connection belongs to one thread. Nothing blocks. Specs: libp2p connections, websockets, multistream-select, noise, tls,
 * yamux.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_CONNECTION_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

struct account;
struct block_ref;
struct key_pair;
struct peer_id;

struct connection;
struct connection_stream;
struct connection_identity;

enum {
    CONNECTION_UPGRADE_TIMEOUT_S = 15,   /* first byte to muxer */
    CONNECTION_NEGOTIATE_TIMEOUT_S = 10, /* one multistream negotiation: of a layer or of a stream */
    CONNECTION_STREAMS_IN_MAX = 512,     /* default cap of open streams that the peer opened */
    CONNECTION_STREAMS_OUT_MAX = 512,    /* rust refuses more */
    CONNECTION_OUTPUT_BYTES = 128 * 1024 /* ciphertext made ahead of the socket */
};

/* The role in security and muxer: the dialer proposes. It flips in DCUtR. */
enum connection_role { CONNECTION_DIALER, CONNECTION_LISTENER };

enum connection_security { CONNECTION_NOISE, CONNECTION_TLS };

/* Fills len random bytes; ctx_random of the owner. */
typedef void connection_random(void *arg, void *to, size_t len);

struct connection_info {
    const struct peer_id *peer; /* lives as long as the connection */
    struct span public_key;     /* the PublicKey protobuf; lives as long as the connection */
    enum connection_security security;
    bool early_muxer; /* chosen in the handshake, without a multistream round trip */
};

/* Each may be NULL. user is that of the configuration. */
struct connection_events {
    /* The peer is authenticated and the muxer runs. */
    void (*upgraded)(void *user, struct connection *c, const struct connection_info *info);
    /*
     * The protocol of a stream is agreed: an inbound one is now known to the owner (match gave its protocol), an outbound one
     * is confirmed. Set the user pointer of an inbound stream here.
     */
    void (*stream_opened)(void *user, struct connection_stream *s);
    /* Bytes of the protocol, valid during the call. Return their credit with connection_stream_consume when they are used up. */
    void (*stream_data)(void *user, struct connection_stream *s, struct span bytes);
    /* The peer writes no more. The own direction stays open. */
    void (*stream_fin)(void *user, struct connection_stream *s);
    /* After a short or refused write: there is room again. */
    void (*stream_writable)(void *user, struct connection_stream *s);
    /*
     * The stream is gone, its pointer dies with this call. ERR_OK: both directions ended by FIN; ERR_RESET: by the peer, code is
     * its error code; ERR_REFUSED: none of the protocols; ERR_TIMEOUT: negotiation; ERR_PROTOCOL; else the connection's error.
     * Not called after connection_stream_reset or connection_stream_close.
     */
    void (*stream_closed)(void *user, struct connection_stream *s, enum err err, uint32_t code);
    /*
     * The connection is over; all its streams were closed before. connection_output may still hold last words (go-away, alert):
     * write them once without waiting, then free. ERR_REFUSED: the peer took none of the proposed security protocols (after an
     * optimistic proposal: dial again without optimism and remember it); ERR_AUTH: bad signature or certificate; ERR_MISMATCH:
     * another peer than expected; ERR_UNSUPPORTED: no WebSocket or no Yamux there; ERR_TIMEOUT; ERR_PROTOCOL; ERR_CLOSED: by go-away,
     * end of input or connection_close.
     */
    void (*closed)(void *user, struct connection *c, enum err err);
};

struct connection_config {
    enum connection_role role;
    const struct connection_identity *identity; /* borrowed */
    const struct peer_id *expected;             /* copied; NULL: whoever answers */
    enum connection_security security[2];       /* in order of preference; a listener accepts any of them */
    size_t security_count;
    const uint8_t *swarm_key; /* of a private network, PNET_KEY_BYTES; copied; NULL: none */
    bool websocket;           /* speak WebSocket below all else: one round trip more, before anything of the upgrade */
    const char *websocket_host; /* dialer: "address:port" for the HTTP request; borrowed for connection_new */
    /*
     * Dialer: send the first flight of security[0] behind its proposal, and the muxer's behind its own, without waiting. Saves one
     * or two round trips; costs the connection when the peer refuses.
     */
    bool optimistic;
    struct account *receive;  /* window beyond the first 256 KiB per stream; may be NULL: windows do not grow */
    struct account *send;     /* bytes queued towards the socket; may be NULL */
    struct account *tables;   /* pays for streams; while it is short the peer may have few of them; may be NULL */
    uint32_t streams_in_max;  /* 0: the default */
    uint32_t streams_out_max; /* 0: the default */
    uint64_t wall_clock_s;    /* seconds since 1970, for the validity of certificates; 0: not checked */
    bool no_early_muxer;      /* do not offer muxers in the handshake: for tests and measurements */
    connection_random *random;
    void *random_arg;
    /* Which protocol an inbound stream may speak: its number (>= 0, the owner's own), or -1. Called during negotiation. */
    int (*match_protocol)(void *user, struct span name);
    const struct connection_events *events; /* borrowed */
    void *user;
};

/* ---- identity: once per process ---- */

/*
 * Prepares what every connection shares: a fresh Noise static key with its signature, the TLS certificate and context. pair is
 * borrowed for the call. Errors: ERR_NOMEM, ERR_INVALID (a key that cannot sign), ERR_INTERNAL (OpenSSL).
 */
enum err connection_identity_new(const struct key_pair *pair, connection_random *random, void *random_arg,
                                 struct connection_identity **ret_identity) MUST_CHECK;

/* Wipes the secrets; NULL is ignored. No connection may use it any more. */
void connection_identity_free(struct connection_identity *identity);

/* ---- life cycle ---- */

/* Starts an engine at now_ns; its first flight is ready in connection_output. ERR_NOMEM, ERR_INVALID. */
enum err connection_new(const struct connection_config *config, uint64_t now_ns,
                        struct connection **ret_connection) MUST_CHECK;

/* Frees at once, without events. NULL is ignored. */
void connection_free(struct connection *c);

/*
 * Ends the connection in good order: go-away is queued, every stream and then the connection report ERR_CLOSED before this
 * returns. A second call does nothing.
 */
void connection_close(struct connection *c);

/* ---- bytes and time ---- */

/*
 * Takes len bytes from the socket. They are decrypted in place: data is scratch afterwards, and borrowed for the call only. len of
 * 0 is the end of the input. An error of the peer is reported by the event closed, not here; bytes after it are ignored.
 */
void connection_feed(struct connection *c, uint8_t *data, size_t len, uint64_t now_ns);

/* False while the peer must be slowed down: do not read the socket. Ask again after connection_output_done. */
bool connection_wants_read(const struct connection *c);

/*
 * Shows the bytes to write, in order, in at most max pieces; returns how many pieces (0: nothing). They stay valid until the next
 * call on this connection. Encrypts as much as CONNECTION_OUTPUT_BYTES; call again after connection_output_done until 0.
 */
int connection_output(struct connection *c, struct iovec *iov, int max);

/* The socket took the first n of those bytes. */
void connection_output_done(struct connection *c, size_t n, uint64_t now_ns);

/* When connection_tick is due; UINT64_MAX: never. */
uint64_t connection_deadline(const struct connection *c);

/* Lets deadlines pass: upgrade and negotiation time-outs, keepalive. */
void connection_tick(struct connection *c, uint64_t now_ns);

/* ---- queries ---- */

/* Whether the upgrade may speak: at once on TCP, after the HTTP exchange of a WebSocket. */
bool connection_is_open(const struct connection *c);
bool connection_is_upgraded(const struct connection *c);
bool connection_is_closed(const struct connection *c);
/* Valid once upgraded. */
const struct connection_info *connection_info(const struct connection *c);
/* Round trip of the last Yamux ping; 0: not known yet. */
uint64_t connection_rtt_ns(const struct connection *c);
/* Open streams, both directions. */
uint32_t connection_streams(const struct connection *c);
/* Socket bytes of both directions since the start. */
void connection_traffic(const struct connection *c, uint64_t *ret_in_bytes, uint64_t *ret_out_bytes);

/* ---- streams ---- */

/*
 * Opens a stream and proposes count protocols in order; the names are borrowed until stream_opened or stream_closed. optimistic
 * (count must be 1): it can be written at once, behind the proposal; else writes give ERR_AGAIN until stream_opened. Header and
 * first proposal leave together. ERR_BUSY: too many streams, or 256 that the peer has not acknowledged; ERR_CLOSED; ERR_NOMEM.
 */
enum err connection_open_stream(struct connection *c, const char *const *protocols, size_t count, bool optimistic,
                                void *user, uint64_t now_ns, struct connection_stream **ret_stream) MUST_CHECK;

/*
 * Writes a prefix of bytes, as far as the peer's credit and the queue go; copies it. ERR_AGAIN: nothing was taken, stream_writable
 * follows; also after a short write. ERR_CLOSED after fin.
 */
enum err connection_stream_write(struct connection_stream *s, struct span bytes, size_t *ret_accepted) MUST_CHECK;

/* The same for a part of a shared buffer, without a copy: a reference is taken for what was accepted. */
enum err connection_stream_write_ref(struct connection_stream *s, struct block_ref *ref, size_t offset, size_t len,
                                     size_t *ret_accepted) MUST_CHECK;

/* Ends the own direction after what was written. Once; further calls do nothing. */
void connection_stream_fin(struct connection_stream *s);

/* Returns credit for n bytes that stream_data delivered. */
void connection_stream_consume(struct connection_stream *s, size_t n);

/* Asks for a receive window of bytes (at most 16 MiB); grants what the receive account has free. */
void connection_stream_want_window(struct connection_stream *s, size_t bytes);

/* Ends both directions at once; the pointer is dead afterwards, no event follows. */
void connection_stream_reset(struct connection_stream *s, uint32_t code);

/* FIN, and reads no more: late data is drained in the background. The pointer is dead afterwards, no event follows. */
void connection_stream_close(struct connection_stream *s);

void connection_stream_set_user(struct connection_stream *s, void *user);
void *connection_stream_user(const struct connection_stream *s);
struct connection *connection_stream_connection(const struct connection_stream *s);
bool connection_stream_is_inbound(const struct connection_stream *s);
/* Inbound: the number that match_protocol gave; outbound: the index into protocols. -1 before stream_opened. */
int connection_stream_protocol(const struct connection_stream *s);
uint32_t connection_stream_id(const struct connection_stream *s);

#endif
