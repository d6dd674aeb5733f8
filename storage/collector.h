/* SPDX-License-Identifier: MIT */
/*
 * When to collect by itself: as soon as what is stored passes the watermark, and again once it has grown by a hundredth of the limit since,
 * or after a while. So a store that is full of pinned blocks is not gone through all the time, and one that fills up is seen to in time.
 *
 * Demotion comes before removal: as long as blocks can leave for a cold tier nothing is collected, nor for COLLECTOR_PATIENCE_NS after, so
 * that a medium that is away for a moment, or not found yet after a start, costs no block.
 *
 * Pure; one thread.
 */
#ifndef HEARTH_STORAGE_COLLECTOR_H
#define HEARTH_STORAGE_COLLECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

#define COLLECTOR_PATIENCE_NS (60 * SECOND_NS)

struct collector {
    uint64_t watermark_bytes; /* 0: never */
    uint64_t step_bytes;
    uint64_t period_ns;
    bool running;
    bool ran;
    uint64_t ended_ns;
    uint64_t left_bytes;   /* by the last one */
    bool demotes;          /* demotion can make room */
    uint64_t patient_till; /* it could until lately */
};

/* percent of storage_max; 0 = never. demotes: there is a cold tier. */
void collector_init(struct collector *collector, uint64_t storage_max, uint64_t percent, uint64_t period_ns,
                    bool demotes);

/* Whether demotion can make room now. A collection that runs goes on. */
void collector_demotes(struct collector *collector, bool possible, uint64_t now_ns);

/* Whether there is cause to collect, if demotion could not help. live_bytes: of the records that are stored and not removed. */
bool collector_wants(const struct collector *collector, uint64_t live_bytes, uint64_t now_ns);
/* From when on one is to be started; UINT64_MAX: not until something changes. */
uint64_t collector_due(const struct collector *collector, uint64_t live_bytes);

void collector_started(struct collector *collector);
void collector_ended(struct collector *collector, uint64_t live_bytes, uint64_t now_ns);

#endif
