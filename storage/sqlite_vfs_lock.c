/* SPDX-License-Identifier: MIT */
#include "storage/sqlite_vfs_lock.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vfs_node {
    struct vfs_node *next;
    unsigned refs;
    unsigned shared;
    const struct vfs_holder *reserved;
    const struct vfs_holder *pending; /* also the exclusive one */
    int slots[VFS_SHM_SLOTS];
    void *regions[VFS_SHM_REGIONS_MAX];
    char path[SQLITE_VFS_PATH_MAX];
};

void vfs_locks_init(struct vfs_locks *locks)
{
    locks->nodes = NULL;
    (void)pthread_mutex_init(&locks->lock, NULL);
}

static void free_node(struct vfs_node *node)
{
    for (size_t i = 0; i < VFS_SHM_REGIONS_MAX; i++)
        free(node->regions[i]);
    free(node);
}

void vfs_locks_release(struct vfs_locks *locks)
{
    while (locks->nodes != NULL) {
        struct vfs_node *node = locks->nodes;
        locks->nodes = node->next;
        free_node(node);
    }
    (void)pthread_mutex_destroy(&locks->lock);
}

struct vfs_node *vfs_node_join(struct vfs_locks *locks, const char *path)
{
    (void)pthread_mutex_lock(&locks->lock);
    struct vfs_node *node = locks->nodes;
    while (node != NULL && strcmp(node->path, path) != 0)
        node = node->next;
    if (node == NULL) {
        node = calloc(1, sizeof(*node));
        if (node != NULL) {
            (void)snprintf(node->path, sizeof(node->path), "%s", path);
            node->next = locks->nodes;
            locks->nodes = node;
        }
    }
    if (node != NULL)
        node->refs++;
    (void)pthread_mutex_unlock(&locks->lock);
    return node;
}

static void drop_slots(struct vfs_node *node, struct vfs_holder *holder)
{
    for (int i = 0; i < VFS_SHM_SLOTS; i++) {
        if ((holder->shm_exclusive >> i & 1) != 0)
            node->slots[i] = 0;
        else if ((holder->shm_shared >> i & 1) != 0)
            node->slots[i]--;
    }
    holder->shm_exclusive = 0;
    holder->shm_shared = 0;
}

static void lower(struct vfs_node *node, struct vfs_holder *holder, int level)
{
    if (level < SQLITE_LOCK_PENDING && node->pending == holder)
        node->pending = NULL;
    if (level < SQLITE_LOCK_RESERVED && node->reserved == holder)
        node->reserved = NULL;
    if (level < SQLITE_LOCK_SHARED && holder->level >= SQLITE_LOCK_SHARED)
        node->shared--;
    if (level < holder->level)
        holder->level = level;
}

void vfs_node_leave(struct vfs_locks *locks, struct vfs_node *node, struct vfs_holder *holder)
{
    (void)pthread_mutex_lock(&locks->lock);
    lower(node, holder, SQLITE_LOCK_NONE);
    drop_slots(node, holder);
    if (--node->refs == 0) {
        struct vfs_node **link = &locks->nodes;
        while (*link != node)
            link = &(*link)->next;
        *link = node->next;
        free_node(node);
    }
    (void)pthread_mutex_unlock(&locks->lock);
}

static int raise_lock(struct vfs_node *node, struct vfs_holder *holder, int level)
{
    if (holder->level >= level)
        return SQLITE_OK;
    if (level == SQLITE_LOCK_SHARED) {
        if (node->pending != NULL)
            return SQLITE_BUSY;
        node->shared++;
    } else if (level == SQLITE_LOCK_RESERVED) {
        if (node->reserved != NULL)
            return SQLITE_BUSY;
        node->reserved = holder;
    } else {
        if (node->pending != NULL && node->pending != holder)
            return SQLITE_BUSY;
        node->pending = holder;
        if (node->shared > 1) {
            holder->level = SQLITE_LOCK_PENDING;
            return SQLITE_BUSY;
        }
    }
    holder->level = level;
    return SQLITE_OK;
}

