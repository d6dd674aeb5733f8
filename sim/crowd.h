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

enum {
    CROWD_NODES_MAX = 20000,
    CROWD_SYBILS_MAX = 200,
    CROWD_TASKS_MAX = 100000,
    CROWD_CONNECTIONS_MAX = 10000,
    CROWD_PROVIDE_MAX = 100000,
    CROWD_WHY_BYTES = 256
};

/* What a node is asked to do. */
enum crowd_task_kind {
    CROWD_CONNECT,        /* to be connected with another node, whose address it is told */
    CROWD_FIND_PEER,      /* where another node is, which it is not told */
    CROWD_PROVIDE,        /* to be named as provider of a CID of its own */
    CROWD_FIND_PROVIDERS, /* who provided a CID: one of the provide tasks before */
    CROWD_PROVIDE_ATTACKED, /* only with sybils, and only once: to be named as provider of the CID whose key they surround */
    CROWD_FIND_ATTACKED, /* who provided that */
    CROWD_KINDS
};

struct crowd_options {
    uint64_t seed;
    unsigned nodes;       /* at least 2 */
    const char *actors;   /* by name, with commas; NULL: connection_manager,discovery,state */
    uint64_t life_ns;     /* virtual, from when the last node has joined */
    uint64_t session_ns;  /* median; 0: nobody leaves */
    uint64_t away_ns;     /* median, until a node that left is back */
    unsigned sybils;      /* nodes of one /24 around the key of one CID, which want to hide who provides it */
    bool sybils_spread;   /* not of one /24 but from anywhere: then nothing holds them off */
    unsigned connections; /* each keeps at most so many, half of them when it trims; 0: as configured by default */
    unsigned tasks;       /* of each kind that the actors can do */
    unsigned provide;     /* CIDs that two further nodes provide when all else is done: by sweep, and one by one */
    unsigned singles;     /* at most so many of them one by one, as a sample; 0: all */
    log_fn *log;          /* may be NULL */
    FILE *progress;       /* a line now and then; may be NULL */
};

struct crowd_kind_result {
    unsigned given;
    unsigned done;  /* with success */
    unsigned known; /* of these without asking anybody */
    unsigned gone;  /* the node that was asked, or was asked for, left before the end: not counted */
    uint64_t p50_ns;
    uint64_t p95_ns;
    /* Of those that asked others: DHT requests, and answers one by another. */
    uint64_t requests_p50;
    uint64_t requests_p95;
    double requests_mean;
    uint64_t hops_p50;
    uint64_t hops_p95;
    double hops_mean;
};

enum crowd_way { CROWD_BY_SWEEP, CROWD_ONE_BY_ONE, CROWD_WAYS };

/* What providing took its node. */
struct crowd_effort {
    uint64_t provided; /* CIDs */
    uint64_t lookups;
    uint64_t trips; /* requests with an answer */
    uint64_t told;  /* ADD_PROVIDER, which has none */
    uint64_t failed;
    uint64_t streams;
    uint64_t dials;
    uint64_t bytes_out;
    uint64_t bytes_in;
    uint64_t bytes;
    uint64_t took_ms;
};

/* How many CIDs are to be provided in that way. */
static inline unsigned crowd_provider_all(const struct crowd_options *options, enum crowd_way way)
{
    bool sample = way == CROWD_ONE_BY_ONE && options->singles > 0;
    return sample ? MIN(options->singles, options->provide) : options->provide;
}

struct crowd_result {
    uint64_t trace; /* the hash over all that was delivered */
    uint64_t steps;
    uint64_t virtual_ns;
    unsigned up;          /* nodes alive at the end */
    unsigned alone;       /* of these without a connection */
    uint64_t connections; /* open at the end */
    unsigned left;        /* sessions that ended: half of them without a word */
    unsigned swallowed;   /* records of the attacked CID that sybils were given, of about 20 */
    struct crowd_kind_result kinds[CROWD_KINDS];
    struct crowd_effort efforts[CROWD_WAYS]; /* with options.provide */
    struct crowd_effort quiet[CROWD_WAYS];   /* of the same nodes in a minute in which nothing was asked of them */
};

const char *crowd_kind_name(enum crowd_task_kind kind);

/* Plays. ERR_INVALID: options, why says which. Blocks until it is over. */
enum err crowd_play(const struct crowd_options *options, struct crowd_result *ret_result,
                    char why[CROWD_WHY_BYTES]) MUST_CHECK;

#endif
