/* SPDX-License-Identifier: MIT */
/*
 * S3-FIFO: the daemon's own (storage/cache_policy), with places for more ghosts than there are objects, so that what a full set forgets
 * is not in the figures.
 */
#include <stdlib.h>

#include "storage/cache_policy.h"
#include "tiersim/mix.h"
#include "tiersim/tier_policy.h"

struct s3fifo {
    struct cache_policy policy;
    struct cache_node *nodes; /* by object */
    struct cache_ghost_set *ghosts;
};

static void s3fifo_destroy(void *self)
{
    struct s3fifo *s3fifo = self;
    if (s3fifo == NULL)
        return;
    free(s3fifo->ghosts);
    free(s3fifo->nodes);
    free(s3fifo);
}

static void *s3fifo_create(const struct tier_run *run)
{
    struct s3fifo *s3fifo = calloc(1, sizeof(*s3fifo));
    if (s3fifo == NULL)
        return NULL;
    size_t sets = (size_t)run->objects / (CACHE_GHOST_WAYS / 2) + 1;
    s3fifo->nodes = calloc(MAX(run->objects, 1), sizeof(*s3fifo->nodes));
    s3fifo->ghosts = calloc(sets, sizeof(*s3fifo->ghosts));
    if (s3fifo->nodes == NULL || s3fifo->ghosts == NULL) {
        s3fifo_destroy(s3fifo);
        return NULL;
    }
    cache_policy_init(&s3fifo->policy, (size_t)run->capacity_bytes, s3fifo->ghosts, sets);
    return s3fifo;
}

/* Where the daemon has the end of a digest. */
static uint64_t hash_of(uint64_t id)
{
    uint64_t hash = mix_u64(id);
    return hash == 0 ? 1 : hash;
}

static enum tier_access s3fifo_access(void *self, const struct tier_request *request)
{
    struct s3fifo *s3fifo = self;
    struct cache_node *node = &s3fifo->nodes[request->object];
    if (node->queue != CACHE_NONE) {
        cache_policy_hit(node);
        return TIER_HIT;
    }
    while (cache_policy_bytes(&s3fifo->policy) + request->bytes > s3fifo->policy.capacity_bytes)
        (void)cache_policy_evict(&s3fifo->policy);
    cache_policy_enter(&s3fifo->policy, node, hash_of(request->id), (size_t)request->bytes);
    return TIER_ADMITTED;
}

static uint64_t s3fifo_used(const void *self)
{
    return cache_policy_bytes(&((const struct s3fifo *)self)->policy);
}

const struct tier_policy_ops tier_policy_s3fifo = {.name = "s3fifo",
                                                   .create = s3fifo_create,
                                                   .access = s3fifo_access,
                                                   .used_bytes = s3fifo_used,
                                                   .destroy = s3fifo_destroy};
