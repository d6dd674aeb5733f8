/* SPDX-License-Identifier: MIT */
/* The catalogue's table of segments. Blocks; the thread of the connection. */
#ifndef HEARTH_STORAGE_SEGMENT_ROWS_H
#define HEARTH_STORAGE_SEGMENT_ROWS_H

#include "storage/disk_tier.h"
#include "storage/sql.h"

/* All of them, in order of id; freed by the caller. */
enum err segment_rows(sqlite3 *db, struct segment_checkpoint **ret_list, size_t *ret_count) MUST_CHECK;

#endif
