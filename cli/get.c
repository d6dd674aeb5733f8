/* SPDX-License-Identifier: MIT */
/*
 * get: files, folders and symlinks land on the disk.
 *
 * Names come from strangers. Every path is opened below the destination with openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), so
 * neither a name nor a symlink made a moment ago leads out of it; "..", ".", "/" and NUL are refused before.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/run.h"
#include "schemas/pack.h"
#include "wire/tree_stream.h"

enum { DEPTH_MAX = 256, PAGE = 256, NAME_MAX_BYTES = 1024 };

struct get_state {
    struct client *client;
    struct progress progress;
    int fd; /* of the file being written */
    const char *shown;
};

enum err pack_ls(struct buf *to, struct span path, uint64_t after, uint64_t limit)
{
    struct pack p = pack_begin(to);
    pack_map(&p, 3);
    pack_pair_span(&p, "path", path);
    pack_pair_u64(&p, "after", after);
    pack_pair_u64(&p, "limit", limit);
    return pack_end(&p);
}

static struct call *ask_ls(struct client *client, struct span path, uint64_t after, struct outcome *ret_outcome)
{
    struct buf args;
    buf_init(&args, 8192, NULL);
    struct call *call = NULL;
    *ret_outcome = (struct outcome){.code = CODE_INTERNAL, .message = span_text("out of memory")};
    if (pack_ls(&args, path, after, PAGE) == ERR_OK)
        call = ask(client, "ls", buf_span(&args), client_timeout(client, CLIENT_LONG_MS), false, ret_outcome);
    buf_release(&args);
    return call;
}

static int open_beneath(int folder, const char *name, uint64_t flags, uint64_t mode)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    return (int)syscall(SYS_openat2, folder, name, &how, sizeof(how));
}

static int name_error(const char *name, const char *what)
{
    return say_error("%s: %s: %s", name, what, strerror(errno));
}

/* ---- files ---- */

static bool write_all(void *arg, struct span bytes, uint64_t file_size)
{
    (void)file_size;
    struct get_state *s = arg;
    progress_add(&s->progress, bytes.len);
    while (bytes.len > 0) {
        ssize_t n = write(s->fd, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            (void)name_error(s->shown, "cannot be written");
            return false;
        }
        bytes = span_skip(bytes, (size_t)n);
    }
    return true;
}

static void set_meta(int fd, struct span facts)
{
    uint64_t mode = value_u64(facts, "mode");
    uint64_t mtime = value_u64(facts, "mtime");
    if (mode != 0)
        (void)fchmod(fd, (mode_t)(mode & 0777));
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = (time_t)mtime}};
    if (mtime != 0)
        (void)futimens(fd, times);
}

