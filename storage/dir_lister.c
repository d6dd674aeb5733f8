/* SPDX-License-Identifier: MIT */
#include "storage/dir_lister.h"

#include <stdlib.h>

#include "storage/dag_window.h"
#include "storage/node_info.h"
#include "wire/hamt.h"
#include "wire/tree_stream.h"

struct dir_lister {
    struct dag_window window; /* of a slot: links = shards to come, bytes = links whose entries are to come */
    struct hamt_params params;
    bool sharded;
    enum err failure;
    const char *why;
};

static enum err fail(struct dir_lister *l, enum err err, const char *why)
{
    l->failure = err;
    l->why = why;
    dag_window_release(&l->window);
    return err;
}

enum err dir_lister_new(const struct cid *root, size_t window_blocks, size_t window_bytes, struct account *account,
                        struct account *shared, struct dir_lister **ret_lister)
{
    struct dir_lister *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return ERR_NOMEM;
    dag_window_init(&l->window, window_blocks, window_bytes, account, shared);
    l->why = "";
    struct dag_slot *slot;
    enum err err = dag_window_add(&l->window, NULL, root, DAG_NODE_ESTIMATE, 0, &slot);
    if (err != ERR_OK) {
        free(l);
        return err;
    }
    *ret_lister = l;
    return ERR_OK;
}

void dir_lister_free(struct dir_lister *lister)
{
    if (lister == NULL)
        return;
    dag_window_release(&lister->window);
    free(lister);
}

/* Takes the next link that leads to a shard, or not. */
static bool next_of(const struct dir_lister *l, struct span *links, bool shards, struct dag_pb_link *ret_link)
{
    while (dag_pb_next_link(links, ret_link)) {
        if ((l->sharded && hamt_link_is_shard(&l->params, ret_link)) == shards)
            return true;
    }
    return false;
}

static enum err check_shard(struct dir_lister *l, const struct dag_slot *slot, const struct node_info *info)
{
    struct hamt_shard shard;
    enum err err = hamt_shard_decode(&info->node, &info->unixfs, &shard);
    if (err != ERR_OK)
        return fail(l, err == ERR_UNSUPPORTED ? err : ERR_CORRUPT, "a shard of the folder is malformed");
    if (slot->depth > 0 && shard.params.fanout != l->params.fanout)
        return fail(l, ERR_CORRUPT, "the shards of the folder differ in fanout");
    if (slot->depth >= shard.params.levels_max)
        return fail(l, ERR_TOO_LARGE, "the folder has too many levels of shards");
    l->params = shard.params;
    l->sharded = true;
    return ERR_OK;
}

static enum err look_at(struct dir_lister *l, struct dag_slot *slot)
{
    struct node_info info;
    const char *why = "";
    enum err err = node_info_of(&slot->cid, block_ref_span(slot->block), &info, &why);
    if (err != ERR_OK)
        return fail(l, err, why);
    if (slot->depth > 0 && info.kind != NODE_HAMT)
        return fail(l, ERR_CORRUPT, "a shard of the folder is not a shard");
    if (info.kind != NODE_HAMT && info.kind != NODE_DIRECTORY)
        return fail(l, ERR_INVALID, "this is not a directory");
    if (info.kind == NODE_HAMT) {
        err = check_shard(l, slot, &info);
        if (err != ERR_OK)
            return err;
    }
    slot->bytes = info.node.links;
    slot->links = info.node.links;
    struct span probe = info.node.links;
    struct dag_pb_link link;
    if (!next_of(l, &probe, true, &link)) {
        slot->state = DAG_READY;
        return ERR_OK;
    }
    err = dag_window_open(&l->window, slot);
    return err == ERR_OK ? ERR_OK : fail(l, err, "the blocks of the folder are too large");
}

static struct dag_slot *first_with_shards(const struct dir_lister *l)
{
    struct dag_slot *slot = l->window.first;
    while (slot != NULL && (slot->state != DAG_OPEN || slot->links.len == 0))
        slot = slot->next;
    return slot;
}

static enum err add_shard(struct dir_lister *l, struct dag_slot *slot, bool *ret_full)
{
    struct span links = slot->links;
    struct dag_pb_link link;
    if (!next_of(l, &links, true, &link)) {
        slot->links = (struct span){0};
        return ERR_OK;
    }
    if (!dag_window_has_room(&l->window, slot, DAG_NODE_ESTIMATE / 8)) {
        *ret_full = true;
        return ERR_OK;
    }
    struct cid cid;
    struct dag_slot *child;
    enum err err = cid_parse(link.cid, &cid);
    if (err == ERR_OK)
        err = dag_window_add(&l->window, slot, &cid, DAG_NODE_ESTIMATE / 8, slot->depth + 1, &child);
    if (err != ERR_OK)
        return fail(l, err, "no memory for listing the folder");
    slot->links = links;
    return ERR_OK;
}

/* Looks at what arrived and fills the window up. */
static enum err advance(struct dir_lister *l)
{
    bool full = false;
    while (!full) {
        struct dag_slot *slot = dag_window_find(&l->window, DAG_ARRIVED);
        enum err err;
        if (slot != NULL) {
            err = look_at(l, slot);
        } else {
            slot = first_with_shards(l);
            if (slot == NULL)
                break;
            err = add_shard(l, slot, &full);
        }
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

enum err dir_lister_next_want(struct dir_lister *lister, struct cid *ret_cid)
{
    if (lister->failure != ERR_OK || advance(lister) != ERR_OK)
        return ERR_AGAIN;
    return dag_window_next_want(&lister->window, ret_cid);
}

enum err dir_lister_put(struct dir_lister *lister, const struct cid *cid, struct block_ref *block)
{
    if (lister->failure != ERR_OK)
        return lister->failure;
    (void)dag_window_put(&lister->window, cid, block);
    return advance(lister);
}

static enum err make_entry(struct dir_lister *l, const struct dag_pb_link *link, struct dir_entry *ret_entry)
{
    struct dir_entry entry = {.name = link->name, .tsize = link->tsize};
    if (l->sharded)
        entry.name = hamt_entry_name(&l->params, link);
    entry.name_unsafe = !tree_name_ok(entry.name);
    if (cid_parse(link->cid, &entry.cid) != ERR_OK)
        return fail(l, ERR_CORRUPT, "a link is not a CID");
    *ret_entry = entry;
    return ERR_OK;
}

enum err dir_lister_next(struct dir_lister *lister, struct dir_entry *ret_entry)
{
    struct dir_lister *l = lister;
    while (l->failure == ERR_OK && advance(l) == ERR_OK) {
        struct dag_slot *slot = l->window.first;
        if (slot == NULL)
            return ERR_CLOSED;
        if (slot->state != DAG_READY && slot->state != DAG_OPEN)
            return ERR_AGAIN;
        struct dag_pb_link link;
        if (next_of(l, &slot->bytes, false, &link))
            return make_entry(l, &link, ret_entry);
        dag_window_remove(&l->window, slot);
    }
    return l->failure;
}

void dir_lister_retry(struct dir_lister *lister, const struct cid *cid)
{
    dag_window_retry(&lister->window, cid);
}

size_t dir_lister_reserved(const struct dir_lister *lister)
{
    return lister->window.reserved;
}

bool dir_lister_waits_for(const struct dir_lister *lister, const struct cid *cid)
{
    return dag_window_waits_for(&lister->window, cid);
}

const char *dir_lister_why(const struct dir_lister *lister)
{
    return lister->why;
}
