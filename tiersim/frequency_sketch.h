/* SPDX-License-Identifier: MIT */
/*
 * How often something was asked for lately, by estimate: a count-min sketch of counters up to 15, all halved once per sample of ten
 * requests for each object that it is made for. The estimate is never too low but for the halving; where objects share all their counters it is
 * too high. Einziger, Friedman, Manes, "TinyLFU: a highly efficient cache admission policy", ACM ToS 2017, section 3.
 *
 *   row 0   ░░░█░░░░   each of four hashes of an id chooses a counter of its row;
 *   row 1   █░░░░░░░   the estimate is the smallest of the four
 *   ...
 */
#ifndef HEARTH_TIERSIM_FREQUENCY_SKETCH_H
#define HEARTH_TIERSIM_FREQUENCY_SKETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct frequency_sketch {
    uint8_t *counters; /* rows one after the other */
    size_t width;      /* of a row, a power of two */
    uint64_t sample;
    uint64_t seen; /* of the sample */
};

/* For so many objects. False without memory. */
bool frequency_sketch_init(struct frequency_sketch *sketch, uint64_t objects) MUST_CHECK;
void frequency_sketch_release(struct frequency_sketch *sketch);

void frequency_sketch_count(struct frequency_sketch *sketch, uint64_t id);
unsigned frequency_sketch_estimate(const struct frequency_sketch *sketch, uint64_t id);

#endif
