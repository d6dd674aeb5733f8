/* SPDX-License-Identifier: MIT */
#include "storage/heat_rank.h"

#include "base/attr.h"

#define GOLDEN_STEP UINT32_C(0x9E3779B9) /* 2^32 times the golden section */

enum { FETCH_FROM = 8192 }; /* fewer blocks, and their rows, are in near caches anyhow */

/*
 * log2 of a size, exact at powers of two and below by up to 0.09 between them: sizes are compared to within 6 %, for the price of a shift
 * instead of a logarithm.
 */
static inline float log2_roughly(uint32_t bytes)
{
    float size = (float)MAX(bytes, 1);
    uint32_t bits;
    memcpy(&bits, &size, sizeof(bits));
    return (float)bits * 0x1p-23F - 127.0F;
}

INLINE_ALWAYS float rank_of(const struct heat_ranker *ranker, enum heat_way way, const struct heat_row *row,
                            uint32_t bytes)
{
    uint32_t age = heat_age(row, ranker->now);
    enum heat_span span = way == HEAT_BY_SHORT ? HEAT_SHORT : HEAT_LONG;
    bool small_first = ranker->goal == HEAT_GOAL_OBJECTS && bytes > 1;
    float rank;
    switch (way) {
    case HEAT_BY_WORTH:
        rank = heat_curves_worth(ranker->curves, row->class, age);
        return small_first ? rank / (float)bytes : rank;
    case HEAT_BY_SHORT:
    case HEAT_BY_LONG:
        rank = heat_cooled(row, span, age, ranker->cooling[span]);
        return small_first ? rank - log2_roughly(bytes) : rank;
    case HEAT_BY_AGE:
    case HEAT_WAYS:
        break;
    }
    return -(float)age;
}

float heat_rank(const struct heat_ranker *ranker, enum heat_way way, struct heat_held held)
{
    return rank_of(ranker, way, heat_row_at(ranker->history, held.row), held.bytes);
}

/* So that numbers are ordered as the floats were whose bits they are. */
static inline uint32_t in_order(float rank)
{
    uint32_t bits;
    memcpy(&bits, &rank, sizeof(bits));
    return bits ^ ((bits & UINT32_C(1) << 31) != 0 ? UINT32_MAX : UINT32_C(1) << 31);
}

/* rank 28 | youth 32 | which look 4: the least is the worst, of one rank (to a 2^19th of it) the oldest. */
enum { LOOK_BITS = 4, LOOK_MASK = (1 << LOOK_BITS) - 1 };
_Static_assert(HEAT_LOOKS <= LOOK_MASK + 1, "a look has a number of four bits");

static inline uint64_t standing(float rank, uint32_t age, uint32_t look)
{
    return (uint64_t)(in_order(rank) >> LOOK_BITS) << (32 + LOOK_BITS) | (uint64_t)~age << LOOK_BITS | look;
}

static inline uint32_t place_at(uint32_t walk, uint32_t count)
{
    return (uint32_t)((uint64_t)walk * count >> 32);
}

static void choose_places(uint32_t count, struct heat_search *search, uint32_t *ret_places)
{
    if (count <= HEAT_LOOKS) {
        for (uint32_t i = 0; i < count; i++)
            ret_places[i] = i;
        return;
    }
    ret_places[0] = MIN(search->second, count - 1);
    for (uint32_t i = 1; i < HEAT_LOOKS; i++) {
        search->walk += GOLDEN_STEP;
        ret_places[i] = place_at(search->walk, count);
    }
}

/* The places of the next search are known, so its rows are fetched now, and the list's entries for the one after it. */
INLINE_ALWAYS void fetch_ahead(const struct heat_ranker *ranker, const struct heat_held *held, uint32_t count,
                               uint32_t walk)
{
    for (uint32_t i = 1; i < HEAT_LOOKS; i++) {
        walk += GOLDEN_STEP;
        row_table_fetch(ranker->history, held[place_at(walk, count)].row);
        __builtin_prefetch(&held[place_at(walk + (HEAT_LOOKS - 1) * GOLDEN_STEP, count)]);
    }
}

/* Compared without branches: one guessed wrong would wait for the rows that came before it. way: a constant, so that the loop knows it. */
INLINE_ALWAYS uint32_t worst_by(const struct heat_ranker *ranker, enum heat_way way, const struct heat_held *held,
                                uint32_t count, struct heat_search *search, float *ret_rank)
{
    uint32_t places[HEAT_LOOKS] = {0};
    float ranks[HEAT_LOOKS] = {0};
    uint64_t worst = UINT64_MAX;
    uint64_t second = UINT64_MAX;
    uint32_t looks = MIN(count, HEAT_LOOKS);
    choose_places(count, search, places);
    for (uint32_t i = 0; i < looks; i++) {
        const struct heat_held *one = &held[places[i]];
        const struct heat_row *row = heat_row_at(ranker->history, one->row);
        ranks[i] = rank_of(ranker, way, row, one->bytes);
        uint64_t this = standing(ranks[i], heat_age(row, ranker->now), i);
        second = MIN(second, MAX(worst, this));
        worst = MIN(worst, this);
    }
    search->second = places[(looks > 1 ? second : worst) & LOOK_MASK];
    *ret_rank = ranks[worst & LOOK_MASK];
    return places[worst & LOOK_MASK];
}

uint32_t heat_worst(const struct heat_ranker *ranker, enum heat_way way, const struct heat_held *held, uint32_t count,
                    struct heat_search *search, float *ret_rank)
{
    uint32_t worst = 0;
    switch (way) {
    case HEAT_BY_WORTH:
        worst = worst_by(ranker, HEAT_BY_WORTH, held, count, search, ret_rank);
        break;
    case HEAT_BY_SHORT:
        worst = worst_by(ranker, HEAT_BY_SHORT, held, count, search, ret_rank);
        break;
    case HEAT_BY_LONG:
        worst = worst_by(ranker, HEAT_BY_LONG, held, count, search, ret_rank);
        break;
    case HEAT_BY_AGE:
    case HEAT_WAYS:
        worst = worst_by(ranker, HEAT_BY_AGE, held, count, search, ret_rank);
        break;
    }
    if (count >= FETCH_FROM)
        fetch_ahead(ranker, held, count, search->walk);
    return worst;
}
