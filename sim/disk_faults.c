/* SPDX-License-Identifier: MIT */
#include "sim/disk_faults.h"

enum { MILLION = 1000000 };

bool disk_faults_strike(struct disk_faults *faults, enum sim_disk_fault fault, struct prng *prng)
{
    struct disk_fault_plan *plan = &faults->plans[fault];
    if (faults->per_million[fault] > 0 && prng_below(prng, MILLION) < faults->per_million[fault]) {
        plan->struck++;
        return true;
    }
    if (plan->count == 0)
        return false;
    if (plan->skip > 0) {
        plan->skip--;
        return false;
    }
    plan->count--;
    plan->struck++;
    return true;
}

void disk_faults_set_rates(struct disk_faults *faults, const uint32_t per_million[SIM_FAULT_COUNT])
{
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
        faults->per_million[i] = per_million == NULL ? 0 : per_million[i];
}
