/* SPDX-License-Identifier: MIT */
#include "storage/catalogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "schemas/blocks_sql.h"
#include "storage/catalogue_private.h"
#include "storage/metadata.h"
#include "storage/segment_rows.h"

static const char *const texts[STMT_COUNT] = {
    [STMT_BEGIN] = "BEGIN IMMEDIATE",
    [STMT_COMMIT] = "COMMIT",
    [STMT_BLOCK_INSERT] = "INSERT INTO blocks(multihash, codec, size, segment, offset) VALUES (?1, ?2, ?3, ?4, ?5)"
                          " ON CONFLICT DO NOTHING",
    [STMT_BLOCK_FIND] = "SELECT codec, size, segment, offset FROM blocks WHERE multihash = ?1",
    [STMT_BLOCK_MOVE] = "UPDATE blocks SET segment = ?4, offset = ?5"
                        " WHERE multihash = ?1 AND segment = ?2 AND offset = ?3",
    [STMT_SEGMENT_DELETE] = "DELETE FROM segments WHERE id = ?1 AND live_bytes = 0 AND state > 0",
    [STMT_BLOCK_DELETE] = "DELETE FROM blocks WHERE multihash = ?1",
    [STMT_CHECKPOINT] = "INSERT INTO segments(id, checkpoint, state) VALUES (?1, ?2, ?3)"
                        " ON CONFLICT(id) DO UPDATE SET checkpoint = ?2, state = ?3",
    [STMT_LIVE] = "INSERT INTO segments(id, checkpoint, state, live_bytes) VALUES (?1, 0, 0, ?2)"
                  " ON CONFLICT(id) DO UPDATE SET live_bytes = live_bytes + ?2",
    [STMT_META] = "UPDATE meta SET value = ?2 WHERE key = ?1",
    [STMT_PINNED] = "SELECT 1 FROM pins WHERE multihash = ?1 LIMIT 1",
    [STMT_HELD] = "SELECT 1 FROM refs WHERE multihash = ?1 AND count > 0 LIMIT 1",
    [STMT_PIN_FIND] = "SELECT counted FROM pins WHERE cid = ?1 AND recursive = ?2",
    [STMT_PIN_INSERT] = "INSERT INTO pins(cid, recursive, multihash, name, created_at) VALUES (?1, ?2, ?3, ?4, ?5)"
                        " ON CONFLICT(cid, recursive) DO UPDATE SET name = ?4, created_at = ?5",
    [STMT_PIN_DELETE] = "DELETE FROM pins WHERE cid = ?1 AND recursive = ?2",
    [STMT_PIN_UNCOUNTED] = "SELECT cid FROM pins WHERE recursive = 1 AND counted < ?1 LIMIT 1",
    [STMT_PIN_COUNTED] = "UPDATE pins SET counted = ?2 WHERE cid = ?1 AND recursive = 1",
    [STMT_REF_FIND] = "SELECT count, expanded FROM refs WHERE multihash = ?1 AND codec = ?2",
    [STMT_REF_SET] = "INSERT INTO refs(multihash, codec, count, expanded) VALUES (?1, ?2, ?3, ?4)"
                     " ON CONFLICT(multihash, codec) DO UPDATE SET count = ?3, expanded = ?4",
    [STMT_REF_ADD] = "INSERT INTO refs(multihash, codec, count, expanded) VALUES (?1, ?2, ?3, 1)"
                     " ON CONFLICT(multihash, codec) DO UPDATE SET count = count + ?3 RETURNING count",
    [STMT_REF_DELETE] = "DELETE FROM refs WHERE multihash = ?1 AND codec = ?2",
    [STMT_REF_CLEAR] = "DELETE FROM refs WHERE (multihash, codec) IN (SELECT multihash, codec FROM refs LIMIT ?1)",
    [STMT_REF_ANY] = "SELECT 1 FROM refs LIMIT 1",
    [STMT_REF_UNEXPANDED] = "SELECT 1 FROM refs WHERE expanded = 0 LIMIT 1",
    [STMT_REF_STORED] = "INSERT INTO ref_queue(multihash, codec, delta)"
                        " SELECT multihash, codec, 0 FROM refs WHERE multihash = ?1 AND expanded = 0",
    [STMT_REF_AGAIN] = "INSERT INTO ref_queue(multihash, codec, delta) SELECT multihash, codec, 0 FROM refs"
                       " WHERE expanded = 0 AND (EXISTS(SELECT 1 FROM blocks WHERE blocks.multihash = refs.multihash)"
                       " OR EXISTS(SELECT 1 FROM cold_blocks WHERE cold_blocks.multihash = refs.multihash))",
    [STMT_QUEUE_PUSH] = "INSERT INTO ref_queue(multihash, codec, delta) VALUES (?1, ?2, ?3)",
    [STMT_QUEUE_LAST] = "SELECT seq, multihash, codec, delta FROM ref_queue ORDER BY seq DESC LIMIT 1",
    [STMT_QUEUE_DELETE] = "DELETE FROM ref_queue WHERE seq = ?1",
    [STMT_QUEUE_CLEAR] = "DELETE FROM ref_queue",
    [STMT_COLD_FIND] = "SELECT " COLD_ROWS_COLUMNS " FROM cold_blocks WHERE multihash = ?1",
    [STMT_COLD_INSERT] = "INSERT INTO cold_blocks(" COLD_ROWS_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
                         " ON CONFLICT DO NOTHING",
    [STMT_COLD_MOVE] = "UPDATE cold_blocks SET pack = ?4, offset = ?5, stored = ?6"
                       " WHERE multihash = ?1 AND pack = ?2 AND offset = ?3",
    [STMT_COLD_DELETE] = "DELETE FROM cold_blocks WHERE multihash = ?1",
    [STMT_COLD_IN_WHOLE] = COLD_ROWS_IN_WHOLE,
    [STMT_NODE_HELD] = "SELECT 1 FROM refs WHERE multihash = ?1 AND codec IN (0x70, 0x71, 0x129) AND count > 0"
                       " UNION ALL SELECT 1 FROM tier_pins WHERE multihash = ?1 AND tier = 'disk' LIMIT 1",
    [STMT_TIER_PIN] = "INSERT INTO tier_pins VALUES (?1, ?2) ON CONFLICT(multihash) DO UPDATE SET tier = ?2",
    [STMT_TIER_UNPIN] = "DELETE FROM tier_pins WHERE multihash = ?1",
    [STMT_PACK_INSERT] = "INSERT INTO packs(id, tier, state, bytes, records, live_bytes, written_at, checked_at)"
                         " VALUES (?1, 1, ?2, ?3, ?4, 0, ?5, 0) ON CONFLICT DO NOTHING",
    [STMT_PACK_WHOLE] = "UPDATE packs SET state = 1, bytes = ?2, records = ?3, written_at = ?4"
                        " WHERE id = ?1 AND state = 0",
    [STMT_PACK_STATE] = "UPDATE packs SET state = ?2 WHERE id = ?1 AND (?2 < 3 OR live_bytes = 0) RETURNING state",
    [STMT_PACK_CHECKED] = "UPDATE packs SET state = max(state, ?2), checked_at = ?3 WHERE id = ?1 AND state IN (1, 2)",
    [STMT_PACKS_LOST] = "UPDATE packs SET state = 2 WHERE " COLD_ROWS_LOST,
    [STMT_PACK_LIVE] = "UPDATE packs SET live_bytes = live_bytes + ?2 WHERE id = ?1",
    [STMT_PACK_DELETE] = "DELETE FROM packs WHERE id = ?1 AND live_bytes = 0",
    [STMT_TIER_SET] = "INSERT OR REPLACE INTO cold_tiers(tier, kind, place, mark) VALUES (1, ?1, ?2, ?3)",
};

