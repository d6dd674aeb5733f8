/* SPDX-License-Identifier: MIT */
/*
 * Locks and WAL index of databases that only this process opens; sqlite_vfs.c is the only user.
 *
 *      SHARED     shared counts holders
 *      RESERVED   reserved is the one writer-to-be
 *      PENDING    pending is the one that waits for readers to leave
 *      EXCLUSIVE  the pending one when it is the only holder left
 *
 * A WAL slot is free (0), shared by n, or exclusive (-1). Thread-safe.
 */
#ifndef HEARTH_STORAGE_SQLITE_VFS_LOCK_H
#define HEARTH_STORAGE_SQLITE_VFS_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "storage/sqlite_vfs.h"

enum { VFS_SHM_SLOTS = 8, VFS_SHM_REGIONS_MAX = 256 };

struct vfs_node;

struct vfs_locks {
    pthread_mutex_t lock;
    struct vfs_node *nodes;
};

/* What one connection holds. */
struct vfs_holder {
    int level;
    uint8_t shm_shared;    /* bit per slot */
    uint8_t shm_exclusive; /* bit per slot */
};

void vfs_locks_init(struct vfs_locks *locks);
void vfs_locks_release(struct vfs_locks *locks);

/* The node of a database file, made for its first connection; NULL without memory. */
struct vfs_node *vfs_node_join(struct vfs_locks *locks, const char *path);
void vfs_node_leave(struct vfs_locks *locks, struct vfs_node *node, struct vfs_holder *holder);

/* These return SQLite result codes: SQLITE_BUSY when another connection is in the way. */
int vfs_node_lock(struct vfs_locks *locks, struct vfs_node *node, struct vfs_holder *holder, int level);
void vfs_node_unlock(struct vfs_locks *locks, struct vfs_node *node, struct vfs_holder *holder, int level);
bool vfs_node_reserved(struct vfs_locks *locks, struct vfs_node *node);
int vfs_node_map(struct vfs_locks *locks, struct vfs_node *node, int region, int bytes, bool extend, void **ret_memory);
int vfs_node_shm_lock(struct vfs_locks *locks, struct vfs_node *node, struct vfs_holder *holder, int slot, int count,
                      int flags);
void vfs_node_shm_drop(struct vfs_locks *locks, struct vfs_node *node, struct vfs_holder *holder);

#endif
