/* SPDX-License-Identifier: MIT */
/*
 * Life, questions, and the order in which work is offered: commits first (people wait for pins, and rows bound the next start), then
 * groups, reads, and the background work.
 */
#include "storage/blockstore.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/blockstore_private.h"
#include "storage/disk_posix.h"
#include "storage/file_users.h"

enum { NOTICE_MAX = 1024 };

void store_notice(struct blockstore *store, bool fatal, const char *fmt, ...)
{
    char text[NOTICE_MAX];
    va_list args;
    if (store->events.notice == NULL)
        return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    store->events.notice(store->events.arg, fatal, text);
}

/* ---- the core ---- */

struct store_core *store_core_ref(struct store_core *core)
{
    (void)atomic_fetch_add_explicit(&core->refs, 1, memory_order_relaxed);
    return core;
}

void store_core_drop(struct store_core *core)
{
    if (core == NULL || atomic_fetch_sub_explicit(&core->refs, 1, memory_order_acq_rel) != 1)
        return;
    snapshot_end(core->snapshot);
    catalogue_reader_close(core->lane_reader);
    catalogue_close(core->catalogue);
    disk_tier_close(core->tier, core->crash);
    if (core->lock != NULL)
        core->port->close(core->lock);
    sqlite_vfs_close(core->vfs);
    free(core);
}

/* ---- life ---- */

static struct store_core *core_new(const struct blockstore_options *options)
{
    struct store_core *core = calloc(1, sizeof(*core));
    if (core == NULL)
        return NULL;
    atomic_init(&core->refs, 1);
    core->port = options->port;
    core->log_stop_bytes = options->log_stop_bytes != 0 ? options->log_stop_bytes : CATALOGUE_WAL_STOP_BYTES;
    (void)snprintf(core->path, sizeof(core->path), "%s", options->path);
    if (options->port != disk_posix() && sqlite_vfs_open(options->port, &core->vfs) != ERR_OK) {
        free(core);
        return NULL;
    }
    return core;
}

static void init_lists(struct blockstore *s)
{
    fresh_list_init(&s->queued);
    fresh_list_init(&s->durable);
    s->changes_tail = &s->changes;
    s->reads_tail = &s->reads;
    s->verifies_tail = &s->verifies;
    s->pieces_tail = &s->pieces;
    s->collects_tail = &s->collects;
    s->stalled_tail = &s->stalled;
}

static void filter_path(const struct blockstore *s, char to[STORE_PATH_MAX + 16])
{
    (void)snprintf(to, STORE_PATH_MAX + 16, "%s/filter", s->core->path);
}

/* A filter that fits is used at once, and a sharper one is built when there is memory for it; without one the database answers meanwhile. */
static void open_filter(struct blockstore *s)
{
    char path[STORE_PATH_MAX + 16];
    filter_path(s, path);
    enum err err = filter_load(s->core->port, path, &s->info, s->tables, &s->filter);
    if (err == ERR_OK && filter_bits_per_key(s->filter) == FILTER_BITS_PER_KEY)
        return;
    uint64_t keys = s->info.blocks + s->info.cold_blocks;
    s->filter_next = filter_new_within(keys + keys / 2, keys + keys / 8, s->filter_seed, s->tables);
    if (err == ERR_OK && s->filter_next != NULL &&
        filter_bits_per_key(s->filter_next) <= filter_bits_per_key(s->filter)) {
        filter_free(s->filter_next);
        s->filter_next = NULL;
    }
}