enum { CHECKPOINT_PAGES = 1000, WAL_FRAME_BYTES = 4096 + 24 };

/* ---- life ---- */

static enum err make_schema(sqlite3 *db, uint64_t seed)
{
    char text[512];
    uint8_t id[CATALOGUE_ID_BYTES];
    char hex[2 * CATALOGUE_ID_BYTES + 1];
    struct prng prng;
    prng_init(&prng, seed);
    prng_fill(&prng, id, sizeof(id));
    for (size_t i = 0; i < sizeof(id); i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", id[i]);
    (void)snprintf(
        text, sizeof(text),
        "INSERT INTO meta(key, value) VALUES ('id', x'%s'), ('generation', 0), ('blocks', 0), ('bytes', 0),"
        " ('pins', 0), ('recursive_pins', 0), ('next_segment', 1), ('count_round', 1), ('count_clears', 0),"
        " ('count_leaks', 0), ('cold_blocks', 0), ('cold_bytes', 0), ('unrestored', 1), ('schema_version', %d);"
        " PRAGMA user_version = %d; COMMIT;",
        hex, BLOCKS_SCHEMA_VERSION, BLOCKS_SCHEMA_VERSION);
    enum err err = sql_exec(db, "BEGIN IMMEDIATE;" BLOCKS_SCHEMA_SQL);
    return err != ERR_OK ? err : sql_exec(db, text);
}

static enum err check_schema(sqlite3 *db, uint64_t seed, bool *ret_made)
{
    uint64_t version;
    uint64_t tables;
    uint64_t unrestored = 0;
    enum err err = sql_number(db, "PRAGMA user_version", &version);
    if (err == ERR_OK)
        err = sql_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (err != ERR_OK)
        return err;
    if (version > BLOCKS_SCHEMA_VERSION)
        return ERR_UNSUPPORTED;
    *ret_made = version == 0 && tables == 0;
    if (*ret_made)
        return make_schema(db, seed);
    if (version != BLOCKS_SCHEMA_VERSION)
        return ERR_CORRUPT;
    err = sql_number(db, "SELECT count(*) FROM meta WHERE key = 'unrestored'", &unrestored);
    *ret_made = unrestored > 0;
    return err;
}

static enum err read_info(struct catalogue *c)
{
    uint64_t clears = 0;
    uint64_t leaks = 0;
    const struct {
        const char *text;
        uint64_t *to;
    } figures[] = {
        {"SELECT value FROM meta WHERE key = 'generation'", &c->info.generation},
        {"SELECT value FROM meta WHERE key = 'blocks'", &c->info.blocks},
        {"SELECT value FROM meta WHERE key = 'bytes'", &c->info.bytes},
        {"SELECT value FROM meta WHERE key = 'pins'", &c->info.pins},
        {"SELECT value FROM meta WHERE key = 'recursive_pins'", &c->info.recursive_pins},
        {"SELECT value FROM meta WHERE key = 'next_segment'", &c->info.next_segment},
        {"SELECT value FROM meta WHERE key = 'count_round'", &c->info.count_round},
        {"SELECT value FROM meta WHERE key = 'count_clears'", &clears},
        {"SELECT value FROM meta WHERE key = 'count_leaks'", &leaks},
        {"SELECT coalesce(sum(live_bytes), 0) FROM segments", &c->info.live_bytes},
        {"SELECT count(*) FROM quarantine", &c->info.quarantined},
        {"SELECT value FROM meta WHERE key = 'cold_blocks'", &c->info.cold_blocks},
        {"SELECT value FROM meta WHERE key = 'cold_bytes'", &c->info.cold_bytes},
        {"SELECT count(*) FROM packs WHERE state IN (1, 2)", &c->info.cold_packs},
    };
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(c->db, "SELECT value FROM meta WHERE key = 'id'", &stmt);
    if (err == ERR_OK)
        err = sql_row(stmt);
    if (err == ERR_OK && sql_blob(stmt, 0).len == CATALOGUE_ID_BYTES)
        memcpy(c->info.id, sql_blob(stmt, 0).data, CATALOGUE_ID_BYTES);
    (void)sqlite3_finalize(stmt);
    for (size_t i = 0; i < ARRAY_LEN(figures) && err == ERR_OK; i++)
        err = sql_number(c->db, figures[i].text, figures[i].to);
    if (err == ERR_OK)
        err = scrub_progress_load(c->db, &c->info.scrub);
    c->info.count_clears = clears != 0;
    c->info.count_leaks = leaks != 0;
    if (err == ERR_OK)
        err = catalogue_look(c, &c->info);
    return err == ERR_NOT_FOUND || err == ERR_INVALID ? ERR_CORRUPT : err;
}

uint64_t catalogue_empty_log(struct catalogue *c)
{
    int pages = 0;
    int done = 0;
    if (sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &done) == SQLITE_OK && pages == done)
        c->wal_bytes = 0;
    c->info.wal_bytes = c->wal_bytes;
    return c->wal_bytes;
}

