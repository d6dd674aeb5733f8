/* SPDX-License-Identifier: MIT */
/*
 * When to collect by itself: as soon as what is stored passes the watermark, and again once it has grown by a hundredth of the limit since,
 * or after a while. So a store that is full of pinned blocks is not gone through all the time, and one that fills up is seen to in time.
 *
 * Pure; one thread.
 */
#ifndef HEARTH_STORAGE_COLLECTOR_H
#define HEARTH_STORAGE_COLLECTOR_H

#include <stdbool.h>
#include <stdint.h>

struct collector {
    uint64_t watermark_bytes; /* 0: never */
    uint64_t step_bytes;
    uint64_t period_ns;
    bool running;
    bool ran;
    uint64_t ended_ns;
    uint64_t left_bytes; /* by the last one */
};

/* percent of storage_max; 0 = never. */
void collector_init(struct collector *collector, uint64_t storage_max, uint64_t percent, uint64_t period_ns);

/* live_bytes: of the records that are stored and not removed. */
bool collector_due(const struct collector *collector, uint64_t live_bytes, uint64_t now_ns);
void collector_started(struct collector *collector);
void collector_ended(struct collector *collector, uint64_t live_bytes, uint64_t now_ns);

#endif
