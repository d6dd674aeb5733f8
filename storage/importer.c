/* SPDX-License-Identifier: MIT */
#include "storage/importer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "storage/import_leaf.h"
#include "wire/chunker.h"
#include "wire/dag_pb.h"
#include "wire/hamt.h"
#include "wire/unixfs.h"

/* A level's links take about 60 bytes each; CIDs with long digests more. */
enum { LINK_BYTES_MAX = 32 + CID_BYTES_MAX };

/* A node that is being filled: its links and blocksizes, encoded already. */
struct level {
    struct buf links;
    struct buf sizes;
    uint32_t count;
    uint64_t file_bytes;
    uint64_t tsize;
};

struct file_builder {
    struct import_options options;
    struct import_sink sink;
    struct chunker chunker;
    struct block_ref *chunk; /* room for one whole leaf; reused for small files */
    size_t frame;            /* where a whole chunk's bytes begin in its leaf */
    size_t leaf_bytes;       /* of the block of a whole chunk */
    size_t chunk_len;        /* bytes of the open chunk; a full one waits until it is known that more follows */
    bool named;              /* the open chunk is a whole leaf, framed and hashed: chunk_cid */
    struct cid chunk_cid;
    uint32_t level_count;
    struct level levels[IMPORT_LEVELS_MAX];
};

struct import_options import_options_of(enum import_profile profile)
{
    struct import_options options = {
        .cid_version = 1,
        .raw_leaves = true,
        .chunk_bytes = 1024 * 1024,
        .max_links = 1024,
        .hamt_fanout = HAMT_FANOUT_DEFAULT,
        .hamt_threshold = HAMT_BY_BLOCK_BYTES,
        .hamt_threshold_bytes = IMPORT_HAMT_THRESHOLD_BYTES,
        .hash_code = MULTIHASH_SHA2_256,
    };
    if (profile == IMPORT_UNIXFS_V0_2015) {
        options.cid_version = 0;
        options.raw_leaves = false;
        options.chunk_bytes = 256 * 1024;
        options.max_links = 174;
        options.hamt_threshold = HAMT_BY_LINK_BYTES;
    }
    return options;
}

static const char *options_fault(const struct import_options *o)
{
    struct hamt_params params;
    if (o->cid_version > 1)
        return "the CID version is 0 or 1";
    if (o->cid_version == 0 && o->hash_code != MULTIHASH_SHA2_256)
        return "CID version 0 allows sha2-256 only: use CID version 1";
    if (multihash_digest_size(o->hash_code) < MULTIHASH_DIGEST_MIN)
        return "blocks cannot be named by this hash function";
    if (o->chunk_bytes == 0 || o->chunk_bytes > IMPORT_CHUNK_MAX)
        return "a chunk has 1 to 2096896 bytes";
    if (o->max_links < IMPORT_LINKS_MIN || o->max_links > IMPORT_LINKS_MAX)
        return "a file node has 2 to 8192 links";
    if (hamt_params_of(o->hamt_fanout, &params) != ERR_OK)
        return "the fanout of sharded folders is a power of two from 8 to 1024";
    if (o->hamt_threshold_bytes > 1024 * 1024)
        return "folders are sharded at 1 MiB at the latest";
    if (o->inlined && o->inline_bytes > IMPORT_INLINE_MAX)
        return "a CID carries 128 bytes at most: choose a smaller --inline-limit";
    return NULL;
}

enum err import_options_check(const struct import_options *options, const char **ret_why)
{
    const char *why = options_fault(options);
    if (why == NULL)
        return ERR_OK;
    if (ret_why != NULL)
        *ret_why = why;
    return ERR_INVALID;
}

enum err import_name(const struct import_options *options, uint64_t codec, struct span block, struct cid *ret_cid)
{
    struct multihash hash;
    bool inlined = options->inlined && block.len <= options->inline_bytes;
    enum err err = multihash_sum(inlined ? MULTIHASH_IDENTITY : options->hash_code, 0, block, &hash);
    if (err != ERR_OK)
        return err;
    if (options->cid_version == 0 && codec == CODEC_DAG_PB && !inlined)
        return cid_v0(&hash, ret_cid);
    *ret_cid = cid_v1((uint32_t)codec, &hash);
    return ERR_OK;
}

