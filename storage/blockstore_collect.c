/* SPDX-License-Identifier: MIT */
/*
 * Counting what is held, and collecting the rest, in small steps beside everything else.
 *
 *      changed pins --> count job ... until info.counting is false                          catalogue lane, a transaction each
 *      collect op   --> begin job --> (counting) --> scan job: a page of rows that nothing holds
 *                   --> here: without those that a lease protects; the others are doomed
 *                   --> collect job: removes each that still nothing holds --> done(): the page
 *
 * A pin that is committed between two steps makes counting true; nothing is removed until that is over, and what it holds is not: a pin
 * wins. While keys are doomed, which is one transaction long, a put of one waits for the outcome, since it must not be told that the block
 * is there; so does a get. Everybody else goes on.
 */
#include <stdlib.h>

#include "storage/blockstore_private.h"

/* ---- counting ---- */

/* One that was fetched for this; else the step ends, and it is. */
static enum err load_cold(const struct store_job *job, const struct block_place *place, struct block_ref **ret_ref)
{
    for (size_t i = 0; i < job->node_count; i++) {
        if (!block_key_equal(&job->nodes[i].key, &place->key))
            continue;
        *ret_ref = block_ref_ref(job->nodes[i].ref);
        return ERR_OK;
    }
    return ERR_AGAIN;
}

static enum err load_block(void *arg, const struct block_place *place, struct block_ref **ret_ref)
{
    struct store_job *job = arg;
    if (place->segment == 0)
        return load_cold(job, place, ret_ref);
    enum err err = disk_tier_read(job->core->tier, place, job->account, ret_ref);
    if ((err == ERR_CORRUPT || err == ERR_TRUNCATED) && job->page_count < COUNT_NODES)
        job->page[job->page_count++] = *place;
    return err;
}

enum err store_job_count(struct store_job *job)
{
    return catalogue_count(job->core->catalogue, load_block, job, &job->info);
}

struct store_job *store_count_job(struct blockstore *s)
{
    bool waits = !s->info.counting || s->count_running || s->broken || s->committing;
    waits = waits || s->now_ns < s->count_retry_at_ns || !store_cold_count_ready(s);
    struct store_job *job = waits ? NULL : store_job_new(s, JOB_COUNT);
    if (job == NULL)
        return NULL;
    job->page = malloc(COUNT_NODES * sizeof(*job->page));
    if (job->page == NULL || !store_cold_take_nodes(s, job)) {
        store_job_free(job);
        return NULL;
    }
    s->count_running = true;
    return job;
}

void store_count_done(struct blockstore *s, struct store_job *job, enum err err)
{
    s->count_running = false;
    for (size_t i = 0; i < job->page_count; i++)
        store_quarantine(s, &job->page[i], ERR_CORRUPT);
    if (err == ERR_OK) {
        s->info = job->info;
        s->cold.count_waits &= s->info.count_cold;
        store_release_removals(s);
        return;
    }
    s->count_retry_at_ns = s->now_ns + STORE_RETRY_NS;
    if (err != ERR_BUSY)
        store_catalogue_failed(s, err, "what pins hold is counted again later");
}

/* ---- leases ---- */

enum err blockstore_lease_open(struct blockstore *s, uint64_t *ret_lease)
{
    return leases_open(&s->leases, s->written_segment, s->written_offset, ret_lease);
}

void blockstore_lease_close(struct blockstore *s, uint64_t lease)
{
    leases_close(&s->leases, lease);
}

void blockstore_keep(struct blockstore *s, const struct block_key *key)
{
    leases_touch(&s->leases, key);
}

/* ---- keys that are being removed ---- */

bool store_is_doomed(const struct blockstore *s, const struct block_key *key)
{
    return table_len(&s->doomed) > 0 && table_get(&s->doomed, block_key_span(key)) != NULL;
}

void store_stall(struct blockstore *s, struct store_op *op, struct block_ref *put)
{
    op->ref = put == NULL ? NULL : block_ref_ref(put);
    op->next = NULL;
    *s->stalled_tail = op;
    s->stalled_tail = &op->next;
}