/*
 * Runs after each commit in the place of SQLite's own automatic checkpoint, which is the same but tells nobody how long the log has
 * become. A checkpoint that a reader hinders is tried again at the next commit.
 */
static int after_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct catalogue *c = arg;
    (void)db;
    (void)name;
    c->wal_bytes = (uint64_t)pages * WAL_FRAME_BYTES;
    if (pages >= CHECKPOINT_PAGES)
        (void)catalogue_empty_log(c);
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
    struct sql_options sql = {.path = options->path,
                              .vfs = options->vfs,
                              .disk = options->disk,
                              .full_sync = true,
                              .cache_kib = options->cache_kib};
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

void catalogue_change_free(struct catalogue_change *change)
{
    metadata_change_free(change->metadata);
    cold_change_free(change->cold);
    free(change);
}

struct catalogue_info catalogue_info(const struct catalogue *c)
{
    return c->info;
}

enum err catalogue_checkpoints(struct catalogue *c, struct segment_checkpoint **ret_list, size_t *ret_count)
{
    return segment_rows(c->db, ret_list, ret_count);
}

enum err catalogue_used_segments(struct catalogue *c, struct segment_checkpoint **ret_list, size_t *ret_count)
{
    return segment_rows_used(c->db, ret_list, ret_count);
}

