/* SPDX-License-Identifier: MIT */
#include "storage/node_info.h"

static enum err refuse(enum err err, const char *why, const char **ret_why)
{
    if (ret_why != NULL)
        *ret_why = why;
    return err;
}

static enum err classify(struct node_info *info, const char **ret_why)
{
    switch (info->unixfs.type) {
    case UNIXFS_RAW:
    case UNIXFS_FILE:
        info->kind = NODE_FILE;
        info->size = unixfs_content_size(&info->unixfs);
        if (info->node.link_count != info->unixfs.blocksize_count)
            return refuse(ERR_CORRUPT, "a file block has other links than sizes", ret_why);
        return ERR_OK;
    case UNIXFS_DIRECTORY:
        info->kind = NODE_DIRECTORY;
        return ERR_OK;
    case UNIXFS_HAMT_SHARD:
        info->kind = NODE_HAMT;
        return ERR_OK;
    case UNIXFS_SYMLINK:
        info->kind = NODE_SYMLINK;
        info->size = info->unixfs.data.len;
        return ERR_OK;
    case UNIXFS_METADATA:
        break;
    }
    return refuse(ERR_UNSUPPORTED, "UnixFS metadata nodes are not supported", ret_why);
}

enum err node_info_of(const struct cid *cid, struct span block, struct node_info *ret_info, const char **ret_why)
{
    struct node_info info = {0};
    if (cid->codec == CODEC_RAW) {
        info.kind = NODE_FILE;
        info.is_raw = true;
        info.size = block.len;
        *ret_info = info;
        return ERR_OK;
    }
    if (cid->codec != CODEC_DAG_PB)
        return refuse(ERR_UNSUPPORTED, "only raw and dag-pb blocks are files and folders", ret_why);
    if (dag_pb_decode(block, &info.node) != ERR_OK)
        return refuse(ERR_CORRUPT, "a block is not valid dag-pb", ret_why);
    if (info.node.data.len == 0)
        info.unixfs.type = UNIXFS_DIRECTORY;
    else if (unixfs_decode(info.node.data, &info.unixfs) != ERR_OK)
        return refuse(ERR_CORRUPT, "a block is not valid UnixFS", ret_why);
    enum err err = classify(&info, ret_why);
    if (err == ERR_OK)
        *ret_info = info;
    return err;
}
