/* SPDX-License-Identifier: MIT */
/*
 * How likely blocks return, learned: for each class of blocks (heat_row.h: how hot they were at their last access) a curve over the time
 * since then, and from it what it is worth to keep such a block from now on.
 *
 *   age   0  1  2  3  4  5  6  7  8 10 12 14 16 20 …            accesses since the last one; four steps an octave
 *         |  |  |  |  |  |  |  |  |  |  |  |  |  |
 *         passed: intervals that grew past the step unused      returned: those that ended in it
 *
 * Both are counted over all blocks known, held or not, so that what the tier holds does not bend the curve; the part of an interval that is
 * open is counted when the history's hand comes by. A block's worth at an age is the best that holding it can yield from there on:
 *
 *         worth(age) = max over d of  P(it returns within d) / E(time it is held: until it returns, at most d)
 *
 * in returns per access: the Gittins index of a block seen as a job with that curve. Where returns grow rarer with age it ranks as LRU does;
 * in a loop, where they come all at one age, it keeps the old and bypasses the new. The hazard alone (returns at this very age) was
 * rejected: in a loop larger than the tier it drops everything before it returns.
 *
 * A class of which little is known borrows from the curve over all classes. Counts fade, so that the curves follow the load. Pure; one
 * thread.
 */
#ifndef HEARTH_STORAGE_HEAT_CURVE_H
#define HEARTH_STORAGE_HEAT_CURVE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

enum { HEAT_CLASSES = 50, HEAT_AGES = 120, HEAT_EXACT_AGES = 4 /* below it each age is a step */ };

struct heat_curve {
    float returned[HEAT_AGES]; /* intervals that ended in the step */
    float spent[HEAT_AGES];    /* accesses those spent in it */
    float passed[HEAT_AGES];   /* as differences: the sum up to a step is how many intervals passed it */
};

struct heat_curves {
    float worth[HEAT_CLASSES]
               [HEAT_AGES +
                1]; /* at the first age of each step; apart from the counts, to be small enough for near caches */
    struct heat_curve of[HEAT_CLASSES];
    bool counted[HEAT_CLASSES]; /* something is in the counts */
};

/* Knows nothing: all classes are worth what LRU would make of them. */
void heat_curves_init(struct heat_curves *curves);

/* The step in which an age lies; the last one holds all that is older. Inline, like the worth: rankings ask for them ten times in a row. */
static inline uint8_t heat_curve_step(uint32_t age)
{
    if (age < HEAT_EXACT_AGES)
        return (uint8_t)age;
    unsigned octave = 31U - (unsigned)__builtin_clz(age);
    return (uint8_t)MIN((octave << 2 | ((age >> (octave - 2)) & 3U)) - 4U, HEAT_AGES - 1U);
}

static inline uint32_t heat_curve_first_age(unsigned step)
{
    if (step < HEAT_EXACT_AGES)
        return step;
    return (4U | (step & 3U)) << ((step >> 2) - 1U);
}

/* How many ages a step has. */
static inline uint32_t heat_curve_width(unsigned step)
{
    return step < HEAT_EXACT_AGES ? 1 : UINT32_C(1) << ((step >> 2) - 1U);
}

/* An interval of this class, counted up to step `from`, is seen at step `to`, still open. Nothing when it is not later. */
void heat_curves_pass(struct heat_curves *curves, uint8_t class, uint8_t from, uint8_t to);

/* An interval, counted up to step `from`, ended at this age. */
void heat_curves_return(struct heat_curves *curves, uint8_t class, uint8_t from, uint32_t age);

/* Works out the worths anew, then fades the counts: keep is the share that stays, in (0, 1]. */
void heat_curves_learn(struct heat_curves *curves, float keep);

/*
 * Returns per access to expect from holding a block of this class, last used age accesses ago; over 0. The line between the step's worth and the
 * next one's. A float has the step of an age as its exponent and the first two digits behind the point, and how far into it as the others.
 */
static inline float heat_curves_worth(const struct heat_curves *curves, uint8_t class, uint32_t age)
{
    enum { DIGITS = 23 - 2, STEP_OF_1 = 127 << 2, STEPS_BEFORE = 4 };
    float as_float = (float)age;
    uint32_t bits;
    memcpy(&bits, &as_float, sizeof(bits));
    uint32_t step = (bits >> DIGITS) - STEP_OF_1 - STEPS_BEFORE;
    float into = (float)(int32_t)(bits & ((UINT32_C(1) << DIGITS) - 1)) * (1.0F / (UINT32_C(1) << DIGITS));
    step = age < HEAT_EXACT_AGES ? age : MIN(step, HEAT_AGES - 1U);
    into = age < HEAT_EXACT_AGES ? 0 : into;
    const float *worth = &curves->worth[class][step];
    return worth[0] + (worth[1] - worth[0]) * into;
}

/* What was counted, for a later life: HEAT_CURVES_BYTES appended. ERR_NOMEM. */
enum { HEAT_CURVES_BYTES = HEAT_CLASSES * HEAT_AGES * 3 * 4 };
enum err heat_curves_save(const struct heat_curves *curves, struct buf *to) MUST_CHECK;

/* ERR_CORRUPT: not what was saved; nothing is changed. */
enum err heat_curves_load(struct heat_curves *curves, struct span saved) MUST_CHECK;

#endif
