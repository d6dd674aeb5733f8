/* SPDX-License-Identifier: MIT */
#include "storage/heat_rank.h"

#define GOLDEN_STEP UINT32_C(0x9E3779B9) /* 2^32 times the golden section */

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

static inline float rank_of(const struct heat_ranker *ranker, enum heat_way way, const struct heat_row *row,
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

/* What a search looks at. */
struct looks {
    uint32_t count;
    uint32_t places[HEAT_LOOKS];
    float ranks[HEAT_LOOKS];
    uint32_t ages[HEAT_LOOKS];
};

static inline bool is_worse(const struct looks *looks, uint32_t a, uint32_t b)
{
    return looks->ranks[a] < looks->ranks[b] || (looks->ranks[a] == looks->ranks[b] && looks->ages[a] > looks->ages[b]);
}

static void choose_places(struct looks *looks, uint32_t count, struct heat_search *search)
{
    looks->count = MIN(count, HEAT_LOOKS);
    if (count <= HEAT_LOOKS) {
        for (uint32_t i = 0; i < count; i++)
            looks->places[i] = i;
        return;
    }
    looks->places[0] = MIN(search->second, count - 1);
    for (uint32_t i = 1; i < HEAT_LOOKS; i++) {
        search->walk += GOLDEN_STEP;
        looks->places[i] = (uint32_t)((uint64_t)search->walk * count >> 32);
    }
}

/* Ranks are worked out before they are compared: a comparison that is guessed wrong would wait for the row of each in turn. */
uint32_t heat_worst(const struct heat_ranker *ranker, enum heat_way way, const struct heat_held *held, uint32_t count,
                    struct heat_search *search, float *ret_rank)
{
    struct looks looks = {0};
    choose_places(&looks, count, search);
    for (uint32_t i = 0; i < looks.count; i++) {
        const struct heat_held *one = &held[looks.places[i]];
        const struct heat_row *row = heat_row_at(ranker->history, one->row);
        looks.ranks[i] = rank_of(ranker, way, row, one->bytes);
        looks.ages[i] = heat_age(row, ranker->now);
    }
    uint32_t worst = 0;
    uint32_t second = 0;
    for (uint32_t i = 1; i < looks.count; i++) {
        if (is_worse(&looks, i, worst)) {
            second = worst;
            worst = i;
        } else if (second == worst || is_worse(&looks, i, second)) {
            second = i;
        }
    }
    search->second = looks.places[second];
    *ret_rank = looks.ranks[worst];
    return looks.places[worst];
}
