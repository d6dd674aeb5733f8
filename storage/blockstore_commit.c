/* SPDX-License-Identifier: MIT */
/*
 * Commits: rows for what became durable, checkpoints, and what people asked for, in one transaction. And the filter's construction,
 * which shares the lane.
 */
#include <stdio.h>
#include <stdlib.h>

#include "storage/blockstore_private.h"
#include "storage/metadata.h"

/* ---- changes ---- */

struct catalogue_change *store_push_change(struct blockstore *s, const struct catalogue_change *from)
{
    struct catalogue_change *change = malloc(sizeof(*change));
    if (change == NULL)
        return NULL;
    *change = *from;
    change->next = NULL;
    *s->changes_tail = change;
    s->changes_tail = &change->next;
    return change;
}

void blockstore_change(struct blockstore *s, struct store_change_op *op)
{
    struct catalogue_change *change = s->broken ? NULL : store_push_change(s, &op->change);
    if (change != NULL) {
        change->user = op;
    } else {
        metadata_change_free(op->change.metadata);
        op->done(op, s->broken ? ERR_CORRUPT : ERR_NOMEM);
    }
}

bool store_is_damage(enum err err)
{
    return err == ERR_CORRUPT || err == ERR_TRUNCATED || err == ERR_NOT_FOUND;
}

const char *blockstore_damage_text(enum err err)
{
    if (err == ERR_UNAVAILABLE)
        return "a pin holds it, but it is not stored";
    if (err == ERR_TRUNCATED)
        return "its segment ends before it";
    if (err == ERR_NOT_FOUND)
        return "its segment is missing";
    return err == ERR_IO ? "it cannot be read" : "its bytes differ from what was stored";
}

/*
 * Until the change is committed a block known to be wrong counts as absent: a put must not be answered with it. What finds no memory, or
 * no place among so many, is found again at the next read.
 */
static void put_aside(struct blockstore *s, struct catalogue_change *change, enum err err)
{
    const char *reason = blockstore_damage_text(err);
    memcpy(change->reason, reason, MIN(strlen(reason), sizeof(change->reason) - 1));
    if (table_put(&s->bad, block_key_span(&change->key), s, NULL) != ERR_OK)
        return;
    if (store_push_change(s, change) == NULL)
        (void)table_remove(&s->bad, block_key_span(&change->key));
}

void store_quarantine(struct blockstore *s, const struct block_place *place, enum err err)
{
    struct catalogue_change change = {.kind = CHANGE_QUARANTINE, .key = place->key, .place = *place};
    store_notice(s, false, "a stored block is damaged (segment %016llx, offset %llu): %s: quarantined",
                 (unsigned long long)place->segment, (unsigned long long)place->offset, blockstore_damage_text(err));
    put_aside(s, &change, err);
}

void store_miss(struct blockstore *s, const struct block_place *place)
{
    struct catalogue_change change = {.kind = CHANGE_MISSING, .key = place->key, .place = *place};
    put_aside(s, &change, ERR_UNAVAILABLE);
}

/* ---- the job ---- */

void store_flush(struct blockstore *s)
{
    s->flush = s->flush || s->durable.count > 0; /* without anything to commit it would stay set */
}

bool store_commit_due(const struct blockstore *s)
{
    if (s->committing || s->broken || s->now_ns < s->commit_retry_at_ns)
        return false;
    if (s->changes != NULL || s->durable.count >= STORE_COMMIT_ROWS || s->durable.bytes >= STORE_COMMIT_BYTES ||
        scrubber_wants_save(&s->scrubber, s->now_ns) || s->flush || (s->healed && s->durable.count > 0) ||
        store_compact_wants_commit(s) || store_cold_wants_commit(s))
        return true;
    if (s->durable.count == 0 ? s->dirty_count > 0 : s->verifies != NULL)
        return true;
    return s->durable.head != NULL && s->now_ns >= s->durable.head->durable_at_ns + STORE_COMMIT_NS;
}

