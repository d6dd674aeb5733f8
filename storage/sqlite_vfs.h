/* SPDX-License-Identifier: MIT */
/*
 * A SQLite VFS over disk_port, so that the simulator and the crash tests see each write and sync of a database.
 *
 * The WAL index lives in this process's memory and locks are counted here, not in the kernel: all connections to a database must be
 * of this process: they have one VFS, that of their disk. Production uses SQLite's own unix VFS, because outsiders read the databases while we write.
 * Of folder entries only a rollback journal's is synced here: whoever opens a database syncs its folder once afterwards, which
 * covers the database, its WAL and the removal of the journal it was made with.
 *
 * Threads: as SQLite's: connections of several threads may share a database.
 */
#ifndef HEARTH_STORAGE_SQLITE_VFS_H
#define HEARTH_STORAGE_SQLITE_VFS_H

#include "base/attr.h"
#include "mailbox/ports.h"

struct sqlite_vfs;

enum { SQLITE_VFS_PATH_MAX = 1024 };

/* The VFS of a disk, registered under a name of its own with the first who asks; port is borrowed and outlives it. Any thread. */
enum err sqlite_vfs_open(const struct disk_port *port, struct sqlite_vfs **ret_vfs) MUST_CHECK;

/* The caller's connections must be closed; the last one's end is the VFS's. NULL-safe. */
void sqlite_vfs_close(struct sqlite_vfs *vfs);

/* The name for sqlite3_open_v2. */
const char *sqlite_vfs_name(const struct sqlite_vfs *vfs);

#endif