enum err blockstore_open(const struct blockstore_options *options, uint64_t now_ns, uint64_t real_now_ns,
                         struct blockstore **ret_store, char ret_why[STORE_WHY_BYTES])
{
    (void)snprintf(ret_why, STORE_WHY_BYTES, "out of memory");
    struct blockstore *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NOMEM;
    s->events = options->events;
    s->storage_max = options->storage_max_bytes;
    s->tables = options->tables;
    s->reads_account = options->reads;
    s->filter_seed = options->seed;
    s->now_ns = now_ns;
    s->real_now_ns = real_now_ns;
    init_lists(s);
    table_init(&s->fresh, STORE_FRESH_MAX, options->tables);
    table_init(&s->bad, STORE_BAD_MAX, options->tables);
    table_init(&s->unread, STORE_BAD_MAX, options->tables);
    table_init(&s->doomed, COLLECT_ROWS, options->tables);
    leases_init(&s->leases, options->seed, options->tables);
    collector_init(&s->collector, options->storage_max_bytes, options->gc_watermark, options->gc_period_ns,
                   options->cold);
    s->core = core_new(options);
    s->memory = memory_tier_new(options->no_cache ? NULL : options->memory, options->tables, options->policy);
    enum err err = s->core == NULL || s->memory == NULL ? ERR_NOMEM : store_open_core(s, options, ret_why);
    if (err != ERR_OK) {
        blockstore_close(s, true);
        return err;
    }
    s->info = catalogue_info(s->core->catalogue);
    err = store_cold_init(s, options);
    if (err != ERR_OK) {
        (void)snprintf(ret_why, STORE_WHY_BYTES, "%s: what is known of the cold tier cannot be read: %s", options->path,
                       err_text(err));
        blockstore_close(s, true);
        return err;
    }
    disk_tier_position(s->core->tier, &s->written_segment, &s->written_offset);
    open_filter(s);
    healer_init(&s->healer, options->seed);
    scrubber_init(&s->scrubber, options->scrub_rate, &s->info.scrub, now_ns, real_now_ns);
    *ret_store = s;
    return ERR_OK;
}

/* Rows for what is durable, then the filter for exactly these rows. Only when no job runs: they own the writing connection. */
static void finish(struct blockstore *s)
{
    if (s->core == NULL || s->core->catalogue == NULL || s->broken ||
        atomic_load_explicit(&s->core->refs, memory_order_acquire) != 1)
        return;
    for (struct catalogue_change *change = s->changes; change != NULL; change = change->next)
        change->user = NULL;
    struct store_job *job = store_commit_job(s);
    if (job != NULL)
        blockstore_job_done(s, job, store_job_run(job));
    char path[STORE_PATH_MAX + 16];
    filter_path(s, path);
    if (s->filter != NULL && s->durable.count == 0) {
        enum err err = filter_save(s->filter, s->core->port, path, &s->info);
        if (err != ERR_OK)
            store_notice(s, false, "%s: %s: it will be built again", path, err_text(err));
    }
}

static void free_fresh(struct blockstore *s)
{
    size_t position = 0;
    struct fresh *fresh;
    while ((fresh = table_next(&s->fresh, &position, NULL)) != NULL) {
        for (struct store_op *op = fresh->ops, *next; op != NULL; op = next) {
            next = op->next;
            store_cold_free_op(op);
        }
        block_ref_unref(fresh->ref);
        free(fresh);
    }
    table_release(&s->fresh);
}

static void free_changes(struct catalogue_change *change)
{
    while (change != NULL) {
        struct catalogue_change *next = change->next;
        catalogue_change_free(change);
        change = next;
    }
}

void blockstore_close(struct blockstore *s, bool crash)
{
    if (s == NULL)
        return;
    if (!crash)
        finish(s);
    free_fresh(s);
    free_changes(s->changes);
    store_compact_free(s);
    store_cold_release(s);
    for (struct store_verify_op *op = s->settling; op != NULL; op = op->next)
        free(op->bad);
    free_changes(s->removals);
    free_changes(s->late);
    for (struct store_op *op = s->stalled; op != NULL; op = op->next)
        block_ref_unref(op->ref);
    table_release(&s->bad);
    table_release(&s->unread);
    table_release(&s->doomed);
    free(s->doomed_page);
    leases_release(&s->leases);
    memory_tier_free(s->memory);
    filter_free(s->filter);
    filter_free(s->filter_next);
    catalogue_reader_close(s->reader);
    if (s->core != NULL)
        s->core->crash = crash;
    store_core_drop(s->core);
    free(s);
}

/* ---- questions ---- */

enum err store_find(struct blockstore *s, const struct block_key *key, struct block_place *ret_place)
{
    const struct fresh *fresh = table_get(&s->fresh, block_key_span(key));
    if (table_get(&s->bad, block_key_span(key)) != NULL)
        return ERR_NOT_FOUND;
    if (fresh != NULL && fresh->state >= FRESH_DURABLE) {
        *ret_place = fresh->place;
        return ERR_OK;
    }
    if (filter_absent(s->filter, key))
        return ERR_NOT_FOUND;
    return store_catalogue_said(s, catalogue_find(s->reader, key, ret_place));
}

enum err store_catalogue_said(struct blockstore *s, enum err err)
{
    if (err == ERR_CORRUPT && !s->broken) {
        store_mark_broken(s);
        store_notice(s, true, "%s/blocks.db is damaged: it is rebuilt from the segments at the next start",
                     s->core->path);
    }
    return err;
}

