/* SPDX-License-Identifier: MIT */
/* `repo version` and `repo migrate`: what needs the repository's folder and no daemon. */
#include <sqlite3.h>
#include <stdio.h>

#include "cli/repository.h"
#include "cli/run.h"
#include "schemas/blocks_sql.h"
#include "storage/disk_posix.h"
#include "storage/migration.h"
#include "storage/sql.h"

enum { CACHE_KIB = 1024 };

static int find_repository(const struct invocation *in, char ret_path[REPOSITORY_PATH_MAX])
{
    char why[CONFIG_WHY_BYTES] = "";
    return repository_find(in->globals.repo_dir, ret_path, why) == ERR_OK ? EXIT_OK : say_error("%s", why);
}

int run_repo_version(const struct invocation *in, const struct cmd_repo_version *args)
{
    char path[REPOSITORY_PATH_MAX];
    char name[REPOSITORY_PATH_MAX + 16];
    sqlite3 *db = NULL;
    uint64_t version = 0;
    int status = find_repository(in, path);
    if (status != EXIT_OK)
        return status;
    (void)snprintf(name, sizeof(name), "%s/blocks.db", path);
    enum err err = sql_open(&(struct sql_options){.path = name, .read_only = true, .cache_kib = CACHE_KIB}, &db);
    if (err == ERR_OK)
        err = sql_number(db, "PRAGMA user_version", &version);
    sql_close(db);
    if (err != ERR_OK)
        return say_error("%s: %s", name, err_text(err));
    if (in->globals.json)
        printf("{\"version\":%llu}\n", (unsigned long long)version);
    else
        printf("%s%llu\n", args->quiet ? "" : "hearth repo version hearth@", (unsigned long long)version);
    return EXIT_OK;
}

/* Under the repository's lock: no daemon starts meanwhile. */
static enum err migrate(const char *path, bool dry_run, struct migration_report *ret_report,
                        char why[MIGRATION_WHY_BYTES])
{
    char name[REPOSITORY_PATH_MAX + 16];
    const struct disk_port *port = disk_posix();
    struct disk_file *lock;
    (void)snprintf(name, sizeof(name), "%s/repo.lock", path);
    enum err err = port->open(port->self, name, DISK_WRITE | DISK_CREATE, &lock);
    if (err != ERR_OK) {
        (void)snprintf(why, MIGRATION_WHY_BYTES, "%.300s: %s", name, err_text(err));
        return err;
    }
    struct migration_options options = {.port = port, .folder = path, .cache_kib = CACHE_KIB, .dry_run = dry_run};
    err = port->lock(lock);
    if (err == ERR_OK)
        err = migration_run(&options, ret_report, why);
    else
        (void)snprintf(why, MIGRATION_WHY_BYTES,
                       "%.300s: a daemon uses this repository: it has migrated it when it started", path);
    port->close(lock);
    return err;
}

int run_repo_migrate(const struct invocation *in, const struct cmd_repo_migrate *args)
{
    char path[REPOSITORY_PATH_MAX];
    char why[MIGRATION_WHY_BYTES] = "";
    struct migration_report report = {0};
    int status = find_repository(in, path);
    if (status != EXIT_OK)
        return status;
    if (migrate(path, args->dry_run, &report, why) != ERR_OK)
        return say_error("%s", why);
    unsigned long long from = report.from;
    unsigned long long to = report.to;
    if (report.from == 0 || report.from == report.to)
        printf("hearth@%llu: nothing to migrate\n", to);
    else if (args->dry_run)
        printf("hearth@%llu can be migrated to hearth@%llu\n", from, to);
    else
        printf("hearth@%llu migrated to hearth@%llu; the old database is blocks.db.v%llu-backup\n", from, to, from);
    return EXIT_OK;
}
