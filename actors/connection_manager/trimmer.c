/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/trimmer.h"

#include <stdlib.h>

#include "base/attr.h"
#include "base/limits.h"

static bool may_go(const struct trimmer *trimmer, const struct trimmer_candidate *c, uint64_t now_ns)
{
    return !c->kept && now_ns - c->opened_ns >= trimmer->grace_ns;
}

static int goes_before(const void *a, const void *b)
{
    const struct trimmer_candidate *x = a;
    const struct trimmer_candidate *y = b;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    if (x->streams != y->streams)
        return x->streams < y->streams ? -1 : 1;
    if (x->active_ns != y->active_ns)
        return x->active_ns < y->active_ns ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

void trimmer_choose(const struct trimmer *trimmer, uint64_t total, struct trimmer_candidate *candidates, size_t count,
                    uint64_t now_ns, size_t *ret_count)
{
    *ret_count = 0;
    if (total <= trimmer->high)
        return;
    size_t may = 0;
    for (size_t i = 0; i < count; i++) {
        if (!may_go(trimmer, &candidates[i], now_ns))
            continue;
        struct trimmer_candidate swapped = candidates[may];
        candidates[may++] = candidates[i];
        candidates[i] = swapped;
    }
    qsort(candidates, may, sizeof(*candidates), goes_before);
    *ret_count = (size_t)MIN((uint64_t)may, total - trimmer->low);
}

bool trimmer_may_give_way(const struct trimmer_candidate *c, uint64_t now_ns)
{
    return c->own && !c->kept && now_ns - c->active_ns >= TRIMMER_QUIET_MS * MS_NS;
}

bool trimmer_goes_before(const struct trimmer_candidate *a, const struct trimmer_candidate *b)
{
    return goes_before(a, b) < 0;
}
