/* SPDX-License-Identifier: MIT */
#include "storage/dag_window.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"

void dag_window_init(struct dag_window *w, size_t blocks_max, size_t bytes_max, struct account *account,
                     struct account *shared)
{
    assert(blocks_max > 0 && bytes_max > 0);
    *w = (struct dag_window){.blocks_max = blocks_max, .bytes_max = bytes_max, .account = account, .shared = shared};
}

void dag_window_release(struct dag_window *w)
{
    struct dag_slot *next;
    for (struct dag_slot *slot = w->first; slot != NULL; slot = next) {
        next = slot->next;
        dag_window_remove(w, slot);
    }
}

/* ---- what is held, and what the shared account pays for ---- */

static bool charge(struct dag_window *w, size_t bytes)
{
    if (w->shared != NULL && !account_take(w->shared, bytes))
        return false;
    w->charged += bytes;
    return true;
}

/* Nothing is charged that no slot will need. */
static void uncharge(struct dag_window *w)
{
    if (w->charged <= w->reserved)
        return;
    if (w->shared != NULL)
        account_give(w->shared, w->charged - w->reserved);
    w->charged = w->reserved;
}

static void reserve(struct dag_window *w, struct dag_slot *slot, size_t bytes)
{
    w->reserved = w->reserved - slot->reserved + bytes;
    slot->reserved = bytes;
}

static void hold(struct dag_window *w, struct dag_slot *slot, size_t bytes)
{
    w->held = w->held - slot->held + bytes;
    slot->held = bytes;
}

static bool is_waited_for(const struct dag_window *w, const struct dag_slot *slot)
{
    return slot == w->first && !w->is_ahead;
}

/* Finds a place in memory for a slot's block; the one that is waited for has one in any case. */
static bool admit(struct dag_window *w, struct dag_slot *slot)
{
    size_t held = w->held - slot->held + slot->reserved;
    bool fits = held <= w->charged || (held <= w->bytes_max && charge(w, held - w->charged));
    if (!fits && !is_waited_for(w, slot))
        return false;
    hold(w, slot, slot->reserved);
    return true;
}

/*
 * The window is wholly asked for, little of it has to be read, and the reader has waited for what came: it takes long to come. What is on its
 * way may double in a round trip.
 */
static bool may_go_ahead(const struct dag_window *w, size_t bytes)
{
    uint64_t ahead = 2 * (w->waited - MIN(w->patience, w->waited));
    uint64_t most = w->bytes_max + MIN(ahead, (uint64_t)w->bytes_max * (DAG_AHEAD - 1));
    return w->charged + bytes > w->bytes_max && w->held < w->bytes_max / 2 && w->reserved + bytes <= most;
}

/* Blocks came sooner than they were read. */
static void come_back(struct dag_window *w)
{
    if (w->waited > w->patience)
        w->patience = MIN(2 * w->patience + w->bytes_max, (uint64_t)w->bytes_max * DAG_PATIENCE_MAX);
    w->waited = 0;
}

bool dag_window_has_room(const struct dag_window *w, const struct dag_slot *before, size_t bytes)
{
    if (is_waited_for(w, before))
        return true;
    if (w->slots >= w->blocks_max)
        return false;
    if (w->reserved + bytes > w->bytes_max)
        return may_go_ahead(w, bytes);
    return w->shared == NULL || account_free(w->shared) >= bytes;
}

/* ---- slots ---- */

static struct dag_slot *slot_new(struct dag_window *w)
{
    if (w->account != NULL && !account_take(w->account, sizeof(struct dag_slot)))
        return NULL;
    struct dag_slot *slot = calloc(1, sizeof(*slot));
    if (slot == NULL && w->account != NULL)
        account_give(w->account, sizeof(*slot));
    return slot;
}

static void chain(struct dag_window *w, struct dag_slot *before, struct dag_slot *slot)
{
    slot->next = before;
    slot->prev = before == NULL ? w->last : before->prev;
    *(slot->prev == NULL ? &w->first : &slot->prev->next) = slot;
    *(before == NULL ? &w->last : &before->prev) = slot;
}

