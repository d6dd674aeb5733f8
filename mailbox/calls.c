/* SPDX-License-Identifier: MIT */
#include "mailbox/calls.h"

#include <stdlib.h>

enum { CALLS_FIRST_CAP = 16, SLOT_BITS = 10 };

_Static_assert(CALLS_IN_FLIGHT_MAX == 1 << SLOT_BITS, "a slot number fits the correlation's low bits");

void calls_init(struct calls *calls)
{
    *calls = (struct calls){.sequence = 1};
}

void calls_release(struct calls *calls)
{
    free(calls->slots);
    *calls = (struct calls){.sequence = calls->sequence};
}

static bool grow(struct calls *calls)
{
    uint32_t cap = calls->cap == 0 ? CALLS_FIRST_CAP : calls->cap * 2;
    if (cap > CALLS_IN_FLIGHT_MAX)
        return false;
    struct call *slots = realloc(calls->slots, cap * sizeof(*slots));
    if (slots == NULL)
        return false;
    for (uint32_t i = cap; i-- > calls->cap;) {
        slots[i] = (struct call){.next_free = calls->free_head};
        calls->free_head = i + 1;
    }
    calls->slots = slots;
    calls->cap = cap;
    return true;
}

struct call *calls_add(struct calls *calls)
{
    if (calls->free_head == 0 && !grow(calls))
        return NULL;
    uint32_t slot = calls->free_head - 1;
    struct call *call = &calls->slots[slot];
    calls->free_head = call->next_free;
    *call = (struct call){.correlation = calls->sequence++ << SLOT_BITS | slot};
    calls->count++;
    return call;
}

struct call *calls_find(const struct calls *calls, uint64_t correlation)
{
    uint64_t slot = correlation & (CALLS_IN_FLIGHT_MAX - 1);
    if (correlation == 0 || slot >= calls->cap || calls->slots[slot].correlation != correlation)
        return NULL;
    return &calls->slots[slot];
}

void calls_remove(struct calls *calls, struct call *call)
{
    calls->reply_bytes -= call->reply_bytes;
    call->correlation = 0;
    call->next_free = calls->free_head;
    calls->free_head = (uint32_t)(call - calls->slots) + 1;
    calls->count--;
}
