/* SPDX-License-Identifier: MIT */
#include "storage/heat_store.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "storage/disk_posix.h"
#include "storage/sql.h"
#include "storage/sqlite_vfs.h"

enum { CACHE_KIB = 256, SCHEMA_VERSION = 1, ROW_BYTES = 10 };

static const char schema[] =
    "BEGIN;"
    "CREATE TABLE IF NOT EXISTS learned(id INTEGER PRIMARY KEY CHECK (id = 1), state BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS blocks(slot INTEGER PRIMARY KEY, key INTEGER NOT NULL, heat BLOB NOT NULL,"
    " held INTEGER NOT NULL);"
    "PRAGMA user_version = 1;"
    "COMMIT;";

enum statement { GET_LEARNED, PUT_LEARNED, GET_BLOCK, PUT_BLOCK, GET_PAGE, STATEMENTS };

static const char *const texts[STATEMENTS] = {
    [GET_LEARNED] = "SELECT state FROM learned WHERE id = 1",
    [PUT_LEARNED] = "INSERT OR REPLACE INTO learned(id, state) VALUES (1, ?1)",
    [GET_BLOCK] = "SELECT key, heat, held FROM blocks WHERE slot = ?1 AND key = ?2",
    [PUT_BLOCK] = "INSERT OR REPLACE INTO blocks(slot, key, heat, held) VALUES (?1, ?2, ?3, ?4)",
    [GET_PAGE] = "SELECT key, heat, held, slot FROM blocks WHERE slot >= ?1 ORDER BY slot LIMIT ?2",
};

struct heat_store {
    _Atomic uint32_t refs; /* release on unref pairs with the acquire that precedes the close */
    const struct disk_port *port;
    struct sqlite_vfs *vfs; /* NULL on the real disk */
    char path[HEAT_STORE_PATH_MAX];
    uint32_t rows_max;
    pthread_mutex_t lock; /* of what follows */
    sqlite3 *db;          /* NULL: not open */
    sqlite3_stmt *statements[STATEMENTS];
};

struct heat_store *heat_store_new(const struct disk_port *port, const char *path, uint32_t rows_max)
{
    assert(rows_max > 0);
    struct heat_store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return NULL;
    atomic_init(&store->refs, 1);
    store->port = port;
    store->rows_max = rows_max;
    int len = snprintf(store->path, sizeof(store->path), "%s", path);
    bool named = len > 0 && (size_t)len < sizeof(store->path);
    if (named && (port == disk_posix() || sqlite_vfs_open(port, &store->vfs) == ERR_OK)) {
        (void)pthread_mutex_init(&store->lock, NULL);
        return store;
    }
    free(store);
    return NULL;
}

static void close_database(struct heat_store *store)
{
    for (size_t i = 0; i < STATEMENTS; i++) {
        (void)sqlite3_finalize(store->statements[i]);
        store->statements[i] = NULL;
    }
    sql_close(store->db);
    store->db = NULL;
}

struct heat_store *heat_store_ref(struct heat_store *store)
{
    (void)atomic_fetch_add_explicit(&store->refs, 1, memory_order_relaxed);
    return store;
}

void heat_store_unref(struct heat_store *store)
{
    if (store == NULL || atomic_fetch_sub_explicit(&store->refs, 1, memory_order_acq_rel) != 1)
        return;
    close_database(store);
    sqlite_vfs_close(store->vfs);
    (void)pthread_mutex_destroy(&store->lock);
    free(store);
}

/* The log before the file: a log must never meet another file. */
static void remove_database(struct heat_store *store)
{
    static const char *const suffixes[] = {"-wal", "-shm", ""};
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char path[HEAT_STORE_PATH_MAX + 8];
        (void)snprintf(path, sizeof(path), "%s%s", store->path, suffixes[i]);
        enum err err = store->port->unlink(store->port->self, path);
        (void)err; /* what stays is found damaged again */
    }
}

static enum err set_up(struct heat_store *store)
{
    uint64_t version;
    enum err err = sql_number(store->db, "PRAGMA user_version", &version);
    if (err == ERR_OK && version > SCHEMA_VERSION)
        err = ERR_CORRUPT; /* of a later release: there is nothing in it that is worth keeping */
    if (err == ERR_OK && version < SCHEMA_VERSION)
        err = sql_exec(store->db, schema);
    for (size_t i = 0; i < STATEMENTS && err == ERR_OK; i++)
        err = sql_prepare(store->db, texts[i], &store->statements[i]);
    return err == ERR_INVALID ? ERR_CORRUPT : err; /* tables that are not ours */
}

/* Each call begins with this, which opens the database if need be, and is over with `ended`. */
static enum err begin(struct heat_store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    if (store->db != NULL)
        return ERR_OK;
    struct sql_options options = {.path = store->path,
                                  .vfs = store->vfs == NULL ? NULL : sqlite_vfs_name(store->vfs),
                                  .disk = store->port,
                                  .cache_kib = CACHE_KIB};
    enum err err = sql_open(&options, &store->db);
    return err == ERR_OK ? set_up(store) : err;
}

