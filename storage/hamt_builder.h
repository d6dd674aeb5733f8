/* SPDX-License-Identifier: MIT */
/*
 * The shards of a sharded folder from its entries in the order of their hashes, without the trie in memory.
 *
 *      entries by hash:   00.6e…  00.6e…  00.9b…  01.20…  07.…       (hash bits are taken from the high end)
 *      open shards:       root > 00 > 6e                              one per level of the entry that came last
 *
 * Entries of one shard are neighbours, so a shard is complete as soon as an entry comes that does not belong to it: it
 * is emitted and linked from the shard around it. An entry stands at the first level where neither neighbour shares its
 * bucket; so one entry waits for the next. Memory: one entry and one shard per level, charged to the options' account,
 * however large the folder. The reference inserts into a mutable trie, which gives the same shards. No I/O; one thread
 * at a time. Spec: ipfs/specs unixfs, HAMT.
 */
#ifndef HEARTH_STORAGE_HAMT_BUILDER_H
#define HEARTH_STORAGE_HAMT_BUILDER_H

#include "base/attr.h"
#include "base/err.h"
#include "storage/importer.h"
#include "wire/dag_pb.h"

struct hamt_builder;

/* Options must have passed import_options_check; both are copied, meta (of the root; may be NULL), too. ERR_NOMEM. */
enum err hamt_builder_new(const struct import_options *options, const struct import_sink *sink,
                          const struct tree_meta *meta, struct hamt_builder **ret_builder) MUST_CHECK;
void hamt_builder_free(struct hamt_builder *builder);

/*
 * The next entry, named by its plain name; its hash is hamt_hash(link->name). One with the name of the entry before
 * replaces it. ERR_INVALID: its hash is lower than the one before; ERR_TOO_LARGE: two names have one hash, so no level
 * parts them; ERR_NOMEM, or an error of the sink.
 */
enum err hamt_builder_add(struct hamt_builder *builder, uint64_t hash, const struct dag_pb_link *link) MUST_CHECK;

/* Emits what is open, the root last. Once per builder. */
enum err hamt_builder_finish(struct hamt_builder *builder, struct import_node *ret_root) MUST_CHECK;

#endif
