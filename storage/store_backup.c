/* SPDX-License-Identifier: MIT */
#include "storage/store_backup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/segment.h"

enum { PIECE_BYTES = 1024 * 1024 };

static enum err fail(struct store_backup *b, enum err err, const char *path)
{
    (void)snprintf(b->why, sizeof(b->why), "%s: %s", path, err_text(err));
    return err;
}

static enum err refuse(struct store_backup *b, enum err err, const char *why)
{
    (void)snprintf(b->why, sizeof(b->why), "%s%s", b->folder, why);
    return err;
}

/* ---- files ---- */

/* Writes a file of the backup, or its first limit bytes. */
static enum err fetch_to(struct store_backup *b, uint64_t segment, uint64_t limit, struct disk_file *file)
{
    uint64_t offset = 0;
    uint64_t size = limit;
    while (offset < MIN(size, limit)) {
        struct span data = {0};
        enum err err = b->read(b->arg, segment, offset, MIN(limit - offset, (uint64_t)PIECE_BYTES), &data, &size);
        if (err != ERR_OK || data.len == 0)
            return err;
        struct iovec iov = {.iov_base = (void *)(uintptr_t)data.data, .iov_len = data.len};
        err = b->on.port->pwritev(file, &iov, 1, offset);
        if (err != ERR_OK)
            return fail(b, err, b->folder);
        offset += data.len;
    }
    return ERR_OK;
}

static enum err fetch_file(struct store_backup *b, uint64_t segment, uint64_t limit, const char *path)
{
    const struct disk_port *port = b->on.port;
    struct disk_file *file = NULL;
    (void)port->unlink(port->self, path);
    enum err err = port->open(port->self, path, DISK_WRITE | DISK_CREATE, &file);
    if (err != ERR_OK)
        return fail(b, err, path);
    err = fetch_to(b, segment, limit, file);
    enum err synced = err == ERR_OK ? port->fdatasync(file) : ERR_OK;
    port->close(file);
    return synced == ERR_OK ? err : fail(b, synced, path);
}

/* ---- segments ---- */

/*
 * Only what rows may name is copied: an open segment has preallocated space behind it, and a copy with that would pass for the whole of it
 * once it is sealed. So a copy that is as long as the snapshot says is complete, whatever state its segment was in.
 */
static bool is_there(const struct store_backup *b, const char *path, const struct segment_checkpoint *segment)
{
    const struct disk_port *port = b->on.port;
    struct disk_file *file = NULL;
    uint64_t size = 0;
    if (port->open(port->self, path, DISK_READ, &file) != ERR_OK)
        return false;
    bool same = port->size(file, &size) == ERR_OK && size == segment->offset;
    port->close(file);
    return same;
}

static enum err copy_segment(struct store_backup *b, const struct segment_checkpoint *segment)
{
    char name[SEGMENT_NAME_MAX];
    char path[STORE_COPY_PATH_MAX];
    char part[STORE_COPY_PATH_MAX];
    segment_name(segment->segment, name);
    if (!store_copy_path(path, b->folder, "segments/", name, "") ||
        !store_copy_path(part, b->folder, "segments/", name, ".part"))
        return fail(b, ERR_TOO_LARGE, b->folder);
    if (is_there(b, path, segment)) {
        b->kept++;
        return ERR_OK;
    }
    enum err err = fetch_file(b, segment->segment, segment->offset, part);
    if (err == ERR_NOT_FOUND &&
        b->why[0] == '\0') { /* what it held is missing in the store too: the verification says so */
        (void)b->on.port->unlink(b->on.port->self, part);
        return ERR_OK;
    }
    if (err != ERR_OK)
        return err;
    b->copied++;
    err = b->on.port->rename(b->on.port->self, part, path);
    return err == ERR_OK ? ERR_OK : fail(b, err, path);
}

static enum err copy_segments(struct store_backup *b, const struct segment_checkpoint *list, size_t count)
{
    char dir[STORE_COPY_PATH_MAX];
    enum err err = ERR_OK;
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        err = copy_segment(b, &list[i]);
    if (err != ERR_OK || !store_copy_path(dir, b->folder, "segments", "", ""))
        return err;
    err = b->on.port->sync_dir(b->on.port->self, dir);
    return err == ERR_OK ? ERR_OK : fail(b, err, dir);
}

