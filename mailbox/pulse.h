/* SPDX-License-Identifier: MIT */
/*
 * The pulse of processes: an actor that waits turns when it is asked to, one whose process was stopped or starved does not.
 *
 * The watchdog sees turns that do not end; a process that is frozen while it waits has begun none. So root, where the backend can end a life,
 * asks those who have not turned for a while (slow_ms) for a turn, and gives up on who has not begun one stuck_ms later. When root itself was kept
 * from looking (a machine that slept, a debugger), so were they, perhaps: it asks anew, and no time of a start or a stop has passed meanwhile.
 * Root's thread.
 */
#ifndef HEARTH_MAILBOX_PULSE_H
#define HEARTH_MAILBOX_PULSE_H

#include <stdint.h>

struct ctx;

enum { PULSE_TAG = 2 }; /* of root's timer */

/* At root's start; nothing where lives cannot be ended. */
void pulse_begin(struct ctx *root);
/* At the top of each of root's turns: was it away? */
void pulse_turn(struct ctx *root);
/* Root's time for what others must do in time: without that for which it was away. */
uint64_t pulse_now(const struct ctx *root);
/* The timer: asks, and calls give_up for each that is found frozen, once. */
void pulse_look(struct ctx *root, void (*give_up)(struct ctx *root, struct ctx *frozen));

#endif
