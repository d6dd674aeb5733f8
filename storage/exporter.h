/* SPDX-License-Identifier: MIT */
/*
 * Reading a UnixFS file, or a part of it, while its blocks arrive in any order.
 *
 *      exporter_next_want -> fetch, verify -> exporter_put      (any order, bounded window)
 *      exporter_next      -> the file's bytes in order, as spans of blocks: no copy
 *
 * Seeks by blocksizes: subtrees before the offset and after the end are never asked for. Tsize is never used. A child
 * must hold exactly the bytes that its parent says (a file that lies is an error, not a short read), depth is bounded
 * by DAG_DEPTH_MAX, and names on links inside a file are refused. After an error only the queries and exporter_free are
 * allowed. No I/O; one thread at a time. Spec: ipfs/specs unixfs, file.
 */
#ifndef HEARTH_STORAGE_EXPORTER_H
#define HEARTH_STORAGE_EXPORTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/err.h"
#include "storage/dag_window.h"
#include "wire/cid.h"

struct exporter;

struct exporter_options {
    uint64_t offset; /* past the end: reads nothing */
    uint64_t length; /* UINT64_MAX: to the end */
    size_t window_blocks;
    size_t window_bytes;
    bool is_ahead;           /* nobody waits for it yet: nothing is kept that shared does not pay for */
    struct account *account; /* of tables; may be NULL */
    struct account *shared;  /* of bytes read ahead, for several readers; may be NULL, see dag_window_init */
};

/* ERR_NOMEM. */
enum err exporter_new(const struct cid *root, const struct exporter_options *options,
                      struct exporter **ret_exporter) MUST_CHECK;
void exporter_free(struct exporter *exporter);

/* The next block to fetch, each once while outstanding. ERR_AGAIN: none at the moment. */
enum err exporter_next_want(struct exporter *exporter, struct cid *ret_cid) MUST_CHECK;

/*
 * Gives a verified block; references are taken as needed. ERR_OK, also for a block that nobody waits for. ERR_CORRUPT,
 * ERR_MISMATCH (sizes lie), ERR_TOO_LARGE (depth, node bytes), ERR_UNSUPPORTED (codec), ERR_INVALID (not a file),
 * ERR_NOMEM end the export.
 */
enum err exporter_put(struct exporter *exporter, const struct cid *cid, struct block_ref *block) MUST_CHECK;

/*
 * The next bytes, at least one, in *ret_block, whose reference the caller owns. ERR_AGAIN: wait; ERR_CLOSED: the end;
 * else as exporter_put.
 */
enum err exporter_next(struct exporter *exporter, struct block_ref **ret_block, struct span *ret_bytes) MUST_CHECK;

/* File size; false until the root is here. */
bool exporter_size(const struct exporter *exporter, uint64_t *ret_size);

/* Bytes that are held or on their way. */
size_t exporter_reserved(const struct exporter *exporter);

/* From now on somebody waits for it: its next block is kept in any case. */
void exporter_is_waited_for(struct exporter *exporter);

/* Offset of the byte that exporter_next yields next. */
uint64_t exporter_position(const struct exporter *exporter);

/* The block cannot be had for the moment: it comes out of exporter_next_want again. */
void exporter_retry(struct exporter *exporter, const struct cid *cid);

/* As dag_window_give_back. */
bool exporter_give_back(struct exporter *exporter);

bool exporter_waits_for(const struct exporter *exporter, const struct cid *cid);

/* A static sentence about the error, "" when there is none. */
const char *exporter_why(const struct exporter *exporter);

#endif
