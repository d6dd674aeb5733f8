/* SPDX-License-Identifier: MIT */
/*
 * When the next request to a paid and distant server may go out: a budget, pauses between tries, and rest while the server is down.
 *
 *      budget    a bucket of tokens: burst at once, then one each interval
 *      delay     between the tries of one operation: anything up to 100 ms, doubled to 20 s ("full jitter": many clients do not come back
 *                together), or what the server asked for
 *      outage    an operation failed for good: nobody asks for 1 s, doubled to 60 s, with jitter; the first answer ends it
 *
 * Pure: time and randomness are given. One thread at a time.
 */
#ifndef HEARTH_STORAGE_REQUEST_PACE_H
#define HEARTH_STORAGE_REQUEST_PACE_H

#include <stdint.h>

#include "base/attr.h"

#define PACE_DELAY_MIN_NS  (UINT64_C(100) * MS_NS)
#define PACE_DELAY_MAX_NS  (UINT64_C(20) * SECOND_NS)
#define PACE_OUTAGE_MIN_NS (UINT64_C(1) * SECOND_NS)
#define PACE_OUTAGE_MAX_NS (UINT64_C(60) * SECOND_NS)

struct request_pace {
    uint64_t interval_ns; /* of the budget */
    uint64_t burst;
    uint64_t full_ns;  /* when the bucket will be full again */
    unsigned failures; /* in a row */
    uint64_t down_until_ns;
};

/* per_second and burst at least 1. */
void request_pace_init(struct request_pace *pace, uint64_t per_second, uint64_t burst);

/* Takes a token: 0; or how long to wait before asking again. */
uint64_t request_pace_take(struct request_pace *pace, uint64_t now_ns);

/* The pause behind the n-th failed try, from 0 on. asked_ns: what the server wants, 0 = nothing. random: any number. */
uint64_t request_pace_delay(unsigned tries, uint64_t asked_ns, uint64_t random);

/* An operation failed for good because the server does not answer, or answered. */
void request_pace_failed(struct request_pace *pace, uint64_t now_ns, uint64_t random);
void request_pace_answered(struct request_pace *pace);

/* Until when nobody should ask; 0: it is not down. One who asks then finds out. */
uint64_t request_pace_down_until(const struct request_pace *pace, uint64_t now_ns);

#endif
