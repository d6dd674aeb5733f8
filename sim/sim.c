/* SPDX-License-Identifier: MIT */
/*
 * The scheduler: a heap of events ordered by (time, tie, order of scheduling) over a slab. The tie is drawn from the seed, or is a
 * hash of the order key, so events of one key at one time stay in order while those of others change places from seed to seed.
 */
#include "sim/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

enum { EVENTS_FIRST_CAP = 256 };

struct event {
    uint64_t at_ns;
    uint64_t tie;
    uint64_t order;
    void (*fn)(void *arg);
    void *arg;
    uint32_t generation;
    uint32_t position; /* in the heap; UINT32_MAX = free */
    uint32_t next_free;
};

struct sim {
    uint64_t seed;
    uint64_t now_ns;
    int64_t real_shift_ns;
    sim_clock_fn *clock; /* of nodes; NULL: none is off */
    void *clock_arg;
    uint64_t job_waited_ns;
    struct prng world; /* sim_random */
    struct prng ties;
    uint64_t trace;
    uint64_t steps;
    uint64_t order;
    struct event *events;
    uint32_t *heap;
    uint32_t count;
    uint32_t cap;
    uint32_t free_head; /* slot + 1 */
};

static const uint64_t TRACE_START = UINT64_C(0xcbf29ce484222325);

struct sim *sim_new(uint64_t seed)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    if (sim == NULL)
        return NULL;
    sim->seed = seed;
    sim->now_ns = 3600 * SECOND_NS;
    sim->trace = TRACE_START;
    prng_init(&sim->world, seed);
    prng_init(&sim->ties, seed ^ UINT64_C(0x7469657320202020));
    return sim;
}

void sim_free(struct sim *sim)
{
    if (sim == NULL)
        return;
    free(sim->events);
    free(sim->heap);
    free(sim);
}

uint64_t sim_now(const struct sim *sim)
{
    return sim->now_ns;
}

uint64_t sim_real_now(const struct sim *sim)
{
    /* 2026-01-01, so that a run does not depend on the day it is made. */
    const uint64_t epoch_ns = UINT64_C(1767225600) * SECOND_NS;
    return epoch_ns + sim->now_ns + (uint64_t)sim->real_shift_ns;
}

void sim_shift_real_clock(struct sim *sim, int64_t by_ns)
{
    sim->real_shift_ns += by_ns;
}

void sim_set_clocks(struct sim *sim, sim_clock_fn *fn, void *arg)
{
    sim->clock = fn;
    sim->clock_arg = arg;
}

int64_t sim_clock_off(const struct sim *sim, const char *node)
{
    return sim->clock == NULL || node == NULL ? 0 : sim->clock(sim->clock_arg, node);
}

uint64_t sim_random(struct sim *sim)
{
    return prng_next(&sim->world);
}

uint64_t sim_below(struct sim *sim, uint64_t below)
{
    return prng_below(&sim->world, below);
}

void sim_job_wait(struct sim *sim, uint64_t ns)
{
    sim->job_waited_ns += ns;
}

uint64_t sim_job_waited(const struct sim *sim)
{
    return sim->job_waited_ns;
}

uint64_t sim_job_end(struct sim *sim)
{
    uint64_t waited = sim->job_waited_ns;
    sim->job_waited_ns = 0;
    return waited;
}

/* ---- heap ---- */

static bool before(const struct sim *sim, uint32_t a, uint32_t b)
{
    const struct event *x = &sim->events[a];
    const struct event *y = &sim->events[b];
    if (x->at_ns != y->at_ns)
        return x->at_ns < y->at_ns;
    return x->tie != y->tie ? x->tie < y->tie : x->order < y->order;
}

static void place(struct sim *sim, uint32_t position, uint32_t slot)
{
    sim->heap[position] = slot;
    sim->events[slot].position = position;
}

static void sift_up(struct sim *sim, uint32_t position, uint32_t slot)
{
    while (position > 0 && before(sim, slot, sim->heap[(position - 1) / 2])) {
        place(sim, position, sim->heap[(position - 1) / 2]);
        position = (position - 1) / 2;
    }
    place(sim, position, slot);
}

static void sift_down(struct sim *sim, uint32_t position, uint32_t slot)
{
    for (;;) {
        uint32_t child = 2 * position + 1;
        if (child >= sim->count)
            break;
        if (child + 1 < sim->count && before(sim, sim->heap[child + 1], sim->heap[child]))
            child++;
        if (!before(sim, sim->heap[child], slot))
            break;
        place(sim, position, sim->heap[child]);
        position = child;
    }
    place(sim, position, slot);
}

