/* SPDX-License-Identifier: MIT */
/*
 * Unpacks gzip, xz and zstd as streams, several one after the other too; plain bytes pass through. No I/O: bytes go in in pieces of any
 * size and come out in pieces of any size. A packed stream says itself how much memory its unpacking takes; more than memory_max is
 * refused.
 */
#ifndef HEARTH_TIERSIM_UNPACKER_H
#define HEARTH_TIERSIM_UNPACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum packing { PACKING_NONE, PACKING_GZIP, PACKING_XZ, PACKING_ZSTD };

enum { PACKING_MAGIC_BYTES = 6 };
#define UNPACKER_MEMORY_MAX (UINT64_C(256) * 1024 * 1024) /* xz -9 takes 65 MiB, zstd --ultra --long 128 */

/* By the first bytes of a file, PACKING_MAGIC_BYTES if it has as many. */
enum packing packing_of(struct span first);

/* "gzip" and the like. */
const char *packing_name(enum packing packing);

struct unpacker;

/* ERR_NOMEM. */
enum err unpacker_new(enum packing packing, uint64_t memory_max, struct unpacker **ret_unpacker) MUST_CHECK;
/* NULL-safe. */
void unpacker_free(struct unpacker *unpacker);

/*
 * Takes from the front of *in and puts at most room bytes at `to`; room is not 0. last: nothing comes after *in. ERR_OK with *ret_len
 * bytes, perhaps none yet: then feed the next piece. ERR_CLOSED: all is unpacked. ERR_TRUNCATED: the last piece ends within a stream.
 * ERR_CORRUPT, ERR_TOO_LARGE over memory_max, ERR_NOMEM.
 */
enum err unpacker_feed(struct unpacker *unpacker, struct span *in, bool last, uint8_t *to, size_t room,
                       size_t *ret_len) MUST_CHECK;

#endif
