/* SPDX-License-Identifier: MIT */
/* FIFO: who came first leaves first. */
#include "tiersim/contender.h"
#include "tiersim/object_lists.h"

enum { QUEUE = 1 };

static enum tier_access fifo_access(void *self, const struct tier_request *request)
{
    struct object_lists *lists = self;
    if (lists->nodes[request->object].list == QUEUE)
        return TIER_HIT;
    while (object_lists_full(lists, request->bytes))
        object_lists_remove(lists, lists->lists[QUEUE].tail);
    object_lists_push(lists, QUEUE, request->object, request->bytes);
    return TIER_ADMITTED;
}

const struct contender_ops contender_fifo = {.name = "fifo",
                                             .create = object_lists_create,
                                             .access = fifo_access,
                                             .used_bytes = object_lists_used,
                                             .destroy = object_lists_destroy};
