/* SPDX-License-Identifier: MIT */
/*
 * Each open main database has a vfs_node, shared by its connections: the counts behind SQLite's five lock levels, eight WAL lock
 * slots, and the WAL index regions. One mutex guards all nodes of a VFS; it is held for table work only.
 */
#include "storage/sqlite_vfs.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/random.h"
#include "storage/sqlite_vfs_lock.h"

enum { VFS_NAME_MAX = 32 };

struct sqlite_vfs {
    sqlite3_vfs base;
    struct sqlite_vfs *next; /* of all */
    unsigned refs;
    const struct disk_port *port;
    sqlite3_vfs *real; /* time and randomness */
    struct vfs_locks locks;
    char name[VFS_NAME_MAX];
};

struct vfs_file {
    sqlite3_file base;
    struct sqlite_vfs *vfs;
    struct disk_file *disk;
    struct vfs_node *node; /* of a main database; NULL for journals and WALs */
    struct vfs_holder holder;
    bool unlink_on_close;
    bool name_unsynced; /* a journal or log whose folder entry is not safe: useless until it is */
    char path[SQLITE_VFS_PATH_MAX];
};

static struct vfs_file *file_of(sqlite3_file *file)
{
    return (struct vfs_file *)file;
}

static int result_of(enum err err, int otherwise)
{
    if (err == ERR_OK)
        return SQLITE_OK;
    if (err == ERR_NO_SPACE)
        return SQLITE_FULL;
    return err == ERR_NOMEM ? SQLITE_IOERR_NOMEM : otherwise;
}

/* ---- files ---- */

static int file_close(sqlite3_file *file)
{
    struct vfs_file *f = file_of(file);
    if (f->node != NULL)
        vfs_node_leave(&f->vfs->locks, f->node, &f->holder);
    f->vfs->port->close(f->disk);
    if (f->unlink_on_close)
        (void)f->vfs->port->unlink(f->vfs->port->self, f->path);
    return SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *to, int len, sqlite3_int64 offset)
{
    struct vfs_file *f = file_of(file);
    size_t got = 0;
    enum err err = f->vfs->port->pread(f->disk, to, (size_t)len, (uint64_t)offset, &got);
    if (err != ERR_OK)
        return result_of(err, SQLITE_IOERR_READ);
    if (got == (size_t)len)
        return SQLITE_OK;
    memset((uint8_t *)to + got, 0, (size_t)len - got);
    return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *file, const void *from, int len, sqlite3_int64 offset)
{
    struct vfs_file *f = file_of(file);
    struct iovec iov = {.iov_base = (void *)(uintptr_t)from, .iov_len = (size_t)len};
    return result_of(f->vfs->port->pwritev(f->disk, &iov, 1, (uint64_t)offset), SQLITE_IOERR_WRITE);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 len)
{
    struct vfs_file *f = file_of(file);
    return result_of(f->vfs->port->truncate(f->disk, (uint64_t)len), SQLITE_IOERR_TRUNCATE);
}

static enum err sync_folder(const struct vfs_file *f)
{
    char folder[SQLITE_VFS_PATH_MAX];
    (void)snprintf(folder, sizeof(folder), "%s", f->path);
    char *slash = strrchr(folder, '/');
    if (slash == NULL)
        (void)snprintf(folder, sizeof(folder), ".");
    else
        slash[slash == folder ? 1 : 0] = '\0';
    return f->vfs->port->sync_dir(f->vfs->port->self, folder);
}

static int file_sync(sqlite3_file *file, int flags)
{
    struct vfs_file *f = file_of(file);
    (void)flags;
    enum err err = f->vfs->port->fdatasync(f->disk);
    if (err == ERR_OK && f->name_unsynced) {
        err = sync_folder(f);
        f->name_unsynced = err != ERR_OK;
    }
    return result_of(err, SQLITE_IOERR_FSYNC);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret_len)
{
    struct vfs_file *f = file_of(file);
    uint64_t bytes = 0;
    enum err err = f->vfs->port->size(f->disk, &bytes);
    *ret_len = (sqlite3_int64)bytes;
    return result_of(err, SQLITE_IOERR_FSTAT);
}

