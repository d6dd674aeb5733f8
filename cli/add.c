/* SPDX-License-Identifier: MIT */
/*
 * add: bytes go to the daemon in pieces of 256 KiB, a few in flight; an open file of 1 MiB or more is handed to it to read, when it runs on
 * this machine. A single file goes as its bytes, everything else as a tree stream (wire/tree_stream.h), made while the folders
 * are walked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/folder_list.h"
#include "cli/run.h"
#include "cli/source.h"
#include "cli/upload_stream.h"
#include "schemas/pack.h"
#include "wire/cid.h"
#include "wire/tree_stream.h"

enum {
    NAME_BYTES_MAX = 255,
    DEPTH_MAX = 250,
    AGAIN_MS = 20, /* after a part has ended that is coming back */
};

struct add_state {
    struct client *client;
    const struct invocation *in;
    const struct cmd_add *args;
    struct progress progress;
    struct upload_stream stream;
    const char *name; /* shown for the entry without a path */
    bool sends_all;   /* the daemon takes no open files */
    char last[CID_TEXT_MAX];
};

/* ---- what was added ---- */

/* The folder that wraps has no name; standard input is called by its CID. */
static struct span shown_name(const struct add_state *s, struct span path, struct span cid, bool folder)
{
    if (path.len > 0 || (folder && s->args->wrap_with_directory))
        return path;
    return s->name[0] != '\0' ? span_text(s->name) : cid;
}

static void print_added(struct add_state *s, struct span shown, struct span cid, uint64_t bytes)
{
    progress_end(&s->progress);
    if (s->args->quieter)
        return;
    if (s->in->globals.json) {
        struct buf line;
        buf_init(&line, 65536, NULL);
        struct pack p = pack_begin(&line);
        pack_map(&p, 3);
        pack_pair_span(&p, "Name", shown);
        pack_pair_span(&p, "Hash", cid);
        char size[24];
        (void)snprintf(size, sizeof(size), "%llu", (unsigned long long)bytes);
        pack_pair_text(&p, "Size", size);
        if (pack_end(&p) == ERR_OK)
            print_json(buf_span(&line));
        buf_release(&line);
        return;
    }
    (void)fputs(s->args->quiet ? "" : "added ", stdout);
    print_cid(stdout, &s->in->globals, cid);
    if (!s->args->quiet) {
        (void)putchar(' ');
        print_escaped(stdout, shown);
    }
    (void)putchar('\n');
}

static void take_added(void *arg, struct span result)
{
    struct add_state *s = arg;
    struct elements rows = value_elements(result, "added");
    struct span row;
    while (elements_next(&rows, &row)) {
        struct span cid = value_text(row, "cid");
        struct span shown = shown_name(s, value_text(row, "path"), cid, value_bool(row, "folder"));
        print_added(s, shown, cid, value_u64(row, "bytes"));
    }
}

static int append_record(struct add_state *s, enum tree_kind kind, struct span name, struct span body,
                         const struct tree_meta *meta)
{
    enum err err = tree_stream_append(&s->stream.bytes, kind, name, body, meta);
    if (err != ERR_OK)
        return say_error("\"%.*s\" cannot be added: %s", (int)name.len, (const char *)name.data, err_text(err));
    return upload_stream_send(&s->stream, false);
}

/* ---- the walk ---- */

static struct tree_meta meta_of(const struct add_state *s, const struct stat *st)
{
    struct tree_meta meta = {0};
    if (s->args->preserve_mode)
        meta.mode = st->st_mode & 07777;
    meta.has_mtime = s->args->preserve_mtime;
    if (meta.has_mtime) {
        meta.mtime_seconds = st->st_mtim.tv_sec;
        meta.mtime_nanos = (uint32_t)st->st_mtim.tv_nsec;
    }
    return meta;
}

static void take_progress(void *arg, uint64_t bytes)
{
    progress_add(&((struct add_state *)arg)->progress, bytes);
}

/* Hands the open file to the daemon. One that does not take it will take no other: then the bytes of all are sent. */
static int offer_file(struct add_state *s, int fd, const char *name, bool *ret_taken)
{
    struct upload_file file;
    *ret_taken = false;
    if (s->sends_all || !upload_file_of(fd, name, &file))
        return EXIT_OK;
    int status = upload_stream_file(&s->stream, &file, ret_taken);
    s->sends_all = !*ret_taken;
    return status;
}

