/* SPDX-License-Identifier: MIT */
#include "storage/heat_curve.h"

#include <math.h>
#include <string.h>

#include "base/le.h"

/* With nothing known a twentieth of what reaches a step returns in it, whatever the age. */
#define RETURN_UNKNOWN 0.05

/* Intervals' weight of what is taken for granted: of that in the curve over all, and of the curve over all in a class. */
#define WEIGHT_UNKNOWN 4.0
#define WEIGHT_ALL     2.0

#define RETURN_MAX 0.999 /* nothing is certain, and the rest of the curve must not be cut off */

/* What happens in a step to intervals that reach it. */
struct step {
    double returns; /* probability */
    double time;    /* mean accesses spent in it */
};

struct counts {
    double reached;
    double returned;
    double time;
};

void heat_curves_pass(struct heat_curves *curves, uint8_t class, uint8_t from, uint8_t to)
{
    if (from >= to)
        return;
    curves->counted[class] = true;
    curves->of[class].passed[from] += 1;
    curves->of[class].passed[to] -= 1;
}

void heat_curves_return(struct heat_curves *curves, uint8_t class, uint8_t from, uint32_t age)
{
    uint8_t step = heat_curve_step(age);
    heat_curves_pass(curves, class, from, step);
    curves->counted[class] = true;
    curves->of[class].returned[step] += 1;
    curves->of[class].spent[step] += (float)(age - heat_curve_first_age(step)) + 0.5F;
}

/* Adds a class's counts to those of all. */
static void add_counts(const struct heat_curve *curve, struct counts *counts)
{
    double passed = 0;
    for (unsigned i = 0; i < HEAT_AGES; i++) {
        passed += (double)curve->passed[i];
        double here = MAX(passed, 0); /* rounding may leave it a little below */
        counts[i].reached += here + (double)curve->returned[i];
        counts[i].returned += (double)curve->returned[i];
        counts[i].time += here * heat_curve_width(i) + (double)curve->spent[i];
    }
}

/* counts are mixed with weight intervals of which nothing but `known` is known. */
static void mix(const struct counts *counts, const struct step *known, double weight, struct step *ret_steps)
{
    for (unsigned i = 0; i < HEAT_AGES; i++) {
        double reached = counts[i].reached + weight;
        double returns = (counts[i].returned + weight * known[i].returns) / reached;
        ret_steps[i].returns = MIN(returns, RETURN_MAX);
        ret_steps[i].time = (counts[i].time + weight * known[i].time) / reached;
    }
}

/*
 * From the last step to the first: what follows a step is joined to it while that raises the ratio of returns to time. Each run of steps
 * on the stack is one that no block leaves once it has entered it.
 */
static void work_out_worth(const struct step *steps, float *ret_worth)
{
    struct step runs[HEAT_AGES];
    unsigned count = 0;
    for (unsigned i = HEAT_AGES; i-- > 0;) {
        struct step run = steps[i];
        while (count > 0 && runs[count - 1].returns * run.time > run.returns * runs[count - 1].time) {
            double survive = 1 - run.returns;
            run.returns += survive * runs[count - 1].returns;
            run.time += survive * runs[count - 1].time;
            count--;
        }
        runs[count++] = run;
        ret_worth[i] = (float)(run.returns / run.time);
    }
    ret_worth[HEAT_AGES] = ret_worth[HEAT_AGES - 1];
}

static void fade(struct heat_curve *curve, float keep)
{
    for (unsigned i = 0; i < HEAT_AGES; i++) {
        curve->returned[i] *= keep;
        curve->spent[i] *= keep;
        curve->passed[i] *= keep;
    }
}

void heat_curves_learn(struct heat_curves *curves, float keep)
{
    struct counts counts[HEAT_AGES] = {0};
    struct step unknown[HEAT_AGES];
    struct step all[HEAT_AGES];
    for (unsigned i = 0; i < HEAT_AGES; i++)
        unknown[i] = (struct step){.returns = RETURN_UNKNOWN, .time = heat_curve_width(i)};
    for (unsigned c = 0; c < HEAT_CLASSES; c++) {
        if (curves->counted[c])
            add_counts(&curves->of[c], counts);
    }
    mix(counts, unknown, WEIGHT_UNKNOWN, all);
    work_out_worth(all, curves->worth[0]);
    for (unsigned c = HEAT_CLASSES; c-- > 0;) {
        struct step steps[HEAT_AGES];
        if (!curves->counted[c]) {
            memcpy(curves->worth[c], curves->worth[0], sizeof(curves->worth[0]));
            continue;
        }
        memset(counts, 0, sizeof(counts));
        add_counts(&curves->of[c], counts);
        mix(counts, all, WEIGHT_ALL, steps);
        work_out_worth(steps, curves->worth[c]);
        fade(&curves->of[c], keep);
    }
}

void heat_curves_init(struct heat_curves *curves)
{
    memset(curves, 0, sizeof(*curves));
    heat_curves_learn(curves, 1);
}

static float *counts_of(struct heat_curve *curve, unsigned which)
{
    float *const all[] = {curve->returned, curve->spent, curve->passed};
    return all[which];
}

enum err heat_curves_save(const struct heat_curves *curves, struct buf *to)
{
    uint8_t *at = buf_reserve(to, HEAT_CURVES_BYTES);
    if (at == NULL)
        return ERR_NOMEM;
    for (unsigned c = 0; c < HEAT_CLASSES; c++) {
        struct heat_curve curve = curves->of[c];
        for (unsigned which = 0; which < 3; which++) {
            for (unsigned i = 0; i < HEAT_AGES; i++, at += 4) {
                uint32_t bits;
                memcpy(&bits, &counts_of(&curve, which)[i], sizeof(bits));
                le_put(at, bits, 4);
            }
        }
    }
    buf_commit(to, HEAT_CURVES_BYTES);
    return ERR_OK;
}

enum err heat_curves_load(struct heat_curves *curves, struct span saved)
{
    if (saved.len != HEAT_CURVES_BYTES)
        return ERR_CORRUPT;
    for (size_t i = 0; i < saved.len; i += 4) {
        uint32_t bits = (uint32_t)le_get(saved.data + i, 4);
        float count;
        memcpy(&count, &bits, sizeof(count));
        if (!isfinite(count))
            return ERR_CORRUPT;
    }
    for (size_t i = 0; i < HEAT_CURVES_BYTES / 4; i++) {
        uint32_t bits = (uint32_t)le_get(saved.data + i * 4, 4);
        struct heat_curve *curve = &curves->of[i / (3 * HEAT_AGES)];
        memcpy(&counts_of(curve, (unsigned)(i / HEAT_AGES % 3))[i % HEAT_AGES], &bits, sizeof(bits));
    }
    memset(curves->counted, true, sizeof(curves->counted));
    heat_curves_learn(curves, 1);
    return ERR_OK;
}
