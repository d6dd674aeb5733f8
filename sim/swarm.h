/* SPDX-License-Identifier: MIT */
/*
 * A swarm in one process: several whole nodes, each the production tree of actors linked unchanged, on a simulated network and
 * simulated disks, under one seeded scheduler.
 *
 *      node 0: stores blocks            node 1..n-1: connect to node 0, fetch every block over Bitswap, compare the bytes
 *
 * The only actor that is not production's is the driver, which sits where control sits and asks what control would ask.
 */
#ifndef HEARTH_SIM_SWARM_H
#define HEARTH_SIM_SWARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "mailbox/runtime.h"

enum { SWARM_NODES_MAX = 32, SWARM_BLOCKS_MAX = 10000, SWARM_WHY_BYTES = 256 };

struct swarm_options {
    uint64_t seed;
    unsigned nodes; /* at least 2 */
    unsigned blocks;
    size_t block_bytes;   /* at most 1 MiB */
    uint64_t timeout_ns;  /* virtual */
    uint64_t reset_at_ns; /* virtual, from the start; 0 = never: the links between node 0 and 1 are reset once */
    log_fn *log;          /* may be NULL */
};

struct swarm_result {
    uint64_t trace; /* the hash over all that was delivered */
    uint64_t steps;
    uint64_t virtual_ns; /* from start to end */
    unsigned fetched;    /* blocks that arrived and compared equal, over all nodes */
};

/* Plays the scenario. ERR_TIMEOUT when a fetch did not finish; why says which. Blocks until it is over. */
enum err swarm_play(const struct swarm_options *options, struct swarm_result *ret_result,
                    char why[SWARM_WHY_BYTES]) MUST_CHECK;

#endif
