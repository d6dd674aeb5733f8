/* SPDX-License-Identifier: MIT */
#include "storage/cold_directory.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART_SUFFIX ".part"

enum {
    FILE_PATH_MAX = COLD_DIRECTORY_PATH_MAX + COLD_NAME_MAX + sizeof(PART_SUFFIX),
    LIST_MAX = 1000,
};

struct cold_directory {
    struct cold_store store;
    struct cold_directory_options options;
    char folder[COLD_DIRECTORY_PATH_MAX];
};

struct cold_upload {
    struct cold_directory *directory;
    struct disk_file *file;
    uint64_t bytes;
    char name[COLD_NAME_MAX];
};

static struct cold_directory *directory_of(struct cold_store *store)
{
    return CONTAINER_OF(store, struct cold_directory, store);
}

static void path_of(const struct cold_directory *d, const char *name, const char *suffix, char to[FILE_PATH_MAX])
{
    assert(cold_name_is_good(name));
    (void)snprintf(to, FILE_PATH_MAX, "%s/%s%s", d->folder, name, suffix);
}

/* An error of the disk in the words of the port. */
static enum err told(const struct cold_directory *d, struct cold_call *call, enum err err, const char *what,
                     const char *name)
{
    switch ((int)err) {
    case ERR_OK:
    case ERR_NOMEM:
        return err;
    case ERR_NOT_FOUND:
        return cold_fail(call, err, "%s/%s is not there", d->folder, name);
    case ERR_NO_SPACE:
        return cold_fail(call, err, "%s: no space left for %s", d->folder, name);
    case ERR_DENIED:
    case ERR_READ_ONLY:
        return cold_fail(call, ERR_DENIED, "%s/%s cannot be %s: %s; look at the owner and the mount options", d->folder,
                         name, what, err_text(err));
    default:
        return cold_fail(call, ERR_UNAVAILABLE, "%s/%s cannot be %s: %s", d->folder, name, what, err_text(err));
    }
}

static enum err look_up(const struct cold_directory *d, struct cold_call *call)
{
    if (cold_cancelled(call))
        return ERR_CANCELLED;
    if (d->options.now != NULL && d->options.now(d->options.arg) >= call->deadline_ns)
        return cold_fail(call, ERR_UNAVAILABLE, "%s: the deadline has passed", d->folder);
    return ERR_OK;
}

/* ---- writing ---- */

static enum err directory_create(struct cold_store *store, struct cold_call *call, const char *name,
                                 struct cold_upload **ret_upload)
{
    struct cold_directory *d = directory_of(store);
    const struct disk_port *port = d->options.port;
    char path[FILE_PATH_MAX];
    path_of(d, name, "", path);
    enum err err = look_up(d, call);
    if (err != ERR_OK)
        return err;
    if (port->exists(port->self, path) == ERR_OK)
        return cold_fail(call, ERR_DENIED, "%s is there already", path);
    struct cold_upload *upload = calloc(1, sizeof(*upload));
    if (upload == NULL)
        return ERR_NOMEM;
    upload->directory = d;
    (void)snprintf(upload->name, sizeof(upload->name), "%s", name);
    path_of(d, name, PART_SUFFIX, path);
    err = port->open(port->self, path, DISK_WRITE | DISK_CREATE, &upload->file);
    if (err == ERR_OK) {
        err = port->truncate(upload->file, 0); /* what an interrupted one left */
        if (err == ERR_OK) {
            *ret_upload = upload;
            return ERR_OK;
        }
        port->close(upload->file);
    }
    free(upload);
    /* The folder is missing: the medium, not an object. */
    return told(d, call, err == ERR_NOT_FOUND ? ERR_UNAVAILABLE : err, "made", name);
}

static enum err directory_append(struct cold_upload *upload, struct cold_call *call, struct span bytes)
{
    struct cold_directory *d = upload->directory;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.len};
    enum err err = look_up(d, call);
    if (err == ERR_OK && bytes.len > 0)
        err = told(d, call, d->options.port->pwritev(upload->file, &iov, 1, upload->bytes), "written", upload->name);
    if (err == ERR_OK)
        upload->bytes += bytes.len;
    return err;
}

/* Closes first: a file is not renamed or removed while it is open. */
static void close_part(struct cold_upload *upload)
{
    if (upload->file != NULL)
        upload->directory->options.port->close(upload->file);
    upload->file = NULL;
}

