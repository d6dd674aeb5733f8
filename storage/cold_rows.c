/* SPDX-License-Identifier: MIT */
#include "storage/cold_rows.h"

#include <string.h>

#include "schemas/blocks_sql.h"

enum err cold_rows_read(sqlite3_stmt *stmt, struct cold_place *ret_place)
{
    struct cold_place place = {.codec = (uint32_t)sql_u64(stmt, 1),
                               .size = (uint32_t)sql_u64(stmt, 2),
                               .pack = sql_u64(stmt, 3),
                               .offset = (uint32_t)sql_u64(stmt, 4),
                               .stored = (uint32_t)sql_u64(stmt, 5)};
    enum err err = block_key_of_span(sql_blob(stmt, 0), &place.key);
    if (err != ERR_OK || sql_u64(stmt, 2) > BLOCK_BYTES_MAX || sql_u64(stmt, 5) > sql_u64(stmt, 2) ||
        sql_u64(stmt, 4) > PACK_BYTES_MAX || place.pack == 0)
        return ERR_CORRUPT;
    *ret_place = place;
    return ERR_OK;
}

static void copy_text(sqlite3_stmt *stmt, int column, char *to, size_t room)
{
    struct span text = sql_blob(stmt, column);
    memset(to, 0, room);
    if (text.len > 0)
        memcpy(to, text.data, MIN(text.len, room - 1));
}

enum err cold_rows_medium(sqlite3 *db, struct cold_medium *ret_medium)
{
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(db, "SELECT mark, kind, place FROM cold_tiers WHERE tier = 1", &stmt);
    if (err == ERR_OK)
        err = sql_row(stmt);
    if (err == ERR_OK && sql_blob(stmt, 0).len != PACK_MARK_BYTES)
        err = ERR_CORRUPT;
    if (err == ERR_OK) {
        memcpy(ret_medium->mark, sql_blob(stmt, 0).data, PACK_MARK_BYTES);
        copy_text(stmt, 1, ret_medium->kind, sizeof(ret_medium->kind));
        copy_text(stmt, 2, ret_medium->place, sizeof(ret_medium->place));
    }
    (void)sqlite3_finalize(stmt);
    return err;
}

/* ---- packs ---- */

#define PACK_COLUMNS "id, state, bytes, live_bytes"

static enum err one_pack(sqlite3 *db, const char *text, uint64_t a, uint64_t b, struct pack_row *ret_row)
{
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(db, text, &stmt);
    if (err == ERR_OK) {
        sql_bind_u64(stmt, 1, a);
        if (sqlite3_bind_parameter_count(stmt) > 1)
            sql_bind_u64(stmt, 2, b);
        err = sql_row(stmt);
    }
    if (err == ERR_OK)
        *ret_row = (struct pack_row){.pack = sql_u64(stmt, 0),
                                     .state = (enum pack_state)sql_u64(stmt, 1),
                                     .bytes = sql_u64(stmt, 2),
                                     .live = sql_u64(stmt, 3)};
    (void)sqlite3_finalize(stmt);
    return err;
}

enum err cold_rows_pack(sqlite3 *db, uint64_t pack, struct pack_row *ret_row)
{
    return one_pack(db, "SELECT " PACK_COLUMNS " FROM packs WHERE id = ?1", pack, 0, ret_row);
}

enum err cold_rows_between(sqlite3 *db, uint64_t after, uint64_t before, struct pack_row *ret_row)
{
    return one_pack(db, "SELECT " PACK_COLUMNS " FROM packs WHERE " COLD_ROWS_LOST " ORDER BY id LIMIT 1", after,
                    before, ret_row);
}

_Static_assert(PACK_HEADER_BYTES + PACK_TAIL_BYTES == 80 && PACK_ENTRY_MAX == 91, "as BLOCKS_SQL_PACK_USE says");

enum err cold_rows_unused(sqlite3 *db, uint64_t but, struct pack_row *ret_row)
{
    return one_pack(db,
                    "SELECT " PACK_COLUMNS " FROM packs WHERE " BLOCKS_SQL_PACK_USE " = 0 AND live_bytes = 0"
                    " AND id <> ?1 LIMIT 1",
                    but, 0, ret_row);
}

