/* SPDX-License-Identifier: MIT */
/*
 * What is remembered of blocks, held or not: 24 bytes each, found by key through an index of 4-byte row numbers, at most half full.
 *
 *   row   key 8 | used_at 4 | place 4 | heat 2 x 2 | class 1 | counted 1 | trials 1 | 1 spare
 *
 * Heat is a decayed count of accesses, once with a short and once with a long half-life. It is stored as its logarithm at the time of the
 * last access, so that it cools by itself:  log2 heat(now) = stored - (now - used_at) / half-life.  Nothing is written until the next
 * access, and blocks are compared without raising a power.
 *
 * Time is counted in accesses, not in seconds: that is how traces without clocks and a node that idles at night are one case, and the order
 * of blocks is the same while nothing happens. used_at wraps around; a block not used for 2^31 accesses is taken for one of that age.
 *
 * Bounded by rows_max: then the least worth keeping of a few rows at the hand gives way and is handed to its owner, who may keep it as a
 * row of a database and give it back. Pure; one thread.
 */
#ifndef HEARTH_STORAGE_HEAT_HISTORY_H
#define HEARTH_STORAGE_HEAT_HISTORY_H

#include "base/err.h"
#include "base/limits.h"

#define HEAT_NOWHERE UINT32_MAX
#define HEAT_AGE_MAX (UINT32_C(1) << 31)

enum heat_span { HEAT_SHORT, HEAT_LONG, HEAT_SPANS };

enum { HEAT_FRACTION = 256 }; /* steps of a stored logarithm to a doubling */

struct heat_row {
    uint64_t key;
    uint32_t used_at;          /* the access, by number */
    uint32_t place;            /* among the held ones, or HEAT_NOWHERE */
    uint16_t heat[HEAT_SPANS]; /* log2 at used_at, in HEAT_FRACTION; an access alone is 0 */
    uint8_t class;             /* for heat_curve.h */
    uint8_t counted;           /* the step of the curve up to which its present interval was counted */
    uint8_t trials;            /* a bit for each trial tier that holds it */
    uint8_t spare;
};
_Static_assert(sizeof(struct heat_row) == 24, "the price of a tracked block");

struct heat_history {
    struct account *account; /* may be NULL */
    struct heat_row *rows;   /* key 0: a hole; those are chained by place */
    uint32_t *index;         /* row number + 1, 0 empty; linear probing */
    uint32_t rows_max;
    uint32_t cap;   /* rows there is memory for; a power of two or rows_max */
    uint32_t used;  /* rows ever taken, holes included */
    uint32_t live;  /* rows in use */
    uint32_t holes; /* the first hole, or HEAT_NOWHERE */
    uint32_t index_mask;
    uint32_t hand; /* the row to be looked at next */
};

/* Allocates nothing yet. Memory is charged to account (may be NULL). rows_max is not 0. */
void heat_history_init(struct heat_history *history, uint32_t rows_max, struct account *account);
void heat_history_release(struct heat_history *history);

/* The row's number, or HEAT_NOWHERE. */
uint32_t heat_history_find(const struct heat_history *history, uint64_t key);

/* A new row, zero but for its key, which is not 0 and has none yet. ERR_BUSY: full, or no memory is granted: remove one first. */
enum err heat_history_add(struct heat_history *history, uint64_t key, uint32_t *ret_number) MUST_CHECK;

void heat_history_remove(struct heat_history *history, uint32_t number);

/* The hand's row, and the hand moves on; HEAT_NOWHERE on a hole or when there is none. */
uint32_t heat_history_turn(struct heat_history *history);

static inline struct heat_row *heat_history_row(const struct heat_history *history, uint32_t number)
{
    return &history->rows[number];
}

/* The logarithm of a heat now, over HEAT_FRACTION: how hot the block is. half_life in accesses, not 0. */
static inline float heat_cooled(const struct heat_row *row, enum heat_span span, uint32_t now, float half_life)
{
    return (float)row->heat[span] / HEAT_FRACTION - (float)(now - row->used_at) / half_life;
}

/* The heat after one more access, age accesses after the last. */
uint16_t heat_warmed(uint16_t heat, uint32_t age, float half_life);

/* Accesses since the last one. */
static inline uint32_t heat_age(const struct heat_row *row, uint32_t now)
{
    return now - row->used_at;
}

#endif
