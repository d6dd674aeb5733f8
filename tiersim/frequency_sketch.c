/* SPDX-License-Identifier: MIT */
#include "tiersim/frequency_sketch.h"

#include <stdlib.h>

#include "tiersim/mix.h"

enum { ROWS = 4, COUNTER_MAX = 15, SAMPLE_FACTOR = 10, OBJECTS_MIN = 64 };

bool frequency_sketch_init(struct frequency_sketch *sketch, uint64_t objects)
{
    objects = MAX(objects, (uint64_t)OBJECTS_MIN);
    size_t width = OBJECTS_MIN;
    while (width < objects && width <= SIZE_MAX / 2 / ROWS)
        width *= 2;
    *sketch =
        (struct frequency_sketch){.counters = calloc(ROWS, width), .width = width, .sample = SAMPLE_FACTOR * objects};
    return sketch->counters != NULL;
}

void frequency_sketch_release(struct frequency_sketch *sketch)
{
    free(sketch->counters);
}

static size_t place(const struct frequency_sketch *sketch, uint64_t id, size_t row)
{
    return row * sketch->width + (size_t)(mix_u64(id * ROWS + row) & (sketch->width - 1));
}

static void halve(struct frequency_sketch *sketch)
{
    for (size_t i = 0; i < ROWS * sketch->width; i++)
        sketch->counters[i] >>= 1;
    sketch->seen /= 2;
}

void frequency_sketch_count(struct frequency_sketch *sketch, uint64_t id)
{
    for (size_t row = 0; row < ROWS; row++) {
        uint8_t *counter = &sketch->counters[place(sketch, id, row)];
        *counter = (uint8_t)MIN(*counter + 1, COUNTER_MAX);
    }
    if (++sketch->seen >= sketch->sample)
        halve(sketch);
}

unsigned frequency_sketch_estimate(const struct frequency_sketch *sketch, uint64_t id)
{
    unsigned least = COUNTER_MAX;
    for (size_t row = 0; row < ROWS; row++)
        least = MIN(least, (unsigned)sketch->counters[place(sketch, id, row)]);
    return least;
}
