/* SPDX-License-Identifier: MIT */
/*
 * The catalogue's table of quarantine: blocks whose stored bytes proved wrong, or are gone though a pin holds them. A block is in it once, counts as
 * absent, and is fetched again from peers; storing it anew takes it out, and so does forgetting it. retry_at says when peers are asked
 * next, so that a restart goes on where it was.
 *
 * All functions work on the connection of the caller, those that write inside its transaction. Statements are prepared each time: all of
 * this is rare. Blocks; the thread of the connection.
 */
#ifndef HEARTH_STORAGE_QUARANTINE_H
#define HEARTH_STORAGE_QUARANTINE_H

#include "storage/block_key.h"
#include "storage/sql.h"

enum { QUARANTINE_REASON_MAX = 64 };

struct quarantine_row {
    struct block_key key;
    uint32_t codec;
    uint64_t size;
    uint64_t found_at_ns;
    uint64_t attempts;
    uint64_t retry_at_ns; /* real time */
    char reason[QUARANTINE_REASON_MAX];
};

enum err quarantine_add(sqlite3 *db, const struct block_place *place, const char *reason, uint64_t now_ns) MUST_CHECK;

/*
 * Up to max blocks that recursive pins hold, with keys behind after and not behind upto (len 0: to the last), that are neither stored nor in
 * quarantine, in order of key. Only key and codec of the places are set.
 */
enum err quarantine_missing(sqlite3 *db, const struct block_key *after, const struct block_key *upto,
                            struct block_place *ret_places, size_t max, size_t *ret_count) MUST_CHECK;

/* Takes out the blocks of places: they are stored anew. */
enum err quarantine_take_stored(sqlite3 *db, const struct block_place *places, size_t count) MUST_CHECK;

/* Takes out one block, or all when key is NULL. ret_count: how many it were. */
enum err quarantine_forget(sqlite3 *db, const struct block_key *key, uint64_t *ret_count) MUST_CHECK;

/* Peers were asked once more; they are asked again at retry_at_ns. */
enum err quarantine_tried(sqlite3 *db, const struct block_key *key, uint64_t retry_at_ns) MUST_CHECK;

/* All are due now, as if they had never been tried. */
enum err quarantine_retry_all(sqlite3 *db) MUST_CHECK;

enum err quarantine_count(sqlite3 *db, uint64_t *ret_count) MUST_CHECK;

/* Up to max rows that are due at now_ns, those that waited longest first; and how many are due in all. */
enum err quarantine_due(sqlite3 *db, uint64_t now_ns, struct quarantine_row *ret_rows, size_t max,
                        size_t *ret_count) MUST_CHECK;

/* ERR_NOT_FOUND: it is not in quarantine. */
enum err quarantine_find(sqlite3 *db, const struct block_key *key, struct quarantine_row *ret_row) MUST_CHECK;

/* Up to max rows with keys behind `after` (len 0: from the first), in order of key. */
enum err quarantine_page(sqlite3 *db, const struct block_key *after, struct quarantine_row *ret_rows, size_t max,
                         size_t *ret_count) MUST_CHECK;

#endif
