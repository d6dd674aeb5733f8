/* SPDX-License-Identifier: MIT */
/*
 * Demotion at the disk's end: which blocks might go, those that shall are loaded and checked against their hashes, and at last their hot
 * rows go.
 *
 *      list job --> look-up job --> candidates --> demote --> queue --> load job --> the pack (blockstore_pack.c) --> rows --> leaving --> hot rows go
 *                                     \--> it has a cold row already ------------------------------^
 */
#include <stdlib.h>

#include "storage/blockstore_private.h"

/* Nodes that are leased stay, since whoever pins them will ask for their links; the leaves of what is being added must go when it does not fit. */
static bool lease_keeps(const struct blockstore *s, const struct block_place *place, uint32_t codec)
{
    return store_is_node(codec) && leases_protect(&s->leases, place);
}

static bool may_go(struct blockstore *s, const struct block_place *place)
{
    bool held = true;
    if (lease_keeps(s, place, place->codec) || store_is_doomed(s, &place->key))
        return false;
    return catalogue_node_held(s->reader, &place->key, &held) == ERR_OK && !held;
}

/* ---- candidates ---- */

void blockstore_candidates(struct blockstore *s, struct store_candidates_op *op)
{
    op->next = NULL;
    op->found = NULL;
    op->count = 0;
    *s->cold.candidates_tail = op;
    s->cold.candidates_tail = &op->next;
}

/* The segment to look at, and how much of it is indexed. ERR_NOT_FOUND: that was the last. */
static enum err next_segment(struct blockstore *s, const struct store_candidates_op *op, struct store_job *job)
{
    struct segment_checkpoint *list = NULL;
    size_t count = 0;
    size_t i = 0;
    enum err err = catalogue_segments(s->reader, &list, &count);
    if (err != ERR_OK)
        return err;
    while (i < count && list[i].segment < op->segment)
        i++;
    if (i < count) {
        job->use = (struct segment_use){.segment = list[i].segment, .bytes = list[i].offset};
        job->offset = list[i].segment == op->segment ? op->offset : 0;
    }
    free(list);
    return i < count ? ERR_OK : ERR_NOT_FOUND;
}

static struct store_candidates_op *pop_candidates(struct blockstore *s)
{
    struct store_candidates_op *op = s->cold.candidates;
    s->cold.candidates = op->next;
    if (s->cold.candidates == NULL)
        s->cold.candidates_tail = &s->cold.candidates;
    return op;
}

static void finish_page(struct blockstore *s, struct store_candidate *found, size_t count, enum err err)
{
    struct store_candidates_op *op = pop_candidates(s);
    op->found = found;
    op->count = count;
    op->done(op, err);
    free(found);
}

static void end_pages(struct blockstore *s, enum err err)
{
    if (err == ERR_NOT_FOUND) {
        s->cold.candidates->segment = 0;
        s->cold.candidates->offset = 0;
        err = ERR_OK;
    }
    finish_page(s, NULL, 0, err);
}

static struct store_job *look_up_job(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    struct store_job *job = store_job_new(s, JOB_LOOK_UP);
    if (job == NULL)
        return NULL;
    job->found = calloc(t->looked_count + 1, sizeof(*job->found));
    if (job->found == NULL) {
        store_job_free(job);
        return NULL;
    }
    job->page = t->looked_page;
    job->page_count = t->looked_count;
    t->looked_page = NULL;
    t->listing = true;
    return job;
}

struct store_job *store_candidates_job(struct blockstore *s)
{
    if (s->cold.candidates == NULL || s->cold.listing)
        return NULL;
    if (s->cold.looked_page != NULL)
        return look_up_job(s);
    struct store_job *job = store_job_new(s, JOB_CANDIDATES);
    if (job == NULL)
        return NULL;
    enum err err = next_segment(s, s->cold.candidates, job);
    job->page = err == ERR_OK ? malloc(STORE_CANDIDATES_PAGE * sizeof(*job->page)) : NULL;
    if (job->page == NULL) {
        store_job_free(job);
        end_pages(s, err == ERR_OK ? ERR_NOMEM : err);
        return NULL;
    }
    s->cold.listing = true;
    return job;
}

