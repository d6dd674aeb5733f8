/* SPDX-License-Identifier: MIT */
#include "storage/directory_builder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/dag_pb.h"
#include "wire/hamt.h"
#include "wire/unixfs.h"

/* A record: this head, the name, the CID. */
struct record_head {
    uint64_t tsize;
    uint16_t name_len;
    uint8_t cid_len;
};

/* A record by its place; key is the hash once the folder is sharded. */
struct entry {
    uint64_t key;
    uint32_t at;
};

struct directory_builder {
    struct import_options options;
    struct import_sink sink;
    struct buf records;
    struct buf entries; /* of struct entry */
};

/* One shard under construction: the run of entries that it holds and the links written so far. */
struct shard_frame {
    size_t pos;
    size_t end;
    uint32_t bucket; /* in the parent */
    uint64_t tsize;
    struct buf links;
    uint8_t bitfield[HAMT_BITFIELD_BYTES_MAX];
};

struct shard_build {
    struct directory_builder *builder;
    const struct tree_meta *meta;
    struct hamt_params params;
    size_t depth;
    struct shard_frame frames[HAMT_LEVELS_MAX];
};

enum err directory_builder_new(const struct import_options *options, const struct import_sink *sink,
                               struct directory_builder **ret_builder)
{
    struct directory_builder *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return ERR_NOMEM;
    b->options = *options;
    b->sink = *sink;
    buf_init(&b->records, DIRECTORY_RECORDS_MAX, options->account);
    buf_init(&b->entries, DIRECTORY_RECORDS_MAX, options->account);
    *ret_builder = b;
    return ERR_OK;
}

void directory_builder_free(struct directory_builder *builder)
{
    if (builder == NULL)
        return;
    buf_release(&builder->records);
    buf_release(&builder->entries);
    free(builder);
}

static struct entry *entries_of(const struct directory_builder *b)
{
    return (struct entry *)(void *)b->entries.data;
}

size_t directory_builder_count(const struct directory_builder *builder)
{
    return builder->entries.len / sizeof(struct entry);
}

enum err directory_builder_add(struct directory_builder *builder, struct span name, const struct import_node *node)
{
    if (!tree_name_ok(name))
        return ERR_INVALID;
    uint8_t cid[CID_BYTES_MAX];
    struct record_head head = {
        .tsize = node->tsize,
        .name_len = (uint16_t)name.len,
        .cid_len = (uint8_t)cid_encode(&node->cid, cid),
    };
    struct entry entry = {.at = (uint32_t)builder->records.len};
    uint8_t *to = buf_reserve(&builder->records, sizeof(head) + name.len + head.cid_len);
    if (to == NULL)
        return ERR_NOMEM;
    enum err err = buf_append(&builder->entries, &entry, sizeof(entry));
    if (err != ERR_OK)
        return err;
    memcpy(to, &head, sizeof(head));
    memcpy(to + sizeof(head), name.data, name.len);
    memcpy(to + sizeof(head) + name.len, cid, head.cid_len);
    buf_commit(&builder->records, sizeof(head) + name.len + head.cid_len);
    return ERR_OK;
}

static struct dag_pb_link link_of(const struct directory_builder *b, const struct entry *entry)
{
    struct record_head head;
    const uint8_t *at = b->records.data + entry->at;
    memcpy(&head, at, sizeof(head));
    at += sizeof(head);
    return (struct dag_pb_link){
        .name = span_of(at, head.name_len),
        .has_name = true,
        .cid = span_of(at + head.name_len, head.cid_len),
        .tsize = head.tsize,
        .has_tsize = true,
    };
}

static int compare_names(const void *a, const void *b, void *arg)
{
    const struct directory_builder *builder = arg;
    const struct entry *left = a;
    const struct entry *right = b;
    int order = span_compare(link_of(builder, left).name, link_of(builder, right).name);
    return order != 0 ? order : left->at < right->at ? -1 : left->at > right->at;
}

