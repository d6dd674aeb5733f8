/* SPDX-License-Identifier: MIT */
/*
 * A leaf of a file: one chunk in the block that will leave. A raw leaf is the chunk; a dag-pb leaf has a frame around it.
 *
 *      [frame: Data tag, UnixFS type, length][content: chunk_bytes][tail: filesize]
 *
 * A builder fills its leaves from what it is given. A leaf may also be made apart from it: its bytes come from wherever they lie straight
 * into the block, and are hashed there, on any thread; file_builder_add_leaf takes it. A file is a row of whole leaves and a last one that
 * may be shorter. No I/O; a leaf belongs to one thread at a time.
 */
#ifndef HEARTH_STORAGE_IMPORT_LEAF_H
#define HEARTH_STORAGE_IMPORT_LEAF_H

#include "storage/importer.h"

struct import_leaf {
    struct block_ref *block; /* owned; its room is that of a whole leaf */
    size_t len;              /* of the content */
    struct cid cid;          /* of a whole one */
};

/* The size of the block of a whole leaf, and where its content begins. */
size_t import_leaf_size(const struct import_options *options, size_t *ret_frame);

/* Writes the frame of a whole leaf around its content; returns its codec. */
enum codec import_leaf_frame(const struct import_options *options, struct block_ref *block);

/* Room for len bytes, 1 to options->chunk_bytes; charged to nobody. ERR_NOMEM. */
enum err import_leaf_new(const struct import_options *options, size_t len, struct import_leaf *ret_leaf) MUST_CHECK;
void import_leaf_release(struct import_leaf *leaf);

/* Where its content goes. */
uint8_t *import_leaf_content(const struct import_options *options, const struct import_leaf *leaf);

/* After its content was written: hashes and names a whole leaf. A shorter one is named by the builder, which copies it. */
enum err import_leaf_name(const struct import_options *options, struct import_leaf *leaf) MUST_CHECK;

#endif