static void unchain(struct dag_window *w, const struct dag_slot *slot)
{
    *(slot->prev == NULL ? &w->first : &slot->prev->next) = slot->next;
    *(slot->next == NULL ? &w->last : &slot->next->prev) = slot->prev;
}

static void link_before(struct dag_window *w, struct dag_slot *before, struct dag_slot *slot)
{
    chain(w, before, slot);
    w->slots++;
    w->reserved += slot->reserved;
    if (w->charged + slot->reserved <= w->bytes_max)
        (void)charge(w, slot->reserved);
}

/* What was reserved by guess becomes what the block takes. */
static void settle(struct dag_window *w, struct dag_slot *slot, struct block_ref *block)
{
    reserve(w, slot, block->cap);
    hold(w, slot, block->cap);
    uncharge(w);
    slot->block = block_ref_ref(block);
    slot->state = DAG_ARRIVED;
}

/* The block came: it is kept if there is room. */
static void take_in(struct dag_window *w, struct dag_slot *slot, struct block_ref *block)
{
    w->waited += slot == w->first ? block->len : 0;
    reserve(w, slot, block->cap);
    if (admit(w, slot)) {
        settle(w, slot, block);
        return;
    }
    hold(w, slot, 0);
    slot->state = DAG_STORED;
    come_back(w);
}

/* The block of a CID, if the window holds it or the CID itself does; with a reference for the caller. */
static struct block_ref *block_at_hand(const struct dag_window *w, const struct cid *cid)
{
    if (cid->hash.code == MULTIHASH_IDENTITY)
        return block_ref_copy(span_of(cid->hash.digest, cid->hash.len), w->account);
    for (const struct dag_slot *slot = w->first; slot != NULL; slot = slot->next) {
        if (slot->block != NULL && cid_same_block(&slot->cid, cid))
            return block_ref_ref(slot->block);
    }
    return NULL;
}

enum err dag_window_add(struct dag_window *w, struct dag_slot *before, const struct cid *cid, size_t bytes,
                        uint32_t depth, struct dag_slot **ret_slot)
{
    struct block_ref *block = block_at_hand(w, cid);
    struct dag_slot *slot = slot_new(w);
    if (slot == NULL || (block == NULL && cid->hash.code == MULTIHASH_IDENTITY)) {
        if (slot != NULL && w->account != NULL)
            account_give(w->account, sizeof(*slot));
        free(slot);
        block_ref_unref(block);
        return ERR_NOMEM;
    }
    slot->state = DAG_WANTED;
    slot->depth = depth;
    slot->cid = *cid;
    slot->reserved = bytes;
    link_before(w, before, slot);
    if (block != NULL)
        settle(w, slot, block);
    block_ref_unref(block);
    *ret_slot = slot;
    return ERR_OK;
}

enum err dag_window_add_bytes(struct dag_window *w, struct dag_slot *before, struct block_ref *block, struct span bytes)
{
    struct dag_slot *slot = slot_new(w);
    if (slot == NULL)
        return ERR_NOMEM;
    slot->state = DAG_READY;
    slot->block = block_ref_ref(block);
    slot->bytes = bytes;
    slot->reserved = bytes.len;
    link_before(w, before, slot);
    hold(w, slot, bytes.len);
    return ERR_OK;
}

void dag_window_move(struct dag_window *w, struct dag_slot *slot, struct dag_slot *before)
{
    unchain(w, slot);
    chain(w, before, slot);
}

void dag_window_remove(struct dag_window *w, struct dag_slot *slot)
{
    unchain(w, slot);
    if (slot->state == DAG_OPEN)
        w->open_bytes -= slot->block->len;
    else
        w->slots--;
    reserve(w, slot, 0);
    hold(w, slot, 0);
    uncharge(w);
    block_ref_unref(slot->block);
    free(slot);
    if (w->account != NULL)
        account_give(w->account, sizeof(*slot));
}

