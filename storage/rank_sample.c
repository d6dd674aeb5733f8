/* SPDX-License-Identifier: MIT */
#include "storage/rank_sample.h"

#include <stdlib.h>

void rank_sample_clear(struct rank_sample *s)
{
    s->stride = 1;
    s->seen = 0;
    s->count = 0;
}

static void thin(struct rank_sample *s)
{
    for (size_t i = 0; i < RANK_SAMPLES / 2; i++) {
        s->rows[i] = s->rows[2 * i];
        s->rows[i].bytes += s->rows[2 * i + 1].bytes;
    }
    s->count = RANK_SAMPLES / 2;
    s->stride *= 2;
}

void rank_sample_add(struct rank_sample *s, float rank, uint64_t bytes)
{
    if (s->count > 0 && s->seen < s->stride) {
        s->rows[s->count - 1].bytes += bytes;
        s->seen++;
        return;
    }
    if (s->count == RANK_SAMPLES)
        thin(s);
    s->rows[s->count].rank = rank;
    s->rows[s->count++].bytes = bytes;
    s->seen = 1;
}

static int compare(const void *a, const void *b)
{
    const float *x = a; /* a row begins with its rank */
    const float *y = b;
    return (*x > *y) - (*x < *y);
}

bool rank_sample_cut(struct rank_sample *s, uint64_t bytes, float *ret_rank)
{
    uint64_t below = 0;
    if (s->count == 0)
        return false;
    qsort(s->rows, s->count, sizeof(s->rows[0]), compare);
    for (size_t i = 0; i < s->count; i++) {
        *ret_rank = s->rows[i].rank;
        below += s->rows[i].bytes;
        if (below >= bytes)
            break;
    }
    return true;
}
