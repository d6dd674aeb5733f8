/* SPDX-License-Identifier: MIT */
/*
 * The cold tier's medium, as the store sees it: noted, claimed, swept, its packs compared with those that are known; then packs are written and removed. Its
 * mark is in the catalogue, and in a second copy, before it is on the medium; once it is there, a medium without it is not used: an empty
 * mount point is no tier whose packs are all lost.
 */
#include <stdio.h>
#include <stdlib.h>

#include "storage/blockstore_private.h"
#include "storage/cold_mark.h"

/* ---- life ---- */

static void init_lists(struct blockstore *s, const struct blockstore_options *o)
{
    struct store_tier *t = &s->cold;
    t->waiting_tail = &t->waiting;
    t->candidates_tail = &t->candidates;
    t->queue_tail = &t->queue;
    t->loaded_tail = &t->loaded;
    cold_shelf_init(&t->shelf, o->reads == NULL ? COLD_RUNNING_BYTES : o->reads->limit_bytes / COLD_SHELF_PART);
    table_init(&t->reads, STORE_COLD_WAITING_MAX, o->tables);
    table_init(&t->bad, STORE_BAD_MAX, o->tables);
    table_init(&t->demoting, STORE_DEMOTE_WAITING_MAX + PACK_RECORDS_MAX, o->tables);
    /* Ids of packs must differ between lives, whatever the seed. */
    prng_init(&t->random, o->seed ^ (s->info.generation << 20) ^ s->real_now_ns);
}

/* The second copy is read when there is no first one, and else made to say the same. */
static enum err find_medium(struct blockstore *s, const struct blockstore_options *o)
{
    struct store_tier *t = &s->cold;
    struct cold_medium copy;
    enum err err = catalogue_medium(s->reader, &t->medium);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    enum err copied = cold_mark_load(o->port, o->path, &copy);
    if (err == ERR_OK) {
        t->phase = COLD_CLAIM;
        if (copied != ERR_OK || memcmp(&copy, &t->medium, sizeof(copy)) != 0)
            copied = cold_mark_save(o->port, o->path, &t->medium);
        return copied == ERR_NO_SPACE ? ERR_OK : copied; /* the next start tries again */
    }
    t->phase = COLD_NOTE;
    if (copied == ERR_OK) {
        t->medium = copy;
        t->unlisted = copy.kind[0] != '\0';
        t->phase = t->unlisted
                       ? COLD_CLAIM
                       : COLD_NOTE; /* its row comes when the packs are known, so that this outlives a restart */
    } else {
        prng_fill(&t->random, t->medium.mark, sizeof(t->medium.mark));
    }
    return copied == ERR_NOT_FOUND || copied == ERR_CORRUPT ? ERR_OK : copied;
}

enum err store_cold_init(struct blockstore *s, const struct blockstore_options *o)
{
    init_lists(s, o);
    s->cold.check_due_ns = s->now_ns + SCRUB_START_NS;
    enum err err = o->cold ? find_medium(s, o) : ERR_OK;
    if (err == ERR_OK && !o->cold && s->info.cold_blocks > 0)
        store_notice(s, false,
                     "%llu blocks are in a cold tier, and none is configured: they cannot be read until "
                     "Tiers.Cold names it again",
                     (unsigned long long)s->info.cold_blocks);
    return err;
}

static void free_reads(struct store_tier *t)
{
    size_t position = 0;
    struct cold_read *read;
    while ((read = table_next(&t->reads, &position, NULL)) != NULL) {
        while (read->wants != NULL) {
            struct cold_want *want = read->wants;
            read->wants = want->next;
            free(want);
        }
        free(read);
    }
    table_release(&t->reads);
}

void store_cold_release(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    free_reads(t);
    cold_shelf_release(&t->shelf);
    for (size_t i = 0; i < t->node_count; i++)
        block_ref_unref(t->nodes[i].ref);
    store_demote_release(s);
    store_pack_release(s);
    store_packs_release(s);
    store_rewrite_release(s);
    table_release(&t->bad);
    table_release(&t->demoting);
}

/* ---- changes ---- */

bool store_cold_push(struct blockstore *s, enum change_of kind, struct cold_change *cold)
{
    struct catalogue_change change = {.kind = kind, .cold = cold};
    if (cold != NULL && store_push_change(s, &change) != NULL)
        return true;
    cold_change_free(cold);
    return false;
}

bool store_cold_push_pack(struct blockstore *s, enum change_of kind, uint64_t pack, enum pack_state state)
{
    struct cold_change *cold = calloc(1, sizeof(*cold));
    if (cold != NULL) {
        cold->pack = pack;
        cold->state = state;
    }
    return store_cold_push(s, kind, cold);
}

bool store_entries_reserve(struct blockstore *s, struct cold_entry **entries, size_t *cap, size_t count)
{
    size_t more = MAX(MAX(count, *cap * 2), (size_t)64);
    uint64_t bytes = (more - *cap) * sizeof(**entries);
    if (count <= *cap)
        return true;
    if (s->tables != NULL && !account_take(s->tables, bytes))
        return false;
    struct cold_entry *grown = realloc(*entries, more * sizeof(*grown));
    if (grown == NULL) {
        if (s->tables != NULL)
            account_give(s->tables, bytes);
        return false;
    }
    *entries = grown;
    *cap = more;
    return true;
}

