/* SPDX-License-Identifier: MIT */
#include "storage/snapshot.h"

#include <stdlib.h>

struct snapshot {
    sqlite3 *to;
    sqlite3_backup *backup;
};

enum err snapshot_begin(sqlite3 *from, const char *path, const char *vfs, struct snapshot **ret_snapshot)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NOMEM;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    enum err err = sql_err(sqlite3_open_v2(path, &s->to, flags, vfs));
    if (err == ERR_OK) /* a copy that is cut short is thrown away */
        err = sql_exec(s->to, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-64;");
    if (err == ERR_OK) {
        s->backup = sqlite3_backup_init(s->to, "main", from, "main");
        err = s->backup == NULL ? sql_err(sqlite3_extended_errcode(s->to)) : ERR_OK;
    }
    if (err != ERR_OK) {
        snapshot_end(s);
        return err;
    }
    *ret_snapshot = s;
    return ERR_OK;
}

/* The copy of a database in WAL mode is one too; alone, and to be carried about, it is better without. */
static enum err settle(struct snapshot *s)
{
    int rc = sqlite3_backup_finish(s->backup);
    s->backup = NULL;
    return rc == SQLITE_OK ? sql_exec(s->to, "PRAGMA journal_mode=DELETE") : sql_err(rc);
}

enum err snapshot_step(struct snapshot *s, int pages, bool *ret_done)
{
    int rc = sqlite3_backup_step(s->backup, pages);
    *ret_done = rc == SQLITE_DONE;
    if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED) /* a checkpoint is in the way: the next step goes on */
        return ERR_OK;
    return rc == SQLITE_DONE ? settle(s) : sql_err(rc);
}

void snapshot_end(struct snapshot *s)
{
    if (s == NULL)
        return;
    (void)sqlite3_backup_finish(s->backup);
    sql_close(s->to);
    free(s);
}
