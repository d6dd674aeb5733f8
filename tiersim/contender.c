/* SPDX-License-Identifier: MIT */
#include "tiersim/contender.h"

#include <string.h>

const struct contender_ops *const contenders[] = {
    &contender_fifo,   &contender_lru,          &contender_clock,    &contender_sieve,
    &contender_s3fifo, &contender_arc,          &contender_wtinylfu, &contender_origin,
    &contender_hearth, &contender_hearth_bytes, &contender_opt,
};
const size_t contender_count = ARRAY_LEN(contenders);

const struct contender_ops *contender_find(const char *name)
{
    for (size_t i = 0; i < contender_count; i++) {
        if (strcmp(contenders[i]->name, name) == 0)
            return contenders[i];
    }
    return NULL;
}

uint64_t tier_run_slots(const struct tier_run *run)
{
    uint64_t mean_bytes = run->objects == 0 ? 0 : run->footprint_bytes / run->objects;
    return MAX(run->capacity_bytes / MAX(mean_bytes, 1), 1);
}
