/* SPDX-License-Identifier: MIT */
/*
 * repo backup: a copy of the store in a folder, while the daemon goes on. The daemon makes the snapshot and hands out bytes; the files are
 * written here (storage/store_backup), because the daemon opens no path of a client's and the folder is the user's, often on another disk.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/copy.h"
#include "cli/repository.h"
#include "cli/run.h"
#include "schemas/pack.h"
#include "storage/store_backup.h"

struct source {
    struct client *client;
    struct progress progress;
    struct call *call; /* whose answer the last piece is borrowed from */
    uint64_t id;
    int status; /* what was said when the daemon could not answer */
};

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

/* Of struct store_backup. */
static enum err read_piece(void *arg, uint64_t segment, uint64_t offset, uint64_t len, struct span *ret_bytes,
                           uint64_t *ret_size)
{
    static const char *const names[] = {"backup", "segment", "offset", "length"};
    struct source *s = arg;
    const uint64_t numbers[] = {s->id, segment, offset, len};
    struct outcome outcome;
    call_free(s->call);
    s->call = ask_numbers(s->client, "backup read", names, numbers, ARRAY_LEN(names), &outcome);
    if (outcome.code == CODE_NOT_FOUND)
        return ERR_NOT_FOUND;
    if (outcome.code != CODE_OK) {
        s->status = say_outcome_error(&outcome);
        return ERR_CANCELLED;
    }
    *ret_bytes = value_text(outcome.result, "data");
    *ret_size = value_u64(outcome.result, "size");
    progress_add(&s->progress, ret_bytes->len);
    return ERR_OK;
}

static int open_backup(struct source *s)
{
    struct outcome outcome;
    int status = EXIT_OK;
    struct call *call =
        ask(s->client, "backup open", (struct span){0}, client_timeout(s->client, CLIENT_LONG_MS), true, &outcome);
    if (outcome.code == CODE_OK)
        s->id = value_u64(outcome.result, "backup");
    else
        status = say_outcome_error(&outcome);
    call_free(call);
    return status;
}

static void close_backup(struct source *s)
{
    static const char *const names[] = {"backup"};
    struct outcome outcome;
    call_free(s->call);
    call_free(ask_numbers(s->client, "backup close", names, &s->id, 1, &outcome));
}

/* What failed, unless that was said already. */
static int say_failure(const struct store_backup *backup, const struct source *s, enum err err)
{
    if (s->status != EXIT_OK)
        return s->status;
    return say_error("%s", backup->why[0] != '\0' ? backup->why : err_text(err));
}

static int copy_all(struct store_backup *backup, struct source *s)
{
    progress_begin(&s->progress, "copying", 0, true);
    enum err err = store_backup_copy(backup);
    progress_end(&s->progress);
    return err == ERR_OK ? EXIT_OK : say_failure(backup, s, err);
}

/* Those of the repository that this command is told of, as `key export` reads them: secrets do not travel over the control socket. */
static int backup_keys(const struct invocation *in, const char *folder)
{
    char path[REPOSITORY_PATH_MAX];
    char why[CONFIG_WHY_BYTES] = "";
    if (repository_find(in->globals.repo_dir, path, why) != ERR_OK)
        return say_error("%s", why);
    return copy_keys(path, folder, true);
}

int run_repo_backup(struct client *client, const struct invocation *in, const struct cmd_repo_backup *args)
{
    char folder[STORE_COPY_PATH_MAX - 64];
    struct source source = {.client = client};
    struct store_backup backup = {.on = copy_medium(), .folder = folder, .arg = &source, .read = read_piece};
    if (args->folder.len >= sizeof(folder))
        return say_error("the path is too long");
    (void)snprintf(folder, sizeof(folder), "%.*s", (int)args->folder.len, (const char *)args->folder.data);
    enum err err = store_backup_begin(&backup);
    if (err != ERR_OK)
        return say_failure(&backup, &source, err);
    int status = open_backup(&source);
    if (status != EXIT_OK)
        return status;
    status = copy_all(&backup, &source);
    close_backup(&source);
    if (status == EXIT_OK)
        status = copy_verify(in, folder);
    if (status == EXIT_OK)
        status = backup_keys(in, folder);
    if (status != EXIT_OK)
        return status;
    printf("backup complete in %s: %llu segments copied, %llu were there already.\n", folder,
           (unsigned long long)backup.copied, (unsigned long long)backup.kept);
    (void)puts("It holds blocks, pins and the keys of names: let nobody read it. identity.key and config.yaml are not "
               "in it: keep copies of them yourself.");
    return EXIT_OK;
}
