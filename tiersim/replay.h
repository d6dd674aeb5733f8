/* SPDX-License-Identifier: MIT */
/* One policy over one trace in a tier of one size, from empty, and what came of it. */
#ifndef HEARTH_TIERSIM_REPLAY_H
#define HEARTH_TIERSIM_REPLAY_H

#include "tiersim/contender.h"
#include "tiersim/trace.h"

struct replay_result {
    uint64_t requests;
    uint64_t hits;
    uint64_t bytes;
    uint64_t hit_bytes;
    uint64_t promoted_bytes; /* copied into the tier */
};

/*
 * Requests larger than the tier are misses that the policy does not see. ERR_NOMEM; ERR_INTERNAL when the policy held more than the
 * tier's capacity, which makes its figures worthless.
 */
enum err replay(const struct trace *trace, const struct contender_ops *policy, uint64_t capacity_bytes,
                struct replay_result *ret_result) MUST_CHECK;

double replay_object_hit_percent(const struct replay_result *result);
double replay_byte_hit_percent(const struct replay_result *result);

/* Promoted bytes per byte that was hit; 0 when nothing was promoted, infinite when nothing was hit. */
double replay_promotion(const struct replay_result *result);

#endif
