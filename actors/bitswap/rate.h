/* SPDX-License-Identifier: MIT */
/*
 * Bytes a second, as a moving average over pieces and the time that each took. What is sent back to back counts from the piece before,
 * else from its own beginning. Times are nanoseconds and arguments. A plain struct: zero it.
 */
#ifndef HEARTH_ACTORS_BITSWAP_RATE_H
#define HEARTH_ACTORS_BITSWAP_RATE_H

#include <stddef.h>
#include <stdint.h>

enum { RATE_WEIGHT = 4 }; /* the newest piece counts a quarter */

struct rate {
    uint64_t bytes;   /* of a piece, and */
    uint64_t busy_ns; /* the time that it took */
    uint64_t last_ns; /* when the last one ended */
    uint32_t samples;
};

/* A moving average takes one more sample. */
uint64_t rate_average(uint64_t old, uint64_t sample);

/* A piece that began then has ended now. */
void rate_take(struct rate *r, size_t bytes, uint64_t began_ns, uint64_t now_ns);

/* At least 1; what is given while there was no sample. */
uint64_t rate_per_second(const struct rate *r, uint64_t unknown);

#endif
