/* SPDX-License-Identifier: MIT */
#include "storage/catalogue_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/segment_rows.h"
#include "storage/sql.h"

enum reading {
    READ_BEGIN,
    READ_END,
    READ_FIND,
    READ_PAGE,
    READ_FIND_COLD,
    READ_COLD_COUNTS,
    READ_PAGE_STORED,
    READ_NODE_HELD,
    READ_TIER_PINS,
    READ_UNHELD,
    READ_PINS,
    READ_PIN,
    READ_PINS_OF,
    READ_HOLDS_OF,
    READ_HOLDS,
    READ_RECURSIVE,
    READ_HELD,
    READ_COUNT
};

/*
 * A page of all stored blocks, in order of key, by two walks of a page each: what is only cold has no segment. The second goes no further than the first,
 * so that it passes no more blocks that are in both than the first has found.
 */
#define STORED_PAGE                                                                                                    \
    "SELECT * FROM (SELECT multihash, codec, size, segment, offset FROM blocks WHERE multihash > ?1"                   \
    " ORDER BY multihash LIMIT ?2)"                                                                                    \
    " UNION ALL SELECT * FROM (SELECT multihash, codec, size, 0 AS segment, pack AS offset FROM cold_blocks"           \
    " WHERE multihash > ?1 AND multihash <= coalesce((SELECT multihash FROM blocks WHERE multihash > ?1"               \
    " ORDER BY multihash LIMIT 1 OFFSET ?2 - 1), x'ffffffffffffffffffff')"                                             \
    " AND NOT EXISTS(SELECT 1 FROM blocks WHERE blocks.multihash = cold_blocks.multihash)"                             \
    " ORDER BY multihash LIMIT ?2) ORDER BY multihash LIMIT ?2"

static const char *const texts[READ_COUNT] = {
    [READ_BEGIN] = "BEGIN",
    [READ_END] = "COMMIT",
    [READ_FIND] = "SELECT multihash, codec, size, segment, offset FROM blocks WHERE multihash = ?1",
    [READ_PAGE] = ("SELECT multihash, codec, size, segment, offset FROM blocks WHERE multihash > ?1 ORDER BY multihash"
                   " LIMIT ?2"),
    [READ_FIND_COLD] = ("SELECT " COLD_ROWS_COLUMNS " FROM cold_blocks WHERE multihash = ?1"),
    [READ_COLD_COUNTS] = ("SELECT EXISTS(" COLD_ROWS_IN_WHOLE ")"),
    [READ_PAGE_STORED] = STORED_PAGE,
    [READ_NODE_HELD] =
        ("SELECT EXISTS(SELECT 1 FROM refs WHERE multihash = ?1 AND codec IN (0x70, 0x71, 0x129) AND count > 0)"
         " OR EXISTS(SELECT 1 FROM tier_pins WHERE multihash = ?1 AND tier = 'disk')"),
    [READ_TIER_PINS] = "SELECT count(*) FROM tier_pins WHERE multihash = ?1 AND tier = ?2",
    [READ_UNHELD] = ("SELECT p.*, EXISTS(SELECT 1 FROM refs WHERE refs.multihash = p.multihash AND count > 0)"
                     " OR EXISTS(SELECT 1 FROM pins WHERE pins.multihash = p.multihash)"
                     " FROM (" STORED_PAGE ") AS p ORDER BY p.multihash"),
    [READ_PIN] = "SELECT recursive, name FROM pins WHERE cid = ?1 ORDER BY recursive",
    [READ_HOLDS_OF] = "SELECT coalesce(sum(count), 0) FROM refs WHERE multihash = ?1",
    [READ_HOLDS] = "SELECT count FROM refs WHERE multihash = ?1 AND codec = ?2",
    [READ_RECURSIVE] = "SELECT count(*) FROM pins WHERE cid IN (?1, ?2) AND recursive = 1",
    [READ_HELD] = ("SELECT multihash, codec,"
                   " count > 0 AND NOT EXISTS(SELECT 1 FROM pins WHERE pins.multihash = refs.multihash)"
                   " FROM refs WHERE (multihash, codec) > (?1, ?2) ORDER BY multihash, codec LIMIT ?3"),
    [READ_PINS] = "SELECT cid, recursive, name, created_at FROM pins WHERE cid > ?1 ORDER BY cid, recursive LIMIT ?2",
    [READ_PINS_OF] =
        "SELECT cid, recursive, name, created_at FROM pins WHERE multihash = ?1 ORDER BY cid, recursive LIMIT ?2",
};

