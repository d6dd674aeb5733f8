/* SPDX-License-Identifier: MIT */
/*
 * A stage for one actor: the node's seven under one supervisor that restarts none, each of a class that the caller chooses, so that
 * one is real and the others play their parts around it. For any backend.
 */
#ifndef HEARTH_SIM_STAGE_H
#define HEARTH_SIM_STAGE_H

#include "actors/tree.h"
#include "mailbox/runtime.h"

/* The classes, the tree, the calls that bitswap gets and makes, and the messages; the caller fills in the rest. */
struct runtime_config stage_config(const struct actor_class *const classes[ACTOR_COUNT]);

#endif
