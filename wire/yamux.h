/* SPDX-License-Identifier: MIT */
/*
 * Yamux (/yamux/1.0.0): many streams over one reliable channel, as an engine without I/O.
 *
 *      0        1        2                4                                8                               12
 *      | version| type   | flags          | stream id                      | length (or credit, code, value) |
 *        0        0 data   1 SYN  2 ACK     0 for ping and go-away
 *                 1 window 4 FIN  8 RST     odd: opened by the dialer
 *                 2 ping 3 go-away          even: by the listener
 *
 * The plaintext of the secure channel goes into yamux_feed in pieces of any size; data events point into those pieces. What is to be
 * sent waits in a queue that the owner drains with yamux_output: headers and small writes are copied into one buffer, parts of
 * block_refs are queued by reference. The queue is bounded: user data up to YAMUX_QUEUE_BYTES, answers to the peer by
 * yamux_wants_read turning false. Rejected: a queue per stream, which costs memory for idle streams and a scheduler; here a
 * stream that finds no room waits in line for its writable event.
 *
 * Streams are charged to the tables account. While more than half of that is in use, the peer may have no more than
 * YAMUX_STREAMS_SHORT of them, so that those who hoard streams do not keep others from opening their first ones.
 *
 * Windows: each stream may receive 256 KiB, free of charge; what is granted beyond is taken from the receive account first and given
 * back when the stream ends, parts of it when a stream is busy and others take theirs. Credit returns when the consumer says so, not when bytes
 * arrive, in steps of half a window, at most 128 KiB: a peer that waits for half of a large one leaves the path empty meanwhile.
 *
 * Lifetime: a stream pointer is valid until its closed event has returned, or until yamux_stream_reset or yamux_stream_close.
 * Events come only out of yamux_feed, _tick, _serve, _output_done and _abort; inside them all stream functions may be called.
 * Not thread-safe. Spec: hashicorp/yamux spec.md, libp2p/specs yamux.
 */
#ifndef HEARTH_WIRE_YAMUX_H
#define HEARTH_WIRE_YAMUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

struct account;
struct block_ref;
struct yamux;
struct yamux_stream;

enum {
    YAMUX_HEADER_BYTES = 12,
    YAMUX_WINDOW_FIRST = 256 * 1024,
    YAMUX_WINDOW_MAX = 16 * 1024 * 1024,
    YAMUX_DATA_SENT_MAX = 65535 - 16 - 12, /* with its header one full Noise frame; rust fails above 1 MiB */
    YAMUX_UNACCEPTED_MAX = 256,            /* inbound streams that the owner has not accepted */
    YAMUX_STREAMS_SHORT = 32,              /* inbound streams of a session while the tables account is short */
    YAMUX_DETACHED_MAX = 128,          /* closed streams that wait for the peer's end: past it the oldest is reset */
    YAMUX_UNACKED_MAX = 256,           /* own streams that the peer has not acknowledged: go takes no more */
    YAMUX_PONGS_MAX = 32,              /* queued; further pings are dropped, as go does */
    YAMUX_REPLY_BYTES_MAX = 16 * 1024, /* queued answers to the peer's frames, then reading pauses */
    YAMUX_QUEUE_BYTES = 256 * 1024,    /* queued in all, then writes are refused */
    YAMUX_UNCHARGED_BYTES = 16 * 1024, /* of the queue: so that an exhausted account slows but never stops a session */
    YAMUX_KEEPALIVE_S = 30,            /* of silence, then a ping: js closes what is silent for 120 s */
    YAMUX_KEEPALIVE_LISTENER_S = 35,   /* so that of two who keep the same time only one pings */
    YAMUX_RTT_S = 120,                 /* a ping for the round trip, however much is heard */
    YAMUX_PONG_TIMEOUT_S = 20,         /* nothing at all heard after a ping */
    YAMUX_DRAIN_TIMEOUT_S = 60         /* a closed stream waits that long for the peer's end */
};

enum yamux_code { YAMUX_NORMAL = 0, YAMUX_PROTOCOL_ERROR = 1, YAMUX_INTERNAL_ERROR = 2 };

/* Each may be NULL but data; user is that of the configuration. */
struct yamux_events {
    /* The peer opened a stream. It counts as unaccepted until yamux_stream_accept. */
    void (*stream_opened)(void *user, struct yamux_stream *s);
    void (*data)(void *user, struct yamux_stream *s, struct span bytes);
    void (*fin)(void *user, struct yamux_stream *s);
    void (*writable)(void *user, struct yamux_stream *s);
    /* ERR_OK: both directions ended; ERR_RESET: by the peer, with its code; else why the session ended. */
    void (*closed)(void *user, struct yamux_stream *s, enum err err, uint32_t code);
    void (*goaway)(void *user, uint32_t code);
    void (*pong)(void *user, uint64_t rtt_ns);
};

