/* SPDX-License-Identifier: MIT */
/*
 * What the catalogue_*.c files share; nobody else includes it.
 */
#ifndef HEARTH_STORAGE_CATALOGUE_PRIVATE_H
#define HEARTH_STORAGE_CATALOGUE_PRIVATE_H

#include "storage/catalogue.h"
#include "storage/sql.h"

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
    STMT_PIN_INSERT,
    STMT_PIN_DELETE,
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

/* The row of a block, within a transaction. ERR_NOT_FOUND. */
enum err catalogue_row_find(struct catalogue *c, const struct block_key *key, struct block_place *ret_place) MUST_CHECK;
/* Takes a row away that was found before. */
enum err catalogue_row_delete(struct catalogue *c, const struct block_place *place,
                              struct catalogue_info *info) MUST_CHECK;

#endif
