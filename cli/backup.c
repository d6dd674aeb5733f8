/* SPDX-License-Identifier: MIT */
/*
 * repo backup: a copy of the store in a folder, while the daemon goes on. The daemon makes the snapshot and hands out bytes; the files are
 * written here, because the daemon opens no path of a client's and the folder is the user's, often on another disk.
 *
 *      blocks.db.part <- the snapshot       says that a backup has begun; run again, it is made anew and what is complete is kept
 *      segments/N.seg <- those it names     up to what is indexed; one that is there already, as long as that, is not copied again
 *      blocks.db      <- blocks.db.part     last: until then the folder is the backup that it was before
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/copy.h"
#include "cli/run.h"
#include "schemas/pack.h"
#include "storage/segment.h"

enum { PIECE_BYTES = 1024 * 1024 };

struct backup {
    struct client *client;
    const struct disk_port *port;
    const char *folder;
    uint64_t id;
    struct progress progress;
    uint64_t copied; /* files */
    uint64_t kept;
};

/* ---- pieces ---- */

static struct call *ask_numbers(struct client *client, const char *op, const char *const *names,
                                const uint64_t *numbers, size_t count, struct outcome *ret_outcome)
{
    struct buf args;
    buf_init(&args, 512, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        pack_pair_u64(&p, names[i], numbers[i]);
    struct call *call = NULL;
    *ret_outcome = (struct outcome){.code = CODE_INTERNAL, .message = span_text("out of memory")};
    if (pack_end(&p) == ERR_OK)
        call = ask(client, op, buf_span(&args), client_timeout(client, CLIENT_LONG_MS), false, ret_outcome);
    buf_release(&args);
    return call;
}

static struct call *ask_piece(struct backup *b, uint64_t segment, uint64_t offset, uint64_t length,
                              struct outcome *ret_outcome)
{
    static const char *const names[] = {"backup", "segment", "offset", "length"};
    const uint64_t numbers[] = {b->id, segment, offset, MIN(length, (uint64_t)PIECE_BYTES)};
    return ask_numbers(b->client, "backup read", names, numbers, ARRAY_LEN(names), ret_outcome);
}

/* Writes a file of the backup, or its first limit bytes; EXIT_NOT_FOUND: the daemon has it not. */
static int fetch_to(struct backup *b, uint64_t segment, uint64_t limit, struct disk_file *file)
{
    uint64_t offset = 0;
    uint64_t size = limit;
    while (offset < MIN(size, limit)) {
        struct outcome outcome;
        struct call *call = ask_piece(b, segment, offset, limit - offset, &outcome);
        struct span data = {0};
        int status = outcome.code == CODE_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_OK;
        if (outcome.code != CODE_OK && status == EXIT_OK)
            status = say_outcome_error(&outcome);
        if (status == EXIT_OK) {
            data = value_text(outcome.result, "data");
            size = value_u64(outcome.result, "size");
            struct iovec iov = {.iov_base = (void *)(uintptr_t)data.data, .iov_len = data.len};
            enum err err = data.len == 0 ? ERR_OK : b->port->pwritev(file, &iov, 1, offset);
            if (err != ERR_OK)
                status = say_error("%s: %s", b->folder, err_text(err));
        }
        progress_add(&b->progress, data.len);
        offset += data.len;
        bool ended = data.len == 0;
        call_free(call);
        if (status != EXIT_OK || ended)
            return status;
    }
    return EXIT_OK;
}

static int fetch_file(struct backup *b, uint64_t segment, uint64_t limit, const char *path)
{
    struct disk_file *file = NULL;
    (void)b->port->unlink(b->port->self, path);
    enum err err = b->port->open(b->port->self, path, DISK_WRITE | DISK_CREATE, &file);
    if (err != ERR_OK)
        return say_error("%s: %s", path, err_text(err));
    int status = fetch_to(b, segment, limit, file);
    err = status == EXIT_OK ? b->port->fdatasync(file) : ERR_OK;
    b->port->close(file);
    return err == ERR_OK ? status : say_error("%s: %s", path, err_text(err));
}

/* ---- the folder ---- */

/*
 * Only what rows may name is copied: an open segment has preallocated space behind it, and a copy with that would pass for the whole of it
 * once it is sealed. So a copy that is as long as the snapshot says is complete, whatever state its segment was in.
 */
static int copy_segment(struct backup *b, const struct segment_checkpoint *segment)
{
    char name[SEGMENT_NAME_MAX];
    char path[STORE_COPY_PATH_MAX];
    char part[STORE_COPY_PATH_MAX];
    segment_name(segment->segment, name);
    if (!copy_path(path, b->folder, "segments/", name, "") || !copy_path(part, b->folder, "segments/", name, ".part"))
        return say_error("%s: the path is too long", b->folder);
    if (copy_file_size(b->port, path) == segment->offset) {
        b->kept++;
        return EXIT_OK;
    }
    int status = fetch_file(b, segment->segment, segment->offset, part);
    if (status == EXIT_NOT_FOUND) { /* what it held is missing in the store too: the verification says so */
        (void)b->port->unlink(b->port->self, part);
        return EXIT_OK;
    }
    if (status != EXIT_OK)
        return status;
    b->copied++;
    enum err err = b->port->rename(b->port->self, part, path);
    return err == ERR_OK ? EXIT_OK : say_error("%s: %s", path, err_text(err));
}

static int copy_segments(struct backup *b, const struct segment_checkpoint *list, size_t count)
{
    char dir[STORE_COPY_PATH_MAX];
    int status = EXIT_OK;
    for (size_t i = 0; i < count && status == EXIT_OK; i++)
        status = copy_segment(b, &list[i]);
    if (status != EXIT_OK || !copy_path(dir, b->folder, "segments", "", ""))
        return status;
    enum err err = b->port->sync_dir(b->port->self, dir);
    return err == ERR_OK ? EXIT_OK : say_error("%s: %s", dir, err_text(err));
}

/* A new folder's name must last, or the whole backup goes with it. */
static enum err sync_above(struct backup *b)
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
    return b->port->sync_dir(b->port->self, above);
}

