/* SPDX-License-Identifier: MIT */
/*
 * S3-FIFO: the daemon's own (storage/cache_policy), given as many ghosts as objects of the trace's mean size fit into the tier. The
 * daemon's memory tier has CACHE_GHOSTS of them.
 */
#include <stdlib.h>

#include "storage/cache_policy.h"
#include "tiersim/tier_policy.h"

struct s3fifo {
    struct cache_policy policy;
    struct cache_node *nodes; /* by object */
    struct cache_ghosts ghosts;
};

static void s3fifo_destroy(void *self)
{
    struct s3fifo *s3fifo = self;
    if (s3fifo == NULL)
        return;
    free(s3fifo->ghosts.hashes);
    free(s3fifo->ghosts.hands);
    free(s3fifo->nodes);
    free(s3fifo);
}

static void *s3fifo_create(const struct tier_run *run)
{
    struct s3fifo *s3fifo = calloc(1, sizeof(*s3fifo));
    if (s3fifo == NULL)
        return NULL;
    size_t slots = (size_t)MIN(tier_run_slots(run), run->objects);
    size_t sets = slots / CACHE_GHOST_WAYS + 1;
    s3fifo->nodes = calloc(MAX(run->objects, 1), sizeof(*s3fifo->nodes));
    s3fifo->ghosts = (struct cache_ghosts){.hashes = calloc(sets * CACHE_GHOST_WAYS, sizeof(uint64_t)),
                                           .hands = calloc(sets, sizeof(uint8_t)),
                                           .sets = sets};
    if (s3fifo->nodes == NULL || s3fifo->ghosts.hashes == NULL || s3fifo->ghosts.hands == NULL) {
        s3fifo_destroy(s3fifo);
        return NULL;
    }
    cache_policy_init(&s3fifo->policy, (size_t)run->capacity_bytes, s3fifo->ghosts);
    return s3fifo;
}

/* Ids are small and sequential; the daemon's are digests (splitmix64's last step). */
static uint64_t hash_of(uint64_t id)
{
    id += UINT64_C(0x9e3779b97f4a7c15);
    id = (id ^ (id >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    id = (id ^ (id >> 27)) * UINT64_C(0x94d049bb133111eb);
    id ^= id >> 31;
    return id == 0 ? 1 : id;
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
