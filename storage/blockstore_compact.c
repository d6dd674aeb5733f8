/* SPDX-License-Identifier: MIT */
/*
 * Compaction's steps as jobs: read a page of the victim (disk lane), keep what rows still name, append it (disk lane, the one writer's
 * turn), repoint the rows with the next commit, and at the end unlink the file.
 */
#include <stdlib.h>

#include "storage/blockstore_private.h"
#include "storage/segment.h"

static bool is_tight(const struct blockstore *s)
{
    return s->read_only || disk_tier_used(s->core->tier) >= s->storage_max / 10 * 9;
}

static void forget_page(struct blockstore *s)
{
    disk_group_free(s->compact_group);
    free(s->moves);
    s->compact_group = NULL;
    s->moves = NULL;
    s->move_count = 0;
}

void store_compact_free(struct blockstore *s)
{
    forget_page(s);
}

/* ---- choosing ---- */

static void choose(struct blockstore *s)
{
    struct segment_use rows[COMPACT_CANDIDATES];
    size_t count = 0;
    if (catalogue_deadest(s->reader, rows, ARRAY_LEN(rows), &count) != ERR_OK)
        count = 0;
    if (!compactor_choose(&s->compactor, rows, count, s->now_ns, is_tight(s)) &&
        catalogue_open_segment(s->reader, &rows[0]) == ERR_OK)
        (void)compactor_choose_open(&s->compactor, &rows[0], s->now_ns, is_tight(s));
}

/* All was read: the segment goes when no row names it any more. What still does is damaged, and the scrubber's business. */
static void finish_victim(struct blockstore *s)
{
    struct compactor *c = &s->compactor;
    struct segment_use use;
    enum err err = catalogue_segment_use(s->reader, c->victim.segment, &use);
    if (err == ERR_OK && use.live == 0)
        c->phase = COMPACT_DROP;
    else
        compactor_stuck(c, s->now_ns);
}

static struct store_job *drop_job(struct blockstore *s)
{
    struct store_job *job = store_backup_is_open(s) ? NULL : store_job_new(s, JOB_COMPACT_DROP);
    if (job == NULL) {
        s->compactor.due_ns = s->now_ns + STORE_RETRY_NS;
        return NULL;
    }
    job->use = s->compactor.victim;
    s->compactor.phase = COMPACT_DROPPING;
    return job;
}

static struct store_job *read_job(struct blockstore *s)
{
    struct store_job *job = store_job_new(s, JOB_COMPACT_READ);
    if (job == NULL)
        return NULL;
    job->reads = calloc(COMPACT_PAGE_RECORDS, sizeof(*job->reads));
    if (job->reads == NULL) {
        store_job_free(job);
        return NULL;
    }
    job->use = s->compactor.victim;
    job->offset = s->compactor.offset;
    s->compactor.phase = COMPACT_READING;
    return job;
}

struct store_job *store_compact_job(struct blockstore *s)
{
    struct compactor *c = &s->compactor;
    if (s->broken || store_log_is_long(s) || !compactor_is_due(c, s->now_ns, store_is_busy(s), is_tight(s)))
        return NULL;
    if (c->phase == COMPACT_IDLE)
        choose(s);
    if (c->phase == COMPACT_READ && c->ended)
        finish_victim(s);
    if (c->phase == COMPACT_READ)
        return read_job(s);
    return c->phase == COMPACT_DROP ? drop_job(s) : NULL;
}

/* ---- reading ---- */

static enum err take_record(void *arg, const struct block_place *place, struct span payload)
{
    struct store_job *job = arg;
    if (job->read_count == COMPACT_PAGE_RECORDS || job->bytes >= COMPACT_PAGE_BYTES)
        return ERR_AGAIN;
    struct block_ref *ref = block_ref_copy(payload, job->account);
    if (ref == NULL)
        return ERR_NOMEM;
    job->reads[job->read_count++] = (struct read_one){.place = *place, .ref = ref};
    job->bytes += payload.len;
    job->offset = place->offset + segment_record_bytes(place->key.len, place->size);
    return ERR_OK;
}

/* The scan hashes each record: what it reports is right. */
enum err store_job_compact_read(struct store_job *job)
{
    enum err err = disk_tier_scan(job->core->tier, job->use.segment, job->offset, take_record, job);
    job->finished = err == ERR_OK;
    if (err == ERR_NOMEM && job->read_count == 0)
        return ERR_BUSY;
    return err == ERR_AGAIN || err == ERR_NOMEM ? ERR_OK : err;
}

/* Those records that are still what their rows name go into a group. */
static enum err keep_live(struct blockstore *s, struct store_job *job)
{
    enum err err = ERR_OK;
    s->compact_group = disk_group_new();
    s->moves = calloc(job->read_count + 1, sizeof(*s->moves));
    if (s->compact_group == NULL || s->moves == NULL)
        err = ERR_NOMEM;
    catalogue_begin_reading(s->reader);
    for (size_t i = 0; i < job->read_count && err == ERR_OK; i++) {
        const struct read_one *one = &job->reads[i];
        struct block_place now;
        if (store_find(s, &one->place.key, &now) != ERR_OK || now.segment != one->place.segment ||
            now.offset != one->place.offset)
            continue;
        err = disk_group_add(s->compact_group, &now.key, now.codec, one->ref, NULL);
        if (err == ERR_OK)
            s->moves[s->move_count++].from = now;
    }
    catalogue_end_reading(s->reader);
    return err;
}

