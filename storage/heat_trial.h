/* SPDX-License-Identifier: MIT */
/*
 * Which way of ranking is best now: each is tried in a small tier of its own.
 *
 *   accesses ──(those whose key falls into the sample)──> four trial tiers, one a way, of 1024 to 2048 blocks, without their bytes
 *                                                           hits, fading ──> the way with the most is the tier's
 *
 * The tier's capacity and the blocks that may be in it are scaled down alike, by the same share, so hit ratios are those of the whole
 * (Waldspurger et al., "Cache modeling and optimization using miniature simulations", USENIX ATC 2017). A tier of fewer blocks is tried
 * whole. Rejected: weights learned from regret over ghosts (LeCaR): they tell that a victim was missed, not what another way would have
 * kept. Pure; one thread.
 */
#ifndef HEARTH_STORAGE_HEAT_TRIAL_H
#define HEARTH_STORAGE_HEAT_TRIAL_H

#include "storage/heat_rank.h"

enum { HEAT_TRIAL_BLOCKS_MIN = 1024, HEAT_TRIAL_BLOCKS_MAX = 2048, HEAT_TRIAL_SHARE = 8, HEAT_TRIAL_HELD_MAX = 4096 };

struct heat_trial {
    enum heat_way way;
    uint32_t count;
    struct heat_search search;
    uint64_t bytes;
    double hits;                                /* of a bytes' tier: bytes hit, in blocks of the mean size */
    struct heat_held held[HEAT_TRIAL_HELD_MAX]; /* more than the blocks aimed at: small ones come */
};

struct heat_trials {
    struct heat_trial of[HEAT_WAYS];
    uint32_t sample;         /* keys whose hash is below it */
    uint64_t capacity_bytes; /* of each */
    double block_bytes;      /* what a block takes in the mean */
    enum heat_way best;
};

void heat_trials_init(struct heat_trials *trials);

/* The tier's size changed, or the blocks' mean size: slots is how many it holds. */
void heat_trials_scale(struct heat_trials *trials, uint64_t capacity_bytes, double slots);

/* The block was used; its row is up to date. Nothing when it is not of the sample. */
void heat_trials_use(struct heat_trials *trials, const struct heat_ranker *ranker, struct heat_held used);

/* Chooses; called at each review. keep: the share of the hits that stays. */
enum heat_way heat_trials_review(struct heat_trials *trials, double keep);

#endif