void store_entries_release(struct blockstore *s, size_t *cap)
{
    if (s->tables != NULL)
        account_give(s->tables, *cap * sizeof(struct cold_entry));
    *cap = 0;
}

/* Whatever is pushed here is committed soon; what is not, for want of memory, is pushed at the next look. */
void store_cold_note(struct blockstore *s)
{
    struct cold_change *cold = calloc(1, sizeof(*cold));
    if (cold != NULL)
        cold->medium = s->cold.medium;
    s->cold.changing = store_cold_push(s, CHANGE_TIER, cold);
}

static void medium_noted(struct blockstore *s, const struct catalogue_change *change)
{
    struct store_tier *t = &s->cold;
    t->changing = false;
    if (change->err != ERR_OK) { /* its second copy could not be written */
        store_notice(s, false, "%s/" COLD_MARK_COPY ": %s: the cold tier is not used until it can be written",
                     s->core->path, err_text(change->err));
        store_cold_back_off(s);
    } else if (t->phase == COLD_NOTE) {
        t->phase = COLD_CLAIM;
    }
}

void store_cold_changed(struct blockstore *s, struct catalogue_change *change)
{
    enum change_of kind = change->kind;
    if (kind == CHANGE_TIER) {
        medium_noted(s, change);
    } else if (kind == CHANGE_PACK_NEW || kind == CHANGE_PACK_WHOLE) {
        store_pack_changed(s, change);
    } else if (kind == CHANGE_HOT_RM) {
        store_left(s, change);
    } else if (kind == CHANGE_COLD_BAD) {
        (void)table_remove(&s->cold.bad, block_key_span(&change->key));
        memory_tier_drop(s->memory, &change->key); /* it counts as absent now */
        healer_look(&s->healer);
        store_check_settle(s);
    } else if (kind == CHANGE_PACK_CHECKED) {
        store_check_changed(s, change);
    } else {
        store_packs_changed(s, change);
    }
}

/* Not while a collection has a page in hand: a row that it found would have gone from it, and the block stay until the next one. */
bool store_cold_wants_commit(const struct blockstore *s)
{
    return (s->cold.packing == PACKING_WHOLE || store_leave_wanted(s)) && !s->collecting && s->doomed_page == NULL;
}

void store_cold_take_changes(struct blockstore *s)
{
    if (!store_cold_wants_commit(s))
        return;
    store_leave_take(s); /* those of the packs before this one */
    store_pack_take(s);
}

/* ---- the medium ---- */

struct store_cold *store_cold_new(const struct blockstore *s, enum store_cold_kind kind, uint64_t pack)
{
    struct store_cold *op = calloc(1, sizeof(*op));
    if (op == NULL)
        return NULL;
    op->kind = kind;
    op->pack = pack;
    op->deadline_ns = s->now_ns + STORE_COLD_WORK_NS;
    if (kind == STORE_COLD_INDEX)
        op->places = calloc(STORE_COLD_PAGE, sizeof(*op->places));
    if (kind == STORE_COLD_PACKS)
        op->packs = calloc(STORE_COLD_PAGE, sizeof(*op->packs));
    if ((kind == STORE_COLD_INDEX && op->places == NULL) || (kind == STORE_COLD_PACKS && op->packs == NULL)) {
        free(op);
        return NULL;
    }
    return op;
}

void store_cold_free(struct store_cold *op)
{
    if (op == NULL)
        return;
    block_ref_unref(op->ref);
    free(op->places);
    free(op->packs);
    free(op);
}

void store_cold_back_off(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    uint64_t seconds = MIN(UINT64_C(1) << MIN(t->failures, 6U), (uint64_t)COLD_RETRY_MAX_S);
    t->failures++;
    t->retry_at_ns = s->now_ns + seconds * SECOND_NS;
}

/* A medium that answers is up, whatever it says of an object; told when that changes. One that does not is asked for its mark until it does. */
static void note_answer(struct blockstore *s, const struct store_cold *op, enum err err)
{
    struct store_tier *t = &s->cold;
    bool away = err == ERR_UNAVAILABLE || err == ERR_DENIED || (op->kind == STORE_COLD_CLAIM && err != ERR_OK);
    if (away && !t->told)
        store_notice(s, false, "%s: what is only in the cold tier cannot be read, and nothing goes there",
                     op->why[0] != '\0' ? op->why : "the cold tier does not answer");
    if (!away && t->told && t->phase > COLD_CLAIM)
        store_notice(s, false, "the cold tier is there again");
    t->told = away || (t->told && t->phase <= COLD_CLAIM);
    t->up = !away && t->phase > COLD_CLAIM;
    if (err == ERR_OK)
        t->failures = 0;
}

bool store_cold_is_away(const struct blockstore *s)
{
    const struct store_tier *t = &s->cold;
    return t->phase == COLD_OFF || (t->phase <= COLD_CLAIM ? t->failures > 0 : !t->up);
}