struct catalogue_reader {
    sqlite3 *db;
    sqlite3_stmt *stmt[READ_COUNT];
};

enum err catalogue_reader_open(const struct catalogue_options *options, struct catalogue_reader **ret_reader)
{
    struct catalogue_reader *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return ERR_NOMEM;
    struct sql_options sql = {
        .path = options->path, .vfs = options->vfs, .read_only = true, .cache_kib = options->cache_kib};
    enum err err = sql_open(&sql, &r->db);
    for (int i = 0; i < READ_COUNT && err == ERR_OK; i++)
        err = sql_prepare(r->db, texts[i], &r->stmt[i]);
    if (err != ERR_OK) {
        catalogue_reader_close(r);
        return err == ERR_INVALID ? ERR_CORRUPT : err;
    }
    *ret_reader = r;
    return ERR_OK;
}

void catalogue_reader_close(struct catalogue_reader *r)
{
    if (r == NULL)
        return;
    for (int i = 0; i < READ_COUNT; i++)
        (void)sqlite3_finalize(r->stmt[i]);
    sql_close(r->db);
    free(r);
}

/* Where it fails, each lookup is a transaction of its own, or the next batch ends this one. */
static void try_step(sqlite3_stmt *stmt)
{
    (void)sqlite3_step(stmt);
    (void)sqlite3_reset(stmt);
}

void catalogue_begin_reading(struct catalogue_reader *r)
{
    try_step(r->stmt[READ_BEGIN]);
}

void catalogue_end_reading(struct catalogue_reader *r)
{
    if (sqlite3_get_autocommit(r->db) == 0)
        try_step(r->stmt[READ_END]);
}

static enum err read_place(sqlite3_stmt *stmt, struct block_place *ret_place)
{
    struct block_place place = {.codec = (uint32_t)sql_u64(stmt, 1),
                                .size = (uint32_t)sql_u64(stmt, 2),
                                .segment = sql_u64(stmt, 3),
                                .offset = sql_u64(stmt, 4)};
    enum err err = block_key_of_span(sql_blob(stmt, 0), &place.key);
    if (err != ERR_OK || sql_u64(stmt, 2) > BLOCK_BYTES_MAX)
        return ERR_CORRUPT;
    *ret_place = place;
    return ERR_OK;
}

enum err catalogue_find(struct catalogue_reader *r, const struct block_key *key, struct block_place *ret_place)
{
    sqlite3_stmt *stmt = r->stmt[READ_FIND];
    sql_bind_blob(stmt, 1, block_key_span(key));
    enum err err = sql_row(stmt);
    if (err != ERR_OK)
        return err;
    err = read_place(stmt, ret_place);
    (void)sqlite3_reset(stmt);
    return err;
}

enum err catalogue_find_cold(struct catalogue_reader *r, const struct block_key *key, struct cold_place *ret_place)
{
    sqlite3_stmt *stmt = r->stmt[READ_FIND_COLD];
    sql_bind_blob(stmt, 1, block_key_span(key));
    enum err err = sql_row(stmt);
    if (err != ERR_OK)
        return err;
    err = cold_rows_read(stmt, ret_place);
    (void)sqlite3_reset(stmt);
    return err;
}

static enum err read_page(sqlite3_stmt *stmt, const struct block_key *after, struct block_place *ret_places, size_t max,
                          size_t *ret_count)
{
    size_t count = 0;
    enum err err = ERR_OK;
    sql_bind_blob(stmt, 1, block_key_span(after));
    sql_bind_u64(stmt, 2, max);
    while (err == ERR_OK && count < max && (err = sql_row(stmt)) == ERR_OK)
        err = read_place(stmt, &ret_places[count++]);
    (void)sqlite3_reset(stmt);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    *ret_count = count;
    return ERR_OK;
}

enum err catalogue_page(struct catalogue_reader *r, const struct block_key *after, struct block_place *ret_places,
                        size_t max, size_t *ret_count)
{
    return read_page(r->stmt[READ_PAGE], after, ret_places, max, ret_count);
}

enum err catalogue_page_stored(struct catalogue_reader *r, const struct block_key *after,
                               struct block_place *ret_places, size_t max, size_t *ret_count)
{
    return read_page(r->stmt[READ_PAGE_STORED], after, ret_places, max, ret_count);
}

