/* SPDX-License-Identifier: MIT */
#include "sim/disk_log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 256 };

struct disk_log {
    struct disk_port port;
    const struct disk_port *under;
    pthread_mutex_t lock;
    struct disk_entry *entries;
    size_t count;
    size_t cap;
    uint64_t kill_after;
};

struct disk_file {
    struct disk_log *log;
    struct disk_file *under;
    char path[];
};

/* The lower port's disk_file is another struct of the same name: only its pointer passes through here. */

static char *copy_text(const char *text)
{
    char *copy = text == NULL ? NULL : strdup(text);
    if (text != NULL && copy == NULL)
        abort(); /* a log with holes proves nothing */
    return copy;
}

static void append(struct disk_log *log, struct disk_entry entry)
{
    (void)pthread_mutex_lock(&log->lock);
    if (log->count == log->cap) {
        size_t cap = log->cap == 0 ? FIRST_CAP : log->cap * 2;
        struct disk_entry *entries = realloc(log->entries, cap * sizeof(*entries));
        if (entries == NULL)
            abort();
        log->entries = entries;
        log->cap = cap;
    }
    log->entries[log->count++] = entry;
    (void)pthread_mutex_unlock(&log->lock);
}

/* Counts one change of the disk; false once the process is dead. */
static bool step(struct disk_log *log)
{
    (void)pthread_mutex_lock(&log->lock);
    bool alive = log->kill_after > 0;
    if (alive && log->kill_after != UINT64_MAX)
        log->kill_after--;
    (void)pthread_mutex_unlock(&log->lock);
    return alive;
}

bool disk_log_is_dead(struct disk_log *log)
{
    (void)pthread_mutex_lock(&log->lock);
    bool dead = log->kill_after == 0;
    (void)pthread_mutex_unlock(&log->lock);
    return dead;
}

/* ---- the port ---- */

static enum err log_open(void *self, const char *path, unsigned flags, struct disk_file **ret_file)
{
    struct disk_log *log = self;
    if ((flags & DISK_CREATE) != 0 ? !step(log) : disk_log_is_dead(log))
        return ERR_IO;
    size_t len = strlen(path) + 1;
    struct disk_file *file = malloc(sizeof(*file) + len);
    if (file == NULL)
        return ERR_NOMEM;
    enum err err = log->under->open(log->under->self, path, flags, &file->under);
    if (err != ERR_OK) {
        free(file);
        return err;
    }
    file->log = log;
    memcpy(file->path, path, len);
    if ((flags & DISK_CREATE) != 0)
        append(log, (struct disk_entry){.kind = DISK_ENTRY_OPEN, .path = copy_text(path)});
    *ret_file = file;
    return ERR_OK;
}

static void log_close(struct disk_file *file)
{
    if (file == NULL)
        return;
    file->log->under->close(file->under);
    free(file);
}

static enum err log_pread(struct disk_file *file, void *to, size_t len, uint64_t offset, size_t *ret_len)
{
    if (disk_log_is_dead(file->log))
        return ERR_IO;
    return file->log->under->pread(file->under, to, len, offset, ret_len);
}

