/* SPDX-License-Identifier: MIT */
/*
 * The entries of a folder, basic or sharded, while its blocks arrive in any order.
 *
 *      dir_lister_next_want -> fetch, verify -> dir_lister_put     (bounded window of shards)
 *      dir_lister_next      -> one entry after the other
 *
 * Entries come as they stand in the blocks, never sorted again; of a sharded folder the shards below come before a
 * shard's own entries, so the order is the same whatever the order of arrival. Names are a stranger's bytes: handed on
 * as they are, with a flag for those that must never become a file name (RELIABILITY D15). Shards must have one fanout
 * and bounded levels. Specs: ipfs/specs unixfs. No I/O; one thread at a time.
 */
#ifndef HEARTH_STORAGE_DIR_LISTER_H
#define HEARTH_STORAGE_DIR_LISTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/cid.h"

struct dir_lister;

/* Lives until the next call on the lister. */
struct dir_entry {
    struct span name;
    bool name_unsafe; /* empty, ".", "..", with '/' or NUL, or over 1024 bytes */
    struct cid cid;
    uint64_t tsize; /* as claimed */
};

/* window_blocks and window_bytes >= 1; account and shared as for dag_window_init. ERR_NOMEM. */
enum err dir_lister_new(const struct cid *root, size_t window_blocks, size_t window_bytes, struct account *account,
                        struct account *shared, struct dir_lister **ret_lister) MUST_CHECK;
void dir_lister_free(struct dir_lister *lister);

/* The next block to fetch, each once while outstanding. ERR_AGAIN: none at the moment. */
enum err dir_lister_next_want(struct dir_lister *lister, struct cid *ret_cid) MUST_CHECK;

/*
 * Gives a verified block. ERR_OK, also for one that nobody waits for; ERR_INVALID: not a folder; ERR_CORRUPT,
 * ERR_UNSUPPORTED, ERR_TOO_LARGE, ERR_NOMEM end the listing.
 */
enum err dir_lister_put(struct dir_lister *lister, const struct cid *cid, struct block_ref *block) MUST_CHECK;

/* The next entry. ERR_AGAIN: wait for blocks; ERR_CLOSED: that was the last one; else as dir_lister_put. */
enum err dir_lister_next(struct dir_lister *lister, struct dir_entry *ret_entry) MUST_CHECK;

/* The block cannot be had for the moment: it comes out of dir_lister_next_want again. */
void dir_lister_retry(struct dir_lister *lister, const struct cid *cid);

/* Bytes that are held or on their way. */
size_t dir_lister_reserved(const struct dir_lister *lister);

bool dir_lister_waits_for(const struct dir_lister *lister, const struct cid *cid);

/* A static sentence about the error, "" when there is none. */
const char *dir_lister_why(const struct dir_lister *lister);

#endif
