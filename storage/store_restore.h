/* SPDX-License-Identifier: MIT */
/*
 * A backup becomes the store of a repository that has none, while no daemon runs. STORE_RESTORING is made first and removed last: with it
 * no daemon starts, and a restore, run again, goes on with what is not there yet. So after power loss at any instant the repository is as
 * it was before, or says that it is half restored, or is restored.
 *
 * Everything blocks; one thread. begin, copy, end, in this order; each but the last successful one leaves the repository half restored.
 */
#ifndef HEARTH_STORAGE_STORE_RESTORE_H
#define HEARTH_STORAGE_STORE_RESTORE_H

#include "storage/store_copy.h"

#define STORE_RESTORING "restore.incomplete"

struct store_restore {
    struct store_medium on;
    const char *from; /* the backup's folder */
    const char *to;   /* the repository, which exists */
    void *arg;
    void (*progress)(void *arg, uint64_t bytes); /* so many more were copied; may be NULL */
    bool again;                                  /* set: goes on with one that was interrupted */
    char why[STORE_COPY_WHY_BYTES];              /* set when something fails */
};

/* Makes room: an empty store is replaced, one with blocks is not (ERR_EXISTS), unless it is an interrupted restore's. ERR_NOT_FOUND: no backup. */
enum err store_restore_begin(struct store_restore *restore) MUST_CHECK;
enum err store_restore_copy(struct store_restore *restore) MUST_CHECK;
enum err store_restore_end(struct store_restore *restore) MUST_CHECK;

#endif