enum err catalogue_segments(struct catalogue_reader *r, struct segment_checkpoint **ret_list, size_t *ret_count)
{
    return segment_rows(r->db, ret_list, ret_count);
}

enum err catalogue_deadest(struct catalogue_reader *r, struct segment_use *ret_rows, size_t max, size_t *ret_count)
{
    return segment_rows_deadest(r->db, ret_rows, max, ret_count);
}

enum err catalogue_open_segment(struct catalogue_reader *r, struct segment_use *ret_use)
{
    return segment_rows_open(r->db, ret_use);
}

enum err catalogue_segment_use(struct catalogue_reader *r, uint64_t segment, struct segment_use *ret_use)
{
    return segment_rows_use(r->db, segment, ret_use);
}

/* ---- packs ---- */

enum err catalogue_medium(struct catalogue_reader *r, struct cold_medium *ret_medium)
{
    return cold_rows_medium(r->db, ret_medium);
}

enum err catalogue_pack(struct catalogue_reader *r, uint64_t pack, struct pack_row *ret_row)
{
    return cold_rows_pack(r->db, pack, ret_row);
}

enum err catalogue_packs_between(struct catalogue_reader *r, uint64_t after, uint64_t before, struct pack_row *ret_row)
{
    return cold_rows_between(r->db, after, before, ret_row);
}

enum err catalogue_unused_pack(struct catalogue_reader *r, uint64_t but, struct pack_row *ret_row)
{
    return cold_rows_unused(r->db, but, ret_row);
}

enum err catalogue_thinnest_pack(struct catalogue_reader *r, unsigned percent, uint64_t before_ns,
                                 struct pack_row *ret_row)
{
    return cold_rows_thinnest(r->db, percent, before_ns, ret_row);
}

enum err catalogue_unchecked_pack(struct catalogue_reader *r, uint64_t before_ns, struct pack_row *ret_row)
{
    return cold_rows_unchecked(r->db, before_ns, ret_row);
}

enum err catalogue_pack_rows(struct catalogue_reader *r, uint64_t pack, struct block_key *after,
                             struct cold_place *ret_places, size_t max, size_t *ret_count)
{
    return cold_rows_of_pack(r->db, pack, after, ret_places, max, ret_count);
}

enum err catalogue_tier_pins(struct catalogue_reader *r, const struct block_key *after, struct tier_pin_row *ret_rows,
                             size_t max, size_t *ret_count)
{
    return cold_rows_tier_pins(r->db, after, ret_rows, max, ret_count);
}

enum err catalogue_uncounted(struct catalogue_reader *r, struct cold_place *ret_places, size_t max, size_t *ret_count)
{
    return cold_rows_uncounted(r->db, ret_places, max, ret_count);
}

/* ---- what is wrong, and what goes ---- */

enum err catalogue_missing(struct catalogue_reader *r, const struct block_key *after, const struct block_key *upto,
                           struct block_place *ret_places, size_t max, size_t *ret_count)
{
    return quarantine_missing(r->db, after, upto, ret_places, max, ret_count);
}

enum err catalogue_quarantine_due(struct catalogue_reader *r, uint64_t now_ns, struct quarantine_row *ret_rows,
                                  size_t max, size_t *ret_count)
{
    return quarantine_due(r->db, now_ns, ret_rows, max, ret_count);
}

enum err catalogue_quarantine_page(struct catalogue_reader *r, const struct block_key *after,
                                   struct quarantine_row *ret_rows, size_t max, size_t *ret_count)
{
    return quarantine_page(r->db, after, ret_rows, max, ret_count);
}

enum err catalogue_unheld(struct catalogue_reader *r, const struct block_key *after, struct block_place *ret_places,
                          size_t max, size_t *ret_count, struct block_key *ret_last)
{
    sqlite3_stmt *stmt = r->stmt[READ_UNHELD];
    size_t looked = 0;
    size_t count = 0;
    struct block_place place = {0};
    enum err err = ERR_OK;
    sql_bind_blob(stmt, 1, block_key_span(after));
    sql_bind_u64(stmt, 2, max);
    while (err == ERR_OK && looked < max && (err = sql_row(stmt)) == ERR_OK) {
        err = read_place(stmt, &place);
        looked++;
        if (err == ERR_OK && sql_u64(stmt, 5) == 0)
            ret_places[count++] = place;
    }
    (void)sqlite3_reset(stmt);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    *ret_count = count;
    *ret_last = looked < max ? (struct block_key){0} : place.key;
    return ERR_OK;
}

