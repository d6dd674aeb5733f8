/* SPDX-License-Identifier: MIT */
/*
 * Brings the database of a repository, blocks.db, to the version of this program.
 *
 *      version n        a step each: n to n + 1
 *        |  1. all steps in a transaction that is rolled back: what cannot work is found before anything is kept
 *        |  2. VACUUM INTO blocks.db.v<n>-backup: beside, synced, renamed
 *        |  3. all steps in one transaction, synced; its commit is the moment at which the new version is there
 *      version of this program
 *
 * A crash at any point leaves the old database or the new one. The backup stays: with it an older hearth can be used again (what was
 * stored since then is found in the segments). Blocks; at start-up, or while no daemon has the repository.
 */
#ifndef HEARTH_STORAGE_MIGRATION_H
#define HEARTH_STORAGE_MIGRATION_H

#include "base/attr.h"
#include "mailbox/ports.h"

enum { MIGRATION_WHY_BYTES = 512, MIGRATION_PATH_MAX = 4096 };

struct migration_options {
    const struct disk_port *port;
    const char *folder; /* of the repository */
    const char *vfs;    /* NULL = SQLite's own */
    uint32_t cache_kib;
    bool dry_run; /* only step 1 */
};

struct migration_report {
    uint64_t from; /* the version found; 0: there is no database, or an empty one */
    uint64_t to;   /* of this program; the same as from when there is nothing to do */
};

/*
 * ERR_OK also when there is nothing to do. ERR_UNSUPPORTED: a newer version; ERR_CORRUPT; ERR_NO_SPACE, ERR_IO …: the old database is as it
 * was. ret_why gets one sentence that names the thing and what to do.
 */
enum err migration_run(const struct migration_options *options, struct migration_report *ret_report,
                       char ret_why[MIGRATION_WHY_BYTES]) MUST_CHECK;

#endif
