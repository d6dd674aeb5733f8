/* SPDX-License-Identifier: MIT */
#include "storage/store_restore.h"

#include <stdio.h>
#include <stdlib.h>

#include "storage/cold_mark.h"
#include "storage/durable.h"
#include "storage/segment.h"

enum { PIECE_BYTES = 1024 * 1024 };

static enum err fail(struct store_restore *r, enum err err, const char *path)
{
    (void)snprintf(r->why, sizeof(r->why), "%s: %s", path, err_text(err));
    return err;
}

/* ---- files ---- */

static enum err copy_bytes(const struct store_restore *r, struct disk_file *from, struct disk_file *to)
{
    const struct disk_port *port = r->on.port;
    uint8_t *buffer = malloc(PIECE_BYTES);
    uint64_t offset = 0;
    size_t len = 0;
    enum err err = buffer == NULL ? ERR_NOMEM : ERR_OK;
    while (err == ERR_OK) {
        err = port->pread(from, buffer, PIECE_BYTES, offset, &len);
        struct iovec iov = {.iov_base = buffer, .iov_len = len};
        if (err == ERR_OK && len > 0)
            err = port->pwritev(to, &iov, 1, offset);
        offset += len;
        if (err == ERR_OK && r->progress != NULL)
            r->progress(r->arg, len);
        if (len < PIECE_BYTES)
            break;
    }
    free(buffer);
    return err == ERR_OK ? port->fdatasync(to) : err;
}

/* Whole or not at all, under its name. */
static enum err copy_file(const struct store_restore *r, const char *name)
{
    const struct disk_port *port = r->on.port;
    char from[STORE_COPY_PATH_MAX];
    char to[STORE_COPY_PATH_MAX];
    char part[STORE_COPY_PATH_MAX];
    struct disk_file *source = NULL;
    struct disk_file *target = NULL;
    if (!store_copy_path(from, r->from, name, "", "") || !store_copy_path(to, r->to, name, "", "") ||
        !store_copy_path(part, r->to, name, ".part", ""))
        return ERR_TOO_LARGE;
    (void)port->unlink(port->self, part);
    enum err err = port->open(port->self, from, DISK_READ, &source);
    if (err == ERR_OK)
        err = port->open(port->self, part, DISK_WRITE | DISK_CREATE, &target);
    if (err == ERR_OK)
        err = copy_bytes(r, source, target);
    port->close(source);
    port->close(target);
    return err == ERR_OK ? port->rename(port->self, part, to) : err;
}

/* What was copied by a run that was interrupted is complete, because it has its name. */
static enum err copy_segment(struct store_restore *r, uint64_t id)
{
    char file[SEGMENT_NAME_MAX];
    char name[SEGMENT_NAME_MAX + sizeof("segments/")];
    char there[STORE_COPY_PATH_MAX];
    segment_name(id, file);
    (void)snprintf(name, sizeof(name), "segments/%s", file);
    if (store_copy_path(there, r->to, name, "", "") && r->on.port->exists(r->on.port->self, there) == ERR_OK)
        return ERR_OK;
    enum err err = copy_file(r, name);
    /* Missing in the backup: the verification says what that means. */
    return err == ERR_OK || err == ERR_NOT_FOUND ? ERR_OK : fail(r, err, name);
}

static enum err copy_segments(struct store_restore *r, const struct segment_checkpoint *list, size_t count)
{
    const struct disk_port *port = r->on.port;
    char dir[STORE_COPY_PATH_MAX];
    if (!store_copy_path(dir, r->to, "segments", "", ""))
        return fail(r, ERR_TOO_LARGE, r->to);
    enum err err = port->make_dir(port->self, dir);
    if (err != ERR_OK && err != ERR_EXISTS)
        return fail(r, err, dir);
    err = ERR_OK;
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        err = copy_segment(r, list[i].segment);
    if (err != ERR_OK)
        return err;
    err = port->sync_dir(port->self, dir);
    return err == ERR_OK ? ERR_OK : fail(r, err, dir);
}

/* ---- the repository ---- */

/* What the store before it kept beside its catalogue says nothing about this one. */
static void remove_catalogue(const struct store_restore *r)
{
    static const char *const names[] = {"blocks.db",     "filter",        "pins.journal",     COLD_MARK_COPY,
                                        "blocks.db-wal", "blocks.db-shm", "blocks.db.rebuild"};
    char path[STORE_COPY_PATH_MAX];
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (store_copy_path(path, r->to, names[i], "", ""))
            (void)r->on.port->unlink(r->on.port->self, path);
    }
}

/* A store may have all its blocks in a cold tier, which only its catalogue knows. */
static bool has_packs(const struct store_restore *r)
{
    struct cold_medium medium;
    return cold_mark_load(r->on.port, r->to, &medium) == ERR_OK && medium.kind[0] != '\0';
}

enum err store_restore_begin(struct store_restore *r)
{
    const struct disk_port *port = r->on.port;
    char db[STORE_COPY_PATH_MAX];
    char marker[STORE_COPY_PATH_MAX];
    r->why[0] = '\0';
    if (!store_copy_path(db, r->from, "blocks.db", "", "") || !store_copy_path(marker, r->to, STORE_RESTORING, "", ""))
        return fail(r, ERR_TOO_LARGE, r->from);
    if (port->exists(port->self, db) != ERR_OK) {
        (void)snprintf(r->why, sizeof(r->why), "%s is no complete backup: it has no blocks.db", r->from);
        return ERR_NOT_FOUND;
    }
    r->again = port->exists(port->self, marker) == ERR_OK;
    if (!r->again && store_copy_has_segments(&r->on, r->to)) {
        (void)snprintf(r->why, sizeof(r->why), "%s has blocks already: restore into a new repository (HEARTH_PATH)",
                       r->to);
        return ERR_EXISTS;
    }
    if (!r->again && has_packs(r)) {
        (void)snprintf(r->why, sizeof(r->why),
                       "%s has a cold tier already: restore into a new repository (HEARTH_PATH)", r->to);
        return ERR_EXISTS;
    }
    enum err err = durable_write(port, r->to, STORE_RESTORING, span_text(r->from));
    if (err != ERR_OK)
        return fail(r, err, marker);
    remove_catalogue(r);
    return ERR_OK;
}

enum err store_restore_copy(struct store_restore *r)
{
    char db[STORE_COPY_PATH_MAX];
    struct segment_checkpoint *list = NULL;
    size_t count = 0;
    if (!store_copy_path(db, r->from, "blocks.db", "", ""))
        return fail(r, ERR_TOO_LARGE, r->from);
    enum err err = store_copy_segments(&r->on, db, &list, &count);
    if (err != ERR_OK)
        return fail(r, err, db);
    err = copy_segments(r, list, count);
    free(list);
    if (err != ERR_OK)
        return err;
    err = copy_file(r, "blocks.db");
    if (err == ERR_OK)
        err = r->on.port->sync_dir(r->on.port->self, r->to);
    return err == ERR_OK ? ERR_OK : fail(r, err, r->to);
}

enum err store_restore_end(struct store_restore *r)
{
    const struct disk_port *port = r->on.port;
    char marker[STORE_COPY_PATH_MAX];
    enum err err = store_copy_path(marker, r->to, STORE_RESTORING, "", "") ? ERR_OK : ERR_TOO_LARGE;
    if (err == ERR_OK)
        err = port->unlink(port->self, marker);
    if (err == ERR_OK)
        err = port->sync_dir(port->self, r->to);
    return err == ERR_OK ? ERR_OK : fail(r, err, marker);
}
