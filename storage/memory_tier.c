/* SPDX-License-Identifier: MIT */
#include "storage/memory_tier.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/table.h"
#include "storage/cache_policy.h"

enum { GHOST_SETS = 256 }; /* 2,048 ghosts in 32 KiB */

struct cached {
    struct cache_node node;
    struct block_key key;
    struct block_ref *ref;
};

struct memory_tier {
    struct account *account;
    struct table blocks;
    struct cache_policy policy;
    struct cache_ghost_set ghosts[GHOST_SETS];
    uint64_t hits;
    uint64_t misses;
};

struct memory_tier *memory_tier_new(struct account *account, struct account *tables)
{
    struct memory_tier *tier = calloc(1, sizeof(*tier));
    if (tier == NULL)
        return NULL;
    tier->account = account;
    table_init(&tier->blocks, MEMORY_TIER_BLOCKS_MAX, tables);
    cache_policy_init(&tier->policy, account == NULL ? 0 : (size_t)account->limit_bytes, tier->ghosts, GHOST_SETS);
    return tier;
}

static void forget(struct memory_tier *tier, struct cached *cached)
{
    (void)table_remove(&tier->blocks, block_key_span(&cached->key));
    block_ref_unref(cached->ref);
    free(cached);
}

void memory_tier_free(struct memory_tier *tier)
{
    struct cache_node *node;
    if (tier == NULL)
        return;
    while ((node = cache_policy_evict(&tier->policy)) != NULL)
        forget(tier, CONTAINER_OF(node, struct cached, node));
    table_release(&tier->blocks);
    free(tier);
}

/* The digest's end is as good as a hash: the multihash function made it. Ghosts are a hint, so collisions by design do no harm. */
static uint64_t hash_of(const struct block_key *key)
{
    uint64_t hash = 0;
    size_t n = MIN((size_t)key->len, sizeof(hash));
    memcpy(&hash, key->bytes + key->len - n, n);
    return hash == 0 ? 1 : hash;
}

/* In the account, too: the disk tier's buffer has a share of it, and blocks that left while somebody reads them keep theirs. */
static bool make_room(struct memory_tier *tier, size_t bytes)
{
    while (cache_policy_bytes(&tier->policy) + bytes > tier->policy.capacity_bytes ||
           account_free(tier->account) < bytes) {
        struct cache_node *node = cache_policy_evict(&tier->policy);
        if (node == NULL)
            return false;
        forget(tier, CONTAINER_OF(node, struct cached, node));
    }
    return true;
}

void memory_tier_put(struct memory_tier *tier, const struct block_key *key, struct block_ref *ref)
{
    /* acquire pairs with the release in block_ref_unref: whoever dropped the other references is done with the bytes */
    if (atomic_load_explicit(&ref->refs, memory_order_acquire) != 1 || ref->cap > tier->policy.capacity_bytes / 2)
        return;
    if (table_get(&tier->blocks, block_key_span(key)) != NULL || !make_room(tier, ref->cap))
        return;
    struct cached *cached = malloc(sizeof(*cached));
    if (cached == NULL)
        return;
    cached->key = *key;
    cached->ref = ref;
    struct account *before = ref->account;
    if (!block_ref_recharge(ref, tier->account)) {
        free(cached);
        return;
    }
    if (table_put(&tier->blocks, block_key_span(key), cached, NULL) != ERR_OK) {
        /* Taking the charge back can fail only when the other account filled up meanwhile; then the bytes stay ours until freed. */
        bool back = block_ref_recharge(ref, before);
        (void)back;
        free(cached);
        return;
    }
    (void)block_ref_ref(ref);
    cache_policy_enter(&tier->policy, &cached->node, hash_of(key), ref->cap);
}

struct block_ref *memory_tier_get(struct memory_tier *tier, const struct block_key *key)
{
    struct cached *cached = table_get(&tier->blocks, block_key_span(key));
    if (cached == NULL) {
        tier->misses++;
        return NULL;
    }
    tier->hits++;
    cache_policy_hit(&cached->node);
    return block_ref_ref(cached->ref);
}

bool memory_tier_has(const struct memory_tier *tier, const struct block_key *key, size_t *ret_bytes)
{
    const struct cached *cached = table_get(&tier->blocks, block_key_span(key));
    if (cached != NULL)
        *ret_bytes = cached->ref->len;
    return cached != NULL;
}

void memory_tier_drop(struct memory_tier *tier, const struct block_key *key)
{
    struct cached *cached = table_get(&tier->blocks, block_key_span(key));
    if (cached == NULL)
        return;
    cache_policy_leave(&tier->policy, &cached->node);
    forget(tier, cached);
}

struct memory_tier_stats memory_tier_stats(const struct memory_tier *tier)
{
    return (struct memory_tier_stats){.blocks = table_len(&tier->blocks),
                                      .bytes = cache_policy_bytes(&tier->policy),
                                      .hits = tier->hits,
                                      .misses = tier->misses};
}
