/* SPDX-License-Identifier: MIT */
#include "schemas/role.h"

#include <string.h>

#include "schemas/config.h"

static const struct role roles[] = {
    {.name = "worker",
     .low_water = 50,
     .high_water = 200,
     .grace_ns = 20 * SECOND_NS,
     .discovered_max = UINT64_MAX,
     .dht_server = true,
     .tracks_heat = true,
     .caches = true},
    {.name = "master",
     .low_water = 100,
     .high_water = 400,
     .grace_ns = 30 * SECOND_NS,
     .discovered_max = UINT64_MAX,
     .dht_server = true,
     .tracks_heat = true,
     .caches = true,
     .fetches = true},
    {.name = "leecher", .low_water = 20, .high_water = 100, .grace_ns = 10 * SECOND_NS, .discovered_max = 10},
};

const struct role *role_of(const struct config *config)
{
    for (size_t i = 1; i < ARRAY_LEN(roles); i++)
        if (strcmp(roles[i].name, config->role) == 0)
            return &roles[i];
    return &roles[0];
}

void role_apply(struct config *config)
{
    const struct role *role = role_of(config);
    bool high_set = config_is_set(config, "Swarm.ConnMgr.HighWater");
    bool low_set = config_is_set(config, "Swarm.ConnMgr.LowWater");
    if (!config_is_set(config, "Role"))
        return;
    if (!config_is_set(config, "Swarm.ConnMgr.GracePeriod"))
        config->swarm_connmgr_grace_period = role->grace_ns;
    if (!high_set)
        config->swarm_connmgr_high_water = role->high_water;
    if (!low_set)
        config->swarm_connmgr_low_water =
            high_set ? MIN(role->low_water, config->swarm_connmgr_high_water) : role->low_water;
}