struct yamux_config {
    bool dialer;
    uint32_t window_first;    /* 0: the protocol's; less only when both sides have it, as in the simulator */
    struct account *receive;  /* may be NULL: windows do not grow */
    struct account *send;     /* may be NULL */
    struct account *tables;   /* pays for streams; may be NULL */
    uint32_t streams_in_max;  /* open at once, opened by the peer */
    uint32_t streams_out_max; /* open at once, opened here */
    const struct yamux_events *events;
    void *user;
};

/* ---- session ---- */

enum err yamux_new(const struct yamux_config *config, uint64_t now_ns, struct yamux **ret_yamux) MUST_CHECK;

/* Frees the session and its streams without events. NULL is ignored. */
void yamux_free(struct yamux *y);

/*
 * Takes all of in. ERR_PROTOCOL: the peer broke the protocol, go-away(1) is queued; ERR_CLOSED: it sent go-away(0); ERR_RESET: go-away
 * with another code; ERR_NOMEM. After an error, which later calls repeat, all streams have been closed with it.
 */
enum err yamux_feed(struct yamux *y, struct span in, uint64_t now_ns) MUST_CHECK;

/* False while the peer does not read its answers: stop reading from it. */
bool yamux_wants_read(const struct yamux *y);

/* Shows queued bytes in order, in at most max pieces; returns their number. Valid until the next call on this session. */
int yamux_output(const struct yamux *y, struct iovec *iov, int max);

/* Takes the first n shown bytes off the queue, without events. */
void yamux_output_drop(struct yamux *y, size_t n);

/* Lets streams that wait in line write, while there is room. */
void yamux_serve(struct yamux *y, uint64_t now_ns);

/* Both of these. */
void yamux_output_done(struct yamux *y, size_t n, uint64_t now_ns);

size_t yamux_queued(const struct yamux *y);

/* Keepalive and drain time-outs. ERR_TIMEOUT: the peer is silent, all streams were closed. */
enum err yamux_tick(struct yamux *y, uint64_t now_ns) MUST_CHECK;
uint64_t yamux_deadline(const struct yamux *y);

/* Sends a ping unless one is on its way; pong follows. */
void yamux_ping(struct yamux *y, uint64_t now_ns);

/* Queues go-away and closes all streams with err. A second call does nothing. */
void yamux_abort(struct yamux *y, enum err err, enum yamux_code code);

uint64_t yamux_rtt_ns(const struct yamux *y);
uint32_t yamux_streams(const struct yamux *y);

/* ---- streams ---- */

/* Opens a stream and queues its SYN. ERR_BUSY: at streams_out_max or YAMUX_UNACKED_MAX; ERR_CLOSED; ERR_NOMEM: tables too. */
enum err yamux_open(struct yamux *y, void *user, struct yamux_stream **ret_stream) MUST_CHECK;

/* The owner has taken an inbound stream: it no longer counts as unaccepted. */
void yamux_stream_accept(struct yamux_stream *s);

/*
 * Queues a prefix of bytes, by copy, within credit and room. ERR_AGAIN when nothing was taken; after less than all, writable
 * follows. ERR_CLOSED after fin or the session's end.
 */
enum err yamux_stream_write(struct yamux_stream *s, struct span bytes, size_t *ret_accepted) MUST_CHECK;

/* The same without a copy, for large parts of a shared buffer: takes references. */
enum err yamux_stream_write_ref(struct yamux_stream *s, struct block_ref *ref, size_t offset, size_t len,
                                size_t *ret_accepted) MUST_CHECK;

size_t yamux_stream_room(const struct yamux_stream *s);

/* Ends the own direction. */
void yamux_stream_fin(struct yamux_stream *s);

/* The consumer has used up n delivered bytes; their credit goes back in large steps. */
void yamux_stream_consume(struct yamux_stream *s, size_t n);

/* Raises the receive window towards bytes, within YAMUX_WINDOW_MAX, half of what the account has free and the share of one stream. */
void yamux_stream_want_window(struct yamux_stream *s, size_t bytes);

/* Sends RST with the code and forgets the stream. */
void yamux_stream_reset(struct yamux_stream *s, uint32_t code);

/* FIN and reads no more; the rest of the peer's direction is drained, then RST at YAMUX_DRAIN_TIMEOUT_S. */
void yamux_stream_close(struct yamux_stream *s);

void yamux_stream_set_user(struct yamux_stream *s, void *user);
void *yamux_stream_user(const struct yamux_stream *s);
uint32_t yamux_stream_id(const struct yamux_stream *s);
bool yamux_stream_is_inbound(const struct yamux_stream *s);

#endif
