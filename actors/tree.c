/* SPDX-License-Identifier: MIT */
#include "actors/tree.h"

#include "schemas/config.h"
#include "schemas/messages.h"

static const struct actor_class *const classes[ACTOR_COUNT] = {
    [ACTOR_STATE] = &state_class,
    [ACTOR_TIERED_STORAGE] = &tiered_storage_class,
    [ACTOR_HEAT_TRACKER] = &heat_tracker_class,
    [ACTOR_CONNECTION_MANAGER] = &connection_manager_class,
    [ACTOR_DISCOVERY] = &discovery_class,
    [ACTOR_BITSWAP] = &bitswap_class,
    [ACTOR_CONTROL] = &control_class,
    [ACTOR_COLD_STORE] = &cold_store_class,
};

/* Ten failures a minute are an illness that a restart does not cure. */
enum { INTENSITY = 10, PERIOD_MS = 60000 };

/* Millions of rules are read before anything is served. */
enum { DENYLISTS_START_MS = 120 * 1000 };

#define WORKER(name, actor)                                                                                            \
    {                                                                                                                  \
        .id = (name), .type = CHILD_WORKER, .start = (actor), .restart = RESTART_PERMANENT                             \
    }
#define SUBTREE(name, spec)                                                                                            \
    {                                                                                                                  \
        .id = (name), .type = CHILD_SUPERVISOR, .tree = (spec), .restart = RESTART_PERMANENT                           \
    }
#define SUPERVISOR(title, how, rows)                                                                                   \
    {                                                                                                                  \
        .name = (title), .strategy = (how), .intensity = INTENSITY, .period_ms = PERIOD_MS, .children = (rows),        \
        .child_count = ARRAY_LEN(rows)                                                                                 \
    }

/* The first child is there only with a cold tier: without one nothing is opened for it, neither mailbox nor thread. */
static const struct child_spec keep_children[] = {
    WORKER("cold_store", ACTOR_COLD_STORE),
    {.id = "tiered_storage",
     .type = CHILD_WORKER,
     .start = ACTOR_TIERED_STORAGE,
     .restart = RESTART_PERMANENT,
     .start_ms = STORAGE_START_MS},
    WORKER("heat_tracker", ACTOR_HEAT_TRACKER),
};
static const struct supervisor_spec keep_cold = SUPERVISOR("keep", STRATEGY_REST_FOR_ONE, keep_children);
static const struct supervisor_spec keep = {.name = "keep",
                                            .strategy = STRATEGY_REST_FOR_ONE,
                                            .intensity = INTENSITY,
                                            .period_ms = PERIOD_MS,
                                            .children = keep_children + 1,
                                            .child_count = ARRAY_LEN(keep_children) - 1};

static const struct child_spec protocols_children[] = {
    {.id = "bitswap",
     .type = CHILD_WORKER,
     .start = ACTOR_BITSWAP,
     .restart = RESTART_PERMANENT,
     .start_ms = DENYLISTS_START_MS},
    WORKER("discovery", ACTOR_DISCOVERY), /* behind it: it hears at once of what is denied */
};
static const struct supervisor_spec protocols = SUPERVISOR("protocols", STRATEGY_ONE_FOR_ONE, protocols_children);

static const struct child_spec swarm_children[] = {
    WORKER("connection_manager", ACTOR_CONNECTION_MANAGER),
    SUBTREE("protocols", &protocols),
};
static const struct supervisor_spec swarm = SUPERVISOR("swarm", STRATEGY_REST_FOR_ONE, swarm_children);

static const struct child_spec front_children[] = {
    WORKER("control", ACTOR_CONTROL),
};
static const struct supervisor_spec front = SUPERVISOR("front", STRATEGY_ONE_FOR_ONE, front_children);

#define ROOT_CHILDREN(keep_spec)                                                                                       \
    {                                                                                                                  \
        WORKER("state", ACTOR_STATE), SUBTREE("keep", keep_spec), SUBTREE("swarm", &swarm), SUBTREE("front", &front),  \
    }
static const struct child_spec root_children[] = ROOT_CHILDREN(&keep);
static const struct child_spec root_cold_children[] = ROOT_CHILDREN(&keep_cold);
static const struct supervisor_spec root = SUPERVISOR("root", STRATEGY_ONE_FOR_ONE, root_children);
static const struct supervisor_spec root_cold = SUPERVISOR("root", STRATEGY_ONE_FOR_ONE, root_cold_children);