static int make_folders(struct backup *b)
{
    char dir[STORE_COPY_PATH_MAX];
    enum err err = b->port->make_dir(b->port->self, b->folder);
    if (err == ERR_OK)
        err = sync_above(b);
    if ((err == ERR_OK || err == ERR_EXISTS) && copy_path(dir, b->folder, "segments", "", ""))
        err = b->port->make_dir(b->port->self, dir);
    return err == ERR_OK || err == ERR_EXISTS ? EXIT_OK : say_error("%s: %s", b->folder, err_text(err));
}

/* Segments of another store would pass for ours: their names are numbers. */
static int check_same_store(const struct backup *b, const char *snapshot, const char *there)
{
    uint8_t ours[CATALOGUE_ID_BYTES];
    uint8_t theirs[CATALOGUE_ID_BYTES];
    if (b->port->exists(b->port->self, there) != ERR_OK)
        return EXIT_OK;
    enum err err = store_copy_id(snapshot, ours);
    if (err == ERR_OK)
        err = store_copy_id(there, theirs);
    if (err != ERR_OK)
        return say_error("%s: %s: choose another folder", there, err_text(err));
    if (memcmp(ours, theirs, sizeof(ours)) == 0)
        return EXIT_OK;
    return say_error("%s holds a backup of another store, or blocks.db was made anew since: choose another folder",
                     b->folder);
}

static int copy_all(struct backup *b)
{
    char part[STORE_COPY_PATH_MAX];
    char db[STORE_COPY_PATH_MAX];
    struct segment_checkpoint *list = NULL;
    size_t count = 0;
    if (!copy_path(part, b->folder, "blocks.db", ".part", "") || !copy_path(db, b->folder, "blocks.db", "", ""))
        return say_error("%s: the path is too long", b->folder);
    if (b->port->exists(b->port->self, db) != ERR_OK && copy_has_segments(b->port, b->folder) &&
        b->port->exists(b->port->self, part) != ERR_OK)
        return say_error("%s: segments/ holds files that belong to no backup: choose another folder", b->folder);
    int status = fetch_file(b, 0, UINT64_MAX, part);
    if (status == EXIT_OK)
        status = check_same_store(b, part, db);
    if (status != EXIT_OK)
        return status;
    enum err err = store_copy_segments(part, &list, &count);
    if (err != ERR_OK)
        return say_error("%s: %s", part, err_text(err));
    status = copy_segments(b, list, count);
    if (status == EXIT_OK) {
        err = b->port->rename(b->port->self, part, db);
        if (err == ERR_OK)
            err = b->port->sync_dir(b->port->self, b->folder);
        status = err == ERR_OK ? copy_remove_others(b->port, b->folder, list, count)
                               : say_error("%s: %s", db, err_text(err));
    }
    free(list);
    return status;
}

static void close_backup(const struct backup *b)
{
    static const char *const names[] = {"backup"};
    struct outcome outcome;
    call_free(ask_numbers(b->client, "backup close", names, &b->id, 1, &outcome));
}

int run_repo_backup(struct client *client, const struct invocation *in, const struct cmd_repo_backup *args)
{
    char folder[STORE_COPY_PATH_MAX - 64];
    struct outcome outcome;
    struct backup b = {.client = client, .port = disk_posix(), .folder = folder};
    if (args->folder.len >= sizeof(folder))
        return say_error("the path is too long");
    (void)snprintf(folder, sizeof(folder), "%.*s", (int)args->folder.len, (const char *)args->folder.data);
    int status = make_folders(&b);
    if (status != EXIT_OK)
        return status;
    struct call *call =
        ask(client, "backup open", (struct span){0}, client_timeout(client, CLIENT_LONG_MS), true, &outcome);
    if (outcome.code == CODE_OK)
        b.id = value_u64(outcome.result, "backup");
    else
        status = say_outcome_error(&outcome);
    call_free(call);
    if (status != EXIT_OK)
        return status;
    progress_begin(&b.progress, "copying", 0, true);
    status = copy_all(&b);
    progress_end(&b.progress);
    close_backup(&b);
    if (status == EXIT_OK)
        status = copy_verify(in, folder);
    if (status != EXIT_OK)
        return status;
    printf("backup complete in %s: %llu segments copied, %llu were there already.\n", folder,
           (unsigned long long)b.copied, (unsigned long long)b.kept);
    (void)puts("It holds blocks and pins. identity.key and config.yaml are not in it: keep copies of them yourself.");
    return EXIT_OK;
}
