/* SPDX-License-Identifier: MIT */
/*
 * Reads of the cold tier: one for each block, however many want it. What proves wrong, or is not there, loses its cold row, and is quarantined
 * when that was its only one; of a medium that does not answer nothing is concluded.
 */
#include <stdlib.h>

#include "storage/blockstore_private.h"

static bool may_be_cold(const struct blockstore *s, const struct block_key *key)
{
    return s->info.cold_blocks > 0 && table_get(&s->cold.bad, block_key_span(key)) == NULL &&
           !filter_absent(s->filter, key);
}

enum err store_find_cold(struct blockstore *s, const struct block_key *key, struct cold_place *ret_place)
{
    if (!may_be_cold(s, key))
        return ERR_NOT_FOUND;
    return store_catalogue_said(s, catalogue_find_cold(s->reader, key, ret_place));
}

bool store_cold_counts(struct blockstore *s, const struct block_key *key)
{
    bool counts = false;
    return may_be_cold(s, key) && store_catalogue_said(s, catalogue_cold_counts(s->reader, key, &counts)) == ERR_OK &&
           counts;
}

/* ---- who wants what ---- */

static void push_waiting(struct store_tier *t, struct cold_read *read)
{
    read->next = NULL;
    *t->waiting_tail = read;
    t->waiting_tail = &read->next;
}

/* One that was under way goes before those that came after it, so that the first is the first whose time is over. */
static void push_again(struct store_tier *t, struct cold_read *read)
{
    struct cold_read **link = &t->waiting;
    while (*link != NULL && (*link)->deadline_ns <= read->deadline_ns)
        link = &(*link)->next;
    read->next = *link;
    *link = read;
    if (read->next == NULL)
        t->waiting_tail = &read->next;
}

static struct cold_read *pop_waiting(struct store_tier *t)
{
    struct cold_read *read = t->waiting;
    t->waiting = read->next;
    if (t->waiting == NULL)
        t->waiting_tail = &t->waiting;
    return read;
}

static enum err find_read(struct blockstore *s, const struct cold_place *place, struct cold_read **ret_read)
{
    struct store_tier *t = &s->cold;
    struct cold_read *read = table_get(&t->reads, block_key_span(&place->key));
    if (read == NULL) {
        read = calloc(1, sizeof(*read));
        if (read == NULL)
            return ERR_NOMEM;
        enum err err = table_put(&t->reads, block_key_span(&place->key), read, NULL);
        if (err != ERR_OK) {
            free(read);
            return err;
        }
        read->place = *place;
        read->deadline_ns = s->now_ns + STORE_COLD_READ_NS;
        push_waiting(t, read);
    }
    *ret_read = read;
    return ERR_OK;
}

enum err store_cold_want(struct blockstore *s, const struct cold_place *place, enum want_kind kind, struct store_op *op)
{
    struct store_tier *t = &s->cold;
    struct cold_read *read = NULL;
    if (t->phase == COLD_OFF || (t->phase <= COLD_CLAIM && t->failures > 0))
        return ERR_UNAVAILABLE;
    struct cold_want *want = malloc(sizeof(*want));
    enum err err = want == NULL ? ERR_NOMEM : find_read(s, place, &read);
    if (err != ERR_OK) {
        free(want);
        return err;
    }
    *want = (struct cold_want){.kind = kind, .op = op};
    struct cold_want **link = &read->wants;
    while (*link != NULL)
        link = &(*link)->next;
    *link = want;
    return ERR_OK;
}

void store_cold_get(struct blockstore *s, struct store_op *op)
{
    struct cold_place place;
    enum err err = store_find_cold(s, &op->key, &place);
    op->ref = err == ERR_OK ? cold_shelf_find(&s->cold.shelf, &op->key) : NULL;
    if (err == ERR_OK && op->ref == NULL)
        err = store_cold_want(s, &place, WANT_GET, op);
    if (err != ERR_OK || op->ref != NULL)
        op->done(op, err);
}

static void put_promoted(struct blockstore *s, struct store_op *op, const struct cold_place *place,
                         struct block_ref *ref)
{
    op->codec = place->codec;
    op->cid_len = 0; /* it is nothing new: nobody is told */
    s->cold.promoted_bytes += place->size;
    store_put_hot(s, op, ref, false);
}

/* Whoever used it just now has left it in memory or on the shelf, and a read of the medium is saved. */
static enum err promote_cold(struct blockstore *s, const struct cold_place *place, struct store_op *op)
{
    struct block_ref *ref = memory_tier_peek(s->memory, &place->key);
    if (ref == NULL)
        ref = cold_shelf_find(&s->cold.shelf, &place->key);
    if (ref == NULL)
        return store_cold_want(s, place, WANT_PROMOTE, op);
    put_promoted(s, op, place, ref);
    block_ref_unref(ref);
    return ERR_OK;
}

