/* SPDX-License-Identifier: MIT */
#include "storage/hamt_builder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/hamt.h"

enum { SHARD_LINKS_BYTES_MAX = 2 * 1024 * 1024 - 512, ENTRY_BYTES_MAX = TREE_NAME_MAX + CID_BYTES_MAX };

/* A shard under construction: the links written so far. */
struct shard {
    uint32_t bucket; /* in the shard around it */
    uint64_t tsize;
    struct buf links;
    uint8_t bitfield[HAMT_BITFIELD_BYTES_MAX];
};

struct hamt_builder {
    struct import_options options;
    struct import_sink sink;
    struct tree_meta meta;
    struct hamt_params params;
    size_t depth; /* open shards; the root is always open */
    struct shard shards[HAMT_LEVELS_MAX];
    bool has_pending; /* the entry that waits for its neighbour */
    uint64_t hash;
    struct dag_pb_link pending;
    struct buf text; /* its name and its CID */
};

static void open_shard(struct hamt_builder *b, uint32_t bucket)
{
    struct shard *shard = &b->shards[b->depth++];
    if (shard->links.max == 0)
        buf_init(&shard->links, SHARD_LINKS_BYTES_MAX, b->options.account);
    buf_clear(&shard->links);
    memset(shard->bitfield, 0, sizeof(shard->bitfield));
    shard->bucket = bucket;
    shard->tsize = 0;
}

enum err hamt_builder_new(const struct import_options *options, const struct import_sink *sink,
                          const struct tree_meta *meta, struct hamt_builder **ret_builder)
{
    struct hamt_builder *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return ERR_NOMEM;
    b->options = *options;
    b->sink = *sink;
    if (meta != NULL)
        b->meta = *meta;
    buf_init(&b->text, ENTRY_BYTES_MAX, options->account);
    enum err err = hamt_params_of(options->hamt_fanout, &b->params);
    if (err != ERR_OK) {
        free(b);
        return err;
    }
    open_shard(b, 0);
    *ret_builder = b;
    return ERR_OK;
}

void hamt_builder_free(struct hamt_builder *builder)
{
    if (builder == NULL)
        return;
    for (size_t i = 0; i < HAMT_LEVELS_MAX; i++)
        buf_release(&builder->shards[i].links);
    buf_release(&builder->text);
    free(builder);
}

/* Adds a link under its bucket's prefix. */
static enum err append_link(struct hamt_builder *b, struct shard *shard, uint32_t bucket, struct dag_pb_link link)
{
    char name[HAMT_PREFIX_MAX + TREE_NAME_MAX];
    hamt_prefix(&b->params, bucket, name);
    if (link.name.len > 0)
        memcpy(name + b->params.prefix_len, link.name.data, link.name.len);
    link.name = span_of(name, b->params.prefix_len + link.name.len);
    uint8_t *to = buf_reserve(&shard->links, dag_pb_link_size(&link));
    if (to == NULL)
        return ERR_NOMEM;
    buf_commit(&shard->links, (size_t)(dag_pb_put_link(to, &link) - to));
    hamt_bitfield_set(&b->params, shard->bitfield, bucket);
    shard->tsize += link.tsize;
    return ERR_OK;
}

static enum err emit_shard(struct hamt_builder *b, const struct shard *shard, const struct tree_meta *meta,
                           struct import_node *ret_node)
{
    struct unixfs_node fields = {
        .type = UNIXFS_HAMT_SHARD,
        .has_data = shard->links.len > 0,
        .data = hamt_bitfield_stripped(&b->params, shard->bitfield),
        .hash_type = HAMT_HASH_MURMUR3,
        .fanout = b->params.fanout,
    };
    import_apply_meta(&fields, meta);
    struct import_node node = {0};
    enum err err = import_emit_node(&b->options, &b->sink, buf_span(&shard->links), &fields, &node);
    if (err != ERR_OK)
        return err;
    node.tsize += shard->tsize;
    *ret_node = node;
    return ERR_OK;
}

/* Emits the innermost shard, which is not the root, and links it from the one around it. */
static enum err close_shard(struct hamt_builder *b)
{
    const struct shard *shard = &b->shards[b->depth - 1];
    struct import_node node;
    enum err err = emit_shard(b, shard, NULL, &node);
    if (err != ERR_OK)
        return err;
    uint8_t cid[CID_BYTES_MAX];
    struct dag_pb_link link = {
        .cid = span_of(cid, cid_encode(&node.cid, cid)),
        .has_name = true,
        .tsize = node.tsize,
        .has_tsize = true,
    };
    b->depth--;
    return append_link(b, &b->shards[b->depth - 1], shard->bucket, link);
}

/* Levels at which both hashes fall into the same bucket. */
static size_t common_levels(const struct hamt_builder *b, uint64_t left, uint64_t right)
{
    size_t levels = 0;
    while (levels < b->params.levels_max &&
           hamt_bucket(&b->params, left, (unsigned)levels) == hamt_bucket(&b->params, right, (unsigned)levels))
        levels++;
    return levels;
}

/* Puts the waiting entry into the innermost shard, which is opened as deep as the next entry demands. */
static enum err place_pending(struct hamt_builder *b, size_t common)
{
    if (common == b->params.levels_max)
        return ERR_TOO_LARGE;
    while (b->depth <= common)
        open_shard(b, hamt_bucket(&b->params, b->hash, (unsigned)b->depth - 1));
    struct shard *shard = &b->shards[b->depth - 1];
    b->has_pending = false;
    return append_link(b, shard, hamt_bucket(&b->params, b->hash, (unsigned)b->depth - 1), b->pending);
}

static enum err keep_pending(struct hamt_builder *b, uint64_t hash, const struct dag_pb_link *link)
{
    buf_clear(&b->text);
    enum err err = buf_append_span(&b->text, link->name);
    if (err == ERR_OK)
        err = buf_append_span(&b->text, link->cid);
    if (err != ERR_OK)
        return err;
    b->pending = *link;
    b->pending.name = span_first(buf_span(&b->text), link->name.len);
    b->pending.cid = span_skip(buf_span(&b->text), link->name.len);
    b->hash = hash;
    b->has_pending = true;
    return ERR_OK;
}

enum err hamt_builder_add(struct hamt_builder *builder, uint64_t hash, const struct dag_pb_link *link)
{
    struct hamt_builder *b = builder;
    bool replaces = b->has_pending && hash == b->hash && span_equal(link->name, b->pending.name);
    if (b->has_pending && !replaces) {
        if (hash < b->hash)
            return ERR_INVALID;
        size_t common = common_levels(b, b->hash, hash);
        enum err err = place_pending(b, common);
        while (err == ERR_OK && b->depth > common + 1)
            err = close_shard(b);
        if (err != ERR_OK)
            return err;
    }
    return keep_pending(b, hash, link);
}

enum err hamt_builder_finish(struct hamt_builder *builder, struct import_node *ret_root)
{
    struct hamt_builder *b = builder;
    enum err err = b->has_pending ? place_pending(b, 0) : ERR_OK;
    while (err == ERR_OK && b->depth > 1)
        err = close_shard(b);
    return err == ERR_OK ? emit_shard(b, &b->shards[0], &b->meta, ret_root) : err;
}
