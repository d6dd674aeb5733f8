/* SPDX-License-Identifier: MIT */
/*
 * Tells that something in a folder has changed, by a descriptor that becomes readable: inotify. What it was is not told, since whoever
 * watches looks at the folder itself, and events may be lost.
 */
#ifndef HEARTH_STORAGE_FOLDER_WATCH_H
#define HEARTH_STORAGE_FOLDER_WATCH_H

#include <stdbool.h>

/* The descriptor, to be closed by its owner, which may take the kernel 20 ms; -1: the folder cannot be watched. */
int folder_watch_open(const char *path);

/* Watches the folder of that name by a descriptor that is open already, perhaps for a folder that was there before. */
bool folder_watch_renew(int fd, const char *path);

/* Takes what has come, so that the descriptor is not readable any more. */
void folder_watch_drain(int fd);

#endif
