/* SPDX-License-Identifier: MIT */
/*
 * A trial: a swarm of whole nodes under load and faults, judged by what it promised.
 *
 *      calm 30 s ── safety phase: load and faults, each answer is compared with the history ──> liveness phase: no faults
 *                                                                                                │
 *                        every node healthy and connected, every wanted block pinned, every name newest, no request open
 *
 * A node is the production tree of actors on a simulated host and disk; in control's place is a driver that asks what control would ask
 * and keeps the history. One seed gives one plan (sim/trial_plan) and one run.
 *
 *      safety      what was acknowledged is there (a block, a pin, a name's sequence), over crashes and torn disks
 *                  no byte that is not the one stored; no record that its owner did not make; nothing pinned is removed
 *                  a request ends by its deadline; no account of memory holds more than its limit, and none anything at the end
 *      liveness    within LIVENESS minutes without faults: all the above, and everything that was asked for is done
 *
 * One trial plays at a time; one thread.
 */
#ifndef HEARTH_SIM_TRIAL_H
#define HEARTH_SIM_TRIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/err.h"
#include "mailbox/actor.h"
#include "mailbox/runtime.h"
#include "sim/trial_plan.h"

struct journal;

enum { TRIAL_WHY_BYTES = 256, TRIAL_LIVENESS_MINUTES = 10 };

/* What the driver of a node does. */
enum errand_kind {
    ERRAND_ADD,     /* stores a block */
    ERRAND_KEEP,    /* stores one and pins it */
    ERRAND_PIN,     /* fetches a block that another node keeps, and pins it: until the end of the run it is wanted */
    ERRAND_FETCH,   /* fetches such a block */
    ERRAND_GET,     /* reads one of its own */
    ERRAND_UNPIN,   /* takes a pin back */
    ERRAND_REMOVE,  /* removes a block that is not pinned */
    ERRAND_REFUSE,  /* wants to remove one that is pinned: to be refused */
    ERRAND_COLLECT, /* a whole collection */
    ERRAND_PUBLISH, /* gives its name a new value */
    ERRAND_RESOLVE, /* asks for another node's name */
    ERRAND_FIND,    /* asks whether a pin is there; in the liveness phase only, as what follows */
    ERRAND_HEALTH,  /* asks each actor, has the store write, counts connections */
    ERRAND_KINDS
};

struct trial_options {
    struct trial_plan plan;
    struct journal *journal; /* what happened goes there; may be NULL */
    FILE *progress;          /* a line each minute of the simulation; NULL: none */
    log_fn *log;             /* may be NULL */
    sim_disk_skip *skip;     /* syncs that disks leave out: how a test sees that it would be seen; else NULL */
};

struct trial_result {
    uint64_t trace; /* the hash over all that was delivered */
    uint64_t steps;
    uint64_t virtual_ns;
    uint64_t began_ns;    /* of the clock of the simulation: when times in a journal begin */
    uint64_t failed_ns;   /* the same: when it was seen that something is wrong; 0: nothing is */
    int failed_node;      /* -1: none in particular */
    uint64_t liveness_ns; /* until all was well without faults */
    uint64_t faults[TRIAL_FAULTS];
    uint64_t disk_faults[SIM_FAULT_COUNT]; /* operations of disks that failed by their rates */
    uint64_t cuts[SIM_CUT_COUNT];          /* what became of unsynced work at losses of power and kills */
    uint64_t connects_lost;
    uint64_t lives;    /* of nodes */
    uint64_t restarts; /* of actors */
    uint64_t begun[ERRAND_KINDS];
    uint64_t done[ERRAND_KINDS];
    uint64_t failed[ERRAND_KINDS]; /* with an error that a fault may cause */
};

const char *errand_name(enum errand_kind kind);

/* ERR_INVALID: a plan out of range; ERR_MISMATCH: a promise was broken, why says which; ERR_NOMEM. Blocks until it is over. */
enum err trial_play(const struct trial_options *options, struct trial_result *ret_result,
                    char why[TRIAL_WHY_BYTES]) MUST_CHECK;

#endif
