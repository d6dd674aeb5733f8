/* SPDX-License-Identifier: MIT */
#include "storage/dag_walk.h"

#include <stdlib.h>

#include "storage/cid_set.h"
#include "storage/dag_window.h"
#include "wire/dag_links.h"

struct dag_walk {
    struct dag_window window;
    struct dag_walk_options options;
    struct cid_set seen;
    enum err failure;
    const char *why;
};

static enum err fail(struct dag_walk *w, enum err err, const char *why)
{
    w->failure = err;
    w->why = why;
    dag_window_release(&w->window);
    return err;
}

/* Whether a block is visited without being fetched. */
static bool is_unseen_leaf(const struct dag_walk *w, const struct cid *cid, uint32_t depth)
{
    return !w->options.fetch_leaves && (cid->codec == CODEC_RAW || depth >= w->options.depth_max);
}

/* In order: a block that waits further behind is read where it stands first. What waits behind was not opened, so nothing hangs on it. */
static void move_up(struct dag_walk *w, struct dag_slot *before, const struct cid *cid, uint32_t depth)
{
    struct dag_slot *slot = before;
    while (slot != NULL &&
           (slot->state == DAG_OPEN || slot->cid.codec != cid->codec || !cid_same_block(&slot->cid, cid)))
        slot = slot->next;
    if (slot == NULL)
        return;
    slot->depth = depth;
    dag_window_move(&w->window, slot, before);
}

/* What was seen is forgotten as a whole when it has become too much: what repeats close by is still found. */
static enum err remember(struct dag_walk *w, const struct cid *cid, bool *ret_new)
{
    size_t max = w->seen.max;
    enum err err = cid_set_add(&w->seen, cid, ret_new);
    if (!w->options.forget_when_full || (err != ERR_BUSY && err != ERR_NOMEM))
        return err;
    cid_set_release(&w->seen);
    cid_set_init(&w->seen, max, w->options.account);
    err = cid_set_add(&w->seen, cid, ret_new);
    *ret_new = *ret_new || err != ERR_OK;
    return err == ERR_NOMEM ? ERR_OK : err;
}

/* Adds a block before a slot unless it was seen. */
static enum err add_block(struct dag_walk *w, struct dag_slot *before, const struct cid *cid, uint32_t depth)
{
    bool is_new = true;
    bool forgets = w->options.forget_leaves && cid->codec == CODEC_RAW;
    enum err err = forgets ? ERR_OK : remember(w, cid, &is_new);
    if (err == ERR_BUSY)
        return fail(w, err, "there are too many blocks below the root");
    if (err != ERR_OK)
        return fail(w, err, "no memory to remember the blocks seen");
    if (!is_new && w->options.in_order)
        move_up(w, before, cid, depth);
    if (!is_new)
        return ERR_OK;
    struct dag_slot *slot;
    bool unseen = is_unseen_leaf(w, cid, depth);
    err = dag_window_add(&w->window, before, cid, unseen ? 0 : DAG_NODE_ESTIMATE / 2, depth, &slot);
    if (err != ERR_OK)
        return fail(w, err, "no memory for the walk");
    if (unseen)
        slot->state = DAG_READY;
    return ERR_OK;
}

enum err dag_walk_new(const struct cid *root, const struct dag_walk_options *options, struct dag_walk **ret_walk)
{
    struct dag_walk *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return ERR_NOMEM;
    w->options = *options;
    w->why = "";
    dag_window_init(&w->window, options->window_blocks, options->window_bytes, options->account, options->shared);
    cid_set_init(&w->seen, options->blocks_max == 0 ? DAG_WALK_BLOCKS_MAX : options->blocks_max, options->account);
    enum err err = add_block(w, NULL, root, 0);
    if (err != ERR_OK) {
        dag_walk_free(w);
        return err;
    }
    *ret_walk = w;
    return ERR_OK;
}

void dag_walk_free(struct dag_walk *walk)
{
    if (walk == NULL)
        return;
    dag_window_release(&walk->window);
    cid_set_release(&walk->seen);
    free(walk);
}

