/* SPDX-License-Identifier: MIT */
/*
 * What the catalogue_*.c files share; nobody else includes it.
 */
#ifndef HEARTH_STORAGE_CATALOGUE_PRIVATE_H
#define HEARTH_STORAGE_CATALOGUE_PRIVATE_H

#include "storage/catalogue.h"
#include "storage/sql.h"
#include "wire/cid.h"

enum statement {
    STMT_BEGIN,
    STMT_COMMIT,
    STMT_BLOCK_INSERT,
    STMT_BLOCK_FIND,
    STMT_BLOCK_DELETE,
    STMT_BLOCK_MOVE,
    STMT_SEGMENT_DELETE,
    STMT_CHECKPOINT,
    STMT_LIVE,
    STMT_META,
    STMT_PINNED,
    STMT_HELD,
    STMT_PIN_FIND,
    STMT_PIN_INSERT,
    STMT_PIN_DELETE,
    STMT_PIN_UNCOUNTED,
    STMT_PIN_COUNTED,
    STMT_REF_FIND,
    STMT_REF_SET,
    STMT_REF_ADD,
    STMT_REF_DELETE,
    STMT_REF_CLEAR,
    STMT_REF_ANY,
    STMT_REF_UNEXPANDED,
    STMT_REF_STORED,
    STMT_REF_AGAIN,
    STMT_QUEUE_PUSH,
    STMT_QUEUE_LAST,
    STMT_QUEUE_DELETE,
    STMT_QUEUE_CLEAR,
    STMT_COLD_FIND,
    STMT_COLD_INSERT,
    STMT_COLD_MOVE,
    STMT_COLD_DELETE,
    STMT_COLD_IN_WHOLE,
    STMT_NODE_HELD,
    STMT_PACK_INSERT,
    STMT_PACK_WHOLE,
    STMT_PACK_STATE,
    STMT_PACK_CHECKED,
    STMT_PACKS_LOST,
    STMT_PACK_LIVE,
    STMT_PACK_DELETE,
    STMT_TIER_SET,
    STMT_TIER_PIN,
    STMT_TIER_UNPIN,
    STMT_COUNT
};

/* Record bytes by which the live rows of a segment have changed, summed up within a transaction. */
struct live_change {
    uint64_t segment;
    int64_t bytes;
};

enum { LIVE_CHANGES_MAX = 64 };

struct catalogue {
    sqlite3 *db;
    sqlite3_stmt *stmt[STMT_COUNT];
    struct catalogue_info info;
    struct live_change live[LIVE_CHANGES_MAX];
    size_t live_count;
    uint64_t wal_bytes;
};

/*
 * One transaction: begin, changes with `info` as the figures to be, end. end commits when err is ERR_OK, with the figures that changed,
 * else it rolls back; it returns err or what the commit says, and only after ERR_OK the figures are the catalogue's.
 */
enum err catalogue_begin(struct catalogue *c, struct catalogue_info *ret_info) MUST_CHECK;
enum err catalogue_end(struct catalogue *c, enum err err, struct catalogue_info *info) MUST_CHECK;

/* True when the statement, whose parameters are bound, has a row. *err is not touched then; else it is ERR_OK or what went wrong. */
bool catalogue_any(struct catalogue *c, enum statement which, enum err *err);

/* ---- catalogue_count.c, within a transaction ---- */

/* Sets counting and unexpanded as the tables say. */
enum err catalogue_look(struct catalogue *c, struct catalogue_info *info) MUST_CHECK;
/* A recursive pin of the CID came (1) or, once it was counted, went (-1). */
enum err catalogue_hold(struct catalogue *c, const struct cid *cid, int delta) MUST_CHECK;
/* A block got its row: if it is held and its links were not known, they are counted now. */
enum err catalogue_stored(struct catalogue *c, const struct block_key *key, struct catalogue_info *info) MUST_CHECK;
/* Whether anything keeps the block: a pin of its own, or a held block that links to it. */
enum err catalogue_is_held(struct catalogue *c, const struct block_key *key, bool *ret_held) MUST_CHECK;

/* The row of a block, within a transaction. ERR_NOT_FOUND. */
enum err catalogue_row_find(struct catalogue *c, const struct block_key *key, struct block_place *ret_place) MUST_CHECK;
/* Takes a row away that was found before. */
enum err catalogue_row_delete(struct catalogue *c, const struct block_place *place,
                              struct catalogue_info *info) MUST_CHECK;

/* ---- catalogue_cold.c, within a transaction ---- */

/* The row of a cold block. ERR_NOT_FOUND, also without a look when nothing is cold. */
enum err catalogue_cold_find(struct catalogue *c, const struct block_key *key, const struct catalogue_info *info,
                             struct cold_place *ret_place) MUST_CHECK;
/* Takes one away that was found before. */
enum err catalogue_cold_delete(struct catalogue *c, const struct cold_place *place,
                               struct catalogue_info *info) MUST_CHECK;
/* Where a block lies: on the disk, or else in the pack `offset`, with segment 0. ERR_NOT_FOUND: it is not stored. */
enum err catalogue_find_stored(struct catalogue *c, const struct block_key *key, const struct catalogue_info *info,
                               struct block_place *ret_place) MUST_CHECK;
/* Takes away what rows a block has. */
enum err catalogue_forget_stored(struct catalogue *c, const struct block_place *place,
                                 struct catalogue_info *info) MUST_CHECK;
/* A change of packs. */
enum err catalogue_cold_apply(struct catalogue *c, struct catalogue_change *change, uint64_t now_ns,
                              struct catalogue_info *info) MUST_CHECK;
enum err catalogue_tier_pin_apply(struct catalogue *c, const struct catalogue_change *change) MUST_CHECK;

#endif
