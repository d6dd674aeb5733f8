/* SPDX-License-Identifier: MIT */
#include "storage/directory_builder.h"

#include <stdlib.h>
#include <string.h>

#include "storage/hamt_builder.h"
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
    struct tree_meta meta;
    struct buf records;
    struct buf entries;          /* of struct entry */
    uint64_t size;               /* of the entries kept, as the threshold reckons it */
    struct hamt_builder *shards; /* by_hash, once the folder must be sharded: entries are no longer kept */
};

enum err directory_builder_new(const struct import_options *options, const struct import_sink *sink,
                               const struct tree_meta *meta, struct directory_builder **ret_builder)
{
    struct directory_builder *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return ERR_NOMEM;
    b->options = *options;
    b->sink = *sink;
    if (meta != NULL)
        b->meta = *meta;
    buf_init(&b->records, DIRECTORY_KEPT_BYTES_MAX, options->account);
    buf_init(&b->entries, DIRECTORY_KEPT_BYTES_MAX, options->account);
    *ret_builder = b;
    return ERR_OK;
}

void directory_builder_free(struct directory_builder *builder)
{
    if (builder == NULL)
        return;
    buf_release(&builder->records);
    buf_release(&builder->entries);
    hamt_builder_free(builder->shards);
    free(builder);
}

static struct entry *entries_of(const struct directory_builder *b)
{
    return (struct entry *)(void *)b->entries.data;
}

static size_t count_of(const struct directory_builder *b)
{
    return b->entries.len / sizeof(struct entry);
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

/* What an entry adds to the folder's size. */
static uint64_t size_of(const struct directory_builder *b, const struct entry *entry)
{
    struct dag_pb_link link = link_of(b, entry);
    if (b->options.hamt_threshold == HAMT_BY_BLOCK_BYTES)
        return dag_pb_link_size(&link);
    return link.name.len + link.cid.len;
}

static void directory_fields(const struct directory_builder *b, struct unixfs_node *ret_fields)
{
    *ret_fields = (struct unixfs_node){.type = UNIXFS_DIRECTORY};
    import_apply_meta(ret_fields, &b->meta);
}

static bool must_shard(const struct directory_builder *b)
{
    struct unixfs_node fields;
    if (b->options.directory_links > 0 && count_of(b) > b->options.directory_links)
        return true;
    directory_fields(b, &fields);
    uint64_t frame = b->options.hamt_threshold == HAMT_BY_BLOCK_BYTES ? dag_pb_data_size(unixfs_size(&fields)) : 0;
    return b->options.hamt_threshold != HAMT_NEVER && b->size + frame > b->options.hamt_threshold_bytes;
}

static enum err keep(struct directory_builder *b, uint64_t key, struct span name, const struct import_node *node)
{
    uint8_t cid[CID_BYTES_MAX];
    struct record_head head = {
        .tsize = node->tsize,
        .name_len = (uint16_t)name.len,
        .cid_len = (uint8_t)cid_encode(&node->cid, cid),
    };
    struct entry entry = {.key = key, .at = (uint32_t)b->records.len};
    size_t need = sizeof(head) + name.len + head.cid_len;
    if (need > b->records.max - b->records.len)
        return ERR_TOO_LARGE;
    uint8_t *to = buf_reserve(&b->records, need);
    if (to == NULL)
        return ERR_NOMEM;
    enum err err = buf_append(&b->entries, &entry, sizeof(entry));
    if (err != ERR_OK)
        return err;
    memcpy(to, &head, sizeof(head));
    memcpy(to + sizeof(head), name.data, name.len);
    memcpy(to + sizeof(head) + name.len, cid, head.cid_len);
    buf_commit(&b->records, need);
    b->size += size_of(b, &entry);
    return ERR_OK;
}

/* Hands the entries kept, sorted by hash, to the shards. */
static enum err begin_shards(struct directory_builder *b)
{
    enum err err = hamt_builder_new(&b->options, &b->sink, &b->meta, &b->shards);
    for (size_t i = 0; i < count_of(b) && err == ERR_OK; i++) {
        struct dag_pb_link link = link_of(b, &entries_of(b)[i]);
        err = hamt_builder_add(b->shards, entries_of(b)[i].key, &link);
    }
    buf_release(&b->records);
    buf_release(&b->entries);
    return err;
}

/*
 * An entry in the order of hashes. Equal names are neighbours, so the sum of the others is certain: it decides before
 * the newest is kept, which a next one might still replace by a smaller one.
 */
static enum err add_by_hash(struct directory_builder *b, struct span name, const struct import_node *node)
{
    uint64_t key = hamt_hash(name);
    size_t count = count_of(b);
    if (b->shards == NULL && count > 0) {
        struct entry last = entries_of(b)[count - 1];
        if (key < last.key)
            return ERR_INVALID;
        if (key == last.key && span_equal(name, link_of(b, &last).name)) {
            b->size -= size_of(b, &last);
            b->records.len = last.at;
            b->entries.len -= sizeof(last);
        } else if (must_shard(b)) {
            enum err err = begin_shards(b);
            if (err != ERR_OK)
                return err;
        }
    }
    if (b->shards == NULL)
        return keep(b, key, name, node);
    uint8_t cid[CID_BYTES_MAX];
    struct dag_pb_link link = {
        .name = name,
        .has_name = true,
        .cid = span_of(cid, cid_encode(&node->cid, cid)),
        .tsize = node->tsize,
        .has_tsize = true,
    };
    return hamt_builder_add(b->shards, key, &link);
}

enum err directory_builder_add(struct directory_builder *builder, struct span name, const struct import_node *node)
{
    if (!tree_name_ok(name))
        return ERR_INVALID;
    return builder->meta.by_hash ? add_by_hash(builder, name, node) : keep(builder, 0, name, node);
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
    size_t count = count_of(b);
    struct entry *entries = entries_of(b);
    if (count < 2)
        return;
    qsort_r(entries, count, sizeof(*entries), compare_names, b);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && span_equal(link_of(b, &entries[i]).name, link_of(b, &entries[i + 1]).name)) {
            b->size -= size_of(b, &entries[i]);
            continue;
        }
        entries[kept++] = entries[i];
    }
    b->entries.len = kept * sizeof(*entries);
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

