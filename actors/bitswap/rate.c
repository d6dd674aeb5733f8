/* SPDX-License-Identifier: MIT */
#include "actors/bitswap/rate.h"

#include "base/attr.h"

uint64_t rate_average(uint64_t old, uint64_t sample)
{
    return old - old / RATE_WEIGHT + sample / RATE_WEIGHT;
}

void rate_take(struct rate *r, size_t bytes, uint64_t began_ns, uint64_t now_ns)
{
    uint64_t took_ns = now_ns - MIN(MAX(began_ns, r->last_ns), now_ns);
    r->bytes = r->samples == 0 ? bytes : rate_average(r->bytes, bytes);
    r->busy_ns = r->samples == 0 ? took_ns : rate_average(r->busy_ns, took_ns);
    r->last_ns = now_ns;
    r->samples++;
}

uint64_t rate_per_second(const struct rate *r, uint64_t unknown)
{
    if (r->samples == 0)
        return unknown;
    return MAX(r->bytes * 1000000 / (r->busy_ns / 1000 + 1), 1);
}
