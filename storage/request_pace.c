/* SPDX-License-Identifier: MIT */
#include "storage/request_pace.h"

#include <assert.h>

void request_pace_init(struct request_pace *pace, uint64_t per_second, uint64_t burst)
{
    assert(per_second > 0 && burst > 0);
    *pace = (struct request_pace){.interval_ns = SECOND_NS / MIN(per_second, SECOND_NS), .burst = burst};
}

uint64_t request_pace_take(struct request_pace *pace, uint64_t now_ns)
{
    uint64_t full_ns = MAX(pace->full_ns, now_ns);
    uint64_t room_ns = (pace->burst - 1) * pace->interval_ns; /* so far ahead of now a burst may run */
    if (full_ns - now_ns > room_ns)
        return full_ns - now_ns - room_ns;
    pace->full_ns = full_ns + pace->interval_ns;
    return 0;
}

/* min doubled n times, at most max. */
static uint64_t doubled(uint64_t min, uint64_t max, unsigned n)
{
    while (n > 0 && min < max) {
        min *= 2;
        n--;
    }
    return MIN(min, max);
}

uint64_t request_pace_delay(unsigned tries, uint64_t asked_ns, uint64_t random)
{
    uint64_t own = random % (doubled(PACE_DELAY_MIN_NS, PACE_DELAY_MAX_NS, tries) + 1);
    return MAX(own, asked_ns);
}

void request_pace_failed(struct request_pace *pace, uint64_t now_ns, uint64_t random)
{
    uint64_t rest = doubled(PACE_OUTAGE_MIN_NS, PACE_OUTAGE_MAX_NS, pace->failures);
    pace->failures += pace->failures < 32;
    pace->down_until_ns = now_ns + rest / 2 + random % (rest / 2 + 1);
}

void request_pace_answered(struct request_pace *pace)
{
    pace->failures = 0;
    pace->down_until_ns = 0;
}

uint64_t request_pace_down_until(const struct request_pace *pace, uint64_t now_ns)
{
    return pace->down_until_ns > now_ns ? pace->down_until_ns : 0;
}
