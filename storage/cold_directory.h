/* SPDX-License-Identifier: MIT */
/*
 * A cold tier's objects as files of one folder, on another disk or a mounted share.
 *
 *      create    <name>.part
 *      finish    fdatasync, rename to <name>, sync of the folder
 *      remove    unlink, sync of the folder
 *      sweep     unlink of each <name>.part that is ours: people have such files, too
 *
 * The folder must be there: it is never made, because a missing one is a disk that is not mounted. What the disk cannot read twice is
 * ERR_CORRUPT; whether the disk is there at all is for storage/cold_tier to find out, by its mark.
 *
 * A disk does not wait: deadlines are looked at between steps only.
 */
#ifndef HEARTH_STORAGE_COLD_DIRECTORY_H
#define HEARTH_STORAGE_COLD_DIRECTORY_H

#include "mailbox/ports.h"
#include "storage/cold_store.h"

enum { COLD_DIRECTORY_PATH_MAX = 3072 };

struct cold_directory_options {
    const struct disk_port *port; /* borrowed */
    const char *folder;           /* absolute, at most COLD_DIRECTORY_PATH_MAX - 1 bytes */
    uint64_t (*now)(void *arg);   /* CLOCK_MONOTONIC; NULL: deadlines are not looked at */
    void *arg;
};

/* Looks at nothing yet. ERR_NOMEM, ERR_TOO_LARGE (the path). */
enum err cold_directory_new(const struct cold_directory_options *options, struct cold_store **ret_store) MUST_CHECK;

#endif
