/* SPDX-License-Identifier: MIT */
/*
 * What the root block of a file, folder or symlink says of the whole: kind, size, mode and time.
 *
 * raw blocks are files; dag-pb blocks are what their UnixFS data says. A dag-pb node without data counts as a folder:
 * old versions of the reference wrote such ones. Spec: ipfs/specs unixfs.
 */
#ifndef HEARTH_STORAGE_NODE_INFO_H
#define HEARTH_STORAGE_NODE_INFO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/cid.h"
#include "wire/dag_pb.h"
#include "wire/unixfs.h"

enum node_kind { NODE_FILE, NODE_DIRECTORY, NODE_HAMT, NODE_SYMLINK };

/* The spans borrow the block. */
struct node_info {
    enum node_kind kind;
    uint64_t size; /* bytes of the file or of the symlink's target; 0 for folders */
    bool is_raw;   /* the content is the block itself */
    struct dag_pb_node node;
    struct unixfs_node unixfs;
};

/*
 * Reads a verified block. ERR_UNSUPPORTED: another codec than raw and dag-pb, or UnixFS metadata; ERR_CORRUPT:
 * malformed, or a file whose links and blocksizes differ in number. *ret_why (may be NULL) is set to a static sentence
 * on failure.
 */
enum err node_info_of(const struct cid *cid, struct span block, struct node_info *ret_info,
                      const char **ret_why) MUST_CHECK;

#endif
