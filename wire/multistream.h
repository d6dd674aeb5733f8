/* SPDX-License-Identifier: MIT */
/*
 * multistream-select: how two peers agree on the next protocol, on a connection, inside a secure channel and on each stream.
 *
 *      varint length (with the newline, <= 1024) | text | '\n'
 *
 *      initiator:  /multistream/1.0.0  /noise ........... [next proposal after na]
 *      responder:  /multistream/1.0.0 ......... /noise | na
 *
 * An engine fed with bytes. It takes exactly the bytes of the negotiation; what follows belongs to the protocol and is left to
 * the caller, so nothing is ever routed by what the payload looks like. Both sides write their header at once; the initiator's
 * first proposal follows it without waiting, and the caller may put payload behind a single proposal. `ls` is answered `na`, as
 * it died out. Rejected: reading line by line from a transport, since then the engine would decide about buffering.
 *
 * Memory: a line that arrives in pieces is kept in a buffer of at most 1 KiB; nothing else grows. Spec: multiformats/multistream-select.
 */
#ifndef HEARTH_WIRE_MULTISTREAM_H
#define HEARTH_WIRE_MULTISTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    MULTISTREAM_LINE_MAX = 1024,    /* bytes after the length, the newline included */
    MULTISTREAM_PROPOSALS_MAX = 64, /* that a responder answers */
    MULTISTREAM_OUTPUT_MAX = 4096   /* what an out buffer must have room for: one call writes less */
};

#define MULTISTREAM_HEADER "/multistream/1.0.0"

/* The number (>= 0, the caller's own) of a protocol that is spoken, or -1. */
typedef int multistream_match(void *arg, struct span name);

struct multistream {
    const char *const *protocols; /* initiator: borrowed */
    size_t count;
    multistream_match *match; /* responder */
    void *arg;
    struct buf line;    /* a line that has not arrived whole, with its length in front */
    uint32_t proposals; /* initiator: index of the one that waits for its answer; responder: answered so far */
    int selected;       /* -1 until done */
    bool header_arrived;
    bool done;
};

/* Proposes count >= 1 protocols in order; the names stay borrowed until the end. Allocates nothing. */
void multistream_init_initiator(struct multistream *m, const char *const *protocols, size_t count);

/* Answers with what match accepts. Allocates nothing. */
void multistream_init_responder(struct multistream *m, multistream_match *match, void *arg);

/* NULL-safe on content; may be called at any time and twice. */
void multistream_release(struct multistream *m);

/* Appends what is said without waiting: the header, and the initiator's first proposal. Errors as buf_append. */
enum err multistream_start(struct multistream *m, struct buf *out) MUST_CHECK;

/*
 * Takes bytes from in (ret_used tells how many, also on failure) and appends answers to out. Once multistream_is_done, no
 * further byte is taken. ERR_REFUSED: the responder took none of the proposals; ERR_PROTOCOL: not multistream-select, or over
 * its limits; ERR_NOMEM, ERR_TOO_LARGE: out. After an error the engine is dead.
 */
enum err multistream_feed(struct multistream *m, struct span in, struct buf *out, size_t *ret_used) MUST_CHECK;

static inline bool multistream_is_done(const struct multistream *m)
{
    return m->done;
}

/* Initiator: the index of the accepted proposal; responder: the number that match gave. -1 until done. */
static inline int multistream_selected(const struct multistream *m)
{
    return m->selected;
}

/* Appends one line: length, text, newline. ERR_TOO_LARGE over MULTISTREAM_LINE_MAX; else as buf_append. */
enum err multistream_append_line(struct buf *out, struct span text) MUST_CHECK;

#endif
