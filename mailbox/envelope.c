/* SPDX-License-Identifier: MIT */
#include "mailbox/envelope.h"

#include <assert.h>
#include <string.h>

/*
 * The picture in the header, as a struct: batches never leave the machine, so its own byte order (little-endian on all targets)
 * is the wire's. Records start at multiples of 8, so a copy of 56 bytes is all that encoding costs.
 */
struct wire_record {
    uint32_t length;
    uint16_t kind;
    uint8_t type;
    uint8_t zero;
    uint16_t from;
    uint16_t to;
    uint32_t from_epoch;
    uint32_t to_epoch;
    uint32_t trace;
    uint64_t correlation;
    uint64_t deadline_ns;
    uint32_t body_len;
    uint32_t err;
    uint64_t tail;
};

_Static_assert(sizeof(struct wire_record) == ENVELOPE_RECORD_BYTES, "the record header has no holes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the envelope is little-endian");

void envelope_encode(uint8_t *to, const struct record *record)
{
    size_t length = envelope_record_bytes(record->body_len);
    struct wire_record wire = {
        .length = (uint32_t)length,
        .kind = record->kind,
        .type = (uint8_t)record->type,
        .from = record->from,
        .to = record->to,
        .from_epoch = record->from_epoch,
        .to_epoch = record->to_epoch,
        .trace = record->trace,
        .correlation = record->correlation,
        .deadline_ns = record->deadline_ns,
        .body_len = record->body_len,
        .err = (uint32_t)record->err,
        .tail = (uint64_t)(uintptr_t)record->tail,
    };
    memcpy(to, &wire, sizeof(wire));
    size_t end = ENVELOPE_RECORD_BYTES + (size_t)record->body_len;
    memset(to + end, 0, length - end);
}

void envelope_decode(const uint8_t *at, struct record *ret_record)
{
    struct wire_record wire;
    memcpy(&wire, at, sizeof(wire));
    assert(wire.length == envelope_record_bytes(wire.body_len));
    *ret_record = (struct record){
        .length = wire.length,
        .kind = wire.kind,
        .type = (enum record_type)wire.type,
        .from = wire.from,
        .to = wire.to,
        .from_epoch = wire.from_epoch,
        .to_epoch = wire.to_epoch,
        .trace = wire.trace,
        .correlation = wire.correlation,
        .deadline_ns = wire.deadline_ns,
        .body_len = wire.body_len,
        .err = (enum err)wire.err,
        .tail = (struct block_ref *)(uintptr_t)wire.tail,
        .body = at + ENVELOPE_RECORD_BYTES,
    };
}

bool envelope_whole(const uint8_t *at, size_t left)
{
    struct wire_record wire;
    if (left < sizeof(wire))
        return false;
    memcpy(&wire, at, sizeof(wire));
    return wire.length <= left && wire.zero == 0 && wire.length == envelope_record_bytes(wire.body_len);
}

enum { MARK_LEN_BITS = 47, MARK_ACCOUNT_AT = 48 };
#define MARK_THERE (UINT64_C(1) << MARK_LEN_BITS)

static void set_tail_word(uint8_t *at, uint64_t word)
{
    memcpy(at + offsetof(struct wire_record, tail), &word, sizeof(word));
}

void envelope_set_tail(uint8_t *at, struct block_ref *tail)
{
    set_tail_word(at, (uint64_t)(uintptr_t)tail);
}

void envelope_set_mark(uint8_t *at, const struct tail_mark *mark)
{
    assert(mark->len < MARK_THERE);
    set_tail_word(at, mark->there ? MARK_THERE | mark->len | (uint64_t)mark->account << MARK_ACCOUNT_AT : 0);
}

struct tail_mark envelope_mark(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at + offsetof(struct wire_record, tail), sizeof(word));
    return (struct tail_mark){.there = (word & MARK_THERE) != 0,
                              .account = (uint16_t)(word >> MARK_ACCOUNT_AT),
                              .len = word & (MARK_THERE - 1)};
}
