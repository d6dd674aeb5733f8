/* SPDX-License-Identifier: MIT */
#include "storage/quarantine.h"

#include <string.h>

#include "base/attr.h"
#include "storage/healer.h"

#define COLUMNS "multihash, codec, size, found_at, attempts, retry_at, reason"

/* Runs a statement that returns no row, once. */
static enum err finish(sqlite3_stmt *stmt, enum err err)
{
    if (err == ERR_OK)
        err = sql_done(stmt);
    (void)sqlite3_finalize(stmt);
    return err;
}

enum err quarantine_add(sqlite3 *db, const struct block_place *place, const char *reason, uint64_t now_ns)
{
    sqlite3_stmt *stmt = NULL;
    enum err err =
        sql_prepare(db,
                    "INSERT OR REPLACE INTO quarantine(multihash, codec, size, segment, offset, found_at, reason,"
                    " attempts, retry_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0)",
                    &stmt);
    if (err == ERR_OK) {
        sql_bind_blob(stmt, 1, block_key_span(&place->key));
        sql_bind_u64(stmt, 2, place->codec);
        sql_bind_u64(stmt, 3, place->size);
        sql_bind_u64(stmt, 4, place->segment);
        sql_bind_u64(stmt, 5, place->offset);
        sql_bind_u64(stmt, 6, now_ns);
        sql_bind_text(stmt, 7, span_text(reason));
    }
    return finish(stmt, err);
}

static enum err read_missing(sqlite3_stmt *stmt, struct block_place *ret_place)
{
    *ret_place = (struct block_place){.codec = (uint32_t)sql_u64(stmt, 1)};
    return block_key_of_span(sql_blob(stmt, 0), &ret_place->key) == ERR_OK ? ERR_OK : ERR_CORRUPT;
}

enum err quarantine_missing(sqlite3 *db, const struct block_key *after, const struct block_key *upto,
                            struct block_place *ret_places, size_t max, size_t *ret_count)
{
    sqlite3_stmt *stmt = NULL;
    size_t count = 0;
    enum err err = sql_prepare(db,
                               "SELECT multihash, min(codec) FROM refs WHERE multihash > ?1"
                               " AND (?2 = x'' OR multihash <= ?2)"
                               " AND NOT EXISTS(SELECT 1 FROM blocks WHERE blocks.multihash = refs.multihash)"
                               " AND NOT EXISTS(SELECT 1 FROM cold_blocks WHERE cold_blocks.multihash = refs.multihash)"
                               " AND NOT EXISTS(SELECT 1 FROM quarantine WHERE quarantine.multihash = refs.multihash)"
                               " GROUP BY multihash ORDER BY multihash LIMIT ?3",
                               &stmt);
    if (err == ERR_OK) {
        sql_bind_blob(stmt, 1, block_key_span(after));
        sql_bind_blob(stmt, 2, block_key_span(upto));
        sql_bind_u64(stmt, 3, max);
    }
    while (err == ERR_OK && count < max && (err = sql_row(stmt)) == ERR_OK)
        err = read_missing(stmt, &ret_places[count++]);
    (void)sqlite3_finalize(stmt);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    *ret_count = count;
    return ERR_OK;
}

enum err quarantine_take_stored(sqlite3 *db, const struct block_place *places, size_t count)
{
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(db, "DELETE FROM quarantine WHERE multihash = ?1", &stmt);
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        sql_bind_blob(stmt, 1, block_key_span(&places[i].key));
        err = sql_done(stmt);
    }
    (void)sqlite3_finalize(stmt);
    return err;
}

enum err quarantine_forget(sqlite3 *db, const struct block_key *key, uint64_t *ret_count)
{
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(db, "DELETE FROM quarantine WHERE ?1 IS NULL OR multihash = ?1", &stmt);
    if (err == ERR_OK && key != NULL)
        sql_bind_blob(stmt, 1, block_key_span(key));
    err = finish(stmt, err);
    if (err == ERR_OK)
        *ret_count = (uint64_t)sqlite3_changes(db);
    return err;
}

