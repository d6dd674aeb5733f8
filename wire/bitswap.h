/* SPDX-License-Identifier: MIT */
/*
 * Bitswap messages, /ipfs/bitswap/1.2.0 and its three older names.
 *
 *      stream: ( <varint length, 4 MiB at most> <Message> )*
 *      Message { 1: wantlist { 1: repeated entry { 1: cid, 2: priority, 3: cancel, 4: wantType, 5: sendDontHave }, 2: full },
 *                2: repeated block bytes (1.0.0 and unversioned), 3: repeated payload { 1: prefix, 2: data } (1.1.0 on),
 *                4: repeated presence { 1: cid, 2: type }, 5: pendingBytes }
 *
 * The reader is fed bytes in any pieces and reports each entry, presence and block as soon as its last byte is there. A message
 * may be 4 MiB, so it is never assembled: entries pass through a scratch of 256 bytes, and only the block being received is
 * collected, in a buffer that the caller gives. A length over the bound is refused before anything is asked for.
 *
 * The writer collects the small fields in one buffer and keeps large blocks as references, so that a block goes from storage to
 * the socket without a copy. Fields that must be there always are: boxo resets a stream over an entry without a CID.
 *
 * Readers forgive what costs nothing: entries without a usable CID, identity CIDs, unknown fields and hash functions are passed
 * over and counted. Broken protobuf ends the stream. Spec: ipfs/specs bitswap protocol; boxo's message.proto.
 */
#ifndef HEARTH_WIRE_BITSWAP_H
#define HEARTH_WIRE_BITSWAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/cid.h"

enum {
    BITSWAP_MESSAGE_MAX = 4 * 1024 * 1024,
    BITSWAP_ENTRY_MAX = 256,   /* bytes of an entry or presence; longer ones hold no usable CID */
    BITSWAP_INLINE_MAX = 4096, /* blocks up to this are copied into the message: cheaper than a piece of their own */
    BITSWAP_BLOCKS_MAX = 64    /* referenced blocks in one message */
};

/* Ascending: what a later one can do includes what the earlier ones can. */
enum bitswap_version { BITSWAP_UNVERSIONED, BITSWAP_1_0, BITSWAP_1_1, BITSWAP_1_2, BITSWAP_VERSION_COUNT };

const char *bitswap_protocol(enum bitswap_version version);
enum err bitswap_version_of(struct span protocol, enum bitswap_version *ret_version) MUST_CHECK;

/* Whether the other side understands want-have, presences and sendDontHave. */
static inline bool bitswap_has_presences(enum bitswap_version version)
{
    return version >= BITSWAP_1_2;
}

enum bitswap_want_type { BITSWAP_WANT_BLOCK = 0, BITSWAP_WANT_HAVE = 1 };

/* One wantlist entry. */
struct bitswap_want {
    struct cid cid;
    int32_t priority;
    enum bitswap_want_type type;
    bool cancel;
    bool send_dont_have;
};

/* What a whole message said beside its parts. */
struct bitswap_end {
    bool full;             /* the entries of this message are the peer's whole list: older wants are void */
    int32_t pending_bytes; /* 0 when absent */
    uint32_t ignored;      /* parts passed over: no or foreign CID, identity, oversized */
};

/* Where a reader reports. Called synchronously from bitswap_reader_feed; arguments are borrowed. */
struct bitswap_sink {
    void *arg;
    /* A buffer for a block of this size, of which the reader takes the reference; NULL: not now, feed returns ERR_AGAIN. */
    struct block_ref *(*acquire)(void *arg, size_t size);
    void (*want)(void *arg, const struct bitswap_want *want);
    void (*presence)(void *arg, const struct cid *cid, bool have);
    /* A block and the CID that its bytes have under the sender's prefix. Keep it with block_ref_ref. */
    void (*block)(void *arg, const struct cid *cid, struct block_ref *block);
    /* A block without a usable prefix: ERR_INVALID, ERR_UNSUPPORTED (a hash that may not address a block). It is dropped. */
    void (*rejected)(void *arg, enum err why, size_t bytes);
    void (*end)(void *arg, const struct bitswap_end *end);
};

