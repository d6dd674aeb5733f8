/* SPDX-License-Identifier: MIT */
/*
 * Every block below a root, once each: for refs, recursive pins, fetches and the collector's marks.
 *
 *      dag_walk_next_want -> fetch, verify -> dag_walk_put      (any order, bounded window)
 *      dag_walk_next      -> visits, depth first, a parent before its children
 *
 * Where a block stands in several places, the order of arrival decides at which it is visited, unless in_order: then each is visited where it
 * stands first, and the order is that of the DAG alone. In order, a node is opened when all before it was read: its children are not asked
 * for before that, those of the node above it are.
 * Links are followed as wire/dag_links.h reads them. A block of a codec that it does not know ends the walk with
 * ERR_UNSUPPORTED, so that nobody takes a part for the whole. What was seen is remembered in 16 bytes a CID, charged to the account: a DAG
 * with more blocks than that allows ends with ERR_NOMEM or ERR_BUSY, never in a silent loop. No recursion; no I/O; one
 * thread at a time.
 */
#ifndef HEARTH_STORAGE_DAG_WALK_H
#define HEARTH_STORAGE_DAG_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/err.h"
#include "wire/cid.h"

struct dag_walk;

enum { DAG_WALK_BLOCKS_MAX = 1 << 24, DAG_WALK_DEPTH_ALL = 100000 };

struct dag_walk_options {
    size_t window_blocks;
    size_t window_bytes;
    size_t blocks_max;  /* 0: DAG_WALK_BLOCKS_MAX */
    uint32_t depth_max; /* links from the root; 0: only the root */
    bool in_order;      /* with fetch_leaves only */
    bool fetch_leaves;  /* raw blocks, and those at depth_max, are wanted, too; else they are visited unseen */
    bool forget_leaves; /* raw blocks are not remembered: one is visited wherever it stands */
    bool
        forget_when_full; /* past blocks_max, or without memory, all that was seen is forgotten: some are visited again */
    struct account *account; /* of tables; may be NULL */
    struct account *shared;  /* of bytes read ahead; may be NULL, see dag_window_init */
};

struct dag_visit {
    struct cid cid;
    uint32_t depth;
    struct block_ref
        *block; /* the caller's reference; NULL for a leaf that was not fetched, or a block that was skipped */
};

/* window_blocks and window_bytes >= 1. ERR_NOMEM. */
enum err dag_walk_new(const struct cid *root, const struct dag_walk_options *options,
                      struct dag_walk **ret_walk) MUST_CHECK;
void dag_walk_free(struct dag_walk *walk);

/* The next block to fetch, each once. ERR_AGAIN: none at the moment. */
enum err dag_walk_next_want(struct dag_walk *walk, struct cid *ret_cid) MUST_CHECK;

/*
 * Gives a verified block. ERR_OK, also when nobody waits; ERR_CORRUPT, ERR_UNSUPPORTED, ERR_TOO_LARGE, ERR_BUSY,
 * ERR_NOMEM end the walk.
 */
enum err dag_walk_put(struct dag_walk *walk, const struct cid *cid, struct block_ref *block) MUST_CHECK;

/* The next visit. ERR_AGAIN: wait for blocks; ERR_CLOSED: all were visited; else as dag_walk_put. */
enum err dag_walk_next(struct dag_walk *walk, struct dag_visit *ret_visit) MUST_CHECK;

/* The block cannot be had for the moment: it comes out of dag_walk_next_want again. */
void dag_walk_retry(struct dag_walk *walk, const struct cid *cid);

/* The block cannot be had at all: it is visited without it, and nothing below. */
void dag_walk_skip(struct dag_walk *walk, const struct cid *cid);

bool dag_walk_waits_for(const struct dag_walk *walk, const struct cid *cid);

/* Blocks found so far, visited or not; without forgotten ones. */
size_t dag_walk_found(const struct dag_walk *walk);

/* A static sentence about the error, "" when there is none. */
const char *dag_walk_why(const struct dag_walk *walk);

#endif