static struct store_cold *claim(struct blockstore *s)
{
    struct store_cold *op = store_cold_new(s, STORE_COLD_CLAIM, 0);
    if (op == NULL)
        return NULL;
    op->deadline_ns = s->now_ns + STORE_COLD_READ_NS; /* people wait for it, and it is a small read */
    memcpy(op->mark, s->cold.medium.mark, sizeof(op->mark));
    op->adopt = s->cold.medium.kind[0] != '\0';
    return op;
}

static void claimed(struct blockstore *s, const struct store_cold *op)
{
    struct cold_medium *medium = &s->cold.medium;
    bool same = strcmp(medium->kind, op->kind_name) == 0 && strcmp(medium->place, op->place_name) == 0;
    if (s->cold.phase == COLD_CLAIM)
        s->cold.phase = COLD_SWEEP; /* else it was only asked whether it is there again */
    if (same)
        return;
    (void)snprintf(medium->kind, sizeof(medium->kind), "%s", op->kind_name);
    (void)snprintf(medium->place, sizeof(medium->place), "%s", op->place_name);
    if (!s->cold.unlisted)
        store_cold_note(s);
}

static struct store_cold *next_of_medium(struct blockstore *s)
{
    switch (s->cold.phase) {
    case COLD_NOTE:
        if (!s->cold.changing)
            store_cold_note(s);
        return NULL;
    case COLD_CLAIM:
        return claim(s);
    case COLD_SWEEP:
        return store_cold_new(s, STORE_COLD_SWEEP, 0);
    case COLD_LIST:
        return store_packs_list(s);
    case COLD_OFF:
    case COLD_UP:
        break;
    }
    return NULL;
}

struct store_cold *blockstore_next_cold(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    if (t->phase == COLD_OFF || s->broken)
        return NULL;
    struct store_cold *op = store_cold_next_read(s);
    if (op != NULL)
        return op;
    if (t->busy || (s->now_ns < t->retry_at_ns && t->packing != PACKING_ABANDON))
        return NULL;
    op = t->phase < COLD_UP ? next_of_medium(s) : store_pack_next(s);
    if (op == NULL && t->phase == COLD_UP)
        op = t->up ? store_packs_next(s) : claim(s);
    t->busy = op != NULL;
    return op;
}

/* An operation that could not even be started is made anew: what asks for it is as it was. */
static void work_done(struct blockstore *s, struct store_cold *op, enum err err)
{
    struct store_tier *t = &s->cold;
    bool full = op->kind == STORE_COLD_ADD && err == ERR_BUSY;
    t->busy = false;
    if (err == ERR_BUSY && !full)
        return;
    if (err != ERR_OK && !full && !(op->kind == STORE_COLD_CHECK && store_is_damage(err)))
        store_cold_back_off(s);
    switch (op->kind) {
    case STORE_COLD_CLAIM:
        if (err == ERR_OK)
            claimed(s, op);
        break;
    case STORE_COLD_SWEEP:
        t->phase = err == ERR_OK ? COLD_LIST : t->phase;
        break;
    case STORE_COLD_BEGIN:
    case STORE_COLD_ADD:
    case STORE_COLD_END:
    case STORE_COLD_ABANDON:
        store_pack_done(s, op, err);
        break;
    case STORE_COLD_REMOVE:
    case STORE_COLD_INDEX:
    case STORE_COLD_PACKS:
        store_packs_done(s, op, err);
        break;
    case STORE_COLD_CHECK:
        store_check_done(s, op, err);
        break;
    case STORE_COLD_READ:
        break;
    }
    note_answer(s, op, err);
}

void blockstore_cold_done(struct blockstore *s, struct store_cold *op, enum err err)
{
    if (op->kind == STORE_COLD_READ) {
        store_cold_read_done(s, op, err);
        if (err != ERR_BUSY && err != ERR_CANCELLED) /* of these the medium said nothing */
            note_answer(s, op, err);
        if (s->cold.phase == COLD_UP && !s->cold.up && s->now_ns >= s->cold.retry_at_ns)
            store_cold_back_off(s);
    } else {
        work_done(s, op, err);
    }
    store_cold_free(op);
}

/* ---- time ---- */

uint64_t store_cold_due(const struct blockstore *s)
{
    const struct store_tier *t = &s->cold;
    uint64_t due = UINT64_MAX;
    if (t->phase == COLD_OFF)
        return due;
    if (t->phase != COLD_UP || !t->up || t->packing > PACKING_OPEN || t->loaded != NULL ||
        t->removal == REMOVING_REMOVE)
        due = MAX(t->retry_at_ns, s->now_ns + STORE_RETRY_NS);
    due = MIN(due, MIN(store_check_due(s), cold_shelf_due(&t->shelf)));
    if (t->packing == PACKING_OPEN)
        due = MIN(due, t->pack_due_ns);
    if (t->waiting != NULL)
        due = MIN(due, t->waiting->deadline_ns);
    return t->queue != NULL || t->thin != 0 ? MIN(due, s->now_ns + STORE_RETRY_NS) : due;
}
