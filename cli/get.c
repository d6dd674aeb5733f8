/* SPDX-License-Identifier: MIT */
/*
 * get: files, folders and symlinks land on the disk.
 *
 * They come as a tree stream. When that is one large file, its first piece says so, and the daemon is handed the open file to write the rest
 * into (cli/hand_over.h). Whatever keeps it from that, the bytes still come through the socket, and an error of theirs is told then.
 *
 * Names come from strangers. Every path is opened below the destination with openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), so
 * neither a name nor a symlink made a moment ago leads out of it; the decoder of the tree stream refuses "..", ".", "/" and NUL.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/archive.h"
#include "cli/hand_over.h"
#include "schemas/pack.h"
#include "wire/tree_stream.h"

/* A folder that is being written. */
struct place {
    int fd;
    struct tree_meta meta;
};

struct get_state {
    struct progress progress;
    const char *name; /* of the outermost entry, here */
    int destination;
    int fd;           /* of the file being written, or -1 */
    uint64_t written; /* bytes of it */
    uint64_t size;    /* of the only file, once it is known */
    struct tree_meta file_meta;
    size_t depth;
    struct place places[TREE_DEPTH_MAX];
    char shown[TREE_NAME_MAX + 1]; /* name of the entry being written */
};

static int open_beneath(int folder, const char *name, uint64_t flags, uint64_t mode)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    return (int)syscall(SYS_openat2, folder, name, &how, sizeof(how));
}

static int name_error(const char *name, const char *what)
{
    return say_error("%s: %s: %s", name, what, strerror(errno));
}

/* ---- what the stream says ---- */

/* Of files and folders alone: who writes to a device or a pipe means its end, not the thing itself. */
static void set_meta(int fd, const struct tree_meta *meta)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
    struct stat st;
    if (fstat(fd, &st) != 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return;
    times[1] = (struct timespec){.tv_sec = (time_t)meta->mtime_seconds, .tv_nsec = (long)meta->mtime_nanos};
    if (meta->mode != 0)
        (void)fchmod(fd, (mode_t)(meta->mode & 0777)); /* a stranger's file never runs as its owner */
    if (meta->has_mtime)
        (void)futimens(fd, times);
}

static int parent_of(const struct get_state *s)
{
    return s->depth == 0 ? s->destination : s->places[s->depth - 1].fd;
}

/* What the user named, or the entry's name, which the decoder has checked. */
static void set_name(struct get_state *s, struct span name)
{
    if (s->depth == 0)
        name = span_text(s->name);
    size_t len = MIN(name.len, sizeof(s->shown) - 1);
    memcpy(s->shown, name.data, len);
    s->shown[len] = '\0';
}

