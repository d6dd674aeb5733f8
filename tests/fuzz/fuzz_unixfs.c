/* SPDX-License-Identifier: MIT */
/* A block as dag-pb, UnixFS and HAMT shard: links and sizes that were counted can be iterated, and encode back. */
#include <stdlib.h>

#include "storage/node_info.h"
#include "wire/hamt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_shard(const struct node_info *info)
{
    struct hamt_shard shard;
    if (hamt_shard_decode(&info->node, &info->unixfs, &shard) != ERR_OK)
        return;
    size_t found = 0;
    for (uint32_t bucket = 0; bucket < shard.params.fanout; bucket++) {
        struct dag_pb_link link;
        enum err err = hamt_shard_find(&shard, bucket, &link);
        found += err != ERR_NOT_FOUND;
        if (err == ERR_OK && link.name.len < shard.params.prefix_len)
            abort();
    }
    if (found != shard.link_count)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cid cid = {.version = 1, .codec = CODEC_DAG_PB};
    struct node_info info;
    struct span block = span_of(data, size);
    if (node_info_of(&cid, block, &info, NULL) != ERR_OK)
        return 0;
    size_t links = 0;
    size_t bytes = info.node.has_data ? dag_pb_data_size(info.node.data.len) : 0;
    struct span rest = info.node.links;
    struct dag_pb_link link;
    for (; dag_pb_next_link(&rest, &link); links++)
        bytes += dag_pb_link_size(&link);
    if (links != info.node.link_count || bytes != size)
        abort();
    struct unixfs_blocksizes sizes = {.rest = info.unixfs.blocksizes};
    uint64_t one;
    uint64_t sum = 0;
    size_t count = 0;
    for (; unixfs_next_blocksize(&sizes, &one); count++)
        sum += one;
    if (count != info.unixfs.blocksize_count || sum != info.unixfs.blocksize_sum)
        abort();
    if (info.kind == NODE_HAMT)
        check_shard(&info);
    return 0;
}
