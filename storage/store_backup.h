/* SPDX-License-Identifier: MIT */
/*
 * The writing of a backup: a copy of a store in a folder, made of what an open snapshot hands out. At each instant, also after power loss,
 * the folder is no backup, the one that was complete before, or the new one.
 *
 *      blocks.db.part <- the snapshot       says that a backup has begun; run again, it is made anew and what is complete is kept
 *      segments/N.seg <- those it names     up to what is indexed; one that is there already, as long as that, is not copied again
 *      blocks.db      <- blocks.db.part     last: until then the folder is the backup that it was before
 *
 * Everything blocks; one thread.
 */
#ifndef HEARTH_STORAGE_STORE_BACKUP_H
#define HEARTH_STORAGE_STORE_BACKUP_H

#include "base/buf.h"
#include "storage/store_copy.h"

struct store_backup {
    struct store_medium on;
    const char *folder; /* at most STORE_COPY_PATH_MAX - 64 bytes */
    void *arg;
    /*
     * Up to len bytes of a segment, or of the snapshot of blocks.db (segment 0), from offset on; borrowed until the next call. *ret_size: of
     * the whole file. ERR_NOT_FOUND when there is no such file; another error ends the backup.
     */
    enum err (*read)(void *arg, uint64_t segment, uint64_t offset, uint64_t len, struct span *ret_bytes,
                     uint64_t *ret_size);
    uint64_t copied;                /* set: files */
    uint64_t kept;                  /* set: segments that were there already */
    char why[STORE_COPY_WHY_BYTES]; /* set when something fails, but for what read said: then empty */
};

/* Makes the folders. Before the snapshot is opened. */
enum err store_backup_begin(struct store_backup *backup) MUST_CHECK;

/* Copies; on ERR_OK the folder is the new backup. */
enum err store_backup_copy(struct store_backup *backup) MUST_CHECK;

#endif
