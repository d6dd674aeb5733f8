/* SPDX-License-Identifier: MIT */
/*
 * ARC: what was used once lately (t1) and more often (t2), and the names of what left either (b1, b2); a name that comes back says which
 * of the two should have been larger. Megiddo & Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003, figure 4, with
 * its letters. For objects of several sizes each length is in bytes and p moves by the object's bytes; with equal ones that is the paper.
 */
#include <stdlib.h>

#include "tiersim/contender.h"
#include "tiersim/object_lists.h"

enum { T1 = 1, T2, B1, B2 };

struct arc {
    struct object_lists lists; /* first: object_lists_destroy takes it */
    double p;                  /* what t1 should have */
};

static void *arc_create(const struct tier_run *run)
{
    struct arc *arc = malloc(sizeof(*arc));
    if (arc != NULL && object_lists_init(&arc->lists, run)) {
        arc->p = 0;
        return arc;
    }
    free(arc);
    return NULL;
}

static uint64_t bytes_of(const struct arc *arc, int list)
{
    return arc->lists.lists[list].bytes;
}

static uint64_t arc_used(const void *self)
{
    return bytes_of(self, T1) + bytes_of(self, T2);
}

static void drop_last(struct arc *arc, int list)
{
    object_lists_remove(&arc->lists, arc->lists.lists[list].tail);
}

/* REPLACE until the request fits. */
static void replace(struct arc *arc, uint64_t bytes, bool in_b2)
{
    struct object_lists *lists = &arc->lists;
    uint64_t p = (uint64_t)arc->p; /* it moves by fractions and counts in whole bytes */
    while (arc_used(arc) + bytes > lists->capacity_bytes) {
        uint64_t t1 = bytes_of(arc, T1);
        bool from_t1 = lists->lists[T1].count > 0 && (t1 > p || (in_b2 && t1 == p));
        if (from_t1 || lists->lists[T2].count == 0)
            object_lists_move(lists, B1, lists->lists[T1].tail);
        else
            object_lists_move(lists, B2, lists->lists[T2].tail);
    }
}

/* How far p moves when a name of the list comes back: further the shorter the list is beside the other. */
static double step(const struct arc *arc, int list, int other, uint64_t bytes)
{
    double own = (double)MAX(bytes_of(arc, list), 1);
    return (double)bytes * MAX((double)bytes_of(arc, other) / own, 1.0);
}

/* Cases II and III: a name that is remembered. */
static void return_ghost(struct arc *arc, const struct tier_request *request, bool in_b2)
{
    double c = (double)arc->lists.capacity_bytes;
    if (in_b2)
        arc->p = MAX(arc->p - step(arc, B2, B1, request->bytes), 0);
    else
        arc->p = MIN(arc->p + step(arc, B1, B2, request->bytes), c);
    replace(arc, request->bytes, in_b2);
    object_lists_remove(&arc->lists, request->object);
    object_lists_push(&arc->lists, T2, request->object, request->bytes);
}

/* Case IV: a new one. t1 and b1 together hold at most c, all four lists 2c. */
static void enter_new(struct arc *arc, const struct tier_request *request)
{
    struct object_lists *lists = &arc->lists;
    uint64_t c = lists->capacity_bytes;
    while (bytes_of(arc, T1) + bytes_of(arc, B1) + request->bytes > c)
        drop_last(arc, lists->lists[B1].count > 0 ? B1 : T1);
    while (lists->lists[B2].count > 0 && arc_used(arc) + bytes_of(arc, B1) + bytes_of(arc, B2) + request->bytes > 2 * c)
        drop_last(arc, B2);
    replace(arc, request->bytes, false);
    object_lists_push(lists, T1, request->object, request->bytes);
}

static enum tier_access arc_access(void *self, const struct tier_request *request)
{
    struct arc *arc = self;
    uint8_t list = arc->lists.nodes[request->object].list;
    if (list == T1 || list == T2) {
        object_lists_move(&arc->lists, T2, request->object);
        return TIER_HIT;
    }
    if (list == B1 || list == B2)
        return_ghost(arc, request, list == B2);
    else
        enter_new(arc, request);
    return TIER_ADMITTED;
}

const struct contender_ops contender_arc = {
    .name = "arc", .create = arc_create, .access = arc_access, .used_bytes = arc_used, .destroy = object_lists_destroy};
