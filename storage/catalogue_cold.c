/* SPDX-License-Identifier: MIT */
/*
 * Packs and the blocks in them, within the catalogue's transactions. The rules that nothing is lost by: a cold row is made only for a pack that is whole by
 * the same transaction, and a hot row goes only while a cold one in such a pack is there.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/catalogue_private.h"

void cold_change_free(struct cold_change *cold)
{
    if (cold == NULL)
        return;
    free(cold->entries);
    free(cold);
}

/* ---- rows ---- */

enum err catalogue_cold_find(struct catalogue *c, const struct block_key *key, const struct catalogue_info *info,
                             struct cold_place *ret_place)
{
    sqlite3_stmt *stmt = c->stmt[STMT_COLD_FIND];
    if (info->cold_blocks == 0)
        return ERR_NOT_FOUND;
    sql_bind_blob(stmt, 1, block_key_span(key));
    enum err err = sql_row(stmt);
    if (err != ERR_OK)
        return err;
    err = cold_rows_read(stmt, ret_place);
    (void)sqlite3_reset(stmt);
    return err;
}

enum err catalogue_find_stored(struct catalogue *c, const struct block_key *key, const struct catalogue_info *info,
                               struct block_place *ret_place)
{
    struct cold_place cold;
    enum err err = catalogue_row_find(c, key, ret_place);
    if (err != ERR_NOT_FOUND)
        return err;
    err = catalogue_cold_find(c, key, info, &cold);
    if (err == ERR_OK)
        *ret_place = (struct block_place){.key = cold.key, .codec = cold.codec, .size = cold.size, .offset = cold.pack};
    return err;
}

static enum err add_live(struct catalogue *c, uint64_t pack, int64_t bytes)
{
    if (bytes == 0)
        return ERR_OK;
    sql_bind_u64(c->stmt[STMT_PACK_LIVE], 1, pack);
    sql_bind_u64(c->stmt[STMT_PACK_LIVE], 2, (uint64_t)bytes);
    return sql_done(c->stmt[STMT_PACK_LIVE]);
}

enum err catalogue_cold_delete(struct catalogue *c, const struct cold_place *place, struct catalogue_info *info)
{
    sql_bind_blob(c->stmt[STMT_COLD_DELETE], 1, block_key_span(&place->key));
    enum err err = sql_done(c->stmt[STMT_COLD_DELETE]);
    if (err != ERR_OK)
        return err;
    info->cold_blocks--;
    info->cold_bytes -= place->size;
    return add_live(c, place->pack, -(int64_t)pack_record_bytes(place));
}

