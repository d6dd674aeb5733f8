/* SPDX-License-Identifier: MIT */
/*
 * S3-FIFO. New blocks enter a small queue (a tenth of the bytes); those used again before they reach its end move to the main queue, the rest
 * leave and are remembered by their keys while no more leaves after them than the main queue takes; what returns while remembered goes to the
 * main queue at once. So one pass over a large file cannot wash out what is used often, and a hit writes one counter. Yang et al., "FIFO
 * queues are all you need for cache eviction", SOSP 2023.
 */
#include <math.h>

#include "storage/block_queues.h"
#include "storage/tier_policy_ops.h"

enum { SMALL, MAIN };
enum { GHOST_WAYS = 8, SMALL_SHARE = 10, USES_MAX = 3 };

struct ghost {
    uint64_t key; /* 0: none */
    uint64_t left_at;
};

struct ghost_set {
    struct ghost ways[GHOST_WAYS]; /* a full set forgets its oldest before its time */
};

struct s3fifo {
    struct account *account;
    struct block_queues queues;
    struct ghost_set *ghosts; /* by key; places for twice as many as are held lose hardly any */
    size_t ghost_sets;
    uint64_t capacity_bytes;
    uint64_t left_bytes; /* of all that left the small queue for good: the clock of the ghosts */
};

static void s3fifo_destroy(void *self)
{
    struct s3fifo *s3fifo = self;
    if (s3fifo == NULL)
        return;
    block_queues_release(&s3fifo->queues);
    tier_policy_release(s3fifo->account, s3fifo->ghosts, s3fifo->ghost_sets * sizeof(*s3fifo->ghosts));
    tier_policy_release(s3fifo->account, s3fifo, sizeof(*s3fifo));
}

static void *s3fifo_create(const struct tier_policy_config *config)
{
    struct s3fifo *s3fifo = tier_policy_alloc(config->account, sizeof(*s3fifo));
    if (s3fifo == NULL)
        return NULL;
    s3fifo->account = config->account;
    s3fifo->capacity_bytes = config->capacity_bytes;
    s3fifo->ghost_sets = (size_t)config->blocks_max / (GHOST_WAYS / 2) + 1;
    s3fifo->ghosts = tier_policy_alloc(config->account, s3fifo->ghost_sets * sizeof(*s3fifo->ghosts));
    block_queues_init(&s3fifo->queues, config->blocks_max, config->account);
    if (s3fifo->ghosts != NULL)
        return s3fifo;
    s3fifo_destroy(s3fifo);
    return NULL;
}

static uint64_t small_max(const struct s3fifo *s3fifo)
{
    return s3fifo->capacity_bytes / SMALL_SHARE;
}

/* ---- ghosts ---- */

static struct ghost *ghost_ways(const struct s3fifo *s3fifo, uint64_t key)
{
    return s3fifo->ghosts[(size_t)(key >> 32) % s3fifo->ghost_sets].ways;
}

static void remember(struct s3fifo *s3fifo, const struct queued_block *block)
{
    struct ghost *ways = ghost_ways(s3fifo, block->key);
    struct ghost *oldest = &ways[0];
    for (size_t i = 1; i < GHOST_WAYS; i++) {
        if (ways[i].left_at < oldest->left_at)
            oldest = &ways[i];
    }
    s3fifo->left_bytes += block->bytes;
    *oldest = (struct ghost){.key = block->key, .left_at = s3fifo->left_bytes};
}

static bool recall(struct s3fifo *s3fifo, uint64_t key)
{
    struct ghost *ways = ghost_ways(s3fifo, key);
    for (size_t i = 0; i < GHOST_WAYS; i++) {
        if (ways[i].key == key) {
            uint64_t age_bytes = s3fifo->left_bytes - ways[i].left_at;
            ways[i] = (struct ghost){0};
            return age_bytes <= s3fifo->capacity_bytes - small_max(s3fifo);
        }
    }
    return false;
}

/* ---- who leaves ---- */

/* The tail of the small queue should leave, unless it was used again: then it moves to the main queue. */
static bool turn_small(struct s3fifo *s3fifo, uint32_t number)
{
    struct queued_block *block = block_queues_block(&s3fifo->queues, number);
    if (block->uses > 0) {
        block->uses = 0;
        block_queues_move(&s3fifo->queues, MAIN, number);
        return false;
    }
    remember(s3fifo, block);
    return true;
}

