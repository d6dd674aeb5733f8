/* SPDX-License-Identifier: MIT */
#include "sim/stage.h"

#include "schemas/messages.h"

/* connection_manager is the last: what it tells finds all others there. */
static const struct child_spec children[] = {
    {.id = "state", .type = CHILD_WORKER, .start = ACTOR_STATE, .restart = RESTART_PERMANENT},
    {.id = "tiered_storage", .type = CHILD_WORKER, .start = ACTOR_TIERED_STORAGE, .restart = RESTART_PERMANENT},
    {.id = "heat_tracker", .type = CHILD_WORKER, .start = ACTOR_HEAT_TRACKER, .restart = RESTART_PERMANENT},
    {.id = "discovery", .type = CHILD_WORKER, .start = ACTOR_DISCOVERY, .restart = RESTART_PERMANENT},
    {.id = "bitswap", .type = CHILD_WORKER, .start = ACTOR_BITSWAP, .restart = RESTART_PERMANENT},
    {.id = "control", .type = CHILD_WORKER, .start = ACTOR_CONTROL, .restart = RESTART_PERMANENT},
    {.id = "connection_manager", .type = CHILD_WORKER, .start = ACTOR_CONNECTION_MANAGER, .restart = RESTART_PERMANENT},
};

static const struct supervisor_spec tree = {.name = "root",
                                            .strategy = STRATEGY_ONE_FOR_ONE,
                                            .intensity = 0,
                                            .period_ms = 1000,
                                            .children = children,
                                            .child_count = ARRAY_LEN(children)};

static const struct edge_spec edges[] = {{ACTOR_CONTROL, ACTOR_BITSWAP},
                                         {ACTOR_BITSWAP, ACTOR_DISCOVERY},
                                         {ACTOR_BITSWAP, ACTOR_CONNECTION_MANAGER},
                                         {ACTOR_BITSWAP, ACTOR_TIERED_STORAGE}};

struct runtime_config stage_config(const struct actor_class *const classes[ACTOR_COUNT])
{
    return (struct runtime_config){.classes = classes,
                                   .class_count = ACTOR_COUNT,
                                   .tree = &tree,
                                   .edges = edges,
                                   .edge_count = ARRAY_LEN(edges),
                                   .schemas = &schema_messages};
}