enum err store_job_candidates(struct store_job *job)
{
    return disk_tier_list(job->core->tier, job->use.segment, &job->offset, job->use.bytes, job->page,
                          STORE_CANDIDATES_PAGE, &job->page_count);
}

void store_candidates_done(struct blockstore *s, struct store_job *job, enum err err)
{
    struct store_tier *t = &s->cold;
    t->listing = false;
    if (err == ERR_BUSY)
        return;
    bool gone = err == ERR_NOT_FOUND; /* compacted meanwhile, or lost: its blocks are quarantined as they are met */
    if (!gone && err != ERR_OK) {
        finish_page(s, NULL, 0, err);
        return;
    }
    bool ended = gone || job->offset >= job->use.bytes;
    t->candidates->segment = ended ? job->use.segment + 1 : job->use.segment;
    t->candidates->offset = ended ? 0 : job->offset;
    if (gone) {
        finish_page(s, NULL, 0, ERR_OK);
        return;
    }
    t->looked_page = job->page;
    t->looked_count = job->page_count;
    job->page = NULL;
}

/* What lies there may be dead, or damaged: only what its row names is a block. */
static enum err look_up(struct catalogue_reader *reader, const struct block_place *place,
                        struct store_candidate *ret_found)
{
    struct block_place now;
    bool held = true;
    bool cold = false;
    enum err err = catalogue_find(reader, &place->key, &now);
    if (err == ERR_OK && (now.segment != place->segment || now.offset != place->offset))
        err = ERR_NOT_FOUND;
    if (err == ERR_OK)
        err = catalogue_node_held(reader, &now.key, &held);
    if (err == ERR_OK)
        err = catalogue_cold_counts(reader, &now.key, &cold);
    if (err == ERR_OK)
        *ret_found = (struct store_candidate){
            .key = now.key, .codec = now.codec, .size = now.size, .may_go = !held, .cold = cold};
    return err;
}

