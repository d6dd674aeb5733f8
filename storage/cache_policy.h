/* SPDX-License-Identifier: MIT */
/*
 * Which block leaves a full cache: S3-FIFO. New blocks enter a small queue (a tenth of the bytes); those used again before they reach
 * its end move to the main queue, the rest leave and are remembered by hash while no more leaves after them than the main queue takes;
 * what returns while remembered goes to the main queue at once. So one pass over a large file cannot wash out what is used often, and a hit writes one counter.
 * Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023. Rejected: LRU (no defence against scans), ARC (a list
 * move on every hit).
 *
 * Pure: no memory but its caller's, no clock, no randomness; one thread. Nodes are embedded in what is cached.
 */
#ifndef HEARTH_STORAGE_CACHE_POLICY_H
#define HEARTH_STORAGE_CACHE_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum { CACHE_GHOST_WAYS = 8, CACHE_SMALL_SHARE = 10, CACHE_FREQUENCY_MAX = 3 };

enum cache_queue { CACHE_NONE, CACHE_SMALL, CACHE_MAIN };

struct cache_node {
    struct cache_node *prev; /* towards the head, where new ones enter */
    struct cache_node *next;
    uint64_t hash;
    size_t bytes;
    uint8_t frequency;
    enum cache_queue queue;
};

struct cache_list {
    struct cache_node *head;
    struct cache_node *tail;
    size_t bytes;
};

struct cache_ghost {
    uint64_t hash; /* 0: none */
    uint64_t left_at;
};

struct cache_ghost_set {
    struct cache_ghost ways[CACHE_GHOST_WAYS]; /* a full set forgets its oldest before its time */
};

struct cache_policy {
    size_t capacity_bytes;
    struct cache_list small;
    struct cache_list main;
    struct cache_ghost_set *ghosts; /* by hash */
    size_t ghost_sets;
    uint64_t left_bytes; /* of all that left the small queue for good: the clock of the ghosts */
};

/*
 * ghosts: ghost_sets of them, not 0, all zeros; the caller's, as long as the policy. Places for twice as many as the cache holds lose
 * hardly any.
 */
void cache_policy_init(struct cache_policy *policy, size_t capacity_bytes, struct cache_ghost_set *ghosts,
                       size_t ghost_sets);

/* A new node enters; the caller makes room with cache_policy_evict before or after. hash must not be 0. */
void cache_policy_enter(struct cache_policy *policy, struct cache_node *node, uint64_t hash, size_t bytes);

/* The node was used. */
void cache_policy_hit(struct cache_node *node);

/* Takes out the node that should leave; NULL when the cache is empty. */
struct cache_node *cache_policy_evict(struct cache_policy *policy);

/* Takes out a node because its block is gone. */
void cache_policy_leave(struct cache_policy *policy, struct cache_node *node);

static inline size_t cache_policy_bytes(const struct cache_policy *policy)
{
    return policy->small.bytes + policy->main.bytes;
}

#endif
