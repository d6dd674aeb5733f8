/* SPDX-License-Identifier: MIT */
/*
 * Large buffers that are reused, because a fresh mapping of 1 MiB costs 500 us in page faults.
 *
 * A few free buffers of each power of two from 64 KiB to 4 MiB are kept, each with 1/16 of headroom: a block of exactly 2^n bytes and its
 * frame must not pay for 2^(n+1). What is kept free is charged to nobody; POOL_BYTES_MAX bounds it (slack). Process-wide and locked: it is
 * touched once per 64 KiB or more, which the lock's 20 ns do not show.
 */
#ifndef HEARTH_BASE_POOL_H
#define HEARTH_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum { POOL_BUFFER_MIN = 64 * 1024, POOL_BYTES_MAX = 4 * 1024 * 1024 };

/* How large a buffer for len bytes is: to charge it before it is taken. */
size_t pool_bytes(size_t len);

/* A buffer of pool_bytes(len) bytes with any contents, or NULL without memory. Sizes that are not kept are plain malloc's. */
uint8_t *pool_take(size_t len) MUST_CHECK;

/* Ends a buffer of pool_take(len). NULL-safe. */
void pool_give(uint8_t *data, size_t len);

#endif
