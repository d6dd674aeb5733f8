/* SPDX-License-Identifier: MIT */
/*
 * What is asked of root, by the messages of schemas/messages/root.def: the tree, and orders about single actors.
 *
 * Root never waits: an order is given to the engine at once, and its caller is answered by the event that says what came of it. Callers
 * that gave up are forgotten; their orders stand. At most ORDERS_MAX wait, more are ERR_BUSY.
 */
#ifndef HEARTH_MAILBOX_ORDERS_H
#define HEARTH_MAILBOX_ORDERS_H

#include "mailbox/actor.h"
#include "mailbox/supervisor.h"

enum { ORDERS_MAX = 32 };

struct orders;

/* NULL without memory. */
struct orders *orders_new(void);
void orders_free(struct orders *o);

/* Root's handle_call. */
enum err orders_call(struct ctx *root, const struct msg *msg, struct reply_to call);
/* Each event of the engine. */
void orders_event(struct ctx *root, const struct supervision_event *event);
/* The caller gave up. */
void orders_cancel(struct ctx *root, const struct reply_to *call);

#endif
