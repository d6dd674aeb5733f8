/* SPDX-License-Identifier: MIT */
/*
 * One upload through the control socket (`add open|write|close`): importer, lease, and a bounded window of blocks that
 * the store has not acknowledged yet. An engine: the control actor drives it and it knows neither clock nor messages.
 *
 *      add open                          -> upload_new
 *      add write {offset, data}          -> upload_write: takes what fits, answers how far it came
 *      add file {offset, file, from}     -> upload_leaf: chunks of a local file, read and hashed by jobs (file_source.h)
 *      upload_next_put                   -> one "put this block" to the store, until ERR_AGAIN
 *      the store's answers               -> upload_ack
 *      upload_next_added                 -> one line of `added <cid> <name>`, until ERR_AGAIN
 *      add close {size}                  -> upload_close; then upload_result once every put was acknowledged
 *
 * The stream is one file's bytes, a tree (wire/tree_stream.h) or a CAR (storage/car_importer.h). Idempotent by offset: bytes below the next
 * expected offset are skipped, a gap is an error, so a client may send a piece again when an answer was lost. An upload
 * that fails stays failed and says why. Blocks leave each before its parents; nothing is called acknowledged before the
 * store said so.
 */
#ifndef HEARTH_ACTORS_CONTROL_UPLOAD_H
#define HEARTH_ACTORS_CONTROL_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/buf.h"
#include "base/err.h"
#include "storage/car_importer.h"
#include "storage/import_leaf.h"

struct upload;

enum {
    UPLOAD_WINDOW_BLOCKS = 512,
    UPLOAD_WINDOW_BYTES =
        8 * 1024 * 1024, /* unacknowledged: half is synced while the other half comes; passed by less than two blocks */
    UPLOAD_ADDED_BYTES = 256 * 1024 /* names not yet collected by upload_next_added */
};
#define UPLOAD_LEASE_NS (UINT64_C(60) * SECOND_NS)

enum upload_format { UPLOAD_FILE, UPLOAD_TREE, UPLOAD_CAR };

struct upload_options {
    struct import_options import; /* of UPLOAD_CAR: account and chunk_bytes, the step in which bytes are taken */
    enum upload_format format;
    bool wrap;              /* a folder around the file, or around the tree's outermost entries, is the root */
    bool quiet;             /* no added lines are kept */
    struct account *shared; /* bounds the windows of several uploads together: bytes not acknowledged; may be NULL */
    struct span name;       /* UPLOAD_FILE: for the added line and for wrap; copied */
};

/* One finished file, folder or symlink. The spans live until the next call on the upload. */
struct upload_added {
    struct span path; /* below the upload's root, components joined by '/'; the root folder itself: empty */
    struct cid cid;
    uint64_t bytes; /* file content so far: the entry's own for a file, 0 for folders */
    bool is_directory;
};

struct upload_totals {
    uint64_t bytes_received; /* of the stream */
    uint64_t blocks;         /* emitted, repeated ones counted again */
    uint64_t block_bytes;
    uint64_t files;
};

/* now: monotonic nanoseconds. ERR_INVALID (options: see import_options_check), ERR_NOMEM. */
enum err upload_new(const struct upload_options *options, uint64_t now, struct upload **ret_upload) MUST_CHECK;

/* Drops all; puts in flight at the store end by themselves. NULL is ignored. */
void upload_free(struct upload *upload);

/*
 * Takes stream bytes that begin at offset and renews the lease. *ret_offset (always written, on error too) is the next
 * byte expected: less than offset + data.len when the window or the list of added lines is full, then the caller
 * answers the client after the next acks, or answers at once and the client sends the rest again. ERR_OK, even when
 * nothing fitted; ERR_INVALID: offset lies beyond what is expected, or the stream is malformed; ERR_CLOSED after
 * upload_close; else the error that ended the upload.
 */
enum err upload_write(struct upload *upload, uint64_t now, uint64_t offset, struct span data,
                      uint64_t *ret_offset) MUST_CHECK;

/*
 * Whether leaves that were made elsewhere (storage/import_leaf.h, with upload_import's options) may stand for the next bytes of the stream:
 * in a file, between two chunks. In a tree they are the open file's content, without records.
 */
bool upload_takes_leaves(const struct upload *upload);
const struct import_options *upload_import(const struct upload *upload);

enum upload_format upload_format(const struct upload *upload);

/*
 * Takes a leaf in place of leaf->len bytes of the stream and renews the lease; its block is the upload's then, on an error too. It is not
 * refused for a full window: whoever makes leaves begins one only while upload_writable. Errors as upload_write; ERR_INVALID unless
 * upload_takes_leaves.
 */
enum err upload_leaf(struct upload *upload, uint64_t now, struct import_leaf *leaf) MUST_CHECK;

/* True when a write would take bytes: the window has room and the upload neither failed nor closed. */
bool upload_writable(const struct upload *upload);

/* True when none of its blocks is on its way. */
bool upload_idle(const struct upload *upload);

/*
 * Ends the stream, whose length must be size (ERR_INVALID otherwise; UINT64_MAX: whatever was received). Idempotent.
 * The last blocks are emitted; the result comes when all are acknowledged.
 */
enum err upload_close(struct upload *upload, uint64_t now, uint64_t size) MUST_CHECK;

/*
 * The next block for the store, with one reference for the caller; ret_ticket names it in upload_ack. ERR_AGAIN: none
 * at the moment.
 */
enum err upload_next_put(struct upload *upload, uint64_t *ret_ticket, struct cid *ret_cid,
                         struct block_ref **ret_block) MUST_CHECK;

/*
 * The store kept it (ERR_OK) or not (the upload fails with that error). Unknown tickets are ignored: a late answer is
 * no error.
 */
void upload_ack(struct upload *upload, uint64_t ticket, enum err err);

/* The next added line. ERR_AGAIN: none. */
enum err upload_next_added(struct upload *upload, struct upload_added *ret_added) MUST_CHECK;

/*
 * ERR_OK: closed and everything acknowledged, the root is written (of a CAR there is none); ERR_AGAIN: not yet; else the error that ended the
 * upload.
 */
enum err upload_result(const struct upload *upload, struct import_node *ret_root) MUST_CHECK;

/* UPLOAD_CAR: the roots and the totals, NULL else. */
const struct car_importer *upload_car(const struct upload *upload);

/* The error that ended the upload; ERR_OK while there is none. */
enum err upload_failure(const struct upload *upload);

/* A sentence about the failure, for the user; "" when there is none. Lives as long as the upload. */
const char *upload_why(const struct upload *upload);

struct upload_totals upload_totals(const struct upload *upload);

/* When the lease ends, in the clock of `now`; the control actor frees the upload then. upload_touch renews it. */
uint64_t upload_deadline(const struct upload *upload);
void upload_touch(struct upload *upload, uint64_t now);

#endif
