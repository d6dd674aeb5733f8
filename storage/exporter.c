/* SPDX-License-Identifier: MIT */
#include "storage/exporter.h"

#include <stdlib.h>

#include "storage/node_info.h"

enum { FRAME_BYTES = 64 };

struct exporter {
    struct dag_window window;
    uint64_t position;
    uint64_t end; /* first byte not to be read; corrected once the size is known */
    uint64_t size;
    bool has_size;
    enum err failure;
    const char *why;
};

static enum err fail(struct exporter *e, enum err err, const char *why)
{
    e->failure = err;
    e->why = why;
    dag_window_release(&e->window);
    return err;
}

enum err exporter_new(const struct cid *root, const struct exporter_options *options, struct exporter **ret_exporter)
{
    struct exporter *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return ERR_NOMEM;
    dag_window_init(&e->window, options->window_blocks, options->window_bytes, options->account, options->shared);
    e->window.is_ahead = options->is_ahead;
    e->position = options->offset;
    e->end = options->length > UINT64_MAX - options->offset ? UINT64_MAX : options->offset + options->length;
    e->why = "";
    struct dag_slot *slot;
    enum err err = dag_window_add(&e->window, NULL, root, DAG_NODE_ESTIMATE, 0, &slot);
    if (err != ERR_OK) {
        free(e);
        return err;
    }
    slot->size = UINT64_MAX;
    *ret_exporter = e;
    return ERR_OK;
}

void exporter_free(struct exporter *exporter)
{
    if (exporter == NULL)
        return;
    dag_window_release(&exporter->window);
    free(exporter);
}

/* The part of content, which begins at offset start, that is to be read. */
static struct span wanted_part(const struct exporter *e, struct span content, uint64_t start)
{
    if (start >= e->end)
        return (struct span){0};
    content = span_first(content, (size_t)MIN(content.len, e->end - start));
    return start < e->position ? span_skip(content, (size_t)MIN(content.len, e->position - start)) : content;
}

static enum err not_a_file(struct exporter *e, enum node_kind kind, uint32_t depth)
{
    if (depth > 0)
        return fail(e, ERR_CORRUPT, "a part of the file is not a file");
    if (kind == NODE_SYMLINK)
        return fail(e, ERR_INVALID, "this is a symlink, not a file");
    return fail(e, ERR_INVALID, "this is a directory, not a file");
}

/* Content in the block is read now; links, if any, come after it. */
static enum err open_node(struct exporter *e, struct dag_slot *slot, const struct node_info *info)
{
    struct span content = info->is_raw ? block_ref_span(slot->block) : info->unixfs.data;
    struct span part = wanted_part(e, content, slot->start);
    if (info->node.link_count == 0 && part.len > 0) {
        slot->bytes = part;
        slot->state = DAG_READY;
        return ERR_OK;
    }
    enum err err = ERR_OK;
    if (part.len > 0)
        err = dag_window_add_bytes(&e->window, slot, slot->block, part);
    if (err != ERR_OK)
        return fail(e, err, "no memory for reading the file");
    if (info->node.link_count == 0) {
        dag_window_remove(&e->window, slot);
        return ERR_OK;
    }
    if (slot->depth >= DAG_DEPTH_MAX)
        return fail(e, ERR_TOO_LARGE, "the file is nested too deeply");
    slot->links = info->node.links;
    slot->sizes = (struct unixfs_blocksizes){.rest = info->unixfs.blocksizes};
    slot->start += content.len;
    err = dag_window_open(&e->window, slot);
    return err == ERR_OK ? ERR_OK : fail(e, err, "the nodes of the file are too large");
}

static enum err look_at(struct exporter *e, struct dag_slot *slot)
{
    struct node_info info;
    const char *why = "";
    enum err err = node_info_of(&slot->cid, block_ref_span(slot->block), &info, &why);
    if (err != ERR_OK)
        return fail(e, err, why);
    if (info.kind != NODE_FILE)
        return not_a_file(e, info.kind, slot->depth);
    if (slot->depth == 0) {
        e->size = info.size;
        e->has_size = true;
        e->end = MIN(e->end, info.size);
    } else if (info.size != slot->size) {
        return fail(e, ERR_MISMATCH, "a part of the file has another size than its parent says");
    }
    return open_node(e, slot, &info);
}

