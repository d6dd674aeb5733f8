/* SPDX-License-Identifier: MIT */
#include "tiersim/replay.h"

#include <math.h>
#include <stdlib.h>

static void account_for(struct replay_result *result, const struct tier_request *request, enum tier_access access)
{
    result->requests++;
    result->bytes += request->bytes;
    switch (access) {
    case TIER_HIT:
        result->hits++;
        result->hit_bytes += request->bytes;
        break;
    case TIER_ADMITTED:
        result->promoted_bytes += request->bytes;
        break;
    case TIER_BYPASSED:
        break;
    }
}

/* next_uses: NULL for a policy that does not know the future. */
static enum err run(const struct trace *trace, const struct contender_ops *policy, void *self, uint64_t capacity_bytes,
                    const uint32_t *next_uses, struct replay_result *result)
{
    for (size_t i = 0; i < trace->requests; i++) {
        struct tier_request request = trace_request(trace, i);
        if (next_uses != NULL && next_uses[i] != UINT32_MAX)
            request.next_use = next_uses[i];
        enum tier_access access = request.bytes > capacity_bytes ? TIER_BYPASSED : policy->access(self, &request);
        if (policy->used_bytes(self) > capacity_bytes)
            return ERR_INTERNAL;
        account_for(result, &request, access);
    }
    return ERR_OK;
}

enum err replay(const struct trace *trace, const struct contender_ops *policy, uint64_t capacity_bytes,
                struct replay_result *ret_result)
{
    capacity_bytes = MIN(capacity_bytes, TRACE_BYTES_MAX);
    const struct tier_run tier = {
        .capacity_bytes = capacity_bytes, .footprint_bytes = trace->footprint_bytes, .objects = trace->object_count};
    struct replay_result result = {0};
    uint32_t *next_uses = policy->offline ? trace_next_uses(trace) : NULL;
    void *self = policy->create(&tier);
    enum err err = ERR_NOMEM;
    if (self != NULL && (next_uses != NULL || !policy->offline))
        err = run(trace, policy, self, capacity_bytes, next_uses, &result);
    policy->destroy(self);
    free(next_uses);
    if (err == ERR_OK)
        *ret_result = result;
    return err;
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

double replay_object_hit_percent(const struct replay_result *result)
{
    return percent(result->hits, result->requests);
}

double replay_byte_hit_percent(const struct replay_result *result)
{
    return percent(result->hit_bytes, result->bytes);
}

double replay_promotion(const struct replay_result *result)
{
    if (result->hit_bytes == 0)
        return result->promoted_bytes == 0 ? 0 : HUGE_VAL;
    return (double)result->promoted_bytes / (double)result->hit_bytes;
}
