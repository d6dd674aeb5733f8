/* SPDX-License-Identifier: MIT */
/*
 * The call table of one actor: what it asked and has not heard of yet.
 *
 * A slab of at most CALLS_IN_FLIGHT_MAX slots. A correlation is sequence << 10 | slot: a reply that comes late finds the slot
 * empty or with another sequence and is dropped; and of two calls of one caller the older has the smaller correlation. Not
 * thread-safe.
 */
#ifndef HEARTH_MAILBOX_CALLS_H
#define HEARTH_MAILBOX_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "mailbox/actor.h"
#include "mailbox/hops.h"

struct call {
    uint64_t correlation; /* 0 = the slot is free */
    uint64_t tag;
    uint64_t deadline_ns;
    uint64_t timer;        /* of the deadline; 0 = none */
    struct reply_to scope; /* scope.correlation 0 = none */
    struct hop_ref cause;  /* what it was made for, if that is traced */
    uint32_t to_epoch;
    uint32_t reply_bytes; /* reserved */
    uint32_t next_free;   /* slot + 1 */
    actor_id to;
};

struct calls {
    struct call *slots;
    uint32_t cap;
    uint32_t count;
    uint32_t free_head; /* slot + 1, 0 = none */
    uint64_t sequence;
    uint64_t reply_bytes; /* reserved in all */
};

void calls_init(struct calls *calls);
void calls_release(struct calls *calls);

/* A slot with a new correlation, the rest zero; NULL when CALLS_IN_FLIGHT_MAX are out or memory ends. */
struct call *calls_add(struct calls *calls) MUST_CHECK;
/* The call in flight with the correlation; NULL when there is none. */
struct call *calls_find(const struct calls *calls, uint64_t correlation);
void calls_remove(struct calls *calls, struct call *call);

/* The call in slot `index` < cap, or NULL when it is free: for walks during which calls come and go. */
static inline struct call *calls_at(const struct calls *calls, uint32_t index)
{
    return calls->slots[index].correlation == 0 ? NULL : &calls->slots[index];
}

#endif
