/* SPDX-License-Identifier: MIT */
/*
 * What lies in a mailbox: batches of records, little-endian, built in place and read in place.
 *
 *      batch    0         4         8        12        16
 *               | magic   | count   | charged| from|to |  records...
 *
 *      record   0         4    6  7 8    10   12        16        20        24             32             40
 *               | length  |kind|ty|0|from|to  |from_ep. |to_epoch |trace    | correlation  | deadline_ns  | ...
 *              40         44        48
 *               | body_len|err/0..  | tail         | body, padded to 8
 *              40        44        48             56
 *
 * A record is 56 bytes and a body packed by its schema. length counts header, body and padding. tail is, on backends that share an
 * address space, a counted pointer that the record owns. On its way between processes it says how long the tail is and which
 * account it was charged to (struct tail_mark), and the bytes follow behind the batch, in the order of the records.
 *
 * Within a process batches are made by the runtime's own threads only, so a malformed one is a programmer error; what comes from
 * another process is checked first (batch_check.h).
 */
#ifndef HEARTH_MAILBOX_ENVELOPE_H
#define HEARTH_MAILBOX_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block_ref.h"
#include "mailbox/actor.h"

enum {
    ENVELOPE_BATCH_BYTES = 16,
    ENVELOPE_RECORD_BYTES = 56,
    ENVELOPE_MAGIC = 0x31424d48, /* "HMB1" */
};

enum record_type {
    RECORD_CALL = 1, /* err holds the bytes reserved for the reply */
    RECORD_CAST,
    RECORD_REPLY,
    RECORD_REPLY_ERR, /* err; the body is text */
    /* control lane: */
    RECORD_CANCEL,
    RECORD_ROOM,
    RECORD_STOP,    /* from root */
    RECORD_STARTED, /* to root; err and text */
    RECORD_EXITED,  /* to root; kind is the exit_reason, the body is text */
    RECORD_DOWN,    /* from root: the life from_epoch of `from` ended; kind is the exit_reason */
    RECORD_UP,      /* from root */
    RECORD_ACCUSED, /* to root; kind is the actor whose process sent what is no batch */
};

enum lane { LANE_CONTROL, LANE_DATA, LANE_COUNT };

struct record {
    uint32_t length;
    uint16_t kind;
    enum record_type type;
    actor_id from;
    actor_id to;
    uint32_t from_epoch;
    uint32_t to_epoch;
    uint32_t trace;
    uint64_t correlation;
    uint64_t deadline_ns;
    uint32_t body_len;
    enum err err;
    struct block_ref *tail;
    const uint8_t *body;
    uint32_t body_max; /* of a reply, what its caller reserved; not carried */
};

/* Bytes that a record with this body takes. */
static inline size_t envelope_record_bytes(size_t body_len)
{
    return (ENVELOPE_RECORD_BYTES + body_len + 7) & ~(size_t)7;
}

/* Writes the header and the padding; the body lies at to + ENVELOPE_RECORD_BYTES already. length and body are computed. */
void envelope_encode(uint8_t *to, const struct record *record);

/* Reads the record at `at`, body pointing into it. */
void envelope_decode(const uint8_t *at, struct record *ret_record);

/* True when a record lies at `at` of which all `length` bytes are among the `left` that follow: it can be decoded. */
bool envelope_whole(const uint8_t *at, size_t left);

/* What the tail field says between processes. */
struct tail_mark {
    bool there;
    uint16_t account; /* index in the budget + 1; 0 = charged to nobody */
    uint64_t len;
};
void envelope_set_mark(uint8_t *at, const struct tail_mark *mark);
struct tail_mark envelope_mark(const uint8_t *at);
void envelope_set_tail(uint8_t *at, struct block_ref *tail);

#endif
