/* SPDX-License-Identifier: MIT */
/*
 * From bytes to UnixFS blocks: the options of an import and the builder of one file.
 *
 *      bytes in any pieces -> chunk (assembled once, in its leaf's buffer) -> leaf block
 *                                                   |
 *      level 0   [link link link ... max_links]  --full--> node block -> a link of level 1
 *      level 1   [link link ...]                 --full--> node block -> a link of level 2
 *
 * Balanced layout: a level is written when a further child arrives for it, so all leaves have one depth and the last
 * node written is the root. Each level holds encoded links, ready to be copied into the node: memory is one chunk plus
 * depth x max_links x about 60 bytes.
 *
 * No I/O and no clock: blocks leave through the sink, in the order children before parents. One thread at a time.
 * Specs: ipfs/specs unixfs, IPIP-499 for the profiles.
 */
#ifndef HEARTH_STORAGE_IMPORTER_H
#define HEARTH_STORAGE_IMPORTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/cid.h"
#include "wire/tree_stream.h"
#include "wire/unixfs.h"

enum import_profile { IMPORT_UNIXFS_V1_2025, IMPORT_UNIXFS_V0_2015 };

/* How a folder's size is reckoned when it is decided whether to shard it. */
enum hamt_threshold { HAMT_BY_BLOCK_BYTES, HAMT_BY_LINK_BYTES, HAMT_NEVER };

enum {
    IMPORT_CHUNK_MAX = 2 * 1024 * 1024 - 256, /* a block with its frame stays under 2 MiB */
    IMPORT_LINKS_MIN = 2,
    IMPORT_LINKS_MAX = 8192,
    IMPORT_LEVELS_MAX = 64,
    IMPORT_INLINE_MAX = MULTIHASH_DIGEST_MAX, /* bytes that an identity CID may carry */
    IMPORT_HAMT_THRESHOLD_BYTES = 262144      /* sharded when strictly greater */
};

struct import_options {
    uint8_t cid_version; /* 0 or 1; 0 needs sha2-256 and no raw leaves at a root */
    bool raw_leaves;
    uint32_t chunk_bytes;
    uint32_t max_links;
    uint32_t hamt_fanout;
    enum hamt_threshold hamt_threshold;
    uint32_t hamt_threshold_bytes;
    uint32_t directory_links; /* a folder with more entries is sharded, too; 0: only its size decides */
    bool inlined;             /* blocks of at most inline_bytes travel inside their CIDs and reach no sink */
    uint32_t inline_bytes;
    uint32_t hash_code;      /* multihash code */
    struct account *account; /* charged for tables; may be NULL */
    struct account *blocks;  /* charged for blocks; may be NULL */
};

/* The options of a profile. */
struct import_options import_options_of(enum import_profile profile);

/* ERR_INVALID with a sentence in *ret_why (static; may be NULL) when the options do not go together. */
enum err import_options_check(const struct import_options *options, const char **ret_why) MUST_CHECK;

/*
 * Where blocks go. block is borrowed: block_ref_ref it to keep it. An error ends the build and is returned to the
 * feeder.
 */
struct import_sink {
    enum err (*emit)(void *arg, const struct cid *cid, struct block_ref *block);
    void *arg;
};

/* A finished node, as its parent sees it. */
struct import_node {
    struct cid cid;
    uint64_t tsize;      /* its block and all below, as counted once per link */
    uint64_t file_bytes; /* content of a file, length of a symlink's target; 0 for folders */
};

/* The CID of a block: hashes it, unless it travels inside its CID. Pure. codec: a multicodec. */
enum err import_name(const struct import_options *options, uint64_t codec, struct span block,
                     struct cid *ret_cid) MUST_CHECK;

/* Hands a block that was named to the sink, unless its CID carries it. */
enum err import_emit_named(const struct import_sink *sink, const struct cid *cid, struct block_ref *block) MUST_CHECK;

/* Hashes the block, names it and hands it to the sink, unless its CID carries it. codec: a multicodec. */
enum err import_emit(const struct import_options *options, const struct import_sink *sink, uint64_t codec,
                     struct block_ref *block, struct cid *ret_cid) MUST_CHECK;

/* For builders of nodes: sets mode and mtime from meta, which may be NULL. */
void import_apply_meta(struct unixfs_node *fields, const struct tree_meta *meta);

/*
 * For builders of nodes: emits the dag-pb node of encoded links and UnixFS fields. Writes cid and tsize, the latter for
 * the block alone, and leaves file_bytes.
 */
enum err import_emit_node(const struct import_options *options, const struct import_sink *sink, struct span links,
                          const struct unixfs_node *fields, struct import_node *ret_node) MUST_CHECK;

struct import_leaf; /* storage/import_leaf.h */
struct file_builder;

/* Options must have passed import_options_check; both are copied. ERR_NOMEM. */
enum err file_builder_new(const struct import_options *options, const struct import_sink *sink,
                          struct file_builder **ret_builder) MUST_CHECK;
void file_builder_free(struct file_builder *builder);

/* Takes all of the bytes. After an error only file_builder_free is allowed. */
enum err file_builder_write(struct file_builder *builder, struct span bytes) MUST_CHECK;

/* True between two chunks, where a leaf may come. */
bool file_builder_between_chunks(const struct file_builder *builder);

/*
 * Takes a leaf of the same options as the next bytes; its block is the builder's then and leaf->block NULL, on an error too. ERR_INVALID
 * in the middle of a chunk. After an error only file_builder_free is allowed.
 */
enum err file_builder_add_leaf(struct file_builder *builder, struct import_leaf *leaf) MUST_CHECK;

/*
 * Writes what is open; the root is the last block emitted. meta (may be NULL) goes to the root, and is dropped when
 * that is a raw leaf, as the reference does. The builder may be used for a next file afterwards.
 */
enum err file_builder_finish(struct file_builder *builder, const struct tree_meta *meta,
                             struct import_node *ret_root) MUST_CHECK;

/* A symlink: one dag-pb block. */
enum err import_symlink(const struct import_options *options, const struct import_sink *sink, struct span target,
                        const struct tree_meta *meta, struct import_node *ret_node) MUST_CHECK;

#endif
