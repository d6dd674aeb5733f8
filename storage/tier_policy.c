/* SPDX-License-Identifier: MIT */
#include "storage/tier_policy.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/tier_policy_ops.h"

static const struct tier_policy_ops *const kinds[TIER_POLICY_KINDS] = {
    [TIER_POLICY_HEARTH] = &tier_policy_hearth,
    [TIER_POLICY_ORIGIN] = &tier_policy_origin,
    [TIER_POLICY_LRU] = &tier_policy_lru,
    [TIER_POLICY_S3FIFO] = &tier_policy_s3fifo,
};

struct tier_policy {
    const struct tier_policy_ops *ops;
    void *self;
    uint64_t capacity_bytes;
};

const char *tier_policy_name(enum tier_policy_kind kind)
{
    return kinds[kind]->name;
}

bool tier_policy_parse(const char *name, enum tier_policy_kind *ret_kind)
{
    for (int kind = 0; kind < TIER_POLICY_KINDS; kind++) {
        if (strcmp(kinds[kind]->name, name) == 0) {
            *ret_kind = (enum tier_policy_kind)kind;
            return true;
        }
    }
    return false;
}

void *tier_policy_alloc(struct account *account, size_t bytes)
{
    if (account != NULL && !account_take(account, bytes))
        return NULL;
    void *memory = calloc(1, bytes);
    if (memory == NULL && account != NULL)
        account_give(account, bytes);
    return memory;
}

void tier_policy_release(struct account *account, void *memory, size_t bytes)
{
    if (memory != NULL && account != NULL)
        account_give(account, bytes);
    free(memory);
}

struct tier_policy *tier_policy_new(const struct tier_policy_config *config)
{
    assert(config->blocks_max > 0);
    struct tier_policy *policy = malloc(sizeof(*policy));
    if (policy == NULL)
        return NULL;
    *policy = (struct tier_policy){.ops = kinds[config->kind], .capacity_bytes = config->capacity_bytes};
    policy->self = policy->ops->create(config);
    if (policy->self != NULL)
        return policy;
    free(policy);
    return NULL;
}

void tier_policy_free(struct tier_policy *policy)
{
    if (policy != NULL)
        policy->ops->destroy(policy->self);
    free(policy);
}

void tier_policy_announce(const struct tier_policy *policy, const uint64_t *keys, size_t count)
{
    assert(count <= TIER_POLICY_ANNOUNCED_MAX);
    if (policy->ops->announce != NULL)
        policy->ops->announce(policy->self, keys, count);
}

bool tier_policy_use(struct tier_policy *policy, uint64_t key, uint64_t bytes, double now_s)
{
    return policy->ops->use(policy->self, key, bytes, now_s);
}

bool tier_policy_admit(struct tier_policy *policy, uint64_t key, uint64_t bytes, uint64_t room_bytes,
                       tier_policy_left *left, void *context)
{
    const struct tier_newcomer newcomer = {.key = key,
                                           .bytes = bytes,
                                           .room_bytes = MIN(room_bytes, policy->capacity_bytes),
                                           .left = left,
                                           .context = context};
    return bytes <= newcomer.room_bytes && policy->ops->admit(policy->self, &newcomer);
}

void tier_policy_leave(struct tier_policy *policy, uint64_t key)
{
    policy->ops->leave(policy->self, key);
}

bool tier_policy_holds(const struct tier_policy *policy, uint64_t key)
{
    return policy->ops->holds(policy->self, key);
}

float tier_policy_rank(const struct tier_policy *policy, uint64_t key, uint64_t bytes)
{
    return policy->ops->rank(policy->self, key, bytes);
}

struct tier_policy_stats tier_policy_stats(const struct tier_policy *policy)
{
    return policy->ops->stats(policy->self);
}

struct heat_policy *tier_policy_heat(struct tier_policy *policy)
{
    return policy->ops == &tier_policy_hearth ? policy->self : NULL;
}
