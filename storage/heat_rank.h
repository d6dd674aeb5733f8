/* SPDX-License-Identifier: MIT */
/*
 * Four ways to say which block of a tier is worth least, over one history:
 *
 *   HEAT_BY_AGE     the one not used for longest: LRU
 *   HEAT_BY_SHORT   the coldest, by the heat with the short half-life
 *   HEAT_BY_LONG    … with the long one
 *   HEAT_BY_WORTH   the one least worth keeping by the curves of returns (heat_curve.h)
 *
 * No one of them is best for all loads, nor is any single half-life (docs/heat.md); heat_trial.h finds out which one is now. All but the
 * first may refuse a newcomer: it enters when it ranks above what would have to leave. Pure; one thread.
 */
#ifndef HEARTH_STORAGE_HEAT_RANK_H
#define HEARTH_STORAGE_HEAT_RANK_H

#include "storage/heat_curve.h"
#include "storage/heat_row.h"

enum heat_way { HEAT_BY_WORTH, HEAT_BY_AGE, HEAT_BY_SHORT, HEAT_BY_LONG, HEAT_WAYS };

/* What is to be many: hits, so that ten small blocks are worth more than one large block; or bytes that are hit. */
enum heat_goal { HEAT_GOAL_OBJECTS, HEAT_GOAL_BYTES };

struct heat_ranker {
    struct row_table *history;
    struct heat_curves *curves;
    float cooling[HEAT_SPANS]; /* half-lives an access */
    uint32_t now;
    enum heat_goal goal;
};

/* One block that a tier or a trial tier holds. */
struct heat_held {
    uint32_t row;
    uint32_t bytes;
};

/* Higher is better; comparable within one way and one moment. */
float heat_rank(const struct heat_ranker *ranker, enum heat_way way, struct heat_held held);

/*
 * Some tiers hold millions, so not all are looked at: of HEAT_LOOKS the worst is taken. One of them is the second worst of the search before,
 * which makes up for half as many looks again; steps of the golden section through the list spread the others evenly, need no randomness and
 * repeat exactly.
 */
enum { HEAT_LOOKS = 10 };

struct heat_search {
    uint32_t walk;
    uint32_t second; /* its place; who has moved there since is as good as any */
};

/* The place of the one to leave. count is not 0. */
uint32_t heat_worst(const struct heat_ranker *ranker, enum heat_way way, const struct heat_held *held, uint32_t count,
                    struct heat_search *search, float *ret_rank);

#endif
