/* SPDX-License-Identifier: MIT */
/*
 * What is remembered of a block, whether a tier holds it or not: 24 bytes, as a row of a row_table.
 *
 *   row   key 8 | used_at 4 | place 4 | heat 2 x 2 | class 1 | counted 1 | trials 1 | kept 1
 *
 * Heat is a decayed count of accesses, once with a short and once with a long half-life. It is stored as its logarithm at the time of the
 * last access, so that it cools by itself:  log2 heat(now) = stored - (now - used_at) / half-life.  Nothing is written until the next
 * access, and blocks are compared without raising a power.
 *
 * Time is counted in accesses, not in seconds: that is how traces without clocks and a node that idles at night are one case, and the order
 * of blocks is the same while nothing happens. used_at wraps around; a block not used for 2^31 accesses is taken for one of that age.
 */
#ifndef HEARTH_STORAGE_HEAT_ROW_H
#define HEARTH_STORAGE_HEAT_ROW_H

#include "storage/row_table.h"

#define HEAT_AGE_MAX (UINT32_C(1) << 31)

enum heat_span { HEAT_SHORT, HEAT_LONG, HEAT_SPANS };

enum { HEAT_FRACTION = 256 }; /* steps of a stored logarithm to a doubling */

struct heat_row {
    uint64_t key;
    uint32_t used_at; /* the access, by number */
    union {
        uint32_t place;      /* among the held ones, or ROW_NONE */
        uint32_t held_bytes; /* of a row outside the policy: what the tier holds of it, or ROW_NONE */
    };
    uint16_t heat[HEAT_SPANS]; /* log2 at used_at, in HEAT_FRACTION; an access alone is 0 */
    uint8_t class;             /* for heat_curve.h */
    uint8_t counted;           /* the step of the curve up to which its present interval was counted */
    uint8_t trials;            /* a bit for each trial tier that holds it */
    uint8_t kept;              /* the owner has it elsewhere as it is here */
};
_Static_assert(sizeof(struct heat_row) == 24, "the price of a tracked block");

/* Of a table of heat_rows. */
static inline struct heat_row *heat_row_at(const struct row_table *history, uint32_t number)
{
    return (struct heat_row *)(void *)history->rows + number;
}

/* The logarithm of a heat, age accesses after the last one: how hot the block is. cooling: half-lives an access, over 0. */
static inline float heat_cooled(const struct heat_row *row, enum heat_span span, uint32_t age, float cooling)
{
    return (float)row->heat[span] * (1.0F / HEAT_FRACTION) - (float)age * cooling;
}

/* What is stored of a heat of this logarithm after one more access: log2(1 + 2^cooled). */
uint16_t heat_warmed(float cooled);

/* Accesses since the last one. */
static inline uint32_t heat_age(const struct heat_row *row, uint32_t now)
{
    return now - row->used_at;
}

#endif
