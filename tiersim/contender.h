/* SPDX-License-Identifier: MIT */
/*
 * What a policy of a tier is to the simulator: something that is told of each request, in order, and answers whether its tier holds the
 * object and, if not, whether it takes it in.
 *
 *   trace ──> request ──> policy ──> hit        the tier had it
 *                              ├──> admitted   it was read from below and copied into the tier: request.bytes of promotion
 *                              └──> bypassed   it was read from below and stays there
 *
 * A policy keeps what it knows of an object in arrays by request.object, a dense number. It is never asked for objects larger than the
 * tier, and it never holds more than capacity_bytes: the simulator checks that after each request. In traces of pages and keys each
 * object has one byte, so bytes are slots there. What an object took when it was admitted it takes until it leaves. Pure: no clock, no
 * randomness but seeded; one thread.
 */
#ifndef HEARTH_TIERSIM_CONTENDER_H
#define HEARTH_TIERSIM_CONTENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define TIER_NEVER UINT64_MAX

struct tier_run {
    uint64_t capacity_bytes;
    uint64_t footprint_bytes; /* of all objects of the trace */
    uint32_t objects;         /* how many there are; each request.object is below it */
};

struct tier_request {
    uint64_t index; /* of the request in the trace, from 0 */
    double
        time_s; /* of the trace's own clock; a millisecond a request where it has none. May stand still, may step back */
    uint64_t id;    /* of the object; not hashed, often small and sequential */
    uint64_t bytes; /* at most the capacity; may be 0 */
    uint64_t
        next_use; /* index of the object's next request, or TIER_NEVER; always TIER_NEVER for a policy that is not offline */
    uint32_t object;
};

enum tier_access { TIER_HIT, TIER_ADMITTED, TIER_BYPASSED };

struct contender_ops {
    const char *name;
    bool offline; /* knows the future: a bound to compare with */
    /* NULL without memory. */
    void *(*create)(const struct tier_run *run);
    enum tier_access (*access)(void *self, const struct tier_request *request);
    /* Bytes that are in the tier now. */
    uint64_t (*used_bytes)(const void *self);
    void (*destroy)(void *self);
};

/* How many objects fit in, taking the trace's mean object; 1 at least. */
uint64_t tier_run_slots(const struct tier_run *run);

/* All policies, in the order in which tables show them. */
extern const struct contender_ops *const contenders[];
extern const size_t contender_count;

/* NULL for a name that is not one. */
const struct contender_ops *contender_find(const char *name);

extern const struct contender_ops contender_fifo;
extern const struct contender_ops contender_lru;
extern const struct contender_ops contender_clock;
extern const struct contender_ops contender_sieve;
extern const struct contender_ops contender_s3fifo;
extern const struct contender_ops contender_arc;
extern const struct contender_ops contender_wtinylfu;
extern const struct contender_ops contender_origin;
extern const struct contender_ops contender_hearth;
extern const struct contender_ops contender_hearth_bytes;
extern const struct contender_ops contender_opt;

#endif
