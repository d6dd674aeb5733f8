/* SPDX-License-Identifier: MIT */
#include "storage/import_leaf.h"

#include <assert.h>

#include "wire/dag_pb.h"
#include "wire/unixfs.h"

enum { LEAF_FRAME_MAX = 32 };

/* Writes what stands before the content of a dag-pb leaf; returns how long that is. */
static size_t put_leaf_frame(uint8_t *to, size_t chunk_len)
{
    uint8_t parts[UNIXFS_LEAF_HEAD_MAX + UNIXFS_LEAF_TAIL_MAX];
    uint8_t *end = unixfs_put_leaf_tail(unixfs_put_leaf_head(parts, chunk_len), chunk_len);
    uint8_t *at = dag_pb_put_data_frame(to, (size_t)(end - parts) + chunk_len);
    return (size_t)(unixfs_put_leaf_head(at, chunk_len) - to);
}

size_t import_leaf_size(const struct import_options *o, size_t *ret_frame)
{
    *ret_frame = 0;
    if (o->raw_leaves)
        return o->chunk_bytes;
    uint8_t room[LEAF_FRAME_MAX];
    *ret_frame = put_leaf_frame(room, o->chunk_bytes);
    size_t tail = (size_t)(unixfs_put_leaf_tail(room, o->chunk_bytes) - room);
    return *ret_frame + o->chunk_bytes + tail;
}

enum err import_leaf_new(const struct import_options *options, size_t len, struct import_leaf *ret_leaf)
{
    assert(len > 0 && len <= options->chunk_bytes);
    size_t frame;
    struct block_ref *block = block_ref_new(import_leaf_size(options, &frame), NULL);
    if (block == NULL)
        return ERR_NOMEM;
    *ret_leaf = (struct import_leaf){.block = block, .len = len};
    return ERR_OK;
}

uint8_t *import_leaf_content(const struct import_options *options, const struct import_leaf *leaf)
{
    size_t frame;
    (void)import_leaf_size(options, &frame);
    return leaf->block->data + frame;
}

enum codec import_leaf_frame(const struct import_options *options, struct block_ref *block)
{
    if (options->raw_leaves)
        return CODEC_RAW;
    size_t frame = put_leaf_frame(block->data, options->chunk_bytes);
    (void)unixfs_put_leaf_tail(block->data + frame + options->chunk_bytes, options->chunk_bytes);
    return CODEC_DAG_PB;
}

enum err import_leaf_name(const struct import_options *options, struct import_leaf *leaf)
{
    if (leaf->len < options->chunk_bytes)
        return ERR_OK;
    enum codec codec = import_leaf_frame(options, leaf->block);
    return import_name(options, codec, block_ref_span(leaf->block), &leaf->cid);
}

void import_leaf_release(struct import_leaf *leaf)
{
    block_ref_unref(leaf->block);
    leaf->block = NULL;
}
