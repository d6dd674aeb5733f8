/* SPDX-License-Identifier: MIT */
/*
 * What actors and the runtime read of each other beside messages: numbers, nothing else.
 *
 *      struct runtime_shared  { stop_requested, log level, trace, hops, actors[count] }
 *      struct actor_shared    { box, life, turn, heartbeat, counters, what root and the watchdog note }
 *
 * One allocation without pointers, so that it may lie in memory that processes have in common: ordinary memory where all actors are
 * in one process, a mapping that every actor's process inherits on ipc. Every field is atomic, or written before the first actor
 * runs. Private to mailbox/ and the backends.
 */
#ifndef HEARTH_MAILBOX_SHARED_H
#define HEARTH_MAILBOX_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mailbox/box.h"
#include "mailbox/handling.h"
#include "mailbox/hops.h"

enum life_state { LIFE_NONE, LIFE_STARTING, LIFE_RUNNING, LIFE_ENDED };

/* A counter that one thread writes and any thread reads. */
typedef _Atomic uint64_t counter;
static inline void count_up(counter *c)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + 1, memory_order_relaxed);
}

struct counters {
    counter calls, casts, batches, busy, expired, stale, late, dropped, jobs_abandoned, poison;
};

struct actor_shared {
    struct box box;
    _Atomic uint64_t life; /* epoch << 8 | enum life_state; release by its owner pairs with the senders' acquire */
    _Atomic uint64_t turn_since_ns; /* 0 = waiting */
    _Atomic uint64_t turn_bound_ns; /* ctx_long */
    _Atomic uint64_t heartbeat_ns;  /* monotonic */
    _Atomic uint32_t turn_kind;     /* message in progress */
    _Atomic uint32_t restarts;
    _Atomic uint32_t last_exit; /* enum exit_reason + 1; 0 = none */
    _Atomic uint32_t waiting;   /* restarting or stopped as ordered, as root sees it: enum waiting */
    _Atomic bool stays_down;    /* as ordered; as root sees it, as waiting */
    _Atomic uint32_t watch_state;
    _Atomic uint32_t chaos_starts; /* so many starts fail */
    _Atomic uint64_t chaos; /* the order in force, 0 = none: chaos.h; release by who orders pairs with the turn */
    _Atomic int32_t
        cpu_clock; /* of what carries its life, a thread or a process; 0 = none. A dead one's is refused by the kernel */
    _Atomic uint64_t cpu_past_ns; /* of those that carried its lives before */
    struct counters counters;
    struct handling handling;
};

struct runtime_shared {
    _Atomic bool stop_requested;
    _Atomic uint32_t log_level;
    _Atomic uint32_t trace; /* the last id given to a request */
    struct hops hops;
    struct actor_shared actors[]; /* by actor_id */
};

static inline size_t shared_bytes(size_t actor_count)
{
    return sizeof(struct runtime_shared) + actor_count * sizeof(struct actor_shared);
}

static inline enum life_state life_state(uint64_t life)
{
    return (enum life_state)(life & 0xff);
}

static inline uint32_t life_epoch(uint64_t life)
{
    return (uint32_t)(life >> 8);
}

static inline uint64_t life_word(uint32_t epoch, enum life_state state)
{
    return (uint64_t)epoch << 8 | state;
}

#endif
