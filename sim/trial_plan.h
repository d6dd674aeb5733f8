/* SPDX-License-Identifier: MIT */
/*
 * The plan of a trial: which faults, how often, how heavy, derived from scenario and seed. A pure function, so a seed is all that a failure
 * has to name.
 *
 * Each kind of fault of a scenario is there with three chances of four, so that some seeds show what two faults do without the third.
 */
#ifndef HEARTH_SIM_TRIAL_PLAN_H
#define HEARTH_SIM_TRIAL_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sim/disk.h"

enum { TRIAL_NODES_MAX = 1000, TRIAL_MINUTES_MAX = 100000 };

enum trial_scenario {
    TRIAL_CALM,    /* load only */
    TRIAL_NETWORK, /* latency, connects that are lost, partitions, half-open connections, resets, slow links */
    TRIAL_DISK,    /* failed and short writes, failed syncs, full disks, loss of power, kill -9 */
    TRIAL_ACTORS,  /* actors that exit, stall, fail their start */
    TRIAL_CLOCK,   /* jumps of the time of day */
    TRIAL_EVERYTHING,
    TRIAL_SCENARIOS
};

/* What is done to one node at a time; network faults to a node and a few others. */
enum trial_fault {
    FAULT_PART,    /* some nodes are cut off from the others, for up to a minute */
    FAULT_ONE_WAY, /* what a node sends is lost for up to half a minute, what it is sent is not */
    FAULT_FORGET,  /* all its connections are half-open, on both ends */
    FAULT_RESET,   /* all its connections are reset */
    FAULT_SLOW,    /* a node's links carry 20 kB to 1 MB a second for up to a minute */
    FAULT_POWER,   /* it loses its power, and of its disk what was not synced: dropped, torn or reordered */
    FAULT_KILL,    /* kill -9, and a new process at once */
    FAULT_FULL,    /* its disk is full for up to half a minute */
    FAULT_EXIT,    /* one of its actors ends */
    FAULT_STALL,   /* one of its actors takes up to 2 s for a turn */
    FAULT_START,   /* one of its actors ends, and fails its next start */
    FAULT_CLOCK,   /* its time of day jumps: an hour, ten years, ahead or back */
    TRIAL_FAULTS
};

struct trial_plan {
    uint64_t seed;
    enum trial_scenario scenario;
    unsigned nodes;     /* 2 to TRIAL_NODES_MAX */
    uint64_t safety_ns; /* of the safety phase */
    bool idle;          /* no load */
    bool small;         /* 16 connections a node at most: for many nodes */

    uint64_t pause_ns; /* between two errands of a node, mean */
    size_t block_bytes_max;
    uint64_t latency_ns; /* one way, at most, of pairs; half of it at least */
    uint64_t jitter_ns;
    uint32_t connect_loss;           /* per mille */
    uint64_t every_ns[TRIAL_FAULTS]; /* of one node, mean; 0: never */
    uint32_t disk_per_million[SIM_FAULT_COUNT];
};

const char *trial_scenario_name(enum trial_scenario scenario);
/* TRIAL_SCENARIOS: there is none of that name. */
enum trial_scenario trial_scenario_of(const char *name);
const char *trial_fault_name(enum trial_fault fault);
const char *trial_disk_fault_name(enum sim_disk_fault fault);
const char *trial_cut_name(enum sim_disk_cut cut);

/* Fills all but nodes, safety_ns, idle and small, which the caller has set. */
void trial_plan_derive(struct trial_plan *plan, uint64_t seed, enum trial_scenario scenario);

/* One line for each thing that was derived. */
void trial_plan_print(const struct trial_plan *plan, FILE *to);

#endif
