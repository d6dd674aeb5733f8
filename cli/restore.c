/* SPDX-License-Identifier: MIT */
/*
 * repo restore: the blocks and pins of a backup into a repository that has none, while no daemon runs. restore.incomplete is made first
 * and removed last: with it no daemon starts, and the command, run again, goes on with what is not there yet.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/copy.h"
#include "cli/repository.h"
#include "cli/run.h"
#include "storage/durable.h"
#include "storage/segment.h"

enum { PIECE_BYTES = 1024 * 1024 };

struct restore {
    const struct disk_port *port;
    const char *from;
    const char *to; /* the repository */
    struct progress progress;
    uint8_t *buffer;
};

/* ---- files ---- */

static enum err copy_bytes(struct restore *r, struct disk_file *from, struct disk_file *to)
{
    uint64_t offset = 0;
    size_t len = 0;
    enum err err = ERR_OK;
    do {
        err = r->port->pread(from, r->buffer, PIECE_BYTES, offset, &len);
        struct iovec iov = {.iov_base = r->buffer, .iov_len = len};
        if (err == ERR_OK && len > 0)
            err = r->port->pwritev(to, &iov, 1, offset);
        offset += len;
        progress_add(&r->progress, len);
    } while (err == ERR_OK && len == PIECE_BYTES);
    return err == ERR_OK ? r->port->fdatasync(to) : err;
}

/* Whole or not at all, under its name. */
static enum err copy_file(struct restore *r, const char *name)
{
    char from[STORE_COPY_PATH_MAX];
    char to[STORE_COPY_PATH_MAX];
    char part[STORE_COPY_PATH_MAX];
    struct disk_file *source = NULL;
    struct disk_file *target = NULL;
    if (!copy_path(from, r->from, name, "", "") || !copy_path(to, r->to, name, "", "") ||
        !copy_path(part, r->to, name, ".part", ""))
        return ERR_TOO_LARGE;
    (void)r->port->unlink(r->port->self, part);
    enum err err = r->port->open(r->port->self, from, DISK_READ, &source);
    if (err == ERR_OK)
        err = r->port->open(r->port->self, part, DISK_WRITE | DISK_CREATE, &target);
    if (err == ERR_OK)
        err = copy_bytes(r, source, target);
    r->port->close(source);
    r->port->close(target);
    return err == ERR_OK ? r->port->rename(r->port->self, part, to) : err;
}

/* What was copied by a run that was interrupted is complete, because it has its name. */
static int copy_segment(struct restore *r, uint64_t id)
{
    char file[SEGMENT_NAME_MAX];
    char name[SEGMENT_NAME_MAX + sizeof("segments/")];
    char there[STORE_COPY_PATH_MAX];
    segment_name(id, file);
    (void)snprintf(name, sizeof(name), "segments/%s", file);
    if (copy_path(there, r->to, name, "", "") && r->port->exists(r->port->self, there) == ERR_OK)
        return EXIT_OK;
    enum err err = copy_file(r, name);
    /* Missing in the backup: the verification says what that means. */
    return err == ERR_OK || err == ERR_NOT_FOUND ? EXIT_OK : say_error("%s: %s", name, err_text(err));
}

static int copy_all(struct restore *r)
{
    char db[STORE_COPY_PATH_MAX];
    char dir[STORE_COPY_PATH_MAX];
    struct segment_checkpoint *list = NULL;
    size_t count = 0;
    if (!copy_path(db, r->from, "blocks.db", "", "") || !copy_path(dir, r->to, "segments", "", ""))
        return say_error("%s: the path is too long", r->from);
    enum err err = store_copy_segments(db, &list, &count);
    if (err != ERR_OK)
        return say_error("%s: %s", db, err_text(err));
    err = r->port->make_dir(r->port->self, dir);
    int status = err == ERR_OK || err == ERR_EXISTS ? EXIT_OK : say_error("%s: %s", dir, err_text(err));
    for (size_t i = 0; i < count && status == EXIT_OK; i++)
        status = copy_segment(r, list[i].segment);
    free(list);
    if (status != EXIT_OK)
        return status;
    err = r->port->sync_dir(r->port->self, dir);
    if (err == ERR_OK)
        err = copy_file(r, "blocks.db");
    if (err == ERR_OK)
        err = r->port->sync_dir(r->port->self, r->to);
    return err == ERR_OK ? EXIT_OK : say_error("%s: %s", r->to, err_text(err));
}

