/* SPDX-License-Identifier: MIT */
/*
 * The origin's heat: of 16 held objects the one with the least leaves, unless the newcomer has less. Its threshold of 10 for promotion is left
 * out: with it almost nothing of these traces would ever enter.
 */
#include <math.h>
#include <stdlib.h>

#include "storage/origin_heat.h"
#include "tiersim/tier_policy.h"

enum { SAMPLE = 16 };
#define GOLDEN_STEP UINT32_C(0x9E3779B9) /* spreads the looks evenly: 2^32 times the golden section */
#define NOT_HELD    UINT32_MAX

struct object {
    double heat;
    double first_s;
    double last_s;
    uint64_t bytes;
    uint32_t accesses;
    uint32_t place; /* in held */
};

struct origin {
    uint64_t capacity_bytes;
    uint64_t used_bytes;
    struct object *objects;
    uint32_t *held;
    uint32_t held_count;
    uint32_t walk;
};

static void origin_destroy(void *self)
{
    struct origin *origin = self;
    if (origin == NULL)
        return;
    free(origin->objects);
    free(origin->held);
    free(origin);
}

static void *origin_create(const struct tier_run *run)
{
    struct origin *origin = calloc(1, sizeof(*origin));
    if (origin == NULL)
        return NULL;
    origin->capacity_bytes = run->capacity_bytes;
    origin->objects = calloc(MAX(run->objects, 1), sizeof(*origin->objects));
    origin->held = calloc(MAX(run->objects, 1), sizeof(*origin->held));
    if (origin->objects == NULL || origin->held == NULL) {
        origin_destroy(origin);
        return NULL;
    }
    for (uint32_t i = 0; i < run->objects; i++)
        origin->objects[i].place = NOT_HELD;
    return origin;
}

/* Trace clocks may step back: then no time has passed. */
static void warm(struct object *object, double now_s)
{
    if (object->accesses++ == 0) {
        object->first_s = now_s;
        object->heat = ORIGIN_HEAT_FIRST;
    } else {
        object->heat = origin_heat(object->accesses, MAX(now_s - object->last_s, 0) / 3600,
                                   MAX(now_s - object->first_s, 0) / 86400);
    }
    object->last_s = now_s;
}

/* The place of the one to leave. */
static uint32_t coldest(struct origin *origin)
{
    uint32_t worst = 0;
    double worst_heat = INFINITY;
    for (uint32_t i = 0; i < MIN(origin->held_count, SAMPLE); i++) {
        uint32_t at = i;
        if (origin->held_count > SAMPLE) {
            origin->walk += GOLDEN_STEP;
            at = (uint32_t)((uint64_t)origin->walk * origin->held_count >> 32);
        }
        double heat = origin->objects[origin->held[at]].heat;
        if (heat < worst_heat) {
            worst_heat = heat;
            worst = at;
        }
    }
    return worst;
}

static void drop(struct origin *origin, uint32_t place)
{
    struct object *object = &origin->objects[origin->held[place]];
    origin->used_bytes -= object->bytes;
    origin->held[place] = origin->held[--origin->held_count];
    origin->objects[origin->held[place]].place = place;
    object->place = NOT_HELD;
}

static enum tier_access origin_access(void *self, const struct tier_request *request)
{
    struct origin *origin = self;
    struct object *object = &origin->objects[request->object];
    warm(object, request->time_s);
    if (object->place != NOT_HELD)
        return TIER_HIT;
    while (origin->used_bytes + request->bytes > origin->capacity_bytes) {
        uint32_t worst = coldest(origin);
        if (origin->objects[origin->held[worst]].heat > object->heat)
            return TIER_BYPASSED;
        drop(origin, worst);
    }
    object->bytes = request->bytes;
    object->place = origin->held_count;
    origin->held[origin->held_count++] = request->object;
    origin->used_bytes += request->bytes;
    return TIER_ADMITTED;
}

static uint64_t origin_used(const void *self)
{
    return ((const struct origin *)self)->used_bytes;
}

const struct tier_policy_ops tier_policy_origin = {.name = "origin",
                                                   .create = origin_create,
                                                   .access = origin_access,
                                                   .used_bytes = origin_used,
                                                   .destroy = origin_destroy};