static int get_file(struct get_state *s, int folder, const char *name, struct span path, struct span facts)
{
    s->fd = open_beneath(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (s->fd < 0)
        return name_error(name, "cannot be made");
    s->shown = name;
    struct download d = {.client = s->client, .path = path, .length = UINT64_MAX, .each = write_all, .arg = s};
    int status = download_run(&d);
    set_meta(s->fd, facts);
    if (close(s->fd) != 0 && status == EXIT_OK)
        status = name_error(name, "cannot be written");
    return status;
}

static int get_symlink(int folder, const char *name, struct span facts)
{
    char target[PATH_TEXT_MAX + 1];
    struct span text = value_text(facts, "target");
    if (text.len == 0 || text.len > PATH_TEXT_MAX || memchr(text.data, 0, text.len) != NULL)
        return say_error("%s: its target is malformed", name);
    memcpy(target, text.data, text.len);
    target[text.len] = '\0';
    if (symlinkat(target, folder, name) != 0 && errno != EEXIST)
        return name_error(name, "cannot be made");
    return EXIT_OK;
}

/* ---- folders ---- */

static int get_entry(struct get_state *s, int folder, const char *name, struct span path, unsigned depth);

static int get_page(struct get_state *s, int folder, struct span facts, unsigned depth)
{
    struct elements rows = value_elements(facts, "entries");
    struct span row;
    int status = EXIT_OK;
    while (status == EXIT_OK && elements_next(&rows, &row)) {
        char name[NAME_MAX_BYTES + 1];
        struct span text = value_text(row, "name");
        if (!tree_name_ok(text) || text.len > NAME_MAX_BYTES)
            return say_error("the folder has an entry named \"%.*s\", which is no plain file name: refused",
                             (int)MIN(text.len, (size_t)100), (const char *)text.data);
        memcpy(name, text.data, text.len);
        name[text.len] = '\0';
        status = get_entry(s, folder, name, value_text(row, "cid"), depth);
    }
    return status;
}

static int get_folder(struct get_state *s, int parent, const char *name, struct span path, struct span first,
                      unsigned depth)
{
    if (depth >= DEPTH_MAX)
        return say_error("%s: folders are nested too deep", name);
    if (mkdirat(parent, name, 0777) != 0 && errno != EEXIST)
        return name_error(name, "cannot be made");
    int folder = open_beneath(parent, name, O_RDONLY | O_DIRECTORY, 0);
    if (folder < 0)
        return name_error(name, "cannot be opened");
    int status = get_page(s, folder, first, depth + 1);
    uint64_t next = value_u64(first, "next");
    bool more = value_bool(first, "more");
    while (status == EXIT_OK && more) {
        struct outcome outcome;
        struct call *call = ask_ls(s->client, path, next, &outcome);
        status = outcome.code == CODE_OK ? get_page(s, folder, outcome.result, depth + 1) : say_outcome_error(&outcome);
        more = outcome.code == CODE_OK && value_bool(outcome.result, "more");
        next = outcome.code == CODE_OK ? value_u64(outcome.result, "next") : next;
        call_free(call);
    }
    if (status == EXIT_OK)
        set_meta(folder, first);
    (void)close(folder);
    return status;
}

static int get_entry(struct get_state *s, int folder, const char *name, struct span path, unsigned depth)
{
    struct outcome outcome;
    struct call *call = ask_ls(s->client, path, 0, &outcome);
    int status;
    struct span kind = outcome.code == CODE_OK ? value_text(outcome.result, "kind") : (struct span){0};
    if (outcome.code != CODE_OK)
        status = say_outcome_error(&outcome);
    else if (span_equal_text(kind, "folder"))
        status = get_folder(s, folder, name, path, outcome.result, depth);
    else if (span_equal_text(kind, "symlink"))
        status = get_symlink(folder, name, outcome.result);
    else
        status = get_file(s, folder, name, path, outcome.result);
    call_free(call);
    return status;
}

/* ---- where to ---- */

static struct span last_part(struct span path)
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
    struct span target = args->output.len > 0 ? args->output : last_part(args->path);
    struct stat st;
    memcpy(name, target.data, MIN(target.len, name_bytes - 1));
    name[MIN(target.len, name_bytes - 1)] = '\0';
    if (args->output.len > 0 && stat(name, &st) == 0 && S_ISDIR(st.st_mode)) {
        (void)snprintf(folder, sizeof(folder), "%s", name);
        target = last_part(args->path);
    } else if (args->output.len > 0) {
        struct span base = last_part(target);
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
    char name[PATH_TEXT_MAX + 1];
    int folder = open_destination(args, name, sizeof(name));
    if (folder < 0)
        return say_error("the destination \"%s\" cannot be used: %s", name, strerror(errno));
    struct get_state s = {.client = client};
    struct outcome outcome;
    struct call *call = ask_ls(client, args->path, 0, &outcome);
    uint64_t total = outcome.code == CODE_OK ? value_u64(outcome.result, "size") : 0;
    call_free(call);
    progress_begin(&s.progress, name, total, args->progress);
    if (!in->globals.json)
        (void)fprintf(stderr, "Saving file(s) to %s\n", name);
    int status = get_entry(&s, folder, name, args->path, 0);
    progress_end(&s.progress);
    (void)close(folder);
    return status;
}