static int enter_folder(struct get_state *s, const struct tree_event *event)
{
    int parent = parent_of(s);
    if (mkdirat(parent, s->shown, 0777) != 0 && errno != EEXIST)
        return name_error(s->shown, "cannot be made");
    int fd = open_beneath(parent, s->shown, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return name_error(s->shown, "cannot be opened");
    s->places[s->depth++] = (struct place){.fd = fd, .meta = event->meta};
    return EXIT_OK;
}

/* Its mode and time come last: it may be read-only, and each entry changes its time. */
static int leave_folder(struct get_state *s)
{
    struct place *place = &s->places[--s->depth];
    set_meta(place->fd, &place->meta);
    (void)close(place->fd);
    return EXIT_OK;
}

static int begin_file(struct get_state *s, const struct tree_event *event)
{
    s->fd = open_beneath(parent_of(s), s->shown, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    s->written = 0;
    s->file_meta = event->meta;
    return s->fd >= 0 ? EXIT_OK : name_error(s->shown, "cannot be made");
}

static int write_file(struct get_state *s, struct span bytes)
{
    progress_add(&s->progress, bytes.len);
    s->written += bytes.len;
    while (bytes.len > 0) {
        ssize_t n = write(s->fd, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return name_error(s->shown, "cannot be written");
        bytes = span_skip(bytes, (size_t)n);
    }
    return EXIT_OK;
}

static int end_file(struct get_state *s)
{
    int fd = s->fd;
    s->fd = -1;
    set_meta(fd, &s->file_meta);
    return close(fd) == 0 ? EXIT_OK : name_error(s->shown, "cannot be written");
}

static int make_symlink(struct get_state *s, const struct tree_event *event)
{
    char target[TREE_TARGET_MAX + 1];
    memcpy(target, event->body.data, event->body.len);
    target[event->body.len] = '\0';
    if (symlinkat(target, parent_of(s), s->shown) != 0 && errno != EEXIST)
        return name_error(s->shown, "cannot be made");
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
    times[1].tv_sec = (time_t)event->meta.mtime_seconds;
    times[1].tv_nsec = (long)event->meta.mtime_nanos;
    if (event->meta.has_mtime)
        (void)utimensat(parent_of(s), s->shown, times, AT_SYMLINK_NOFOLLOW);
    return EXIT_OK;
}

static int take_event(void *arg, const struct tree_event *event)
{
    struct get_state *s = arg;
    if (event->name.len > 0)
        set_name(s, event->name);
    switch (event->kind) {
    case TREE_ENTER:
        return enter_folder(s, event);
    case TREE_LEAVE:
        return leave_folder(s);
    case TREE_FILE:
        return begin_file(s, event);
    case TREE_DATA:
        return write_file(s, event->body);
    case TREE_END:
        return end_file(s);
    case TREE_SYMLINK:
        return make_symlink(s, event);
    }
    return EXIT_ERROR;
}

/* ---- one large file ---- */

static bool has_large_rest(void *arg, uint64_t file_size)
{
    struct get_state *s = arg;
    s->size = file_size;
    s->progress.total = file_size;
    return s->fd >= 0 && s->depth == 0 && file_size >= s->written + HAND_OVER_MIN && hand_over_fits(s->fd);
}

static enum err pack_get_file(struct buf *to, const struct get_state *s, struct span path, uint64_t token)
{
    struct pack p = pack_begin(to);
    pack_map(&p, 3);
    pack_pair_span(&p, "path", path);
    pack_pair_u64(&p, "file", token);
    pack_pair_u64(&p, "offset", s->written);
    return pack_end(&p);
}

/* The daemon writes on, to the end or for a while; *ret_moved false: it cannot. */
static int let_write(struct get_state *s, struct client *client, struct span path, bool *ret_moved)
{
    struct outcome outcome = {.code = CODE_INTERNAL};
    struct call *call = NULL;
    struct buf args;
    uint64_t token;
    *ret_moved = false;
    if (!hand_over(client, s->fd, &token))
        return EXIT_OK;
    buf_init(&args, 8192, NULL);
    if (pack_get_file(&args, s, path, token) == ERR_OK)
        call = ask(client, "get file", buf_span(&args), client_timeout(client, CLIENT_LONG_MS), false, &outcome);
    uint64_t at = outcome.code == CODE_OK ? value_u64(outcome.result, "offset") : 0;
    *ret_moved = at > s->written && at <= s->size;
    if (*ret_moved) {
        progress_add(&s->progress, at - s->written);
        s->written = at;
    }
    bool lost = outcome.code == CODE_TIMEOUT || outcome.code == CODE_NOT_RUNNING; /* asking again would not help */
    int status = lost ? say_outcome_error(&outcome) : EXIT_OK;
    call_free(call);
    buf_release(&args);
    return status;
}

static enum download_next take_rest(void *arg, struct span bytes, uint64_t file_size)
{
    (void)file_size;
    return write_file(arg, bytes) == EXIT_OK ? DOWNLOAD_MORE : DOWNLOAD_FAILED;
}

static int get_rest(struct get_state *s, struct client *client, struct span path)
{
    int status = EXIT_OK;
    bool moved = true;
    while (status == EXIT_OK && moved && s->written < s->size)
        status = let_write(s, client, path, &moved);
    struct download d = {.client = client,
                         .op = "read",
                         .path = path,
                         .offset = s->written,
                         .length = s->size - s->written,
                         .each = take_rest,
                         .arg = s};
    if (status == EXIT_OK && d.length > 0)
        status = lseek(s->fd, (off_t)s->written, SEEK_SET) < 0 ? name_error(s->shown, "cannot be written")
                                                               : download_run(&d);
    if (status == EXIT_OK && s->written != s->size)
        status = say_error("%s: the daemon sent %llu of its %llu bytes", s->shown, (unsigned long long)s->written,
                           (unsigned long long)s->size);
    return status == EXIT_OK ? end_file(s) : status;
}

static int get_tree(struct get_state *s, struct client *client, struct span path)
{
    const struct tree_taker taker = {.take = take_event, .enough = has_large_rest, .arg = s};
    int status = get_events(client, path, &taker);
    if (status == EXIT_OK && s->fd >= 0)
        status = get_rest(s, client, path);
    if (s->fd >= 0)
        (void)close(s->fd);
    while (s->depth > 0)
        (void)close(s->places[--s->depth].fd);
    return status;
}

/* ---- where to ---- */

struct span path_last_part(struct span path)
{
    while (path.len > 0 && path.data[path.len - 1] == '/')
        path.len--;
    for (size_t i = path.len; i > 0; i--) {
        if (path.data[i - 1] == '/')
            return span_skip(path, i);
    }
    return path;
}

/* The user's own path may lead anywhere: its folder is opened as it is, only the last part is ours to make. */
static int open_destination(const struct cmd_get *args, char *name, size_t name_bytes)
{
    char folder[PATH_TEXT_MAX + 1] = ".";
    struct span target = args->output.len > 0 ? args->output : path_last_part(args->path);
    struct stat st;
    memcpy(name, target.data, MIN(target.len, name_bytes - 1));
    name[MIN(target.len, name_bytes - 1)] = '\0';
    if (args->output.len > 0 && stat(name, &st) == 0 && S_ISDIR(st.st_mode)) {
        (void)snprintf(folder, sizeof(folder), "%s", name);
        target = path_last_part(args->path);
    } else if (args->output.len > 0) {
        struct span base = path_last_part(target);
        size_t len = (size_t)(base.data - target.data);
        if (len > 0)
            (void)snprintf(folder, sizeof(folder), "%.*s", (int)len, (const char *)target.data);
        target = base;
    }
    if (!tree_name_ok(target) || target.len >= name_bytes) {
        errno = EINVAL;
        return -1;
    }
    memmove(name, target.data, target.len);
    name[target.len] = '\0';
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int run_get(struct client *client, const struct invocation *in, const struct cmd_get *args)
{
    static struct get_state s; /* too large for the stack */
    if (args->archive || args->compress)
        return archive_get(client, in, args);
    char name[PATH_TEXT_MAX + 1];
    int folder = open_destination(args, name, sizeof(name));
    if (folder < 0)
        return say_error("the destination \"%s\" cannot be used: %s", name, strerror(errno));
    s = (struct get_state){.name = name, .destination = folder, .fd = -1};
    progress_begin(&s.progress, name, 0, args->progress);
    if (!in->globals.json)
        (void)fprintf(stderr, "Saving file(s) to %s\n", name);
    char resolved[PATH_TEXT_MAX];
    struct span path = args->path;
    int status = resolve_name(client, resolved, &path);
    if (status == EXIT_OK)
        status = get_tree(&s, client, path);
    progress_end(&s.progress);
    (void)close(folder);
    return status;
}
