/* SPDX-License-Identifier: MIT */
#include "storage/catalogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "schemas/blocks_sql.h"
#include "storage/sql.h"

enum statement {
    STMT_BEGIN,
    STMT_COMMIT,
    STMT_BLOCK_INSERT,
    STMT_BLOCK_FIND,
    STMT_BLOCK_DELETE,
    STMT_CHECKPOINT,
    STMT_META,
    STMT_PINNED,
    STMT_PIN_INSERT,
    STMT_PIN_DELETE,
    STMT_QUARANTINE,
    STMT_COUNT
};

static const char *const texts[STMT_COUNT] = {
    [STMT_BEGIN] = "BEGIN IMMEDIATE",
    [STMT_COMMIT] = "COMMIT",
    [STMT_BLOCK_INSERT] = "INSERT INTO blocks(multihash, codec, size, segment, offset) VALUES (?1, ?2, ?3, ?4, ?5)"
                          " ON CONFLICT DO NOTHING",
    [STMT_BLOCK_FIND] = "SELECT codec, size, segment, offset FROM blocks WHERE multihash = ?1",
    [STMT_BLOCK_DELETE] = "DELETE FROM blocks WHERE multihash = ?1",
    [STMT_CHECKPOINT] = "INSERT INTO segments(id, checkpoint, state) VALUES (?1, ?2, ?3)"
                        " ON CONFLICT(id) DO UPDATE SET checkpoint = ?2, state = ?3",
    [STMT_META] = "UPDATE meta SET value = ?2 WHERE key = ?1",
    [STMT_PINNED] = "SELECT 1 FROM pins WHERE multihash = ?1 LIMIT 1",
    [STMT_PIN_INSERT] = "INSERT INTO pins(cid, recursive, multihash, name, created_at) VALUES (?1, ?2, ?3, ?4, ?5)"
                        " ON CONFLICT(cid, recursive) DO UPDATE SET name = ?4, created_at = ?5",
    [STMT_PIN_DELETE] = "DELETE FROM pins WHERE cid = ?1 AND recursive = ?2",
    [STMT_QUARANTINE] = "INSERT INTO quarantine(multihash, size, segment, offset, found_at, reason)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
};

struct catalogue {
    sqlite3 *db;
    sqlite3_stmt *stmt[STMT_COUNT];
    struct catalogue_info info;
    uint64_t wal_bytes;
};

enum { CHECKPOINT_PAGES = 1000, WAL_FRAME_BYTES = 4096 + 24 };

/* ---- life ---- */

static enum err one_number(sqlite3 *db, const char *text, uint64_t *ret_value)
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

