/* SPDX-License-Identifier: MIT */
/*
 * Timers: a binary heap of times over a slab of slots, so that one is set and cancelled in O(log n) by a handle.
 *
 *      heap[]  slot numbers, ordered by (at, order of setting)
 *      slots[] {at, order, tag, generation, position in heap}
 *
 * A handle is generation << 16 | slot + 1: one that fired or was cancelled is never mistaken for a newer timer. Bounded by the
 * maximum given at init. Not thread-safe; one set per actor for its timers and one for the deadlines of its calls.
 */
#ifndef HEARTH_MAILBOX_TIMERS_H
#define HEARTH_MAILBOX_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

enum { TIMERS_MAX = 4096, TIMERS_NONE = 0 };

struct timer_slot {
    uint64_t at_ns;
    uint64_t order;
    uint64_t tag;
    uint64_t generation;
    uint32_t position; /* in the heap; UINT32_MAX = free */
    uint32_t next_free;
};

struct timers {
    struct timer_slot *slots;
    uint32_t *heap;
    uint32_t count;
    uint32_t cap;
    uint32_t max;
    uint32_t free_head; /* slot + 1, 0 = none */
    uint64_t order;
};

void timers_init(struct timers *t, uint32_t max);
void timers_release(struct timers *t);

/* A handle, never 0; 0 when max timers are set or memory ends. */
uint64_t timers_set(struct timers *t, uint64_t at_ns, uint64_t tag) MUST_CHECK;
/* False when the handle is not of a timer that is set. */
bool timers_cancel(struct timers *t, uint64_t handle);
/* Takes the earliest timer that is due. */
bool timers_pop(struct timers *t, uint64_t now_ns, uint64_t *ret_tag);

/* When the next is due; UINT64_MAX = none. */
static inline uint64_t timers_next(const struct timers *t)
{
    return t->count == 0 ? UINT64_MAX : t->slots[t->heap[0]].at_ns;
}

#endif
