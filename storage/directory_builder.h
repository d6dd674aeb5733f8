/* SPDX-License-Identifier: MIT */
/*
 * From named nodes to one folder: a single block while it is small, a HAMT when it is larger than the profile's
 * threshold.
 *
 * Whether a folder is sharded is known only when it has grown over the threshold or at its end; until then its entries
 * are kept compactly (about 70 bytes and the name each, charged to the account). A basic folder's links are sorted by
 * name bytes, a HAMT is built from the entries sorted by hash (storage/hamt_builder.h).
 *
 * Entries may come in any order, then all of them are kept, up to a bound. A folder whose meta says by_hash gets them in the order of
 * hamt_hash: as soon as it must be sharded they go straight into shards, and memory does not grow with the folder.
 *
 * A name added twice replaces, as in the reference. No I/O; one thread at a time. Spec: ipfs/specs unixfs, IPIP-499.
 */
#ifndef HEARTH_STORAGE_DIRECTORY_BUILDER_H
#define HEARTH_STORAGE_DIRECTORY_BUILDER_H

#include "base/attr.h"
#include "base/err.h"
#include "storage/importer.h"

enum {
    DIRECTORY_KEPT_BYTES_MAX = 4 * 1024 * 1024, /* of names and CIDs that wait for the end: some 50,000 entries */
    DIRECTORY_BLOCK_MAX = 2 * 1024 * 1024
};

struct directory_builder;

/* Options must have passed import_options_check; both are copied, meta (may be NULL), too. ERR_NOMEM. */
enum err directory_builder_new(const struct import_options *options, const struct import_sink *sink,
                               const struct tree_meta *meta, struct directory_builder **ret_builder) MUST_CHECK;
void directory_builder_free(struct directory_builder *builder);

/*
 * ERR_INVALID unless tree_name_ok(name), and with by_hash when its hash is lower than the one before;
 * ERR_TOO_LARGE: more than DIRECTORY_KEPT_BYTES_MAX would have to be kept; ERR_NOMEM; with by_hash also the errors of hamt_builder_add. After an error only directory_builder_free is allowed.
 */
enum err directory_builder_add(struct directory_builder *builder, struct span name,
                               const struct import_node *node) MUST_CHECK;

/*
 * Emits the folder's blocks, the root last. Once per builder. ERR_TOO_LARGE: a basic folder over DIRECTORY_BLOCK_MAX,
 * or names whose hashes are equal in all levels.
 */
enum err directory_builder_finish(struct directory_builder *builder, struct import_node *ret_root) MUST_CHECK;

#endif