enum err store_job_look_up(struct store_job *job)
{
    struct catalogue_reader *reader = job->core->lane_reader;
    enum err err = ERR_OK;
    catalogue_begin_reading(reader);
    for (size_t i = 0; i < job->page_count && (err == ERR_OK || err == ERR_NOT_FOUND); i++)
        err = look_up(reader, &job->page[i], &job->found[i]);
    catalogue_end_reading(reader);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* What memory knows besides. */
void store_look_up_done(struct blockstore *s, struct store_job *job, enum err err)
{
    struct store_tier *t = &s->cold;
    struct store_candidate *found = job->found;
    size_t count = 0;
    t->listing = false;
    if (err == ERR_BUSY) { /* it never ran */
        t->looked_page = job->page;
        job->page = NULL;
        return;
    }
    if (err != ERR_OK) {
        finish_page(s, NULL, 0, store_catalogue_said(s, err));
        return;
    }
    for (size_t i = 0; i < job->page_count; i++) {
        struct span key = block_key_span(&found[i].key);
        if (key.len == 0 || table_get(&s->fresh, key) != NULL || table_get(&s->bad, key) != NULL)
            continue;
        found[i].may_go =
            found[i].may_go && !lease_keeps(s, &job->page[i], found[i].codec) && !store_is_doomed(s, &found[i].key);
        found[i].cold = found[i].cold && table_get(&t->bad, key) == NULL;
        found[count++] = found[i];
    }
    job->found = NULL;
    finish_page(s, found, count, ERR_OK);
}

/* ---- what shall go ---- */

static void enqueue(struct store_tier *t, struct cold_demotion *one)
{
    one->next = NULL;
    *t->queue_tail = one;
    t->queue_tail = &one->next;
}

static struct cold_demotion *dequeue(struct store_tier *t)
{
    struct cold_demotion *one = t->queue;
    t->queue = one->next;
    if (t->queue == NULL)
        t->queue_tail = &t->queue;
    return one;
}

enum err blockstore_demote(struct blockstore *s, const struct block_key *keys, size_t count)
{
    struct store_tier *t = &s->cold;
    if (count > STORE_DEMOTE_MAX)
        return ERR_INVALID;
    if (t->phase != COLD_UP || !t->up)
        return ERR_UNAVAILABLE;
    if (table_len(&t->demoting) - t->packed + count > STORE_DEMOTE_WAITING_MAX)
        return ERR_BUSY;
    for (size_t i = 0; i < count; i++) {
        if (table_get(&t->demoting, block_key_span(&keys[i])) != NULL)
            continue;
        struct cold_demotion *one = malloc(sizeof(*one));
        if (one == NULL || table_put(&t->demoting, block_key_span(&keys[i]), s, NULL) != ERR_OK) {
            free(one);
            return ERR_NOMEM; /* those before it go */
        }
        one->key = keys[i];
        enqueue(t, one);
    }
    return ERR_OK;
}

enum err blockstore_may_leave(struct blockstore *s, const struct block_key *key)
{
    struct block_place place;
    if (table_get(&s->cold.demoting, block_key_span(key)) != NULL)
        return ERR_BUSY;
    if (table_get(&s->fresh, block_key_span(key)) != NULL)
        return ERR_AGAIN; /* also what comes back just now */
    if (store_cold_counts(s, key))
        return ERR_EXISTS;
    enum err err = store_find(s, key, &place);
    return err == ERR_OK && !may_go(s, &place) ? ERR_DENIED : err;
}

static void forget(struct blockstore *s, const struct block_key *key)
{
    (void)table_remove(&s->cold.demoting, block_key_span(key));
}

/* Whether it is to be loaded; else it is passed over, or goes at once because it is cold already. */
static bool take(struct blockstore *s, const struct block_key *key, struct block_place *ret_place)
{
    struct cold_entry entry = {.place = {.key = *key}};
    if (table_get(&s->fresh, block_key_span(key)) != NULL || store_find(s, key, ret_place) != ERR_OK ||
        !may_go(s, ret_place))
        return false;
    if (!store_cold_counts(s, key))
        return true;
    entry.place.codec = ret_place->codec;
    entry.place.size = ret_place->size;
    store_leave(s, &entry, 1);
    return false;
}

/* A page of them, while the pack can take more. */
struct store_job *store_demote_job(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    uint64_t bytes = 0;
    if (t->leaving_count >= COLD_LEAVING_ROWS)
        return NULL; /* commits are slow or fail, and what is cold already would come here again and again */
    if (t->queue == NULL || t->loading || t->loaded_count > 0 || t->packing > PACKING_OPEN ||
        s->now_ns < t->load_retry_ns)
        return NULL;
    struct store_job *job = store_job_new(s, JOB_DEMOTE);
    if (job == NULL)
        return NULL;
    job->reads = calloc(COLD_LOADED_MAX, sizeof(*job->reads));
    while (job->reads != NULL && t->queue != NULL && t->leaving_count < COLD_LEAVING_ROWS &&
           job->read_count < COLD_LOADED_MAX && bytes < COLD_LOADED_BYTES) {
        struct cold_demotion *one = dequeue(t);
        struct read_one *read = &job->reads[job->read_count];
        if (take(s, &one->key, &read->place)) {
            bytes += read->place.size;
            job->read_count++;
        } else {
            forget(s, &one->key);
        }
        free(one);
    }
    if (job->read_count == 0) {
        store_job_free(job);
        return NULL;
    }
    t->loading = true;
    return job;
}

/* Whoever adds to a pack has verified it. */
enum err store_job_demote(struct store_job *job)
{
    for (size_t i = 0; i < job->read_count; i++) {
        struct read_one *one = &job->reads[i];
        one->err = disk_tier_read(job->core->tier, &one->place, job->account, &one->ref);
        if (one->err != ERR_OK)
            continue;
        one->err = block_key_verify(&one->place.key, block_ref_span(one->ref));
        if (one->err != ERR_OK) {
            block_ref_unref(one->ref);
            one->ref = NULL;
        }
    }
    return ERR_OK;
}

static void take_again(struct blockstore *s, const struct block_key *key)
{
    struct cold_demotion *one = malloc(sizeof(*one));
    if (one == NULL) {
        forget(s, key);
        return;
    }
    one->key = *key;
    enqueue(&s->cold, one);
}

void store_demote_done(struct blockstore *s, struct store_job *job, enum err err)
{
    bool full = false; /* the account of reads */
    s->cold.loading = false;
    for (size_t i = 0; i < job->read_count; i++) {
        struct read_one *one = &job->reads[i];
        struct cold_entry entry = {
            .place = {.key = one->place.key, .codec = one->place.codec, .size = one->place.size}};
        struct block_place now;
        bool there = store_find(s, &one->place.key, &now) == ERR_OK;
        if (err == ERR_BUSY || one->err == ERR_NOMEM) {
            full = full || err != ERR_BUSY;
            take_again(s, &one->place.key);
            continue;
        }
        if (one->err == ERR_OK && there && store_pack_load(s, &entry, one->ref)) {
            one->ref = NULL;
            continue;
        }
        if (store_is_damage(one->err) && there && now.segment == one->place.segment && now.offset == one->place.offset)
            store_quarantine(s, &one->place, one->err);
        forget(s, &one->place.key);
    }
    if (full && s->cold.loaded_count == 0)
        s->cold.load_retry_ns = s->now_ns + STORE_RETRY_NS;
}

/* ---- what goes ---- */

/* Those that find no memory stay, and are found to be cold already when they are asked for again. */
void store_leave(struct blockstore *s, const struct cold_entry *entries, size_t count)
{
    struct store_tier *t = &s->cold;
    if (!store_entries_reserve(s, &t->leaving, &t->leaving_cap, t->leaving_count + count))
        return;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].old_pack == 0)
            t->leaving[t->leaving_count++] = entries[i];
    }
}