enum err quarantine_tried(sqlite3 *db, const struct block_key *key, uint64_t retry_at_ns)
{
    sqlite3_stmt *stmt = NULL;
    enum err err =
        sql_prepare(db, "UPDATE quarantine SET attempts = attempts + 1, retry_at = ?2 WHERE multihash = ?1", &stmt);
    if (err == ERR_OK) {
        sql_bind_blob(stmt, 1, block_key_span(key));
        sql_bind_u64(stmt, 2, retry_at_ns);
    }
    return finish(stmt, err);
}

enum err quarantine_retry_all(sqlite3 *db)
{
    return sql_exec(db, "UPDATE quarantine SET attempts = 0, retry_at = 0");
}

enum err quarantine_count(sqlite3 *db, uint64_t *ret_count)
{
    return sql_number(db, "SELECT count(*) FROM quarantine", ret_count);
}

static enum err read_row(sqlite3_stmt *stmt, struct quarantine_row *ret_row)
{
    *ret_row = (struct quarantine_row){.codec = (uint32_t)sql_u64(stmt, 1),
                                       .size = sql_u64(stmt, 2),
                                       .found_at_ns = sql_u64(stmt, 3),
                                       .attempts = sql_u64(stmt, 4),
                                       .retry_at_ns = sql_u64(stmt, 5)};
    struct span reason = sql_blob(stmt, 6);
    if (reason.len > 0)
        memcpy(ret_row->reason, reason.data, MIN(reason.len, sizeof(ret_row->reason) - 1));
    return block_key_of_span(sql_blob(stmt, 0), &ret_row->key) == ERR_OK ? ERR_OK : ERR_CORRUPT;
}

static enum err read_rows(sqlite3_stmt *stmt, enum err err, struct quarantine_row *ret_rows, size_t max,
                          size_t *ret_count)
{
    size_t count = 0;
    while (err == ERR_OK && count < max && (err = sql_row(stmt)) == ERR_OK)
        err = read_row(stmt, &ret_rows[count++]);
    (void)sqlite3_finalize(stmt);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    *ret_count = count;
    return ERR_OK;
}

/* A row that is to wait for longer than any does was written under a clock that ran ahead: it is due. */
enum err quarantine_due(sqlite3 *db, uint64_t now_ns, struct quarantine_row *ret_rows, size_t max, size_t *ret_count)
{
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(db,
                               "SELECT " COLUMNS " FROM quarantine WHERE retry_at <= ?1 OR retry_at > ?2"
                               " ORDER BY retry_at, multihash LIMIT ?3",
                               &stmt);
    if (err == ERR_OK) {
        sql_bind_u64(stmt, 1, now_ns);
        sql_bind_u64(stmt, 2, now_ns + HEAL_BACKOFF_MAX_NS);
        sql_bind_u64(stmt, 3, max);
    }
    return read_rows(stmt, err, ret_rows, max, ret_count);
}

enum err quarantine_page(sqlite3 *db, const struct block_key *after, struct quarantine_row *ret_rows, size_t max,
                         size_t *ret_count)
{
    sqlite3_stmt *stmt = NULL;
    enum err err =
        sql_prepare(db, "SELECT " COLUMNS " FROM quarantine WHERE multihash > ?1 ORDER BY multihash LIMIT ?2", &stmt);
    if (err == ERR_OK) {
        sql_bind_blob(stmt, 1, block_key_span(after));
        sql_bind_u64(stmt, 2, max);
    }
    return read_rows(stmt, err, ret_rows, max, ret_count);
}

enum err quarantine_find(sqlite3 *db, const struct block_key *key, struct quarantine_row *ret_row)
{
    sqlite3_stmt *stmt = NULL;
    size_t count = 0;
    enum err err = sql_prepare(db, "SELECT " COLUMNS " FROM quarantine WHERE multihash = ?1", &stmt);
    if (err == ERR_OK)
        sql_bind_blob(stmt, 1, block_key_span(key));
    err = read_rows(stmt, err, ret_row, 1, &count);
    return err == ERR_OK && count == 0 ? ERR_NOT_FOUND : err;
}
