/* SPDX-License-Identifier: MIT */
#include "storage/metadata.h"

#include <stdlib.h>
#include <string.h>

#include "wire/cid.h"

#define INSERT                                                                                                         \
    "INSERT INTO metadata(cid, key, value, updated_at) VALUES (?1, ?2, ?3, ?4)"                                        \
    " ON CONFLICT(cid, key) DO UPDATE SET value = ?3, updated_at = ?4"

/* ---- changes ---- */

struct metadata_change *metadata_change_new(bool replace)
{
    struct metadata_change *change = calloc(1, sizeof(*change));
    if (change == NULL)
        return NULL;
    change->replace = replace;
    /* All of it at once: the pairs point into it. */
    buf_init(&change->text, METADATA_KEYS_MAX * METADATA_KEY_MAX + METADATA_BYTES_MAX, NULL);
    if (buf_reserve(&change->text, change->text.max) == NULL) {
        free(change);
        return NULL;
    }
    return change;
}

void metadata_change_free(struct metadata_change *change)
{
    if (change == NULL)
        return;
    buf_release(&change->text);
    free(change);
}

static enum err keep(struct metadata_change *change, struct span from, struct span *ret_kept)
{
    size_t at = change->text.len;
    enum err err = buf_append_span(&change->text, from);
    if (err == ERR_OK)
        *ret_kept = span_of(change->text.data + at, from.len);
    return err;
}

enum err metadata_change_add(struct metadata_change *change, struct span key, struct span value)
{
    if (key.len == 0)
        return ERR_INVALID;
    if (key.len > METADATA_KEY_MAX || change->count == METADATA_KEYS_MAX)
        return ERR_TOO_LARGE;
    struct metadata_pair *pair = &change->pairs[change->count];
    enum err err = keep(change, key, &pair->key);
    if (err == ERR_OK)
        err = keep(change, value, &pair->value);
    if (err == ERR_OK)
        change->count++;
    return err;
}

/* ---- writing ---- */

static enum err finish(sqlite3_stmt *stmt, enum err err)
{
    if (err == ERR_OK)
        err = sql_done(stmt);
    (void)sqlite3_finalize(stmt);
    return err;
}

static enum err remove_all(sqlite3 *db, struct span cid, bool *ret_any)
{
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(db, "DELETE FROM metadata WHERE cid = ?1", &stmt);
    if (err == ERR_OK)
        sql_bind_blob(stmt, 1, cid);
    err = finish(stmt, err);
    *ret_any = err == ERR_OK && sqlite3_changes(db) > 0;
    return err;
}

static enum err remove_key(sqlite3 *db, struct span cid, struct span key)
{
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(db, "DELETE FROM metadata WHERE cid = ?1 AND key = ?2", &stmt);
    if (err == ERR_OK) {
        sql_bind_blob(stmt, 1, cid);
        sql_bind_text(stmt, 2, key);
    }
    return finish(stmt, err);
}

static enum err set_key(sqlite3 *db, struct span cid, const struct metadata_pair *pair, uint64_t now_ns)
{
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(db, INSERT, &stmt);
    if (err == ERR_OK) {
        sql_bind_blob(stmt, 1, cid);
        sql_bind_text(stmt, 2, pair->key);
        sql_bind_text(stmt, 3, pair->value);
        sql_bind_u64(stmt, 4, now_ns);
    }
    return finish(stmt, err);
}

static enum err write_all(sqlite3 *db, struct span cid, const struct metadata_change *change, uint64_t now_ns,
                          enum err *ret_own)
{
    bool any = true;
    enum err err = change->replace ? remove_all(db, cid, &any) : ERR_OK;
    if (err == ERR_OK && !any && change->count == 0)
        *ret_own = ERR_NOT_FOUND;
    for (size_t i = 0; i < change->count && err == ERR_OK; i++) {
        const struct metadata_pair *pair = &change->pairs[i];
        err = pair->value.len == 0 ? remove_key(db, cid, pair->key) : set_key(db, cid, pair, now_ns);
    }
    return err;
}

static enum err check_limits(sqlite3 *db, struct span cid, enum err *ret_own)
{
    sqlite3_stmt *stmt = NULL;
    enum err err =
        sql_prepare(db,
                    "SELECT count(*), coalesce(sum(length(CAST(key AS BLOB)) + length(CAST(value AS BLOB))), 0)"
                    " FROM metadata WHERE cid = ?1",
                    &stmt);
    if (err == ERR_OK) {
        sql_bind_blob(stmt, 1, cid);
        err = sql_row(stmt);
    }
    if (err == ERR_OK && (sql_u64(stmt, 0) > METADATA_KEYS_MAX || sql_u64(stmt, 1) > METADATA_BYTES_MAX))
        *ret_own = ERR_TOO_LARGE;
    (void)sqlite3_finalize(stmt);
    return err;
}

enum err metadata_apply(sqlite3 *db, struct span cid, const struct metadata_change *change, uint64_t now_ns,
                        enum err *ret_own)
{
    enum err own = ERR_OK;
    enum err err = sql_exec(db, "SAVEPOINT metadata");
    if (err != ERR_OK)
        return err;
    err = write_all(db, cid, change, now_ns, &own);
    if (err == ERR_OK && own == ERR_OK)
        err = check_limits(db, cid, &own);
    if (err == ERR_OK && own != ERR_OK)
        err = sql_exec(db, "ROLLBACK TO metadata");
    if (err == ERR_OK)
        err = sql_exec(db, "RELEASE metadata");
    *ret_own = own;
    return err;
}

