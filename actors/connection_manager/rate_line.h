/* SPDX-License-Identifier: MIT */
/*
 * A rate and the line of those who wait for it. No clock, no allocation.
 *
 *      bucket   fills with rate bytes a second up to half a second's worth; may be overdrawn by what could not be held back
 *      line     turn - turn - turn      first come, first served, each a fair share of what there is
 *
 * Whoever wants to move bytes asks; told 0, its turn stands in the line until rate_line_next hands it out again with a grant that
 * nobody else can take. Who asks while others wait goes to the end, so that one who asks often gets no more than one who asks
 * seldom. A turn may have a bucket of its own beside the line's (its peer's): while that one is empty others pass it.
 *
 * The owner wakes at rate_line_deadline and calls rate_line_next until it gives NULL. One thread; times are nanoseconds of any
 * monotonic clock.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_RATE_LINE_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_RATE_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum {
    RATE_QUANTUM_BYTES = 1500,   /* the smallest share: a packet */
    RATE_BURST_MIN_BYTES = 16384 /* of a slow rate */
};

struct rate_bucket {
    uint64_t rate; /* bytes a second; 0: no limit */
    int64_t level; /* bytes; below 0: overdrawn */
    uint64_t updated_ns;
};

struct rate_turn {
    TAILQ_ENTRY(rate_turn) link;
    struct rate_line *in;    /* the line it stands in, or NULL */
    struct rate_bucket *own; /* may be NULL */
    uint64_t grant;          /* paid for, not used yet */
    void *owner;
};

TAILQ_HEAD(rate_turns, rate_turn);

struct rate_line {
    struct rate_bucket bucket;
    struct rate_turns turns;
    size_t waiting;
};

/* Sets the rate; a bucket that had none begins full. */
void rate_bucket_set(struct rate_bucket *bucket, uint64_t rate, uint64_t now_ns);
/* Bytes in it; INT64_MAX without a limit. */
int64_t rate_bucket_level(struct rate_bucket *bucket, uint64_t now_ns);
/* Overdraws if need be. */
void rate_bucket_take(struct rate_bucket *bucket, uint64_t bytes, uint64_t now_ns);
/* When it holds so many bytes (at most its burst). */
uint64_t rate_bucket_ready(struct rate_bucket *bucket, uint64_t bytes, uint64_t now_ns);

void rate_line_init(struct rate_line *line);

/* How many of want bytes may move now; 0: the turn stands in the line. rate_line_spend must follow any other answer. */
size_t rate_line_ask(struct rate_line *line, struct rate_turn *turn, size_t want, uint64_t now_ns);

/* So many moved after the last answer; the rest of a grant goes back. */
void rate_line_spend(struct rate_line *line, struct rate_turn *turn, size_t bytes, uint64_t now_ns);

/* The next whose time has come, taken out of the line with its grant; NULL: nobody. */
struct rate_turn *rate_line_next(struct rate_line *line, uint64_t now_ns);

/* When rate_line_next has somebody; UINT64_MAX: nobody waits. */
uint64_t rate_line_deadline(struct rate_line *line, uint64_t now_ns);

/* Leaves the line, if it stands in one; its grant is void. */
void rate_turn_leave(struct rate_turn *turn);

#endif
