/* SPDX-License-Identifier: MIT */
#include "storage/heat_rank.h"

#include <math.h>

#define GOLDEN_STEP UINT32_C(0x9E3779B9) /* 2^32 times the golden section */

float heat_rank(const struct heat_ranker *ranker, enum heat_way way, struct heat_held held)
{
    const struct heat_row *row = heat_row_at(ranker->history, held.row);
    bool small_first = ranker->goal == HEAT_GOAL_OBJECTS;
    float rank;
    switch (way) {
    case HEAT_BY_WORTH:
        rank = heat_curves_worth(ranker->curves, row->class, heat_age(row, ranker->now));
        return small_first ? rank / (float)MAX(held.bytes, 1) : rank;
    case HEAT_BY_SHORT:
        rank = heat_cooled(row, HEAT_SHORT, ranker->now, ranker->half_life[HEAT_SHORT]);
        return small_first ? rank - log2f((float)MAX(held.bytes, 1)) : rank;
    case HEAT_BY_LONG:
        rank = heat_cooled(row, HEAT_LONG, ranker->now, ranker->half_life[HEAT_LONG]);
        return small_first ? rank - log2f((float)MAX(held.bytes, 1)) : rank;
    case HEAT_BY_AGE:
    case HEAT_WAYS:
        break;
    }
    return -(float)heat_age(row, ranker->now);
}

static uint32_t age_of(const struct heat_ranker *ranker, struct heat_held held)
{
    return heat_age(heat_row_at(ranker->history, held.row), ranker->now);
}

uint32_t heat_worst(const struct heat_ranker *ranker, enum heat_way way, const struct heat_held *held, uint32_t count,
                    uint32_t *walk, float *ret_rank)
{
    uint32_t looks = MIN(count, HEAT_SAMPLE);
    uint32_t worst = 0;
    float worst_rank = INFINITY;
    for (uint32_t i = 0; i < looks; i++) {
        uint32_t at = i;
        if (count > HEAT_SAMPLE) {
            *walk += GOLDEN_STEP;
            at = (uint32_t)((uint64_t)*walk * count >> 32);
        }
        float rank = heat_rank(ranker, way, held[at]);
        if (rank < worst_rank || (rank == worst_rank && age_of(ranker, held[at]) > age_of(ranker, held[worst]))) {
            worst_rank = rank;
            worst = at;
        }
    }
    *ret_rank = worst_rank;
    return worst;
}