/* The bytes of an open file, as records of a tree or as they are. */
static int send_bytes(struct add_state *s, struct source *source, const char *name, bool tree)
{
    bool taken;
    int status = offer_file(s, source->fd, name, &taken);
    if (taken)
        return status;
    while (status == EXIT_OK) {
        struct span bytes;
        if (source_read(source, &bytes) != ERR_OK)
            return say_error("reading failed: %s", strerror(errno));
        if (!source->whole)
            s->stream.until_ns = 0; /* no further try */
        if (bytes.len == 0)
            return EXIT_OK;
        progress_add(&s->progress, bytes.len);
        if (tree)
            status = append_record(s, TREE_DATA, (struct span){0}, bytes, NULL);
        else
            status = buf_append_span(&s->stream.bytes, bytes) == ERR_OK ? upload_stream_send(&s->stream, false)
                                                                        : say_error("out of memory");
    }
    return status;
}

static int walk_file(struct add_state *s, int folder, const char *name, const char *shown, const struct stat *st)
{
    struct tree_meta meta = meta_of(s, st);
    struct source source = {.fd = -1};
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return say_error("%s: %s", name, strerror(errno));
    int status = append_record(s, TREE_FILE, span_text(shown), (struct span){0}, &meta);
    if (status == EXIT_OK)
        status = source_begin(&source, fd) == ERR_OK ? send_bytes(s, &source, name, true) : say_error("out of memory");
    if (status == EXIT_OK)
        status = append_record(s, TREE_END, (struct span){0}, (struct span){0}, NULL);
    source_release(&source);
    (void)close(fd);
    return status;
}

static int walk_symlink(struct add_state *s, int folder, const char *name, const char *shown, const struct stat *st)
{
    char target[TREE_TARGET_MAX];
    struct tree_meta meta = meta_of(s, st);
    ssize_t n = readlinkat(folder, name, target, sizeof(target));
    if (n < 0)
        return say_error("%s: %s", name, strerror(errno));
    return append_record(s, TREE_SYMLINK, span_text(shown), span_of(target, (size_t)n), &meta);
}

static int walk_entry(struct add_state *s, int folder, const char *name, const char *shown, unsigned depth);

static int walk_names(struct add_state *s, int folder, const struct folder_list *list, const char *shown,
                      struct tree_meta *meta, unsigned depth)
{
    meta->by_hash = list->by_hash;
    int status = append_record(s, TREE_ENTER, span_text(shown), (struct span){0}, meta);
    for (size_t i = 0; i < list->count && status == EXIT_OK; i++) {
        const char *child = folder_list_name(list, i);
        status = walk_entry(s, folder, child, child, depth + 1);
    }
    return status == EXIT_OK ? append_record(s, TREE_LEAVE, (struct span){0}, (struct span){0}, NULL) : status;
}

static int walk_folder(struct add_state *s, int parent, const char *name, const char *shown, const struct stat *st,
                       unsigned depth)
{
    struct tree_meta meta = meta_of(s, st);
    if (depth >= DEPTH_MAX)
        return say_error("%s: folders are nested too deep", name);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return say_error("%s: %s", name, strerror(errno));
    struct folder_list list;
    enum err err = folder_list_read(&list, fd, s->args->hidden);
    int status = err == ERR_OK ? walk_names(s, fd, &list, shown, &meta, depth)
                               : say_error("%s: %s", name, err == ERR_IO ? strerror(errno) : err_text(err));
    folder_list_release(&list);
    (void)close(fd);
    return status;
}

/* A symlink is added as what it is; one that the user names is followed on request. */
static int stat_flags(const struct add_state *s, unsigned depth)
{
    return depth == 0 && s->args->dereference_args ? 0 : AT_SYMLINK_NOFOLLOW;
}

