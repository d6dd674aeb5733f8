/* SPDX-License-Identifier: MIT */
/*
 * One transaction of the catalogue: quarantines, rows, checkpoints, then what people asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/catalogue_private.h"
#include "storage/metadata.h"
#include "storage/segment.h"

/* ---- figures ---- */

static enum err flush_live(struct catalogue *c)
{
    enum err err = ERR_OK;
    for (size_t i = 0; i < c->live_count && err == ERR_OK; i++) {
        sql_bind_u64(c->stmt[STMT_LIVE], 1, c->live[i].segment);
        sql_bind_u64(c->stmt[STMT_LIVE], 2, (uint64_t)c->live[i].bytes);
        err = sql_done(c->stmt[STMT_LIVE]);
    }
    c->live_count = 0;
    return err;
}

static enum err note_live(struct catalogue *c, const struct block_place *place, bool added, struct catalogue_info *info)
{
    int64_t bytes = (int64_t)segment_record_bytes(place->key.len, place->size);
    size_t i = 0;
    enum err err = ERR_OK;
    bytes = added ? bytes : -bytes;
    info->live_bytes += (uint64_t)bytes;
    while (i < c->live_count && c->live[i].segment != place->segment)
        i++;
    if (i == LIVE_CHANGES_MAX) {
        err = flush_live(c);
        i = 0;
    }
    if (i == c->live_count)
        c->live[c->live_count++] = (struct live_change){.segment = place->segment};
    c->live[i].bytes += bytes;
    return err;
}

static enum err set_meta(struct catalogue *c, const char *key, uint64_t before, uint64_t value)
{
    if (before == value)
        return ERR_OK;
    sql_bind_text(c->stmt[STMT_META], 1, span_text(key));
    sql_bind_u64(c->stmt[STMT_META], 2, value);
    return sql_done(c->stmt[STMT_META]);
}

static enum err set_figures(struct catalogue *c, const struct catalogue_info *info)
{
    const struct catalogue_info *old = &c->info;
    const struct {
        const char *key;
        uint64_t before;
        uint64_t value;
    } figures[] = {
        {"generation", old->generation, info->generation},
        {"blocks", old->blocks, info->blocks},
        {"bytes", old->bytes, info->bytes},
        {"pins", old->pins, info->pins},
        {"recursive_pins", old->recursive_pins, info->recursive_pins},
        {"next_segment", old->next_segment, info->next_segment},
        {"count_round", old->count_round, info->count_round},
        {"count_clears", old->count_clears, info->count_clears},
        {"count_leaks", old->count_leaks, info->count_leaks},
        {"cold_blocks", old->cold_blocks, info->cold_blocks},
        {"cold_bytes", old->cold_bytes, info->cold_bytes},
    };
    enum err err = flush_live(c);
    for (size_t i = 0; i < ARRAY_LEN(figures) && err == ERR_OK; i++)
        err = set_meta(c, figures[i].key, figures[i].before, figures[i].value);
    return err;
}

/* ---- the transaction ---- */

static enum err roll_back(struct catalogue *c)
{
    return sqlite3_get_autocommit(c->db) != 0 ? ERR_OK : sql_exec(c->db, "ROLLBACK");
}

/* A rollback fails when memory is missing: the transaction it left goes now. */
enum err catalogue_begin(struct catalogue *c, struct catalogue_info *ret_info)
{
    enum err err = roll_back(c);
    c->live_count = 0;
    *ret_info = c->info;
    return err == ERR_OK ? sql_done(c->stmt[STMT_BEGIN]) : err;
}

enum err catalogue_end(struct catalogue *c, enum err err, struct catalogue_info *info)
{
    bool changed = info->blocks != c->info.blocks || info->bytes != c->info.bytes ||
                   info->cold_blocks != c->info.cold_blocks || info->cold_bytes != c->info.cold_bytes;
    info->generation += changed && info->generation == c->info.generation;
    if (err == ERR_OK)
        err = set_figures(c, info);
    if (err == ERR_OK)
        err = sql_done(c->stmt[STMT_COMMIT]);
    if (err != ERR_OK) {
        (void)!roll_back(c);
        return err;
    }
    info->wal_bytes = c->wal_bytes;
    c->info = *info;
    return ERR_OK;
}

