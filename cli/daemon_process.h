/* SPDX-License-Identifier: MIT */
/*
 * The daemon as several processes (--backend ipc): what root's process tells the processes of its actors, which are this program again.
 *
 *      hearthd daemon --repo-dir=PATH --config-file=/proc/self/fd/N [--offline] ... --actor=PLACE
 *
 * The configuration file is read once and handed on as it was then: all processes go by the same, also those that start later.
 */
#ifndef HEARTH_CLI_DAEMON_PROCESS_H
#define HEARTH_CLI_DAEMON_PROCESS_H

#include "cli/daemon.h"
#include "cli/repository.h"
#include "mailbox/backend_ipc.h"

enum { DAEMON_PROCESS_ARGUMENTS = 12, DAEMON_PROCESS_TEXT = REPOSITORY_PATH_MAX + 16 };

struct daemon_process {
    char repo_dir[DAEMON_PROCESS_TEXT];
    char config_file[64];
    const char *command[DAEMON_PROCESS_ARGUMENTS];
    int config_fd;
    struct ipc_options ipc;
};

/* path: of the repository. Blocks on the disk. Filled in place, since it points to itself; released by daemon_process_release. */
enum err daemon_process_prepare(struct daemon_process *p, const struct daemon_options *options, const char *path,
                                char why[CONFIG_WHY_BYTES]) MUST_CHECK;
void daemon_process_release(struct daemon_process *p);

#endif
