/* SPDX-License-Identifier: MIT */
/* CLOCK, second chance: a FIFO whose tail goes round once more if it was used since it last stood there. */
#include "tiersim/contender.h"
#include "tiersim/object_lists.h"

enum { QUEUE = 1 };

static void turn(struct object_lists *lists)
{
    uint32_t tail = lists->lists[QUEUE].tail;
    if (lists->nodes[tail].uses == 0) {
        object_lists_remove(lists, tail);
        return;
    }
    lists->nodes[tail].uses = 0;
    object_lists_move(lists, QUEUE, tail);
}

static enum tier_access clock_access(void *self, const struct tier_request *request)
{
    struct object_lists *lists = self;
    if (lists->nodes[request->object].list == QUEUE) {
        lists->nodes[request->object].uses = 1;
        return TIER_HIT;
    }
    while (object_lists_full(lists, request->bytes))
        turn(lists);
    object_lists_push(lists, QUEUE, request->object, request->bytes);
    return TIER_ADMITTED;
}

const struct contender_ops contender_clock = {.name = "clock",
                                              .create = object_lists_create,
                                              .access = clock_access,
                                              .used_bytes = object_lists_used,
                                              .destroy = object_lists_destroy};
