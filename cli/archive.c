/* SPDX-License-Identifier: MIT */
#include "cli/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "cli/tar.h"
#include "wire/tree_stream.h"

enum { PATH_MAX_BYTES = (TREE_DEPTH_MAX + 1) * (TREE_NAME_MAX + 1), COPY_BYTES = 256 * 1024, SUFFIX_BYTES = 16 };
enum { FOLDER_MODE = 0755, FILE_MODE = 0644, LINK_MODE = 0777 }; /* where the entry has none, as Kubo's */

struct archive {
    struct progress progress;
    const char *name; /* on this disk */
    struct span root; /* of the outermost entry, within */
    int64_t now;
    int fd;        /* of the tar; -1 without */
    gzFile gzip;   /* of the only file; NULL with a tar */
    uint64_t at;   /* bytes written to fd */
    uint64_t size; /* of the entry so far */
    uint64_t header_at;
    uint8_t header[TAR_BLOCK];
    struct buf head;
    struct buf path;
    size_t ends[TREE_DEPTH_MAX]; /* of the open folders' paths */
    size_t depth;
};

static int cannot(const char *name, const char *what)
{
    return say_error("%s: %s: %s", name, what, strerror(errno));
}

static int put(struct archive *a, struct span bytes)
{
    while (bytes.len > 0) {
        ssize_t n = pwrite(a->fd, bytes.data, bytes.len, (off_t)a->at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return cannot(a->name, "cannot be written");
        a->at += (uint64_t)n;
        bytes = span_skip(bytes, (size_t)n);
    }
    return EXIT_OK;
}

static int put_zeros(struct archive *a, size_t bytes)
{
    static const uint8_t zeros[TAR_END_BYTES];
    return put(a, span_of(zeros, bytes));
}

/* ---- entries of a tar ---- */

static enum err set_path(struct archive *a, struct span name)
{
    a->path.len = a->depth == 0 ? 0 : a->ends[a->depth - 1];
    if (a->depth == 0)
        return buf_append_span(&a->path, a->root);
    enum err err = buf_append(&a->path, "/", 1);
    return err == ERR_OK ? buf_append_span(&a->path, name) : err;
}

static int begin_entry(struct archive *a, enum tar_type type, const struct tree_event *event)
{
    static const uint32_t modes[] = {[TAR_FILE] = FILE_MODE, [TAR_SYMLINK] = LINK_MODE, [TAR_FOLDER] = FOLDER_MODE};
    const struct tree_meta *meta = &event->meta;
    enum err err = set_path(a, event->name);
    struct tar_entry entry = {.type = type,
                              .path = buf_span(&a->path),
                              .target = type == TAR_SYMLINK ? event->body : (struct span){0},
                              .mode = meta->mode != 0 ? meta->mode & 0777 : modes[type],
                              .mtime_seconds = meta->has_mtime ? meta->mtime_seconds : a->now};
    buf_clear(&a->head);
    if (err == ERR_OK)
        err = tar_append_head(&a->head, &entry);
    if (err != ERR_OK)
        return say_error("%s: %s", a->name, err_text(err));
    a->header_at = a->at + a->head.len - TAR_BLOCK;
    memcpy(a->header, a->head.data + a->head.len - TAR_BLOCK, TAR_BLOCK);
    a->size = 0;
    return put(a, buf_span(&a->head));
}

static int end_file(struct archive *a)
{
    if (put_zeros(a, tar_padding(a->size)) != EXIT_OK)
        return EXIT_ERROR;
    uint64_t end = a->at;
    tar_set_size(a->header, a->size);
    a->at = a->header_at;
    int status = put(a, span_of(a->header, TAR_BLOCK));
    a->at = end;
    return status;
}

static int take_for_tar(void *arg, const struct tree_event *event)
{
    struct archive *a = arg;
    switch (event->kind) {
    case TREE_ENTER:
        if (begin_entry(a, TAR_FOLDER, event) != EXIT_OK)
            return EXIT_ERROR;
        a->ends[a->depth++] = a->path.len;
        return EXIT_OK;
    case TREE_LEAVE:
        a->depth--;
        return EXIT_OK;
    case TREE_FILE:
        return begin_entry(a, TAR_FILE, event);
    case TREE_DATA:
        a->size += event->body.len;
        progress_add(&a->progress, event->body.len);
        return put(a, event->body);
    case TREE_END:
        return end_file(a);
    case TREE_SYMLINK:
        return begin_entry(a, TAR_SYMLINK, event);
    }
    return EXIT_ERROR;
}

/* ---- gzip ---- */

static int squeeze(gzFile gzip, struct span bytes, const char *name)
{
    if (bytes.len == 0 || gzwrite(gzip, bytes.data, (unsigned)bytes.len) > 0)
        return EXIT_OK;
    return cannot(name, "cannot be written");
}

static int take_for_gzip(void *arg, const struct tree_event *event)
{
    struct archive *a = arg;
    if (event->kind == TREE_FILE || event->kind == TREE_END)
        return EXIT_OK;
    if (event->kind != TREE_DATA)
        return say_error("%.*s is no regular file: only --archive takes what is none", (int)a->root.len,
                         (const char *)a->root.data);
    progress_add(&a->progress, event->body.len);
    return squeeze(a->gzip, event->body, a->name);
}

static int compress_tar(struct archive *a, gzFile gzip)
{
    static uint8_t bytes[COPY_BYTES];
    for (uint64_t at = 0; at < a->at;) {
        ssize_t n = pread(a->fd, bytes, sizeof(bytes), (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return cannot(a->name, "cannot be read again");
        at += (uint64_t)n;
        if (squeeze(gzip, span_of(bytes, (size_t)n), a->name) != EXIT_OK)
            return EXIT_ERROR;
    }
    return EXIT_OK;
}

/* The file keeps its descriptor. */
static gzFile open_gzip(int fd, uint64_t level)
{
    char mode[8];
    (void)snprintf(mode, sizeof(mode), level == 0 ? "wb" : "wb%u", (unsigned)level);
    int own = dup(fd);
    gzFile gzip = own < 0 ? NULL : gzdopen(own, mode);
    if (gzip == NULL && own >= 0)
        (void)close(own);
    return gzip;
}

/* ---- both ---- */

/* A file without a name in the folder of the one that is named. */
static int open_nameless(const char *name)
{
    char path[PATH_TEXT_MAX + SUFFIX_BYTES + 8];
    (void)snprintf(path, sizeof(path), "%s.XXXXXX", name);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(path);
    return fd;
}

static int get_tar(struct archive *a, struct client *client, struct span path)
{
    buf_init(&a->head, 2 * PATH_MAX_BYTES, NULL);
    buf_init(&a->path, PATH_MAX_BYTES, NULL);
    int status = get_events(client, path, &(struct tree_taker){.take = take_for_tar, .arg = a});
    if (status == EXIT_OK)
        status = put_zeros(a, TAR_END_BYTES);
    buf_release(&a->head);
    buf_release(&a->path);
    return status;
}

static int write_archive(struct archive *a, struct client *client, const struct cmd_get *args, int out)
{
    gzFile gzip = args->compress ? open_gzip(out, args->compression_level) : NULL;
    int status = EXIT_OK;
    a->fd = out;
    if (args->compress && gzip == NULL)
        return say_error("%s: no memory to compress", a->name);
    if (args->archive && args->compress && (a->fd = open_nameless(a->name)) < 0)
        status = cannot(a->name, "a file beside it cannot be made");
    a->gzip = gzip;
    const struct tree_taker one_file = {.take = take_for_gzip, .arg = a};
    if (status == EXIT_OK)
        status = args->archive ? get_tar(a, client, args->path) : get_events(client, args->path, &one_file);
    if (status == EXIT_OK && args->archive && args->compress)
        status = compress_tar(a, gzip);
    if (a->fd != out && a->fd >= 0)
        (void)close(a->fd);
    if (gzip != NULL && gzclose(gzip) != Z_OK && status == EXIT_OK)
        status = cannot(a->name, "cannot be written");
    return status;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t len = strlen(name);
    size_t rest = strlen(suffix);
    return len >= rest && strcmp(name + len - rest, suffix) == 0;
}

/* As Kubo names it: what it is called, .tar unless it is said, .gz unless it is said. */
static void name_archive(const struct cmd_get *args, char *name, size_t name_bytes)
{
    struct span base = args->output.len > 0 ? args->output : path_last_part(args->path);
    (void)snprintf(name, name_bytes, "%.*s", (int)base.len, (const char *)base.data);
    size_t len = strlen(name);
    if (args->archive && !ends_with(name, ".tar") && !ends_with(name, ".tar.gz"))
        len += (size_t)snprintf(name + len, name_bytes - len, ".tar");
    if (args->compress && !ends_with(name, ".gz"))
        (void)snprintf(name + len, name_bytes - len, ".gz");
}

int archive_get(struct client *client, const struct invocation *in, const struct cmd_get *args)
{
    static struct archive a; /* too large for the stack */
    char name[PATH_TEXT_MAX + SUFFIX_BYTES];
    struct stat st;
    name_archive(args, name, sizeof(name));
    int out = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (out < 0 || fstat(out, &st) != 0)
        return cannot(name, "cannot be made");
    if (args->archive && !args->compress && !S_ISREG(st.st_mode)) {
        (void)close(out);
        return say_error("%s: an archive needs a regular file", name);
    }
    a = (struct archive){.name = name, .root = path_last_part(args->path), .now = (int64_t)time(NULL)};
    progress_begin(&a.progress, name, 0, args->progress);
    if (!in->globals.json)
        (void)fprintf(stderr, "Saving archive to %s\n", name);
    int status = write_archive(&a, client, args, out);
    progress_end(&a.progress);
    if (close(out) != 0 && status == EXIT_OK)
        status = cannot(name, "cannot be written");
    if (status != EXIT_OK && S_ISREG(st.st_mode))
        (void)unlink(name); /* what is cut off looks like a whole one to those who only see its name */
    return status;
}
