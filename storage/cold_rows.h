/* SPDX-License-Identifier: MIT */
/* The catalogue's tables of cold tiers, packs and the blocks in them, as questions. Blocks; the thread of the connection. */
#ifndef HEARTH_STORAGE_COLD_ROWS_H
#define HEARTH_STORAGE_COLD_ROWS_H

#include "storage/cold_pack.h"
#include "storage/sql.h"

enum pack_state {
    PACK_WRITING,
    PACK_WHOLE,
    PACK_DAMAGED, /* it is not on the medium, or not as it was written: its copies do not count, and it goes once no row names it */
    PACK_REMOVING
};

struct pack_row {
    uint64_t pack;
    enum pack_state state;
    uint64_t bytes; /* of the object */
    uint64_t live;  /* of records that rows name */
};

enum { COLD_KIND_MAX = 16, COLD_WHERE_MAX = 512 };

/* The medium of the cold tier; no kind: the mark is noted, but not on the medium yet as far as is known. */
struct cold_medium {
    uint8_t mark[PACK_MARK_BYTES];
    char kind[COLD_KIND_MAX];
    char place[COLD_WHERE_MAX];
};

/* Of a row of cold_blocks, whose columns are the first six. ERR_CORRUPT. */
enum err cold_rows_read(sqlite3_stmt *stmt, struct cold_place *ret_place) MUST_CHECK;
#define COLD_ROWS_COLUMNS "multihash, codec, size, pack, offset, stored"

/* Whether the cold copy of a block counts: only one in a whole pack may stand for one on the disk. */
#define COLD_ROWS_IN_WHOLE                                                                                             \
    "SELECT 1 FROM cold_blocks JOIN packs ON packs.id = cold_blocks.pack WHERE multihash = ?1 AND state = 1"

/* ERR_NOT_FOUND: no tier was ever used. */
enum err cold_rows_medium(sqlite3 *db, struct cold_medium *ret_medium) MUST_CHECK;

/* ERR_NOT_FOUND. */
enum err cold_rows_pack(sqlite3 *db, uint64_t pack, struct pack_row *ret_row) MUST_CHECK;

/* One that no row of a block names and that is not `but`, the one being written. ERR_NOT_FOUND. */
enum err cold_rows_unused(sqlite3 *db, uint64_t but, struct pack_row *ret_row) MUST_CHECK;

/* Of the whole ones written before a time the one with the smallest part of live bytes, not over so many percent. ERR_NOT_FOUND. */
enum err cold_rows_thinnest(sqlite3 *db, unsigned percent, uint64_t before_ns, struct pack_row *ret_row) MUST_CHECK;

/* The first whole pack with live bytes whose id is behind one and before the other. ERR_NOT_FOUND. */
enum err cold_rows_between(sqlite3 *db, uint64_t after, uint64_t before, struct pack_row *ret_row) MUST_CHECK;
#define COLD_ROWS_LOST "id > ?1 AND id < ?2 AND state = 1 AND live_bytes > 0"

/* The whole one that was neither written nor checked since a time, and for longest. ERR_NOT_FOUND. */
enum err cold_rows_unchecked(sqlite3 *db, uint64_t before_ns, struct pack_row *ret_row) MUST_CHECK;

/*
 * A page of the blocks that a pack holds, behind *after in order of key: looks at COLD_ROWS_LOOK rows at most, since there is no index of them. *after: the last
 * that was looked at, len 0 at the end.
 */
enum { COLD_ROWS_LOOK = 8192 };
enum err cold_rows_of_pack(sqlite3 *db, uint64_t pack, struct block_key *after, struct cold_place *ret_places,
                           size_t max, size_t *ret_count) MUST_CHECK;

/* What shall not leave a tier. */
struct tier_pin_row {
    struct block_key key;
    char tier[COLD_KIND_MAX]; /* "disk" or "cold" */
};
/* Up to max of them behind `after`, in order of key. *ret_count < max means the end. */
enum err cold_rows_tier_pins(sqlite3 *db, const struct block_key *after, struct tier_pin_row *ret_rows, size_t max,
                             size_t *ret_count) MUST_CHECK;

/* Up to max blocks whose links are to be counted next, and which are nowhere but in a cold tier. */
enum err cold_rows_uncounted(sqlite3 *db, struct cold_place *ret_places, size_t max, size_t *ret_count) MUST_CHECK;

#endif
