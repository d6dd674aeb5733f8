/* SPDX-License-Identifier: MIT */
#include "actors/state/ipns_store.h"

#include <stdio.h>

#include "actors/state/store_private.h"
#include "schemas/state_sql.h"

static enum err prepare(struct state_store *store, const char *sql, const struct peer_id *name,
                        sqlite3_stmt **ret_statement, char why[STATE_WHY_BYTES])
{
    char text[PEER_ID_TEXT_MAX] = "";
    enum err err = state_store_open(store, 0, why);
    if (err != ERR_OK)
        return err;
    if (name != NULL)
        peer_id_text_cid(name, text);
    int code = sqlite3_prepare_v2(store->db, sql, -1, ret_statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_bind_text(*ret_statement, 1, text, -1, SQLITE_TRANSIENT);
    return code == SQLITE_OK ? ERR_OK : state_store_fail(store, code, "cannot be asked for names", why);
}

/* Reads the row that the statement stands at; false when it is damaged. */
static bool take_row(sqlite3_stmt *statement, struct ipns_row *row)
{
    struct ipns_record record;
    const unsigned char *text = sqlite3_column_text(statement, 0);
    const void *bytes = sqlite3_column_blob(statement, 3);
    int len = sqlite3_column_bytes(statement, 3);
    if (text == NULL || bytes == NULL || len <= 0 || len > IPNS_RECORD_BYTES_MAX ||
        peer_id_parse_text(span_text((const char *)text), &row->name) != ERR_OK)
        return false;
    row->published_at = (uint64_t)MAX(0, sqlite3_column_int64(statement, 1));
    row->told_at = (uint64_t)MAX(0, sqlite3_column_int64(statement, 2));
    row->record_len = (size_t)len;
    memcpy(row->record, bytes, row->record_len);
    return ipns_record_decode(span_of(row->record, row->record_len), &record) == ERR_OK &&
           ipns_record_authenticate(&record, &row->name) == ERR_OK;
}

/* The first good row of the statement, which is finalized. */
static enum err first_row(struct state_store *store, sqlite3_stmt *statement, struct ipns_row *ret_row,
                          char why[STATE_WHY_BYTES])
{
    int code;
    bool good = false;
    while (!good && (code = sqlite3_step(statement)) == SQLITE_ROW)
        good = take_row(statement, ret_row);
    enum err err = good ? ERR_OK : ERR_NOT_FOUND;
    if (!good && code != SQLITE_DONE)
        err = state_store_fail(store, code, "cannot be asked for names", why);
    (void)sqlite3_finalize(statement);
    return err;
}

enum err ipns_store_get(struct state_store *store, const struct peer_id *name, struct ipns_row *ret_row,
                        char why[STATE_WHY_BYTES])
{
    sqlite3_stmt *statement = NULL;
    enum err err = prepare(store, STATE_SQL_IPNS_GET, name, &statement, why);
    return err == ERR_OK ? first_row(store, statement, ret_row, why) : err;
}

enum err ipns_store_due(struct state_store *store, const struct peer_id *after, uint64_t told_before, uint64_t now,
                        struct ipns_row *ret_row, char why[STATE_WHY_BYTES])
{
    sqlite3_stmt *statement = NULL;
    enum err err = prepare(store, STATE_SQL_IPNS_DUE, after, &statement, why);
    if (err != ERR_OK)
        return err;
    (void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)MIN(told_before, (uint64_t)INT64_MAX));
    (void)sqlite3_bind_int64(statement, 3, (sqlite3_int64)MIN(now, (uint64_t)INT64_MAX));
    return first_row(store, statement, ret_row, why);
}

static int write_row(struct state_store *store, const struct ipns_row *row, const struct ipns_record *record)
{
    sqlite3_stmt *statement = NULL;
    char name[PEER_ID_TEXT_MAX];
    peer_id_text_cid(&row->name, name);
    int code = sqlite3_prepare_v2(store->db, STATE_SQL_IPNS_PUT, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        (void)sqlite3_bind_text(statement, 1, name, -1, SQLITE_TRANSIENT);
        (void)sqlite3_bind_text(statement, 2, (const char *)record->value.data, (int)record->value.len,
                                SQLITE_TRANSIENT);
        (void)sqlite3_bind_int64(statement, 3, (sqlite3_int64)record->sequence);
        (void)sqlite3_bind_int64(statement, 4, (sqlite3_int64)record->ttl_ns);
        (void)sqlite3_bind_int64(statement, 5, (sqlite3_int64)MIN(record->eol_ns, (uint64_t)INT64_MAX));
        (void)sqlite3_bind_int64(statement, 6, (sqlite3_int64)row->published_at);
        (void)sqlite3_bind_int64(statement, 7, (sqlite3_int64)row->told_at);
        (void)sqlite3_bind_blob(statement, 8, row->record, (int)row->record_len, SQLITE_TRANSIENT);
        code = sqlite3_step(statement);
    }
    (void)sqlite3_finalize(statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Between two levels of synchronous: this transaction is on the disk when it is committed, others when it is convenient. */
enum err ipns_store_put(struct state_store *store, const struct ipns_row *row, char why[STATE_WHY_BYTES])
{
    struct ipns_record record;
    enum err err = ipns_record_decode(span_of(row->record, row->record_len), &record);
    if (err == ERR_OK)
        err = state_store_open(store, row->published_at, why);
    if (err != ERR_OK)
        return err;
    int code = sqlite3_exec(store->db, "PRAGMA synchronous=FULL; BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = write_row(store, row, &record);
    bool written = code == SQLITE_OK && sqlite3_changes(store->db) == 1;
    if (code == SQLITE_OK)
        code = sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL);
    if (code != SQLITE_OK) {
        err = state_store_fail(store, code, "cannot be written", why);
        (void)sqlite3_exec(store->db, "ROLLBACK; PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
        state_store_doubt(store, err);
        return err;
    }
    if (!written) {
        (void)snprintf(why, STATE_WHY_BYTES, "a record of this name with a higher sequence is kept");
        err = ERR_MISMATCH;
    }
    (void)sqlite3_exec(store->db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    return err;
}

enum err ipns_store_told(struct state_store *store, const struct peer_id *name, uint64_t at, char why[STATE_WHY_BYTES])
{
    sqlite3_stmt *statement = NULL;
    enum err err = prepare(store, STATE_SQL_IPNS_TOLD, name, &statement, why);
    if (err != ERR_OK)
        return err;
    (void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)MIN(at, (uint64_t)INT64_MAX));
    int code = sqlite3_step(statement);
    (void)sqlite3_finalize(statement);
    return code == SQLITE_DONE ? ERR_OK : state_store_fail(store, code, "cannot be written", why);
}

/* Damage stays; what the disk or the memory refuses now it may give later. */
static int what_may_pass(int code)
{
    int kind = code & 0xff;
    bool stays = kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB || kind == SQLITE_ERROR || kind == SQLITE_DONE;
    return stays ? SQLITE_OK : code;
}

int state_store_attach(struct state_store *store, const char *aside, bool *ret_attached)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(store->db, "ATTACH ?1 AS aside", -1, &statement, NULL);
    if (code == SQLITE_OK) {
        (void)sqlite3_bind_text(statement, 1, aside, -1, SQLITE_TRANSIENT);
        code = sqlite3_step(statement);
    }
    (void)sqlite3_finalize(statement);
    *ret_attached = code == SQLITE_DONE;
    return what_may_pass(code);
}

int state_store_ipns_salvage(struct state_store *store)
{
    return what_may_pass(sqlite3_exec(store->db, STATE_SQL_IPNS_SALVAGE, NULL, NULL, NULL));
}