static enum err make_schema(sqlite3 *db, uint64_t seed)
{
    char text[256];
    uint8_t id[CATALOGUE_ID_BYTES];
    char hex[2 * CATALOGUE_ID_BYTES + 1];
    struct prng prng;
    prng_init(&prng, seed);
    prng_fill(&prng, id, sizeof(id));
    for (size_t i = 0; i < sizeof(id); i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", id[i]);
    (void)snprintf(text, sizeof(text),
                   "INSERT INTO meta(key, value) VALUES ('id', x'%s'), ('generation', 0), ('blocks', 0), ('bytes', 0),"
                   " ('schema_version', %d); PRAGMA user_version = %d; COMMIT;",
                   hex, BLOCKS_SCHEMA_VERSION, BLOCKS_SCHEMA_VERSION);
    enum err err = sql_exec(db, "BEGIN IMMEDIATE;" BLOCKS_SCHEMA_SQL);
    return err != ERR_OK ? err : sql_exec(db, text);
}

static enum err check_schema(sqlite3 *db, uint64_t seed, bool *ret_made)
{
    uint64_t version;
    uint64_t tables;
    enum err err = one_number(db, "PRAGMA user_version", &version);
    if (err == ERR_OK)
        err = one_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (err != ERR_OK)
        return err;
    if (version > BLOCKS_SCHEMA_VERSION)
        return ERR_UNSUPPORTED;
    *ret_made = version == 0 && tables == 0;
    if (*ret_made)
        return make_schema(db, seed);
    return version == BLOCKS_SCHEMA_VERSION ? ERR_OK : ERR_CORRUPT;
}

static enum err read_info(struct catalogue *c)
{
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(c->db, "SELECT value FROM meta WHERE key = 'id'", &stmt);
    if (err == ERR_OK)
        err = sql_row(stmt);
    if (err == ERR_OK && sql_blob(stmt, 0).len == CATALOGUE_ID_BYTES)
        memcpy(c->info.id, sql_blob(stmt, 0).data, CATALOGUE_ID_BYTES);
    (void)sqlite3_finalize(stmt);
    if (err == ERR_OK)
        err = one_number(c->db, "SELECT value FROM meta WHERE key = 'generation'", &c->info.generation);
    if (err == ERR_OK)
        err = one_number(c->db, "SELECT value FROM meta WHERE key = 'blocks'", &c->info.blocks);
    if (err == ERR_OK)
        err = one_number(c->db, "SELECT value FROM meta WHERE key = 'bytes'", &c->info.bytes);
    if (err == ERR_OK)
        err = one_number(c->db, "SELECT count(*) FROM pins", &c->info.pins);
    return err == ERR_NOT_FOUND || err == ERR_INVALID ? ERR_CORRUPT : err;
}

/*
 * Runs after each commit in the place of SQLite's own automatic checkpoint, which is the same but tells nobody how long the log has
 * become. A checkpoint that a reader hinders is tried again at the next commit.
 */
static int after_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct catalogue *c = arg;
    (void)name;
    c->wal_bytes = (uint64_t)pages * WAL_FRAME_BYTES;
    if (pages >= CHECKPOINT_PAGES)
        (void)sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return SQLITE_OK;
}

static enum err set_up(struct catalogue *c, uint64_t seed, bool *ret_made)
{
    (void)sqlite3_wal_hook(c->db, after_commit, c);
    enum err err = check_schema(c->db, seed, ret_made);
    for (int i = 0; i < STMT_COUNT && err == ERR_OK; i++) {
        err = sql_prepare(c->db, texts[i], &c->stmt[i]);
        err = err == ERR_INVALID ? ERR_CORRUPT : err; /* a table is missing */
    }
    return err == ERR_OK ? read_info(c) : err;
}

enum err catalogue_open(const struct catalogue_options *options, struct catalogue **ret_catalogue, bool *ret_made)
{
    bool made = false;
    struct catalogue *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return ERR_NOMEM;
    struct sql_options sql = {
        .path = options->path, .vfs = options->vfs, .full_sync = true, .cache_kib = options->cache_kib};
    enum err err = sql_open(&sql, &c->db);
    if (err == ERR_OK)
        err = set_up(c, options->seed, &made);
    if (err != ERR_OK) {
        catalogue_close(c);
        return err;
    }
    if (ret_made != NULL)
        *ret_made = made;
    *ret_catalogue = c;
    return ERR_OK;
}

void catalogue_close(struct catalogue *c)
{
    if (c == NULL)
        return;
    for (int i = 0; i < STMT_COUNT; i++)
        (void)sqlite3_finalize(c->stmt[i]);
    sql_close(c->db);
    free(c);
}

struct catalogue_info catalogue_info(const struct catalogue *c)
{
    return c->info;
}