static bool fill_batch(struct blockstore *s, struct store_job *job)
{
    s->flush = false;
    job->batch.real_now_ns = s->real_now_ns;
    job->batch.places = malloc((s->durable.count + 1) * sizeof(*job->batch.places));
    struct segment_checkpoint *checkpoints = malloc(sizeof(s->dirty));
    job->batch.checkpoints = checkpoints;
    if (job->batch.places == NULL || checkpoints == NULL)
        return false;
    memcpy(checkpoints, s->dirty, s->dirty_count * sizeof(*checkpoints));
    job->batch.checkpoint_count = s->dirty_count;
    s->dirty_count = 0;
    for (struct fresh *fresh = s->durable.head; fresh != NULL; fresh = fresh->next) {
        fresh->state = FRESH_COMMITTING;
        job->batch.places[job->batch.place_count++] = fresh->place;
    }
    job->committing = s->durable;
    fresh_list_init(&s->durable);
    store_cold_take_changes(s);
    job->batch.changes = s->changes;
    s->changes = NULL;
    s->changes_tail = &s->changes;
    store_compact_take_moves(s, job);
    const struct scrub_progress *scrub = scrubber_take(&s->scrubber);
    if (scrub != NULL) {
        job->scrub = *scrub;
        job->batch.scrub = &job->scrub;
    }
    return true;
}

struct store_job *store_commit_job(struct blockstore *s)
{
    bool nothing = s->durable.count == 0 && s->dirty_count == 0 && s->changes == NULL && s->scrubber.save_ns == 0 &&
                   !store_compact_wants_commit(s) && !store_cold_wants_commit(s);
    if (s->committing || nothing)
        return NULL;
    struct store_job *job = store_job_new(s, JOB_COMMIT);
    if (job == NULL)
        return NULL;
    if (!fill_batch(s, job)) {
        store_job_free(job);
        return NULL;
    }
    s->committing = true;
    return job;
}

void store_release_removals(struct blockstore *s)
{
    if (s->info.counting || s->removals == NULL)
        return;
    *s->changes_tail = s->removals;
    while (*s->changes_tail != NULL)
        s->changes_tail = &(*s->changes_tail)->next;
    s->removals = NULL;
}

void store_release_late(struct blockstore *s)
{
    *s->changes_tail = s->late;
    while (*s->changes_tail != NULL)
        s->changes_tail = &(*s->changes_tail)->next;
    s->late = NULL;
}

/* A block was removed while it is written to the disk, and nobody has put it: it would be there again. It is removed once more before that is said. */
static bool comes_late(struct blockstore *s, struct catalogue_change *change, enum err err)
{
    const struct fresh *fresh = table_get(&s->fresh, block_key_span(&change->key));
    if (fresh == NULL || !fresh->moves || (err != ERR_OK && err != ERR_NOT_FOUND))
        return false;
    change->next = s->late;
    s->late = change;
    if (fresh->state >= FRESH_DURABLE)
        store_release_late(s);
    return true;
}

/* What one change did in memory, and its answer; frees it. A removal that came too early waits. */
static void finish_change(struct blockstore *s, struct catalogue_change *change, enum err err)
{
    struct store_change_op *op = change->user;
    if (err == ERR_OK)
        err = change->err;
    if (change->kind == CHANGE_BLOCK_RM && err == ERR_AGAIN && s->cold.count_waits)
        err = ERR_UNAVAILABLE;
    if (change->kind == CHANGE_BLOCK_RM && err == ERR_AGAIN) {
        change->next = s->removals;
        s->removals = change;
        return;
    }
    if (change->kind == CHANGE_BLOCK_RM && comes_late(s, change, err))
        return;
    bool aside = change->kind == CHANGE_QUARANTINE || change->kind == CHANGE_MISSING;
    if (aside)
        (void)table_remove(&s->bad, block_key_span(&change->key));
    if (aside || change->kind == CHANGE_HEAL_ALL)
        healer_look(&s->healer);
    if (change->kind == CHANGE_SEGMENT_RM && err == ERR_OK)
        compactor_dropped(&s->compactor, s->now_ns);
    if (err == ERR_OK && (change->kind == CHANGE_BLOCK_RM || change->kind == CHANGE_QUARANTINE))
        memory_tier_drop(s->memory, &change->key);
    if (change->cold != NULL)
        store_cold_changed(s, change);
    if (op != NULL) {
        op->change.place = change->place;
        op->change.count = change->count;
        op->change.err = err;
        op->done(op, err);
    }
    catalogue_change_free(change);
}

