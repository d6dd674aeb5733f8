/* SPDX-License-Identifier: MIT */
/* The policies that the daemon can run (storage/tier_policy), told to remember every object of the trace. */
#include "storage/tier_policy.h"
#include "tiersim/contender.h"
#include "tiersim/mix.h"

static void *create(const struct tier_run *run, enum tier_policy_kind kind, enum heat_goal goal)
{
    return tier_policy_new(&(struct tier_policy_config){
        .kind = kind, .goal = goal, .capacity_bytes = run->capacity_bytes, .blocks_max = MAX(run->objects, 1)});
}

static void *hearth_create(const struct tier_run *run)
{
    return create(run, TIER_POLICY_HEARTH, HEAT_GOAL_OBJECTS);
}

static void *hearth_bytes_create(const struct tier_run *run)
{
    return create(run, TIER_POLICY_HEARTH, HEAT_GOAL_BYTES);
}

static void *origin_create(const struct tier_run *run)
{
    return create(run, TIER_POLICY_ORIGIN, HEAT_GOAL_OBJECTS);
}

static void *lru_create(const struct tier_run *run)
{
    return create(run, TIER_POLICY_LRU, HEAT_GOAL_OBJECTS);
}

static void *s3fifo_create(const struct tier_run *run)
{
    return create(run, TIER_POLICY_S3FIFO, HEAT_GOAL_OBJECTS);
}

static void ignore(void *context, uint64_t key)
{
    (void)context;
    (void)key;
}

static enum tier_access online_access(void *self, const struct tier_request *request)
{
    uint64_t hash = mix_u64(request->id); /* where the daemon has the end of a digest */
    uint64_t key = hash == 0 ? 1 : hash;
    if (tier_policy_use(self, key, request->bytes, request->time_s))
        return TIER_HIT;
    return tier_policy_admit(self, key, request->bytes, UINT64_MAX, ignore, NULL) ? TIER_ADMITTED : TIER_BYPASSED;
}

static uint64_t online_used(const void *self)
{
    return tier_policy_stats(self).held_bytes;
}

static void online_destroy(void *self)
{
    tier_policy_free(self);
}

#define ONLINE(label, maker)                                                                                           \
    {                                                                                                                  \
        .name = (label), .create = (maker), .access = online_access, .used_bytes = online_used,                        \
        .destroy = online_destroy                                                                                      \
    }

const struct contender_ops contender_hearth = ONLINE("hearth", hearth_create);
const struct contender_ops contender_hearth_bytes = ONLINE("hearth-bytes", hearth_bytes_create);
const struct contender_ops contender_origin = ONLINE("origin", origin_create);
const struct contender_ops contender_lru = ONLINE("lru", lru_create);
const struct contender_ops contender_s3fifo = ONLINE("s3fifo", s3fifo_create);