static int compare_keys(const void *a, const void *b)
{
    const struct entry *left = a;
    const struct entry *right = b;
    return left->key < right->key ? -1 : left->key > right->key;
}

/* Sorts by name; of equal names the one added last stays. */
static void sort_by_name(struct directory_builder *b)
{
    size_t count = directory_builder_count(b);
    struct entry *entries = entries_of(b);
    if (count < 2)
        return;
    qsort_r(entries, count, sizeof(*entries), compare_names, b);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && span_equal(link_of(b, &entries[i]).name, link_of(b, &entries[i + 1]).name))
            continue;
        entries[kept++] = entries[i];
    }
    b->entries.len = kept * sizeof(*entries);
}

static void directory_fields(struct unixfs_node *fields, const struct tree_meta *meta)
{
    *fields = (struct unixfs_node){.type = UNIXFS_DIRECTORY};
    import_apply_meta(fields, meta);
}

static bool must_shard(const struct directory_builder *b, const struct tree_meta *meta)
{
    struct unixfs_node fields;
    directory_fields(&fields, meta);
    uint64_t size = b->options.hamt_threshold == HAMT_BY_BLOCK_BYTES ? dag_pb_data_size(unixfs_size(&fields)) : 0;
    for (size_t i = 0; i < directory_builder_count(b); i++) {
        struct dag_pb_link link = link_of(b, &entries_of(b)[i]);
        switch (b->options.hamt_threshold) {
        case HAMT_BY_BLOCK_BYTES:
            size += dag_pb_link_size(&link);
            break;
        case HAMT_BY_LINK_BYTES:
            size += link.name.len + link.cid.len;
            break;
        case HAMT_NEVER:
            return false;
        }
    }
    return size > b->options.hamt_threshold_bytes;
}

static enum err append_link(struct buf *links, const struct dag_pb_link *link)
{
    size_t need = dag_pb_link_size(link);
    if (need > links->max - links->len)
        return ERR_TOO_LARGE;
    uint8_t *to = buf_reserve(links, need);
    if (to == NULL)
        return ERR_NOMEM;
    (void)dag_pb_put_link(to, link);
    buf_commit(links, need);
    return ERR_OK;
}

static enum err finish_basic(struct directory_builder *b, const struct tree_meta *meta, struct import_node *ret_root)
{
    struct buf links;
    struct unixfs_node fields;
    enum err err = ERR_OK;
    uint64_t tsize = 0;
    buf_init(&links, DIRECTORY_BLOCK_MAX - 64, b->options.account);
    for (size_t i = 0; i < directory_builder_count(b) && err == ERR_OK; i++) {
        struct dag_pb_link link = link_of(b, &entries_of(b)[i]);
        tsize += link.tsize;
        err = append_link(&links, &link);
    }
    directory_fields(&fields, meta);
    if (err == ERR_OK)
        err = import_emit_node(&b->options, &b->sink, buf_span(&links), &fields, ret_root);
    if (err == ERR_OK)
        ret_root->tsize += tsize;
    buf_release(&links);
    return err;
}

static void open_frame(struct shard_build *s, size_t pos, size_t end, uint32_t bucket)
{
    struct shard_frame *frame = &s->frames[s->depth++];
    if (frame->links.max == 0)
        buf_init(&frame->links, DIRECTORY_BLOCK_MAX - 512, s->builder->options.account);
    buf_clear(&frame->links);
    memset(frame->bitfield, 0, sizeof(frame->bitfield));
    frame->pos = pos;
    frame->end = end;
    frame->bucket = bucket;
    frame->tsize = 0;
}

/* Adds a link under its bucket's prefix. */
static enum err frame_append(struct shard_build *s, struct shard_frame *frame, uint32_t bucket, struct dag_pb_link link)
{
    char name[HAMT_PREFIX_MAX + TREE_NAME_MAX];
    hamt_prefix(&s->params, bucket, name);
    if (link.name.len > 0)
        memcpy(name + s->params.prefix_len, link.name.data, link.name.len);
    link.name = span_of(name, s->params.prefix_len + link.name.len);
    hamt_bitfield_set(&s->params, frame->bitfield, bucket);
    frame->tsize += link.tsize;
    return append_link(&frame->links, &link);
}

