/* SPDX-License-Identifier: MIT */
/* What the files of the store share. Private to actors/state. */
#ifndef HEARTH_ACTORS_STATE_STORE_PRIVATE_H
#define HEARTH_ACTORS_STATE_STORE_PRIVATE_H

#include <sqlite3.h>

#include "actors/state/rows.h"
#include "actors/state/store.h"

struct sqlite_vfs;

struct state_store {
    struct state_options options;
    struct sqlite_vfs *vfs; /* NULL on the real disk: SQLite's own, so that outsiders can read while we write */
    sqlite3 *db;
    struct state_rows rows;
    char replaced[STATE_WHY_BYTES]; /* why the file was made anew, until told */
    bool is_new;                    /* the file that is open had no version yet */
    bool doubts_log;                /* a sync may have failed: it is written once more before anything else is done */
};

/* Opens when it is not open; at names what is moved aside. */
enum err state_store_open(struct state_store *store, uint64_t at, char why[STATE_WHY_BYTES]) MUST_CHECK;

/* The error of a SQLite code, with a sentence. */
enum err state_store_fail(struct state_store *store, int code, const char *what, char why[STATE_WHY_BYTES]);

/* A write has failed so: when that casts a doubt on the file it is closed, and opened and checked anew next time; on its log, that is written again. */
void state_store_doubt(struct state_store *store, enum err err);

/*
 * Attaches a file that went aside; one that is no database is left out, which is SQLITE_OK, too. Then, in a transaction, takes over the records of
 * names, as far as they can be read: their sequences must not begin anew. An error is one that may pass.
 */
int state_store_attach(struct state_store *store, const char *aside, bool *ret_attached);
int state_store_ipns_salvage(struct state_store *store);

#endif