/* ---- jobs ---- */

struct store_job *store_job_new(struct blockstore *s, enum job_kind kind)
{
    struct store_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return NULL;
    job->kind = kind;
    job->core = store_core_ref(s->core);
    job->account = s->reads_account;
    fresh_list_init(&job->committing);
    return job;
}

void store_job_free(struct store_job *job)
{
    if (job == NULL)
        return;
    for (size_t i = 0; i < job->read_count; i++)
        block_ref_unref(job->reads[i].ref);
    for (size_t i = 0; i < job->node_count; i++)
        block_ref_unref(job->nodes[i].ref);
    free(job->nodes);
    free(job->reads);
    free(job->page);
    free(job->places);
    free(job->found);
    free(job->batch.places);
    free((void *)(uintptr_t)job->batch.checkpoints);
    free_changes(job->batch.changes);
    disk_group_free(job->group);
    block_ref_unref(job->piece.ref);
    free(job->batch.moves);
    store_core_drop(job->core);
    free(job);
}

enum store_lane store_job_lane(const struct store_job *job)
{
    switch (job->kind) {
    case JOB_COMMIT:
    case JOB_FILTER:
    case JOB_SNAPSHOT:
    case JOB_EMPTY_LOG:
    case JOB_COUNT:
    case JOB_COLLECT_BEGIN:
    case JOB_SCAN:
    case JOB_COLLECT:
    case JOB_LOOK_UP:
    case JOB_PACK_ROWS:
        return STORE_LANE_CATALOGUE;
    case JOB_GROUP:
    case JOB_READ:
    case JOB_VERIFY:
    case JOB_PROBE:
    case JOB_PIECE:
    case JOB_COMPACT_READ:
    case JOB_COMPACT_WRITE:
    case JOB_COMPACT_SEAL:
    case JOB_COMPACT_DROP:
    case JOB_CANDIDATES:
    case JOB_DEMOTE:
        break;
    }
    return STORE_LANE_DISK;
}

/* Whoever else has the log open keeps it long. */
static void find_reader(struct store_job *job)
{
    char path[STORE_PATH_MAX + 16];
    (void)snprintf(path, sizeof(path), "%s/blocks.db-shm", job->core->path);
    (void)file_users_find(path, &job->reader, 1);
}

static enum err run_commit(struct store_job *job)
{
    enum err err = catalogue_commit(job->core->catalogue, &job->batch, &job->info);
    if (err == ERR_NO_SPACE && store_reserve_use(job->core))
        err = catalogue_commit(job->core->catalogue, &job->batch, &job->info);
    if (err == ERR_OK) {
        store_journal_pins(job->core, &job->batch);
        store_copy_mark(job->core, &job->batch);
    }
    if (err == ERR_OK && job->info.wal_bytes > job->core->log_stop_bytes / CATALOGUE_WAL_ALARM_SHARE &&
        job->core->vfs == NULL)
        find_reader(job);
    return err;
}

enum err store_job_run(struct store_job *job)
{
    switch (job->kind) {
    case JOB_GROUP:
        return disk_tier_write(job->core->tier, job->group);
    case JOB_READ:
        return store_job_read(job);
    case JOB_COMMIT:
        return run_commit(job);
    case JOB_VERIFY:
        return store_job_verify(job);
    case JOB_FILTER:
        return store_job_filter(job);
    case JOB_PROBE:
        return store_job_probe(job);
    case JOB_SNAPSHOT:
        return store_job_snapshot(job);
    case JOB_PIECE:
        return store_job_piece(job);
    case JOB_COMPACT_READ:
        return store_job_compact_read(job);
    case JOB_COMPACT_WRITE:
        return disk_tier_write(job->core->tier, job->group);
    case JOB_COMPACT_SEAL:
        return store_job_compact_seal(job);
    case JOB_COMPACT_DROP:
        return disk_tier_drop(job->core->tier, job->use.segment, job->use.bytes);
    case JOB_EMPTY_LOG:
        job->info.wal_bytes = catalogue_empty_log(job->core->catalogue);
        return ERR_OK;
    case JOB_COUNT:
        return store_job_count(job);
    case JOB_COLLECT_BEGIN:
    case JOB_SCAN:
    case JOB_COLLECT:
        return store_job_collect(job);
    case JOB_CANDIDATES:
        return store_job_candidates(job);
    case JOB_LOOK_UP:
        return store_job_look_up(job);
    case JOB_PACK_ROWS:
        return store_job_pack_rows(job);
    case JOB_DEMOTE:
        return store_job_demote(job);
    }
    return ERR_INTERNAL;
}