static enum err log_pwritev(struct disk_file *file, const struct iovec *iov, int count, uint64_t offset)
{
    if (!step(file->log))
        return ERR_IO;
    enum err err = file->log->under->pwritev(file->under, iov, count, offset);
    if (err != ERR_OK)
        return err;
    struct disk_entry entry = {.kind = DISK_ENTRY_WRITE, .path = copy_text(file->path), .offset = offset};
    for (int i = 0; i < count; i++)
        entry.len += iov[i].iov_len;
    entry.data = malloc((size_t)entry.len + 1);
    if (entry.data == NULL)
        abort();
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        if (iov[i].iov_len > 0)
            memcpy(entry.data + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    append(file->log, entry);
    return ERR_OK;
}

static enum err log_fdatasync(struct disk_file *file)
{
    if (!step(file->log))
        return ERR_IO;
    enum err err = file->log->under->fdatasync(file->under);
    if (err == ERR_OK)
        append(file->log, (struct disk_entry){.kind = DISK_ENTRY_SYNC, .path = copy_text(file->path)});
    return err;
}

static enum err log_allocate(struct disk_file *file, uint64_t offset, uint64_t len)
{
    if (!step(file->log))
        return ERR_IO;
    enum err err = file->log->under->allocate(file->under, offset, len);
    if (err == ERR_OK)
        append(file->log,
               (struct disk_entry){
                   .kind = DISK_ENTRY_ALLOCATE, .path = copy_text(file->path), .offset = offset, .len = len});
    return err;
}

static enum err log_truncate(struct disk_file *file, uint64_t len)
{
    if (!step(file->log))
        return ERR_IO;
    enum err err = file->log->under->truncate(file->under, len);
    if (err == ERR_OK)
        append(file->log, (struct disk_entry){.kind = DISK_ENTRY_TRUNCATE, .path = copy_text(file->path), .len = len});
    return err;
}

static enum err log_size(struct disk_file *file, uint64_t *ret_bytes)
{
    return disk_log_is_dead(file->log) ? ERR_IO : file->log->under->size(file->under, ret_bytes);
}

static enum err log_lock(struct disk_file *file)
{
    return disk_log_is_dead(file->log) ? ERR_IO : file->log->under->lock(file->under);
}

/* The changes of names have one shape: do it, and record it when it succeeded. */
static enum err note_name(struct disk_log *log, enum err err, enum disk_entry_kind kind, const char *path,
                          const char *to)
{
    if (err == ERR_OK)
        append(log, (struct disk_entry){.kind = kind, .path = copy_text(path), .to = copy_text(to)});
    return err;
}

static enum err log_sync_dir(void *self, const char *path)
{
    struct disk_log *log = self;
    if (!step(log))
        return ERR_IO;
    return note_name(log, log->under->sync_dir(log->under->self, path), DISK_ENTRY_SYNC_DIR, path, NULL);
}

static enum err log_rename(void *self, const char *from, const char *to)
{
    struct disk_log *log = self;
    if (!step(log))
        return ERR_IO;
    return note_name(log, log->under->rename(log->under->self, from, to), DISK_ENTRY_RENAME, from, to);
}

static enum err log_unlink(void *self, const char *path)
{
    struct disk_log *log = self;
    if (!step(log))
        return ERR_IO;
    return note_name(log, log->under->unlink(log->under->self, path), DISK_ENTRY_UNLINK, path, NULL);
}

static enum err log_make_dir(void *self, const char *path)
{
    struct disk_log *log = self;
    if (!step(log))
        return ERR_IO;
    return note_name(log, log->under->make_dir(log->under->self, path), DISK_ENTRY_MAKE_DIR, path, NULL);
}

static enum err log_exists(void *self, const char *path)
{
    struct disk_log *log = self;
    return disk_log_is_dead(log) ? ERR_IO : log->under->exists(log->under->self, path);
}

static enum err log_list(void *self, const char *path, void (*each)(void *arg, const char *name), void *arg)
{
    struct disk_log *log = self;
    return disk_log_is_dead(log) ? ERR_IO : log->under->list(log->under->self, path, each, arg);
}

static enum err log_free_bytes(void *self, const char *path, uint64_t *ret_bytes)
{
    struct disk_log *log = self;
    return disk_log_is_dead(log) ? ERR_IO : log->under->free_bytes(log->under->self, path, ret_bytes);
}

/* ---- the log ---- */

struct disk_log *disk_log_new(const struct disk_port *under)
{
    struct disk_log *log = calloc(1, sizeof(*log));
    if (log == NULL)
        return NULL;
    log->under = under;
    log->kill_after = UINT64_MAX;
    (void)pthread_mutex_init(&log->lock, NULL);
    log->port = (struct disk_port){
        .self = log,
        .open = log_open,
        .close = log_close,
        .pread = log_pread,
        .pwritev = log_pwritev,
        .fdatasync = log_fdatasync,
        .allocate = log_allocate,
        .truncate = log_truncate,
        .size = log_size,
        .lock = log_lock,
        .sync_dir = log_sync_dir,
        .rename = log_rename,
        .unlink = log_unlink,
        .make_dir = log_make_dir,
        .exists = log_exists,
        .list = log_list,
        .free_bytes = log_free_bytes,
    };
    return log;
}

void disk_log_free(struct disk_log *log)
{
    if (log == NULL)
        return;
    for (size_t i = 0; i < log->count; i++) {
        free(log->entries[i].path);
        free(log->entries[i].to);
        free(log->entries[i].data);
    }
    free(log->entries);
    (void)pthread_mutex_destroy(&log->lock);
    free(log);
}

const struct disk_port *disk_log_port(struct disk_log *log)
{
    return &log->port;
}

void disk_log_mark(struct disk_log *log, uint32_t mark, uint64_t value)
{
    append(log, (struct disk_entry){.kind = DISK_ENTRY_MARK, .mark = mark, .value = value});
}

void disk_log_kill_after(struct disk_log *log, uint64_t changes)
{
    (void)pthread_mutex_lock(&log->lock);
    log->kill_after = changes;
    (void)pthread_mutex_unlock(&log->lock);
}

size_t disk_log_count(const struct disk_log *log)
{
    return log->count;
}

const struct disk_entry *disk_log_at(const struct disk_log *log, size_t index)
{
    return &log->entries[index];
}

static enum err apply_to_file(const struct disk_entry *e, const struct disk_port *port, struct disk_file *file)
{
    struct iovec iov = {.iov_base = e->data, .iov_len = (size_t)e->len};
    switch (e->kind) {
    case DISK_ENTRY_WRITE:
        return port->pwritev(file, &iov, 1, e->offset);
    case DISK_ENTRY_ALLOCATE:
        return port->allocate(file, e->offset, e->len);
    case DISK_ENTRY_TRUNCATE:
        return port->truncate(file, e->len);
    case DISK_ENTRY_SYNC:
        return port->fdatasync(file);
    case DISK_ENTRY_OPEN:
    case DISK_ENTRY_RENAME:
    case DISK_ENTRY_UNLINK:
    case DISK_ENTRY_MAKE_DIR:
    case DISK_ENTRY_SYNC_DIR:
    case DISK_ENTRY_MARK:
        break;
    }
    return ERR_OK;
}

enum err disk_entry_apply(const struct disk_entry *e, const struct disk_port *port)
{
    struct disk_file *file;
    enum err err = ERR_OK;
    switch (e->kind) {
    case DISK_ENTRY_MARK:
        return ERR_OK;
    case DISK_ENTRY_RENAME:
        return port->rename(port->self, e->path, e->to);
    case DISK_ENTRY_UNLINK:
        return port->unlink(port->self, e->path);
    case DISK_ENTRY_MAKE_DIR:
        return port->make_dir(port->self, e->path);
    case DISK_ENTRY_SYNC_DIR:
        return port->sync_dir(port->self, e->path);
    case DISK_ENTRY_OPEN:
    case DISK_ENTRY_WRITE:
    case DISK_ENTRY_ALLOCATE:
    case DISK_ENTRY_TRUNCATE:
    case DISK_ENTRY_SYNC:
        break;
    }
    err = port->open(port->self, e->path, DISK_WRITE | (e->kind == DISK_ENTRY_OPEN ? (unsigned)DISK_CREATE : 0), &file);
    if (err != ERR_OK)
        return err;
    err = apply_to_file(e, port, file);
    port->close(file);
    return err;
}
