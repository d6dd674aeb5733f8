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