enum err catalogue_checkpoints(struct catalogue *c, struct segment_checkpoint **ret_list, size_t *ret_count)
{
    sqlite3_stmt *stmt = NULL;
    uint64_t max = 0;
    enum err err = one_number(c->db, "SELECT count(*) FROM segments", &max);
    if (err != ERR_OK)
        return err;
    struct segment_checkpoint *list = calloc((size_t)max + 1, sizeof(*list));
    if (list == NULL)
        return ERR_NOMEM;
    size_t count = 0;
    err = sql_prepare(c->db, "SELECT id, checkpoint, state FROM segments ORDER BY id", &stmt);
    while (err == ERR_OK && (err = sql_row(stmt)) == ERR_OK && count < max) {
        uint64_t state = sql_u64(stmt, 2);
        list[count++] =
            (struct segment_checkpoint){.segment = sql_u64(stmt, 0),
                                        .offset = sql_u64(stmt, 1),
                                        .state = state > SEGMENT_SUSPECT ? SEGMENT_OPEN : (enum segment_state)state};
    }
    (void)sqlite3_finalize(stmt);
    if (err != ERR_NOT_FOUND) {
        free(list);
        return err == ERR_OK ? ERR_CORRUPT : err;
    }
    *ret_list = list;
    *ret_count = count;
    return ERR_OK;
}

/* ---- one transaction ---- */

static int by_key(const void *a, const void *b)
{
    const struct block_place *x = a;
    const struct block_place *y = b;
    return span_compare(block_key_span(&x->key), block_key_span(&y->key));
}

static void bind_place(sqlite3_stmt *stmt, const struct block_place *place)
{
    sql_bind_blob(stmt, 1, block_key_span(&place->key));
    sql_bind_u64(stmt, 2, place->codec);
    sql_bind_u64(stmt, 3, place->size);
    sql_bind_u64(stmt, 4, place->segment);
    sql_bind_u64(stmt, 5, place->offset);
}

static enum err insert_places(struct catalogue *c, struct catalogue_batch *batch, struct catalogue_info *info)
{
    if (batch->place_count > 1)
        qsort(batch->places, batch->place_count, sizeof(*batch->places), by_key);
    for (size_t i = 0; i < batch->place_count; i++) {
        bind_place(c->stmt[STMT_BLOCK_INSERT], &batch->places[i]);
        enum err err = sql_done(c->stmt[STMT_BLOCK_INSERT]);
        if (err != ERR_OK)
            return err;
        if (sqlite3_changes(c->db) > 0) {
            info->blocks++;
            info->bytes += batch->places[i].size;
        }
    }
    return ERR_OK;
}

