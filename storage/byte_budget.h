/* SPDX-License-Identifier: MIT */
/*
 * Bytes a second that may be spent: what is taken now is paid off by time, and a rest lets a second's worth (a largest block's, if that is
 * more) go at once.
 *
 *      paid_ns   up to here all that was taken is paid; taking is allowed while it stays within burst_ns from now
 *
 * So between any two moments no more goes than rate * time + burst. Pure; one thread.
 */
#ifndef HEARTH_STORAGE_BYTE_BUDGET_H
#define HEARTH_STORAGE_BYTE_BUDGET_H

#include <stdint.h>

#include "base/attr.h"

struct byte_budget {
    uint64_t rate; /* bytes a second; 0: nothing may go */
    uint64_t burst_ns;
    uint64_t paid_ns;
};

void byte_budget_init(struct byte_budget *budget, uint64_t rate);

/* How long to wait before bytes, at most BLOCK_BYTES_MAX, may be taken: 0 = now, UINT64_MAX = never. */
uint64_t byte_budget_wait(const struct byte_budget *budget, uint64_t bytes, uint64_t now_ns) MUST_CHECK;

/* Takes them, also when that was not allowed yet: the budget is empty then, but never owes more than that. */
void byte_budget_take(struct byte_budget *budget, uint64_t bytes, uint64_t now_ns);

#endif
