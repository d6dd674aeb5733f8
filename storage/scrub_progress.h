/* SPDX-License-Identifier: MIT */
/*
 * How far the scrubber is: rows scrub_* of the catalogue's table meta. Blocks; the thread of the connection.
 */
#ifndef HEARTH_STORAGE_SCRUB_PROGRESS_H
#define HEARTH_STORAGE_SCRUB_PROGRESS_H

#include "storage/block_key.h"
#include "storage/sql.h"

struct scrub_progress {
    struct block_key after; /* the pass goes on behind it */
    uint64_t began_ns;      /* real time; 0: no pass is under way */
    uint64_t ended_ns;      /* of the last full pass; 0: never */
    uint64_t blocks;        /* checked in the pass under way, else in the last one */
    uint64_t bytes;
    uint64_t bad;
};

/* Inside a transaction of the caller's. */
enum err scrub_progress_save(sqlite3 *db, const struct scrub_progress *progress) MUST_CHECK;

/* What is not there is zero. */
enum err scrub_progress_load(sqlite3 *db, struct scrub_progress *ret_progress) MUST_CHECK;

#endif
