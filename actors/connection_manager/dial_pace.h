/* SPDX-License-Identifier: MIT */
/*
 * The pace of dialling: a burst of sockets, then one each period. No clock: times are nanoseconds of any monotonic one. A value; one
 * thread.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_DIAL_PACE_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_DIAL_PACE_H

#include <stdint.h>

/* All zero: as fast as asked. */
struct dial_pace {
    uint64_t period_ns; /* one socket costs so much; 0: nothing */
    uint64_t credit_ns;
    uint64_t credit_max_ns;
    uint64_t refilled_ns;
};

/* rate a second, 0: no limit; begins with a whole burst. */
void dial_pace_set(struct dial_pace *pace, unsigned rate, unsigned burst, uint64_t now_ns);

/* When the next socket may be opened: now_ns or later. */
uint64_t dial_pace_at(struct dial_pace *pace, uint64_t now_ns);

/* One is opened; dial_pace_at said now. */
void dial_pace_take(struct dial_pace *pace);

#endif
