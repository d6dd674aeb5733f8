/* SPDX-License-Identifier: MIT */
#include "sim/history.h"

#include <stdlib.h>

enum { FIRST_CAP = 16 };

void history_release(struct history *h)
{
    free(h->list);
    h->list = NULL;
    h->count = h->cap = 0;
}

struct holding *history_of(struct history *h, unsigned block)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->list[i].block == block)
            return &h->list[i];
    if (h->count == h->cap) {
        size_t cap = h->cap == 0 ? FIRST_CAP : h->cap * 2;
        struct holding *list = realloc(h->list, cap * sizeof(*list));
        if (list == NULL)
            abort();
        h->list = list;
        h->cap = cap;
    }
    h->list[h->count] = (struct holding){.block = block};
    return &h->list[h->count++];
}

void history_restart(struct history *h)
{
    h->collecting = false;
    h->collecting_until_ns = 0;
    for (size_t i = 0; i < h->count; i++)
        h->list[i].busy = false;
}

static void doubt_stored(struct holding *held)
{
    held->version += held->stored == SURE_YES ? 1 : 0;
    held->stored = held->stored == SURE_NO ? SURE_NO : UNSURE;
}

void history_put_asked(struct history *h, unsigned block)
{
    struct holding *held = history_of(h, block);
    if (held->stored == SURE_NO)
        held->stored = UNSURE;
}

void history_put_done(struct history *h, unsigned block, uint64_t now_ns)
{
    struct holding *held = history_of(h, block);
    if (held->pinned == SURE_YES || (!h->collecting && now_ns >= h->collecting_until_ns))
        held->stored = SURE_YES;
}

void history_pin_asked(struct history *h, unsigned block)
{
    struct holding *held = history_of(h, block);
    if (held->pinned == SURE_NO)
        held->pinned = UNSURE;
}

void history_pin_done(struct history *h, unsigned block, bool leased)
{
    struct holding *held = history_of(h, block);
    held->pinned = SURE_YES;
    if (leased)
        held->stored = SURE_YES;
}

void history_unpin_asked(struct history *h, unsigned block)
{
    struct holding *held = history_of(h, block);
    held->pinned = UNSURE;
    if (h->collecting || h->collecting_until_ns > 0)
        doubt_stored(held);
}

void history_unpin_done(struct history *h, unsigned block)
{
    history_of(h, block)->pinned = SURE_NO;
}

void history_remove_asked(struct history *h, unsigned block)
{
    doubt_stored(history_of(h, block));
}

void history_remove_done(struct history *h, unsigned block)
{
    history_of(h, block)->stored = SURE_NO;
}

void history_collect_asked(struct history *h)
{
    h->collecting = true;
    for (size_t i = 0; i < h->count; i++)
        if (h->list[i].pinned != SURE_YES)
            doubt_stored(&h->list[i]);
}

void history_collect_done(struct history *h, bool heard, uint64_t until_ns)
{
    h->collecting = false;
    h->collecting_until_ns = heard ? 0 : until_ns;
}
