/* SPDX-License-Identifier: MIT */
/* What requests to a bucket add up to, told to state for v_costs: a while after the first of them, so that a node at rest tells nothing. */
#ifndef HEARTH_ACTORS_COLD_STORE_COSTS_H
#define HEARTH_ACTORS_COLD_STORE_COSTS_H

#include "mailbox/actor.h"
#include "storage/cold_drive.h"

/* All zero at first. */
struct costs {
    struct s3_counters told;
    uint64_t timer; /* 0: none is set */
};

/* A job has ended. The timer has `tag`; costs_due is for when it comes. */
void costs_note(struct costs *costs, struct ctx *ctx, uint64_t tag);
void costs_due(struct costs *costs, struct ctx *ctx, struct cold_drive *drive);
/* At the end of a life: what is not told yet. */
void costs_release(struct costs *costs, struct ctx *ctx, struct cold_drive *drive);

#endif
