/* SPDX-License-Identifier: MIT */
#include "mailbox/timers.h"

#include <stdlib.h>
#include <string.h>

enum { TIMERS_FIRST_CAP = 16, HANDLE_SLOT_BITS = 16 };

static const uint32_t FREE_POSITION = UINT32_MAX;

void timers_init(struct timers *t, uint32_t max)
{
    *t = (struct timers){.max = max};
}

void timers_release(struct timers *t)
{
    free(t->slots);
    free(t->heap);
    timers_init(t, t->max);
}

static bool before(const struct timers *t, uint32_t a, uint32_t b)
{
    const struct timer_slot *x = &t->slots[a];
    const struct timer_slot *y = &t->slots[b];
    return x->at_ns != y->at_ns ? x->at_ns < y->at_ns : x->order < y->order;
}

static void place(struct timers *t, uint32_t position, uint32_t slot)
{
    t->heap[position] = slot;
    t->slots[slot].position = position;
}

static void sift_up(struct timers *t, uint32_t position, uint32_t slot)
{
    while (position > 0) {
        uint32_t parent = (position - 1) / 2;
        if (!before(t, slot, t->heap[parent]))
            break;
        place(t, position, t->heap[parent]);
        position = parent;
    }
    place(t, position, slot);
}

static void sift_down(struct timers *t, uint32_t position, uint32_t slot)
{
    for (;;) {
        uint32_t child = 2 * position + 1;
        if (child >= t->count)
            break;
        if (child + 1 < t->count && before(t, t->heap[child + 1], t->heap[child]))
            child++;
        if (!before(t, t->heap[child], slot))
            break;
        place(t, position, t->heap[child]);
        position = child;
    }
    place(t, position, slot);
}

static bool grow(struct timers *t)
{
    uint32_t cap = t->cap == 0 ? MIN((uint32_t)TIMERS_FIRST_CAP, t->max) : MIN(t->cap * 2, t->max);
    if (cap == t->cap)
        return false;
    struct timer_slot *slots = realloc(t->slots, cap * sizeof(*slots));
    if (slots == NULL)
        return false;
    t->slots = slots;
    uint32_t *heap = realloc(t->heap, cap * sizeof(*heap));
    if (heap == NULL)
        return false;
    t->heap = heap;
    for (uint32_t i = cap; i-- > t->cap;) {
        slots[i] = (struct timer_slot){.position = FREE_POSITION, .generation = 1, .next_free = t->free_head};
        t->free_head = i + 1;
    }
    t->cap = cap;
    return true;
}

uint64_t timers_set(struct timers *t, uint64_t at_ns, uint64_t tag)
{
    if (t->free_head == 0 && !grow(t))
        return TIMERS_NONE;
    uint32_t slot = t->free_head - 1;
    struct timer_slot *s = &t->slots[slot];
    t->free_head = s->next_free;
    s->at_ns = at_ns;
    s->order = t->order++;
    s->tag = tag;
    t->count++;
    sift_up(t, t->count - 1, slot);
    return s->generation << HANDLE_SLOT_BITS | (slot + 1);
}

static void remove_at(struct timers *t, uint32_t position)
{
    uint32_t slot = t->heap[position];
    struct timer_slot *s = &t->slots[slot];
    s->position = FREE_POSITION;
    s->generation++;
    s->next_free = t->free_head;
    t->free_head = slot + 1;
    t->count--;
    if (position == t->count)
        return;
    uint32_t moved = t->heap[t->count];
    if (position > 0 && before(t, moved, t->heap[(position - 1) / 2]))
        sift_up(t, position, moved);
    else
        sift_down(t, position, moved);
}

bool timers_cancel(struct timers *t, uint64_t handle)
{
    uint64_t slot = handle & ((1U << HANDLE_SLOT_BITS) - 1);
    if (slot == 0 || slot > t->cap)
        return false;
    const struct timer_slot *s = &t->slots[slot - 1];
    if (s->position == FREE_POSITION || s->generation != handle >> HANDLE_SLOT_BITS)
        return false;
    remove_at(t, s->position);
    return true;
}

bool timers_pop(struct timers *t, uint64_t now_ns, uint64_t *ret_tag)
{
    if (t->count == 0 || t->slots[t->heap[0]].at_ns > now_ns)
        return false;
    *ret_tag = t->slots[t->heap[0]].tag;
    remove_at(t, 0);
    return true;
}
