/* SPDX-License-Identifier: MIT */
#include "actors/state/store_ref.h"

#include <stdatomic.h>
#include <stdlib.h>

struct store_ref *store_ref_new(struct state_store *store)
{
    struct store_ref *shared = calloc(1, sizeof(*shared));
    if (shared == NULL)
        return NULL;
    atomic_init(&shared->refs, 1);
    shared->store = store;
    return shared;
}

struct store_ref *store_ref_take(struct store_ref *shared)
{
    (void)atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    return shared;
}

void store_ref_drop(struct store_ref *shared)
{
    if (shared == NULL || atomic_fetch_sub_explicit(&shared->refs, 1, memory_order_acq_rel) != 1)
        return;
    state_store_free(shared->store);
    free(shared);
}

bool store_ref_is_alone(const struct store_ref *shared)
{
    return atomic_load_explicit(&shared->refs, memory_order_acquire) == 1;
}
