/* SPDX-License-Identifier: MIT */
/*
 * A consistent copy of a database that is in use, made in steps by SQLite's online backup on the connection that writes it: what is
 * committed between two steps goes into the copy too, so the steps need not be repeated. Rejected: VACUUM INTO, which keeps the
 * connection for minutes when there are millions of rows, and everybody's pins wait.
 *
 * Blocks; the thread of the connection. The copy is not synced.
 */
#ifndef HEARTH_STORAGE_SNAPSHOT_H
#define HEARTH_STORAGE_SNAPSHOT_H

#include "storage/sql.h"

struct snapshot;

/* Begins a copy of from in the file at path, which must be empty or absent. */
enum err snapshot_begin(sqlite3 *from, const char *path, const char *vfs, struct snapshot **ret_snapshot) MUST_CHECK;

/* Copies so many pages; ret_done: the copy is complete. After an error there is nothing to do but to end it. */
enum err snapshot_step(struct snapshot *snapshot, int pages, bool *ret_done) MUST_CHECK;

/* Before the connection it copies from is closed. NULL-safe. */
void snapshot_end(struct snapshot *snapshot);

#endif