void store_refuse_removals(struct blockstore *s, enum err err)
{
    while (s->removals != NULL) {
        struct catalogue_change *change = s->removals;
        s->removals = change->next;
        finish_change(s, change, err);
    }
}

/* The store's own changes, which nobody else would ask for again, wait for the next commit when this one failed. */
static void finish_changes(struct blockstore *s, struct store_job *job, enum err err)
{
    while (job->batch.changes != NULL) {
        struct catalogue_change *change = job->batch.changes;
        job->batch.changes = change->next;
        if (err != ERR_OK && change->user == NULL) {
            change->next = NULL;
            *s->changes_tail = change;
            s->changes_tail = &change->next;
            continue;
        }
        finish_change(s, change, err);
    }
    store_release_removals(s);
}

bool store_log_is_long(const struct blockstore *s)
{
    return s->info.wal_bytes > s->core->log_stop_bytes;
}

uint64_t store_log_due(const struct blockstore *s)
{
    return store_log_is_long(s) ? s->log_look_ns : UINT64_MAX;
}

/* The reader may go while nobody writes: what rests must go on then, too. */
struct store_job *store_log_job(struct blockstore *s)
{
    bool waits = s->emptying_log || s->committing || s->broken || s->now_ns < store_log_due(s);
    struct store_job *job = waits ? NULL : store_job_new(s, JOB_EMPTY_LOG);
    if (job == NULL)
        return NULL;
    s->emptying_log = true;
    s->log_look_ns = s->now_ns + STORE_LOG_LOOK_NS;
    return job;
}

void store_log_done(struct blockstore *s, struct store_job *job, enum err err)
{
    s->emptying_log = false;
    if (err == ERR_OK)
        s->info.wal_bytes = job->info.wal_bytes;
}

/*
 * Told once each time a foreign process has made the log long, and whenever it is very long; SQLite cuts it by itself when the reader is
 * gone. The store's own readers, which end at once, may let many rows in a row make it long, too.
 */
static void watch_log(struct blockstore *s, pid_t reader)
{
    char who[64] = "a reader";
    uint64_t before = s->log_watched; /* counting and collections have made it longer since, too */
    uint64_t now = s->info.wal_bytes;
    uint64_t stop = s->core->log_stop_bytes;
    uint64_t alarm = stop / CATALOGUE_WAL_ALARM_SHARE;
    bool stops = now > stop && before <= stop;
    s->log_watched = now;
    if (!stops && (reader == 0 || now <= alarm || before > alarm))
        return;
    if (reader != 0)
        (void)snprintf(who, sizeof(who), "process %ld", (long)reader);
    store_notice(s, false, "%s/blocks.db-wal has %llu MiB: %s has held the database open for long: end it%s",
                 s->core->path, (unsigned long long)(now / MIB), who,
                 stops ? "; scrubbing, compaction and collections of the store's own rest until then" : "");
}

static void rows_committed(struct blockstore *s, struct store_job *job)
{
    struct fresh *fresh;
    bool sealed = false;
    for (size_t i = 0; i < job->batch.checkpoint_count; i++)
        sealed = sealed || job->batch.checkpoints[i].state != SEGMENT_OPEN;
    if (sealed || job->info.live_bytes < s->info.live_bytes)
        compactor_look(&s->compactor, s->now_ns);
    s->info = job->info;
    s->healed = s->healed && s->durable.count > 0;
    watch_log(s, job->reader);
    while ((fresh = fresh_list_pop(&job->committing)) != NULL) {
        (void)table_remove(&s->fresh, block_key_span(&fresh->place.key));
        free(fresh);
    }
}

/* Everything goes back, in order; a checkpoint that was noted since is newer and stays. */
static void rows_again(struct blockstore *s, struct store_job *job)
{
    struct fresh_list later = s->durable;
    struct segment_checkpoint noted[STORE_CHECKPOINTS_MAX];
    size_t noted_count = s->dirty_count;
    memcpy(noted, s->dirty, noted_count * sizeof(*noted));
    s->dirty_count = 0;
    for (size_t i = 0; i < job->batch.checkpoint_count; i++)
        store_note_checkpoint(s, &job->batch.checkpoints[i]);
    for (size_t i = 0; i < noted_count; i++)
        store_note_checkpoint(s, &noted[i]);
    fresh_list_init(&s->durable);
    struct fresh *fresh;
    while ((fresh = fresh_list_pop(&job->committing)) != NULL) {
        fresh->state = FRESH_DURABLE;
        fresh_list_push(&s->durable, fresh);
    }
    while ((fresh = fresh_list_pop(&later)) != NULL)
        fresh_list_push(&s->durable, fresh);
}