static int walk_entry(struct add_state *s, int folder, const char *name, const char *shown, unsigned depth)
{
    struct stat st;
    int flags = stat_flags(s, depth);
    if (fstatat(folder, name, &st, flags) != 0)
        return say_error("%s: %s", name, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return walk_folder(s, folder, name, shown, &st, depth);
    if (S_ISLNK(st.st_mode))
        return walk_symlink(s, folder, name, shown, &st);
    if (S_ISREG(st.st_mode) || depth == 0)
        return walk_file(s, folder, name, shown, &st);
    return say_error("%s: neither file, folder nor symlink", name);
}

/* ---- one upload ---- */

static bool chunk_bytes(const struct cmd_add *args, uint64_t *ret_bytes)
{
    char text[32] = "";
    *ret_bytes = 0;
    if (args->chunker.len == 0)
        return true;
    memcpy(text, args->chunker.data, MIN(args->chunker.len, sizeof(text) - 1));
    char *end = NULL;
    if (strncmp(text, "size-", 5) != 0)
        return false;
    *ret_bytes = strtoull(text + 5, &end, 10);
    return *end == '\0' && *ret_bytes > 0 && *ret_bytes <= 2 * MIB;
}

/* 0 and 1 are asked for, 2 leaves it to the profile. What carries a mode or a time cannot be raw. */
static bool raw_leaves(const struct cmd_add *a, uint64_t *ret_raw)
{
    bool asked = a->raw_leaves.len > 0;
    bool wanted = span_equal_text(a->raw_leaves, "true");
    bool preserves = a->preserve_mode || a->preserve_mtime;
    *ret_raw = preserves ? 0 : !asked ? 2 : wanted;
    return !(preserves && wanted);
}

static enum err pack_open(struct buf *to, const struct cmd_add *a, bool tree, const char *name, uint64_t chunk,
                          uint64_t raw)
{
    struct pack p = pack_begin(to);
    pack_map(&p, 14);
    pack_pair_span(&p, "profile", a->profile);
    pack_pair_bool(&p, "tree", tree);
    pack_pair_bool(&p, "wrap", a->wrap_with_directory);
    pack_pair_text(&p, "name", name);
    pack_pair_u64(&p, "cid_version", a->cid_version);
    pack_pair_u64(&p, "raw_leaves", raw);
    pack_pair_u64(&p, "chunk_bytes", chunk);
    pack_pair_u64(&p, "max_file_links", a->max_file_links);
    pack_pair_u64(&p, "max_directory_links", a->max_directory_links);
    pack_pair_u64(&p, "max_hamt_fanout", a->max_hamt_fanout);
    pack_pair_bool(&p, "inlined", a->inline_);
    pack_pair_u64(&p, "inline_limit", a->inline_limit);
    pack_pair_bool(&p, "pin", a->pin);
    pack_pair_bool(&p, "only_hash", a->only_hash);
    return pack_end(&p);
}

static int open_upload(struct add_state *s, bool tree, const char *name)
{
    const struct cmd_add *a = s->args;
    uint64_t chunk = 0;
    uint64_t raw = 0;
    if (!chunk_bytes(a, &chunk))
        return say_error("--chunker is size-<bytes>, at most 2 MiB");
    if (a->hash.len > 0 && !span_equal_text(a->hash, "sha2-256"))
        return say_error("--hash: only sha2-256 is used for adding");
    if (!raw_leaves(a, &raw))
        return say_error("raw-leaves can't be used with UnixFS metadata like mode or modification time");
    struct buf args;
    buf_init(&args, 8192, NULL);
    int status = pack_open(&args, a, tree, name, chunk, raw) == ERR_OK ? upload_stream_open(&s->stream, buf_span(&args))
                                                                       : say_error("out of memory");
    buf_release(&args);
    return status;
}

static int finish_upload(struct add_state *s, int status)
{
    return upload_stream_finish(&s->stream, status, s->last, sizeof(s->last));
}

static int add_plain_once(struct add_state *s, struct source *source, const char *name)
{
    int status = open_upload(s, false, name);
    return status == EXIT_OK ? finish_upload(s, send_bytes(s, source, name, false)) : status;
}

static void pause_ms(uint64_t ms)
{
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * MS_NS)};
    (void)nanosleep(&pause, NULL);
}

/* Another try of an upload that was lost: at once where whoever had it ended, which the daemon has said or will say by taking the next. */
static void wait_for_try(struct add_state *s, uint64_t began_ns)
{
    uint64_t now_ns = clock_mono_ns();
    uint64_t left_ms = (s->stream.until_ns - MIN(now_ns, s->stream.until_ns)) / MS_NS;
    if (s->stream.ended) {
        pause_ms((uint64_t)AGAIN_MS << MIN(s->stream.losses.quick, 4U));
        return;
    }
    pause_ms(client_pause_ms(CLIENT_TRIES - s->stream.tries_left, (now_ns - began_ns) / MS_NS, left_ms));
    s->stream.tries_left--;
}

/* A regular file or a pipe: its bytes and nothing around them. They are sent again, as long as they can be had again, when the upload was lost. */
static int add_plain(struct add_state *s, int fd, const char *name)
{
    uint64_t began_ns = clock_mono_ns();
    struct source source;
    if (source_begin(&source, fd) != ERR_OK)
        return say_error("out of memory");
    s->name = name;
    s->stream.losses = (struct losses){0};
    s->stream.tries_left = CLIENT_TRIES - 1;
    s->stream.until_ns = began_ns + client_timeout(s->client, CLIENT_LONG_MS) * MS_NS;
    int status = add_plain_once(s, &source, name);
    while (status != EXIT_OK && s->stream.lost) {
        wait_for_try(s, began_ns);
        if (source_rewind(&source))
            status = add_plain_once(s, &source, name);
        else
            status = say_error("%s: it cannot be read again: %s", name, strerror(errno));
    }
    source_release(&source);
    s->stream.until_ns = 0;
    return status;
}

