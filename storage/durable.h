/* SPDX-License-Identifier: MIT */
/*
 * Small files and folders that a power cut must not take back: the repository's own, beside the store's segments and database.
 *
 * Both block: for start-up and jobs.
 */
#ifndef HEARTH_STORAGE_DURABLE_H
#define HEARTH_STORAGE_DURABLE_H

#include "base/buf.h"
#include "mailbox/ports.h"

enum { DURABLE_PATH_MAX = 4096 };

/*
 * Replaces folder/name as a whole: written beside as <name>.new, synced, renamed over the old one, the folder synced. After a crash
 * at any point the name shows the old content or the new one, and after ERR_OK the new one. ERR_TOO_LARGE (the path), and what the
 * port says. The file has the port's mode, 0600.
 */
enum err durable_write(const struct disk_port *port, const char *folder, const char *name,
                       struct span content) MUST_CHECK;

/* Makes path, an absolute one, and the folders above it; the entry of each new one is synced. One that is there is no error. */
enum err durable_make_folders(const struct disk_port *port, const char *path) MUST_CHECK;

#endif
