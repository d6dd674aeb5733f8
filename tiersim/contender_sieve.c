/* SPDX-License-Identifier: MIT */
/*
 * SIEVE: a FIFO that is never reordered and a hand that goes from its tail to its head, again and again; who was used since the hand came
 * by stays, the first who was not leaves. Zhang et al., "SIEVE is simpler than LRU", NSDI 2024.
 */
#include <stdlib.h>

#include "tiersim/contender.h"
#include "tiersim/object_lists.h"

enum { QUEUE = 1 };

struct sieve {
    struct object_lists lists; /* first: object_lists_used and object_lists_destroy take it */
    uint32_t hand;             /* who is looked at next; OBJECT_NONE: the tail */
};

static void *sieve_create(const struct tier_run *run)
{
    struct sieve *sieve = malloc(sizeof(*sieve));
    if (sieve != NULL && object_lists_init(&sieve->lists, run)) {
        sieve->hand = OBJECT_NONE;
        return sieve;
    }
    free(sieve);
    return NULL;
}

static void evict(struct sieve *sieve)
{
    struct object_lists *lists = &sieve->lists;
    uint32_t object = sieve->hand;
    for (;;) {
        if (object == OBJECT_NONE)
            object = lists->lists[QUEUE].tail;
        if (lists->nodes[object].uses == 0)
            break;
        lists->nodes[object].uses = 0;
        object = lists->nodes[object].prev;
    }
    sieve->hand = lists->nodes[object].prev;
    object_lists_remove(lists, object);
}

static enum tier_access sieve_access(void *self, const struct tier_request *request)
{
    struct sieve *sieve = self;
    struct object_lists *lists = &sieve->lists;
    if (lists->nodes[request->object].list == QUEUE) {
        lists->nodes[request->object].uses = 1;
        return TIER_HIT;
    }
    while (object_lists_full(lists, request->bytes))
        evict(sieve);
    object_lists_push(lists, QUEUE, request->object, request->bytes);
    return TIER_ADMITTED;
}

const struct contender_ops contender_sieve = {.name = "sieve",
                                              .create = sieve_create,
                                              .access = sieve_access,
                                              .used_bytes = object_lists_used,
                                              .destroy = object_lists_destroy};
