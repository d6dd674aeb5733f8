/* SPDX-License-Identifier: MIT */
/*
 * How long an actor's handlers take: how many messages, and a histogram of times on a logarithmic scale, over the last 10 to 20 s.
 *
 *      bucket = (octave - 8) * 4 + the two bits behind the leading one      256 ns ... 4 s, a quarter of an octave each
 *
 * Timers, jobs and what the network tells are timed as well; of messages in large batches every eighth (delivery.c). Two windows: one is
 * filled for 10 s, then the other begins anew. The actor's thread writes, any thread reads; a reader may see a
 * window half begun, which is a figure in passing and no more.
 */
#ifndef HEARTH_MAILBOX_HANDLING_H
#define HEARTH_MAILBOX_HANDLING_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/attr.h"

enum {
    HANDLING_FIRST_BIT = 8,
    HANDLING_OCTAVES = 24,
    HANDLING_BUCKETS = HANDLING_OCTAVES * 4,
    HANDLING_WINDOW_S = 10,
};

struct handling_window {
    _Atomic uint64_t since_ns; /* 0 = never begun */
    _Atomic uint64_t messages;
    _Atomic uint32_t times[HANDLING_BUCKETS];
};

struct handling {
    _Atomic uint64_t messages; /* since the node's start */
    _Atomic uint32_t current;
    struct handling_window windows[2];
};

struct handling_figures {
    uint64_t messages;
    double messages_per_s;
    uint64_t p50_ns; /* 0 = nothing was handled lately */
    uint64_t p99_ns;
};

/* The first handler of a window: the older one makes room. */
void handling_turn_over(struct handling *h, uint64_t now_ns);
void handling_read(const struct handling *h, uint64_t now_ns, struct handling_figures *ret_figures);

static inline uint32_t handling_bucket(uint64_t ns)
{
    if (ns >> HANDLING_FIRST_BIT == 0)
        return 0;
    uint32_t octave = 63 - (uint32_t)__builtin_clzll(ns);
    uint32_t bucket = (octave - HANDLING_FIRST_BIT) * 4 + (uint32_t)(ns >> (octave - 2) & 3);
    return bucket < HANDLING_BUCKETS ? bucket : HANDLING_BUCKETS - 1;
}

/* The window that is filled; of memory that other processes have, so whatever it says, it is one of the two. */
static inline uint32_t handling_current(const struct handling *h)
{
    return atomic_load_explicit(&h->current, memory_order_relaxed) & 1;
}

static inline void handling_add(_Atomic uint64_t *to, uint64_t by)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + by, memory_order_relaxed);
}

/* A handler began and ended. The actor's thread only. */
static inline void handling_note(struct handling *h, uint64_t began_ns, uint64_t ended_ns)
{
    struct handling_window *w = &h->windows[handling_current(h)];
    if (ended_ns - atomic_load_explicit(&w->since_ns, memory_order_relaxed) >= HANDLING_WINDOW_S * SECOND_NS) {
        handling_turn_over(h, ended_ns);
        w = &h->windows[handling_current(h)];
    }
    _Atomic uint32_t *bucket = &w->times[handling_bucket(ended_ns - began_ns)];
    atomic_store_explicit(bucket, atomic_load_explicit(bucket, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* So many messages were handled, timed or not. The actor's thread only. */
static inline void handling_count(struct handling *h, uint64_t messages)
{
    struct handling_window *w = &h->windows[handling_current(h)];
    handling_add(&w->messages, messages);
    handling_add(&h->messages, messages);
}

#endif
