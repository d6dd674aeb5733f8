/* SPDX-License-Identifier: MIT */
/*
 * A file, a symlink, or a folder with all below it, as one tree stream (wire/tree_stream.h), while its blocks arrive in
 * any order.
 *
 *      tree_exporter_next_want -> fetch, verify -> tree_exporter_put      (any order, bounded)
 *      tree_exporter_read      -> the bytes of the stream, in order
 *
 * Entries are read ahead over siblings and levels (storage/tree_window.h), within window_bytes and the shared account.
 * Names of strangers that are no plain file names end the export (RELIABILITY D15). No I/O; one thread at a time.
 */
#ifndef HEARTH_STORAGE_TREE_EXPORTER_H
#define HEARTH_STORAGE_TREE_EXPORTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/cid.h"

struct tree_exporter;
struct exporter;

enum { TREE_AHEAD = 64 };

struct tree_exporter_options {
    struct span name; /* of the outermost entry; a plain file name, copied */
    uint64_t skip;    /* bytes of the stream that are passed over: an export that goes on */
    size_t window_blocks;
    size_t window_bytes;
    struct account *account; /* of tables; may be NULL */
    struct account *shared;  /* of bytes read ahead, for several readers; may be NULL, see dag_window_init */
};

/* ERR_INVALID for the name; ERR_NOMEM. */
enum err tree_exporter_new(const struct cid *root, const struct tree_exporter_options *options,
                           struct tree_exporter **ret_exporter) MUST_CHECK;
void tree_exporter_free(struct tree_exporter *exporter);

/* The next block to fetch. ERR_AGAIN: none at the moment. */
enum err tree_exporter_next_want(struct tree_exporter *exporter, struct cid *ret_cid) MUST_CHECK;

/*
 * Gives a verified block; references are taken as needed. ERR_OK, also for a block that nobody waits for. ERR_INVALID
 * (a name), ERR_CORRUPT, ERR_MISMATCH, ERR_TOO_LARGE, ERR_UNSUPPORTED, ERR_NOMEM end the export.
 */
enum err tree_exporter_put(struct tree_exporter *exporter, const struct cid *cid, struct block_ref *block) MUST_CHECK;

/*
 * Appends up to length_bytes of the stream to out, fewer only at its end. ERR_OK: all there, or the end was reached;
 * ERR_AGAIN: some are still missing, call again later with what is left; else as tree_exporter_put.
 */
enum err tree_exporter_read(struct tree_exporter *exporter, struct buf *out, size_t length_bytes) MUST_CHECK;

/*
 * Hands over the exporter of a tree that is one file, when its bytes before offset and none behind were handed out, in their records: whoever
 * needs no more records goes on with it, and with what is asked for already. First come *ret_bytes, a part of *ret_block whose reference is
 * handed over too; both may be empty. The tree is only to be freed then. False: it is not so, and nothing changed.
 */
bool tree_exporter_take_file(struct tree_exporter *exporter, uint64_t offset, struct exporter **ret_file,
                             struct block_ref **ret_block, struct span *ret_bytes) MUST_CHECK;

/* Offset in the stream of the byte that comes next. */
uint64_t tree_exporter_position(const struct tree_exporter *exporter);

/* The block cannot be had for the moment: it comes out of tree_exporter_next_want again. */
void tree_exporter_retry(struct tree_exporter *exporter, const struct cid *cid);

bool tree_exporter_waits_for(const struct tree_exporter *exporter, const struct cid *cid);

/* A static sentence about the error, "" when there is none. */
const char *tree_exporter_why(const struct tree_exporter *exporter);

#endif
