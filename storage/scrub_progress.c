/* SPDX-License-Identifier: MIT */
#include "storage/scrub_progress.h"

#include <string.h>

#include "base/attr.h"

enum { AFTER, BEGAN, ENDED, BLOCKS, BYTES, BAD, ROW_COUNT };

static const char *const names[ROW_COUNT] = {
    [AFTER] = "scrub_after",   [BEGAN] = "scrub_began", [ENDED] = "scrub_ended",
    [BLOCKS] = "scrub_blocks", [BYTES] = "scrub_bytes", [BAD] = "scrub_bad",
};

enum err scrub_progress_save(sqlite3 *db, const struct scrub_progress *p)
{
    const uint64_t numbers[ROW_COUNT] = {0, p->began_ns, p->ended_ns, p->blocks, p->bytes, p->bad};
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(db, "INSERT OR REPLACE INTO meta(key, value) VALUES (?1, ?2)", &stmt);
    for (int i = 0; i < ROW_COUNT && err == ERR_OK; i++) {
        sql_bind_text(stmt, 1, span_text(names[i]));
        if (i == AFTER)
            sql_bind_blob(stmt, 2, block_key_span(&p->after));
        else
            sql_bind_u64(stmt, 2, numbers[i]);
        err = sql_done(stmt);
    }
    (void)sqlite3_finalize(stmt);
    return err;
}

static void take_row(struct scrub_progress *p, int row, sqlite3_stmt *stmt)
{
    uint64_t *const numbers[ROW_COUNT] = {NULL, &p->began_ns, &p->ended_ns, &p->blocks, &p->bytes, &p->bad};
    if (row != AFTER)
        *numbers[row] = sql_u64(stmt, 0);
    else if (block_key_of_span(sql_blob(stmt, 0), &p->after) != ERR_OK)
        p->after = (struct block_key){0};
}

enum err scrub_progress_load(sqlite3 *db, struct scrub_progress *ret_progress)
{
    struct scrub_progress p = {0};
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(db, "SELECT value FROM meta WHERE key = ?1", &stmt);
    for (int i = 0; i < ROW_COUNT && err == ERR_OK; i++) {
        sql_bind_text(stmt, 1, span_text(names[i]));
        err = sql_row(stmt);
        if (err == ERR_OK)
            take_row(&p, i, stmt);
        (void)sqlite3_reset(stmt);
        err = err == ERR_NOT_FOUND ? ERR_OK : err;
    }
    (void)sqlite3_finalize(stmt);
    if (err == ERR_OK)
        *ret_progress = p;
    return err;
}
