/* SPDX-License-Identifier: MIT */
/*
 * The part of Protocol Buffers that libp2p and IPFS messages use: a reader that walks fields in place and a writer that appends.
 *
 *      <varint number << 3 | type> <value>     type 0 varint, 1 eight bytes, 2 length + bytes, 5 four bytes
 *
 * Reading allocates nothing: a field of bytes is a span into the input. A generated parser (protobuf-c) would copy every field
 * and allocate per element before a limit could be applied, which is what hostile input asks for. Unknown fields are returned
 * like known ones and skipped by the caller's switch; nested messages are read by walking the span of their field, so depth is
 * the caller's. Groups (types 3 and 4) are refused. Varints are up to ten bytes and need not be minimal, as in every
 * implementation. Spec: protobuf.dev/programming-guides/encoding.
 */
#ifndef HEARTH_WIRE_PROTOBUF_H
#define HEARTH_WIRE_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum { PROTOBUF_VARINT_MAX = 10, PROTOBUF_NUMBER_MAX = (1 << 29) - 1 };

enum protobuf_type { PROTOBUF_VARINT = 0, PROTOBUF_FIXED64 = 1, PROTOBUF_BYTES = 2, PROTOBUF_FIXED32 = 5 };

struct protobuf_field {
    uint32_t number;
    enum protobuf_type type;
    uint64_t value;    /* of every type but BYTES */
    struct span bytes; /* of BYTES; borrowed from the input */
};

/*
 * Takes the next field from a non-empty *in; *in moves on success only. ERR_TRUNCATED, ERR_INVALID (a group, number 0, an
 * overlong varint).
 */
enum err protobuf_next(struct span *in, struct protobuf_field *ret_field) MUST_CHECK;

/* A varint by protobuf's rule, for framing that needs it. ERR_TRUNCATED, ERR_INVALID. */
enum err protobuf_varint(struct span *in, uint64_t *ret_value) MUST_CHECK;

/*
 * Whether the field has this number and type: fields of a known number with a foreign type are skipped like unknown ones,
 * which is what generated parsers do.
 */
static inline bool protobuf_is(const struct protobuf_field *field, uint32_t number, enum protobuf_type type)
{
    return field->number == number && field->type == type;
}

/* Appending; errors as buf_append. A false bool or a zero is written too: proto3 writers leave the call out. */
enum err protobuf_put_varint(struct buf *out, uint32_t number, uint64_t value) MUST_CHECK;
enum err protobuf_put_bytes(struct buf *out, uint32_t number, struct span bytes) MUST_CHECK;
enum err protobuf_put_text(struct buf *out, uint32_t number, const char *text) MUST_CHECK;

/* The key and length of a field of len bytes that the caller appends itself. */
enum err protobuf_put_header(struct buf *out, uint32_t number, uint64_t len) MUST_CHECK;

/* What the two kinds of fields take in bytes. */
size_t protobuf_size_varint(uint32_t number, uint64_t value);
size_t protobuf_size_bytes(uint32_t number, size_t len);

#endif
