/* SPDX-License-Identifier: MIT */
/* LRU: who was used longest ago leaves. Remembers nothing of what is not held. */
#include <math.h>

#include "storage/block_queues.h"
#include "storage/tier_policy_ops.h"

enum { QUEUE = 0 };

struct lru {
    struct account *account;
    struct block_queues queues;
    uint32_t now; /* accesses; wraps around */
};

static void *lru_create(const struct tier_policy_config *config)
{
    struct lru *lru = tier_policy_alloc(config->account, sizeof(*lru));
    if (lru == NULL)
        return NULL;
    lru->account = config->account;
    block_queues_init(&lru->queues, config->blocks_max, config->account);
    return lru;
}

static void lru_destroy(void *self)
{
    struct lru *lru = self;
    if (lru == NULL)
        return;
    block_queues_release(&lru->queues);
    tier_policy_release(lru->account, lru, sizeof(*lru));
}

static bool lru_use(void *self, uint64_t key, uint64_t bytes, double now_s)
{
    struct lru *lru = self;
    uint32_t number;
    struct queued_block *block = block_queues_find(&lru->queues, key, &number);
    (void)bytes;
    (void)now_s;
    lru->now++;
    if (block == NULL)
        return false;
    block->used_at = lru->now;
    block_queues_move(&lru->queues, QUEUE, number);
    return true;
}

/* False when there is none. */
static bool drop_oldest(struct lru *lru, const struct tier_newcomer *newcomer)
{
    uint32_t oldest = lru->queues.queues[QUEUE].tail;
    if (oldest == ROW_NONE)
        return false;
    uint64_t key = block_queues_block(&lru->queues, oldest)->key;
    block_queues_remove(&lru->queues, oldest);
    newcomer->left(newcomer->context, key);
    return true;
}

static bool lru_admit(void *self, const struct tier_newcomer *newcomer)
{
    struct lru *lru = self;
    uint32_t number;
    if (block_queues_find(&lru->queues, newcomer->key, &number) != NULL)
        return false;
    while (block_queues_bytes(&lru->queues) > newcomer->room_bytes - newcomer->bytes)
        (void)drop_oldest(lru, newcomer);
    while (block_queues_push(&lru->queues, QUEUE, newcomer->key, newcomer->bytes) != ERR_OK) {
        if (!drop_oldest(lru, newcomer))
            return false;
    }
    block_queues_block(&lru->queues, lru->queues.queues[QUEUE].head)->used_at = lru->now;
    return true;
}

static void lru_leave(void *self, uint64_t key)
{
    struct lru *lru = self;
    uint32_t number;
    if (block_queues_find(&lru->queues, key, &number) != NULL)
        block_queues_remove(&lru->queues, number);
}

static bool lru_holds(const void *self, uint64_t key)
{
    uint32_t number;
    return block_queues_find(&((const struct lru *)self)->queues, key, &number) != NULL;
}

static float lru_rank(const void *self, uint64_t key, uint64_t bytes)
{
    const struct lru *lru = self;
    uint32_t number;
    const struct queued_block *block = block_queues_find(&lru->queues, key, &number);
    (void)bytes;
    return block == NULL ? -INFINITY : -(float)(lru->now - block->used_at);
}

static struct tier_policy_stats lru_stats(const void *self)
{
    const struct lru *lru = self;
    return (struct tier_policy_stats){.held_bytes = block_queues_bytes(&lru->queues),
                                      .held = lru->queues.blocks.live,
                                      .remembered = lru->queues.blocks.live};
}

const struct tier_policy_ops tier_policy_lru = {.name = "lru",
                                                .create = lru_create,
                                                .destroy = lru_destroy,
                                                .use = lru_use,
                                                .admit = lru_admit,
                                                .leave = lru_leave,
                                                .holds = lru_holds,
                                                .rank = lru_rank,
                                                .stats = lru_stats};