/* ---- reading ---- */

enum err metadata_of(sqlite3 *db, struct span cid, metadata_each *each, void *arg)
{
    sqlite3_stmt *stmt = NULL;
    bool any = false;
    enum err err = sql_prepare(db, "SELECT key, value, updated_at FROM metadata WHERE cid = ?1 ORDER BY key", &stmt);
    if (err == ERR_OK)
        sql_bind_blob(stmt, 1, cid);
    while (err == ERR_OK && (err = sql_row(stmt)) == ERR_OK) {
        struct metadata_row row = {
            .cid = cid, .key = sql_blob(stmt, 0), .value = sql_blob(stmt, 1), .updated_at_ns = sql_u64(stmt, 2)};
        any = true;
        err = each(arg, &row);
    }
    (void)sqlite3_finalize(stmt);
    return err == ERR_NOT_FOUND && any ? ERR_OK : err;
}

/* The first text that does not begin with the prefix; false when there is none. */
static bool prefix_end(struct span prefix, struct buf *to)
{
    if (buf_append_span(to, prefix) != ERR_OK)
        return false;
    while (to->len > 0 && to->data[to->len - 1] == 0xff)
        to->len--;
    if (to->len > 0)
        to->data[to->len - 1]++;
    return to->len > 0;
}

/* Values are compared as bytes: text that ends within a character is no text to SQLite. */
#define BY_VALUE                                                                                                       \
    " AND (value, cid) > (coalesce((SELECT value FROM metadata AS m WHERE m.cid = ?1 AND m.key = ?3), ''), ?1)"        \
    " ORDER BY value, cid LIMIT ?2"

static const char *statement_of(const struct metadata_query *q)
{
    if (q->key.len == 0)
        return "SELECT DISTINCT cid FROM metadata WHERE cid > ?1 ORDER BY cid LIMIT ?2";
    if (q->value.len == 0)
        return "SELECT cid FROM metadata WHERE key = ?3" BY_VALUE;
    if (q->is_prefix)
        return "SELECT cid FROM metadata WHERE key = ?3 AND value >= ?4 AND value < ?5" BY_VALUE;
    return "SELECT cid FROM metadata WHERE key = ?3 AND value = ?4 AND cid > ?1 ORDER BY cid LIMIT ?2";
}

static enum err prepare_query(sqlite3 *db, const struct metadata_query *q, struct buf *end, sqlite3_stmt **ret_stmt)
{
    enum err err = sql_prepare(db, statement_of(q), ret_stmt);
    if (err != ERR_OK)
        return err;
    sql_bind_blob(*ret_stmt, 1, q->after.len > 0 ? q->after : span_of("", 0));
    sql_bind_u64(*ret_stmt, 2, q->limit);
    if (q->key.len > 0)
        sql_bind_text(*ret_stmt, 3, q->key);
    if (q->key.len > 0 && q->value.len > 0)
        sql_bind_text(*ret_stmt, 4, q->value);
    if (q->key.len > 0 && q->value.len > 0 && q->is_prefix && prefix_end(q->value, end))
        sql_bind_text(*ret_stmt, 5, buf_span(end));
    return ERR_OK;
}

struct counting {
    metadata_each *each;
    void *arg;
    size_t bytes;
};

static enum err count_row(void *arg, const struct metadata_row *row)
{
    struct counting *c = arg;
    c->bytes += row->cid.len + row->key.len + row->value.len;
    return c->each(c->arg, row);
}

enum err metadata_find(sqlite3 *db, const struct metadata_query *query, metadata_each *each, void *arg, bool *ret_more)
{
    struct counting counting = {.each = each, .arg = arg};
    sqlite3_stmt *stmt = NULL;
    struct buf end;
    size_t count = 0;
    buf_init(&end, METADATA_BYTES_MAX, NULL);
    enum err err = prepare_query(db, query, &end, &stmt);
    while (err == ERR_OK && counting.bytes < METADATA_PAGE_BYTES && (err = sql_row(stmt)) == ERR_OK) {
        uint8_t cid[CID_BYTES_MAX];
        struct span bytes = span_first(sql_blob(stmt, 0), sizeof(cid));
        memcpy(cid, bytes.data, bytes.len);
        count++;
        err = metadata_of(db, span_of(cid, bytes.len), count_row, &counting);
    }
    (void)sqlite3_finalize(stmt);
    buf_release(&end);
    *ret_more = err == ERR_OK || count == query->limit;
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err copy_rows(sqlite3_stmt *to, sqlite3_stmt *from)
{
    enum err err;
    while ((err = sql_row(from)) == ERR_OK) {
        for (int i = 0; i < 4 && err == ERR_OK; i++)
            err = sql_err(sqlite3_bind_value(to, i + 1, sqlite3_column_value(from, i)));
        if (err == ERR_OK)
            err = sql_done(to);
        if (err != ERR_OK && err != ERR_EXISTS)
            return err;
    }
    return err == ERR_NOMEM ? err : ERR_OK;
}

enum err metadata_salvage(sqlite3 *to, sqlite3 *from)
{
    sqlite3_stmt *read = NULL;
    sqlite3_stmt *write = NULL;
    enum err err = sql_prepare(to, INSERT, &write);
    if (err == ERR_OK) {
        err = sql_prepare(from, "SELECT cid, key, value, updated_at FROM metadata", &read);
        if (err != ERR_NOMEM)
            err = read == NULL ? ERR_OK : copy_rows(write, read);
    }
    (void)sqlite3_finalize(read);
    (void)sqlite3_finalize(write);
    return err;
}