static int file_lock(sqlite3_file *file, int level)
{
    struct vfs_file *f = file_of(file);
    return f->node == NULL ? SQLITE_OK : vfs_node_lock(&f->vfs->locks, f->node, &f->holder, level);
}

static int file_unlock(sqlite3_file *file, int level)
{
    struct vfs_file *f = file_of(file);
    if (f->node != NULL)
        vfs_node_unlock(&f->vfs->locks, f->node, &f->holder, level);
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *file, int *ret_reserved)
{
    struct vfs_file *f = file_of(file);
    *ret_reserved = f->node != NULL && vfs_node_reserved(&f->vfs->locks, f->node);
    return SQLITE_OK;
}

/* Everything a connection asks for is answered "not handled", so SQLite takes its defaults; a persistent WAL is granted. */
static int file_control(sqlite3_file *file, int op, void *arg)
{
    (void)file;
    if (op != SQLITE_FCNTL_PERSIST_WAL)
        return SQLITE_NOTFOUND;
    *(int *)arg = 1;
    return SQLITE_OK;
}

static int file_sector_size(sqlite3_file *file)
{
    (void)file;
    return 512;
}

/*
 * A power cut may tear writes and change their order, but leaves bytes beside those written alone: what SQLite's own VFS says of a machine's
 * disks. Without it the log would be padded by frames whose end is written behind a sync: lost with the next one that fails, they
 * hide all that follows.
 */
