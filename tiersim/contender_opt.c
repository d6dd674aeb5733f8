/* SPDX-License-Identifier: MIT */
/*
 * OPT: Belady's MIN with bypass. Who is used again last leaves, and who comes stays outside if that is himself. Optimal for objects of one
 * size; with several sizes only a bound to compare with.
 *
 * A heap with the furthest next use on top; an object's place in it is kept, since a hit changes its key.
 */
#include <stdlib.h>

#include "tiersim/contender.h"

enum { ABSENT = 0 }; /* places start at 1 */

struct opt_object {
    uint64_t next_use;
    uint64_t bytes;
    uint32_t place;
};

struct opt {
    uint64_t capacity_bytes;
    uint64_t used_bytes;
    struct opt_object *objects;
    uint32_t *heap; /* of object numbers, from 1 */
    uint32_t count;
};

static void opt_destroy(void *self)
{
    struct opt *opt = self;
    if (opt == NULL)
        return;
    free(opt->objects);
    free(opt->heap);
    free(opt);
}

static void *opt_create(const struct tier_run *run)
{
    struct opt *opt = calloc(1, sizeof(*opt));
    if (opt == NULL)
        return NULL;
    opt->capacity_bytes = run->capacity_bytes;
    opt->objects = calloc(MAX(run->objects, 1), sizeof(*opt->objects));
    opt->heap = calloc((size_t)run->objects + 1, sizeof(*opt->heap));
    if (opt->objects != NULL && opt->heap != NULL)
        return opt;
    opt_destroy(opt);
    return NULL;
}

static void put(struct opt *opt, uint32_t place, uint32_t object)
{
    opt->heap[place] = object;
    opt->objects[object].place = place;
}

static uint64_t key_at(const struct opt *opt, uint32_t place)
{
    return opt->objects[opt->heap[place]].next_use;
}

/* Towards the top, from a place that is free. */
static void sift_up(struct opt *opt, uint32_t place, uint32_t object)
{
    for (; place > 1 && key_at(opt, place / 2) < opt->objects[object].next_use; place /= 2)
        put(opt, place, opt->heap[place / 2]);
    put(opt, place, object);
}

static void sift_down(struct opt *opt, uint32_t place, uint32_t object)
{
    for (uint32_t child = 2 * place; child <= opt->count; place = child, child = 2 * place) {
        if (child < opt->count && key_at(opt, child + 1) > key_at(opt, child))
            child++;
        if (key_at(opt, child) <= opt->objects[object].next_use)
            break;
        put(opt, place, opt->heap[child]);
    }
    put(opt, place, object);
}

static void take_out(struct opt *opt, uint32_t object)
{
    uint32_t place = opt->objects[object].place;
    uint32_t last = opt->heap[opt->count--];
    opt->objects[object].place = ABSENT;
    opt->used_bytes -= opt->objects[object].bytes;
    if (last == object)
        return;
    if (opt->objects[last].next_use > opt->objects[object].next_use)
        sift_up(opt, place, last);
    else
        sift_down(opt, place, last);
}

/* Places are bounded by the number of objects, which is below 2^31: see trace.h. */
static enum tier_access opt_access(void *self, const struct tier_request *request)
{
    struct opt *opt = self;
    struct opt_object *object = &opt->objects[request->object];
    bool hit = object->place != ABSENT;
    if (hit && request->next_use != TIER_NEVER) {
        object->next_use = request->next_use; /* later than it was: this use */
        sift_up(opt, object->place, request->object);
    } else if (hit) {
        take_out(opt, request->object);
    }
    if (hit || request->next_use == TIER_NEVER)
        return hit ? TIER_HIT : TIER_BYPASSED;
    while (opt->used_bytes + request->bytes > opt->capacity_bytes) {
        if (key_at(opt, 1) < request->next_use)
            return TIER_BYPASSED;
        take_out(opt, opt->heap[1]);
    }
    object->next_use = request->next_use;
    object->bytes = request->bytes;
    opt->used_bytes += request->bytes;
    sift_up(opt, ++opt->count, request->object);
    return TIER_ADMITTED;
}

static uint64_t opt_used(const void *self)
{
    return ((const struct opt *)self)->used_bytes;
}

const struct contender_ops contender_opt = {.name = "opt",
                                            .offline = true,
                                            .create = opt_create,
                                            .access = opt_access,
                                            .used_bytes = opt_used,
                                            .destroy = opt_destroy};