/* ---- rows ---- */

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
        const struct block_place *place = &batch->places[i];
        bind_place(c->stmt[STMT_BLOCK_INSERT], place);
        enum err err = sql_done(c->stmt[STMT_BLOCK_INSERT]);
        if (err == ERR_OK && sqlite3_changes(c->db) > 0) {
            info->blocks++;
            info->bytes += place->size;
            err = note_live(c, place, true, info);
            if (err == ERR_OK && info->unexpanded)
                err = catalogue_stored(c, &place->key, info);
        }
        if (err != ERR_OK)
            return err;
    }
    info->generation += batch->place_count > 0;
    return ERR_OK;
}

static enum err move_rows(struct catalogue *c, const struct catalogue_batch *batch, struct catalogue_info *info)
{
    sqlite3_stmt *stmt = c->stmt[STMT_BLOCK_MOVE];
    enum err err = ERR_OK;
    for (size_t i = 0; i < batch->move_count && err == ERR_OK; i++) {
        const struct catalogue_move *move = &batch->moves[i];
        sql_bind_blob(stmt, 1, block_key_span(&move->from.key));
        sql_bind_u64(stmt, 2, move->from.segment);
        sql_bind_u64(stmt, 3, move->from.offset);
        sql_bind_u64(stmt, 4, move->to.segment);
        sql_bind_u64(stmt, 5, move->to.offset);
        err = sql_done(stmt);
        if (err != ERR_OK || sqlite3_changes(c->db) == 0)
            continue;
        err = note_live(c, &move->from, false, info);
        if (err == ERR_OK)
            err = note_live(c, &move->to, true, info);
    }
    return err;
}

static enum err delete_segment(struct catalogue *c, uint64_t segment)
{
    sql_bind_u64(c->stmt[STMT_SEGMENT_DELETE], 1, segment);
    return sql_done(c->stmt[STMT_SEGMENT_DELETE]);
}

