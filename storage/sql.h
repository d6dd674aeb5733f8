/* SPDX-License-Identifier: MIT */
/*
 * The few SQLite idioms that our databases share: opening with every setting explicit (SQLite's own defaults are wrong for us),
 * statements prepared once, and result codes as enum err.
 *
 * WAL, synchronous as asked, journal_size_limit 4 MiB, a persistent WAL so that read-only outsiders can open after a clean stop,
 * busy_timeout 2 s, temp_store memory. One thread at a time per connection; everything blocks.
 */
#ifndef HEARTH_STORAGE_SQL_H
#define HEARTH_STORAGE_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

struct disk_port;

enum { SQL_JOURNAL_LIMIT_BYTES = 4 * 1024 * 1024, SQL_BUSY_MS = 2000 };

struct sql_options {
    const char *path;
    const char *vfs; /* NULL = SQLite's own */
    const struct disk_port
        *disk; /* where the file is; NULL: a log that is found is not written once more (sqlite_log.h) */
    bool read_only;
    bool full_sync; /* synchronous=FULL, else NORMAL */
    uint32_t cache_kib;
};

/* Opens, or makes unless read_only. ERR_CORRUPT, ERR_NOT_FOUND, ERR_DENIED, ERR_NO_SPACE, ERR_IO. */
enum err sql_open(const struct sql_options *options, sqlite3 **ret_db) MUST_CHECK;

/* Closes; all statements must be finalised. NULL-safe. */
void sql_close(sqlite3 *db);

/* Runs statements that return no rows. */
enum err sql_exec(sqlite3 *db, const char *text) MUST_CHECK;

/* Prepares a statement that is kept. */
enum err sql_prepare(sqlite3 *db, const char *text, sqlite3_stmt **ret_stmt) MUST_CHECK;

/* ERR_OK: a row is there; ERR_NOT_FOUND: no (more) rows, the statement is reset. On an error it is reset too. */
enum err sql_row(sqlite3_stmt *stmt) MUST_CHECK;

/* Runs a statement that returns no row, and resets it. */
enum err sql_done(sqlite3_stmt *stmt) MUST_CHECK;

/* Runs a query whose answer is one number. ERR_CORRUPT when there is no row. */
enum err sql_number(sqlite3 *db, const char *text, uint64_t *ret_value) MUST_CHECK;

/*
 * Bytes are borrowed until the statement is reset or bound anew. A copy might find no memory, and a statement whose key was not bound
 * does something else: it finds nothing, or removes everything.
 */
void sql_bind_blob(sqlite3_stmt *stmt, int at, struct span bytes);
void sql_bind_text(sqlite3_stmt *stmt, int at, struct span text);
void sql_bind_u64(sqlite3_stmt *stmt, int at, uint64_t value);
struct span sql_blob(sqlite3_stmt *stmt, int column);
uint64_t sql_u64(sqlite3_stmt *stmt, int column);

/* Maps a result code; unknown ones are ERR_IO. */
enum err sql_err(int rc);

#endif