enum err catalogue_snapshot(struct catalogue *c, const char *path, const char *vfs, struct snapshot **ret_snapshot)
{
    return snapshot_begin(c->db, path, vfs, ret_snapshot);
}

/* ---- salvage ---- */

/* What the damaged one says is taken as far as it can be read: a row that is none ends nothing. */
static enum err copy_rows(sqlite3_stmt *from, sqlite3_stmt *to, uint64_t *ret_count)
{
    enum err err;
    while ((err = sql_row(from)) == ERR_OK) {
        for (int i = 0; i < sqlite3_column_count(from) && err == ERR_OK; i++)
            err = sql_err(sqlite3_bind_value(to, i + 1, sqlite3_column_value(from, i)));
        if (err == ERR_OK)
            err = sql_done(to);
        *ret_count += err == ERR_OK;
        if (err != ERR_OK && err != ERR_EXISTS)
            return err;
    }
    return err == ERR_NOMEM ? err : ERR_OK;
}

static enum err copy_table(sqlite3 *old, const char *select, sqlite3_stmt *to, uint64_t *ret_count)
{
    sqlite3_stmt *from = NULL;
    enum err err = sql_prepare(old, select, &from);
    if (err != ERR_NOMEM)
        err = from == NULL ? ERR_OK : copy_rows(from, to, ret_count);
    (void)sqlite3_finalize(from);
    return err;
}

static enum err salvage(struct catalogue *c, sqlite3 *old, uint64_t *ret_count)
{
    struct catalogue_info info;
    uint64_t tier_pins = 0;
    enum err err = catalogue_begin(c, &info);
    if (err != ERR_OK)
        return err;
    err = copy_table(old, "SELECT cid, recursive, multihash, name, created_at FROM pins", c->stmt[STMT_PIN_INSERT],
                     ret_count);
    if (err == ERR_OK)
        err = copy_table(old, "SELECT multihash, tier FROM tier_pins", c->stmt[STMT_TIER_PIN], &tier_pins);
    if (err == ERR_OK)
        err = metadata_salvage(c->db, old);
    if (err == ERR_OK)
        err = sql_number(c->db, "SELECT count(*) FROM pins", &info.pins);
    if (err == ERR_OK)
        err = sql_number(c->db, "SELECT count(*) FROM pins WHERE recursive = 1", &info.recursive_pins);
    return catalogue_end(c, err, &info);
}

enum err catalogue_salvage_pins(struct catalogue *c, const char *path, const char *vfs, uint64_t *ret_count)
{
    struct sql_options options = {.path = path, .vfs = vfs, .read_only = true, .cache_kib = 64};
    sqlite3 *old = NULL;
    *ret_count = 0;
    enum err err = sql_open(&options, &old);
    if (err != ERR_NOMEM)
        err = old == NULL ? ERR_OK : salvage(c, old, ret_count);
    sql_close(old);
    return err;
}

enum err catalogue_restored(struct catalogue *c)
{
    return sql_exec(c->db, "DELETE FROM meta WHERE key = 'unrestored'");
}