static enum err set_checkpoints(struct catalogue *c, const struct catalogue_batch *batch, struct catalogue_info *info)
{
    for (size_t i = 0; i < batch->checkpoint_count; i++) {
        sqlite3_stmt *stmt = c->stmt[STMT_CHECKPOINT];
        sql_bind_u64(stmt, 1, batch->checkpoints[i].segment);
        sql_bind_u64(stmt, 2, batch->checkpoints[i].offset);
        sql_bind_u64(stmt, 3, (uint64_t)batch->checkpoints[i].state);
        info->next_segment = MAX(info->next_segment, batch->checkpoints[i].segment + 1);
        enum err err = sql_done(stmt);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

enum err catalogue_row_find(struct catalogue *c, const struct block_key *key, struct block_place *ret_place)
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

enum err catalogue_row_delete(struct catalogue *c, const struct block_place *place, struct catalogue_info *info)
{
    sql_bind_blob(c->stmt[STMT_BLOCK_DELETE], 1, block_key_span(&place->key));
    enum err err = sql_done(c->stmt[STMT_BLOCK_DELETE]);
    if (err != ERR_OK)
        return err;
    info->blocks--;
    info->bytes -= place->size;
    return note_live(c, place, false, info);
}

/* ---- changes ---- */

/* What is not stored may be in quarantine: then nobody wants it back any more. */
static enum err forget_one(struct catalogue *c, struct catalogue_change *change)
{
    uint64_t count = 0;
    enum err err = quarantine_forget(c->db, &change->key, &count);
    change->err = err == ERR_OK && count == 0 ? ERR_NOT_FOUND : err;
    return err;
}

static enum err apply_block_rm(struct catalogue *c, struct catalogue_change *change, struct catalogue_info *info)
{
    bool held = false;
    enum err err = catalogue_find_stored(c, &change->key, info, &change->place);
    if (err != ERR_OK)
        return err == ERR_NOT_FOUND ? forget_one(c, change) : err;
    if (info->counting) {
        change->err = ERR_AGAIN;
        return ERR_OK;
    }
    err = catalogue_is_held(c, &change->key, &held);
    if (err == ERR_OK && held)
        change->err = ERR_DENIED;
    return err != ERR_OK || held ? err : catalogue_forget_stored(c, &change->place, info);
}

/* ERR_NOT_FOUND; ret_counted: the round in which it was counted. */
static enum err find_pin(struct catalogue *c, struct span cid, bool recursive, uint64_t *ret_counted)
{
    sqlite3_stmt *stmt = c->stmt[STMT_PIN_FIND];
    sql_bind_blob(stmt, 1, cid);
    sql_bind_u64(stmt, 2, recursive);
    enum err err = sql_row(stmt);
    if (err != ERR_OK)
        return err;
    *ret_counted = sql_u64(stmt, 0);
    (void)sqlite3_reset(stmt);
    return ERR_OK;
}

static enum err delete_pin(struct catalogue *c, struct span cid, bool recursive, struct catalogue_info *info)
{
    sqlite3_stmt *stmt = c->stmt[STMT_PIN_DELETE];
    sql_bind_blob(stmt, 1, cid);
    sql_bind_u64(stmt, 2, recursive);
    enum err err = sql_done(stmt);
    if (err == ERR_OK && sqlite3_changes(c->db) == 0)
        return ERR_NOT_FOUND;
    if (err == ERR_OK) {
        info->pins--;
        info->recursive_pins -= recursive;
    }
    return err;
}

static enum err write_pin(struct catalogue *c, const struct catalogue_change *change, const struct cid *cid,
                          uint64_t now_ns)
{
    uint8_t hash[MULTIHASH_BYTES_MAX];
    sqlite3_stmt *stmt = c->stmt[STMT_PIN_INSERT];
    sql_bind_blob(stmt, 1, span_of(change->cid, change->cid_len));
    sql_bind_u64(stmt, 2, change->recursive);
    sql_bind_blob(stmt, 3, span_of(hash, multihash_encode(&cid->hash, hash)));
    sql_bind_text(stmt, 4, span_text(change->name));
    sql_bind_u64(stmt, 5, change->at_ns != 0 ? change->at_ns : now_ns);
    return sql_done(stmt);
}

static enum err is_stored(struct catalogue *c, const struct cid *cid, const struct catalogue_info *info)
{
    struct block_key key;
    struct block_place place;
    if (cid->hash.code == MULTIHASH_IDENTITY)
        return ERR_OK;
    return block_key_of(&cid->hash, &key) == ERR_OK ? catalogue_find_stored(c, &key, info, &place) : ERR_NOT_FOUND;
}

/*
 * Always writes, also when the pin is there: its answer must be as durable as a first one's. A new recursive pin is counted later, so it is
 * pinned in one step however much lies below it.
 */
static enum err apply_pin_add(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                              struct catalogue_info *info)
{
    struct cid cid;
    uint64_t counted;
    struct span bytes = span_of(change->cid, change->cid_len);
    if (cid_parse(bytes, &cid) != ERR_OK) {
        change->err = ERR_INVALID;
        return ERR_OK;
    }
    enum err err = change->was_pinned ? ERR_OK : is_stored(c, &cid, info);
    if (err == ERR_NOT_FOUND) {
        change->err = ERR_NOT_FOUND;
        return ERR_OK;
    }
    if (err == ERR_OK && change->recursive)
        err = delete_pin(c, bytes, false, info); /* a recursive pin takes a direct one's place */
    if (err == ERR_OK || err == ERR_NOT_FOUND)
        err = find_pin(c, bytes, change->recursive, &counted);
    if (err == ERR_NOT_FOUND) {
        info->pins++;
        info->recursive_pins += change->recursive;
        info->counting |= change->recursive;
        err = ERR_OK;
    }
    return err == ERR_OK ? write_pin(c, change, &cid, now_ns) : err;
}

static enum err apply_pin_rm(struct catalogue *c, struct catalogue_change *change, struct catalogue_info *info)
{
    struct cid cid;
    uint64_t counted = 0;
    struct span bytes = span_of(change->cid, change->cid_len);
    enum err err = find_pin(c, bytes, change->recursive, &counted);
    if (err == ERR_OK)
        err = delete_pin(c, bytes, change->recursive, info);
    change->err = err;
    if (err != ERR_OK || !change->recursive || counted < info->count_round)
        return err == ERR_NOT_FOUND ? ERR_OK : err;
    info->counting = true;
    err = cid_parse(bytes, &cid);
    return err == ERR_OK ? catalogue_hold(c, &cid, -1) : ERR_CORRUPT;
}

static enum err apply_quarantine(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                                 struct catalogue_info *info)
{
    struct block_place place;
    struct cold_place cold;
    enum err err = catalogue_row_find(c, &change->key, &place);
    if (err == ERR_OK && (place.segment != change->place.segment || place.offset != change->place.offset))
        err = ERR_NOT_FOUND; /* stored anew meanwhile */
    if (err != ERR_OK) {
        change->err = err;
        return err == ERR_NOT_FOUND ? ERR_OK : err;
    }
    err = catalogue_cold_find(c, &change->key, info, &cold); /* with a copy in a pack nothing is lost */
    if (err == ERR_NOT_FOUND)
        err = quarantine_add(c->db, &place, change->reason, now_ns);
    return err == ERR_OK ? catalogue_row_delete(c, &place, info) : err;
}

static enum err apply_missing(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                              const struct catalogue_info *info)
{
    struct block_place place;
    enum err err = catalogue_find_stored(c, &change->key, info, &place);
    if (err == ERR_NOT_FOUND)
        return quarantine_add(c->db, &change->place, change->reason, now_ns);
    change->err = ERR_EXISTS; /* stored meanwhile */
    return err;
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
    case CHANGE_MISSING:
        return apply_missing(c, change, now_ns, info);
    case CHANGE_HEAL_TRIED:
        return quarantine_tried(c->db, &change->key, change->at_ns);
    case CHANGE_HEAL_ALL:
        return quarantine_retry_all(c->db);
    case CHANGE_SEGMENT_RM:
        return delete_segment(c, change->place.segment);
    case CHANGE_FORGET_ALL:
        return quarantine_forget(c->db, NULL, &change->count);
    case CHANGE_TIER:
    case CHANGE_PACK_NEW:
    case CHANGE_PACK_WHOLE:
    case CHANGE_PACK_ADOPT:
    case CHANGE_PACKS_LOST:
    case CHANGE_PACK_STATE:
    case CHANGE_PACK_CHECKED:
    case CHANGE_PACK_RM:
    case CHANGE_HOT_RM:
    case CHANGE_COLD_BAD:
        return catalogue_cold_apply(c, change, now_ns, info);
    case CHANGE_TIER_PIN:
        return catalogue_tier_pin_apply(c, change);
    case CHANGE_METADATA:
        return metadata_apply(c->db, span_of(change->cid, change->cid_len), change->metadata, now_ns, &change->err);
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

static enum err run_batch(struct catalogue *c, struct catalogue_batch *batch, struct catalogue_info *info)
{
    enum err err = apply_changes(c, batch, true, info);
    if (err == ERR_OK)
        err = insert_places(c, batch, info);
    if (err == ERR_OK && info->quarantined > 0)
        err = quarantine_take_stored(c->db, batch->places, batch->place_count);
    if (err == ERR_OK)
        err = move_rows(c, batch, info);
    if (err == ERR_OK)
        err = set_checkpoints(c, batch, info);
    if (err == ERR_OK)
        err = apply_changes(c, batch, false, info);
    if (err == ERR_OK && batch->scrub != NULL)
        err = scrub_progress_save(c->db, batch->scrub);
    if (err == ERR_OK && (info->quarantined > 0 || batch->changes != NULL))
        err = quarantine_count(c->db, &info->quarantined);
    return err;
}

enum err catalogue_commit(struct catalogue *c, struct catalogue_batch *batch, struct catalogue_info *ret_info)
{
    struct catalogue_info info;
    enum err err = catalogue_begin(c, &info);
    if (err != ERR_OK)
        return err;
    err = catalogue_end(c, run_batch(c, batch, &info), &info);
    if (err == ERR_OK && ret_info != NULL)
        *ret_info = info;
    return err;
}
