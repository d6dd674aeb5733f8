/* SPDX-License-Identifier: MIT */
/*
 * The processes of all actors, as backend ipc's root has them: begun for each life, ended, buried, and spoken for when they could not say
 * themselves that they end. Root's thread only.
 */
#ifndef HEARTH_MAILBOX_IPC_PROCESSES_H
#define HEARTH_MAILBOX_IPC_PROCESSES_H

#include "mailbox/ipc_carrier.h"

/* A process for the life that begins. ERR_NOMEM. */
enum err process_spawn(struct ctx *actor) MUST_CHECK;
/* Its life has reported its end. */
void process_reap(struct ctx *actor);
/* Its end is reported for this reason; returns at once. */
void process_kill(struct ctx *actor, enum exit_reason reason);
/* The next record that an ended process could not send, as a batch for root; NULL when there is none. */
struct batch *process_last_words(struct ctx *root);
/* By which clock the actor's CPU time is read. */
void process_note_clock(struct ctx *actor, pid_t pid);

#endif