void blockstore_promote(struct blockstore *s, struct store_op *op)
{
    struct cold_place cold;
    struct block_place hot;
    op->ref = NULL;
    bool stays = false;
    if (store_is_doomed(s, &op->key)) {
        op->done(op, ERR_BUSY);
        return;
    }
    if (store_put_joins(s, op))
        return;
    enum err err = store_find(s, &op->key, &hot);
    op->existed = err == ERR_OK;
    if (err == ERR_NOT_FOUND) {
        err = store_find_cold(s, &op->key, &cold);
        if (err == ERR_OK)
            err = catalogue_tier_pinned(s->reader, &op->key, "cold", &stays);
        if (err == ERR_OK && stays)
            err = ERR_DENIED;
        if (err == ERR_OK)
            err = promote_cold(s, &cold, op);
        if (err == ERR_OK)
            return;
    }
    op->done(op, err);
}

/* ---- what became of it ---- */

/* Rows may have changed while it was read: a get or a promotion of a block that is damaged here, or has gone from here, looks again. */
static void answer_op(struct blockstore *s, const struct cold_want *want, const struct cold_place *place,
                      struct block_ref *ref, enum err err)
{
    struct store_op *op = want->op;
    bool gets = want->kind == WANT_GET;
    if (store_is_damage(err) || err == ERR_AGAIN) {
        if (gets)
            blockstore_get(s, op);
        else
            blockstore_promote(s, op);
        return;
    }
    if (err == ERR_OK && !gets && store_is_doomed(s, &op->key)) {
        op->done(op, ERR_BUSY);
        return;
    }
    if (err == ERR_OK && !gets) {
        put_promoted(s, op, place, ref);
        return;
    }
    op->ref = err == ERR_OK ? block_ref_ref(ref) : NULL;
    op->done(op, err);
}

static void answer(struct blockstore *s, const struct cold_want *want, const struct cold_place *place,
                   struct block_ref *ref, enum err err)
{
    switch (want->kind) {
    case WANT_GET:
    case WANT_PROMOTE:
        answer_op(s, want, place, ref, err);
        break;
    case WANT_COUNT:
        store_cold_node_came(s, place, ref, err);
        break;
    case WANT_REWRITE:
        store_rewrite_read(s, place, ref, err);
        break;
    }
}

/* ERR_AGAIN: its rows are not what they were. */
static void finish(struct blockstore *s, struct cold_read *read, struct block_ref *ref, enum err err)
{
    (void)table_remove(&s->cold.reads, block_key_span(&read->place.key));
    while (read->wants != NULL) {
        struct cold_want *want = read->wants;
        read->wants = want->next;
        answer(s, want, &read->place, ref, err);
        free(want);
    }
    free(read);
}

/* Until the change is committed it counts as not being there. False without memory: it is found again at the next read. */
static bool put_aside(struct blockstore *s, const struct cold_place *place, enum err err)
{
    struct catalogue_change change = {.kind = CHANGE_COLD_BAD, .key = place->key};
    const char *reason = err == ERR_NOT_FOUND ? "its pack is missing" : "its record in a pack is damaged";
    struct cold_change *cold = calloc(1, sizeof(*cold));
    store_notice(s, false, "a cold block is damaged (pack %016llx, offset %lu): %s", (unsigned long long)place->pack,
                 (unsigned long)place->offset, reason);
    memcpy(change.reason, reason, MIN(strlen(reason), sizeof(change.reason) - 1));
    if (cold != NULL)
        cold->entries = calloc(1, sizeof(*cold->entries));
    if (cold == NULL || cold->entries == NULL ||
        table_put(&s->cold.bad, block_key_span(&place->key), s, NULL) != ERR_OK) {
        cold_change_free(cold);
        return false;
    }
    cold->entries[0].place = *place;
    cold->count = 1;
    change.cold = cold;
    if (store_push_change(s, &change) != NULL)
        return true;
    (void)table_remove(&s->cold.bad, block_key_span(&place->key));
    cold_change_free(cold);
    return false;
}

/* ---- operations ---- */

/* What is waiting may have moved, gone, or come back to the disk. */
static bool still_there(struct blockstore *s, struct cold_read *read)
{
    struct cold_place now;
    enum err err = store_find_cold(s, &read->place.key, &now);
    if (err == ERR_OK)
        read->place = now;
    return err == ERR_OK;
}

static struct store_cold *read_op(struct blockstore *s, struct cold_read *read)
{
    struct store_tier *t = &s->cold;
    struct store_cold *op = store_cold_new(s, STORE_COLD_READ, read->place.pack);
    if (op == NULL) {
        push_again(t, read);
        return NULL;
    }
    read->op = op;
    op->place = read->place;
    op->deadline_ns = read->deadline_ns;
    t->running++;
    t->running_bytes += read->place.size;
    return op;
}