enum err import_emit_named(const struct import_sink *sink, const struct cid *cid, struct block_ref *block)
{
    return cid->hash.code == MULTIHASH_IDENTITY ? ERR_OK : sink->emit(sink->arg, cid, block);
}

enum err import_emit(const struct import_options *options, const struct import_sink *sink, uint64_t codec,
                     struct block_ref *block, struct cid *ret_cid)
{
    struct cid cid;
    enum err err = import_name(options, codec, block_ref_span(block), &cid);
    if (err == ERR_OK)
        err = import_emit_named(sink, &cid, block);
    if (err == ERR_OK)
        *ret_cid = cid;
    return err;
}

void import_apply_meta(struct unixfs_node *node, const struct tree_meta *meta)
{
    if (meta == NULL)
        return;
    node->has_mode = meta->mode != 0;
    node->mode = meta->mode;
    node->has_mtime = meta->has_mtime;
    node->mtime_seconds = meta->mtime_seconds;
    node->mtime_nanos = meta->mtime_nanos;
}

enum err import_emit_node(const struct import_options *options, const struct import_sink *sink, struct span links,
                          const struct unixfs_node *fields, struct import_node *ret_node)
{
    size_t data_len = unixfs_size(fields);
    struct block_ref *block = block_ref_new(links.len + dag_pb_data_size(data_len), options->blocks);
    if (block == NULL)
        return ERR_NOMEM;
    if (links.len > 0)
        memcpy(block->data, links.data, links.len);
    uint8_t *end = unixfs_put(dag_pb_put_data_frame(block->data + links.len, data_len), fields);
    assert(end == block->data + block->len);
    (void)end;
    enum err err = import_emit(options, sink, CODEC_DAG_PB, block, &ret_node->cid);
    ret_node->tsize = block->len;
    block_ref_unref(block);
    return err;
}

enum err import_symlink(const struct import_options *options, const struct import_sink *sink, struct span target,
                        const struct tree_meta *meta, struct import_node *ret_node)
{
    struct unixfs_node fields = {.type = UNIXFS_SYMLINK, .has_data = true, .data = target};
    import_apply_meta(&fields, meta);
    fields.has_mode = false; /* links have no permissions of their own; the reference leaves them out, too */
    struct import_node node = {.file_bytes = target.len};
    enum err err = import_emit_node(options, sink, (struct span){0}, &fields, &node);
    if (err == ERR_OK)
        *ret_node = node;
    return err;
}

enum err file_builder_new(const struct import_options *options, const struct import_sink *sink,
                          struct file_builder **ret_builder)
{
    struct file_builder *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return ERR_NOMEM;
    b->options = *options;
    b->sink = *sink;
    enum err err = chunker_init(&b->chunker, options->chunk_bytes);
    if (err != ERR_OK) {
        free(b);
        return err;
    }
    b->leaf_bytes = import_leaf_size(options, &b->frame);
    *ret_builder = b;
    return ERR_OK;
}

void file_builder_free(struct file_builder *builder)
{
    if (builder == NULL)
        return;
    for (size_t i = 0; i < IMPORT_LEVELS_MAX; i++) {
        buf_release(&builder->levels[i].links);
        buf_release(&builder->levels[i].sizes);
    }
    block_ref_unref(builder->chunk);
    free(builder);
}

static void level_open(struct file_builder *b, struct level *level)
{
    if (level->links.max == 0) {
        buf_init(&level->links, (size_t)b->options.max_links * LINK_BYTES_MAX, b->options.account);
        buf_init(&level->sizes, (size_t)b->options.max_links * 11, b->options.account);
    }
    buf_clear(&level->links);
    buf_clear(&level->sizes);
    level->count = 0;
    level->file_bytes = 0;
    level->tsize = 0;
}

