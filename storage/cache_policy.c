/* SPDX-License-Identifier: MIT */
#include "storage/cache_policy.h"

#include <stdbool.h>

void cache_policy_init(struct cache_policy *policy, size_t capacity_bytes, struct cache_ghost_set *ghosts,
                       size_t ghost_sets)
{
    *policy = (struct cache_policy){.capacity_bytes = capacity_bytes, .ghosts = ghosts, .ghost_sets = ghost_sets};
}

static size_t small_max(const struct cache_policy *policy)
{
    return policy->capacity_bytes / CACHE_SMALL_SHARE;
}

static void push_head(struct cache_list *list, struct cache_node *node)
{
    node->prev = NULL;
    node->next = list->head;
    if (list->head != NULL)
        list->head->prev = node;
    else
        list->tail = node;
    list->head = node;
    list->bytes += node->bytes;
}

static void unlink_node(struct cache_list *list, struct cache_node *node)
{
    if (node->prev != NULL)
        node->prev->next = node->next;
    else
        list->head = node->next;
    if (node->next != NULL)
        node->next->prev = node->prev;
    else
        list->tail = node->prev;
    list->bytes -= node->bytes;
    node->prev = NULL;
    node->next = NULL;
}

/* ---- ghosts ---- */

static struct cache_ghost *ghost_ways(const struct cache_policy *policy, uint64_t hash)
{
    return policy->ghosts[(size_t)(hash >> 32) % policy->ghost_sets].ways;
}

static void remember(struct cache_policy *policy, const struct cache_node *node)
{
    struct cache_ghost *ways = ghost_ways(policy, node->hash);
    struct cache_ghost *oldest = &ways[0];
    for (size_t i = 1; i < CACHE_GHOST_WAYS; i++) {
        if (ways[i].left_at < oldest->left_at)
            oldest = &ways[i];
    }
    policy->left_bytes += node->bytes;
    *oldest = (struct cache_ghost){.hash = node->hash, .left_at = policy->left_bytes};
}

static bool recall(struct cache_policy *policy, uint64_t hash)
{
    struct cache_ghost *ways = ghost_ways(policy, hash);
    for (size_t i = 0; i < CACHE_GHOST_WAYS; i++) {
        if (ways[i].hash == hash) {
            uint64_t age_bytes = policy->left_bytes - ways[i].left_at;
            ways[i] = (struct cache_ghost){0};
            return age_bytes <= policy->capacity_bytes - small_max(policy);
        }
    }
    return false;
}

/* ---- operations ---- */

void cache_policy_enter(struct cache_policy *policy, struct cache_node *node, uint64_t hash, size_t bytes)
{
    *node = (struct cache_node){.hash = hash, .bytes = bytes};
    node->queue = recall(policy, hash) ? CACHE_MAIN : CACHE_SMALL;
    push_head(node->queue == CACHE_MAIN ? &policy->main : &policy->small, node);
}

void cache_policy_hit(struct cache_node *node)
{
    if (node->frequency < CACHE_FREQUENCY_MAX)
        node->frequency++;
}

void cache_policy_leave(struct cache_policy *policy, struct cache_node *node)
{
    unlink_node(node->queue == CACHE_MAIN ? &policy->main : &policy->small, node);
    node->queue = CACHE_NONE;
}

/* The small queue's tail leaves, unless it was used again: then it moves to the main queue and NULL is returned. */
static struct cache_node *turn_small(struct cache_policy *policy)
{
    struct cache_node *node = policy->small.tail;
    unlink_node(&policy->small, node);
    if (node->frequency > 0) {
        node->frequency = 0;
        node->queue = CACHE_MAIN;
        push_head(&policy->main, node);
        return NULL;
    }
    remember(policy, node);
    return node;
}

static struct cache_node *turn_main(struct cache_policy *policy)
{
    struct cache_node *node = policy->main.tail;
    unlink_node(&policy->main, node);
    if (node->frequency > 0) {
        node->frequency--;
        push_head(&policy->main, node);
        return NULL;
    }
    return node;
}

/* Ends: each turn lowers a frequency, moves a node out of the small queue for good, or returns one. */
struct cache_node *cache_policy_evict(struct cache_policy *policy)
{
    while (policy->small.tail != NULL || policy->main.tail != NULL) {
        bool small =
            policy->main.tail == NULL || (policy->small.tail != NULL && policy->small.bytes > small_max(policy));
        struct cache_node *node = small ? turn_small(policy) : turn_main(policy);
        if (node != NULL) {
            node->queue = CACHE_NONE;
            return node;
        }
    }
    return NULL;
}