/* A plain struct: zero it with bitswap_reader_init; one per stream that is read. */
struct bitswap_reader {
    uint8_t state;
    uint8_t place;
    uint8_t varint_len;
    uint8_t type;   /* of the current field */
    uint8_t prefix; /* what is known of the payload's prefix */
    bool full;
    uint16_t small_len;
    uint32_t field; /* its number */
    uint32_t pos;   /* bytes of the message read */
    uint32_t end;   /* its length */
    uint32_t nested_end;
    uint32_t left; /* of the current value */
    uint32_t data_len;
    uint32_t ignored;
    int32_t pending_bytes;
    uint64_t varint;
    struct block_ref *data;
    struct cid_prefix cid_prefix;
    uint8_t small[BITSWAP_ENTRY_MAX];
};

void bitswap_reader_init(struct bitswap_reader *reader);

/* Drops a half-received block. */
void bitswap_reader_release(struct bitswap_reader *reader);

/*
 * Takes bytes from the front of *in. ERR_OK: all taken. ERR_AGAIN: acquire had no buffer; what is left in *in is to be fed again
 * when there may be one. ERR_TOO_LARGE, ERR_INVALID: reset the stream; the reader is of no more use.
 */
enum err bitswap_reader_feed(struct bitswap_reader *reader, struct span *in,
                             const struct bitswap_sink *sink) MUST_CHECK;

/* Whether the stream may end here: not inside a message. */
bool bitswap_reader_at_boundary(const struct bitswap_reader *reader);

/* Builds one message. */
struct bitswap_writer {
    enum bitswap_version version;
    size_t max; /* bytes of the message */
    struct buf wantlist;
    struct buf rest;
    struct buf head; /* made by bitswap_writer_finish */
    uint64_t block_bytes;
    size_t block_count;
    struct {
        size_t offset; /* in rest, then in head: the block follows here */
        struct block_ref *block;
    } blocks[BITSWAP_BLOCKS_MAX];
    int32_t pending_bytes;
    bool full;
    bool any_want;
};

/* max_bytes <= BITSWAP_MESSAGE_MAX bounds the message, blocks included. account may be NULL. */
void bitswap_writer_init(struct bitswap_writer *w, enum bitswap_version version, size_t max_bytes,
                         struct account *account);
void bitswap_writer_release(struct bitswap_writer *w);

/*
 * Each adds one part. ERR_TOO_LARGE: it does not fit any more, send what is there and begin another message; ERR_NOMEM. After an
 * error the message is as before. To versions without presences, want-have becomes want-block and presences are left out.
 */
enum err bitswap_writer_want(struct bitswap_writer *w, const struct bitswap_want *want) MUST_CHECK;
enum err bitswap_writer_presence(struct bitswap_writer *w, const struct cid *cid, bool have) MUST_CHECK;

/* Adds a block under the CID that was asked for; takes a reference of its own. */
enum err bitswap_writer_block(struct bitswap_writer *w, const struct cid *cid, struct block_ref *block) MUST_CHECK;

/* What bitswap_writer_block would add to the message, at most. */
size_t bitswap_block_bytes(const struct cid *cid, size_t block_len);

bool bitswap_writer_is_empty(const struct bitswap_writer *w);

/* Completes the message: length, wantlist, presences and blocks. Set full and pending_bytes before. ERR_NOMEM, ERR_TOO_LARGE. */
enum err bitswap_writer_finish(struct bitswap_writer *w) MUST_CHECK;

/* A piece of a finished message: bytes first, then the block, either may be empty. Borrowed from the writer. */
struct bitswap_piece {
    struct span bytes;
    struct block_ref *block;
};

/* Iterates the pieces: *position starts at 0; false at the end. */
bool bitswap_writer_next(const struct bitswap_writer *w, size_t *position, struct bitswap_piece *ret_piece);

#endif