static enum err finish_basic(struct directory_builder *b, struct import_node *ret_root)
{
    struct buf links;
    struct unixfs_node fields;
    enum err err = ERR_OK;
    uint64_t tsize = 0;
    buf_init(&links, DIRECTORY_BLOCK_MAX - 64, b->options.account);
    for (size_t i = 0; i < count_of(b) && err == ERR_OK; i++) {
        struct dag_pb_link link = link_of(b, &entries_of(b)[i]);
        tsize += link.tsize;
        err = append_link(&links, &link);
    }
    directory_fields(b, &fields);
    if (err == ERR_OK)
        err = import_emit_node(&b->options, &b->sink, buf_span(&links), &fields, ret_root);
    if (err == ERR_OK)
        ret_root->tsize += tsize;
    buf_release(&links);
    return err;
}

static enum err sort_into_shards(struct directory_builder *b)
{
    size_t count = count_of(b);
    struct entry *entries = entries_of(b);
    for (size_t i = 0; i < count; i++)
        entries[i].key = hamt_hash(link_of(b, &entries[i]).name);
    if (count > 0)
        qsort(entries, count, sizeof(*entries), compare_keys);
    return begin_shards(b);
}

enum err directory_builder_finish(struct directory_builder *builder, struct import_node *ret_root)
{
    struct import_node root = {0};
    enum err err = ERR_OK;
    if (builder->shards == NULL) {
        sort_by_name(builder);
        err = must_shard(builder) ? sort_into_shards(builder) : finish_basic(builder, &root);
    }
    if (err == ERR_OK && builder->shards != NULL)
        err = hamt_builder_finish(builder->shards, &root);
    if (err == ERR_OK)
        *ret_root = root;
    return err;
}