void store_catalogue_failed(struct blockstore *s, enum err err, const char *then)
{
    if (err == ERR_CORRUPT)
        store_mark_broken(s);
    store_notice(s, err == ERR_CORRUPT, "%s/blocks.db: %s: %s", s->core->path, err_text(err),
                 err == ERR_CORRUPT ? "it is rebuilt from the segments at the next start" : then);
}

/* Told once until it works again. */
static void commit_failed(struct blockstore *s, struct store_job *job, enum err err)
{
    rows_again(s, job);
    if (job->batch.scrub != NULL)
        scrubber_save_again(&s->scrubber, s->now_ns);
    s->commit_retry_at_ns = s->now_ns + STORE_RETRY_NS;
    if (err == ERR_CORRUPT || !s->commit_fails)
        store_catalogue_failed(s, err, "rows are kept in memory and tried again");
    s->commit_fails = true;
}

void store_commit_done(struct blockstore *s, struct store_job *job, enum err err)
{
    s->committing = false;
    store_compact_moved(s, job, err);
    if (err == ERR_OK) {
        s->commit_fails = false;
        rows_committed(s, job);
    } else {
        commit_failed(s, job, err);
    }
    finish_changes(s, job, err);
    store_verify_settle(s);
}

/* ---- the filter ---- */

/* Blocks that are durable but have no row yet: the walk may have passed their place when they get one. */
static void add_fresh(struct blockstore *s)
{
    size_t position = 0;
    const struct fresh *fresh;
    while ((fresh = table_next(&s->fresh, &position, NULL)) != NULL) {
        if (fresh->state >= FRESH_DURABLE)
            filter_add(s->filter_next, &fresh->place.key);
    }
}

struct store_job *store_filter_job(struct blockstore *s)
{
    if (s->filter_running || s->broken || s->now_ns < s->filter_retry_at_ns)
        return NULL;
    if (s->filter_next == NULL && s->filter != NULL && filter_crowded(s->filter)) {
        uint64_t keys = s->info.blocks + s->info.cold_blocks + s->durable.count;
        s->filter_next = filter_new_within(keys * 2, keys + keys / 8, s->filter_seed, s->tables);
        s->filter_after = (struct block_key){0};
        add_fresh(s);
        if (s->filter_next == NULL) /* the old one goes on, less sharp */
            s->filter_retry_at_ns = s->now_ns + 60 * STORE_RETRY_NS;
    }
    struct store_job *job = s->filter_next == NULL ? NULL : store_job_new(s, JOB_FILTER);
    if (job == NULL)
        return NULL;
    job->page = malloc(STORE_FILTER_PAGE * sizeof(*job->page));
    if (job->page == NULL) {
        store_job_free(job);
        return NULL;
    }
    job->after = s->filter_after;
    job->cold = s->info.cold_blocks > 0;
    s->filter_running = true;
    return job;
}

enum err store_job_filter(struct store_job *job)
{
    return job->cold
               ? catalogue_page_stored(job->core->lane_reader, &job->after, job->page, STORE_FILTER_PAGE,
                                       &job->page_count)
               : catalogue_page(job->core->lane_reader, &job->after, job->page, STORE_FILTER_PAGE, &job->page_count);
}

/*
 * Rows committed behind the walk were added when they became durable, or when the walk began.
 */
void store_filter_done(struct blockstore *s, struct store_job *job, enum err err)
{
    s->filter_running = false;
    if (err != ERR_OK) {
        s->filter_retry_at_ns = s->now_ns + STORE_RETRY_NS;
        return;
    }
    for (size_t i = 0; i < job->page_count; i++)
        filter_add(s->filter_next, &job->page[i].key);
    if (job->page_count > 0)
        s->filter_after = job->page[job->page_count - 1].key;
    if (job->page_count == STORE_FILTER_PAGE)
        return;
    filter_complete(s->filter_next);
    filter_free(s->filter);
    s->filter = s->filter_next;
    s->filter_next = NULL;
}
