/* SPDX-License-Identifier: MIT */
/* LRU: who was used longest ago leaves. */
#include "tiersim/object_lists.h"
#include "tiersim/tier_policy.h"

enum { QUEUE = 1 };

static enum tier_access lru_access(void *self, const struct tier_request *request)
{
    struct object_lists *lists = self;
    if (lists->nodes[request->object].list == QUEUE) {
        object_lists_move(lists, QUEUE, request->object);
        return TIER_HIT;
    }
    while (object_lists_full(lists, request->bytes))
        object_lists_remove(lists, lists->lists[QUEUE].tail);
    object_lists_push(lists, QUEUE, request->object, request->bytes);
    return TIER_ADMITTED;
}

const struct tier_policy_ops tier_policy_lru = {.name = "lru",
                                                .create = object_lists_create,
                                                .access = lru_access,
                                                .used_bytes = object_lists_used,
                                                .destroy = object_lists_destroy};