static enum err read_pin(sqlite3_stmt *stmt, struct pin_row *ret_pin)
{
    struct span cid = sql_blob(stmt, 0);
    struct span name = sql_blob(stmt, 2);
    if (cid.len == 0 || cid.len > PIN_CID_MAX)
        return ERR_CORRUPT;
    *ret_pin = (struct pin_row){
        .cid_len = (uint8_t)cid.len, .recursive = sql_u64(stmt, 1) != 0, .created_at_ns = sql_u64(stmt, 3)};
    memcpy(ret_pin->cid, cid.data, cid.len);
    if (name.len > 0)
        memcpy(ret_pin->name, name.data, MIN(name.len, (size_t)PIN_NAME_MAX));
    return ERR_OK;
}

enum err catalogue_pins(struct catalogue_reader *r, struct span after, struct pin_row *ret_pins, size_t max,
                        size_t *ret_count)
{
    sqlite3_stmt *stmt = r->stmt[READ_PINS];
    size_t count = 0;
    enum err err = ERR_OK;
    sql_bind_blob(stmt, 1, after);
    sql_bind_u64(stmt, 2, max + 2);
    while (err == ERR_OK && (err = sql_row(stmt)) == ERR_OK) {
        struct span cid = sql_blob(stmt, 0);
        bool same = count > 0 && span_equal(cid, span_of(ret_pins[count - 1].cid, ret_pins[count - 1].cid_len));
        if (count > max || (count == max && !same))
            break;
        err = read_pin(stmt, &ret_pins[count++]);
    }
    (void)sqlite3_reset(stmt);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    *ret_count = count;
    return ERR_OK;
}

/* ---- indirect pins ---- */

