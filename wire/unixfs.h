/* SPDX-License-Identifier: MIT */
/*
 * UnixFS: what the data of a dag-pb node says about files, folders and symlinks.
 *
 *      1 Type | 2 Data | 3 filesize | 4 blocksizes, repeated, unpacked | 5 hashType | 6 fanout | 7 mode
 *      8 mtime {1 seconds, 2 nanos as fixed32}
 *
 * The encoder writes the fields in this order, as the reference does: that makes CIDs equal. The decoder is lax where
 * protobuf is lax (any order, last one wins, packed blocksizes, unknown fields skipped) and strict where numbers can
 * lie: the sum of blocksizes may not overflow, and a filesize that is present must equal what the node holds. Nothing
 * is allocated; spans borrow the input. Spec: ipfs/specs unixfs.
 */
#ifndef HEARTH_WIRE_UNIXFS_H
#define HEARTH_WIRE_UNIXFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum unixfs_type { UNIXFS_RAW, UNIXFS_DIRECTORY, UNIXFS_FILE, UNIXFS_METADATA, UNIXFS_SYMLINK, UNIXFS_HAMT_SHARD };

enum { UNIXFS_MODE_MASK = 07777 };

struct unixfs_node {
    enum unixfs_type type;
    bool has_data;
    bool has_filesize;
    bool has_mode;
    bool has_mtime;
    struct span data;
    uint64_t filesize;
    uint64_t hash_type; /* with fanout: only of HAMT shards */
    uint64_t fanout;
    uint32_t mode;
    int64_t mtime_seconds;
    uint32_t mtime_nanos;
    size_t blocksize_count;
    uint64_t blocksize_sum;
    struct span blocksizes; /* for unixfs_next_blocksize: the whole message; encoder: the encoded fields 4 */
};

/* Where an iteration over blocksizes stands; starts as {.rest = node.blocksizes}. */
struct unixfs_blocksizes {
    struct span rest;
    struct span packed;
};

/*
 * Reads the data of a dag-pb node. ERR_TRUNCATED; ERR_INVALID: no type, an unknown one, a malformed field, nanos >=
 * 10^9; ERR_TOO_LARGE: blocksizes and data overflow 63 bits; ERR_MISMATCH: the filesize of a file is not data +
 * blocksizes.
 */
enum err unixfs_decode(struct span data, struct unixfs_node *ret_node) MUST_CHECK;

/* Bytes of file content at and below the node: data and blocksizes. */
uint64_t unixfs_content_size(const struct unixfs_node *node);

/* Takes the next blocksize of a decoded node; false at the end. */
bool unixfs_next_blocksize(struct unixfs_blocksizes *iter, uint64_t *ret_size);

/*
 * Bytes of the encoded node, and the encoding; unixfs_put returns the byte after the last one. has_data decides on
 * field 2.
 */
size_t unixfs_size(const struct unixfs_node *node);
uint8_t *unixfs_put(uint8_t *to, const struct unixfs_node *node);

/*
 * A file leaf around content that is already in place: head, then data_len bytes, then tail. Each returns the byte
 * after what it wrote; together they take unixfs_size of a file node with that data and filesize.
 */
enum { UNIXFS_LEAF_HEAD_MAX = 2 + 1 + 10, UNIXFS_LEAF_TAIL_MAX = 1 + 10 };
uint8_t *unixfs_put_leaf_head(uint8_t *to, size_t data_len);
uint8_t *unixfs_put_leaf_tail(uint8_t *to, size_t data_len);

/* Appends one encoded blocksize (field 4) to what becomes node.blocksizes of the encoder. Errors as buf_append. */
enum err unixfs_append_blocksize(struct buf *out, uint64_t size) MUST_CHECK;

#endif
