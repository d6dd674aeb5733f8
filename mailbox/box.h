/* SPDX-License-Identifier: MIT */
/*
 * The bound of one mailbox: how many records and bytes are under way to an actor or wait for it.
 *
 *      cells[sender]  = generation << 48 | records << 28 | bytes, so that one atomic word counts a message
 *
 * The sender takes before the message leaves, the receiver gives back after it was handled: that a socket accepted a message says
 * nothing. A sender that is refused leaves its bit in waiters; the receiver, once half empty, swaps the bits out and sends ROOM.
 * The sender looks once more after leaving its bit, so that the last give-back cannot slip between.
 *
 * Each sender has a cell, and a generation is the sum of both lives' epochs: when either ends, however suddenly, what the two had under
 * way is forgotten with the generation, and what was meant for it no longer counts, neither when taken nor when given. So a process
 * that dies in the middle of a message leaves nothing behind.
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

enum {
    BOX_RECORDS_DEFAULT = 4096,
    BOX_BYTES_DEFAULT = 1024 * 1024,
    BOX_SENDERS_MAX = 64, /* bits of waiters */
    BOX_BYTES_BITS = 28,
    BOX_RECORDS_BITS = 20,
    BOX_GENERATION_AT = BOX_BYTES_BITS + BOX_RECORDS_BITS,
};

struct box {
    _Atomic uint64_t cells[BOX_SENDERS_MAX]; /* sequentially consistent against waiters, see above */
    _Atomic uint64_t waiters;                /* bit n: actor n was refused */
    _Atomic uint64_t refused;
    uint64_t records_max;
    uint64_t bytes_max;
    uint32_t senders;
};

/* What is held, as one number: records << BOX_BYTES_BITS | bytes. */
static inline uint64_t box_records(uint64_t held)
{
    return held >> BOX_BYTES_BITS;
}

static inline uint64_t box_bytes(uint64_t held)
{
    return held & ((UINT64_C(1) << BOX_BYTES_BITS) - 1);
}

static inline uint64_t box_held(const struct box *box)
{
    uint64_t held = 0;
    for (uint32_t i = 0; i < box->senders && i < BOX_SENDERS_MAX; i++) /* senders may be another process's word */
        held += atomic_load(&box->cells[i]) & ((UINT64_C(1) << BOX_GENERATION_AT) - 1);
    return held;
}

static inline void box_init(struct box *box, uint32_t senders, uint32_t records_max, uint32_t bytes_max)
{
    box->senders = senders;
    box->records_max = records_max == 0 ? BOX_RECORDS_DEFAULT : records_max;
    box->bytes_max = bytes_max == 0 ? BOX_BYTES_DEFAULT : bytes_max;
}

static inline bool box_fits(const struct box *box, uint64_t held)
{
    return box_records(held) <= box->records_max && box_bytes(held) <= box->bytes_max;
}

/* The life of a sender and the life of the receiver, together. Neither epoch goes back, so it tells earlier from later. */
struct box_pair {
    actor_id sender;
    uint16_t generation;
};

static inline struct box_pair box_pair_of(actor_id sender, uint32_t sender_epoch, uint32_t receiver_epoch)
{
    return (struct box_pair){.sender = sender, .generation = (uint16_t)(sender_epoch + receiver_epoch)};
}

/* Positive when the cell's word is of an earlier generation than the pair, negative when of a later one. */
static inline int box_age(uint64_t word, struct box_pair pair)
{
    return (int16_t)(pair.generation - (uint16_t)(word >> BOX_GENERATION_AT));
}

/* Adds to the cell; false when the pair's generation is over. */
static inline bool box_add(struct box *box, struct box_pair pair, uint64_t add)
{
    _Atomic uint64_t *cell = &box->cells[pair.sender];
    uint64_t word = atomic_load(cell);
    uint64_t sum;
    do {
        int age = box_age(word, pair);
        if (age < 0)
            return false;
        sum = age == 0 ? word + add : ((uint64_t)pair.generation << BOX_GENERATION_AT) + add;
    } while (!atomic_compare_exchange_weak(cell, &word, sum));
    return true;
}

/* Never under zero, whatever a sender in another process did to its cell. */
static inline void box_give(struct box *box, struct box_pair pair, uint64_t records, uint64_t bytes)
{
    _Atomic uint64_t *cell = &box->cells[pair.sender];
    uint64_t word = atomic_load(cell);
    uint64_t rest;
    do {
        uint64_t held = word & ((UINT64_C(1) << BOX_GENERATION_AT) - 1);
        if (records == 0 || box_age(word, pair) != 0)
            return;
        bool sound = box_records(held) >= records && box_bytes(held) >= bytes;
        rest = sound ? word - (records << BOX_BYTES_BITS | bytes) : word - held;
    } while (!atomic_compare_exchange_weak(cell, &word, rest));
}

/* One record of so many bytes; force: whatever the limits. What is meant for a life that is over counts for nothing. */
static inline bool box_take(struct box *box, struct box_pair pair, uint32_t bytes, bool force)
{
    uint64_t add = UINT64_C(1) << BOX_BYTES_BITS | bytes;
    if (!box_add(box, pair, add) || force || box_fits(box, box_held(box)))
        return true;
    box_give(box, pair, 1, bytes);
    return false;
}

/*
 * As box_take; on a refusal the sender will hear ROOM. Two who try at once may both be refused by what the other tried: whoever then finds
 * the box empty tries again, since a receiver that has nothing to handle tells nobody. The last one to give back finds it so.
 */
static inline bool box_take_or_wait(struct box *box, struct box_pair pair, uint32_t bytes)
{
    enum { TRIES = 1000 };
    if (box_take(box, pair, bytes, false))
        return true;
    atomic_fetch_or(&box->waiters, UINT64_C(1) << pair.sender);
    bool fits_at_all = box_fits(box, UINT64_C(1) << BOX_BYTES_BITS | bytes);
    for (int i = 0; i < TRIES; i++) {
        if (box_take(box, pair, bytes, false)) {
            atomic_fetch_and(&box->waiters, ~(UINT64_C(1) << pair.sender));
            return true;
        }
        if (!fits_at_all || box_held(box) != 0)
            break;
    }
    atomic_fetch_add_explicit(&box->refused, 1, memory_order_relaxed);
    return false;
}

/* One of the two lives before this pair is over: what they had under way no longer counts. */
static inline void box_renew(struct box *box, struct box_pair pair)
{
    (void)box_add(box, pair, 0);
}

/* The senders to be told of room; 0 when none waits or it is still more than half full. */
static inline uint64_t box_take_waiters(struct box *box)
{
    if (atomic_load(&box->waiters) == 0)
        return 0;
    uint64_t held = box_held(box);
    if (box_records(held) > box->records_max / 2 || box_bytes(held) > box->bytes_max / 2)
        return 0;
    return atomic_exchange(&box->waiters, 0);
}

#endif
