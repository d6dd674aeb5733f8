/* SPDX-License-Identifier: MIT */
/*
 * A crowd: a large swarm in one process, thousands of nodes of which each is the production tree of actors, as much of it as is asked for,
 * with an address, a disk and a configuration of its own.
 *
 *      a few bootstrap nodes --> the others join, spread over time --> they live, come and go --> random nodes are given tasks --> report
 *
 * The only actor that is not production's is the driver, which sits where control sits and asks what control would ask. Who is
 * where, how far and for how long is sim/globe. sim/swarm plays fewer nodes with storage and Bitswap, and compares what arrives.
 *
 * One crowd plays at a time; one thread.
 */
#ifndef HEARTH_SIM_CROWD_H
#define HEARTH_SIM_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/err.h"
#include "mailbox/runtime.h"

enum { CROWD_NODES_MAX = 20000, CROWD_TASKS_MAX = 100000, CROWD_WHY_BYTES = 256 };

/* What a node is asked to do. */
enum crowd_task_kind {
    CROWD_CONNECT, /* to be connected with another node, whose address it is told */
    CROWD_KINDS
};

struct crowd_options {
    uint64_t seed;
    unsigned nodes;      /* at least 2 */
    const char *actors;  /* by name, with commas; NULL: connection_manager,discovery,state */
    uint64_t life_ns;    /* virtual, from when the last node has joined */
    uint64_t session_ns; /* median; 0: nobody leaves */
    uint64_t away_ns;    /* median, until a node that left is back */
    unsigned tasks;      /* of each kind */
    log_fn *log;         /* may be NULL */
    FILE *progress;      /* a line now and then; may be NULL */
};

struct crowd_kind_result {
    unsigned given;
    unsigned done; /* with success */
    unsigned gone; /* the node that was asked, or was asked for, left before the end: not counted */
    uint64_t p50_ns;
    uint64_t p95_ns;
};

struct crowd_result {
    uint64_t trace; /* the hash over all that was delivered */
    uint64_t steps;
    uint64_t virtual_ns;
    unsigned up;          /* nodes alive at the end */
    unsigned alone;       /* of these without a connection */
    uint64_t connections; /* open at the end */
    unsigned left;        /* sessions that ended: half of them without a word */
    struct crowd_kind_result kinds[CROWD_KINDS];
};

const char *crowd_kind_name(enum crowd_task_kind kind);

/* Plays. ERR_INVALID: options, why says which. Blocks until it is over. */
enum err crowd_play(const struct crowd_options *options, struct crowd_result *ret_result,
                    char why[CROWD_WHY_BYTES]) MUST_CHECK;

#endif
