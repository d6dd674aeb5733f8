/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/dial_pace.h"

#include <assert.h>

#include "base/attr.h"
#include "base/limits.h"

void dial_pace_set(struct dial_pace *pace, unsigned rate, unsigned burst, uint64_t now_ns)
{
    pace->period_ns = rate == 0 ? 0 : SECOND_NS / rate;
    pace->credit_max_ns = pace->period_ns * MAX(burst, 1u);
    pace->credit_ns = pace->credit_max_ns;
    pace->refilled_ns = now_ns;
}

uint64_t dial_pace_at(struct dial_pace *pace, uint64_t now_ns)
{
    uint64_t gained = now_ns > pace->refilled_ns ? now_ns - pace->refilled_ns : 0;
    uint64_t missing = pace->credit_max_ns - pace->credit_ns;
    pace->credit_ns += MIN(gained, missing);
    pace->refilled_ns = MAX(now_ns, pace->refilled_ns);
    return pace->credit_ns >= pace->period_ns ? now_ns : now_ns + (pace->period_ns - pace->credit_ns);
}

void dial_pace_take(struct dial_pace *pace)
{
    assert(pace->credit_ns >= pace->period_ns);
    pace->credit_ns -= pace->period_ns;
}
