/* SPDX-License-Identifier: MIT */
/*
 * The pack that is being written. The order is what nothing is lost by: its row is committed, it is written and verified, one commit makes the rows of its
 * blocks, and only after that one hot rows go.
 *
 *      NONE --> NOTED (commit) --> BEGIN --> OPEN: ADD, ADD, ... --> END --> WHOLE (commit) --> ROWS --> NONE
 *                                    \----------\------------------\--> ABANDON --> NONE: its blocks are as they were
 */
#include <stdlib.h>

#include "storage/blockstore_private.h"

/* ---- blocks that wait for it ---- */

bool store_pack_load(struct blockstore *s, const struct cold_entry *entry, struct block_ref *ref)
{
    struct store_tier *t = &s->cold;
    struct cold_loaded *one = malloc(sizeof(*one));
    if (one == NULL)
        return false;
    *one = (struct cold_loaded){.entry = *entry, .ref = ref};
    *t->loaded_tail = one;
    t->loaded_tail = &one->next;
    t->loaded_count++;
    t->loaded_bytes += ref->len;
    t->thin_loaded += entry->old_pack != 0;
    return true;
}

static void unload(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    struct cold_loaded *one = t->loaded;
    t->loaded = one->next;
    if (t->loaded == NULL)
        t->loaded_tail = &t->loaded;
    t->loaded_count--;
    t->loaded_bytes -= one->ref->len;
    t->thin_loaded -= one->entry.old_pack != 0;
    block_ref_unref(one->ref);
    free(one);
}

static void forget(struct blockstore *s, const struct cold_entry *entry)
{
    if (entry->old_pack == 0)
        (void)table_remove(&s->cold.demoting, block_key_span(&entry->place.key));
}

/* ---- the pack ---- */

/* written: what became of its blocks. */
static void end_pack(struct blockstore *s, const struct cold_change *written)
{
    struct store_tier *t = &s->cold;
    cold_change_free(t->pack);
    t->pack = NULL;
    store_entries_release(s, &t->pack_cap);
    t->packed = 0;
    t->pack_id = 0;
    t->pack_hurried = t->pack_hurried && (t->queue != NULL || t->loaded != NULL); /* for those of the next one */
    t->packing = PACKING_NONE;
    t->look = true; /* at the packs before it, or at what it has left */
    store_rewrite_packed(s, written);
}

static void forget_all(struct blockstore *s, const struct cold_change *pack)
{
    for (size_t i = 0; i < pack->count; i++)
        forget(s, &pack->entries[i]);
}

/* All that was to go into it stays where it is. */
static void give_up(struct blockstore *s)
{
    s->cold.pack_failed_ns = MAX(s->now_ns, 1);
    forget_all(s, s->cold.pack);
    while (s->cold.loaded != NULL) {
        forget(s, &s->cold.loaded->entry);
        unload(s);
    }
    end_pack(s, NULL);
}

/* Without memory it is tried again at the next look. */
static void begin_pack(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    t->pack = calloc(1, sizeof(*t->pack));
    if (t->pack == NULL)
        return;
    do
        t->pack_id = prng_next(&t->random) >> 1;
    while (t->pack_id == 0);
    t->pack->pack = t->pack_id;
    if (store_cold_push_pack(s, CHANGE_PACK_NEW, t->pack_id, PACK_WRITING))
        t->packing = PACKING_NOTED;
    else
        end_pack(s, NULL);
}

static struct store_cold *add(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    if (!store_entries_reserve(s, &t->pack->entries, &t->pack_cap, t->pack->count + 1)) {
        t->packing = t->pack->count > 0 ? PACKING_END : PACKING_ABANDON;
        return NULL;
    }
    struct store_cold *op = store_cold_new(s, STORE_COLD_ADD, t->pack_id);
    if (op == NULL)
        return NULL;
    op->place = t->loaded->entry.place;
    op->ref = block_ref_ref(t->loaded->ref);
    return op;
}

void blockstore_end_pack(struct blockstore *s)
{
    s->cold.pack_hurried = true;
}

/* Its rows are as many as one commit is to have, its time is over, or nothing more is to go into it. */
static bool is_due(const struct blockstore *s)
{
    const struct store_tier *t = &s->cold;
    bool waited_for = t->queue != NULL || t->loading || t->loaded != NULL;
    bool hurried = t->pack_hurried || t->pack_failed_ns != 0; /* whether it goes again is to be known soon */
    if (t->pack->count >= STORE_COMMIT_ROWS)
        return true;
    return t->pack->count > 0 && (s->now_ns >= t->pack_due_ns || (hurried && !waited_for));
}

