/* SPDX-License-Identifier: MIT */
#include "dht/provide_sweep.h"

#include "dht/provide_region.h"

static const double ring = 18446744073709551616.0; /* 2^64 */

void provide_sweep_init(struct provide_sweep *sweep, uint64_t interval_ns, uint64_t now_ns)
{
    *sweep = (struct provide_sweep){.interval_ns = interval_ns, .due_ns = now_ns, .fresh_class = PROVIDE_CLASS_COUNT};
}

void provide_sweep_restore(struct provide_sweep *sweep, uint64_t position, uint64_t due_ns, uint64_t now_ns)
{
    sweep->position = position;
    sweep->due_ns = due_ns < now_ns + sweep->interval_ns ? due_ns : now_ns;
}

void provide_sweep_wake(struct provide_sweep *sweep)
{
    sweep->fresh_class = PROVIDE_ROOT;
    sweep->fresh_position = 0;
    sweep->fresh_rest = 0;
}

void provide_sweep_hot(struct provide_sweep *sweep)
{
    if (sweep->fresh_class != PROVIDE_STORED)
        return;
    sweep->fresh_rest = sweep->fresh_position;
    sweep->fresh_class = PROVIDE_HOT;
    sweep->fresh_position = 0;
}

/* ---- positions ---- */

struct kad_key provide_sweep_first(uint64_t position)
{
    struct kad_key key = {{0}};
    for (size_t i = 0; i < sizeof(position); i++)
        key.bytes[i] = (uint8_t)(position >> (56 - 8 * i));
    return key;
}

uint64_t provide_sweep_position(const struct kad_key *key)
{
    uint64_t position = 0;
    for (size_t i = 0; i < sizeof(position); i++)
        position = position << 8 | key->bytes[i];
    return position;
}

/* ---- the fresh hand ---- */

void provide_sweep_fresh_ended(struct provide_sweep *sweep)
{
    if (sweep->fresh_class < PROVIDE_CLASS_COUNT)
        sweep->fresh_class++;
    sweep->fresh_position = sweep->fresh_class == PROVIDE_STORED ? sweep->fresh_rest : 0;
    sweep->fresh_rest = 0;
}

void provide_sweep_fresh_passed(struct provide_sweep *sweep, uint64_t last)
{
    if (last == UINT64_MAX)
        provide_sweep_fresh_ended(sweep);
    else if (last >= sweep->fresh_position)
        sweep->fresh_position = last + 1;
}

bool provide_sweep_is_fresh(const struct provide_sweep *sweep)
{
    return sweep->fresh_class < PROVIDE_CLASS_COUNT;
}

/* ---- the ring ---- */

bool provide_sweep_is_due(struct provide_sweep *sweep, uint64_t now_ns)
{
    if (now_ns > sweep->due_ns && now_ns - sweep->due_ns > sweep->interval_ns) {
        sweep->lost += (now_ns - sweep->due_ns) / sweep->interval_ns;
        sweep->due_ns = now_ns - sweep->interval_ns;
    }
    if (sweep->due_ns > now_ns + sweep->interval_ns)
        sweep->due_ns = now_ns + sweep->interval_ns; /* the clock went back */
    return sweep->due_ns <= now_ns;
}

void provide_sweep_passed(struct provide_sweep *sweep, uint64_t last)
{
    uint64_t width = last - sweep->position; /* one less than what was passed; past 0 the ring goes on */
    sweep->due_ns += (uint64_t)(((double)width + 1) / ring * (double)sweep->interval_ns);
    sweep->position = last + 1;
}

uint64_t provide_sweep_before(const struct provide_sweep *sweep)
{
    uint64_t half = sweep->interval_ns / 2;
    return sweep->due_ns > half ? sweep->due_ns - half : 0;
}

/* ---- what was learnt ---- */

static double mix(double old, double now)
{
    return old > 0 ? old * 0.75 + now * 0.25 : now;
}

void provide_sweep_learn(struct provide_sweep *sweep, unsigned bits, double network, uint64_t took_ns)
{
    double took = (double)took_ns;
    for (unsigned bit = 0; bit < bits; bit++)
        took *= 2;
    sweep->ring_ns = mix(sweep->ring_ns, took);
    if (network > 0)
        sweep->network = mix(sweep->network, network);
}

unsigned provide_sweep_bits(const struct provide_sweep *sweep)
{
    return provide_region_bits(sweep->network);
}

uint64_t provide_sweep_lag(const struct provide_sweep *sweep, uint64_t now_ns)
{
    if (now_ns <= sweep->due_ns)
        return 0;
    uint64_t lag = now_ns - sweep->due_ns;
    return lag < sweep->interval_ns ? lag : sweep->interval_ns;
}

/* While it catches up the ring moves on by one interval per interval. */
uint64_t provide_sweep_eta(const struct provide_sweep *sweep, uint64_t now_ns)
{
    uint64_t lag = provide_sweep_lag(sweep, now_ns);
    double busy = sweep->ring_ns / (double)sweep->interval_ns; /* part of the time that it is busy with the ring */
    if (lag == 0)
        return 0;
    if (!(busy > 0) || busy >= 1)
        return UINT64_MAX;
    return (uint64_t)((double)lag * busy / (1 - busy));
}