static enum err level_append(struct level *level, const struct import_node *child)
{
    uint8_t cid[CID_BYTES_MAX];
    struct dag_pb_link link = {
        .cid = span_of(cid, cid_encode(&child->cid, cid)),
        .has_name = true,
        .tsize = child->tsize,
        .has_tsize = true,
    };
    uint8_t *to = buf_reserve(&level->links, dag_pb_link_size(&link));
    if (to == NULL)
        return ERR_NOMEM;
    enum err err = unixfs_append_blocksize(&level->sizes, child->file_bytes);
    if (err != ERR_OK)
        return err;
    buf_commit(&level->links, (size_t)(dag_pb_put_link(to, &link) - to));
    level->count++;
    level->file_bytes += child->file_bytes;
    level->tsize += child->tsize;
    return ERR_OK;
}

static enum err level_write(struct file_builder *b, struct level *level, const struct tree_meta *meta,
                            struct import_node *ret_node)
{
    struct unixfs_node fields = {
        .type = UNIXFS_FILE,
        .has_filesize = true,
        .filesize = level->file_bytes,
        .blocksizes = buf_span(&level->sizes),
    };
    import_apply_meta(&fields, meta);
    ret_node->file_bytes = level->file_bytes;
    uint64_t below = level->tsize;
    enum err err = import_emit_node(&b->options, &b->sink, buf_span(&level->links), &fields, ret_node);
    if (err == ERR_OK)
        ret_node->tsize += below;
    level_open(b, level);
    return err;
}

/* Adds a child to a level; a full level is written first and becomes a child one level up. */
static enum err add_child(struct file_builder *b, uint32_t at, const struct import_node *child)
{
    struct import_node carry = *child;
    for (uint32_t i = at; i < IMPORT_LEVELS_MAX; i++) {
        if (i == b->level_count) {
            level_open(b, &b->levels[i]);
            b->level_count++;
        }
        struct level *level = &b->levels[i];
        if (level->count < b->options.max_links)
            return level_append(level, &carry);
        struct import_node full;
        enum err err = level_write(b, level, NULL, &full);
        if (err == ERR_OK)
            err = level_append(level, &carry);
        if (err != ERR_OK)
            return err;
        carry = full;
    }
    return ERR_TOO_LARGE;
}

/* A part of a chunk: copied once more, so that small files do not hold whole chunks. */
static enum err emit_short_leaf(struct file_builder *b, const struct tree_meta *meta, struct import_node *leaf)
{
    struct span bytes = {0};
    if (b->chunk_len > 0)
        bytes = span_of(b->chunk->data + b->frame, b->chunk_len);
    if (!b->options.raw_leaves) {
        struct unixfs_node fields = {
            .type = UNIXFS_FILE,
            .has_data = bytes.len > 0,
            .data = bytes,
            .has_filesize = true,
            .filesize = bytes.len,
        };
        import_apply_meta(&fields, meta);
        return import_emit_node(&b->options, &b->sink, (struct span){0}, &fields, leaf);
    }
    struct block_ref *block = block_ref_copy(bytes, b->options.blocks);
    if (block == NULL)
        return ERR_NOMEM;
    enum err err = import_emit(&b->options, &b->sink, CODEC_RAW, block, &leaf->cid);
    leaf->tsize = block->len;
    block_ref_unref(block);
    return err;
}

/* A whole chunk: its frame is written around the bytes where they are, and the buffer is given away. */
static enum err emit_whole_leaf(struct file_builder *b, struct import_node *leaf)
{
    struct block_ref *block = b->chunk;
    b->chunk = NULL;
    enum err err = ERR_OK;
    if (b->named)
        leaf->cid = b->chunk_cid;
    else
        err = import_name(&b->options, import_leaf_frame(&b->options, block), block_ref_span(block), &leaf->cid);
    if (err == ERR_OK)
        err = import_emit_named(&b->sink, &leaf->cid, block);
    leaf->tsize = block->len;
    block_ref_unref(block);
    return err;
}