struct store_cold *store_cold_next_read(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    while (t->waiting != NULL && t->phase > COLD_CLAIM && t->running < STORE_COLD_READS_MAX &&
           (t->running == 0 || t->running_bytes + t->waiting->place.size <= COLD_RUNNING_BYTES)) {
        struct cold_read *read = pop_waiting(t);
        if (still_there(s, read))
            return read_op(s, read);
        finish(s, read, NULL, ERR_AGAIN);
    }
    return NULL;
}

static bool is_same(const struct cold_place *a, const struct cold_place *b)
{
    return a->pack == b->pack && a->offset == b->offset;
}

/* What is moved to the disk or to another pack, or counted, is not what people ask for. */
static bool is_asked_for(const struct cold_read *read)
{
    const struct cold_want *want = read->wants;
    while (want != NULL && want->kind != WANT_GET)
        want = want->next;
    return want != NULL;
}

/* At least this part of it is free. */
static bool reads_have_room(const struct blockstore *s, unsigned part)
{
    const struct account *reads = s->reads_account;
    return reads == NULL || account_free(reads) >= reads->limit_bytes / part;
}

static void came(struct blockstore *s, struct cold_read *read, struct block_ref *ref)
{
    size_t bytes;
    bool charged = block_ref_recharge(ref, s->reads_account);
    (void)charged; /* else it stays charged to whoever read it */
    if (is_asked_for(read)) {
        memory_tier_put(s->memory, &read->place.key, ref);
        if (!memory_tier_has(s->memory, &read->place.key, &bytes) && reads_have_room(s, COLD_SHELF_ROOM))
            cold_shelf_put(&s->cold.shelf, &read->place.key, ref, s->now_ns);
    }
    finish(s, read, ref, ERR_OK);
}

void store_cold_read_done(struct blockstore *s, struct store_cold *op, enum err err)
{
    struct store_tier *t = &s->cold;
    struct cold_read *read = table_get(&t->reads, block_key_span(&op->place.key));
    t->running--;
    t->running_bytes -= op->place.size;
    if (read == NULL)
        return;
    read->op = NULL;
    if (err == ERR_BUSY) {
        push_again(t, read);
        return;
    }
    if (err == ERR_OK && (op->ref == NULL || op->ref->len != op->place.size))
        err = ERR_CORRUPT;
    bool there = still_there(s, read);
    if (store_is_damage(err) && there && !is_same(&read->place, &op->place)) {
        push_again(t, read);
        return;
    }
    if (store_is_damage(err) && there)
        err = put_aside(s, &read->place, err)
                  ? err
                  : ERR_NOMEM; /* else whoever asks would read it again at once, without end */
    else if (!there && (err == ERR_OK || store_is_damage(err)))
        err = ERR_AGAIN; /* it was removed meanwhile, and must not come back by this */
    if (err == ERR_OK)
        came(s, read, op->ref);
    else
        finish(s, read, NULL, err);
}

static struct cold_want **find_get(const struct blockstore *s, const struct store_op *op, struct cold_read **ret_read)
{
    struct cold_read *read = table_get(&s->cold.reads, block_key_span(&op->key));
    struct cold_want **link = read == NULL ? NULL : &read->wants;
    while (link != NULL && *link != NULL && ((*link)->kind != WANT_GET || (*link)->op != op))
        link = &(*link)->next;
    *ret_read = read;
    return link == NULL || *link == NULL ? NULL : link;
}

static void unlist(struct store_tier *t, const struct cold_read *read)
{
    struct cold_read **link = &t->waiting;
    while (*link != read)
        link = &(*link)->next;
    *link = read->next;
    if (*link == NULL)
        t->waiting_tail = link;
}

struct store_cold *blockstore_give_up(struct blockstore *s, struct store_op *op)
{
    struct cold_read *read;
    struct cold_want **link = find_get(s, op, &read);
    if (link == NULL)
        return NULL;
    struct cold_want *want = *link;
    struct store_cold *alone = NULL;
    *link = want->next;
    free(want);
    if (read->wants == NULL && read->op == NULL) {
        unlist(&s->cold, read);
        finish(s, read, NULL, ERR_CANCELLED);
    } else if (read->wants == NULL) {
        alone = read->op;
    }
    op->done(op, ERR_CANCELLED);
    return alone;
}

void store_cold_tick(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    cold_shelf_age(&t->shelf, s->now_ns);
    if (!reads_have_room(s, COLD_SHELF_PART))
        cold_shelf_release(&t->shelf); /* those who ask now go first */
    store_check_tick(s);
    while (t->waiting != NULL && t->waiting->deadline_ns <= s->now_ns)
        finish(s, pop_waiting(t), NULL, ERR_UNAVAILABLE);
    bool tells = t->waiting != NULL && t->phase <= COLD_CLAIM && t->failures > 0;
    for (size_t n = tells ? table_len(&t->reads) : 0; n > 0 && t->waiting != NULL; n--)
        finish(s, pop_waiting(t), NULL, ERR_UNAVAILABLE); /* the medium is not there */
}
