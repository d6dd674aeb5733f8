/* SPDX-License-Identifier: MIT */
/*
 * W-TinyLFU: a small LRU window before a segmented LRU; who leaves the window gets in only if he was asked for more often lately than
 * who would have to go. Einziger, Friedman, Manes, "TinyLFU: a highly efficient cache admission policy", ACM ToS 2017.
 *
 *   new ──> window (1 %) ──> candidate ──more often than the victim?──> probation ⇄ protected (80 % of the rest)
 *
 * With other hashes in the sketch its figures differ by as much as a point in a tier of few objects.
 */
#include <stdlib.h>

#include "tiersim/contender.h"
#include "tiersim/frequency_sketch.h"
#include "tiersim/object_lists.h"

enum { WINDOW = 1, PROBATION, PROTECTED };
enum { WINDOW_PERCENT = 1, PROTECTED_PERCENT = 80 };

struct wtinylfu {
    struct object_lists lists; /* first: object_lists_init takes it */
    uint64_t window_max;
    uint64_t main_max;
    uint64_t protected_max;
    struct frequency_sketch sketch;
    uint64_t *ids; /* by object */
};

static void wtinylfu_destroy(void *self)
{
    struct wtinylfu *w = self;
    if (w != NULL) {
        frequency_sketch_release(&w->sketch);
        free(w->ids);
    }
    object_lists_destroy(self);
}

static void *wtinylfu_create(const struct tier_run *run)
{
    struct wtinylfu *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return NULL;
    w->window_max = MIN(MAX(run->capacity_bytes / 100 * WINDOW_PERCENT, 1), run->capacity_bytes);
    w->main_max = run->capacity_bytes - w->window_max;
    w->protected_max = w->main_max / 100 * PROTECTED_PERCENT + w->main_max % 100 * PROTECTED_PERCENT / 100;
    w->ids = calloc(MAX(run->objects, 1), sizeof(*w->ids));
    uint64_t slots = MIN(tier_run_slots(run), run->objects);
    if (object_lists_init(&w->lists, run) && w->ids != NULL && frequency_sketch_init(&w->sketch, slots))
        return w;
    wtinylfu_destroy(w);
    return NULL;
}

static uint64_t bytes_of(const struct wtinylfu *w, int list)
{
    return w->lists.lists[list].bytes;
}

static uint64_t main_bytes(const struct wtinylfu *w)
{
    return bytes_of(w, PROBATION) + bytes_of(w, PROTECTED);
}

/* The candidate is wanted more than the victim. */
static bool wins(const struct wtinylfu *w, uint32_t candidate, uint32_t victim)
{
    return frequency_sketch_estimate(&w->sketch, w->ids[candidate]) >
           frequency_sketch_estimate(&w->sketch, w->ids[victim]);
}

/* The candidate, last of the window, goes on into the main part or out. */
static void settle(struct wtinylfu *w, uint32_t candidate)
{
    struct object_lists *lists = &w->lists;
    uint64_t bytes = lists->nodes[candidate].bytes;
    bool admitted = bytes <= w->main_max;
    while (admitted && main_bytes(w) + bytes > w->main_max) {
        uint32_t victim = lists->lists[lists->lists[PROBATION].count > 0 ? PROBATION : PROTECTED].tail;
        admitted = wins(w, candidate, victim);
        if (admitted)
            object_lists_remove(lists, victim);
    }
    if (admitted)
        object_lists_move(lists, PROBATION, candidate);
    else
        object_lists_remove(lists, candidate);
}

static void hit(struct wtinylfu *w, uint32_t object)
{
    struct object_lists *lists = &w->lists;
    bool in_window = lists->nodes[object].list == WINDOW;
    object_lists_move(lists, in_window ? WINDOW : PROTECTED, object);
    while (bytes_of(w, PROTECTED) > w->protected_max)
        object_lists_move(lists, PROBATION, lists->lists[PROTECTED].tail);
}

static enum tier_access wtinylfu_access(void *self, const struct tier_request *request)
{
    struct wtinylfu *w = self;
    struct object_lists *lists = &w->lists;
    frequency_sketch_count(&w->sketch, request->id);
    if (lists->nodes[request->object].list != 0) {
        hit(w, request->object);
        return TIER_HIT;
    }
    w->ids[request->object] = request->id;
    object_lists_push(lists, WINDOW, request->object, request->bytes);
    while (bytes_of(w, WINDOW) > w->window_max)
        settle(w, lists->lists[WINDOW].tail);
    return lists->nodes[request->object].list != 0 ? TIER_ADMITTED : TIER_BYPASSED;
}

static uint64_t wtinylfu_used(const void *self)
{
    return bytes_of(self, WINDOW) + main_bytes(self);
}

const struct contender_ops contender_wtinylfu = {.name = "wtinylfu",
                                                 .create = wtinylfu_create,
                                                 .access = wtinylfu_access,
                                                 .used_bytes = wtinylfu_used,
                                                 .destroy = wtinylfu_destroy};