static bool turn_main(struct s3fifo *s3fifo, uint32_t number)
{
    struct queued_block *block = block_queues_block(&s3fifo->queues, number);
    if (block->uses > 0) {
        block->uses--;
        block_queues_move(&s3fifo->queues, MAIN, number);
        return false;
    }
    return true;
}

/* False when nothing is held. Ends: each turn lowers a count, moves a block out of the small queue for good, or finds one that leaves. */
static bool drop_one(struct s3fifo *s3fifo, const struct tier_newcomer *newcomer)
{
    const struct block_queue *small = &s3fifo->queues.queues[SMALL];
    const struct block_queue *main = &s3fifo->queues.queues[MAIN];
    while (small->tail != ROW_NONE || main->tail != ROW_NONE) {
        bool from_small = main->tail == ROW_NONE || (small->tail != ROW_NONE && small->bytes > small_max(s3fifo));
        uint32_t number = from_small ? small->tail : main->tail;
        if (from_small ? turn_small(s3fifo, number) : turn_main(s3fifo, number)) {
            uint64_t key = block_queues_block(&s3fifo->queues, number)->key;
            block_queues_remove(&s3fifo->queues, number);
            newcomer->left(newcomer->context, key);
            return true;
        }
    }
    return false;
}

/* ---- operations ---- */

static bool s3fifo_use(void *self, uint64_t key, uint64_t bytes, double now_s)
{
    const struct s3fifo *s3fifo = self;
    uint32_t number;
    struct queued_block *block = block_queues_find(&s3fifo->queues, key, &number);
    (void)bytes;
    (void)now_s;
    if (block != NULL && block->uses < USES_MAX)
        block->uses++;
    return block != NULL;
}

static bool s3fifo_admit(void *self, const struct tier_newcomer *newcomer)
{
    struct s3fifo *s3fifo = self;
    uint32_t number;
    if (block_queues_find(&s3fifo->queues, newcomer->key, &number) != NULL)
        return false;
    while (block_queues_bytes(&s3fifo->queues) > newcomer->room_bytes - newcomer->bytes)
        (void)drop_one(s3fifo, newcomer);
    uint8_t queue = recall(s3fifo, newcomer->key) ? MAIN : SMALL;
    while (block_queues_push(&s3fifo->queues, queue, newcomer->key, newcomer->bytes) != ERR_OK) {
        if (!drop_one(s3fifo, newcomer))
            return false;
    }
    return true;
}

static void s3fifo_leave(void *self, uint64_t key)
{
    struct s3fifo *s3fifo = self;
    uint32_t number;
    if (block_queues_find(&s3fifo->queues, key, &number) != NULL)
        block_queues_remove(&s3fifo->queues, number);
}

static bool s3fifo_holds(const void *self, uint64_t key)
{
    uint32_t number;
    return block_queues_find(&((const struct s3fifo *)self)->queues, key, &number) != NULL;
}

/* The main queue above the small one, and in each what was used more often. */
static float s3fifo_rank(const void *self, uint64_t key, uint64_t bytes)
{
    uint32_t number;
    const struct queued_block *block = block_queues_find(&((const struct s3fifo *)self)->queues, key, &number);
    (void)bytes;
    if (block == NULL)
        return -INFINITY;
    return (float)(block->uses + (block->queue == MAIN ? USES_MAX + 1 : 0));
}

static struct tier_policy_stats s3fifo_stats(const void *self)
{
    const struct s3fifo *s3fifo = self;
    return (struct tier_policy_stats){.held_bytes = block_queues_bytes(&s3fifo->queues),
                                      .held = s3fifo->queues.blocks.live,
                                      .remembered = s3fifo->queues.blocks.live};
}

const struct tier_policy_ops tier_policy_s3fifo = {.name = "s3fifo",
                                                   .create = s3fifo_create,
                                                   .destroy = s3fifo_destroy,
                                                   .use = s3fifo_use,
                                                   .admit = s3fifo_admit,
                                                   .leave = s3fifo_leave,
                                                   .holds = s3fifo_holds,
                                                   .rank = s3fifo_rank,
                                                   .stats = s3fifo_stats};