struct store_cold *store_pack_next(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    if (t->packing == PACKING_NONE && t->loaded != NULL)
        begin_pack(s);
    if (t->packing == PACKING_OPEN && is_due(s))
        t->packing = PACKING_END;
    switch (t->packing) {
    case PACKING_BEGIN:
        return store_cold_new(s, STORE_COLD_BEGIN, t->pack_id);
    case PACKING_OPEN:
        return t->loaded != NULL ? add(s) : NULL;
    case PACKING_END:
        return store_cold_new(s, STORE_COLD_END, t->pack_id);
    case PACKING_ABANDON:
        return store_cold_new(s, STORE_COLD_ABANDON, t->pack_id);
    case PACKING_NONE:
    case PACKING_NOTED:
    case PACKING_WHOLE:
    case PACKING_ROWS:
        break;
    }
    return NULL;
}

/* ---- what became of an operation ---- */

static void added(struct blockstore *s, const struct store_cold *op)
{
    struct store_tier *t = &s->cold;
    struct cold_entry *entry = &t->pack->entries[t->pack->count++];
    *entry = t->loaded->entry;
    entry->place = op->place;
    if (t->pack->count == 1)
        t->pack_due_ns = s->now_ns + STORE_PACK_NS;
    t->packed += entry->old_pack == 0;
    unload(s);
}

/* The places come from outside the store: only one that is the block's own in this pack becomes a row. */
static bool is_own(const struct blockstore *s, const struct store_cold *op)
{
    const struct cold_place *place = &s->cold.loaded->entry.place;
    return block_key_equal(&op->place.key, &place->key) && op->place.pack == s->cold.pack_id &&
           op->place.size == s->cold.loaded->ref->len && op->place.stored <= op->place.size;
}

static void add_done(struct blockstore *s, const struct store_cold *op, enum err err)
{
    struct store_tier *t = &s->cold;
    if (err == ERR_OK && is_own(s, op)) {
        added(s, op);
    } else if (err == ERR_BUSY) {
        t->packing = t->pack->count > 0 ? PACKING_END : PACKING_OPEN;
    } else if (err == ERR_TOO_LARGE) {
        forget(s, &t->loaded->entry);
        unload(s);
    } else {
        t->packing = PACKING_ABANDON;
    }
}

static void end_done(struct blockstore *s, const struct store_cold *op, enum err err)
{
    struct store_tier *t = &s->cold;
    bool whole = err == ERR_OK && op->records == t->pack->count;
    t->packing = whole ? PACKING_WHOLE : PACKING_ABANDON;
    t->pack->bytes = op->bytes;
    t->pack->records = op->records;
}

void store_pack_done(struct blockstore *s, struct store_cold *op, enum err err)
{
    if (op->kind == STORE_COLD_BEGIN)
        s->cold.packing = err == ERR_OK ? PACKING_OPEN : PACKING_ABANDON;
    else if (op->kind == STORE_COLD_ADD)
        add_done(s, op, err);
    else if (op->kind == STORE_COLD_END)
        end_done(s, op, err);
    else /* abandoned: should something be left, it is removed with the pack's row */
        give_up(s);
}

/* ---- rows ---- */

void store_pack_take(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    struct catalogue_change change = {.kind = CHANGE_PACK_WHOLE, .cold = t->pack};
    if (t->packing != PACKING_WHOLE || store_push_change(s, &change) == NULL)
        return;
    t->pack = NULL;
    t->packing = PACKING_ROWS;
}

static void has_rows(struct blockstore *s, const struct catalogue_change *change)
{
    forget_all(s, change->cold);
    if (change->err == ERR_OK) {
        s->cold.pack_failed_ns = 0;
        store_leave(s, change->cold->entries, change->cold->count);
    }
    end_pack(s, change->err == ERR_OK ? change->cold : NULL);
}

void store_pack_changed(struct blockstore *s, struct catalogue_change *change)
{
    struct store_tier *t = &s->cold;
    if (change->kind == CHANGE_PACK_WHOLE)
        has_rows(s, change);
    else if (change->err == ERR_OK)
        t->packing = PACKING_BEGIN;
    else
        end_pack(s, NULL); /* the id was taken: another */
}

void store_pack_release(struct blockstore *s)
{
    while (s->cold.loaded != NULL)
        unload(s);
    cold_change_free(s->cold.pack);
    s->cold.pack = NULL;
    store_entries_release(s, &s->cold.pack_cap);
}
