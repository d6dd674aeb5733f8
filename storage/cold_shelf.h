/* SPDX-License-Identifier: MIT */
/*
 * The blocks that were read from the cold tier last and found no place in the memory tier: whoever asks again soon, and above all their promotion,
 * which is decided after the read, has them without a second request to the medium.
 *
 *      put --> [oldest ... newest] --> find | dropped by age, by room, by name
 *
 * First in, first out. A block on it keeps the charge that it came with.
 */
#ifndef HEARTH_STORAGE_COLD_SHELF_H
#define HEARTH_STORAGE_COLD_SHELF_H

#include "base/block_ref.h"
#include "storage/block_key.h"

enum { COLD_SHELF_BLOCKS = 64 };

#define COLD_SHELF_NS (UINT64_C(5) * 1000000000) /* how long a block stays at most */

struct shelf_block {
    struct block_key key;
    struct block_ref *ref;
    uint64_t since_ns;
};

struct cold_shelf {
    struct shelf_block blocks[COLD_SHELF_BLOCKS]; /* a ring */
    size_t first;                                 /* the oldest */
    size_t count;
    uint64_t bytes;
    uint64_t bytes_max;
};

void cold_shelf_init(struct cold_shelf *shelf, uint64_t bytes_max);
void cold_shelf_release(struct cold_shelf *shelf);

/* Takes a reference of its own. The oldest make room; a block that is larger than the shelf, or on it already, is not put there. */
void cold_shelf_put(struct cold_shelf *shelf, const struct block_key *key, struct block_ref *ref, uint64_t now_ns);

/* A new reference, or NULL. */
struct block_ref *cold_shelf_find(const struct cold_shelf *shelf, const struct block_key *key);

/* What is older than COLD_SHELF_NS goes. */
void cold_shelf_age(struct cold_shelf *shelf, uint64_t now_ns);

/* When the oldest is to go; UINT64_MAX: there is none. */
uint64_t cold_shelf_due(const struct cold_shelf *shelf);

#endif