/* After an error nothing is kept open; damage is removed. */
static enum err ended(struct heat_store *store, enum err err)
{
    if (err != ERR_OK)
        close_database(store);
    if (err == ERR_CORRUPT)
        remove_database(store);
    (void)pthread_mutex_unlock(&store->lock);
    return err;
}

enum err heat_store_load(struct heat_store *store, struct buf *to)
{
    enum err err = begin(store);
    if (err == ERR_OK)
        err = sql_row(store->statements[GET_LEARNED]);
    if (err == ERR_NOT_FOUND)
        return ended(store, ERR_OK);
    if (err == ERR_OK) {
        struct span state = sql_blob(store->statements[GET_LEARNED], 0);
        err = buf_append(to, state.data, state.len);
        (void)sqlite3_reset(store->statements[GET_LEARNED]);
    }
    return ended(store, err);
}

static void bind_key(const struct heat_store *store, sqlite3_stmt *statement, uint64_t key)
{
    sql_bind_u64(statement, 1, key % store->rows_max);
    (void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)key);
}

/* Of a statement that stands on a row: key, heat, held. */
static enum err take_row(sqlite3_stmt *statement, struct heat_row *ret_row)
{
    uint64_t key = (uint64_t)sqlite3_column_int64(statement, 0);
    struct span heat = sql_blob(statement, 1);
    uint64_t held = sql_u64(statement, 2);
    if (heat.len != ROW_BYTES || held > ROW_NONE)
        return ERR_CORRUPT;
    *ret_row = (struct heat_row){.key = key,
                                 .held_bytes = (uint32_t)held,
                                 .used_at = (uint32_t)le_get(heat.data, 4),
                                 .heat = {(uint16_t)le_get(heat.data + 4, 2), (uint16_t)le_get(heat.data + 6, 2)},
                                 .class = heat.data[8],
                                 .counted = heat.data[9]};
    return ERR_OK;
}

static enum err find_one(struct heat_store *store, uint64_t key, struct heat_row *ret_row)
{
    sqlite3_stmt *statement = store->statements[GET_BLOCK];
    bind_key(store, statement, key);
    enum err err = sql_row(statement);
    if (err != ERR_OK)
        return err;
    err = take_row(statement, ret_row);
    (void)sqlite3_reset(statement);
    return err;
}

enum err heat_store_find(struct heat_store *store, const uint64_t *keys, size_t count, struct heat_row *ret_rows,
                         size_t *ret_count)
{
    enum err err = begin(store);
    size_t found = 0;
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        err = find_one(store, keys[i], &ret_rows[found]);
        found += err == ERR_OK ? 1 : 0;
        if (err == ERR_NOT_FOUND)
            err = ERR_OK;
    }
    if (err == ERR_OK)
        *ret_count = found;
    return ended(store, err);
}

enum err heat_store_held(struct heat_store *store, uint64_t *position, struct heat_row *ret_rows, size_t max,
                         size_t *ret_count)
{
    enum err err = begin(store);
    sqlite3_stmt *statement = store->statements[GET_PAGE];
    uint64_t next = 0;
    size_t seen = 0;
    size_t held = 0;
    if (err == ERR_OK) {
        sql_bind_u64(statement, 1, *position);
        sql_bind_u64(statement, 2, max);
    }
    while (err == ERR_OK && (err = sql_row(statement)) == ERR_OK) {
        err = take_row(statement, &ret_rows[held]);
        held += err == ERR_OK && ret_rows[held].held_bytes != ROW_NONE;
        next = sql_u64(statement, 3) + 1;
        seen++;
    }
    if (err == ERR_NOT_FOUND)
        err = ERR_OK;
    if (err == ERR_OK) {
        *position = seen < max ? 0 : next;
        *ret_count = held;
    }
    return ended(store, err);
}

static enum err put_one(struct heat_store *store, const struct heat_row *row)
{
    uint8_t heat[ROW_BYTES];
    le_put(heat, row->used_at, 4);
    le_put(heat + 4, row->heat[HEAT_SHORT], 2);
    le_put(heat + 6, row->heat[HEAT_LONG], 2);
    heat[8] = row->class;
    heat[9] = row->counted;
    bind_key(store, store->statements[PUT_BLOCK], row->key);
    sql_bind_blob(store->statements[PUT_BLOCK], 3, span_of(heat, sizeof(heat)));
    sql_bind_u64(store->statements[PUT_BLOCK], 4, row->held_bytes);
    return sql_done(store->statements[PUT_BLOCK]);
}

enum err heat_store_save(struct heat_store *store, struct span learned, const struct heat_row *rows, size_t count)
{
    enum err err = begin(store);
    if (err == ERR_OK)
        err = sql_exec(store->db, "BEGIN IMMEDIATE");
    if (err == ERR_OK) {
        sql_bind_blob(store->statements[PUT_LEARNED], 1, learned);
        err = sql_done(store->statements[PUT_LEARNED]);
    }
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        err = put_one(store, &rows[i]);
    if (err == ERR_OK)
        err = sql_exec(store->db, "COMMIT");
    return ended(store, err); /* closing rolls back */
}
