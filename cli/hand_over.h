/* SPDX-License-Identifier: MIT */
/*
 * Open files for a daemon on this machine, which reads or writes them itself instead of the socket's carrying their bytes (base/file_pass.h).
 */
#ifndef HEARTH_CLI_HAND_OVER_H
#define HEARTH_CLI_HAND_OVER_H

#include "cli/client.h"

enum { HAND_OVER_MIN = 1024 * 1024 }; /* fewer bytes are sent: it would cost more than it saves */

/*
 * Whether the file is one for the daemon: no pipe and no device, nor one of FUSE. A file system that is a process may let whoever has one
 * of its files open wait for ever, even to close it; then the command waits and not the daemon.
 */
bool hand_over_fits(int fd);

/* Hands it over under a new token; it stays open here. False: the daemon is elsewhere, or takes none. */
bool hand_over(const struct client *client, int fd, uint64_t *ret_token) MUST_CHECK;

#endif
