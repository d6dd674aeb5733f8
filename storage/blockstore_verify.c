/* SPDX-License-Identifier: MIT */
/*
 * Verification: pages of the catalogue, each block read and hashed. People ask for it, and the scrubber does, which is one more who asks
 * and whose turn comes when nobody else wants anything.
 */
#include <stdlib.h>

#include "storage/blockstore_private.h"

enum { MISSING_MAX = 64 }; /* held blocks that are not there, told of in a page */

void blockstore_verify(struct blockstore *s, struct store_verify_op *op)
{
    op->limit = op->limit == 0 ? STORE_VERIFY_PAGE : MIN(op->limit, (size_t)STORE_VERIFY_PAGE);
    op->next = NULL;
    op->bad = NULL;
    op->bad_count = 0;
    op->checked = 0;
    op->bytes = 0;
    *s->verifies_tail = op;
    s->verifies_tail = &op->next;
}

static struct store_verify_op *pop_verify(struct blockstore *s)
{
    struct store_verify_op *op = s->verifies;
    s->verifies = op->next;
    if (s->verifies == NULL)
        s->verifies_tail = &s->verifies;
    return op;
}

/* The page's rows become the job's reads, as many as make a short job. */
static enum err fill_page(struct blockstore *s, struct store_job *job, struct store_verify_op *op)
{
    uint64_t bytes = 0;
    job->page = calloc(op->limit, sizeof(*job->page));
    job->reads = calloc(op->limit, sizeof(*job->reads));
    if (job->page == NULL || job->reads == NULL)
        return ERR_NOMEM;
    enum err err = catalogue_page(s->reader, &op->after, job->page, op->limit, &job->page_count);
    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < job->page_count && bytes < SCRUB_PAGE_BYTES; i++) {
        job->reads[i].place = job->page[i];
        bytes += job->page[i].size;
        job->read_count++;
    }
    return ERR_OK;
}

/* Waits until fresh blocks have rows, so that a verification from the beginning sees every block. */
struct store_job *store_verify_job(struct blockstore *s)
{
    store_scrub(s);
    bool wait = s->verifying || s->verifies == NULL || (!s->broken && (s->durable.count > 0 || s->committing));
    struct store_job *job = wait ? NULL : store_job_new(s, JOB_VERIFY);
    if (job == NULL)
        return NULL;
    struct store_verify_op *op = pop_verify(s);
    enum err err = fill_page(s, job, op);
    if (err != ERR_OK) {
        store_job_free(job);
        op->done(op, err);
        return NULL;
    }
    job->verify = op;
    s->verifying = true;
    return job;
}

enum err store_job_verify(struct store_job *job)
{
    for (size_t i = 0; i < job->read_count; i++) {
        struct read_one *one = &job->reads[i];
        one->err = scrubber_check(job->core->tier, &one->place, job->account);
        if (one->err == ERR_IO) /* the media may have had a bad moment only */
            one->err = scrubber_check(job->core->tier, &one->place, job->account);
        if (one->err == ERR_NOMEM)
            return ERR_NOMEM;
    }
    return ERR_OK;
}

static void note_bad(struct store_verify_op *op, const struct block_place *place, enum err err)
{
    op->bad[op->bad_count++] = (struct store_bad_block){.place = *place, .err = err};
}

/*
 * A medium that cannot be read for a moment says nothing of what lies there: only what the verification before could not read either is put
 * aside. What is not noted, for want of room, is met again.
 */
static bool is_unread_again(struct blockstore *s, const struct block_place *place)
{
    void *before = NULL;
    (void)!table_put(&s->unread, block_key_span(&place->key), s, &before);
    if (before == NULL)
        store_notice(
            s, false, "a stored block (segment %016llx, offset %llu): %s: quarantined if the next verification cannot",
            (unsigned long long)place->segment, (unsigned long long)place->offset, blockstore_damage_text(ERR_IO));
    return before != NULL;
}

