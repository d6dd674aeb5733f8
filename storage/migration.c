/* SPDX-License-Identifier: MIT */
#include "storage/migration.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/blocks_sql.h"
#include "storage/segment.h"
#include "storage/sql.h"

static bool path_of(const char *folder, const char *end, char to[MIGRATION_PATH_MAX])
{
    int len = snprintf(to, MIGRATION_PATH_MAX, "%s/blocks.db%s", folder, end);
    return len >= 0 && len < MIGRATION_PATH_MAX;
}

/* ---- the steps ---- */

struct segment_live {
    uint64_t segment;
    uint64_t bytes;
};

static int by_segment(const void *a, const void *b)
{
    const struct segment_live *x = a;
    const struct segment_live *y = b;
    return x->segment < y->segment ? -1 : x->segment > y->segment;
}

/* All segments, in order of id; freed by the caller. */
static enum err read_segments(sqlite3 *db, struct segment_live **ret_list, size_t *ret_count)
{
    sqlite3_stmt *stmt = NULL;
    uint64_t max = 0;
    size_t count = 0;
    enum err err = sql_number(db, "SELECT count(*) FROM segments", &max);
    struct segment_live *list = err == ERR_OK ? calloc((size_t)max + 1, sizeof(*list)) : NULL;
    if (list == NULL)
        return err == ERR_OK ? ERR_NOMEM : err;
    err = sql_prepare(db, "SELECT id FROM segments ORDER BY id", &stmt);
    while (err == ERR_OK && count < max && (err = sql_row(stmt)) == ERR_OK)
        list[count++].segment = sql_u64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        free(list);
        return err;
    }
    *ret_list = list;
    *ret_count = count;
    return ERR_OK;
}

/* SQLite would sort all rows in memory to group them: there may be millions, and few segments. */
static enum err add_up(sqlite3 *db, struct segment_live *list, size_t count)
{
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(db, "SELECT segment, length(multihash), size FROM blocks", &stmt);
    while (err == ERR_OK && (err = sql_row(stmt)) == ERR_OK) {
        struct segment_live key = {.segment = sql_u64(stmt, 0)};
        struct segment_live *live = bsearch(&key, list, count, sizeof(*list), by_segment);
        if (live == NULL)
            err = ERR_CORRUPT; /* a row names a segment that was never there */
        else
            live->bytes += segment_record_bytes((size_t)sql_u64(stmt, 1), (size_t)sql_u64(stmt, 2));
    }
    (void)sqlite3_finalize(stmt);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err write_live(sqlite3 *db, const struct segment_live *list, size_t count)
{
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(db, "UPDATE segments SET live_bytes = ?2 WHERE id = ?1", &stmt);
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        sql_bind_u64(stmt, 1, list[i].segment);
        sql_bind_u64(stmt, 2, list[i].bytes);
        err = sql_done(stmt);
    }
    (void)sqlite3_finalize(stmt);
    return err;
}

static enum err to_version_2(sqlite3 *db)
{
    struct segment_live *list = NULL;
    size_t count = 0;
    enum err err = sql_exec(db, BLOCKS_VERSION_2_SQL);
    if (err == ERR_OK)
        err = read_segments(db, &list, &count);
    if (err == ERR_OK)
        err = add_up(db, list, count);
    if (err == ERR_OK)
        err = write_live(db, list, count);
    free(list);
    return err;
}

static enum err to_version_3(sqlite3 *db)
{
    return sql_exec(db, BLOCKS_VERSION_3_SQL);
}

static enum err to_version_4(sqlite3 *db)
{
    return sql_exec(db, BLOCKS_VERSION_4_SQL);
}

typedef enum err step_function(sqlite3 *db);

/* steps[n] leads from version n to n + 1. */
static step_function *const steps[BLOCKS_SCHEMA_VERSION] = {[1] = to_version_2, [2] = to_version_3, [3] = to_version_4};

