/* SPDX-License-Identifier: MIT */
/*
 * What the three files of Yamux share: yamux.c (session and incoming frames), yamux_stream.c (streams and windows) and
 * yamux_queue.c (what waits to be sent). Nobody else includes this.
 */
#ifndef HEARTH_WIRE_YAMUX_PRIVATE_H
#define HEARTH_WIRE_YAMUX_PRIVATE_H

#include <sys/queue.h>

#include "base/table.h"
#include "wire/yamux.h"

enum yamux_type { YAMUX_DATA = 0, YAMUX_WINDOW_UPDATE = 1, YAMUX_PING = 2, YAMUX_GO_AWAY = 3 };
enum yamux_flag { YAMUX_SYN = 1, YAMUX_ACK = 2, YAMUX_FIN = 4, YAMUX_RST = 8 };

struct yamux_header {
    uint8_t type;
    uint16_t flags;
    uint32_t id;
    uint32_t length;
};

/* ---- queue ---- */

/*
 *      pieces (ring):  | inline 24 | ref 65536 | inline 12 | ref ...
 *      bytes:          [drained | 24 | 12 | ...]
 *                               ^ head
 */
struct yamux_piece {
    struct block_ref *ref; /* NULL: the next len bytes of the buffer */
    size_t offset;         /* into ref */
    size_t len;
};

struct yamux_queue {
    struct buf bytes;
    size_t head;
    struct yamux_piece *pieces;
    size_t first;
    size_t count;
    size_t cap;     /* a power of two, or 0 */
    size_t queued;  /* bytes in all pieces */
    size_t replies; /* of them, at most, answers to the peer */
    size_t charged; /* taken from account */
    struct account *account;
    uint64_t put; /* bytes ever put */
    uint64_t drained;
    uint64_t pong_end[YAMUX_PONGS_MAX]; /* positions where queued pongs end, oldest first */
    size_t pongs;
    uint32_t open_id;  /* stream whose inline Data frame is the last thing put, 0: none */
    uint32_t open_len; /* its payload so far */
};

void yamux_queue_init(struct yamux_queue *q, struct account *account);
void yamux_queue_release(struct yamux_queue *q);

/* A frame without payload. reply: it answers the peer. ERR_NOMEM. */
enum err yamux_queue_header(struct yamux_queue *q, const struct yamux_header *h, bool reply) MUST_CHECK;

/* A pong; dropped when YAMUX_PONGS_MAX are queued. */
enum err yamux_queue_pong(struct yamux_queue *q, uint32_t value) MUST_CHECK;

/*
 * One Data frame of at most YAMUX_DATA_SENT_MAX bytes, copied; joins the last frame when that is still open for this stream. reply: it
 * answers the peer, as what is written to a stream that nobody has accepted yet.
 */
enum err yamux_queue_data(struct yamux_queue *q, uint32_t id, uint16_t flags, struct span bytes, bool reply) MUST_CHECK;

/* The same by reference. */
enum err yamux_queue_ref(struct yamux_queue *q, uint32_t id, uint16_t flags, struct block_ref *ref, size_t offset,
                         size_t len) MUST_CHECK;

int yamux_queue_peek(const struct yamux_queue *q, struct iovec *iov, int max);
void yamux_queue_drop(struct yamux_queue *q, size_t n);

/* ---- streams ---- */

enum yamux_stream_state {
    YAMUX_STREAM_OPEN,
    YAMUX_STREAM_FINISHED, /* both FINs seen: closed is about to be reported */
    YAMUX_STREAM_DETACHED, /* closed by its owner: drains until the peer ends it */
    YAMUX_STREAM_DEAD      /* freed when the running call returns */
};

struct yamux_stream {
    struct yamux *session;
    void *user;
    uint32_t id;
    enum yamux_stream_state state;
    bool inbound;
    bool accepted;
    bool acked;       /* outbound: the peer has answered the SYN */
    bool ack_pending; /* inbound: the ACK rides on the next frame */
    bool local_fin;
    bool remote_fin;
    bool blocked;            /* waits in line for writable */
    uint32_t receive_window; /* what the peer may still send */
    uint32_t receive_max;    /* what it may have on the way and unconsumed at most */
    uint32_t held;           /* delivered, not consumed */
    uint32_t owed;           /* consumed, credit not sent yet */
    uint64_t send_credit;
    uint64_t period_at;    /* when the peer began to use up this half of the window */
    uint32_t period_bytes; /* consumed since */
    uint64_t drain_until;
    TAILQ_ENTRY(yamux_stream) line; /* blocked */
    TAILQ_ENTRY(yamux_stream) list; /* finished, detached or dead */
};

TAILQ_HEAD(yamux_stream_list, yamux_stream);

struct yamux {
    struct yamux_config config;
    enum err err; /* ERR_OK while the session lives */
    struct table streams;
    struct yamux_queue queue;
    struct yamux_stream_list blocked;
    struct yamux_stream_list finished;
    struct yamux_stream_list detached;
    struct yamux_stream_list dead;
    uint32_t next_id;
    uint32_t in_count;
    uint32_t out_count;
    uint32_t unaccepted;
    uint32_t unacked;
    uint32_t blocked_count;
    uint32_t detached_count;
    bool starved;   /* a frame that must be sent found no memory: the session fails at the next leave */
    unsigned depth; /* calls that may report events, nested */
    uint64_t now_ns;
    /* the frame that arrives */
    uint8_t header[YAMUX_HEADER_BYTES];
    size_t header_len;
    uint32_t left; /* payload bytes to come */
    bool fin_after;
    struct yamux_stream *target; /* of the payload; NULL: drain */
    /* ping */
    uint64_t heard_at;
    uint64_t ping_at;
    uint64_t rtt_ns;
    uint32_t ping_value;
    bool ping_waits;
};

/* Brackets of every call that may report events: leave reports finished streams and frees dead ones. */
void yamux_enter(struct yamux *y, uint64_t now_ns);
void yamux_leave(struct yamux *y);

/* The session ends: go-away with code unless it is negative, all streams closed with err. */
void yamux_fail(struct yamux *y, enum err err, int code);

struct yamux_stream *yamux_find(const struct yamux *y, uint32_t id);
struct yamux_stream *yamux_stream_new(struct yamux *y, uint32_t id, bool inbound);
void yamux_stream_free(struct yamux_stream *s);

/* Takes the stream out of everything; freed by the next leave. */
void yamux_stream_kill(struct yamux_stream *s);

/* A frame without payload for this stream, carrying a pending ACK. */
void yamux_stream_send(struct yamux_stream *s, enum yamux_type type, uint16_t flags, uint32_t length);

void yamux_stream_on_credit(struct yamux_stream *s, uint32_t delta);
void yamux_stream_on_fin(struct yamux_stream *s);

/* Lets streams in line write while there is room. */
void yamux_serve_blocked(struct yamux *y);

#endif