static void directory_abandon(struct cold_upload *upload, struct cold_call *call)
{
    (void)call;
    if (upload == NULL)
        return;
    const struct disk_port *port = upload->directory->options.port;
    char path[FILE_PATH_MAX];
    path_of(upload->directory, upload->name, PART_SUFFIX, path);
    close_part(upload);
    (void)port->unlink(port->self, path); /* else sweep finds it */
    free(upload);
}

static enum err directory_finish(struct cold_upload *upload, struct cold_call *call, enum cold_proof *ret_proof)
{
    struct cold_directory *d = upload->directory;
    const struct disk_port *port = d->options.port;
    char part[FILE_PATH_MAX];
    char path[FILE_PATH_MAX];
    path_of(d, upload->name, PART_SUFFIX, part);
    path_of(d, upload->name, "", path);
    enum err err = port->fdatasync(upload->file);
    close_part(upload);
    if (err == ERR_OK)
        err = port->rename(port->self, part, path);
    if (err == ERR_OK)
        err = port->sync_dir(port->self, d->folder); /* when this fails it is there, whole, and may not stay */
    err = told(d, call, err, "made durable", upload->name);
    directory_abandon(upload, call);
    if (err == ERR_OK)
        *ret_proof = COLD_UNPROVED;
    return err;
}

/* ---- reading ---- */

static enum err read_once(const struct disk_port *port, const char *path, uint64_t offset, uint8_t *to, size_t len)
{
    struct disk_file *file;
    size_t got = 0;
    enum err err = port->open(port->self, path, DISK_READ, &file);
    if (err != ERR_OK)
        return err;
    err = port->pread(file, to, len, offset, &got);
    port->close(file);
    if (err != ERR_OK)
        return err;
    return got == len ? ERR_OK : ERR_TRUNCATED;
}

static enum err directory_read(struct cold_store *store, struct cold_call *call, const char *name, uint64_t offset,
                               uint8_t *to, size_t len)
{
    struct cold_directory *d = directory_of(store);
    char path[FILE_PATH_MAX];
    path_of(d, name, "", path);
    enum err err = look_up(d, call);
    if (err != ERR_OK)
        return err;
    err = read_once(d->options.port, path, offset, to, len);
    if (err == ERR_IO)
        err = read_once(d->options.port, path, offset, to, len);
    if (err == ERR_IO)
        return cold_fail(call, ERR_CORRUPT, "%s cannot be read at %" PRIu64, path, offset);
    if (err == ERR_TRUNCATED)
        return cold_fail(call, ERR_CORRUPT, "%s ends before %" PRIu64, path, offset + len);
    return told(d, call, err, "read", name);
}

static enum err directory_size(struct cold_store *store, struct cold_call *call, const char *name, uint64_t *ret_bytes)
{
    struct cold_directory *d = directory_of(store);
    const struct disk_port *port = d->options.port;
    struct disk_file *file;
    char path[FILE_PATH_MAX];
    path_of(d, name, "", path);
    enum err err = look_up(d, call);
    if (err != ERR_OK)
        return err;
    err = port->open(port->self, path, DISK_READ, &file);
    if (err == ERR_OK) {
        err = port->size(file, ret_bytes);
        port->close(file);
    }
    return told(d, call, err, "read", name);
}

/* ---- listing ---- */

/* Whether a name is that of a part; whose it is, without the suffix. */
static bool is_part(const char *name, char ret_whole[COLD_NAME_MAX])
{
    size_t len = strlen(name);
    size_t suffix = strlen(PART_SUFFIX);
    if (len <= suffix || len - suffix >= COLD_NAME_MAX || strcmp(name + len - suffix, PART_SUFFIX) != 0)
        return false;
    memcpy(ret_whole, name, len - suffix);
    ret_whole[len - suffix] = '\0';
    return true;
}

/* One page of names, or the parts of ours. */
struct listing {
    const char *after;
    cold_is_ours *parts; /* those of such objects; NULL: names */
    bool more;
    bool failed;
    struct buf names; /* NUL-terminated, one behind the other */
    size_t count;
};

