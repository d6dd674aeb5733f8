/* SPDX-License-Identifier: MIT */
/*
 * The memory tier: hot blocks as counted buffers, bounded by the bytes of its account. Which ones is up to a policy (tier_policy.h), which is
 * told of each use that the tier sees; what it refuses is not cached.
 *
 * A cached block's bytes are charged to the tier's account as long as anyone holds them, so an evicted block that a socket still sends
 * keeps its share taken; then a new one is simply not cached. One thread.
 */
#ifndef HEARTH_STORAGE_MEMORY_TIER_H
#define HEARTH_STORAGE_MEMORY_TIER_H

#include "base/block_ref.h"
#include "storage/block_key.h"
#include "storage/tier_policy.h"

/* What the policy remembers takes this share of the tables' account, and no more than so many blocks. */
enum { MEMORY_TIER_BLOCKS_MAX = 262144, MEMORY_TIER_TABLES_SHARE = 8 };

struct memory_tier;

/*
 * account is borrowed and outlives every block that was ever cached; its limit is the capacity. NULL account: a tier that keeps nothing.
 * tables: for the index and what the policy remembers; NULL: not charged.
 */
struct memory_tier *memory_tier_new(struct account *account, struct account *tables,
                                    enum tier_policy_kind kind) MUST_CHECK;
/* NULL-safe. */
void memory_tier_free(struct memory_tier *tier);

/* The time, of any one clock, for policies that ask for it. */
void memory_tier_tick(struct memory_tier *tier, uint64_t now_ns);

/*
 * The block was read or written; counts as a use. It is cached if the caller's reference is the only one, the policy wants it and there is
 * room to be made; the tier takes a reference of its own.
 */
void memory_tier_put(struct memory_tier *tier, const struct block_key *key, struct block_ref *ref);

/* One more reference, or NULL. Counts as a use. */
struct block_ref *memory_tier_get(struct memory_tier *tier, const struct block_key *key);

/* The same, and whether it is there, without counting as a use. */
struct block_ref *memory_tier_peek(const struct memory_tier *tier, const struct block_key *key);
bool memory_tier_has(const struct memory_tier *tier, const struct block_key *key, size_t *ret_bytes);

void memory_tier_drop(struct memory_tier *tier, const struct block_key *key);

struct memory_tier_stats {
    uint64_t blocks;
    uint64_t bytes;
    uint64_t hits;
    uint64_t misses;
};
struct memory_tier_stats memory_tier_stats(const struct memory_tier *tier);

#endif