static enum err set_checkpoints(struct catalogue *c, const struct catalogue_batch *batch)
{
    for (size_t i = 0; i < batch->checkpoint_count; i++) {
        sqlite3_stmt *stmt = c->stmt[STMT_CHECKPOINT];
        sql_bind_u64(stmt, 1, batch->checkpoints[i].segment);
        sql_bind_u64(stmt, 2, batch->checkpoints[i].offset);
        sql_bind_u64(stmt, 3, (uint64_t)batch->checkpoints[i].state);
        enum err err = sql_done(stmt);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err find_place(struct catalogue *c, const struct block_key *key, struct block_place *ret_place)
{
    sqlite3_stmt *stmt = c->stmt[STMT_BLOCK_FIND];
    sql_bind_blob(stmt, 1, block_key_span(key));
    enum err err = sql_row(stmt);
    if (err != ERR_OK)
        return err;
    *ret_place = (struct block_place){.key = *key,
                                      .codec = (uint32_t)sql_u64(stmt, 0),
                                      .size = (uint32_t)sql_u64(stmt, 1),
                                      .segment = sql_u64(stmt, 2),
                                      .offset = sql_u64(stmt, 3)};
    (void)sqlite3_reset(stmt);
    return ERR_OK;
}

static enum err delete_row(struct catalogue *c, const struct block_place *place, struct catalogue_info *info)
{
    sql_bind_blob(c->stmt[STMT_BLOCK_DELETE], 1, block_key_span(&place->key));
    enum err err = sql_done(c->stmt[STMT_BLOCK_DELETE]);
    if (err == ERR_OK) {
        info->blocks--;
        info->bytes -= place->size;
    }
    return err;
}

static enum err apply_block_rm(struct catalogue *c, struct catalogue_change *change, struct catalogue_info *info)
{
    enum err err = find_place(c, &change->key, &change->place);
    if (err != ERR_OK) {
        change->err = err;
        return err == ERR_NOT_FOUND ? ERR_OK : err;
    }
    sql_bind_blob(c->stmt[STMT_PINNED], 1, block_key_span(&change->key));
    err = sql_row(c->stmt[STMT_PINNED]);
    if (err == ERR_OK) {
        (void)sqlite3_reset(c->stmt[STMT_PINNED]);
        change->err = ERR_DENIED;
        return ERR_OK;
    }
    return err == ERR_NOT_FOUND ? delete_row(c, &change->place, info) : err;
}

static enum err delete_pin(struct catalogue *c, struct span cid, bool recursive, struct catalogue_info *info)
{
    sqlite3_stmt *stmt = c->stmt[STMT_PIN_DELETE];
    sql_bind_blob(stmt, 1, cid);
    sql_bind_u64(stmt, 2, recursive);
    enum err err = sql_done(stmt);
    if (err == ERR_OK && sqlite3_changes(c->db) == 0)
        return ERR_NOT_FOUND;
    info->pins -= err == ERR_OK;
    return err;
}

static enum err insert_pin(struct catalogue *c, const struct catalogue_change *change, uint64_t now_ns,
                           struct catalogue_info *info)
{
    sqlite3_stmt *stmt = c->stmt[STMT_PIN_INSERT];
    sql_bind_blob(stmt, 1, span_of(change->cid, change->cid_len));
    sql_bind_u64(stmt, 2, change->recursive);
    sql_bind_blob(stmt, 3, block_key_span(&change->key));
    sql_bind_text(stmt, 4, span_text(change->name));
    sql_bind_u64(stmt, 5, change->at_ns != 0 ? change->at_ns : now_ns);
    enum err err = sql_done(stmt);
    info->pins += err == ERR_OK;
    return err;
}

/* Always writes, also when the pin is there: its answer must be as durable as a first one's. */
static enum err apply_pin_add(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                              struct catalogue_info *info)
{
    struct block_place place;
    enum err err = find_place(c, &change->key, &place);
    if (err == ERR_NOT_FOUND) {
        change->err = ERR_NOT_FOUND;
        return ERR_OK;
    }
    struct span cid = span_of(change->cid, change->cid_len);
    if (err == ERR_OK)
        err = delete_pin(c, cid, change->recursive, info);
    if (change->recursive && (err == ERR_OK || err == ERR_NOT_FOUND))
        err = delete_pin(c, cid, false, info); /* a recursive pin takes a direct one's place */
    return err == ERR_OK || err == ERR_NOT_FOUND ? insert_pin(c, change, now_ns, info) : err;
}

static enum err apply_pin_rm(struct catalogue *c, struct catalogue_change *change, struct catalogue_info *info)
{
    enum err err = delete_pin(c, span_of(change->cid, change->cid_len), change->recursive, info);
    change->err = err;
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err apply_quarantine(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                                 struct catalogue_info *info)
{
    struct block_place place;
    enum err err = find_place(c, &change->key, &place);
    if (err == ERR_OK && (place.segment != change->place.segment || place.offset != change->place.offset))
        err = ERR_NOT_FOUND; /* stored anew meanwhile */
    if (err != ERR_OK) {
        change->err = err;
        return err == ERR_NOT_FOUND ? ERR_OK : err;
    }
    sqlite3_stmt *stmt = c->stmt[STMT_QUARANTINE];
    sql_bind_blob(stmt, 1, block_key_span(&place.key));
    sql_bind_u64(stmt, 2, place.size);
    sql_bind_u64(stmt, 3, place.segment);
    sql_bind_u64(stmt, 4, place.offset);
    sql_bind_u64(stmt, 5, now_ns);
    sql_bind_text(stmt, 6, span_text(change->reason));
    err = sql_done(stmt);
    return err == ERR_OK ? delete_row(c, &place, info) : err;
}

static enum err apply_change(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                             struct catalogue_info *info)
{
    change->err = ERR_OK;
    switch (change->kind) {
    case CHANGE_PIN_ADD:
        return apply_pin_add(c, change, now_ns, info);
    case CHANGE_PIN_RM:
        return apply_pin_rm(c, change, info);
    case CHANGE_BLOCK_RM:
        return apply_block_rm(c, change, info);
    case CHANGE_QUARANTINE:
        return apply_quarantine(c, change, now_ns, info);
    }
    return ERR_INTERNAL;
}

/* Quarantines come before the rows: a block stored anew must find its old row gone. */
static enum err apply_changes(struct catalogue *c, const struct catalogue_batch *batch, bool quarantines,
                              struct catalogue_info *info)
{
    for (struct catalogue_change *change = batch->changes; change != NULL; change = change->next) {
        if ((change->kind == CHANGE_QUARANTINE) != quarantines)
            continue;
        enum err err = apply_change(c, change, batch->real_now_ns, info);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err set_meta(struct catalogue *c, const char *key, uint64_t value)
{
    sql_bind_text(c->stmt[STMT_META], 1, span_text(key));
    sql_bind_u64(c->stmt[STMT_META], 2, value);
    return sql_done(c->stmt[STMT_META]);
}

static enum err run_batch(struct catalogue *c, struct catalogue_batch *batch, struct catalogue_info *info)
{
    enum err err = apply_changes(c, batch, true, info);
    if (err == ERR_OK)
        err = insert_places(c, batch, info);
    if (err == ERR_OK)
        err = set_checkpoints(c, batch);
    if (err == ERR_OK)
        err = apply_changes(c, batch, false, info);
    bool changed = info->blocks != c->info.blocks || info->bytes != c->info.bytes || batch->place_count > 0;
    if (err != ERR_OK || !changed)
        return err;
    info->generation++;
    err = set_meta(c, "generation", info->generation);
    if (err == ERR_OK)
        err = set_meta(c, "blocks", info->blocks);
    return err == ERR_OK ? set_meta(c, "bytes", info->bytes) : err;
}

enum err catalogue_commit(struct catalogue *c, struct catalogue_batch *batch, struct catalogue_info *ret_info)
{
    struct catalogue_info info = c->info;
    enum err err = sql_done(c->stmt[STMT_BEGIN]);
    if (err != ERR_OK)
        return err;
    err = run_batch(c, batch, &info);
    if (err == ERR_OK)
        err = sql_done(c->stmt[STMT_COMMIT]);
    if (err != ERR_OK) {
        if (sqlite3_get_autocommit(c->db) == 0)
            (void)sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
        return err;
    }
    info.wal_bytes = c->wal_bytes;
    c->info = info;
    if (ret_info != NULL)
        *ret_info = info;
    return ERR_OK;
}

/* ---- salvage ---- */

uint64_t catalogue_salvage_pins(struct catalogue *c, const char *path, const char *vfs)
{
    struct sql_options options = {.path = path, .vfs = vfs, .read_only = true, .cache_kib = 64};
    sqlite3 *old = NULL;
    sqlite3_stmt *stmt = NULL;
    uint64_t count = 0;
    if (sql_open(&options, &old) != ERR_OK)
        return 0;
    enum err err = sql_prepare(old, "SELECT cid, recursive, multihash, name, created_at FROM pins", &stmt);
    while (err == ERR_OK && sql_row(stmt) == ERR_OK) {
        sqlite3_stmt *to = c->stmt[STMT_PIN_INSERT];
        for (int i = 0; i < 5; i++)
            (void)sqlite3_bind_value(to, i + 1, sqlite3_column_value(stmt, i));
        err = sql_done(to);
        count += err == ERR_OK;
    }
    (void)sqlite3_finalize(stmt);
    sql_close(old);
    c->info.pins += count;
    return count;
}
