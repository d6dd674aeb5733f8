/* SPDX-License-Identifier: MIT */
/*
 * A pack that is rewritten, so that it can go: it is thin, or was found to be damaged.
 *
 *      thin      INDEX -------------------\
 *                                          +--> reads of what rows still name there --> the pack that is written --> its rows: now it is empty
 *      damaged   the rows that name it ---/
 *
 * The index of a damaged one is not asked: it may be what is damaged, and rows that it does not list would never be met. What cannot be read is put into
 * quarantine, as by any read.
 */
#include <stdlib.h>

#include "storage/blockstore_private.h"

/* ---- its end ---- */

void store_rewrite_begin(struct blockstore *s, uint64_t pack, bool damaged)
{
    s->cold.thin = pack;
    s->cold.thin_damaged = damaged;
}

/* Whoever waits for it is told. */
static void forget_thin(struct blockstore *s, enum err err)
{
    struct store_tier *t = &s->cold;
    bool damaged = t->thin_damaged;
    free(t->thin_page);
    t->thin_page = NULL;
    t->thin = 0;
    t->thin_damaged = false;
    t->thin_ended = false;
    t->thin_count = 0;
    t->thin_at = 0;
    t->thin_from = 0;
    t->thin_after = (struct block_key){0};
    if (damaged)
        store_check_rewritten(s, err);
    t->thin_moved = 0;
    t->thin_bad = 0;
}

/* All of it was read, and what could be moved is in packs that are whole. A thin one that rows still name then would be read again and again. */
static void end_thin(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    struct pack_row row;
    bool stays = catalogue_pack(s->reader, t->thin, &row) == ERR_OK && row.state == PACK_WHOLE && row.live > 0;
    if (stays)
        (void)store_cold_push_pack(s, CHANGE_PACK_STATE, t->thin, PACK_DAMAGED);
    forget_thin(s, ERR_OK);
    t->look = true;
}

static bool all_is_read(const struct store_tier *t)
{
    return t->thin != 0 && t->thin_ended && t->thin_at == t->thin_count && t->thin_reading == 0;
}

void store_rewrite_packed(struct blockstore *s, const struct cold_change *pack)
{
    struct store_tier *t = &s->cold;
    if (t->thin == 0)
        return;
    if (pack == NULL) {
        forget_thin(s, ERR_UNAVAILABLE); /* a thin one is so still: once more, later */
        return;
    }
    for (size_t i = 0; i < pack->count; i++)
        t->thin_moved += pack->entries[i].done && pack->entries[i].old_pack == t->thin;
    if (all_is_read(t) && t->thin_loaded == 0)
        end_thin(s);
}

/* ---- its blocks ---- */

/* There was no memory for it: it is read again after a while, and no other before. */
static void put_back(struct blockstore *s, const struct cold_place *place)
{
    struct store_tier *t = &s->cold;
    for (size_t i = 0; i < t->thin_count; i++) {
        if (t->thin_page[i].offset != place->offset || !block_key_equal(&t->thin_page[i].key, &place->key))
            continue;
        t->thin_page[i].pack = place->pack;
        t->thin_at = MIN(t->thin_at, i);
        t->thin_retry_ns = s->now_ns + STORE_RETRY_NS;
    }
}

void store_rewrite_read(struct blockstore *s, const struct cold_place *place, struct block_ref *ref, enum err err)
{
    struct store_tier *t = &s->cold;
    struct cold_entry entry = {.place = {.key = place->key, .codec = place->codec, .size = place->size},
                               .old_pack = place->pack,
                               .old_offset = place->offset};
    t->thin_reading -= t->thin_reading > 0;
    t->thin_reading_bytes -= MIN(t->thin_reading_bytes, place->size);
    if (t->thin == 0)
        return;
    if (err == ERR_OK) {
        err = store_pack_load(s, &entry, ref) ? ERR_OK : ERR_NOMEM;
        if (err == ERR_OK)
            (void)block_ref_ref(ref);
    }
    t->thin_bad += store_is_damage(err) && place->pack == t->thin;
    if (err == ERR_NOMEM && place->pack == t->thin)
        put_back(s, place);
    else if (err != ERR_OK && err != ERR_AGAIN && !store_is_damage(err))
        forget_thin(s, err);
}

