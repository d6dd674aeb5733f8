/* SPDX-License-Identifier: MIT */
/*
 * Where a stream of bytes is cut into chunks. A pure decision: the caller owns the bytes and asks how many of the next
 * ones still belong to the open chunk. Only fixed sizes ("size-N") so far; rabin and buzhash fit the same call, which
 * is why it sees the bytes. Spec: IPIP-499 for the sizes of the profiles.
 */
#ifndef HEARTH_WIRE_CHUNKER_H
#define HEARTH_WIRE_CHUNKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum { CHUNK_BYTES_MAX = 2 * 1024 * 1024 - 256 }; /* with its dag-pb frame a leaf stays under 2 MiB */

struct chunker {
    uint32_t size_bytes;
};

/* ERR_INVALID for 0, ERR_TOO_LARGE over CHUNK_BYTES_MAX. */
enum err chunker_init(struct chunker *chunker, uint64_t size_bytes) MUST_CHECK;

/*
 * Reads "default" (keeps default_bytes) or "size-<decimal>". ERR_UNSUPPORTED for rabin and buzhash, ERR_INVALID,
 * ERR_TOO_LARGE.
 */
enum err chunker_parse(struct chunker *chunker, struct span spec, uint32_t default_bytes) MUST_CHECK;

/*
 * How many of the bytes that follow belong to the chunk that holds open_bytes already; *ret_cut says whether it ends
 * after them. Takes at least one byte of a non-empty span.
 */
size_t chunker_take(const struct chunker *chunker, size_t open_bytes, struct span bytes, bool *ret_cut);

#endif
