/* SPDX-License-Identifier: MIT */
/*
 * The heat of the project's origin, kept so that it can be chosen and compared:
 *
 *      min(n, 100) / (1 + hours since the access before) * (1 + 0.1 * min(age in days, 30))
 *
 * It is worked out at an access and stands until the next one: it never cools by itself.
 */
#ifndef HEARTH_STORAGE_ORIGIN_HEAT_H
#define HEARTH_STORAGE_ORIGIN_HEAT_H

#include <stdint.h>

#include "base/attr.h"

#define ORIGIN_HEAT_FIRST 1.0 /* of a block at its first access */

static inline double origin_heat(uint64_t accesses, double idle_hours, double age_days)
{
    return (double)MIN(accesses, 100) / (1 + idle_hours) * (1 + 0.1 * MIN(age_days, 30));
}

#endif
