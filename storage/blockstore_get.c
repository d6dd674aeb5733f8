/* SPDX-License-Identifier: MIT */
/*
 * Gets and verification. A read checks the record's checksum; verification hashes too. What proves wrong is quarantined: its row
 * goes, so that the block counts as absent and can be fetched again.
 */
#include <stdlib.h>

#include "storage/blockstore_private.h"
#include "storage/scrubber.h"

static void push_read(struct blockstore *s, struct store_op *op)
{
    op->next = NULL;
    *s->reads_tail = op;
    s->reads_tail = &op->next;
}

void blockstore_get(struct blockstore *s, struct store_op *op)
{
    struct block_place place;
    const struct fresh *fresh = table_get(&s->fresh, block_key_span(&op->key));
    op->ref = memory_tier_get(s->memory, &op->key);
    if (op->ref == NULL && fresh != NULL && fresh->ref != NULL)
        op->ref = block_ref_ref(fresh->ref);
    if (op->ref != NULL) {
        op->done(op, ERR_OK);
        return;
    }
    enum err err = store_find(s, &op->key, &place);
    if (err != ERR_OK)
        op->done(op, err);
    else
        push_read(s, op);
}

/* Places are looked up when the job is made: a row may have gone since the get. */
struct store_job *store_read_job(struct blockstore *s)
{
    if (s->reads == NULL || s->read_jobs == STORE_READ_JOBS_MAX)
        return NULL;
    struct store_job *job = store_job_new(s, JOB_READ);
    if (job == NULL)
        return NULL;
    job->reads = calloc(STORE_READS_PER_JOB, sizeof(*job->reads));
    uint64_t bytes = 0;
    while (job->reads != NULL && s->reads != NULL && job->read_count < STORE_READS_PER_JOB &&
           bytes < STORE_READ_JOB_BYTES) {
        struct store_op *op = s->reads;
        struct read_one *one = &job->reads[job->read_count];
        s->reads = op->next;
        if (s->reads == NULL)
            s->reads_tail = &s->reads;
        enum err err = store_find(s, &op->key, &one->place);
        if (err != ERR_OK) {
            op->done(op, err);
            continue;
        }
        one->op = op;
        job->read_count++;
        bytes += one->place.size;
    }
    if (job->read_count == 0) {
        store_job_free(job);
        return NULL;
    }
    s->read_jobs++;
    return job;
}

enum err store_job_read(struct store_job *job)
{
    for (size_t i = 0; i < job->read_count; i++) {
        struct read_one *one = &job->reads[i];
        one->err = disk_tier_read(job->core->tier, &one->place, job->account, &one->ref);
    }
    return ERR_OK;
}

static bool is_wrong(enum err err)
{
    return err == ERR_CORRUPT || err == ERR_TRUNCATED;
}

static void finish_read(struct blockstore *s, struct read_one *one)
{
    struct store_op *op = one->op;
    enum err err = one->err;
    if (err == ERR_OK) {
        memory_tier_put(s->memory, &op->key, one->ref);
        op->ref = one->ref;
        one->ref = NULL;
    } else if (is_wrong(err)) {
        store_quarantine(s, &one->place, "checksum or header differs on read");
        err = ERR_NOT_FOUND;
    } else if (err == ERR_NOT_FOUND) {
        store_notice(s, false, "%s/segments/%016llx.seg is missing", s->core->path,
                     (unsigned long long)one->place.segment);
        err = ERR_IO;
    }
    op->done(op, err);
}

void store_read_done(struct blockstore *s, struct store_job *job, enum err err)
{
    s->read_jobs--;
    for (size_t i = 0; i < job->read_count; i++) {
        if (err == ERR_BUSY)
            push_read(s, job->reads[i].op);
        else
            finish_read(s, &job->reads[i]);
    }
}

/* ---- verification ---- */

void blockstore_verify(struct blockstore *s, struct store_verify_op *op)
{
    op->limit = op->limit == 0 ? STORE_VERIFY_PAGE : MIN(op->limit, (size_t)STORE_VERIFY_PAGE);
    op->next = NULL;
    op->bad = NULL;
    op->bad_count = 0;
    op->checked = 0;
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

/* The page's rows become the job's reads. */
static enum err fill_page(struct blockstore *s, struct store_job *job, struct store_verify_op *op)
{
    job->page = calloc(op->limit, sizeof(*job->page));
    job->reads = calloc(op->limit, sizeof(*job->reads));
    if (job->page == NULL || job->reads == NULL)
        return ERR_NOMEM;
    enum err err = catalogue_page(s->reader, &op->after, job->page, op->limit, &job->page_count);
    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < job->page_count; i++)
        job->reads[i].place = job->page[i];
    job->read_count = job->page_count;
    return ERR_OK;
}

/* Waits until fresh blocks have rows, so that a verification from the beginning sees every block. */
struct store_job *store_verify_job(struct blockstore *s)
{
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
    for (size_t i = 0; i < job->read_count; i++)
        job->reads[i].err = scrubber_check(job->core->tier, &job->reads[i].place, job->account);
    return ERR_OK;
}

static void collect_bad(struct blockstore *s, struct store_job *job, struct store_verify_op *op)
{
    op->bad = calloc(job->read_count + 1, sizeof(*op->bad));
    for (size_t i = 0; i < job->read_count; i++) {
        enum err err = job->reads[i].err;
        if (err == ERR_OK)
            continue;
        if (is_wrong(err)) {
            memory_tier_drop(s->memory, &job->reads[i].place.key);
            store_quarantine(s, &job->reads[i].place, "hash or checksum differs on verify");
        }
        if (op->bad != NULL)
            op->bad[op->bad_count++] = job->reads[i].place;
    }
}

void store_verify_done(struct blockstore *s, struct store_job *job, enum err err)
{
    struct store_verify_op *op = job->verify;
    s->verifying = false;
    if (err == ERR_OK) {
        op->checked = job->read_count;
        bool more = job->page_count == op->limit;
        op->after = (struct block_key){0};
        if (more)
            op->after = job->page[job->page_count - 1].key;
        collect_bad(s, job, op);
    }
    struct block_place *bad = op->bad;
    op->done(op, err);
    free(bad);
}
