/* SPDX-License-Identifier: MIT */
#include "storage/heat_row.h"

#include <math.h>

/*
 * log2(1 + 2^x) is 0 below the table and x above it; within, a line between points that are a sixteenth apart is right to a fortieth of what is
 * stored. Two libraries' calls for a logarithm and a power took a third of the time of an access.
 */
enum { FROM = -12, TO = 12, POINTS = 16, TABLE = (TO - FROM) * POINTS + 1, HEAT_MAX = 40 * HEAT_FRACTION };

static float warmed[TABLE];

__attribute__((constructor)) static void make_table(void)
{
    for (int i = 0; i < TABLE; i++)
        warmed[i] = log2f(1 + exp2f(FROM + (float)i / POINTS));
}

uint16_t heat_warmed(float cooled)
{
    if (cooled <= FROM)
        return 0;
    if (cooled >= TO)
        return (uint16_t)MIN(cooled * HEAT_FRACTION + 0.5F, (float)HEAT_MAX);
    float at = (cooled - FROM) * POINTS;
    int point = (int)at;
    float heat = warmed[point] + (warmed[point + 1] - warmed[point]) * (at - (float)point);
    return (uint16_t)(heat * HEAT_FRACTION + 0.5F);
}