/* ---- the repository ---- */

/* What the store before it kept beside its catalogue says nothing about this one. */
static void remove_beside(const struct restore *r)
{
    static const char *const names[] = {"filter", "pins.journal", "blocks.db-wal", "blocks.db-shm",
                                        "blocks.db.rebuild"};
    char path[STORE_COPY_PATH_MAX];
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (copy_path(path, r->to, names[i], "", ""))
            (void)r->port->unlink(r->port->self, path);
    }
}

/* Makes room for the restore: an empty store is replaced, one with blocks is not, unless it is an interrupted restore's. */
static int begin(const struct restore *r)
{
    char path[STORE_COPY_PATH_MAX];
    char marker[STORE_COPY_PATH_MAX];
    if (!copy_path(path, r->from, "blocks.db", "", "") || !copy_path(marker, r->to, REPOSITORY_RESTORING, "", ""))
        return say_error("%s: the path is too long", r->from);
    if (r->port->exists(r->port->self, path) != ERR_OK)
        return say_error("%s is no complete backup: it has no blocks.db", r->from);
    bool again = r->port->exists(r->port->self, marker) == ERR_OK;
    if (!again && copy_has_segments(r->port, r->to))
        return say_error("%s has blocks already: restore into a new repository (HEARTH_PATH)", r->to);
    if (again)
        (void)puts("going on with a restore that was interrupted");
    enum err err = durable_write(r->port, r->to, REPOSITORY_RESTORING, span_text(r->from));
    if (err != ERR_OK)
        return say_error("%s: %s", marker, err_text(err));
    if (copy_path(path, r->to, "blocks.db", "", ""))
        (void)r->port->unlink(r->port->self, path);
    remove_beside(r);
    return EXIT_OK;
}

static int end(const struct restore *r)
{
    char marker[STORE_COPY_PATH_MAX];
    enum err err = copy_path(marker, r->to, REPOSITORY_RESTORING, "", "") ? ERR_OK : ERR_TOO_LARGE;
    if (err == ERR_OK)
        err = r->port->unlink(r->port->self, marker);
    if (err == ERR_OK)
        err = r->port->sync_dir(r->port->self, r->to);
    return err == ERR_OK ? EXIT_OK : say_error("%s: %s", marker, err_text(err));
}

static int run_locked(const struct invocation *in, struct restore *r)
{
    int status = begin(r);
    if (status != EXIT_OK)
        return status;
    r->buffer = malloc(PIECE_BYTES);
    progress_begin(&r->progress, "copying", 0, true);
    status = r->buffer == NULL ? say_error("out of memory") : copy_all(r);
    progress_end(&r->progress);
    free(r->buffer);
    if (status != EXIT_OK)
        return status;
    /* Damaged blocks are told; the daemon quarantines them and asks peers for them. */
    status = copy_verify(in, r->to);
    int ended = end(r);
    if (ended == EXIT_OK)
        printf("restored %s from %s; its identity.key and config.yaml are as they were.\n", r->to, r->from);
    return MAX(status, ended);
}

int run_repo_restore(const struct invocation *in, const struct cmd_repo_restore *args)
{
    char path[REPOSITORY_PATH_MAX];
    char folder[STORE_COPY_PATH_MAX - 64];
    char why[CONFIG_WHY_BYTES];
    int lock = -1;
    if (args->folder.len >= sizeof(folder))
        return say_error("the path is too long");
    (void)snprintf(folder, sizeof(folder), "%.*s", (int)args->folder.len, (const char *)args->folder.data);
    enum err err = repository_find(in->globals.repo_dir, path, why);
    if (err == ERR_OK && !repository_exists(path))
        return say_error("%s is no repository yet: `hearth init` makes one, with the key that this node shall have",
                         path);
    if (err == ERR_OK)
        err = repository_lock(path, &lock, why);
    if (err != ERR_OK)
        return say_error("%s", why);
    struct restore r = {.port = disk_posix(), .from = folder, .to = path};
    int status = run_locked(in, &r);
    (void)close(lock);
    return status;
}