static void collect_bad(struct blockstore *s, struct store_job *job, struct store_verify_op *op)
{
    for (size_t i = 0; i < job->read_count; i++) {
        const struct read_one *one = &job->reads[i];
        struct block_place now;
        op->bytes += one->place.size;
        if (one->err == ERR_OK && table_len(&s->unread) > 0)
            (void)table_remove(&s->unread, block_key_span(&one->place.key));
        if (one->err == ERR_OK || store_find(s, &one->place.key, &now) != ERR_OK || now.segment != one->place.segment ||
            now.offset != one->place.offset)
            continue; /* good, or it has moved or gone meanwhile */
        if (one->err != ERR_IO || is_unread_again(s, &one->place)) {
            (void)table_remove(&s->unread, block_key_span(&one->place.key));
            memory_tier_drop(s->memory, &one->place.key);
            store_quarantine(s, &one->place, one->err);
        }
        note_bad(op, &one->place, one->err);
    }
}

/*
 * Held blocks of the page's range of keys that are not there. Nobody knows them while holds are being counted. When there are more than fit,
 * the next page begins behind the last of them.
 */
static void collect_missing(struct blockstore *s, const struct block_key *after, struct store_verify_op *op)
{
    struct block_place places[MISSING_MAX];
    size_t count = 0;
    if (s->info.counting || s->info.count_clears ||
        catalogue_missing(s->reader, after, &op->after, places, ARRAY_LEN(places), &count) != ERR_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        if (table_get(&s->fresh, block_key_span(&places[i].key)) != NULL)
            continue; /* it is just being stored */
        store_miss(s, &places[i]);
        note_bad(op, &places[i], ERR_UNAVAILABLE);
    }
    if (count == MISSING_MAX)
        op->after = places[count - 1].key;
}

static void finish(struct store_verify_op *op, enum err err)
{
    struct store_bad_block *bad = op->bad;
    op->done(op, err);
    free(bad);
}

void store_verify_done(struct blockstore *s, struct store_job *job, enum err err)
{
    struct store_verify_op *op = job->verify;
    s->verifying = false;
    if (err != ERR_OK) {
        finish(op, err == ERR_NOMEM ? ERR_BUSY : err);
        return;
    }
    op->bad = calloc(job->read_count + MISSING_MAX, sizeof(*op->bad));
    if (op->bad == NULL) {
        finish(op, ERR_BUSY);
        return;
    }
    bool more = job->read_count < job->page_count || job->page_count == op->limit;
    struct block_key after = op->after;
    op->checked = job->read_count;
    op->after = (struct block_key){0};
    if (more)
        op->after = job->page[job->read_count - 1].key;
    collect_bad(s, job, op);
    collect_missing(s, &after, op);
    op->next = s->settling;
    s->settling = op;
    store_verify_settle(s);
}

void store_verify_settle(struct blockstore *s)
{
    while (s->settling != NULL && (table_len(&s->bad) == 0 || s->broken)) {
        struct store_verify_op *op = s->settling;
        s->settling = op->next;
        finish(op, ERR_OK);
    }
}

/* ---- the scrubber's turn ---- */

static void scrub_done(struct store_verify_op *op, enum err err)
{
    struct blockstore *s = CONTAINER_OF(op, struct blockstore, scrub);
    struct scrub_page page = {.after = op->after, .blocks = op->checked, .bytes = op->bytes, .bad = op->bad_count};
    if (err != ERR_OK)
        scrubber_failed(&s->scrubber, s->now_ns);
    else
        scrubber_page(&s->scrubber, &page, s->now_ns, s->real_now_ns);
}

bool store_is_busy(const struct blockstore *s)
{
    return s->writing || s->committing || s->queued.count > 0 || s->changes != NULL || s->reads != NULL ||
           s->read_jobs > 0 || s->verifying || s->verifies != NULL;
}

void store_scrub(struct blockstore *s)
{
    if (s->broken || store_log_is_long(s) || !scrubber_begin(&s->scrubber, s->now_ns, s->real_now_ns, store_is_busy(s)))
        return;
    s->scrub = (struct store_verify_op){.done = scrub_done, .after = s->scrubber.progress.after};
    blockstore_verify(s, &s->scrub);
}
