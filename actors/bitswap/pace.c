/* SPDX-License-Identifier: MIT */
#include "actors/bitswap/pace.h"

#include "base/attr.h"

enum {
    WEIGHT = 4,
    SHARE_LEAST = PACE_ONE / 32,
    LIKELY = PACE_ONE / 2,
    GOOD = PACE_ONE * 3 / 4,
    TRUSTED = PACE_ONE / 4
};

void pace_init(struct pace *p)
{
    *p = (struct pace){.hits = PACE_ONE / 2, .kept = PACE_ONE};
}

static void share(uint32_t *value, bool good)
{
    *value = *value - *value / RATE_WEIGHT + (good ? PACE_ONE / RATE_WEIGHT : 0);
}

static void take_latency(struct pace *p, uint64_t sample_ns)
{
    sample_ns = MAX(sample_ns, 1);
    if (p->latency_ns == 0) {
        p->latency_ns = sample_ns;
        p->jitter_ns = sample_ns / 2;
        return;
    }
    uint64_t off = sample_ns > p->latency_ns ? sample_ns - p->latency_ns : p->latency_ns - sample_ns;
    p->jitter_ns = rate_average(p->jitter_ns, off);
    p->latency_ns = MAX(rate_average(p->latency_ns, sample_ns), 1);
}

void pace_block(struct pace *p, size_t len, uint64_t asked_ns, bool alone, uint64_t now_ns)
{
    p->answered = true;
    share(&p->hits, true);
    share(&p->kept, true);
    if (asked_ns == 0)
        return;
    rate_take(&p->rate, len, asked_ns, now_ns);
    if (alone)
        take_latency(p, now_ns - MIN(asked_ns, now_ns));
}

void pace_presence(struct pace *p, bool have, uint64_t asked_ns, uint64_t now_ns)
{
    p->answered = true;
    share(&p->hits, have);
    if (asked_ns != 0)
        take_latency(p, now_ns - MIN(asked_ns, now_ns));
}

void pace_broken(struct pace *p, size_t len, uint64_t asked_ns, uint64_t now_ns)
{
    if (p->broke_ns != 0 && now_ns < p->broke_ns + pace_patience_ns(p))
        return;
    p->broke_ns = now_ns;
    p->kept /= 2;
    rate_take(&p->rate, len, asked_ns, now_ns);
}

uint64_t pace_expect_ns(const struct pace *p, uint64_t queued_bytes, uint64_t len)
{
    uint64_t latency_ns = p->latency_ns == 0 ? PACE_LATENCY_FIRST_MS * MS_NS : p->latency_ns;
    return latency_ns + (queued_bytes + len) * 1000000 / rate_per_second(&p->rate, PACE_RATE_FIRST) * 1000;
}

uint64_t pace_cost_ns(const struct pace *p, uint64_t queued_bytes, uint64_t len, bool has, uint64_t now_ns)
{
    uint64_t kept = now_ns > p->broke_ns + PACE_FORGIVE_S * SECOND_NS ? MAX(p->kept, LIKELY) : p->kept;
    uint64_t hits = has ? PACE_ONE : p->hits;
    uint64_t cost_ns = pace_expect_ns(p, queued_bytes, len);
    return cost_ns / MAX(kept, (uint64_t)SHARE_LEAST) * PACE_ONE / MAX(hits, (uint64_t)SHARE_LEAST) * PACE_ONE;
}

uint64_t pace_patience_ns(const struct pace *p)
{
    uint64_t patience_ns = 4 * (p->latency_ns + p->jitter_ns);
    return MIN(MAX(patience_ns, PACE_PATIENCE_MIN_MS * MS_NS), PACE_PATIENCE_MAX_MS * MS_NS);
}

uint64_t pace_room_bytes(const struct pace *p)
{
    uint64_t bytes = rate_per_second(&p->rate, PACE_RATE_FIRST) * PACE_ROOM_S;
    if (p->rate.samples == 0)
        return 0;
    if (p->rate.samples < PACE_SAMPLES)
        bytes = MAX(bytes, (uint64_t)PACE_ROOM_FIRST);
    return MIN(bytes, (uint64_t)PACE_ROOM_MAX);
}

bool pace_is_likely(const struct pace *p)
{
    return p->answered && p->hits >= LIKELY && p->kept >= TRUSTED;
}

bool pace_is_good(const struct pace *p)
{
    return p->rate.samples >= PACE_SAMPLES && p->hits >= GOOD && p->kept >= GOOD;
}
