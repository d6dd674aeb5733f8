/* SPDX-License-Identifier: MIT */
/*
 * Identify: who a peer is, what it speaks, where it listens. /ipfs/id/1.0.0 and /ipfs/id/push/1.0.0.
 *
 *      stream: ( <varint length> <Identify> )+ FIN
 *      Identify { 1: public_key, 2: repeated listen_addr, 3: repeated protocol, 4: observed_addr, 5: protocol_version,
 *                 6: agent_version, 8: signed_peer_record }
 *
 * A sender may split the message; by protobuf's rules merging messages is the same as concatenating their bytes, so the reader
 * strips the frames, keeps the bodies and parses once at the end. Excess protocols and addresses are cut off, excess frames and
 * bytes end the stream. Our own message stays under 4096 bytes, because rust-libp2p reads no more. Spec: libp2p/specs identify.
 */
#ifndef HEARTH_WIRE_IDENTIFY_H
#define HEARTH_WIRE_IDENTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/peer_id.h"

struct multiaddr;

enum {
    IDENTIFY_SEND_MAX = 4095,          /* bytes of our message without its length */
    IDENTIFY_FRAME_MAX = 8192,         /* bytes of one received message */
    IDENTIFY_FRAMES_MAX = 10,          /* received messages of one exchange */
    IDENTIFY_PROTOCOLS_MAX = 1024,     /* taken from a peer */
    IDENTIFY_PROTOCOL_BYTES_MAX = 256, /* longer names are passed over */
    IDENTIFY_ADDRS_MAX = 500,
    IDENTIFY_VERSION_BYTES_MAX = 256 /* of agent and protocol version; the rest is cut off */
};

#define IDENTIFY_PROTOCOL         "/ipfs/id/1.0.0"
#define IDENTIFY_PUSH_PROTOCOL    "/ipfs/id/push/1.0.0"
#define IDENTIFY_PROTOCOL_VERSION "ipfs/0.1.0"

/* What we say. Spans may be empty: then the field is left out. */
struct identify_own {
    struct span public_key;
    struct span observed_addr; /* where we see the other side */
    struct span signed_record;
    const char *agent_version;
    const struct multiaddr *listen_addrs; /* the list that signed_record was made from */
    size_t listen_count;
    const char *const *protocols;
    size_t protocol_count;
};

/* Appends one framed message. ERR_TOO_LARGE over IDENTIFY_SEND_MAX: tell fewer addresses. Errors of buf_append. */
enum err identify_encode(const struct identify_own *own, struct buf *out) MUST_CHECK;

/* Collects what a peer sends. */
struct identify_reader {
    struct buf body; /* the bodies so far, complete or not */
    uint64_t frame_left;
    unsigned frames;
    uint8_t length[2]; /* the part of a length that has come */
    uint8_t length_len;
};

/* account may be NULL; at most IDENTIFY_FRAMES_MAX * IDENTIFY_FRAME_MAX bytes are taken from it. */
void identify_reader_init(struct identify_reader *reader, struct account *account);
void identify_reader_release(struct identify_reader *reader);

/* Takes bytes in any pieces. ERR_TOO_LARGE: a frame or their number over the bounds; ERR_INVALID; ERR_NOMEM. Then reset the stream. */
enum err identify_reader_feed(struct identify_reader *reader, struct span bytes) MUST_CHECK;

/* What was said. Spans borrow from the reader (or from whatever bytes were parsed). */
struct identify {
    struct span public_key; /* empty when absent; else proven to be the peer's */
    struct span observed_addr;
    struct span signed_record; /* an envelope, not opened yet: peer_record_open */
    struct span protocol_version;
    struct span agent_version;
    struct span body; /* for the iterators */
};

/*
 * At the end of the stream. peer is the connection's. ERR_TRUNCATED: it ended inside a frame or without one; ERR_MISMATCH: the
 * public key is another peer's; ERR_INVALID: broken protobuf.
 */
enum err identify_reader_finish(const struct identify_reader *reader, const struct peer_id *peer,
                                struct identify *ret_identify) MUST_CHECK;

/* Parses bodies without frames; used by identify_reader_finish. */
enum err identify_parse(struct span body, const struct peer_id *peer, struct identify *ret_identify) MUST_CHECK;

/* Walks protocols or addresses up to the caps: start with a zeroed iterator. */
struct identify_iterator {
    struct span rest;
    unsigned taken;
    bool started;
};

bool identify_next_protocol(const struct identify *identify, struct identify_iterator *iterator,
                            struct span *ret_protocol);

/* Unchecked multiaddr bytes. */
bool identify_next_addr(const struct identify *identify, struct identify_iterator *iterator, struct span *ret_addr);

/* Whether the peer lists a protocol. */
bool identify_speaks(const struct identify *identify, const char *protocol);

#endif
