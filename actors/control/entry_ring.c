/* SPDX-License-Identifier: MIT */
#include "actors/control/entry_ring.h"

enum reader_kind reader_kind_of(enum node_kind kind)
{
    switch (kind) {
    case NODE_FILE:
        return READER_KIND_FILE;
    case NODE_DIRECTORY:
    case NODE_HAMT:
        return READER_KIND_DIRECTORY;
    case NODE_SYMLINK:
        return READER_KIND_SYMLINK;
    }
    return READER_KIND_UNKNOWN;
}

void entry_ring_init(struct entry_ring *ring, struct account *account)
{
    *ring = (struct entry_ring){0};
    for (size_t i = 0; i < READER_ENTRIES_AHEAD; i++)
        buf_init(&ring->slots[i].text, 2 * (size_t)1024 * 1024, account);
}

void entry_ring_release(struct entry_ring *ring)
{
    for (size_t i = 0; i < READER_ENTRIES_AHEAD; i++)
        buf_release(&ring->slots[i].text);
}

static struct ahead *ahead_at(struct entry_ring *ring, size_t i)
{
    return &ring->slots[(ring->first + i) % READER_ENTRIES_AHEAD];
}

static void set_kind(struct reader_entry *entry, struct span block)
{
    struct node_info node;
    if (node_info_of(&entry->cid, block, &node, NULL) != ERR_OK)
        return;
    entry->kind = reader_kind_of(node.kind);
    entry->size = node.size;
    entry->mode = node.unixfs.has_mode ? node.unixfs.mode & UNIXFS_MODE_MASK : 0;
    entry->has_mtime = node.unixfs.has_mtime;
    entry->mtime_seconds = node.unixfs.mtime_seconds;
    entry->mtime_nanos = node.unixfs.mtime_nanos;
}

enum err entry_ring_push(struct entry_ring *ring, const struct dir_entry *entry, bool kinds)
{
    struct ahead *a = ahead_at(ring, ring->count);
    buf_clear(&a->text);
    enum err err = buf_append_span(&a->text, entry->name);
    if (err != ERR_OK)
        return err;
    a->entry = (struct reader_entry){
        .name = buf_span(&a->text),
        .name_unsafe = entry->name_unsafe,
        .cid = entry->cid,
        .tsize = entry->tsize,
    };
    if (entry->cid.codec == CODEC_RAW) {
        a->entry.kind = READER_KIND_FILE;
        a->entry.size = entry->tsize;
    }
    bool inlined = entry->cid.hash.code == MULTIHASH_IDENTITY;
    if (inlined)
        set_kind(&a->entry, span_of(entry->cid.hash.digest, entry->cid.hash.len));
    a->waits = kinds && entry->cid.codec == CODEC_DAG_PB && !inlined;
    a->asked = false;
    ring->count++;
    return ERR_OK;
}

enum err entry_ring_next_want(struct entry_ring *ring, const struct dir_lister *lister, struct cid *ret_cid)
{
    for (size_t i = 0; i < ring->count; i++) {
        struct ahead *a = ahead_at(ring, i);
        if (!a->waits || a->asked)
            continue;
        a->asked = true;
        bool before = lister != NULL && dir_lister_waits_for(lister, &a->entry.cid);
        for (size_t k = 0; k < i && !before; k++)
            before = ahead_at(ring, k)->waits && cid_same_block(&ahead_at(ring, k)->entry.cid, &a->entry.cid);
        if (before)
            continue;
        *ret_cid = a->entry.cid;
        return ERR_OK;
    }
    return ERR_AGAIN;
}

void entry_ring_put(struct entry_ring *ring, const struct cid *cid, const struct block_ref *block)
{
    for (size_t i = 0; i < ring->count; i++) {
        struct ahead *a = ahead_at(ring, i);
        if (!a->waits || !cid_same_block(&a->entry.cid, cid))
            continue;
        a->waits = false;
        if (block != NULL)
            set_kind(&a->entry, block_ref_span(block));
    }
}

void entry_ring_retry(struct entry_ring *ring, const struct cid *cid)
{
    for (size_t i = 0; i < ring->count; i++) {
        struct ahead *a = ahead_at(ring, i);
        if (a->waits && cid_same_block(&a->entry.cid, cid))
            a->asked = false;
    }
}

enum err entry_ring_pop(struct entry_ring *ring, struct reader_entry *ret_entry)
{
    const struct ahead *a = ahead_at(ring, 0);
    if (ring->count == 0 || a->waits)
        return ERR_AGAIN;
    *ret_entry = a->entry;
    ring->first = (ring->first + 1) % READER_ENTRIES_AHEAD;
    ring->count--;
    return ERR_OK;
}
