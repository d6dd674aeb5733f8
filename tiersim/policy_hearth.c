/* SPDX-License-Identifier: MIT */
/* hearth's own: the daemon's module storage/heat_policy, which remembers every object of the trace. */
#include <stdlib.h>

#include "storage/heat_policy.h"
#include "tiersim/mix.h"
#include "tiersim/tier_policy.h"

static void *create(const struct tier_run *run, enum heat_goal goal)
{
    return heat_policy_new(&(struct heat_policy_config){
        .capacity_bytes = run->capacity_bytes, .rows_max = MAX(run->objects, 1), .goal = goal});
}

static void *hearth_create(const struct tier_run *run)
{
    return create(run, HEAT_GOAL_OBJECTS);
}

static void *hearth_bytes_create(const struct tier_run *run)
{
    return create(run, HEAT_GOAL_BYTES);
}

static void ignore(void *context, uint64_t key)
{
    (void)context;
    (void)key;
}

static enum tier_access hearth_access(void *self, const struct tier_request *request)
{
    uint64_t hash = mix_u64(request->id);
    uint64_t key = hash == 0 ? 1 : hash;
    if (heat_policy_use(self, key, request->bytes))
        return TIER_HIT;
    return heat_policy_admit(self, key, request->bytes, ignore, NULL) ? TIER_ADMITTED : TIER_BYPASSED;
}

static uint64_t hearth_used(const void *self)
{
    return heat_policy_stats(self).held_bytes;
}

static void hearth_destroy(void *self)
{
    heat_policy_free(self);
}

const struct tier_policy_ops tier_policy_hearth = {.name = "hearth",
                                                   .create = hearth_create,
                                                   .access = hearth_access,
                                                   .used_bytes = hearth_used,
                                                   .destroy = hearth_destroy};

const struct tier_policy_ops tier_policy_hearth_bytes = {.name = "hearth-bytes",
                                                         .create = hearth_bytes_create,
                                                         .access = hearth_access,
                                                         .used_bytes = hearth_used,
                                                         .destroy = hearth_destroy};