/* In this order; the background comes last. */
static struct store_job *(*const makers[])(struct blockstore *) = {
    store_compact_write_job, store_group_job,    store_read_job,    store_verify_job,  store_probe_job,
    store_piece_job,         store_snapshot_job, store_count_job,   store_collect_job, store_candidates_job,
    store_demote_job,        store_rewrite_job,  store_compact_job, store_filter_job,  store_log_job,
};

struct store_job *blockstore_next_job(struct blockstore *s)
{
    store_heal(s);
    struct store_job *job = store_commit_due(s) ? store_commit_job(s) : NULL;
    for (size_t i = 0; i < ARRAY_LEN(makers) && job == NULL; i++)
        job = makers[i](s);
    return job == NULL && store_commit_due(s) ? store_commit_job(s) : job; /* what was looked at may need one */
}

void blockstore_job_done(struct blockstore *s, struct store_job *job, enum err err)
{
    switch (job->kind) {
    case JOB_GROUP:
        store_group_done(s, job, err);
        break;
    case JOB_READ:
        store_read_done(s, job, err);
        break;
    case JOB_COMMIT:
        store_commit_done(s, job, err);
        break;
    case JOB_VERIFY:
        store_verify_done(s, job, err);
        break;
    case JOB_FILTER:
        store_filter_done(s, job, err);
        break;
    case JOB_PROBE:
        store_probe_done(s, job, err);
        break;
    case JOB_SNAPSHOT:
        store_snapshot_done(s, job, err);
        break;
    case JOB_PIECE:
        store_piece_done(s, job, err);
        break;
    case JOB_COMPACT_READ:
        store_compact_read_done(s, job, err);
        break;
    case JOB_COMPACT_WRITE:
        store_compact_write_done(s, job, err);
        break;
    case JOB_COMPACT_SEAL:
        store_compact_seal_done(s, job, err);
        break;
    case JOB_COMPACT_DROP:
        store_compact_drop_done(s, job, err);
        break;
    case JOB_EMPTY_LOG:
        store_log_done(s, job, err);
        break;
    case JOB_COUNT:
        store_count_done(s, job, err);
        break;
    case JOB_COLLECT_BEGIN:
    case JOB_SCAN:
    case JOB_COLLECT:
        store_collect_done(s, job, err);
        break;
    case JOB_CANDIDATES:
        store_candidates_done(s, job, err);
        break;
    case JOB_LOOK_UP:
        store_look_up_done(s, job, err);
        break;
    case JOB_PACK_ROWS:
        store_rewrite_rows(s, job, err);
        break;
    case JOB_DEMOTE:
        store_demote_done(s, job, err);
        break;
    }
    store_job_free(job);
}

/* ---- time ---- */

void blockstore_tick(struct blockstore *s, uint64_t now_ns, uint64_t real_now_ns)
{
    s->now_ns = now_ns;
    s->real_now_ns = real_now_ns;
    memory_tier_tick(s->memory, now_ns);
    store_collect_tick(s);
    store_cold_tick(s);
}

uint64_t blockstore_wakes_at(const struct blockstore *s)
{
    bool waiting = s->reads != NULL || s->verifies != NULL || s->probes != NULL || s->pieces != NULL ||
                   s->collects != NULL || s->info.counting; /* for a lane */
    waiting = waiting || s->durable.count > 0 || s->dirty_count > 0 || s->queued.count > 0 || s->changes != NULL ||
              s->cold.candidates != NULL || store_cold_wants_commit(s);
    uint64_t due = MIN(scrubber_due(&s->scrubber), store_backup_due(s));
    due = MIN(due, MIN(compactor_due(&s->compactor), store_log_due(s)));
    due = MIN(due, MIN(store_cold_due(s), store_collect_due(s)));
    if (s->info.quarantined > 0 && s->events.heal != NULL)
        due = MIN(due, healer_due(&s->healer));
    uint64_t soon = s->now_ns + STORE_RETRY_NS;
    if (due <= s->now_ns) /* it is due and something is in its way */
        due = s->now_ns + STORE_RETRY_NS / 2;
    return waiting ? MIN(due, soon) : due;
}