/* Emits the innermost shard and links it from the one around it; at the outermost *ret_root is written. */
static enum err close_frame(struct shard_build *s, struct import_node *ret_root)
{
    struct shard_frame *frame = &s->frames[--s->depth];
    struct unixfs_node fields = {
        .type = UNIXFS_HAMT_SHARD,
        .has_data = frame->links.len > 0,
        .data = hamt_bitfield_stripped(&s->params, frame->bitfield),
        .hash_type = HAMT_HASH_MURMUR3,
        .fanout = s->params.fanout,
    };
    if (s->depth == 0)
        import_apply_meta(&fields, s->meta);
    struct directory_builder *b = s->builder;
    struct import_node node = {0};
    enum err err = import_emit_node(&b->options, &b->sink, buf_span(&frame->links), &fields, &node);
    if (err != ERR_OK)
        return err;
    node.tsize += frame->tsize;
    if (s->depth == 0) {
        *ret_root = node;
        return ERR_OK;
    }
    uint8_t cid[CID_BYTES_MAX];
    struct dag_pb_link link = {
        .cid = span_of(cid, cid_encode(&node.cid, cid)),
        .has_name = true,
        .tsize = node.tsize,
        .has_tsize = true,
    };
    return frame_append(s, &s->frames[s->depth - 1], frame->bucket, link);
}

/* Takes the next bucket of the innermost shard: an entry of its own, or a shard below. */
static enum err next_bucket(struct shard_build *s)
{
    struct shard_frame *frame = &s->frames[s->depth - 1];
    const struct entry *entries = entries_of(s->builder);
    unsigned level = (unsigned)s->depth - 1;
    size_t begin = frame->pos;
    uint32_t bucket = hamt_bucket(&s->params, entries[begin].key, level);
    size_t end = begin + 1;
    while (end < frame->end && hamt_bucket(&s->params, entries[end].key, level) == bucket)
        end++;
    frame->pos = end;
    if (end - begin == 1)
        return frame_append(s, frame, bucket, link_of(s->builder, &entries[begin]));
    if (s->depth == s->params.levels_max)
        return ERR_TOO_LARGE;
    open_frame(s, begin, end, bucket);
    return ERR_OK;
}

static enum err finish_sharded(struct directory_builder *b, const struct tree_meta *meta, struct import_node *ret_root)
{
    struct shard_build *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NOMEM;
    s->builder = b;
    s->meta = meta;
    enum err err = hamt_params_of(b->options.hamt_fanout, &s->params);
    size_t count = directory_builder_count(b);
    struct entry *entries = entries_of(b);
    for (size_t i = 0; i < count; i++)
        entries[i].key = hamt_hash(link_of(b, &entries[i]).name);
    if (count > 0)
        qsort(entries, count, sizeof(*entries), compare_keys);
    open_frame(s, 0, count, 0);
    while (err == ERR_OK && s->depth > 0) {
        const struct shard_frame *frame = &s->frames[s->depth - 1];
        err = frame->pos < frame->end ? next_bucket(s) : close_frame(s, ret_root);
    }
    for (size_t i = 0; i < HAMT_LEVELS_MAX; i++)
        buf_release(&s->frames[i].links);
    free(s);
    return err;
}

enum err directory_builder_finish(struct directory_builder *builder, const struct tree_meta *meta,
                                  struct import_node *ret_root)
{
    struct import_node root = {0};
    sort_by_name(builder);
    enum err err =
        must_shard(builder, meta) ? finish_sharded(builder, meta, &root) : finish_basic(builder, meta, &root);
    if (err == ERR_OK)
        *ret_root = root;
    return err;
}
