/* SPDX-License-Identifier: MIT */
/* The catalogue's table of segments. Blocks; the thread of the connection. */
#ifndef HEARTH_STORAGE_SEGMENT_ROWS_H
#define HEARTH_STORAGE_SEGMENT_ROWS_H

#include "storage/compactor.h"
#include "storage/disk_tier.h"
#include "storage/sql.h"

/* All of them, in order of id; freed by the caller. */
enum err segment_rows(sqlite3 *db, struct segment_checkpoint **ret_list, size_t *ret_count) MUST_CHECK;

/* The same of those that rows of blocks name. */
enum err segment_rows_used(sqlite3 *db, struct segment_checkpoint **ret_list, size_t *ret_count) MUST_CHECK;

/* Up to max segments that are not appended to any more, those with the smallest part of live bytes first. */
enum err segment_rows_deadest(sqlite3 *db, struct segment_use *ret_rows, size_t max, size_t *ret_count) MUST_CHECK;

/* One of them. ERR_NOT_FOUND. */
enum err segment_rows_use(sqlite3 *db, uint64_t segment, struct segment_use *ret_use) MUST_CHECK;

/* The one that is appended to, as far as rows tell. ERR_NOT_FOUND. */
enum err segment_rows_open(sqlite3 *db, struct segment_use *ret_use) MUST_CHECK;

#endif