/* A block arrived: it is to be visited, and before that slot's place its children will come. */
static enum err look_at(struct dag_walk *w, struct dag_slot *slot)
{
    struct dag_links links = {0};
    struct cid child;
    struct span name;
    bool ends_here = slot->depth >= w->options.depth_max;
    if (!ends_here && !dag_links_known(slot->cid.codec))
        return fail(w, ERR_UNSUPPORTED, "links of this codec cannot be followed");
    if (!ends_here && dag_links_open(slot->cid.codec, block_ref_span(slot->block), &links) != ERR_OK)
        return fail(w, ERR_CORRUPT, "a block is not what its codec says");
    struct span all = links.rest;
    if (ends_here || !dag_links_next(&links, &child, &name)) {
        slot->state = DAG_READY;
        return ERR_OK;
    }
    enum err err = dag_window_add_bytes(&w->window, slot, slot->block, (struct span){0});
    if (err != ERR_OK)
        return fail(w, err, "no memory for the walk");
    slot->prev->cid = slot->cid;
    slot->prev->depth = slot->depth;
    slot->links = all;
    err = dag_window_open(&w->window, slot);
    return err == ERR_OK ? ERR_OK : fail(w, err, "the nodes above the blocks are too large");
}

static enum err add_child(struct dag_walk *w, struct dag_slot *slot, bool *ret_full)
{
    if (!dag_window_has_room(&w->window, slot, DAG_NODE_ESTIMATE / 2)) {
        *ret_full = true;
        return ERR_OK;
    }
    struct dag_links links = {.codec = slot->cid.codec, .rest = slot->links};
    struct cid cid;
    struct span name;
    if (!dag_links_next(&links, &cid, &name)) {
        dag_window_remove(&w->window, slot);
        return ERR_OK;
    }
    slot->links = links.rest;
    return add_block(w, slot, &cid, slot->depth + 1);
}

/* Looks at what arrived and fills the window up. */
static enum err advance(struct dag_walk *w)
{
    bool full = false;
    while (!full) {
        struct dag_slot *slot = dag_window_find(&w->window, DAG_ARRIVED);
        enum err err;
        if (slot != NULL && (!w->options.in_order || slot == w->window.first)) {
            err = look_at(w, slot);
        } else {
            slot = dag_window_find(&w->window, DAG_OPEN);
            if (slot == NULL)
                break;
            err = add_child(w, slot, &full);
        }
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

enum err dag_walk_next_want(struct dag_walk *walk, struct cid *ret_cid)
{
    if (walk->failure != ERR_OK || advance(walk) != ERR_OK)
        return ERR_AGAIN;
    return dag_window_next_want(&walk->window, ret_cid);
}

enum err dag_walk_put(struct dag_walk *walk, const struct cid *cid, struct block_ref *block)
{
    if (walk->failure != ERR_OK)
        return walk->failure;
    (void)dag_window_put(&walk->window, cid, block);
    return advance(walk);
}

enum err dag_walk_next(struct dag_walk *walk, struct dag_visit *ret_visit)
{
    struct dag_walk *w = walk;
    if (w->failure != ERR_OK)
        return w->failure;
    enum err err = advance(w);
    if (err != ERR_OK)
        return err;
    struct dag_slot *slot = w->window.first;
    if (slot == NULL)
        return ERR_CLOSED;
    if (slot->state != DAG_READY)
        return ERR_AGAIN;
    *ret_visit = (struct dag_visit){.cid = slot->cid, .depth = slot->depth};
    ret_visit->block = slot->block == NULL ? NULL : block_ref_ref(slot->block);
    dag_window_remove(&w->window, slot);
    return ERR_OK;
}

void dag_walk_retry(struct dag_walk *walk, const struct cid *cid)
{
    dag_window_retry(&walk->window, cid);
}

void dag_walk_skip(struct dag_walk *walk, const struct cid *cid)
{
    dag_window_skip(&walk->window, cid);
}

bool dag_walk_waits_for(const struct dag_walk *walk, const struct cid *cid)
{
    return dag_window_waits_for(&walk->window, cid);
}

size_t dag_walk_found(const struct dag_walk *walk)
{
    return walk->seen.count;
}

const char *dag_walk_why(const struct dag_walk *walk)
{
    return walk->why;
}
