/* SPDX-License-Identifier: MIT */
/*
 * From named nodes to one folder: a single block while it is small, a HAMT when it is larger than the profile's
 * threshold.
 *
 * Entries come in any order and are kept compactly (about 70 bytes and the name each, charged to the account); nothing
 * is emitted before the end, since whether a folder is sharded is known only then. A basic folder's links are sorted by
 * name bytes. For a HAMT the entries are sorted by hash instead: hash bits are taken from the high end, so that order
 * is the order of a depth-first walk and each shard is a run of it. The reference's insertion into a mutable trie gives
 * the same shards and needs the trie.
 *
 * A name added twice replaces, as in the reference. No I/O; one thread at a time. Spec: ipfs/specs unixfs, IPIP-499.
 */
#ifndef HEARTH_STORAGE_DIRECTORY_BUILDER_H
#define HEARTH_STORAGE_DIRECTORY_BUILDER_H

#include "base/attr.h"
#include "base/err.h"
#include "storage/importer.h"

enum { DIRECTORY_RECORDS_MAX = 1024 * 1024 * 1024, DIRECTORY_BLOCK_MAX = 2 * 1024 * 1024 };

struct directory_builder;

/* Options must have passed import_options_check; both are copied. ERR_NOMEM. */
enum err directory_builder_new(const struct import_options *options, const struct import_sink *sink,
                               struct directory_builder **ret_builder) MUST_CHECK;
void directory_builder_free(struct directory_builder *builder);

/* ERR_INVALID unless tree_name_ok(name); ERR_NOMEM, ERR_TOO_LARGE. */
enum err directory_builder_add(struct directory_builder *builder, struct span name,
                               const struct import_node *node) MUST_CHECK;

size_t directory_builder_count(const struct directory_builder *builder);

/*
 * Emits the folder's blocks, the root last; meta may be NULL. Once per builder. ERR_TOO_LARGE: a basic folder over
 * DIRECTORY_BLOCK_MAX, or names whose hashes are equal in all levels.
 */
enum err directory_builder_finish(struct directory_builder *builder, const struct tree_meta *meta,
                                  struct import_node *ret_root) MUST_CHECK;

#endif