/* Whether there is room on the way for one more, or it is the only one. */
static bool has_room(const struct store_tier *t, const struct cold_place *place)
{
    uint64_t on_the_way = t->thin_reading_bytes + t->loaded_bytes;
    return t->thin_reading + t->loaded_count < COLD_LOADED_MAX && t->packing <= PACKING_OPEN &&
           (on_the_way == 0 || on_the_way + place->size <= COLD_LOADED_BYTES);
}

/* Reads what rows still name there. An entry of the page without a pack is read, or under way. */
static void feed(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    while (t->thin_at < t->thin_count && s->now_ns >= t->thin_retry_ns) {
        struct cold_place now;
        struct cold_place *place = &t->thin_page[t->thin_at];
        if (place->pack != 0 && store_find_cold(s, &place->key, &now) == ERR_OK && now.pack == t->thin &&
            now.offset == place->offset) {
            if (!has_room(t, &now) || store_cold_want(s, &now, WANT_REWRITE, NULL) != ERR_OK)
                return;
            t->thin_reading++;
            t->thin_reading_bytes += now.size;
        }
        place->pack = 0;
        t->thin_at++;
    }
}

struct store_cold *store_rewrite_next(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    feed(s);
    if (t->thin_at < t->thin_count || t->thin_reading > 0)
        return NULL;
    if (!t->thin_ended && !t->thin_damaged) {
        struct store_cold *op = store_cold_new(s, STORE_COLD_INDEX, t->thin);
        if (op != NULL)
            op->from = (uint32_t)t->thin_from;
        return op;
    }
    if (!t->thin_ended)
        return NULL;
    if (t->packing == PACKING_NONE && t->thin_loaded == 0)
        end_thin(s); /* nothing of it was left */
    else if (t->thin_damaged)
        blockstore_end_pack(s); /* somebody waits for it */
    return NULL;
}

/* ---- where they are ---- */

static void take_page(struct store_tier *t, struct cold_place *page, size_t count)
{
    free(t->thin_page);
    t->thin_page = page;
    t->thin_count = count;
    t->thin_at = 0;
}

void store_rewrite_index(struct blockstore *s, struct store_cold *op, enum err err)
{
    struct store_tier *t = &s->cold;
    if (t->thin != op->pack || t->thin_damaged)
        return;
    if (err != ERR_OK) {
        if (store_is_damage(err))
            (void)store_cold_push_pack(s, CHANGE_PACK_STATE, t->thin, PACK_DAMAGED);
        forget_thin(s, err);
        return;
    }
    take_page(t, op->places, MIN(op->count, (size_t)STORE_COLD_PAGE));
    op->places = NULL;
    t->thin_from = op->next;
    t->thin_ended = op->next == 0;
}

struct store_job *store_rewrite_job(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    if (t->thin == 0 || !t->thin_damaged || t->thin_ended || t->thin_scanning || t->thin_at < t->thin_count ||
        t->thin_reading > 0)
        return NULL;
    struct store_job *job = store_job_new(s, JOB_PACK_ROWS);
    if (job == NULL)
        return NULL;
    job->pack = t->thin;
    job->after = t->thin_after;
    job->places = calloc(STORE_COLD_PAGE, sizeof(*job->places));
    if (job->places == NULL) {
        store_job_free(job);
        return NULL;
    }
    t->thin_scanning = true;
    return job;
}

enum err store_job_pack_rows(struct store_job *job)
{
    return catalogue_pack_rows(job->core->lane_reader, job->pack, &job->after, job->places, STORE_COLD_PAGE,
                               &job->page_count);
}

void store_rewrite_rows(struct blockstore *s, struct store_job *job, enum err err)
{
    struct store_tier *t = &s->cold;
    t->thin_scanning = false;
    if (err == ERR_BUSY || t->thin != job->pack)
        return;
    if (err != ERR_OK) {
        store_catalogue_failed(s, err, "a damaged pack of the cold tier is not rewritten");
        forget_thin(s, err);
        return;
    }
    take_page(t, job->places, job->page_count);
    job->places = NULL;
    t->thin_after = job->after;
    t->thin_ended = job->after.len == 0;
}

void store_rewrite_release(struct blockstore *s)
{
    free(s->cold.thin_page);
}
