/* SPDX-License-Identifier: MIT */
#include "storage/heat_trial.h"

#include <math.h>
#include <string.h>

/* A lead counts from half the deviation that chance gives to as many hits: the trials see the same accesses, so they differ by less. */
#define MARGIN 0.5

void heat_trials_init(struct heat_trials *trials)
{
    memset(trials, 0, sizeof(*trials));
    for (int way = 0; way < HEAT_WAYS; way++)
        trials->of[way].way = (enum heat_way)way;
    trials->best = HEAT_BY_WORTH;
}

void heat_trials_scale(struct heat_trials *trials, uint64_t capacity_bytes, double slots)
{
    double blocks = MIN(MAX(slots / HEAT_TRIAL_SHARE, HEAT_TRIAL_BLOCKS_MIN), HEAT_TRIAL_BLOCKS_MAX);
    double share = MIN(blocks / slots, 1);
    trials->sample = (uint32_t)(share * UINT32_MAX);
    trials->capacity_bytes = (uint64_t)(share * (double)capacity_bytes);
    trials->block_bytes = (double)capacity_bytes / slots;
}

/* Another hash than the one that finds rows. */
static bool sampled(const struct heat_trials *trials, uint64_t key)
{
    uint64_t hash = (key ^ key >> 31) * UINT64_C(0xBF58476D1CE4E5B9);
    hash = (hash ^ hash >> 29) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)(hash >> 32) <= trials->sample;
}

static uint8_t mark_of(const struct heat_trial *trial)
{
    return (uint8_t)(1U << (unsigned)trial->way);
}

static void drop(struct heat_trial *trial, struct row_table *history, uint32_t at)
{
    heat_row_at(history, trial->held[at].row)->trials &= (uint8_t)~mark_of(trial);
    trial->bytes -= trial->held[at].bytes;
    trial->held[at] = trial->held[--trial->count];
}

static void enter(struct heat_trial *trial, const struct heat_ranker *ranker, struct heat_held used, uint64_t capacity)
{
    float rank = heat_rank(ranker, trial->way, used);
    while (trial->count > 0 && (trial->bytes + used.bytes > capacity || trial->count == HEAT_TRIAL_HELD_MAX)) {
        float worst_rank;
        uint32_t worst = heat_worst(ranker, trial->way, trial->held, trial->count, &trial->search, &worst_rank);
        if (worst_rank > rank)
            return;
        drop(trial, ranker->history, worst);
    }
    trial->held[trial->count++] = used;
    trial->bytes += used.bytes;
    heat_row_at(ranker->history, used.row)->trials |= mark_of(trial);
}

void heat_trials_use(struct heat_trials *trials, const struct heat_ranker *ranker, struct heat_held used)
{
    const struct heat_row *row = heat_row_at(ranker->history, used.row);
    if (used.bytes > trials->capacity_bytes || !sampled(trials, row->key))
        return;
    for (int way = 0; way < HEAT_WAYS; way++) {
        struct heat_trial *trial = &trials->of[way];
        if (row->trials & mark_of(trial))
            trial->hits += ranker->goal == HEAT_GOAL_OBJECTS ? 1 : (double)used.bytes / trials->block_bytes;
        else
            enter(trial, ranker, used, trials->capacity_bytes);
    }
}

enum heat_way heat_trials_review(struct heat_trials *trials, double keep)
{
    enum heat_way most = trials->best;
    for (int way = 0; way < HEAT_WAYS; way++) {
        if (trials->of[way].hits > trials->of[most].hits)
            most = (enum heat_way)way;
    }
    double now = trials->of[trials->best].hits;
    if (trials->of[most].hits > now + MARGIN * sqrt(now))
        trials->best = most;
    for (int way = 0; way < HEAT_WAYS; way++)
        trials->of[way].hits *= keep;
    return trials->best;
}