/* ---- the folder ---- */

static enum err sync_above(const struct store_backup *b)
{
    char above[STORE_COPY_PATH_MAX];
    int len = snprintf(above, sizeof(above), "%s", b->folder);
    while (len > 1 && above[len - 1] == '/')
        above[--len] = '\0';
    char *slash = strrchr(above, '/');
    if (slash == NULL)
        (void)snprintf(above, sizeof(above), ".");
    else
        slash[slash == above ? 1 : 0] = '\0';
    return b->on.port->sync_dir(b->on.port->self, above);
}

/* The names of new folders must last: a backup goes with its own, and blocks.db without segments/ would pass for a backup. */
enum err store_backup_begin(struct store_backup *b)
{
    const struct disk_port *port = b->on.port;
    char dir[STORE_COPY_PATH_MAX];
    b->copied = b->kept = 0;
    b->why[0] = '\0';
    if (!store_copy_path(dir, b->folder, "segments", "", ""))
        return fail(b, ERR_TOO_LARGE, b->folder);
    enum err err = port->make_dir(port->self, b->folder);
    if (err == ERR_OK)
        err = sync_above(b);
    if (err == ERR_OK || err == ERR_EXISTS)
        err = port->make_dir(port->self, dir);
    if (err == ERR_OK)
        err = port->sync_dir(port->self, b->folder);
    return err == ERR_OK || err == ERR_EXISTS ? ERR_OK : fail(b, err, b->folder);
}

/* Segments of another store would pass for ours: their names are numbers. */
static enum err check_same_store(struct store_backup *b, const char *snapshot, const char *there)
{
    uint8_t ours[CATALOGUE_ID_BYTES];
    uint8_t theirs[CATALOGUE_ID_BYTES];
    if (b->on.port->exists(b->on.port->self, there) != ERR_OK)
        return ERR_OK;
    enum err err = store_copy_id(&b->on, snapshot, ours);
    if (err == ERR_OK)
        err = store_copy_id(&b->on, there, theirs);
    if (err != ERR_OK) {
        (void)snprintf(b->why, sizeof(b->why), "%s: %s: choose another folder", there, err_text(err));
        return err;
    }
    if (memcmp(ours, theirs, sizeof(ours)) == 0)
        return ERR_OK;
    return refuse(b, ERR_EXISTS,
                  " holds a backup of another store, or blocks.db was made anew since: choose another folder");
}

static enum err replace_database(struct store_backup *b, const char *part, const char *db)
{
    const struct disk_port *port = b->on.port;
    enum err err = port->rename(port->self, part, db);
    if (err == ERR_OK)
        err = port->sync_dir(port->self, b->folder);
    return err == ERR_OK ? ERR_OK : fail(b, err, db);
}

enum err store_backup_copy(struct store_backup *b)
{
    const struct disk_port *port = b->on.port;
    char part[STORE_COPY_PATH_MAX];
    char db[STORE_COPY_PATH_MAX];
    struct segment_checkpoint *list = NULL;
    size_t count = 0;
    if (!store_copy_path(part, b->folder, "blocks.db", ".part", "") ||
        !store_copy_path(db, b->folder, "blocks.db", "", ""))
        return fail(b, ERR_TOO_LARGE, b->folder);
    if (port->exists(port->self, db) != ERR_OK && store_copy_has_segments(&b->on, b->folder) &&
        port->exists(port->self, part) != ERR_OK)
        return refuse(b, ERR_EXISTS, ": segments/ holds files that belong to no backup: choose another folder");
    enum err err = fetch_file(b, 0, UINT64_MAX, part);
    if (err == ERR_OK)
        err = check_same_store(b, part, db);
    if (err != ERR_OK)
        return err;
    err = store_copy_segments(&b->on, part, &list, &count);
    if (err != ERR_OK)
        return fail(b, err, part);
    err = copy_segments(b, list, count);
    if (err == ERR_OK)
        err = replace_database(b, part, db);
    if (err == ERR_OK) {
        err = store_copy_remove_others(&b->on, b->folder, list, count);
        if (err != ERR_OK)
            (void)fail(b, err, b->folder);
    }
    free(list);
    return err;
}
