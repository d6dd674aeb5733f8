/* SPDX-License-Identifier: MIT */
#include "storage/heat_row.h"

#include <math.h>

enum { HEAT_MAX = 40 * HEAT_FRACTION };

uint16_t heat_warmed(uint16_t heat, uint32_t age, float half_life)
{
    float cooled = (float)heat / HEAT_FRACTION - (float)age / half_life;
    float warmed = log2f(1 + exp2f(cooled)) * HEAT_FRACTION + 0.5F;
    return (uint16_t)MIN(warmed, (float)HEAT_MAX);
}
