/* SPDX-License-Identifier: MIT */
/*
 * The ring of hops: what happened last to traced requests, in the whole runtime.
 *
 *      slot     0       8                  16                20        24            32      40       48               56
 *               | state | trace|kind|type|err | from|to | epoch | correlation | at_ns | until_ns | cause's correlation | cause |
 *
 * One ring for all actors: who records claims the next slot by an atomic addition, marks it as being written, writes and publishes
 * it with its number. So nobody waits, the order is the ring's, and a busy actor does not need a ring of the busiest one's size. A
 * reader takes a slot only if its state is the same before and after. A ring for each actor was rejected: the same memory would
 * keep less of a request that is mostly one actor's.
 *
 * Any thread, of any process that has the memory, may add and read; neither blocks.
 */
#ifndef HEARTH_MAILBOX_HOPS_H
#define HEARTH_MAILBOX_HOPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "mailbox/actor.h"

enum { HOPS_MAX = 4096, HOP_BYTES = 64, HOP_WORDS = HOP_BYTES / 8 - 1 };

/* In the correlation of what is no call: casts and requests are counted by themselves. */
#define HOP_CAST_BIT    (UINT64_C(1) << 62)
#define HOP_REQUEST_BIT (UINT64_C(1) << 63)

enum hop_event_type {
    HOP_REQUEST = 1, /* at: begun; until: its deadline; kind: as its actor counts operations */
    HOP_ANSWER,      /* at; err: as its actor counts codes */
    HOP_CALL,        /* at: sent; until: its deadline */
    HOP_CAST,        /* at: sent */
    HOP_HANDLED,     /* at: its handler began; until: it returned; err: not ERR_OK when it was dropped unread */
    HOP_ENDED,       /* of a call, at its caller: at, err */
    HOP_JOB,         /* at: submitted; until: begun; correlation: when it was done; kind: its lane; err: its result */
};

/* A call, cast or request by what is unique of it; trace 0 = none. */
struct hop_ref {
    uint64_t correlation;
    uint32_t epoch;
    uint32_t trace;
    actor_id from;
};

struct hop_event {
    enum hop_event_type type;
    struct hop_ref hop; /* trace and whose event it is */
    struct hop_ref cause;
    actor_id to;
    uint16_t kind;
    uint8_t err;
    uint64_t at_ns;
    uint64_t until_ns;
};

struct hop_slot {
    _Atomic uint64_t
        state; /* (number + 1) * 2, odd while it is written; 0 = never; release pairs with the reader's acquire */
    _Atomic uint64_t words[HOP_WORDS];
};

/* All zero: empty. Has no pointers, so that processes may have it in common. */
struct hops {
    _Atomic uint64_t next; /* number of the next event */
    struct hop_slot slots[HOPS_MAX];
};

void hops_add(struct hops *hops, const struct hop_event *event);

/* The events of a trace that are left, oldest first; returns how many, at most max. Fields that a type does not name are 0. */
size_t hops_read(const struct hops *hops, uint32_t trace, struct hop_event *ret_events, size_t max);

#endif
