/* SPDX-License-Identifier: MIT */
/*
 * How fast and how reliably one peer answers: moving averages of what was seen, and what follows from them.
 *
 *      expect    when a block would come that is asked for now, behind what was asked before
 *      cost      the same, longer for a peer that often has not, or that broke its word: the least one is asked
 *      patience  how much silence is normal for it
 *      room      how much to have outstanding with it beside one block: about two seconds' worth
 *
 * The rate counts from one block to the next, or from the question when nothing was outstanding before; so it holds round trips while
 * the pipe is not full, and grows as it is filled. Times are nanoseconds and arguments. A plain struct.
 */
#ifndef HEARTH_ACTORS_BITSWAP_PACE_H
#define HEARTH_ACTORS_BITSWAP_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actors/bitswap/rate.h"

enum {
    PACE_ONE = 1024,                   /* shares are of this */
    PACE_ROOM_FIRST = 1024 * 1024,     /* bytes at least, after the first block and until PACE_SAMPLES were seen */
    PACE_ROOM_MAX = 16 * 1024 * 1024,  /* Helia sends all that is pending under one limit of 10 s */
    PACE_ROOM_S = 2,                   /* seconds' worth */
    PACE_SAMPLES = 4,                  /* after which a peer is known */
    PACE_RATE_FIRST = 4 * 1024 * 1024, /* bytes a second, assumed of a stranger */
    PACE_LATENCY_FIRST_MS = 100,
    PACE_PATIENCE_MIN_MS = 1000,
    PACE_PATIENCE_MAX_MS = 5000,
    PACE_FORGIVE_S = 30 /* after a broken word a peer is tried again */
};

struct pace {
    uint64_t latency_ns; /* from a question to its answer when nothing else was outstanding; 0: not measured */
    uint64_t jitter_ns;  /* its mean deviation */
    struct rate rate;    /* from one block to the next */
    uint64_t broke_ns;   /* when it last broke its word */
    uint32_t hits;       /* share of answers that were HAVE or the block */
    uint32_t kept;       /* share of blocks that came when it was to send them */
    bool answered;       /* anything at all */
};

void pace_init(struct pace *p);

/* A block came that was asked for at that time; alone: with nothing else outstanding. asked_ns 0: it was not asked for. */
void pace_block(struct pace *p, size_t len, uint64_t asked_ns, bool alone, uint64_t now_ns);

/* It said whether it has a block. asked_ns 0: it was not asked. */
void pace_presence(struct pace *p, bool have, uint64_t asked_ns, uint64_t now_ns);

/*
 * It did not send a block that it was to send: it is as slow as if the block came now, at best. Within its patience other blocks that
 * do not come are part of the same fault.
 */
void pace_broken(struct pace *p, size_t len, uint64_t asked_ns, uint64_t now_ns);

uint64_t pace_expect_ns(const struct pace *p, uint64_t queued_bytes, uint64_t len);
uint64_t pace_cost_ns(const struct pace *p, uint64_t queued_bytes, uint64_t len, bool has, uint64_t now_ns);
uint64_t pace_patience_ns(const struct pace *p);
uint64_t pace_room_bytes(const struct pace *p);

/* Whether it likely has what is asked for next; whether it is known well enough not to be doubted. */
bool pace_is_likely(const struct pace *p);
bool pace_is_good(const struct pace *p);

#endif
