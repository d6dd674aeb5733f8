/* SPDX-License-Identifier: MIT */
/*
 * What people note about CIDs: rows of (CID, key, value) in the table metadata of blocks.db, a name space of its own.
 *
 *      a CID of version 0 is kept as version 1, so that both names of one node have one note
 *      a value is JSON text as json_from_msgpack writes it: equal values are equal bytes
 *      notes are kept until they are removed, whether the block is stored or not
 *
 * A change is applied within a transaction of the catalogue; a look-up is one statement or two, which end before it returns. The
 * connection's thread only.
 */
#ifndef HEARTH_STORAGE_METADATA_H
#define HEARTH_STORAGE_METADATA_H

#include "storage/sql.h"

enum {
    METADATA_KEY_MAX = 128,
    METADATA_KEYS_MAX = 64,          /* of one CID, and of one change */
    METADATA_BYTES_MAX = 16 * 1024,  /* keys and values of one CID */
    METADATA_PAGE_BYTES = 128 * 1024 /* a page ends behind the CID that passes it */
};

struct metadata_pair {
    struct span key;
    struct span value; /* empty: the key is removed */
};

/* A change of the metadata of one CID; the pairs borrow from text. */
struct metadata_change {
    bool replace; /* all keys that the pairs do not name go */
    size_t count;
    struct metadata_pair pairs[METADATA_KEYS_MAX];
    struct buf text;
};

/* An empty change; freed with metadata_change_free, which takes NULL. */
struct metadata_change *metadata_change_new(bool replace) MUST_CHECK;
void metadata_change_free(struct metadata_change *change);

/* Takes copies. ERR_TOO_LARGE, ERR_INVALID (an empty key), ERR_NOMEM. */
enum err metadata_change_add(struct metadata_change *change, struct span key, struct span value) MUST_CHECK;

/*
 * Applies a change to a binary CID of version 1. *ret_own is the change's own result: ERR_NOT_FOUND when there was nothing to remove,
 * ERR_TOO_LARGE over the limits of one CID; then nothing is changed.
 */
enum err metadata_apply(sqlite3 *db, struct span cid, const struct metadata_change *change, uint64_t now_ns,
                        enum err *ret_own) MUST_CHECK;

struct metadata_row {
    struct span cid;
    struct span key;
    struct span value;
    uint64_t updated_at_ns;
};

/* An error of each ends the look-up and becomes its result. */
typedef enum err metadata_each(void *arg, const struct metadata_row *row);

/* All of one CID, in order of key. ERR_NOT_FOUND when there is nothing. */
enum err metadata_of(sqlite3 *db, struct span cid, metadata_each *each, void *arg) MUST_CHECK;

/* Which CIDs: all; those with a key; those whose key has a value; those whose key's value begins with some bytes. */
struct metadata_query {
    struct span after; /* the last CID of the page before; empty = from the first */
    struct span key;   /* empty: any */
    struct span value; /* empty: any; JSON text, or its first bytes */
    bool is_prefix;
    size_t limit; /* CIDs */
};

/*
 * All rows of the CIDs asked for, those of one CID together: in order of CID; with a prefix, or a key alone, in order of the value.
 * *ret_more: there may be others.
 */
enum err metadata_find(sqlite3 *db, const struct metadata_query *query, metadata_each *each, void *arg,
                       bool *ret_more) MUST_CHECK;

/* Copies what can be read of another database, which may be damaged. Within a transaction of `to`, whose errors are returned. */
enum err metadata_salvage(sqlite3 *to, sqlite3 *from) MUST_CHECK;

#endif