bool store_leave_wanted(const struct blockstore *s)
{
    return s->cold.leaving_count > 0;
}

/* Before it is counted what is held, nodes stay. What is leased was protected by its place on the disk, and is by its name from now on. */
static bool may_leave(struct blockstore *s, const struct cold_entry *entry)
{
    struct block_place place;
    if (s->info.counting && store_is_node(entry->place.codec))
        return false;
    if (s->leases.count == 0)
        return true;
    if (store_find(s, &entry->place.key, &place) != ERR_OK || lease_keeps(s, &place, entry->place.codec))
        return false;
    if (leases_protect(&s->leases, &place))
        leases_touch(&s->leases, &entry->place.key);
    return true;
}

void store_leave_take(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    struct cold_change *cold = store_leave_wanted(s) ? calloc(1, sizeof(*cold)) : NULL;
    if (cold == NULL)
        return;
    cold->entries = calloc(COLD_LEAVING_ROWS, sizeof(*cold->entries));
    while (cold->entries != NULL && t->leaving_count > 0 && cold->count < COLD_LEAVING_ROWS) {
        struct cold_entry *entry = &t->leaving[--t->leaving_count];
        if (may_leave(s, entry))
            cold->entries[cold->count++] = *entry;
    }
    if (cold->count == 0)
        cold_change_free(cold);
    else if (!store_cold_push(s, CHANGE_HOT_RM, cold))
        return; /* they stay */
    if (t->leaving_count > 0)
        return;
    free(t->leaving);
    t->leaving = NULL;
    store_entries_release(s, &t->leaving_cap);
}

void store_left(struct blockstore *s, const struct catalogue_change *change)
{
    for (size_t i = 0; i < change->cold->count; i++)
        s->cold.demoted_bytes += change->cold->entries[i].done ? change->cold->entries[i].place.size : 0;
}

void store_demote_release(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    while (t->queue != NULL)
        free(dequeue(t));
    free(t->looked_page);
    free(t->leaving);
    store_entries_release(s, &t->leaving_cap);
}
