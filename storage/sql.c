/* SPDX-License-Identifier: MIT */
#include "storage/sql.h"

#include <inttypes.h>
#include <stdio.h>

#include "storage/sqlite_log.h"

enum { PRAGMAS_MAX = 512, PAGE_BYTES = 4096 };

enum err sql_err(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return ERR_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    case SQLITE_READONLY:
        return ERR_READ_ONLY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_CORRUPT;
    case SQLITE_FULL:
        return ERR_NO_SPACE;
    case SQLITE_CANTOPEN:
        return ERR_NOT_FOUND;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return ERR_DENIED;
    case SQLITE_CONSTRAINT:
        return ERR_EXISTS;
    case SQLITE_TOOBIG:
        return ERR_TOO_LARGE;
    case SQLITE_ERROR:
        return ERR_INVALID;
    default: /* SQLite's codes are no enum of ours */
        return rc == SQLITE_IOERR_NOMEM ? ERR_NOMEM : ERR_IO;
    }
}

static enum err set_up(sqlite3 *db, const struct sql_options *o)
{
    char text[PRAGMAS_MAX];
    int persist = 1;
    (void)sqlite3_busy_timeout(db, SQL_BUSY_MS);
    (void)sqlite3_extended_result_codes(db, 1);
    (void)sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
    (void)snprintf(text, sizeof(text), "PRAGMA cache_size=-%" PRIu32 "; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;",
                   o->cache_kib);
    enum err err = sql_exec(db, text);
    if (err != ERR_OK || o->read_only)
        return err;
    (void)snprintf(text, sizeof(text),
                   "PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; PRAGMA journal_size_limit=%d;"
                   " PRAGMA foreign_keys=OFF; PRAGMA trusted_schema=OFF;",
                   PAGE_BYTES, o->full_sync ? "FULL" : "NORMAL", SQL_JOURNAL_LIMIT_BYTES);
    return sql_exec(db, text);
}

enum err sql_open(const struct sql_options *options, sqlite3 **ret_db)
{
    int flags = options->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    sqlite3 *db = NULL;
    /* NOMUTEX: one thread at a time per connection is our rule anyway. */
    int rc = sqlite3_open_v2(options->path, &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, options->vfs);
    enum err err = rc == SQLITE_OK ? set_up(db, options) : sql_err(rc);
    if (err == ERR_OK && options->disk != NULL)
        err = sql_err(sqlite_log_make_safe(db, options->disk, options->path));
    if (db != NULL)
        sqlite_log_moved_on_close(db, err == ERR_OK);
    if (err != ERR_OK) {
        sql_close(db);
        return err;
    }
    *ret_db = db;
    return ERR_OK;
}

void sql_close(sqlite3 *db)
{
    (void)sqlite3_close_v2(db);
}

enum err sql_exec(sqlite3 *db, const char *text)
{
    return sql_err(sqlite3_exec(db, text, NULL, NULL, NULL));
}

enum err sql_prepare(sqlite3 *db, const char *text, sqlite3_stmt **ret_stmt)
{
    return sql_err(sqlite3_prepare_v3(db, text, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL));
}

enum err sql_row(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        return ERR_OK;
    (void)sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? ERR_NOT_FOUND : sql_err(rc);
}

enum err sql_done(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);
    (void)sqlite3_reset(stmt);
    return sql_err(rc);
}

enum err sql_number(sqlite3 *db, const char *text, uint64_t *ret_value)
{
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(db, text, &stmt);
    if (err == ERR_OK)
        err = sql_row(stmt);
    if (err == ERR_OK)
        *ret_value = sql_u64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
}

void sql_bind_blob(sqlite3_stmt *stmt, int at, struct span bytes)
{
    (void)sqlite3_bind_blob(stmt, at, bytes.len == 0 ? (const void *)"" : bytes.data, (int)bytes.len, SQLITE_STATIC);
}

void sql_bind_text(sqlite3_stmt *stmt, int at, struct span text)
{
    (void)sqlite3_bind_text(stmt, at, text.len == 0 ? "" : (const char *)text.data, (int)text.len, SQLITE_STATIC);
}

void sql_bind_u64(sqlite3_stmt *stmt, int at, uint64_t value)
{
    (void)sqlite3_bind_int64(stmt, at, (sqlite3_int64)value);
}

struct span sql_blob(sqlite3_stmt *stmt, int column)
{
    const void *data = sqlite3_column_blob(stmt, column); /* before the length: the order SQLite asks for */
    return span_of(data, (size_t)sqlite3_column_bytes(stmt, column));
}

uint64_t sql_u64(sqlite3_stmt *stmt, int column)
{
    return (uint64_t)sqlite3_column_int64(stmt, column);
}
