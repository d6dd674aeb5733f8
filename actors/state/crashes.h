/* SPDX-License-Identifier: MIT */
/* Records of crashes, the nanny's and root's, on their way into state.db. Private to actors/state. */
#ifndef HEARTH_ACTORS_STATE_CRASHES_H
#define HEARTH_ACTORS_STATE_CRASHES_H

#include "actors/state/store.h"
#include "mailbox/actor.h"

/*
 * Logs each record behind *last, one line, and adds it to the batch, whose crashes is then for ctx_crashes_stored() once it is written. Looks at
 * one number when there is none.
 */
void crashes_report(struct ctx *ctx, struct state_batch *batch, uint64_t *last);

#endif