static void note_name(void *arg, const char *name)
{
    struct listing *l = arg;
    char whole[COLD_NAME_MAX];
    bool part = is_part(name, whole);
    bool wanted = l->parts != NULL ? part && cold_name_is_good(whole) && l->parts(whole)
                                   : !part && cold_name_is_good(name) && strcmp(name, l->after) > 0;
    if (!wanted)
        return;
    if (l->count == LIST_MAX) {
        l->more = true;
        return;
    }
    l->failed = l->failed || buf_append(&l->names, name, strlen(name) + 1) != ERR_OK;
    l->count++;
}

static enum err list_names(struct cold_directory *d, struct cold_call *call, struct listing *l)
{
    buf_init(&l->names, LIST_MAX * (COLD_NAME_MAX + sizeof(PART_SUFFIX)), NULL);
    enum err err = look_up(d, call);
    if (err != ERR_OK)
        return err;
    err = d->options.port->list(d->options.port->self, d->folder, note_name, l);
    if (err == ERR_NOT_FOUND)
        return cold_fail(call, ERR_UNAVAILABLE, "%s is not there: is its disk mounted?", d->folder);
    if (err == ERR_OK && l->failed)
        return ERR_NOMEM;
    return told(d, call, err, "listed", "");
}

static enum err directory_list(struct cold_store *store, struct cold_call *call, const char *after, cold_each *each,
                               void *arg, bool *ret_more)
{
    struct cold_directory *d = directory_of(store);
    struct listing l = {.after = after};
    enum err err = list_names(d, call, &l);
    const char *name = (const char *)l.names.data;
    for (size_t i = 0; err == ERR_OK && i < l.count; i++, name += strlen(name) + 1) {
        uint64_t bytes = 0;
        err = directory_size(store, call, name, &bytes);
        if (err == ERR_OK)
            err = each(arg, name, bytes);
        else if (err == ERR_NOT_FOUND) /* removed since */
            err = ERR_OK;
    }
    buf_release(&l.names);
    if (err == ERR_OK)
        *ret_more = l.more;
    return err;
}

/* ---- removing ---- */

static enum err directory_remove(struct cold_store *store, struct cold_call *call, const char *name)
{
    struct cold_directory *d = directory_of(store);
    const struct disk_port *port = d->options.port;
    char path[FILE_PATH_MAX];
    path_of(d, name, "", path);
    enum err err = look_up(d, call);
    if (err != ERR_OK)
        return err;
    err = port->unlink(port->self, path);
    if (err == ERR_OK || err == ERR_NOT_FOUND)
        err = port->sync_dir(port->self, d->folder);
    return told(d, call, err == ERR_NOT_FOUND ? ERR_UNAVAILABLE : err, "removed", name);
}

static enum err directory_sweep(struct cold_store *store, struct cold_call *call, cold_is_ours *ours,
                                uint64_t *ret_count)
{
    struct cold_directory *d = directory_of(store);
    const struct disk_port *port = d->options.port;
    struct listing l = {.parts = ours};
    char path[FILE_PATH_MAX];
    enum err err = list_names(d, call, &l);
    const char *name = (const char *)l.names.data;
    uint64_t count = 0;
    for (size_t i = 0; err == ERR_OK && i < l.count; i++, name += strlen(name) + 1) {
        (void)snprintf(path, sizeof(path), "%s/%s", d->folder, name);
        err = told(d, call, port->unlink(port->self, path), "removed", name);
        count++;
    }
    buf_release(&l.names);
    if (err == ERR_OK)
        *ret_count = count;
    return err;
}

static void directory_free(struct cold_store *store)
{
    if (store != NULL)
        free(directory_of(store));
}

static const struct cold_store_class directory_class = {
    .create = directory_create,
    .append = directory_append,
    .finish = directory_finish,
    .abandon = directory_abandon,
    .read = directory_read,
    .size = directory_size,
    .list = directory_list,
    .remove = directory_remove,
    .sweep = directory_sweep,
    .free = directory_free,
};

enum err cold_directory_new(const struct cold_directory_options *options, struct cold_store **ret_store)
{
    if (strlen(options->folder) >= COLD_DIRECTORY_PATH_MAX)
        return ERR_TOO_LARGE;
    struct cold_directory *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return ERR_NOMEM;
    d->store.class = &directory_class;
    d->options = *options;
    (void)snprintf(d->folder, sizeof(d->folder), "%s", options->folder);
    *ret_store = &d->store;
    return ERR_OK;
}
