/* SPDX-License-Identifier: MIT */
/* repo restore: the blocks and pins of a backup into a repository that has none, while no daemon runs (storage/store_restore). */
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/copy.h"
#include "cli/repository.h"
#include "cli/run.h"
#include "storage/store_restore.h"

static void tell_progress(void *arg, uint64_t bytes)
{
    progress_add(arg, bytes);
}

static int run_locked(const struct invocation *in, const char *from, const char *to)
{
    struct progress progress;
    struct store_restore r = {.on = copy_medium(), .from = from, .to = to, .arg = &progress, .progress = tell_progress};
    if (store_restore_begin(&r) != ERR_OK)
        return say_error("%s", r.why);
    if (r.again)
        (void)puts("going on with a restore that was interrupted");
    progress_begin(&progress, "copying", 0, true);
    enum err err = store_restore_copy(&r);
    progress_end(&progress);
    if (err != ERR_OK)
        return say_error("%s", r.why);
    /* Damaged blocks are told; the daemon quarantines them and asks peers for them. */
    int status = copy_verify(in, to);
    if (store_restore_end(&r) != ERR_OK)
        return say_error("%s", r.why);
    int keys = copy_keys(from, to, false); /* a key that the repository has is newer, or another one */
    status = status == EXIT_OK ? keys : status;
    printf("restored %s from %s; its identity.key and config.yaml are as they were.\n", to, from);
    return status;
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
    int status = run_locked(in, folder, path);
    (void)close(lock);
    return status;
}