static void remove_at(struct sim *sim, uint32_t position)
{
    uint32_t slot = sim->heap[position];
    struct event *e = &sim->events[slot];
    e->position = UINT32_MAX;
    e->generation++;
    e->next_free = sim->free_head;
    sim->free_head = slot + 1;
    sim->count--;
    if (position == sim->count)
        return;
    uint32_t moved = sim->heap[sim->count];
    if (position > 0 && before(sim, moved, sim->heap[(position - 1) / 2]))
        sift_up(sim, position, moved);
    else
        sift_down(sim, position, moved);
}

/* A simulation that runs out of memory has no meaning: it ends. */
static void grow(struct sim *sim)
{
    uint32_t cap = sim->cap == 0 ? EVENTS_FIRST_CAP : sim->cap * 2;
    struct event *events = realloc(sim->events, cap * sizeof(*events));
    if (events == NULL)
        abort();
    sim->events = events;
    uint32_t *heap = realloc(sim->heap, cap * sizeof(*heap));
    if (heap == NULL)
        abort();
    sim->heap = heap;
    for (uint32_t i = cap; i-- > sim->cap;) {
        events[i] = (struct event){.generation = 1, .position = UINT32_MAX, .next_free = sim->free_head};
        sim->free_head = i + 1;
    }
    sim->cap = cap;
}

/* ---- events ---- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 29);
}

uint64_t sim_schedule_ordered(struct sim *sim, uint64_t at_ns, uint64_t key, void (*fn)(void *arg), void *arg)
{
    if (sim->free_head == 0)
        grow(sim);
    uint32_t slot = sim->free_head - 1;
    struct event *e = &sim->events[slot];
    sim->free_head = e->next_free;
    e->at_ns = MAX(at_ns, sim->now_ns);
    e->tie = key == 0 ? prng_next(&sim->ties) : mix(mix(sim->seed, key), e->at_ns);
    e->order = sim->order++;
    e->fn = fn;
    e->arg = arg;
    sim->count++;
    sift_up(sim, sim->count - 1, slot);
    return (uint64_t)e->generation << 32 | (slot + 1);
}

uint64_t sim_schedule(struct sim *sim, uint64_t at_ns, void (*fn)(void *arg), void *arg)
{
    return sim_schedule_ordered(sim, at_ns, 0, fn, arg);
}

void sim_cancel(struct sim *sim, uint64_t id)
{
    uint32_t slot = (uint32_t)id;
    if (slot == 0 || slot > sim->cap)
        return;
    const struct event *e = &sim->events[slot - 1];
    if (e->position != UINT32_MAX && e->generation == id >> 32)
        remove_at(sim, e->position);
}

/* ---- trace ---- */

void sim_trace_u64(struct sim *sim, uint64_t value)
{
    sim->trace = mix(sim->trace, value);
}

void sim_trace_mix(struct sim *sim, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    for (; len >= sizeof(uint64_t); at += sizeof(uint64_t), len -= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        sim_trace_u64(sim, word);
    }
    uint64_t rest = len; /* the length too: "ab","c" is not "a","bc" */
    for (size_t i = 0; i < len; i++)
        rest = rest << 8 | at[i];
    sim_trace_u64(sim, rest);
}

uint64_t sim_trace(const struct sim *sim)
{
    return sim->trace;
}

/* ---- running ---- */

bool sim_step(struct sim *sim)
{
    if (sim->count == 0)
        return false;
    struct event *e = &sim->events[sim->heap[0]];
    void (*fn)(void *arg) = e->fn;
    void *arg = e->arg;
    assert(e->at_ns >= sim->now_ns);
    sim->now_ns = e->at_ns;
    remove_at(sim, 0);
    sim->steps++;
    fn(arg);
    return true;
}

static uint64_t next_at(const struct sim *sim)
{
    return sim->count == 0 ? UINT64_MAX : sim->events[sim->heap[0]].at_ns;
}

void sim_run_until(struct sim *sim, uint64_t at_ns)
{
    while (next_at(sim) <= at_ns)
        (void)sim_step(sim);
    sim->now_ns = MAX(sim->now_ns, at_ns);
}

bool sim_run_while_not(struct sim *sim, bool (*done)(void *arg), void *arg, uint64_t timeout_ns)
{
    uint64_t end = timeout_ns > UINT64_MAX - sim->now_ns ? UINT64_MAX : sim->now_ns + timeout_ns;
    while (!done(arg)) {
        if (timeout_ns == 0 || sim->count == 0 || next_at(sim) > end)
            return false; /* with no time at all nothing runs: done may ask this of itself */
        (void)sim_step(sim);
    }
    return true;
}

uint64_t sim_steps(const struct sim *sim)
{
    return sim->steps;
}
