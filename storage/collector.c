/* SPDX-License-Identifier: MIT */
#include "storage/collector.h"

#include "base/attr.h"

void collector_init(struct collector *c, uint64_t storage_max, uint64_t percent, uint64_t period_ns, bool demotes)
{
    *c = (struct collector){.watermark_bytes = storage_max / 100 * percent,
                            .step_bytes = storage_max / 100,
                            .period_ns = period_ns,
                            .demotes = demotes};
}

void collector_demotes(struct collector *c, bool possible, uint64_t now_ns)
{
    if (c->demotes && !possible)
        c->patient_till = now_ns + COLLECTOR_PATIENCE_NS;
    c->demotes = possible;
}

static uint64_t wanted_at(const struct collector *c, uint64_t live_bytes)
{
    if (c->running || c->watermark_bytes == 0 || live_bytes < c->watermark_bytes)
        return UINT64_MAX;
    return c->ran && live_bytes < c->left_bytes + c->step_bytes ? c->ended_ns + c->period_ns : 0;
}

bool collector_wants(const struct collector *c, uint64_t live_bytes, uint64_t now_ns)
{
    return now_ns >= wanted_at(c, live_bytes);
}

uint64_t collector_due(const struct collector *c, uint64_t live_bytes)
{
    return c->demotes ? UINT64_MAX : MAX(wanted_at(c, live_bytes), c->patient_till);
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
