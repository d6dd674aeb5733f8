/* SPDX-License-Identifier: MIT */
/* What came of a crowd, for people and as JSON. */
#ifndef HEARTH_SIM_CROWD_REPORT_H
#define HEARTH_SIM_CROWD_REPORT_H

#include <stdio.h>

#include "sim/crowd.h"

/* What the run took of this machine. */
struct crowd_cost {
    double cpu_s;
    uint64_t memory_bytes; /* resident, at most */
};

void crowd_report_text(FILE *to, const struct crowd_options *options, const struct crowd_result *r,
                       const struct crowd_cost *cost);

/* One object on one line. */
void crowd_report_json(FILE *to, const struct crowd_options *options, const struct crowd_result *r,
                       const struct crowd_cost *cost);

/* The success of the kind of task that did worst, in percent of those that count. */
double crowd_report_worst(const struct crowd_result *r);

/* What the sweep saved of the lookups, round trips and bytes received that one by one took, in percent: the least of the three. */
double crowd_report_saved(const struct crowd_result *r);

/* CIDs provided by sweep, or one by one, whichever are fewer, in percent; 100 when none were to be. */
double crowd_report_provided(const struct crowd_options *options, const struct crowd_result *r);

#endif