enum err cold_rows_thinnest(sqlite3 *db, unsigned percent, uint64_t before_ns, struct pack_row *ret_row)
{
    return one_pack(db,
                    "SELECT " PACK_COLUMNS " FROM packs WHERE " BLOCKS_SQL_PACK_USE " < ?1 AND +state = 1"
                    " AND written_at <= ?2 ORDER BY " BLOCKS_SQL_PACK_USE " LIMIT 1",
                    percent, before_ns, ret_row);
}

enum err cold_rows_unchecked(sqlite3 *db, uint64_t before_ns, struct pack_row *ret_row)
{
    return one_pack(db,
                    "SELECT " PACK_COLUMNS " FROM packs WHERE state = 1 AND max(written_at, checked_at) < ?1"
                    " ORDER BY max(written_at, checked_at) LIMIT 1",
                    before_ns, 0, ret_row);
}

/* ---- blocks ---- */

static enum err read_list(sqlite3_stmt *stmt, enum err err, struct cold_place *ret_places, size_t max,
                          size_t *ret_count)
{
    size_t count = 0;
    while (err == ERR_OK && count < max && (err = sql_row(stmt)) == ERR_OK)
        err = cold_rows_read(stmt, &ret_places[count++]);
    (void)sqlite3_finalize(stmt);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    *ret_count = count;
    return ERR_OK;
}

enum err cold_rows_of_pack(sqlite3 *db, uint64_t pack, struct block_key *after, struct cold_place *ret_places,
                           size_t max, size_t *ret_count)
{
    sqlite3_stmt *stmt = NULL;
    struct cold_place place = {0};
    size_t looked = 0;
    size_t count = 0;
    enum err err = sql_prepare(
        db, "SELECT " COLD_ROWS_COLUMNS " FROM cold_blocks WHERE multihash > ?1 ORDER BY multihash LIMIT ?2", &stmt);
    if (err == ERR_OK) {
        sql_bind_blob(stmt, 1, block_key_span(after));
        sql_bind_u64(stmt, 2, COLD_ROWS_LOOK);
    }
    while (err == ERR_OK && count < max && (err = sql_row(stmt)) == ERR_OK) {
        err = cold_rows_read(stmt, &place);
        looked++;
        if (err == ERR_OK && place.pack == pack)
            ret_places[count++] = place;
    }
    (void)sqlite3_finalize(stmt);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    *ret_count = count;
    *after = looked == COLD_ROWS_LOOK || count == max ? place.key : (struct block_key){0};
    return ERR_OK;
}

enum err cold_rows_tier_pins(sqlite3 *db, const struct block_key *after, struct tier_pin_row *ret_rows, size_t max,
                             size_t *ret_count)
{
    sqlite3_stmt *stmt = NULL;
    size_t count = 0;
    enum err err = sql_prepare(
        db, "SELECT multihash, tier FROM tier_pins WHERE multihash > ?1 ORDER BY multihash LIMIT ?2", &stmt);
    if (err == ERR_OK) {
        sql_bind_blob(stmt, 1, block_key_span(after));
        sql_bind_u64(stmt, 2, max);
    }
    while (err == ERR_OK && count < max && (err = sql_row(stmt)) == ERR_OK) {
        err = block_key_of_span(sql_blob(stmt, 0), &ret_rows[count].key);
        copy_text(stmt, 1, ret_rows[count].tier, sizeof(ret_rows[count].tier));
        count++;
    }
    (void)sqlite3_finalize(stmt);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    *ret_count = count;
    return ERR_OK;
}

enum err cold_rows_uncounted(sqlite3 *db, struct cold_place *ret_places, size_t max, size_t *ret_count)
{
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_prepare(db,
                               "SELECT " COLD_ROWS_COLUMNS " FROM cold_blocks WHERE multihash IN"
                               " (SELECT multihash FROM (SELECT multihash FROM ref_queue ORDER BY seq DESC LIMIT ?1))"
                               " AND NOT EXISTS(SELECT 1 FROM blocks WHERE blocks.multihash = cold_blocks.multihash)",
                               &stmt);
    if (err == ERR_OK)
        sql_bind_u64(stmt, 1, max);
    return read_list(stmt, err, ret_places, max, ret_count);
}
