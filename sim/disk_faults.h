/* SPDX-License-Identifier: MIT */
/*
 * Which operations of the simulated disk fail: by plan (the next but so many), or by a rate. Owned by sim/disk; one thread.
 */
#ifndef HEARTH_SIM_DISK_FAULTS_H
#define HEARTH_SIM_DISK_FAULTS_H

#include "sim/disk.h"

struct disk_fault_plan {
    uint64_t skip;
    uint64_t count;
    uint64_t struck; /* by plan or by rate */
};

struct disk_faults {
    struct disk_fault_plan plans[SIM_FAULT_COUNT];
    uint32_t per_million[SIM_FAULT_COUNT];
};

/* Whether this operation is one that fails. The seed is drawn from only where there is a rate. */
bool disk_faults_strike(struct disk_faults *faults, enum sim_disk_fault fault, struct prng *prng) MUST_CHECK;

/* NULL: none. */
void disk_faults_set_rates(struct disk_faults *faults, const uint32_t per_million[SIM_FAULT_COUNT]);

#endif
