/* SPDX-License-Identifier: MIT */
/* The store, shared by the actor and its jobs: whoever lets go last closes it. Private to actors/state. */
#ifndef HEARTH_ACTORS_STATE_STORE_REF_H
#define HEARTH_ACTORS_STATE_STORE_REF_H

#include "actors/state/store.h"

struct store_ref {
    _Atomic uint32_t refs; /* release on unref pairs with the acquire that precedes the close */
    struct state_store *store;
};

/* Owns the store then. NULL without memory: the caller still does. */
struct store_ref *store_ref_new(struct state_store *store) MUST_CHECK;
struct store_ref *store_ref_take(struct store_ref *shared);
/* NULL is ignored. */
void store_ref_drop(struct store_ref *shared);
/* Nobody else has it. */
bool store_ref_is_alone(const struct store_ref *shared);

#endif
