/* SPDX-License-Identifier: MIT */
#include "tiersim/tier_policy.h"

#include <string.h>

const struct tier_policy_ops *const tier_policies[] = {
    &tier_policy_fifo,   &tier_policy_lru,          &tier_policy_clock,    &tier_policy_sieve,
    &tier_policy_s3fifo, &tier_policy_arc,          &tier_policy_wtinylfu, &tier_policy_origin,
    &tier_policy_hearth, &tier_policy_hearth_bytes, &tier_policy_opt,
};
const size_t tier_policy_count = ARRAY_LEN(tier_policies);

const struct tier_policy_ops *tier_policy_find(const char *name)
{
    for (size_t i = 0; i < tier_policy_count; i++) {
        if (strcmp(tier_policies[i]->name, name) == 0)
            return tier_policies[i];
    }
    return NULL;
}

uint64_t tier_run_slots(const struct tier_run *run)
{
    uint64_t mean_bytes = run->objects == 0 ? 0 : run->footprint_bytes / run->objects;
    return MAX(run->capacity_bytes / MAX(mean_bytes, 1), 1);
}
