/* SPDX-License-Identifier: MIT */
/* The nanny's records of crashes on their way into state.db. Private to actors/state. */
#ifndef HEARTH_ACTORS_STATE_CRASHES_H
#define HEARTH_ACTORS_STATE_CRASHES_H

#include "actors/state/store.h"
#include "mailbox/actor.h"

/*
 * Logs each record that is not in state.db yet, one line, and adds it to the batch. Returns the id of the last, for ctx_crashes_stored() once the
 * batch is written; 0: there are none.
 */
uint64_t crashes_report(struct ctx *ctx, struct state_batch *batch);

#endif