/* Emits the open chunk. meta is set only when the leaf is the whole file. */
static enum err emit_leaf(struct file_builder *b, const struct tree_meta *meta, struct import_node *ret_leaf)
{
    struct import_node leaf = {.file_bytes = b->chunk_len};
    bool whole = b->chunk_len == b->options.chunk_bytes && meta == NULL;
    enum err err = whole ? emit_whole_leaf(b, &leaf) : emit_short_leaf(b, meta, &leaf);
    b->chunk_len = 0;
    b->named = false;
    if (err == ERR_OK)
        *ret_leaf = leaf;
    return err;
}

static enum err flush_chunk(struct file_builder *b)
{
    struct import_node leaf;
    enum err err = emit_leaf(b, NULL, &leaf);
    return err == ERR_OK ? add_child(b, 0, &leaf) : err;
}

enum err file_builder_write(struct file_builder *builder, struct span bytes)
{
    struct file_builder *b = builder;
    while (bytes.len > 0) {
        if (b->chunk_len == b->options.chunk_bytes) {
            enum err err = flush_chunk(b);
            if (err != ERR_OK)
                return err;
        }
        if (b->chunk == NULL)
            b->chunk = block_ref_new(b->leaf_bytes, b->options.blocks);
        if (b->chunk == NULL)
            return ERR_NOMEM;
        bool cut;
        size_t take = chunker_take(&b->chunker, b->chunk_len, bytes, &cut);
        memcpy(b->chunk->data + b->frame + b->chunk_len, bytes.data, take);
        b->chunk_len += take;
        bytes = span_skip(bytes, take);
    }
    return ERR_OK;
}

bool file_builder_between_chunks(const struct file_builder *builder)
{
    return builder->chunk_len == 0 || builder->chunk_len == builder->options.chunk_bytes;
}

static enum err take_whole_leaf(struct file_builder *b, struct import_leaf *leaf)
{
    enum err err = b->chunk_len > 0 ? flush_chunk(b) : ERR_OK;
    if (err != ERR_OK)
        return err;
    block_ref_unref(b->chunk); /* room that a smaller file left */
    b->chunk = leaf->block;
    leaf->block = NULL;
    b->chunk_len = leaf->len;
    b->chunk_cid = leaf->cid;
    b->named = true;
    return ERR_OK;
}

enum err file_builder_add_leaf(struct file_builder *builder, struct import_leaf *leaf)
{
    struct file_builder *b = builder;
    enum err err = ERR_INVALID;
    if (file_builder_between_chunks(b) && leaf->len == b->options.chunk_bytes)
        err = take_whole_leaf(b, leaf);
    else if (file_builder_between_chunks(b))
        err = file_builder_write(b, span_of(import_leaf_content(&b->options, leaf), leaf->len));
    import_leaf_release(leaf);
    return err;
}

/* Writes the levels from the leaves up; the last one is the root. */
static enum err write_levels(struct file_builder *b, const struct tree_meta *meta, struct import_node *ret_root)
{
    for (uint32_t i = 0; i < b->level_count; i++) {
        bool is_top = i + 1 == b->level_count;
        struct import_node node;
        enum err err = level_write(b, &b->levels[i], is_top ? meta : NULL, &node);
        if (err == ERR_OK && is_top)
            *ret_root = node;
        if (err != ERR_OK || is_top)
            return err;
        err = add_child(b, i + 1, &node);
        if (err != ERR_OK)
            return err;
    }
    return ERR_INTERNAL; /* there is a level whenever there is a second leaf */
}

enum err file_builder_finish(struct file_builder *builder, const struct tree_meta *meta, struct import_node *ret_root)
{
    struct file_builder *b = builder;
    enum err err;
    if (b->level_count == 0) {
        err = emit_leaf(b, meta, ret_root);
    } else {
        err = flush_chunk(b);
        if (err == ERR_OK)
            err = write_levels(b, meta, ret_root);
    }
    b->level_count = 0;
    return err;
}