/* Views are derived: they are made anew in their present form. */
static enum err drop_views(sqlite3 *db)
{
    char text[256];
    enum err err;
    do {
        sqlite3_stmt *stmt = NULL;
        err = sql_prepare(db, "SELECT name FROM sqlite_schema WHERE type = 'view' LIMIT 1", &stmt);
        if (err == ERR_OK)
            err = sql_row(stmt);
        if (err == ERR_OK)
            (void)sqlite3_snprintf(sizeof(text), text, "DROP VIEW \"%w\"", sqlite3_column_text(stmt, 0));
        (void)sqlite3_finalize(stmt);
        if (err == ERR_OK)
            err = sql_exec(db, text);
    } while (err == ERR_OK);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err run_steps(sqlite3 *db, uint64_t from)
{
    char text[128];
    enum err err = drop_views(db);
    for (uint64_t n = from; n < BLOCKS_SCHEMA_VERSION && err == ERR_OK; n++)
        err = steps[n] == NULL ? ERR_CORRUPT : steps[n](db);
    if (err == ERR_OK)
        err = sql_exec(db, BLOCKS_VIEWS_SQL);
    (void)snprintf(text, sizeof(text),
                   "UPDATE meta SET value = %d WHERE key = 'schema_version'; PRAGMA user_version = %d;",
                   BLOCKS_SCHEMA_VERSION, BLOCKS_SCHEMA_VERSION);
    return err == ERR_OK ? sql_exec(db, text) : err;
}

/* All steps in one transaction, which is kept or not. */
static enum err transact(sqlite3 *db, uint64_t from, bool keep)
{
    enum err err = sql_exec(db, "BEGIN IMMEDIATE");
    if (err != ERR_OK)
        return err;
    err = run_steps(db, from);
    if (err == ERR_OK && keep)
        err = sql_exec(db, "COMMIT");
    if (sqlite3_get_autocommit(db) == 0)
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return err == ERR_INVALID ? ERR_CORRUPT : err; /* a table is missing */
}

/* ---- the backup ---- */

static enum err sync_file(const struct disk_port *port, const char *path)
{
    struct disk_file *file;
    enum err err = port->open(port->self, path, DISK_WRITE, &file);
    if (err != ERR_OK)
        return err;
    err = port->fdatasync(file);
    port->close(file);
    return err;
}

/* An empty file of our own mode first: SQLite would make it with the umask's. */
static enum err make_empty(const struct disk_port *port, const char *path)
{
    struct disk_file *file;
    enum err err = port->unlink(port->self, path);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    err = port->open(port->self, path, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &file);
    if (err == ERR_OK)
        port->close(file);
    return err;
}

static enum err vacuum_into(sqlite3 *db, const char *path)
{
    char *text = sqlite3_mprintf("VACUUM INTO %Q", path);
    enum err err = text == NULL ? ERR_NOMEM : sql_exec(db, text);
    sqlite3_free(text);
    return err;
}

static enum err back_up(const struct migration_options *o, sqlite3 *db, uint64_t version)
{
    char end[32];
    char to[MIGRATION_PATH_MAX];
    char beside[MIGRATION_PATH_MAX];
    (void)snprintf(end, sizeof(end), ".v%llu-backup", (unsigned long long)version);
    if (!path_of(o->folder, end, to) || !path_of(o->folder, ".backup-new", beside))
        return ERR_TOO_LARGE;
    enum err err = make_empty(o->port, beside);
    if (err == ERR_OK)
        err = vacuum_into(db, beside);
    if (err == ERR_OK)
        err = sync_file(o->port, beside);
    if (err == ERR_OK)
        err = o->port->rename(o->port->self, beside, to);
    if (err != ERR_OK) {
        (void)o->port->unlink(o->port->self, beside);
        return err;
    }
    return o->port->sync_dir(o->port->self, o->folder);
}

/* ---- all of it ---- */

static enum err fail(const struct migration_options *o, enum err err, const char *what, char why[MIGRATION_WHY_BYTES])
{
    const char *hint = err == ERR_NO_SPACE ? ": free some space and start again" : "";
    int len = snprintf(why, MIGRATION_WHY_BYTES, "%.200s/blocks.db: %s: %s; it was left as it is%s", o->folder, what,
                       err_text(err), hint);
    return len < 0 ? ERR_INTERNAL : err;
}

static enum err refuse_newer(const struct migration_options *o, uint64_t version, char why[MIGRATION_WHY_BYTES])
{
    (void)snprintf(why, MIGRATION_WHY_BYTES,
                   "%.200s/blocks.db has version %llu, this hearth knows up to %d: a newer one made it; use that one",
                   o->folder, (unsigned long long)version, BLOCKS_SCHEMA_VERSION);
    return ERR_UNSUPPORTED;
}

static enum err migrate(const struct migration_options *o, sqlite3 *db, uint64_t from, char why[MIGRATION_WHY_BYTES])
{
    enum err err = transact(db, from, false);
    if (err != ERR_OK)
        return fail(o, err, "the trial of the migration failed", why);
    if (o->dry_run)
        return ERR_OK;
    err = back_up(o, db, from);
    if (err != ERR_OK)
        return fail(o, err, "no backup could be made before the migration", why);
    err = transact(db, from, true);
    return err == ERR_OK ? ERR_OK : fail(o, err, "the migration failed", why);
}

enum err migration_run(const struct migration_options *options, struct migration_report *ret_report,
                       char ret_why[MIGRATION_WHY_BYTES])
{
    char path[MIGRATION_PATH_MAX];
    sqlite3 *db = NULL;
    struct migration_report report = {.to = BLOCKS_SCHEMA_VERSION};
    ret_why[0] = '\0';
    if (!path_of(options->folder, "", path))
        return fail(options, ERR_TOO_LARGE, "the repository's path", ret_why);
    if (options->port->exists(options->port->self, path) != ERR_OK) {
        *ret_report = report;
        return ERR_OK;
    }
    struct sql_options sql = {
        .path = path, .vfs = options->vfs, .disk = options->port, .full_sync = true, .cache_kib = options->cache_kib};
    enum err err = sql_open(&sql, &db);
    if (err == ERR_OK)
        err = sql_number(db, "PRAGMA user_version", &report.from);
    if (err != ERR_OK)
        (void)fail(options, err, "it cannot be opened", ret_why);
    else if (report.from > BLOCKS_SCHEMA_VERSION)
        err = refuse_newer(options, report.from, ret_why);
    else if (report.from != 0 && report.from < BLOCKS_SCHEMA_VERSION)
        err = migrate(options, db, report.from, ret_why);
    sql_close(db);
    *ret_report = report;
    return err;
}
