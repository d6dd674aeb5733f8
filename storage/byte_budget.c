/* SPDX-License-Identifier: MIT */
#include "storage/byte_budget.h"

#include "storage/block_key.h"

/* Rounded up, so that rounding never lets more go. bytes are of a few blocks at most. */
static uint64_t cost_ns(const struct byte_budget *b, uint64_t bytes)
{
    return (bytes * SECOND_NS + b->rate - 1) / b->rate;
}

void byte_budget_init(struct byte_budget *b, uint64_t rate)
{
    *b = (struct byte_budget){.rate = rate};
    if (rate > 0)
        b->burst_ns = MAX(SECOND_NS, cost_ns(b, BLOCK_BYTES_MAX));
}

uint64_t byte_budget_wait(const struct byte_budget *b, uint64_t bytes, uint64_t now_ns)
{
    if (b->rate == 0)
        return UINT64_MAX;
    uint64_t then = MAX(b->paid_ns, now_ns) + cost_ns(b, bytes);
    return then > now_ns + b->burst_ns ? then - now_ns - b->burst_ns : 0;
}

void byte_budget_take(struct byte_budget *b, uint64_t bytes, uint64_t now_ns)
{
    if (b->rate > 0)
        b->paid_ns = MIN(MAX(b->paid_ns, now_ns) + cost_ns(b, bytes), now_ns + b->burst_ns);
}
