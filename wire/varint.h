/* SPDX-License-Identifier: MIT */
/*
 * The unsigned varint of multiformats: seven bits per byte, least significant first, the high bit says that more follow.
 *
 *      300 = 0b10_0101100  ->  ac 02
 *
 * Nine bytes at most (63 bits), and only the shortest form is valid, so that a value has one encoding. Protobuf has its own,
 * laxer rule, see protobuf.h. Spec: multiformats/unsigned-varint.
 */
#ifndef HEARTH_WIRE_VARINT_H
#define HEARTH_WIRE_VARINT_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum { VARINT_BYTES_MAX = 9 };
#define VARINT_VALUE_MAX (UINT64_MAX >> 1)

/* Bytes that value takes; value <= VARINT_VALUE_MAX. */
size_t varint_size(uint64_t value);

/* Writes value and returns the number of bytes written; value <= VARINT_VALUE_MAX. */
size_t varint_encode(uint64_t value, uint8_t to[VARINT_BYTES_MAX]);

/* Appends value; errors as buf_append. */
enum err varint_append(struct buf *out, uint64_t value) MUST_CHECK;

/*
 * Takes one varint from the front of *in. ERR_TRUNCATED: all bytes continue and there are fewer than nine, so more input may
 * complete it; ERR_INVALID: not in its shortest form, or longer than nine bytes. *in moves on success only.
 */
enum err varint_decode(struct span *in, uint64_t *ret_value) MUST_CHECK;

#endif
