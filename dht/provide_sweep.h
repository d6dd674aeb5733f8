/* SPDX-License-Identifier: MIT */
/*
 * When which part of the key space is provided again.
 *
 *      position ──────> due           the key space is a ring that is swept once per interval (22 h), so that a record, which lives 48 h,
 *        |                            is renewed long before; a position is due at a time, and a region moves both on:
 *      [0 ........ 2^64)              position += width        due += interval * width / 2^64
 *
 * What was not provided yet is not made to wait for the ring: `fresh` is a second hand that goes over such keys as soon as it is
 * woken, pinned ones first, hot ones after them, then the others. Both hand out positions; who sweeps finds the keys there, the region around them, and
 * reports what was passed.
 *
 * Two numbers are worth keeping over a restart, position and due; they go to state.db. When the node was away, or is too slow, due lies in the
 * past: that is the lag. Past one whole interval there is nothing more to catch up than the ring itself, so due is moved up and the lost
 * rounds are counted. A clock that goes back makes nothing wait longer than the schedule says. Times are nanoseconds since the epoch.
 * Values only: no I/O, no clock, nothing allocated. One thread.
 */
#ifndef HEARTH_DHT_PROVIDE_SWEEP_H
#define HEARTH_DHT_PROVIDE_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "dht/kad_key.h"

/* What has never been provided is, in this order. */
enum provide_class { PROVIDE_ROOT, PROVIDE_PINNED, PROVIDE_HOT, PROVIDE_STORED, PROVIDE_CLASS_COUNT };

struct provide_sweep {
    uint64_t interval_ns;
    uint64_t position; /* first 64 bits of the key space's keys */
    uint64_t due_ns;   /* when what lies there is due */
    uint64_t lost;     /* rounds that never took place */
    double network;    /* peers, by the density of the regions seen; 0: not known */
    double ring_ns;    /* what a whole round costs in time, by the regions seen; 0: not known */

    enum provide_class fresh_class; /* PROVIDE_CLASS_COUNT: nothing fresh is left */
    uint64_t fresh_position;
    uint64_t fresh_rest; /* where it turned back from stored ones to hot ones */

    uint64_t regions, keys, provided, lookups, messages, streams; /* ever, for people */
};

/* due now: keys that were provided less than half an interval ago are left to the next round (provide_sweep_before). */
void provide_sweep_init(struct provide_sweep *sweep, uint64_t interval_ns, uint64_t now_ns);

/* As an earlier life left it. */
void provide_sweep_restore(struct provide_sweep *sweep, uint64_t position, uint64_t due_ns, uint64_t now_ns);

/* Keys were added that have never been provided, or all shall be provided now. */
void provide_sweep_wake(struct provide_sweep *sweep);

/* Stored ones have become hot: if the hand is among the stored ones, it does the hot ones first, and then goes on where it was. */
void provide_sweep_hot(struct provide_sweep *sweep);

/* The first key of a position: of all bits 0 after the first 64. */
struct kad_key provide_sweep_first(uint64_t position);
uint64_t provide_sweep_position(const struct kad_key *key);

/* Of the fresh hand: nothing of the class lies at or after its position. It turns to the next class, or is done. */
void provide_sweep_fresh_ended(struct provide_sweep *sweep);
/* Fresh keys up to and with last, of whatever class, were dealt with. */
void provide_sweep_fresh_passed(struct provide_sweep *sweep, uint64_t last);
bool provide_sweep_is_fresh(const struct provide_sweep *sweep);

/* Of the ring: whether the position is due, and until when else to wait. */
bool provide_sweep_is_due(struct provide_sweep *sweep, uint64_t now_ns);
/* Everything up to and with last was dealt with, or there is nothing. */
void provide_sweep_passed(struct provide_sweep *sweep, uint64_t last);
/* Keys provided after this are not due yet. */
uint64_t provide_sweep_before(const struct provide_sweep *sweep);

/* A region of so many bits and peers per key space took so long. */
void provide_sweep_learn(struct provide_sweep *sweep, unsigned bits, double network, uint64_t took_ns);
unsigned provide_sweep_bits(const struct provide_sweep *sweep);

/* How much later than planned the ring is, at most one interval. */
uint64_t provide_sweep_lag(const struct provide_sweep *sweep, uint64_t now_ns);
/* How long until there is no lag at the speed seen; 0 without lag, UINT64_MAX when the ring is too slow to catch up, or its speed is not known. */
uint64_t provide_sweep_eta(const struct provide_sweep *sweep, uint64_t now_ns);

#endif
