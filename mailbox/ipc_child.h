/* SPDX-License-Identifier: MIT */
/*
 * The process of one actor, as root's process sees it: started, watched through a descriptor that becomes readable when it has ended, killed.
 *
 * Root's thread only.
 */
#ifndef HEARTH_MAILBOX_IPC_CHILD_H
#define HEARTH_MAILBOX_IPC_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"

struct ipc_child {
    pid_t pid; /* 0 = none */
    int pidfd;
    uint32_t epoch; /* of its life */
    bool reported;  /* root knows of its end */
    bool overdue;   /* killed because its time was up */
    bool ordered;   /* killed for another reason: no crash */
};

/* Runs this program anew with these descriptors under their own numbers, beside 0 to 2. ERR_NOMEM. */
enum err child_spawn(struct ipc_child *child, const char *const *argv, const int *fds, size_t fd_count) MUST_CHECK;
/* Returns at once; pidfd tells when it has come to pass. */
void child_kill(struct ipc_child *child);
/* Whether there is one whose end is to be taken. */
bool child_has_ended(const struct ipc_child *child);
/* Takes the end of the process, which is at hand, and closes pidfd; false when it is not within CHILD_REAP_MS. */
enum { CHILD_REAP_MS = 2000, CHILD_HOW_BYTES = 64 };
struct child_end {
    char how[CHILD_HOW_BYTES]; /* for people */
    int status;                /* of waitpid */
    uint64_t cpu_ns;           /* that it has used */
};
bool child_reap(struct ipc_child *child, struct child_end *ret_end);

#endif
