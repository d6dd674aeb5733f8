/* SPDX-License-Identifier: MIT */
/*
 * Which rank parts the lowest of many blocks, so many bytes of them, from the rest: without sorting all, nor remembering them.
 *
 *      rows[]   each stands for `stride` blocks in a row: the rank of the first, the bytes of all; when they are full, every second goes
 *
 * Exact up to RANK_SAMPLES blocks. Rejected: a histogram, since a policy's ranks may be of any scale. Pure; one thread.
 */
#ifndef HEARTH_STORAGE_RANK_SAMPLE_H
#define HEARTH_STORAGE_RANK_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RANK_SAMPLES = 512 };

struct rank_sample {
    size_t stride;
    size_t seen; /* of the last row's */
    size_t count;
    struct {
        float rank;
        uint64_t bytes;
    } rows[RANK_SAMPLES];
};

void rank_sample_clear(struct rank_sample *sample);
void rank_sample_add(struct rank_sample *sample, float rank, uint64_t bytes);

/* The rank up to which there are so many bytes, or the highest; false: nothing was added. The order of rows is lost: clear it next. */
bool rank_sample_cut(struct rank_sample *sample, uint64_t bytes, float *ret_rank);

#endif
