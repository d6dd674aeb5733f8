/* SPDX-License-Identifier: MIT */
/*
 * Which other processes have a file open, as far as /proc tells this user: those of other users are not seen. Blocks; any thread.
 */
#ifndef HEARTH_STORAGE_FILE_USERS_H
#define HEARTH_STORAGE_FILE_USERS_H

#include <stddef.h>
#include <sys/types.h>

/* Up to max pids, this process left out; returns how many. Opens nothing but folders of /proc. */
size_t file_users_find(const char *path, pid_t *ret_pids, size_t max);

#endif