void store_compact_read_done(struct blockstore *s, struct store_job *job, enum err err)
{
    struct compactor *c = &s->compactor;
    c->phase = COMPACT_READ;
    if (err == ERR_OK)
        err = keep_live(s, job);
    if (err == ERR_BUSY || err == ERR_NOMEM) {
        forget_page(s);
        c->due_ns = s->now_ns + STORE_RETRY_NS;
        return;
    }
    if (err != ERR_OK) {
        forget_page(s);
        compactor_stuck(c, s->now_ns);
        return;
    }
    c->offset = job->offset;
    c->ended = job->finished;
    compactor_paid(c, job->bytes, s->now_ns);
    if (s->move_count > 0)
        c->phase = COMPACT_WRITE;
    else
        forget_page(s);
}

/* ---- writing ---- */

/* Puts go first, but not forever. */
struct store_job *store_compact_write_job(struct blockstore *s)
{
    struct compactor *c = &s->compactor;
    bool seals = c->phase == COMPACT_SEAL;
    bool waits = s->queued.count > 0 && s->now_ns < c->due_ns + COMPACT_PATIENCE_NS && !is_tight(s);
    if ((c->phase != COMPACT_WRITE && !seals) || s->writing || waits)
        return NULL;
    struct store_job *job = store_job_new(s, seals ? JOB_COMPACT_SEAL : JOB_COMPACT_WRITE);
    if (job == NULL)
        return NULL;
    job->group = s->compact_group;
    s->compact_group = NULL;
    s->writing = true;
    c->phase = seals ? COMPACT_SEALING : COMPACT_WRITING;
    return job;
}

enum err store_job_compact_seal(struct store_job *job)
{
    disk_tier_seal(job->core->tier, &job->sealed);
    return ERR_OK;
}

/* The commit that tells of it makes the compactor look again. */
void store_compact_seal_done(struct blockstore *s, struct store_job *job, enum err err)
{
    s->writing = false;
    s->compactor.phase = err == ERR_BUSY ? COMPACT_SEAL : COMPACT_IDLE;
    if (err == ERR_OK) {
        store_note_checkpoint(s, &job->sealed);
        s->compactor.due_ns = UINT64_MAX;
    }
}

void store_compact_write_done(struct blockstore *s, struct store_job *job, enum err err)
{
    struct compactor *c = &s->compactor;
    s->writing = false;
    if (err == ERR_BUSY) {
        s->compact_group = job->group;
        job->group = NULL;
        c->phase = COMPACT_WRITE;
        return;
    }
    store_note_checkpoint(s, &job->group->sealed);
    if (err != ERR_OK) { /* no room: those who put are told; a bad disk: their puts will see it too */
        forget_page(s);
        compactor_failed(c, s->now_ns);
        return;
    }
    struct segment_checkpoint reached = {
        .segment = job->group->segment, .offset = job->group->end, .state = SEGMENT_OPEN};
    store_note_checkpoint(s, &reached);
    for (size_t i = 0; i < s->move_count; i++)
        s->moves[i].to = job->group->records[i].place;
    c->phase = COMPACT_MOVE;
}

/* ---- repointing ---- */

/* Not while a collection has a page in hand: a row that it found would have moved away from it, and stay until the next one. */
bool store_compact_wants_commit(const struct blockstore *s)
{
    return s->compactor.phase == COMPACT_MOVE && s->moves != NULL && !s->collecting && s->doomed_page == NULL;
}

void store_compact_take_moves(struct blockstore *s, struct store_job *job)
{
    if (!store_compact_wants_commit(s))
        return;
    job->batch.moves = s->moves;
    job->batch.move_count = s->move_count;
    s->moves = NULL;
    s->move_count = 0;
}

void store_compact_moved(struct blockstore *s, struct store_job *job, enum err err)
{
    if (job->batch.moves == NULL)
        return;
    if (err == ERR_OK) {
        s->compactor.phase = COMPACT_READ;
        return;
    }
    s->moves = job->batch.moves;
    s->move_count = job->batch.move_count;
    job->batch.moves = NULL;
}

/* ---- the end of a segment ---- */

void store_compact_drop_done(struct blockstore *s, struct store_job *job, enum err err)
{
    struct compactor *c = &s->compactor;
    struct catalogue_change change = {.kind = CHANGE_SEGMENT_RM, .place = {.segment = job->use.segment}};
    if (err == ERR_BUSY) {
        c->phase = COMPACT_DROP;
        return;
    }
    if (err != ERR_OK) {
        compactor_stuck(c, s->now_ns);
        return;
    }
    /* Should its commit never come, the row is found without a live byte, and its file gone, in the next life. */
    c->phase = COMPACT_FORGETTING;
    if (store_push_change(s, &change) == NULL)
        compactor_failed(c, s->now_ns);
}
