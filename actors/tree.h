/* SPDX-License-Identifier: MIT */
/*
 * The production tree, as data: who the actors are, who supervises whom, who may call whom, which actor speaks which protocol.
 */
#ifndef HEARTH_ACTORS_TREE_H
#define HEARTH_ACTORS_TREE_H

#include "base/buf.h"
#include "mailbox/actor.h"
#include "mailbox/runtime.h"

enum {
    ACTOR_ROOT, /* the runtime's: asked about the tree */
    ACTOR_STATE,
    ACTOR_TIERED_STORAGE,
    ACTOR_HEAT_TRACKER,
    ACTOR_CONNECTION_MANAGER,
    ACTOR_DISCOVERY,
    ACTOR_BITSWAP,
    ACTOR_CONTROL,
    ACTOR_COLD_STORE, /* the last: without a cold tier it does not exist */
    ACTOR_COUNT
};

/* The store's start may take minutes: a new version migrates its catalogue, a lost one is made anew from the segments. */
enum { STORAGE_START_MS = 24 * 60 * 60 * 1000 };

/* Each actor's file defines its own. */
extern const struct actor_class state_class;
extern const struct actor_class tiered_storage_class;
extern const struct actor_class heat_tracker_class;
extern const struct actor_class connection_manager_class;
extern const struct actor_class discovery_class;
extern const struct actor_class bitswap_class;
extern const struct actor_class control_class;
extern const struct actor_class cold_store_class;

/*
 * Fills classes, tree, edges, lanes, schemas and the supervision event hook (events reach the state actor). The caller has set config, from
 * which it is taken whether there is a cold tier, and sets budget, ports, log and backend.
 */
void tree_describe(struct runtime_config *config);

/* Whose streams these are: the actor that gets the stream_* casts of a protocol, 0 when connection_manager serves it itself. */
struct tree_protocol {
    const char *name;
    actor_id actor;
};
const struct tree_protocol *tree_protocols(size_t *ret_count);

#endif