int vfs_node_lock(struct vfs_locks *locks, struct vfs_node *node, struct vfs_holder *holder, int level)
{
    (void)pthread_mutex_lock(&locks->lock);
    int rc = raise_lock(node, holder, level);
    (void)pthread_mutex_unlock(&locks->lock);
    return rc;
}

void vfs_node_unlock(struct vfs_locks *locks, struct vfs_node *node, struct vfs_holder *holder, int level)
{
    (void)pthread_mutex_lock(&locks->lock);
    lower(node, holder, level);
    (void)pthread_mutex_unlock(&locks->lock);
}

bool vfs_node_reserved(struct vfs_locks *locks, struct vfs_node *node)
{
    (void)pthread_mutex_lock(&locks->lock);
    bool reserved = node->reserved != NULL || node->pending != NULL;
    (void)pthread_mutex_unlock(&locks->lock);
    return reserved;
}

int vfs_node_map(struct vfs_locks *locks, struct vfs_node *node, int region, int bytes, bool extend, void **ret_memory)
{
    if (region < 0 || region >= VFS_SHM_REGIONS_MAX)
        return SQLITE_IOERR_SHMSIZE;
    (void)pthread_mutex_lock(&locks->lock);
    if (node->regions[region] == NULL && extend)
        node->regions[region] = calloc(1, (size_t)bytes);
    void *memory = node->regions[region];
    (void)pthread_mutex_unlock(&locks->lock);
    *ret_memory = memory;
    return memory == NULL && extend ? SQLITE_IOERR_NOMEM : SQLITE_OK;
}

static void unlock_slots(struct vfs_node *node, struct vfs_holder *holder, int slot, int count)
{
    for (int i = slot; i < slot + count; i++) {
        uint8_t bit = (uint8_t)(1u << i);
        if ((holder->shm_exclusive & bit) != 0)
            node->slots[i] = 0;
        else if ((holder->shm_shared & bit) != 0)
            node->slots[i]--;
        holder->shm_exclusive &= (uint8_t)~bit;
        holder->shm_shared &= (uint8_t)~bit;
    }
}

static int lock_slots(struct vfs_node *node, struct vfs_holder *holder, int slot, int count, bool exclusive)
{
    for (int i = slot; i < slot + count; i++) {
        uint8_t bit = (uint8_t)(1u << i);
        bool mine = ((exclusive ? holder->shm_exclusive : holder->shm_shared) & bit) != 0;
        if (!mine && (exclusive ? node->slots[i] != 0 : node->slots[i] < 0))
            return SQLITE_BUSY;
    }
    for (int i = slot; i < slot + count; i++) {
        uint8_t bit = (uint8_t)(1u << i);
        if (exclusive) {
            node->slots[i] = -1;
            holder->shm_exclusive |= bit;
        } else if ((holder->shm_shared & bit) == 0) {
            node->slots[i]++;
            holder->shm_shared |= bit;
        }
    }
    return SQLITE_OK;
}

int vfs_node_shm_lock(struct vfs_locks *locks, struct vfs_node *node, struct vfs_holder *holder, int slot, int count,
                      int flags)
{
    int rc = SQLITE_OK;
    (void)pthread_mutex_lock(&locks->lock);
    if ((flags & SQLITE_SHM_UNLOCK) != 0)
        unlock_slots(node, holder, slot, count);
    else
        rc = lock_slots(node, holder, slot, count, (flags & SQLITE_SHM_EXCLUSIVE) != 0);
    (void)pthread_mutex_unlock(&locks->lock);
    return rc;
}

void vfs_node_shm_drop(struct vfs_locks *locks, struct vfs_node *node, struct vfs_holder *holder)
{
    (void)pthread_mutex_lock(&locks->lock);
    drop_slots(node, holder);
    (void)pthread_mutex_unlock(&locks->lock);
}
