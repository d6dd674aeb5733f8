/* SPDX-License-Identifier: MIT */
/*
 * The bound of one mailbox: how many records and bytes are under way to an actor or wait for it.
 *
 *      held  = records << 40 | bytes, so that one atomic addition counts a message
 *
 * The sender takes before the message leaves, the receiver gives back after it was handled: that a socket accepted a message says
 * nothing. A sender that is refused leaves its bit in waiters; the receiver, once half empty, swaps the bits out and sends ROOM.
 * The sender looks once more after leaving its bit, so that the last give-back cannot slip between.
 *
 * Any thread may take; only the receiver gives.
 */
#ifndef HEARTH_MAILBOX_BOX_H
#define HEARTH_MAILBOX_BOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "mailbox/actor.h"

enum { BOX_RECORDS_DEFAULT = 4096, BOX_BYTES_DEFAULT = 1024 * 1024, BOX_BYTES_BITS = 40 };

struct box {
    _Atomic uint64_t held;    /* sequentially consistent against waiters, see above */
    _Atomic uint64_t waiters; /* bit n: actor n was refused */
    _Atomic uint64_t refused;
    uint64_t records_max;
    uint64_t bytes_max;
};

static inline uint64_t box_records(uint64_t held)
{
    return held >> BOX_BYTES_BITS;
}

static inline uint64_t box_bytes(uint64_t held)
{
    return held & ((UINT64_C(1) << BOX_BYTES_BITS) - 1);
}

static inline void box_init(struct box *box, uint32_t records_max, uint32_t bytes_max)
{
    box->records_max = records_max == 0 ? BOX_RECORDS_DEFAULT : records_max;
    box->bytes_max = bytes_max == 0 ? BOX_BYTES_DEFAULT : bytes_max;
}

static inline bool box_fits(const struct box *box, uint64_t held)
{
    return box_records(held) <= box->records_max && box_bytes(held) <= box->bytes_max;
}

/* One record of so many bytes; force: whatever the limits. */
static inline bool box_take(struct box *box, uint32_t bytes, bool force)
{
    uint64_t add = UINT64_C(1) << BOX_BYTES_BITS | bytes;
    uint64_t held = atomic_fetch_add(&box->held, add) + add;
    if (force || box_fits(box, held))
        return true;
    atomic_fetch_sub(&box->held, add);
    return false;
}

/* As box_take; on a refusal the sender will hear ROOM. */
static inline bool box_take_or_wait(struct box *box, uint32_t bytes, actor_id sender)
{
    if (box_take(box, bytes, false))
        return true;
    atomic_fetch_or(&box->waiters, UINT64_C(1) << sender);
    if (box_take(box, bytes, false)) {
        atomic_fetch_and(&box->waiters, ~(UINT64_C(1) << sender));
        return true;
    }
    atomic_fetch_add_explicit(&box->refused, 1, memory_order_relaxed);
    return false;
}

static inline void box_give(struct box *box, uint64_t records, uint64_t bytes)
{
    if (records > 0)
        atomic_fetch_sub(&box->held, records << BOX_BYTES_BITS | bytes);
}

/* The senders to be told of room; 0 when none waits or it is still more than half full. */
static inline uint64_t box_take_waiters(struct box *box)
{
    if (atomic_load(&box->waiters) == 0)
        return 0;
    uint64_t held = atomic_load(&box->held);
    if (box_records(held) > box->records_max / 2 || box_bytes(held) > box->bytes_max / 2)
        return 0;
    return atomic_exchange(&box->waiters, 0);
}

#endif