static int file_characteristics(sqlite3_file *file)
{
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int file_shm_map(sqlite3_file *file, int region, int bytes, int extend, void volatile **ret_memory)
{
    struct vfs_file *f = file_of(file);
    void *memory = NULL;
    int rc = vfs_node_map(&f->vfs->locks, f->node, region, bytes, extend != 0, &memory);
    *ret_memory = memory;
    return rc;
}

static int file_shm_lock(sqlite3_file *file, int slot, int count, int flags)
{
    struct vfs_file *f = file_of(file);
    return vfs_node_shm_lock(&f->vfs->locks, f->node, &f->holder, slot, count, flags);
}

static void file_shm_barrier(sqlite3_file *file)
{
    (void)file;
    atomic_thread_fence(memory_order_seq_cst);
}

static int file_shm_unmap(sqlite3_file *file, int remove)
{
    struct vfs_file *f = file_of(file);
    (void)remove; /* the regions go with the last connection */
    vfs_node_shm_drop(&f->vfs->locks, f->node, &f->holder);
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- the VFS ---- */

static struct sqlite_vfs *vfs_of(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static unsigned disk_flags(int flags)
{
    unsigned to = DISK_READ;
    to |= (flags & SQLITE_OPEN_READWRITE) != 0 ? (unsigned)DISK_WRITE : 0;
    to |= (flags & SQLITE_OPEN_CREATE) != 0 ? (unsigned)DISK_CREATE : 0;
    to |= (flags & SQLITE_OPEN_EXCLUSIVE) != 0 ? (unsigned)DISK_EXCLUSIVE : 0;
    return to;
}

static int vfs_open(sqlite3_vfs *base, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct sqlite_vfs *vfs = vfs_of(base);
    struct vfs_file *f = file_of(file);
    *f = (struct vfs_file){.vfs = vfs};
    if (name == NULL) /* a temporary file: temp_store is memory, so only a spill would come here */
        return SQLITE_CANTOPEN;
    int len = snprintf(f->path, sizeof(f->path), "%s", name);
    if (len < 0 || (size_t)len >= sizeof(f->path))
        return SQLITE_CANTOPEN;
    f->name_unsynced = (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL)) != 0;
    enum err err = vfs->port->open(vfs->port->self, name, disk_flags(flags), &f->disk);
    if (err != ERR_OK)
        return result_of(err, SQLITE_CANTOPEN);
    if ((flags & SQLITE_OPEN_MAIN_DB) != 0) {
        f->node = vfs_node_join(&vfs->locks, name);
        if (f->node == NULL) {
            vfs->port->close(f->disk);
            return SQLITE_NOMEM;
        }
    }
    f->unlink_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
    if (ret_flags != NULL)
        *ret_flags = flags;
    f->base.pMethods = &methods;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *base, const char *name, int sync_dir)
{
    struct sqlite_vfs *vfs = vfs_of(base);
    (void)sync_dir; /* a rollback journal that comes back is rolled back again: only before the first WAL commit */
    enum err err = vfs->port->unlink(vfs->port->self, name);
    return err == ERR_NOT_FOUND ? SQLITE_IOERR_DELETE_NOENT : result_of(err, SQLITE_IOERR_DELETE);
}

static int vfs_access(sqlite3_vfs *base, const char *name, int flags, int *ret_yes)
{
    struct sqlite_vfs *vfs = vfs_of(base);
    (void)flags;
    *ret_yes = vfs->port->exists(vfs->port->self, name) == ERR_OK;
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *base, const char *name, int len, char *to)
{
    (void)base;
    int n = snprintf(to, (size_t)len, "%s", name);
    return n < 0 || n >= len ? SQLITE_CANTOPEN : SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *base, int len, char *to)
{
    (void)base;
    random_fill(to, (size_t)len);
    return len;
}

static int vfs_sleep(sqlite3_vfs *base, int micros)
{
    struct sqlite_vfs *vfs = vfs_of(base);
    return vfs->real->xSleep(vfs->real, micros);
}

static int vfs_time(sqlite3_vfs *base, double *ret_julian)
{
    struct sqlite_vfs *vfs = vfs_of(base);
    return vfs->real->xCurrentTime(vfs->real, ret_julian);
}

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sqlite_vfs *all; /* one for each disk: its connections must know of each other */

static enum err make(const struct disk_port *port, struct sqlite_vfs **ret_vfs)
{
    static unsigned serial;
    struct sqlite_vfs *vfs = calloc(1, sizeof(*vfs));
    if (vfs == NULL)
        return ERR_NOMEM;
    (void)snprintf(vfs->name, sizeof(vfs->name), "disk-port-%u", serial++);
    vfs->port = port;
    vfs->real = sqlite3_vfs_find(NULL);
    vfs_locks_init(&vfs->locks);
    vfs->base = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = (int)sizeof(struct vfs_file),
        .mxPathname = SQLITE_VFS_PATH_MAX - 8, /* room for -journal */
        .zName = vfs->name,
        .pAppData = vfs,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time,
    };
    if (vfs->real == NULL || sqlite3_vfs_register(&vfs->base, 0) != SQLITE_OK) {
        vfs_locks_release(&vfs->locks);
        free(vfs);
        return ERR_INTERNAL;
    }
    vfs->next = all;
    all = vfs;
    *ret_vfs = vfs;
    return ERR_OK;
}

enum err sqlite_vfs_open(const struct disk_port *port, struct sqlite_vfs **ret_vfs)
{
    enum err err = ERR_OK;
    (void)pthread_mutex_lock(&all_lock);
    struct sqlite_vfs *vfs = all;
    while (vfs != NULL && vfs->port != port)
        vfs = vfs->next;
    if (vfs == NULL)
        err = make(port, &vfs);
    if (err == ERR_OK) {
        vfs->refs++;
        *ret_vfs = vfs;
    }
    (void)pthread_mutex_unlock(&all_lock);
    return err;
}

static void forget(struct sqlite_vfs *vfs)
{
    struct sqlite_vfs **at = &all;
    while (*at != vfs)
        at = &(*at)->next;
    *at = vfs->next;
    (void)sqlite3_vfs_unregister(&vfs->base);
    vfs_locks_release(&vfs->locks);
    free(vfs);
}

void sqlite_vfs_close(struct sqlite_vfs *vfs)
{
    if (vfs == NULL)
        return;
    (void)pthread_mutex_lock(&all_lock);
    if (--vfs->refs == 0)
        forget(vfs);
    (void)pthread_mutex_unlock(&all_lock);
}

const char *sqlite_vfs_name(const struct sqlite_vfs *vfs)
{
    return vfs->name;
}
