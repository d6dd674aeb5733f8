/* SPDX-License-Identifier: MIT */
/*
 * Backend ipc, as the program that uses it sees it: one process per actor, all running this same program.
 *
 *      root's process:    runtime_start with backend_ipc and ipc_options.command; it starts the others and watches them
 *      an actor's:        main sees --actor=PLACE, describes the same runtime and calls runtime_play instead
 *
 * Both must describe the same classes, edges and schemas. docs/internals/backends.md tells how it works.
 */
#ifndef HEARTH_MAILBOX_BACKEND_IPC_H
#define HEARTH_MAILBOX_BACKEND_IPC_H

#include "mailbox/runtime.h"

extern const struct backend backend_ipc;

/* runtime_config.backend_arg; borrowed until runtime_free. */
struct ipc_options {
    const char *const
        *command;           /* root's: the arguments of an actor's process, NULL-terminated; --actor=PLACE is added */
    const int *descriptors; /* root's: open files that all processes inherit, under their numbers */
    size_t descriptor_count;
    /* An actor's: called once it runs, before its first message. False: it cannot go on, and ends as failed. May be NULL. */
    bool (*started)(void *arg, struct ctx *ctx);
    void *arg;
};

/* The actor that PLACE (of --actor=PLACE) names, to choose what its process needs to open; 0 when it is none. */
actor_id runtime_place_actor(const char *place);

/*
 * Becomes the actor until its life is over, and returns the process's exit code. Blocks. The process must end then. ERR_INVALID, ERR_MISMATCH in
 * ret_err when this process was not started by a runtime of this program.
 */
enum err runtime_play(const struct runtime_config *config, const char *place) MUST_CHECK;

#endif
