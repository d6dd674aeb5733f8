/* SPDX-License-Identifier: MIT */
/* All policies over one trace at several sizes of the tier: as a table, as bars of plain characters, and as an SVG drawing. */
#ifndef HEARTH_TIERSIM_REPORT_H
#define HEARTH_TIERSIM_REPORT_H

#include <stdio.h>

#include "tiersim/replay.h"

enum { REPORT_SIZES = 4 };

struct report_row {
    const char *policy;
    struct replay_result results[REPORT_SIZES];
};

struct report {
    const char *trace; /* its name, any bytes */
    bool sized;        /* objects have sizes, so that bytes are not the same as objects */
    uint64_t requests;
    uint32_t objects;
    uint64_t footprint_bytes;
    unsigned percent[REPORT_SIZES];
    uint64_t capacity_bytes[REPORT_SIZES];
    const struct report_row *rows;
    size_t row_count;
};

/* What a row shows at a size; for plots. */
typedef double report_figure(const struct replay_result *result);

void report_table(const struct report *report, FILE *to);

/* A bar for each policy at each size: hits of objects, and of bytes if objects have sizes. */
void report_bars(const struct report *report, FILE *to);

/* A curve for each policy, hits over sizes. What goes wrong in writing is to be seen by ferror. */
void report_svg(const struct report *report, FILE *to);

#endif