/* Standard input has no name of its own; in a folder it needs one. */
static int add_standard_input(struct add_state *s)
{
    char name[NAME_BYTES_MAX + 1] = "";
    if (s->args->stdin_name.len > 0)
        memcpy(name, s->args->stdin_name.data, s->args->stdin_name.len);
    name[s->args->stdin_name.len] = '\0';
    if (name[0] == '\0' && s->args->wrap_with_directory)
        return say_error("-w with standard input needs --stdin-name") + EXIT_USAGE - EXIT_ERROR;
    int status = add_plain(s, STDIN_FILENO, name);
    s->name = "";
    return status;
}

static const char *base_name(char *path)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        path[--len] = '\0';
    const char *slash = strrchr(path, '/');
    return slash == NULL || slash[1] == '\0' ? path : slash + 1;
}

static int add_tree(struct add_state *s, char *path)
{
    char resolved[PATH_TEXT_MAX + 1];
    const char *shown = base_name(path);
    if (!tree_name_ok(span_text(shown))) { /* ".", "..", "/": called by their real name */
        if (realpath(path, resolved) == NULL || strcmp(resolved, "/") == 0)
            return say_error("%s cannot be added", path);
        shown = base_name(resolved);
    }
    s->name = shown;
    int status = open_upload(s, true, shown);
    if (status == EXIT_OK)
        status = finish_upload(s, walk_entry(s, AT_FDCWD, path, shown, 0));
    s->name = "";
    return status;
}

static int add_path(struct add_state *s, char *path)
{
    struct stat st;
    if (strcmp(path, "-") == 0)
        return add_standard_input(s);
    if (fstatat(AT_FDCWD, path, &st, stat_flags(s, 0)) != 0)
        return say_error("%s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode) && !s->args->recursive)
        return say_error("%s is a folder: use -r to add folders", path);
    if (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode) || s->args->preserve_mode || s->args->preserve_mtime)
        return add_tree(s, path);
    if (S_ISREG(st.st_mode))
        s->progress.total += (uint64_t)st.st_size;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return say_error("%s: %s", path, strerror(errno));
    int status = add_plain(s, fd, base_name(path));
    (void)close(fd);
    return status;
}

static void copy_path(char path[PATH_TEXT_MAX + 1], struct span text)
{
    memcpy(path, text.data, text.len);
    path[text.len] = '\0';
}

/* -w with several paths: one folder holds them all. */
static int add_wrapped(struct add_state *s)
{
    size_t position = 0;
    struct span text;
    s->name = "";
    int status = open_upload(s, true, "");
    if (status != EXIT_OK)
        return status;
    while (status == EXIT_OK && schema_list_next_bytes(&s->args->path, &position, &text)) {
        char path[PATH_TEXT_MAX + 1];
        copy_path(path, text);
        status = walk_entry(s, AT_FDCWD, path, base_name(path), 0);
    }
    return finish_upload(s, status);
}

int run_add(struct client *client, const struct invocation *in, const struct cmd_add *args)
{
    struct add_state s = {.client = client, .in = in, .args = args, .name = ""};
    size_t position = 0;
    struct span text;
    int status = EXIT_OK;
    s.stream = (struct upload_stream){.client = client, .added = take_added, .taken = take_progress, .arg = &s};
    buf_init(&s.stream.bytes, (size_t)4 * UPLOAD_PIECE, NULL);
    progress_begin(&s.progress, "adding", 0, args->progress);
    bool together = args->wrap_with_directory && args->path.count > 1;
    if (args->path.count == 0)
        status = add_standard_input(&s);
    if (together)
        status = add_wrapped(&s);
    while (!together && status == EXIT_OK && schema_list_next_bytes(&args->path, &position, &text)) {
        char path[PATH_TEXT_MAX + 1];
        copy_path(path, text);
        status = add_path(&s, path);
    }
    progress_end(&s.progress);
    if (status == EXIT_OK && args->quieter) {
        print_cid(stdout, &in->globals, span_text(s.last));
        (void)putchar('\n');
    }
    buf_release(&s.stream.bytes);
    return status;
}
