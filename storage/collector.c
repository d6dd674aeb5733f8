/* SPDX-License-Identifier: MIT */
#include "storage/collector.h"

void collector_init(struct collector *c, uint64_t storage_max, uint64_t percent, uint64_t period_ns)
{
    *c = (struct collector){
        .watermark_bytes = storage_max / 100 * percent, .step_bytes = storage_max / 100, .period_ns = period_ns};
}

bool collector_due(const struct collector *c, uint64_t live_bytes, uint64_t now_ns)
{
    if (c->running || c->watermark_bytes == 0 || live_bytes < c->watermark_bytes)
        return false;
    return !c->ran || live_bytes >= c->left_bytes + c->step_bytes || now_ns >= c->ended_ns + c->period_ns;
}

void collector_started(struct collector *c)
{
    c->running = true;
}

void collector_ended(struct collector *c, uint64_t live_bytes, uint64_t now_ns)
{
    c->running = false;
    c->ran = true;
    c->left_bytes = live_bytes;
    c->ended_ns = now_ns;
}