/* All keys are as they are: those that waited go on. */
static void undoom(struct blockstore *s)
{
    struct store_op *op = s->stalled;
    table_release(&s->doomed);
    table_init(&s->doomed, COLLECT_ROWS, s->tables);
    s->stalled = NULL;
    s->stalled_tail = &s->stalled;
    while (op != NULL) {
        struct store_op *next = op->next;
        struct block_ref *put = op->ref;
        op->ref = NULL;
        if (put != NULL)
            blockstore_put(s, op, put);
        else
            blockstore_get(s, op);
        block_ref_unref(put);
        op = next;
    }
}

/* ---- a page ---- */

void blockstore_collect(struct blockstore *s, struct store_collect_op *op)
{
    op->next = NULL;
    op->gone = NULL;
    op->gone_count = 0;
    op->begun = op->after.len > 0;
    if (!op->begun)
        store_flush(s); /* what was stored before is gone through, too */
    *s->collects_tail = op;
    s->collects_tail = &op->next;
}

/* gone is the caller's until done() has returned. */
static void finish_page(struct blockstore *s, struct block_place *gone, size_t count, enum err err)
{
    struct store_collect_op *op = s->collects;
    s->collects = op->next;
    if (s->collects == NULL)
        s->collects_tail = &s->collects;
    op->gone = gone;
    op->gone_count = count;
    if (err == ERR_OK)
        op->after = s->scanned;
    op->done(op, err);
}

static struct store_job *page_job(struct blockstore *s, enum job_kind kind)
{
    struct store_job *job = store_job_new(s, kind);
    if (job == NULL)
        return NULL;
    if (kind == JOB_SCAN)
        job->page = malloc(COLLECT_ROWS * sizeof(*job->page));
    if (kind == JOB_SCAN && job->page == NULL) {
        store_job_free(job);
        return NULL;
    }
    s->collecting = true;
    return job;
}

/* A pin came between: what it holds is counted first, which may need a medium that is away, and the page is looked at again after that. */
static void spare(struct blockstore *s)
{
    if (s->doomed_page == NULL)
        return;
    free(s->doomed_page);
    s->doomed_page = NULL;
    undoom(s);
}

struct store_job *store_collect_job(struct blockstore *s)
{
    struct store_job *job;
    if (s->collects == NULL || s->collecting || s->flush || s->committing || s->cold.unlisted)
        return NULL; /* a pinned node may be in a pack that is not known yet, and what it links to here */
    if (s->broken) {
        finish_page(s, NULL, 0, ERR_CORRUPT);
        return NULL;
    }
    if (!s->collects->begun)
        return page_job(s, JOB_COLLECT_BEGIN);
    if (s->info.counting) {
        spare(s);
        if (s->cold.count_waits) /* nobody knows for how long */
            finish_page(s, NULL, 0, ERR_UNAVAILABLE);
        return NULL;
    }
    if (s->doomed_page == NULL) {
        job = page_job(s, JOB_SCAN);
        if (job != NULL)
            job->after = s->collects->after;
        return job;
    }
    job = page_job(s, JOB_COLLECT);
    if (job != NULL) {
        job->page = s->doomed_page;
        job->page_count = s->doomed_count;
        s->doomed_page = NULL;
    }
    return job;
}

enum err store_job_collect(struct store_job *job)
{
    if (job->kind == JOB_COLLECT_BEGIN)
        return catalogue_collect_begin(job->core->catalogue, &job->info);
    if (job->kind == JOB_SCAN)
        return catalogue_unheld(job->core->lane_reader, &job->after, job->page, COLLECT_ROWS, &job->page_count,
                                &job->after);
    return catalogue_collect(job->core->catalogue, job->page, job->page_count, &job->gone_count, &job->info);
}

/* Those that may go become doomed. */
static enum err doom(struct blockstore *s, struct block_place *page, size_t *count)
{
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (leases_protect(&s->leases, &page[i]) || (s->collects->only_hot && page[i].segment == 0))
            continue;
        enum err err = s->collects->dry_run ? ERR_OK : table_put(&s->doomed, block_key_span(&page[i].key), s, NULL);
        if (err != ERR_OK)
            return err;
        page[kept++] = page[i];
    }
    *count = kept;
    return ERR_OK;
}

static void scan_done(struct blockstore *s, struct store_job *job)
{
    size_t count = job->page_count;
    enum err err = doom(s, job->page, &count);
    if (err != ERR_OK) {
        undoom(s);
        finish_page(s, NULL, 0, err);
        return;
    }
    s->scanned = job->after;
    if (s->collects->dry_run || count == 0) {
        finish_page(s, job->page, count, ERR_OK);
        return;
    }
    s->doomed_page = job->page;
    s->doomed_count = count;
    job->page = NULL;
}