static enum err one_count(sqlite3_stmt *stmt, int64_t *ret_count)
{
    enum err err = sql_row(stmt);
    *ret_count = err == ERR_OK ? (int64_t)sql_u64(stmt, 0) : 0;
    (void)sqlite3_reset(stmt);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

enum err catalogue_node_held(struct catalogue_reader *r, const struct block_key *key, bool *ret_held)
{
    int64_t count = 0;
    sql_bind_blob(r->stmt[READ_NODE_HELD], 1, block_key_span(key));
    enum err err = one_count(r->stmt[READ_NODE_HELD], &count);
    *ret_held = count > 0;
    return err;
}

enum err catalogue_cold_counts(struct catalogue_reader *r, const struct block_key *key, bool *ret_counts)
{
    int64_t count = 0;
    sql_bind_blob(r->stmt[READ_COLD_COUNTS], 1, block_key_span(key));
    enum err err = one_count(r->stmt[READ_COLD_COUNTS], &count);
    *ret_counts = count > 0;
    return err;
}

enum err catalogue_tier_pinned(struct catalogue_reader *r, const struct block_key *key, const char *tier,
                               bool *ret_pinned)
{
    int64_t count = 0;
    sql_bind_blob(r->stmt[READ_TIER_PINS], 1, block_key_span(key));
    sql_bind_text(r->stmt[READ_TIER_PINS], 2, span_text(tier));
    enum err err = one_count(r->stmt[READ_TIER_PINS], &count);
    *ret_pinned = count > 0;
    return err;
}

/* How many recursive pins name it, in either version: each holds it once. */
static enum err count_recursive(struct catalogue_reader *r, const struct cid *cid, int64_t *ret_count)
{
    struct cid other = *cid;
    uint8_t a[CID_BYTES_MAX];
    uint8_t b[CID_BYTES_MAX];
    if (cid_as_version(cid, cid->version == 0 ? 1 : 0, &other) != ERR_OK)
        other = *cid;
    sql_bind_blob(r->stmt[READ_RECURSIVE], 1, span_of(a, cid_encode(cid, a)));
    sql_bind_blob(r->stmt[READ_RECURSIVE], 2, span_of(b, cid_encode(&other, b)));
    return one_count(r->stmt[READ_RECURSIVE], ret_count);
}

enum err catalogue_pin_state(struct catalogue_reader *r, const struct cid *cid, struct pin_state *ret_state)
{
    sqlite3_stmt *stmt = r->stmt[READ_PIN];
    struct pin_state state = {0};
    uint8_t bytes[CID_BYTES_MAX];
    int64_t holds = 0;
    int64_t pins = 0;
    enum err err;
    sql_bind_blob(stmt, 1, span_of(bytes, cid_encode(cid, bytes)));
    while ((err = sql_row(stmt)) == ERR_OK) { /* the recursive one comes last */
        bool recursive = sql_u64(stmt, 0) != 0;
        struct span name = sql_blob(stmt, 1);
        state.recursive |= recursive;
        state.direct |= !recursive;
        memset(state.name, 0, sizeof(state.name));
        if (name.len > 0)
            memcpy(state.name, name.data, MIN(name.len, (size_t)PIN_NAME_MAX));
    }
    if (err != ERR_NOT_FOUND)
        return err;
    sql_bind_blob(r->stmt[READ_HOLDS], 1, span_of(bytes, multihash_encode(&cid->hash, bytes)));
    sql_bind_u64(r->stmt[READ_HOLDS], 2, cid->codec);
    err = one_count(r->stmt[READ_HOLDS], &holds);
    if (err == ERR_OK)
        err = count_recursive(r, cid, &pins);
    if (err != ERR_OK)
        return err;
    state.indirect = holds > pins;
    *ret_state = state;
    return ERR_OK;
}

enum err catalogue_indirect_pins(struct catalogue_reader *r, const struct cid *after, struct cid *ret_cids, size_t max,
                                 size_t *ret_count, struct cid *ret_last, bool *ret_more)
{
    sqlite3_stmt *stmt = r->stmt[READ_HELD];
    uint8_t bytes[MULTIHASH_BYTES_MAX];
    size_t len = after == NULL ? 0 : multihash_encode(&after->hash, bytes);
    size_t looked = 0;
    size_t count = 0;
    struct cid cid = {0};
    enum err err = ERR_OK;
    sql_bind_blob(stmt, 1, span_of(bytes, len));
    sql_bind_u64(stmt, 2, after == NULL ? 0 : after->codec);
    sql_bind_u64(stmt, 3, max);
    while (err == ERR_OK && looked < max && (err = sql_row(stmt)) == ERR_OK) {
        struct multihash hash;
        if (multihash_parse(sql_blob(stmt, 0), &hash) != ERR_OK) {
            err = ERR_CORRUPT;
            break;
        }
        cid = cid_v1((uint32_t)sql_u64(stmt, 1), &hash);
        looked++;
        if (sql_u64(stmt, 2) != 0)
            ret_cids[count++] = cid;
    }
    (void)sqlite3_reset(stmt);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    *ret_count = count;
    *ret_last = cid;
    *ret_more = looked == max;
    return ERR_OK;
}

/* ---- for people ---- */

enum err catalogue_metadata_of(struct catalogue_reader *r, struct span cid, metadata_each *each, void *arg)
{
    return metadata_of(r->db, cid, each, arg);
}

enum err catalogue_metadata_find(struct catalogue_reader *r, const struct metadata_query *query, metadata_each *each,
                                 void *arg, bool *ret_more)
{
    return metadata_find(r->db, query, each, arg, ret_more);
}

enum err catalogue_facts(struct catalogue_reader *r, const struct block_key *key,
                         struct catalogue_block_facts *ret_facts)
{
    sqlite3_stmt *stmt = r->stmt[READ_PINS_OF];
    enum err err = ERR_OK;
    ret_facts->pin_count = 0;
    sql_bind_blob(stmt, 1, block_key_span(key));
    sql_bind_u64(stmt, 2, FACTS_PINS_MAX);
    while (err == ERR_OK && ret_facts->pin_count < FACTS_PINS_MAX && (err = sql_row(stmt)) == ERR_OK)
        err = read_pin(stmt, &ret_facts->pins[ret_facts->pin_count++]);
    (void)sqlite3_reset(stmt);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    sql_bind_blob(r->stmt[READ_HOLDS_OF], 1, block_key_span(key));
    err = one_count(r->stmt[READ_HOLDS_OF], &ret_facts->holds);
    if (err != ERR_OK)
        return err;
    err = quarantine_find(r->db, key, &ret_facts->quarantine);
    ret_facts->quarantined = err == ERR_OK;
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}