enum err catalogue_forget_stored(struct catalogue *c, const struct block_place *place, struct catalogue_info *info)
{
    struct cold_place cold;
    enum err err = place->segment == 0 ? ERR_OK : catalogue_row_delete(c, place, info);
    if (err == ERR_OK)
        err = catalogue_cold_find(c, &place->key, info, &cold);
    if (err == ERR_OK)
        return catalogue_cold_delete(c, &cold, info);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err insert_cold(struct catalogue *c, struct cold_entry *entry, struct catalogue_info *info)
{
    const struct cold_place *place = &entry->place;
    sqlite3_stmt *stmt = c->stmt[STMT_COLD_INSERT];
    sql_bind_blob(stmt, 1, block_key_span(&place->key));
    sql_bind_u64(stmt, 2, place->codec);
    sql_bind_u64(stmt, 3, place->size);
    sql_bind_u64(stmt, 4, place->pack);
    sql_bind_u64(stmt, 5, place->offset);
    sql_bind_u64(stmt, 6, place->stored);
    enum err err = sql_done(stmt);
    entry->done = err == ERR_OK && sqlite3_changes(c->db) > 0;
    if (entry->done) {
        info->cold_blocks++;
        info->cold_bytes += place->size;
    }
    return err;
}

/* ---- packs ---- */

static enum err insert_pack(struct catalogue *c, const struct cold_change *cold, enum pack_state state, uint64_t now_ns)
{
    sqlite3_stmt *stmt = c->stmt[STMT_PACK_INSERT];
    sql_bind_u64(stmt, 1, cold->pack);
    sql_bind_u64(stmt, 2, (uint64_t)state);
    sql_bind_u64(stmt, 3, cold->bytes);
    sql_bind_u64(stmt, 4, cold->records);
    sql_bind_u64(stmt, 5, state == PACK_WRITING ? 0 : now_ns);
    enum err err = sql_done(stmt);
    return err == ERR_OK && sqlite3_changes(c->db) == 0 ? ERR_EXISTS : err;
}

static enum err pack_new(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                         struct catalogue_info *info)
{
    (void)info;
    change->err = insert_pack(c, change->cold, PACK_WRITING, now_ns);
    return change->err == ERR_EXISTS ? ERR_OK : change->err;
}

/* A block of a pack that is rewritten: its row is repointed if it is still at the old place. */
static enum err move_cold(struct catalogue *c, struct cold_entry *entry)
{
    const struct cold_place *place = &entry->place;
    sqlite3_stmt *stmt = c->stmt[STMT_COLD_MOVE];
    sql_bind_blob(stmt, 1, block_key_span(&place->key));
    sql_bind_u64(stmt, 2, entry->old_pack);
    sql_bind_u64(stmt, 3, entry->old_offset);
    sql_bind_u64(stmt, 4, place->pack);
    sql_bind_u64(stmt, 5, place->offset);
    sql_bind_u64(stmt, 6, place->stored);
    enum err err = sql_done(stmt);
    entry->done = err == ERR_OK && sqlite3_changes(c->db) > 0;
    return err;
}

/* A copy in a pack that is not whole does not count: its row is made anew here. */
static enum err insert_or_replace(struct catalogue *c, struct cold_entry *entry, struct catalogue_info *info)
{
    struct cold_place old;
    enum err err = catalogue_cold_find(c, &entry->place.key, info, &old);
    if (err == ERR_NOT_FOUND)
        return insert_cold(c, entry, info);
    if (err != ERR_OK)
        return err;
    sql_bind_blob(c->stmt[STMT_COLD_IN_WHOLE], 1, block_key_span(&entry->place.key));
    if (catalogue_any(c, STMT_COLD_IN_WHOLE, &err))
        return ERR_OK;
    if (err == ERR_OK)
        err = catalogue_cold_delete(c, &old, info);
    return err == ERR_OK ? insert_cold(c, entry, info) : err;
}

/* What was removed since it was copied is dead in the pack; what was moved within the disk, or stored anew, is the same block. */
static enum err settle_entry(struct catalogue *c, struct cold_entry *entry, struct catalogue_info *info,
                             int64_t *moved_bytes)
{
    struct block_place hot;
    entry->done = false;
    if (entry->old_pack != 0) {
        enum err err = move_cold(c, entry);
        *moved_bytes -= entry->done ? (int64_t)pack_record_bytes(&entry->place) : 0;
        return err;
    }
    enum err err = catalogue_row_find(c, &entry->place.key, &hot);
    if (err == ERR_NOT_FOUND)
        return ERR_OK;
    return err == ERR_OK ? insert_or_replace(c, entry, info) : err;
}

/* ERR_EXISTS: it was not being written. */
static enum err set_whole(struct catalogue *c, const struct cold_change *cold, uint64_t now_ns)
{
    sqlite3_stmt *stmt = c->stmt[STMT_PACK_WHOLE];
    sql_bind_u64(stmt, 1, cold->pack);
    sql_bind_u64(stmt, 2, cold->bytes);
    sql_bind_u64(stmt, 3, cold->records);
    sql_bind_u64(stmt, 4, now_ns);
    enum err err = sql_done(stmt);
    return err == ERR_OK && sqlite3_changes(c->db) == 0 ? ERR_EXISTS : err;
}

static enum err pack_whole(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                           struct catalogue_info *info)
{
    struct cold_change *cold = change->cold;
    int64_t live = 0;
    enum err err = set_whole(c, cold, now_ns);
    if (err == ERR_EXISTS) {
        change->err = ERR_NOT_FOUND;
        return ERR_OK;
    }
    for (size_t i = 0; i < cold->count && err == ERR_OK; i++) {
        struct cold_entry *entry = &cold->entries[i];
        int64_t moved = 0;
        err = settle_entry(c, entry, info, &moved);
        if (err == ERR_OK && moved != 0)
            err = add_live(c, entry->old_pack, moved);
        live += entry->done ? (int64_t)pack_record_bytes(&entry->place) : 0;
    }
    info->cold_packs++;
    return err == ERR_OK ? add_live(c, cold->pack, live) : err;
}

/*
 * This pack is there; one that a row of an older catalogue names may be gone: the row is repointed. A block that is found again is stored: it leaves the
 * quarantine, and what it links to can be counted. Of a pack that was being written, what has no cold row is still hot, or was removed.
 */
static enum err adopt_entry(struct catalogue *c, struct cold_entry *entry, bool written, struct catalogue_info *info)
{
    uint64_t count = 0;
    struct cold_place old;
    entry->done = false;
    enum err err = catalogue_cold_find(c, &entry->place.key, info, &old);
    if (err == ERR_OK && old.pack == entry->place.pack)
        return ERR_OK; /* the pack has it twice */
    if (err == ERR_NOT_FOUND && written)
        return ERR_OK;
    if (err == ERR_OK)
        err = catalogue_cold_delete(c, &old, info);
    if (err == ERR_OK || err == ERR_NOT_FOUND)
        err = insert_cold(c, entry, info);
    if (err == ERR_OK && info->quarantined > 0)
        err = quarantine_forget(c->db, &entry->place.key, &count);
    return err == ERR_OK && info->unexpanded ? catalogue_stored(c, &entry->place.key, info) : err;
}

static enum err pack_adopt(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                           struct catalogue_info *info)
{
    struct cold_change *cold = change->cold;
    int64_t live = 0;
    enum err err = insert_pack(c, cold, PACK_WHOLE, now_ns);
    bool written = err == ERR_EXISTS;
    cold->state = written ? PACK_WRITING : PACK_WHOLE; /* as it was known, or as it is */
    if (written)
        err = set_whole(c, cold, now_ns);
    if (err == ERR_EXISTS) {
        change->err = err;
        return ERR_OK;
    }
    for (size_t i = 0; i < cold->count && err == ERR_OK; i++) {
        err = adopt_entry(c, &cold->entries[i], written, info);
        live += cold->entries[i].done ? (int64_t)pack_record_bytes(&cold->entries[i].place) : 0;
    }
    info->cold_packs++;
    info->generation += live > 0;
    return err == ERR_OK ? add_live(c, cold->pack, live) : err;
}

static enum err count_packs(struct catalogue *c, struct catalogue_info *info)
{
    return sql_number(c->db, "SELECT count(*) FROM packs WHERE state IN (1, 2)", &info->cold_packs);
}

static enum err pack_state(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                           struct catalogue_info *info)
{
    (void)now_ns;
    sqlite3_stmt *stmt = c->stmt[STMT_PACK_STATE];
    sql_bind_u64(stmt, 1, change->cold->pack);
    sql_bind_u64(stmt, 2, (uint64_t)change->cold->state);
    enum err err = sql_row(stmt);
    (void)sqlite3_reset(stmt);
    if (err == ERR_NOT_FOUND) {
        change->err = ERR_BUSY;
        return ERR_OK;
    }
    return err == ERR_OK ? count_packs(c, info) : err;
}

static enum err pack_checked(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                             struct catalogue_info *info)
{
    sqlite3_stmt *stmt = c->stmt[STMT_PACK_CHECKED];
    (void)info;
    sql_bind_u64(stmt, 1, change->cold->pack);
    sql_bind_u64(stmt, 2, (uint64_t)change->cold->state);
    sql_bind_u64(stmt, 3, now_ns);
    enum err err = sql_done(stmt);
    if (err == ERR_OK && sqlite3_changes(c->db) == 0)
        change->err = ERR_NOT_FOUND;
    return err;
}

static enum err packs_lost(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                           struct catalogue_info *info)
{
    (void)now_ns;
    (void)info;
    sql_bind_u64(c->stmt[STMT_PACKS_LOST], 1, change->cold->pack);
    sql_bind_u64(c->stmt[STMT_PACKS_LOST], 2, change->cold->before);
    enum err err = sql_done(c->stmt[STMT_PACKS_LOST]);
    change->cold->records = err == ERR_OK ? (uint32_t)sqlite3_changes(c->db) : 0;
    return err;
}

static enum err pack_delete(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                            struct catalogue_info *info)
{
    (void)now_ns;
    (void)info;
    sql_bind_u64(c->stmt[STMT_PACK_DELETE], 1, change->cold->pack);
    enum err err = sql_done(c->stmt[STMT_PACK_DELETE]);
    if (err == ERR_OK && sqlite3_changes(c->db) == 0)
        change->err = ERR_BUSY;
    return err;
}

static enum err set_tier(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                         struct catalogue_info *info)
{
    const struct cold_medium *medium = &change->cold->medium;
    (void)now_ns;
    (void)info;
    sql_bind_text(c->stmt[STMT_TIER_SET], 1, span_text(medium->kind));
    sql_bind_text(c->stmt[STMT_TIER_SET], 2, span_text(medium->place));
    sql_bind_blob(c->stmt[STMT_TIER_SET], 3, span_of(medium->mark, sizeof(medium->mark)));
    return sql_done(c->stmt[STMT_TIER_SET]);
}

/* ---- hot rows ---- */

static enum err remove_hot(struct catalogue *c, struct cold_entry *entry, struct catalogue_info *info)
{
    struct block_place hot;
    enum err err;
    entry->done = false;
    sql_bind_blob(c->stmt[STMT_COLD_IN_WHOLE], 1, block_key_span(&entry->place.key));
    sql_bind_blob(c->stmt[STMT_NODE_HELD], 1, block_key_span(&entry->place.key));
    if (!catalogue_any(c, STMT_COLD_IN_WHOLE, &err) || catalogue_any(c, STMT_NODE_HELD, &err))
        return err;
    if (err == ERR_OK)
        err = catalogue_row_find(c, &entry->place.key, &hot);
    if (err != ERR_OK)
        return err == ERR_NOT_FOUND ? ERR_OK : err;
    entry->done = true;
    return catalogue_row_delete(c, &hot, info);
}

static enum err remove_all_hot(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                               struct catalogue_info *info)
{
    struct cold_change *cold = change->cold;
    enum err err = ERR_OK;
    (void)now_ns;
    for (size_t i = 0; i < cold->count && err == ERR_OK; i++)
        err = remove_hot(c, &cold->entries[i], info);
    return err;
}

static enum err cold_bad(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                         struct catalogue_info *info)
{
    const struct cold_place *bad = &change->cold->entries[0].place;
    struct cold_place now;
    struct block_place hot;
    enum err err = catalogue_cold_find(c, &bad->key, info, &now);
    if (err == ERR_OK && (now.pack != bad->pack || now.offset != bad->offset))
        err = ERR_NOT_FOUND; /* rewritten meanwhile */
    if (err != ERR_OK) {
        change->err = err;
        return err == ERR_NOT_FOUND ? ERR_OK : err;
    }
    err = catalogue_cold_delete(c, &now, info);
    if (err == ERR_OK)
        err = catalogue_row_find(c, &bad->key, &hot);
    if (err != ERR_NOT_FOUND)
        return err;
    hot = (struct block_place){.key = now.key, .codec = now.codec, .size = now.size, .offset = now.offset};
    return quarantine_add(c->db, &hot, change->reason, now_ns);
}

typedef enum err apply(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                       struct catalogue_info *info);

enum err catalogue_cold_apply(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                              struct catalogue_info *info)
{
    static apply *const appliers[] = {[CHANGE_TIER] = set_tier,         [CHANGE_PACK_NEW] = pack_new,
                                      [CHANGE_PACK_WHOLE] = pack_whole, [CHANGE_PACK_ADOPT] = pack_adopt,
                                      [CHANGE_PACKS_LOST] = packs_lost, [CHANGE_PACK_STATE] = pack_state,
                                      [CHANGE_PACK_RM] = pack_delete,   [CHANGE_HOT_RM] = remove_all_hot,
                                      [CHANGE_COLD_BAD] = cold_bad,     [CHANGE_PACK_CHECKED] = pack_checked};
    return appliers[change->kind](c, change, now_ns, info);
}

enum err catalogue_tier_pin_apply(struct catalogue *c, const struct catalogue_change *change)
{
    sqlite3_stmt *stmt = c->stmt[change->name[0] == '\0' ? STMT_TIER_UNPIN : STMT_TIER_PIN];
    sql_bind_blob(stmt, 1, block_key_span(&change->key));
    if (change->name[0] != '\0')
        sql_bind_text(stmt, 2, span_text(change->name));
    return sql_done(stmt);
}