/* Bytes to reserve for a child of which size bytes of file are said to be at and below it. */
static size_t estimate(uint64_t size)
{
    return size > DAG_BLOCK_MAX ? DAG_NODE_ESTIMATE : (size_t)size + FRAME_BYTES;
}

/*
 * Adds the next child of an open node that lies in the range; an exhausted node is taken out. *ret_full: there was no
 * room.
 */
static enum err add_child(struct exporter *e, struct dag_slot *slot, bool *ret_full)
{
    struct span links = slot->links;
    struct unixfs_blocksizes sizes = slot->sizes;
    struct dag_pb_link link;
    uint64_t size = 0;
    if (slot->start >= e->end || !dag_pb_next_link(&links, &link) || !unixfs_next_blocksize(&sizes, &size)) {
        dag_window_remove(&e->window, slot);
        return ERR_OK;
    }
    if (link.name.len > 0)
        return fail(e, ERR_CORRUPT, "a part of the file has a name");
    if (size > 0 && slot->start + size > e->position) {
        if (!dag_window_has_room(&e->window, slot, estimate(size))) {
            *ret_full = true;
            return ERR_OK;
        }
        struct cid cid;
        struct dag_slot *child;
        enum err err = cid_parse(link.cid, &cid);
        if (err == ERR_OK)
            err = dag_window_add(&e->window, slot, &cid, estimate(size), slot->depth + 1, &child);
        if (err != ERR_OK)
            return fail(e, err, "no memory for reading the file");
        child->start = slot->start;
        child->size = size;
    }
    slot->links = links;
    slot->sizes = sizes;
    slot->start += size;
    return ERR_OK;
}

/* Opens what arrived and fills the window up. */
static enum err advance(struct exporter *e)
{
    bool full = false;
    while (!full) {
        struct dag_slot *slot = dag_window_find(&e->window, DAG_ARRIVED);
        enum err err;
        if (slot != NULL) {
            err = look_at(e, slot);
        } else {
            slot = dag_window_find(&e->window, DAG_OPEN);
            if (slot == NULL)
                break;
            err = add_child(e, slot, &full);
        }
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

enum err exporter_next_want(struct exporter *exporter, struct cid *ret_cid)
{
    if (exporter->failure != ERR_OK || advance(exporter) != ERR_OK)
        return ERR_AGAIN;
    return dag_window_next_want(&exporter->window, ret_cid);
}

enum err exporter_put(struct exporter *exporter, const struct cid *cid, struct block_ref *block)
{
    if (exporter->failure != ERR_OK)
        return exporter->failure;
    (void)dag_window_put(&exporter->window, cid, block);
    return advance(exporter);
}

enum err exporter_next(struct exporter *exporter, struct block_ref **ret_block, struct span *ret_bytes)
{
    struct exporter *e = exporter;
    if (e->failure != ERR_OK)
        return e->failure;
    enum err err = advance(e);
    if (err != ERR_OK)
        return err;
    struct dag_slot *slot = e->window.first;
    if (slot == NULL)
        return ERR_CLOSED;
    if (slot->state != DAG_READY)
        return ERR_AGAIN;
    *ret_bytes = slot->bytes;
    *ret_block = block_ref_ref(slot->block);
    e->position += slot->bytes.len;
    dag_window_remove(&e->window, slot);
    return ERR_OK;
}

bool exporter_size(const struct exporter *exporter, uint64_t *ret_size)
{
    if (exporter->has_size)
        *ret_size = exporter->size;
    return exporter->has_size;
}

size_t exporter_reserved(const struct exporter *exporter)
{
    return exporter->window.reserved;
}

void exporter_is_waited_for(struct exporter *exporter)
{
    exporter->window.is_ahead = false;
}

uint64_t exporter_position(const struct exporter *exporter)
{
    return exporter->position;
}

void exporter_retry(struct exporter *exporter, const struct cid *cid)
{
    dag_window_retry(&exporter->window, cid);
}

bool exporter_give_back(struct exporter *exporter)
{
    return dag_window_give_back(&exporter->window);
}

bool exporter_waits_for(const struct exporter *exporter, const struct cid *cid)
{
    return dag_window_waits_for(&exporter->window, cid);
}

const char *exporter_why(const struct exporter *exporter)
{
    return exporter->why;
}