enum err dag_window_open(struct dag_window *w, struct dag_slot *slot)
{
    assert(slot->state == DAG_ARRIVED);
    if (slot->block->len > DAG_OPEN_BYTES_MAX - w->open_bytes)
        return ERR_TOO_LARGE;
    slot->state = DAG_OPEN;
    w->open_bytes += slot->block->len;
    w->slots--;
    return ERR_OK;
}

/* Marks all slots of the CID as asked; whether one was before. */
static bool mark_asked(struct dag_window *w, const struct cid *cid)
{
    bool was_asked = false;
    for (struct dag_slot *slot = w->first; slot != NULL; slot = slot->next) {
        if ((slot->state != DAG_WANTED && slot->state != DAG_ASKED) || !cid_same_block(&slot->cid, cid))
            continue;
        was_asked |= slot->state == DAG_ASKED;
        slot->state = DAG_ASKED;
    }
    return was_asked;
}

/* The first slot whose block may be asked for; one that is asked for again has its place in memory from now on. */
static struct dag_slot *next_to_ask(struct dag_window *w)
{
    struct dag_slot *slot = w->first;
    while (slot != NULL && slot->state != DAG_WANTED && !(slot->state == DAG_STORED && admit(w, slot)))
        slot = slot->next;
    return slot;
}

enum err dag_window_next_want(struct dag_window *w, struct cid *ret_cid)
{
    struct dag_slot *slot;
    while ((slot = next_to_ask(w)) != NULL) {
        slot->state = DAG_WANTED;
        if (mark_asked(w, &slot->cid))
            continue;
        *ret_cid = slot->cid;
        return ERR_OK;
    }
    return ERR_AGAIN;
}

static bool waits(const struct dag_slot *slot, const struct cid *cid)
{
    return (slot->state == DAG_WANTED || slot->state == DAG_ASKED) && cid_same_block(&slot->cid, cid);
}

bool dag_window_put(struct dag_window *w, const struct cid *cid, struct block_ref *block)
{
    bool any = false;
    for (struct dag_slot *slot = w->first; slot != NULL; slot = slot->next) {
        if (!waits(slot, cid))
            continue;
        take_in(w, slot, block);
        any = true;
    }
    return any;
}

/* Whether its block can be had again, with nothing done yet that hangs on it. */
static bool may_give_back(const struct dag_slot *slot)
{
    bool whole = slot->state == DAG_ARRIVED || (slot->state == DAG_READY && slot->cid.codec == CODEC_RAW);
    return whole && slot->block != NULL && slot->cid.hash.code != MULTIHASH_IDENTITY;
}

bool dag_window_give_back(struct dag_window *w)
{
    struct dag_slot *slot = w->last;
    while (slot != NULL && !may_give_back(slot))
        slot = slot->prev;
    if (slot == NULL)
        return false;
    block_ref_unref(slot->block);
    slot->block = NULL;
    slot->bytes = (struct span){0};
    slot->state = DAG_STORED;
    hold(w, slot, 0);
    come_back(w);
    return true;
}

void dag_window_retry(struct dag_window *w, const struct cid *cid)
{
    if (w->first != NULL && waits(w->first, cid))
        (void)dag_window_give_back(w);
    for (struct dag_slot *slot = w->first; slot != NULL; slot = slot->next) {
        if (waits(slot, cid))
            slot->state = DAG_WANTED;
    }
}

void dag_window_skip(struct dag_window *w, const struct cid *cid)
{
    for (struct dag_slot *slot = w->first; slot != NULL; slot = slot->next) {
        if (!waits(slot, cid))
            continue;
        slot->state = DAG_READY;
        reserve(w, slot, 0);
    }
}

bool dag_window_waits_for(const struct dag_window *w, const struct cid *cid)
{
    for (const struct dag_slot *slot = w->first; slot != NULL; slot = slot->next) {
        if (waits(slot, cid))
            return true;
    }
    return false;
}

struct dag_slot *dag_window_find(const struct dag_window *w, enum dag_slot_state state)
{
    struct dag_slot *slot = w->first;
    while (slot != NULL && slot->state != state)
        slot = slot->next;
    return slot;
}
