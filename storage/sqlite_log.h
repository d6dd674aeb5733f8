/* SPDX-License-Identifier: MIT */
/*
 * SQLite's write-ahead log after a sync that failed.
 *
 * What a failed sync should have made safe may be lost, and the next one, which succeeds, says nothing of that; readers see it all the same, as
 * long as its pages are in memory. When a log with such a hole is opened, SQLite takes what it sees for committed, appends behind it, and may move
 * it into the database. Power lost then: all that was appended stands behind the hole and is gone, though it was synced, and a file into which only
 * a part was moved is damaged for good. So whoever opens a log, or saw a sync fail, writes it once more before anything else is done with it.
 */
#ifndef HEARTH_STORAGE_SQLITE_LOG_H
#define HEARTH_STORAGE_SQLITE_LOG_H

#include <sqlite3.h>

#include "base/attr.h"
#include "mailbox/ports.h"

/*
 * Writes the log of the database at path, which db has open, once more and syncs it; nobody else writes to it meanwhile. A SQLite code: SQLITE_OK,
 * also when there is no log; SQLITE_BUSY, SQLITE_FULL, SQLITE_NOMEM, SQLITE_IOERR. No transaction may be open. Blocks.
 */
int sqlite_log_make_safe(sqlite3 *db, const struct disk_port *disk, const char *path) MUST_CHECK;

/* Whether closing db, when it is the last connection, moves the log into the database: not while the log may have a hole. */
void sqlite_log_moved_on_close(sqlite3 *db, bool moved);

#endif
