/* SPDX-License-Identifier: MIT */
/*
 * Gets. A read checks the record's checksum. What proves wrong is quarantined: its row goes, so that the block counts as absent and can
 * be fetched again.
 */
#include <stdlib.h>

#include "storage/blockstore_private.h"

static void push_read(struct blockstore *s, struct store_op *op)
{
    op->next = NULL;
    *s->reads_tail = op;
    s->reads_tail = &op->next;
}

void blockstore_get(struct blockstore *s, struct store_op *op)
{
    struct block_place place;
    if (store_is_doomed(s, &op->key)) {
        store_stall(s, op, NULL);
        return;
    }
    const struct fresh *fresh = table_get(&s->fresh, block_key_span(&op->key));
    op->ref = memory_tier_get(s->memory, &op->key);
    if (op->ref == NULL && fresh != NULL && fresh->ref != NULL)
        op->ref = block_ref_ref(fresh->ref);
    if (op->ref != NULL) {
        op->done(op, ERR_OK);
        return;
    }
    enum err err = store_find(s, &op->key, &place);
    if (err == ERR_NOT_FOUND)
        store_cold_get(s, op);
    else if (err != ERR_OK)
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
        if (err == ERR_NOT_FOUND)
            store_cold_get(s, op); /* it has left the disk */
        else if (err != ERR_OK)
            op->done(op, err);
        if (err != ERR_OK)
            continue;
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

/* The block has moved or gone while the read was under way. */
static bool has_moved(struct blockstore *s, const struct read_one *one)
{
    struct block_place now;
    return store_find(s, &one->op->key, &now) != ERR_OK || now.segment != one->place.segment ||
           now.offset != one->place.offset;
}

static void finish_read(struct blockstore *s, struct read_one *one)
{
    struct store_op *op = one->op;
    enum err err = one->err;
    if (store_is_damage(err) && has_moved(s, one)) {
        push_read(s, op);
        return;
    }
    if (err == ERR_OK) {
        memory_tier_put(s->memory, &op->key, one->ref);
        op->ref = one->ref;
        one->ref = NULL;
    } else if (store_is_damage(err)) {
        store_quarantine(s, &one->place, err);
        store_cold_get(s, op); /* absent, but for a copy in the cold tier */
        return;
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
