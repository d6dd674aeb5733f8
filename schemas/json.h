/* SPDX-License-Identifier: MIT */
/*
 * JSON to msgpack and back, streaming, without a tree.
 *
 * A JSON library's tree takes some thirty bytes of memory for each byte of `[0,0,0,…]`; a request of 4 MiB must not cost 128 MiB.
 * So the text is walked once and written as msgpack on the way (RFC 8259; depth WALK_DEPTH_MAX; numbers that are whole and fit
 * become integers). Bytes, which JSON lacks, are text in multibase base64url: 'u' and the unpadded digits.
 */
#ifndef HEARTH_SCHEMAS_JSON_H
#define HEARTH_SCHEMAS_JSON_H

#include "base/buf.h"
#include "base/err.h"

struct pack;

/* Appends the one JSON value of `text` as msgpack. ERR_INVALID, ERR_TRUNCATED, ERR_TOO_LARGE; ret_at (may be NULL) = where. */
enum err json_to_msgpack(struct span text, struct buf *to, size_t *ret_at) MUST_CHECK;

/* Appends one msgpack value as JSON. ERR_INVALID, ERR_TRUNCATED, ERR_TOO_LARGE. */
enum err json_from_msgpack(struct span packed, struct buf *to) MUST_CHECK;

/* Packs the bytes that multibase base64url text stands for. ERR_INVALID. */
enum err json_pack_bytes(struct span multibase, struct pack *p) MUST_CHECK;

/* Appends text as a JSON string with its quotes. */
enum err json_append_string(struct span text, struct buf *to) MUST_CHECK;

#endif
