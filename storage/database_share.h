/* SPDX-License-Identifier: MIT */
/*
 * Lets a group read a SQLite database: the file, its log and its index. SQLite gives the two the file's mode, but its group only when it
 * runs as root, so it is done here. By name and without opening: closing a second descriptor would drop the locks that SQLite holds.
 */
#ifndef HEARTH_STORAGE_DATABASE_SHARE_H
#define HEARTH_STORAGE_DATABASE_SHARE_H

#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"

/* path is the database's, on the real disk; what is not there is left out. The first error is returned, all are tried. May block on the disk. */
enum err database_share(const char *path, gid_t group) MUST_CHECK;

#endif
