/* SPDX-License-Identifier: MIT */
/*
 * What follows from Role: how much a node does for others. A role changes effort, never what is said on the wire: every node serves and asks
 * standard Bitswap.
 */
#ifndef HEARTH_SCHEMAS_ROLE_H
#define HEARTH_SCHEMAS_ROLE_H

#include <stdbool.h>
#include <stdint.h>

struct config;

struct role {
    const char *name;
    uint64_t low_water; /* connections kept when trimming */
    uint64_t high_water;
    uint64_t grace_ns;
    uint64_t
        discovered_max; /* peers from which on nobody is dialled who was only discovered; UINT64_MAX: high water alone decides */
    bool dht_server;  /* answers in the DHT where it can be reached */
    bool tracks_heat; /* wants and accesses, and brings back what is worth it */
    bool caches;      /* keeps blocks in memory */
    bool fetches;     /* what peers want and it lacks, itself */
};

/* The role of a configuration; never NULL. */
const struct role *role_of(const struct config *config);

/*
 * Where Role itself is set, its limits of connections take the place of those of Swarm.ConnMgr that are not. A low water that is not set is never above a high
 * water that is.
 */
void role_apply(struct config *config);

#endif