static void removal_done(struct blockstore *s, struct store_job *job)
{
    s->info = job->info;
    if (job->gone_count > 0)
        compactor_look(&s->compactor, s->now_ns);
    for (size_t i = 0; i < job->gone_count; i++)
        memory_tier_drop(s->memory, &job->page[i].key);
    undoom(s);
    finish_page(s, job->page, job->gone_count, ERR_OK);
}

void store_collect_done(struct blockstore *s, struct store_job *job, enum err err)
{
    s->collecting = false;
    if (err == ERR_BUSY) { /* it never ran */
        if (job->kind == JOB_COLLECT) {
            s->doomed_page = job->page;
            job->page = NULL;
        }
        return;
    }
    if (err != ERR_OK && job->kind == JOB_COLLECT)
        undoom(s);
    if (err == ERR_AGAIN)
        return; /* a pin came: counted first, then the page is looked at again */
    if (err != ERR_OK) {
        store_catalogue_failed(s, err, "the collection ends");
        finish_page(s, NULL, 0, err);
    } else if (job->kind == JOB_COLLECT_BEGIN) {
        s->info = job->info;
        s->collects->begun = true;
    } else if (job->kind == JOB_SCAN) {
        scan_done(s, job);
    } else {
        removal_done(s, job);
    }
}

/* ---- by itself ---- */

static uint64_t live_bytes(const struct blockstore *s)
{
    return s->info.live_bytes + s->durable.bytes + s->queued_bytes;
}

/* Whether blocks can leave for the cold tier: the owner has not found that none can, and its medium answers and takes packs. */
static bool can_spill(const struct blockstore *s)
{
    const struct store_tier *t = &s->cold;
    bool takes = t->pack_failed_ns == 0 || s->now_ns >= t->pack_failed_ns + COLD_FAILED_NS;
    return s->may_spill && t->phase != COLD_OFF && t->failures == 0 && takes;
}

bool store_makes_room(struct blockstore *s, uint64_t bytes)
{
    uint64_t live = live_bytes(s);
    if (s->broken || store_log_is_long(s)) /* nothing is compacted then */
        return false;
    if (can_spill(s)) {
        if (table_len(&s->cold.demoting) > 0)
            blockstore_end_pack(s); /* what is in it stands in the way until it is whole */
        return true;
    }
    if (s->collects != NULL || s->collector.running || collector_wants(&s->collector, live, s->now_ns))
        return true;
    return live + bytes <= s->storage_max && compactor_is_at_work(&s->compactor, s->now_ns);
}

void blockstore_may_spill(struct blockstore *s, bool possible)
{
    s->may_spill = possible;
    store_collect_tick(s);
}

static void automatic_page_done(struct store_collect_op *op, enum err err)
{
    struct blockstore *s = CONTAINER_OF(op, struct blockstore, automatic);
    s->automatic_blocks += op->gone_count;
    for (size_t i = 0; i < op->gone_count; i++)
        s->automatic_bytes += op->gone[i].size;
    if (err == ERR_OK && op->after.len > 0) {
        blockstore_collect(s, op);
        return;
    }
    collector_ended(&s->collector, live_bytes(s), s->now_ns);
    if (s->automatic_blocks > 0)
        store_notice(s, false,
                     "%llu blocks of %llu bytes that no pin needs were removed: StorageGCWatermark was passed",
                     (unsigned long long)s->automatic_blocks, (unsigned long long)s->automatic_bytes);
}

void store_collect_tick(struct blockstore *s)
{
    collector_demotes(&s->collector, can_spill(s), s->now_ns);
    if (s->broken || store_log_is_long(s) || s->now_ns < collector_due(&s->collector, live_bytes(s)))
        return;
    collector_started(&s->collector);
    s->automatic_blocks = 0;
    s->automatic_bytes = 0;
    s->automatic = (struct store_collect_op){.done = automatic_page_done, .only_hot = true};
    blockstore_collect(s, &s->automatic);
}

uint64_t store_collect_due(const struct blockstore *s)
{
    if (s->broken || store_log_is_long(s))
        return UINT64_MAX;
    bool changed = s->collector.demotes != can_spill(s); /* which the next tick tells it */
    return changed ? s->now_ns : collector_due(&s->collector, live_bytes(s));
}
