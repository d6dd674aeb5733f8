/* SPDX-License-Identifier: MIT */
/* hearth's own: heat_policy.h. */
#include "storage/tier_policy_ops.h"

static void *hearth_create(const struct tier_policy_config *config)
{
    return heat_policy_new(&(struct heat_policy_config){.capacity_bytes = config->capacity_bytes,
                                                        .rows_max = config->blocks_max,
                                                        .goal = config->goal,
                                                        .account = config->account});
}

static void hearth_destroy(void *self)
{
    heat_policy_free(self);
}

static void hearth_announce(const void *self, const uint64_t *keys, size_t count)
{
    heat_policy_announce(self, keys, count);
}

static bool hearth_use(void *self, uint64_t key, uint64_t bytes, double now_s)
{
    (void)now_s;
    return heat_policy_use(self, key, bytes);
}

static bool hearth_admit(void *self, const struct tier_newcomer *newcomer)
{
    return heat_policy_admit(self, newcomer->key, newcomer->bytes, newcomer->room_bytes, newcomer->left,
                             newcomer->context);
}

static void hearth_leave(void *self, uint64_t key)
{
    heat_policy_leave(self, key);
}

static bool hearth_holds(const void *self, uint64_t key)
{
    return heat_policy_holds(self, key);
}

static float hearth_rank(const void *self, uint64_t key, uint64_t bytes)
{
    return heat_policy_rank(self, key, bytes);
}

static struct tier_policy_stats hearth_stats(const void *self)
{
    struct heat_policy_stats stats = heat_policy_stats(self);
    return (struct tier_policy_stats){
        .held_bytes = stats.held_bytes, .held = stats.held, .remembered = stats.remembered};
}

const struct tier_policy_ops tier_policy_hearth = {.name = "hearth",
                                                   .create = hearth_create,
                                                   .destroy = hearth_destroy,
                                                   .announce = hearth_announce,
                                                   .use = hearth_use,
                                                   .admit = hearth_admit,
                                                   .leave = hearth_leave,
                                                   .holds = hearth_holds,
                                                   .rank = hearth_rank,
                                                   .stats = hearth_stats};
