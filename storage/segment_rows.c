/* SPDX-License-Identifier: MIT */
#include "storage/segment_rows.h"

#include <stdlib.h>

enum { FIRST_CAP = 64 };

static enum err grow(struct segment_checkpoint **list, size_t *cap)
{
    size_t bigger = *cap == 0 ? FIRST_CAP : *cap * 2;
    struct segment_checkpoint *grown = realloc(*list, bigger * sizeof(*grown));
    if (grown == NULL)
        return ERR_NOMEM;
    *list = grown;
    *cap = bigger;
    return ERR_OK;
}

static enum err read_list(sqlite3 *db, const char *text, struct segment_checkpoint **ret_list, size_t *ret_count)
{
    sqlite3_stmt *stmt = NULL;
    struct segment_checkpoint *list = NULL;
    size_t cap = 0;
    size_t count = 0;
    enum err err = sql_prepare(db, text, &stmt);
    while (err == ERR_OK && (err = sql_row(stmt)) == ERR_OK) {
        uint64_t state = sql_u64(stmt, 2);
        if (count == cap)
            err = grow(&list, &cap);
        if (err == ERR_OK)
            list[count++] = (struct segment_checkpoint){.segment = sql_u64(stmt, 0),
                                                        .offset = sql_u64(stmt, 1),
                                                        .state = state > SEGMENT_SUSPECT ? SEGMENT_OPEN
                                                                                         : (enum segment_state)state};
    }
    (void)sqlite3_finalize(stmt);
    if (err != ERR_NOT_FOUND) {
        free(list);
        return err;
    }
    *ret_list = list;
    *ret_count = count;
    return ERR_OK;
}

enum err segment_rows(sqlite3 *db, struct segment_checkpoint **ret_list, size_t *ret_count)
{
    return read_list(db, "SELECT id, checkpoint, state FROM segments WHERE checkpoint > 0 OR state > 0 ORDER BY id",
                     ret_list, ret_count);
}

enum err segment_rows_used(sqlite3 *db, struct segment_checkpoint **ret_list, size_t *ret_count)
{
    return read_list(db, "SELECT id, checkpoint, state FROM segments WHERE live_bytes > 0 ORDER BY id", ret_list,
                     ret_count);
}

static struct segment_use read_use(sqlite3_stmt *stmt)
{
    return (struct segment_use){.segment = sql_u64(stmt, 0), .bytes = sql_u64(stmt, 1), .live = sql_u64(stmt, 2)};
}

enum err segment_rows_deadest(sqlite3 *db, struct segment_use *ret_rows, size_t max, size_t *ret_count)
{
    sqlite3_stmt *stmt = NULL;
    size_t count = 0;
    enum err err = sql_prepare(db,
                               "SELECT id, checkpoint, live_bytes FROM segments WHERE state > 0"
                               " ORDER BY live_bytes * 1.0 / max(checkpoint, 1), id LIMIT ?1",
                               &stmt);
    if (err == ERR_OK)
        sql_bind_u64(stmt, 1, max);
    while (err == ERR_OK && count < max && (err = sql_row(stmt)) == ERR_OK)
        ret_rows[count++] = read_use(stmt);
    (void)sqlite3_finalize(stmt);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    *ret_count = count;
    return ERR_OK;
}

/* One row, by a statement with at most one parameter. */
static enum err one_use(sqlite3 *db, const char *text, uint64_t value, struct segment_use *ret_use)
{
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(db, text, &stmt);
    if (err == ERR_OK) {
        sql_bind_u64(stmt, 1, value);
        err = sql_row(stmt);
    }
    if (err == ERR_OK)
        *ret_use = read_use(stmt);
    (void)sqlite3_finalize(stmt);
    return err;
}

enum err segment_rows_use(sqlite3 *db, uint64_t segment, struct segment_use *ret_use)
{
    return one_use(db, "SELECT id, checkpoint, live_bytes FROM segments WHERE id = ?1 AND state > 0", segment, ret_use);
}

enum err segment_rows_open(sqlite3 *db, struct segment_use *ret_use)
{
    return one_use(db, "SELECT id, checkpoint, live_bytes FROM segments WHERE state = ?1 ORDER BY id DESC LIMIT 1",
                   SEGMENT_OPEN, ret_use);
}