/* Acyclic: a call goes down this list only. What flows up is a cast. */
static const struct edge_spec edges[] = {
    {ACTOR_CONTROL, ACTOR_BITSWAP},
    {ACTOR_CONTROL, ACTOR_DISCOVERY},
    {ACTOR_CONTROL, ACTOR_CONNECTION_MANAGER},
    {ACTOR_CONTROL, ACTOR_HEAT_TRACKER},
    {ACTOR_CONTROL, ACTOR_TIERED_STORAGE},
    {ACTOR_CONTROL, ACTOR_STATE},
    {ACTOR_CONTROL, ACTOR_ROOT},
    {ACTOR_BITSWAP, ACTOR_DISCOVERY},
    {ACTOR_BITSWAP, ACTOR_CONNECTION_MANAGER},
    {ACTOR_BITSWAP, ACTOR_TIERED_STORAGE},
    {ACTOR_DISCOVERY, ACTOR_CONNECTION_MANAGER},
    {ACTOR_DISCOVERY, ACTOR_STATE},
    {ACTOR_DISCOVERY, ACTOR_TIERED_STORAGE},
    {ACTOR_CONNECTION_MANAGER, ACTOR_STATE},
    {ACTOR_HEAT_TRACKER, ACTOR_TIERED_STORAGE},
    {ACTOR_CONTROL, ACTOR_COLD_STORE}, /* these two: with a cold tier */
    {ACTOR_TIERED_STORAGE, ACTOR_COLD_STORE},
};
enum { COLD_EDGES = 2, COLD_LANES = 2 };

/* The last ones of each group are there only where something uses them: threads cost memory. */
static const struct lane_spec all_lanes[] = {
    {.name = "state", .workers = 1, .queue = 16},
    {.name = "catalogue", .workers = 1, .queue = 64},
    {.name = "disk", .workers = 2, .queue = 256},
    {.name = "files", .workers = 2, .queue = 64},
    {.name = "dns", .workers = 2, .queue = 32},
    {.name = "cold", .workers = 2, .queue = 64}, /* these two: with a cold tier */
    {.name = "heat", .workers = 1, .queue = 4},
    {.name = "routers", .workers = 2, .queue = 16}, /* with delegated routers */
};
enum { ROUTER_LANES = 1, PLAIN_LANES = ARRAY_LEN(all_lanes) - COLD_LANES - ROUTER_LANES };
static struct lane_spec lanes[ARRAY_LEN(all_lanes)];

static uint32_t choose_lanes(bool cold, bool routers)
{
    uint32_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(all_lanes); i++) {
        bool is_router = i >= ARRAY_LEN(all_lanes) - ROUTER_LANES;
        bool is_cold = i >= PLAIN_LANES && !is_router;
        if ((!is_cold || cold) && (!is_router || routers))
            lanes[count++] = all_lanes[i];
    }
    return count;
}

/* Tells the state actor what its table of events is to show. What cannot be told is in the log all the same. */
static void tell_state(void *arg, struct ctx *ctx, const struct supervision_event *event)
{
    (void)arg;
    struct msg_event fields = {
        .actor = span_text(event->child),
        .event = span_text(supervision_kind_name(event->kind)),
        .reason = span_text(event->text[0] == '\0' ? exit_reason_name(event->reason) : event->text),
    };
    (void)ctx_cast(ctx, ACTOR_STATE, &(struct msg){.kind = MSG_EVENT, .fields = &fields});
}

void tree_describe(struct runtime_config *config)
{
    bool cold = config->config->tiers_cold_kind[0] != '\0';
    config->classes = classes;
    config->class_count = cold ? ACTOR_COUNT : ACTOR_COLD_STORE;
    config->tree = cold ? &root_cold : &root;
    config->edges = edges;
    config->edge_count = ARRAY_LEN(edges) - (cold ? 0 : COLD_EDGES);
    config->lanes = lanes;
    config->lane_count = choose_lanes(cold, config->config->routing_delegated_routers.count > 0);
    config->schemas = &schema_messages;
    config->event = tell_state;
}
