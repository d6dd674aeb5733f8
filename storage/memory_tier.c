/* SPDX-License-Identifier: MIT */
#include "storage/memory_tier.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/limits.h"
#include "storage/row_table.h"

enum { BLOCKS_MIN = 1024, REMEMBERED_BYTES = 40 /* a block, its part of an index included */ };

#define NS_PER_S 1e9

struct cached {
    struct block_key key;
    struct block_ref *ref;
};

/* Two blocks may have one key in the policy's eyes: the first one in stays until it leaves. */
struct cached_row {
    uint64_t key;
    struct cached *cached;
};

struct memory_tier {
    struct account *account;
    struct row_table blocks;
    struct tier_policy *policy; /* NULL: keeps nothing */
    double now_s;
    uint64_t hits;
    uint64_t misses;
};

static uint32_t blocks_max(const struct account *tables)
{
    if (tables == NULL)
        return MEMORY_TIER_BLOCKS_MAX;
    uint64_t blocks = tables->limit_bytes / MEMORY_TIER_TABLES_SHARE / REMEMBERED_BYTES;
    return (uint32_t)MIN(MAX(blocks, BLOCKS_MIN), MEMORY_TIER_BLOCKS_MAX);
}

struct memory_tier *memory_tier_new(struct account *account, struct account *tables, enum tier_policy_kind kind)
{
    struct memory_tier *tier = calloc(1, sizeof(*tier));
    if (tier == NULL)
        return NULL;
    tier->account = account;
    row_table_init(&tier->blocks, sizeof(struct cached_row), blocks_max(tables), tables);
    if (account == NULL)
        return tier;
    tier->policy = tier_policy_new(&(struct tier_policy_config){.kind = kind,
                                                                .goal = HEAT_GOAL_OBJECTS,
                                                                .capacity_bytes = account->limit_bytes,
                                                                .blocks_max = blocks_max(tables),
                                                                .account = tables});
    if (tier->policy != NULL)
        return tier;
    memory_tier_free(tier);
    return NULL;
}

static struct cached_row *row_at(const struct memory_tier *tier, uint32_t number)
{
    return row_table_row(&tier->blocks, number);
}

static void forget(struct memory_tier *tier, uint32_t number)
{
    struct cached *cached = row_at(tier, number)->cached;
    row_table_remove(&tier->blocks, number);
    block_ref_unref(cached->ref);
    free(cached);
}

void memory_tier_free(struct memory_tier *tier)
{
    if (tier == NULL)
        return;
    for (uint32_t i = 0; i < tier->blocks.used; i++) {
        if (row_at(tier, i)->key != 0)
            forget(tier, i);
    }
    row_table_release(&tier->blocks);
    tier_policy_free(tier->policy);
    free(tier);
}

void memory_tier_tick(struct memory_tier *tier, uint64_t now_ns)
{
    tier->now_s = (double)now_ns / NS_PER_S;
}

/* NULL when the block is not cached. */
static struct cached *find(const struct memory_tier *tier, const struct block_key *key, uint32_t *ret_number)
{
    *ret_number = row_table_find(&tier->blocks, tier_policy_key(key));
    struct cached *cached = *ret_number == ROW_NONE ? NULL : row_at(tier, *ret_number)->cached;
    return cached != NULL && block_key_equal(&cached->key, key) ? cached : NULL;
}

static void left(void *context, uint64_t key)
{
    struct memory_tier *tier = context;
    uint32_t number = row_table_find(&tier->blocks, key);
    if (number != ROW_NONE)
        forget(tier, number);
}

/* Takes the block's charge and a reference. False when there is no room for either. */
static bool keep(struct memory_tier *tier, uint64_t key, const struct block_key *block, struct block_ref *ref)
{
    uint32_t number;
    struct cached *cached = malloc(sizeof(*cached));
    if (cached == NULL)
        return false;
    struct account *before = ref->account;
    if (!block_ref_recharge(ref, tier->account)) {
        free(cached);
        return false;
    }
    if (row_table_add(&tier->blocks, key, &number) != ERR_OK) {
        /* Taking the charge back can fail only when the other account filled up meanwhile; then the bytes stay ours until freed. */
        bool back = block_ref_recharge(ref, before);
        (void)back;
        free(cached);
        return false;
    }
    *cached = (struct cached){.key = *block, .ref = block_ref_ref(ref)};
    row_at(tier, number)->cached = cached;
    return true;
}

/*
 * The room is also that in the account: the disk tier's buffer has a share of it, and blocks that left while somebody reads them keep
 * theirs.
 */
void memory_tier_put(struct memory_tier *tier, const struct block_key *block, struct block_ref *ref)
{
    if (tier->policy == NULL)
        return;
    uint64_t key = tier_policy_key(block);
    if (tier_policy_use(tier->policy, key, ref->cap, tier->now_s))
        return;
    /* acquire pairs with the release in block_ref_unref: whoever dropped the other references is done with the bytes */
    if (atomic_load_explicit(&ref->refs, memory_order_acquire) != 1 || ref->cap > tier->account->limit_bytes / 2)
        return;
    uint64_t room = tier_policy_stats(tier->policy).held_bytes + account_free(tier->account);
    if (tier_policy_admit(tier->policy, key, ref->cap, room, left, tier) && !keep(tier, key, block, ref))
        tier_policy_leave(tier->policy, key);
}

struct block_ref *memory_tier_get(struct memory_tier *tier, const struct block_key *key)
{
    uint32_t number;
    const struct cached *cached = find(tier, key, &number);
    if (cached == NULL) {
        tier->misses++;
        return NULL;
    }
    tier->hits++;
    (void)tier_policy_use(tier->policy, row_at(tier, number)->key, cached->ref->cap, tier->now_s);
    return block_ref_ref(cached->ref);
}

struct block_ref *memory_tier_peek(const struct memory_tier *tier, const struct block_key *key)
{
    uint32_t number;
    const struct cached *cached = find(tier, key, &number);
    return cached == NULL ? NULL : block_ref_ref(cached->ref);
}

bool memory_tier_has(const struct memory_tier *tier, const struct block_key *key, size_t *ret_bytes)
{
    uint32_t number;
    const struct cached *cached = find(tier, key, &number);
    if (cached != NULL)
        *ret_bytes = cached->ref->len;
    return cached != NULL;
}

void memory_tier_drop(struct memory_tier *tier, const struct block_key *key)
{
    uint32_t number;
    if (find(tier, key, &number) == NULL)
        return;
    tier_policy_leave(tier->policy, row_at(tier, number)->key);
    forget(tier, number);
}

struct memory_tier_stats memory_tier_stats(const struct memory_tier *tier)
{
    return (struct memory_tier_stats){.blocks = tier->blocks.live,
                                      .bytes = tier->policy == NULL ? 0 : tier_policy_stats(tier->policy).held_bytes,
                                      .hits = tier->hits,
                                      .misses = tier->misses};
}
