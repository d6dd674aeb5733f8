/* SPDX-License-Identifier: MIT */
/*
 * A cached file has one reference of the cache; the one used longest ago is closed for a new one. The lock is held over table work
 * only, never over the disk: two readers may open the same segment at once, and the second copy is simply not cached.
 */
#include "storage/segment_files.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "storage/segment.h"

struct segment_file {
    struct disk_file *disk;
    uint64_t segment;
    uint64_t used_at;
    unsigned refs;
};

struct segment_files {
    const struct disk_port *port;
    pthread_mutex_t lock;
    uint64_t clock;
    struct segment_file *cached[SEGMENT_FILES_MAX];
    char dir[SEGMENT_PATH_MAX];
};

enum err segment_files_new(const struct disk_port *port, const char *dir, struct segment_files **ret_files)
{
    if (strlen(dir) + 1 + SEGMENT_NAME_MAX > SEGMENT_PATH_MAX)
        return ERR_TOO_LARGE;
    struct segment_files *files = calloc(1, sizeof(*files));
    if (files == NULL)
        return ERR_NOMEM;
    files->port = port;
    (void)snprintf(files->dir, sizeof(files->dir), "%s", dir);
    (void)pthread_mutex_init(&files->lock, NULL);
    *ret_files = files;
    return ERR_OK;
}

/* With the lock held; returns the file when its last reference went. */
static struct segment_file *unref(struct segment_file *file)
{
    return file != NULL && --file->refs == 0 ? file : NULL;
}

static void close_file(struct segment_files *files, struct segment_file *file)
{
    if (file == NULL)
        return;
    files->port->close(file->disk);
    free(file);
}

void segment_files_free(struct segment_files *files)
{
    if (files == NULL)
        return;
    for (size_t i = 0; i < SEGMENT_FILES_MAX; i++)
        close_file(files, unref(files->cached[i]));
    (void)pthread_mutex_destroy(&files->lock);
    free(files);
}

void segment_files_path(const struct segment_files *files, uint64_t segment, char to[SEGMENT_PATH_MAX])
{
    char name[SEGMENT_NAME_MAX];
    segment_name(segment, name);
    size_t len = strlen(files->dir);
    memcpy(to, files->dir, len);
    to[len] = '/';
    memcpy(to + len + 1, name, strlen(name) + 1);
}

static struct segment_file *find(struct segment_files *files, uint64_t segment)
{
    for (size_t i = 0; i < SEGMENT_FILES_MAX; i++) {
        struct segment_file *file = files->cached[i];
        if (file == NULL || file->segment != segment)
            continue;
        file->refs++;
        file->used_at = ++files->clock;
        return file;
    }
    return NULL;
}

/* Puts the file into the cache unless another reader was faster; returns what is to be closed. */
static struct segment_file *insert(struct segment_files *files, struct segment_file *file)
{
    size_t oldest = 0;
    for (size_t i = 0; i < SEGMENT_FILES_MAX; i++) {
        const struct segment_file *other = files->cached[i];
        if (other != NULL && other->segment == file->segment)
            return NULL;
        const struct segment_file *old = files->cached[oldest];
        if (old != NULL && (other == NULL || other->used_at < old->used_at))
            oldest = i;
    }
    struct segment_file *out = unref(files->cached[oldest]);
    file->refs++;
    file->used_at = ++files->clock;
    files->cached[oldest] = file;
    return out;
}

static enum err open_file(struct segment_files *files, uint64_t segment, struct segment_file **ret_file)
{
    char path[SEGMENT_PATH_MAX];
    segment_files_path(files, segment, path);
    struct segment_file *file = calloc(1, sizeof(*file));
    if (file == NULL)
        return ERR_NOMEM;
    enum err err = files->port->open(files->port->self, path, DISK_READ, &file->disk);
    if (err != ERR_OK) {
        free(file);
        return err;
    }
    file->segment = segment;
    file->refs = 1;
    *ret_file = file;
    return ERR_OK;
}

enum err segment_files_hold(struct segment_files *files, uint64_t segment, struct segment_file **ret_file)
{
    (void)pthread_mutex_lock(&files->lock);
    struct segment_file *file = find(files, segment);
    (void)pthread_mutex_unlock(&files->lock);
    if (file == NULL) {
        enum err err = open_file(files, segment, &file);
        if (err != ERR_OK)
            return err;
        (void)pthread_mutex_lock(&files->lock);
        struct segment_file *out = insert(files, file);
        (void)pthread_mutex_unlock(&files->lock);
        close_file(files, out);
    }
    *ret_file = file;
    return ERR_OK;
}

void segment_files_drop(struct segment_files *files, struct segment_file *file)
{
    (void)pthread_mutex_lock(&files->lock);
    struct segment_file *last = unref(file);
    (void)pthread_mutex_unlock(&files->lock);
    close_file(files, last);
}

struct disk_file *segment_file_disk(const struct segment_file *file)
{
    return file->disk;
}

void segment_files_forget(struct segment_files *files, uint64_t segment)
{
    struct segment_file *out = NULL;
    (void)pthread_mutex_lock(&files->lock);
    for (size_t i = 0; i < SEGMENT_FILES_MAX && out == NULL; i++) {
        if (files->cached[i] != NULL && files->cached[i]->segment == segment) {
            out = unref(files->cached[i]);
            files->cached[i] = NULL;
        }
    }
    (void)pthread_mutex_unlock(&files->lock);
    close_file(files, out);
}
