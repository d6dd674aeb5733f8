/* SPDX-License-Identifier: MIT */
/*
 * Puts. Many puts of one block wait for one write; a put of a stored block is answered at once, because a row or a durable fresh
 * entry exists only after the data's sync.
 */
#include <stdlib.h>

#include "storage/blockstore_private.h"
#include "storage/segment.h"
#include "wire/dag_links.h"

void fresh_list_init(struct fresh_list *list)
{
    *list = (struct fresh_list){0};
    list->tail = &list->head;
}

void fresh_list_push(struct fresh_list *list, struct fresh *fresh)
{
    fresh->next = NULL;
    if (list->head == NULL)
        list->tail = &list->head;
    *list->tail = fresh;
    list->tail = &fresh->next;
    list->count++;
    list->bytes += fresh->place.size;
}

struct fresh *fresh_list_pop(struct fresh_list *list)
{
    struct fresh *fresh = list->head;
    if (fresh == NULL)
        return NULL;
    list->head = fresh->next;
    if (list->head == NULL)
        list->tail = &list->head;
    list->count--;
    list->bytes -= fresh->place.size;
    fresh->next = NULL;
    return fresh;
}

static uint64_t record_bytes(const struct fresh *fresh)
{
    return segment_record_bytes(fresh->place.key.len, fresh->place.size);
}

/* ---- accepting ---- */

static void wait_for(struct fresh *fresh, struct store_op *op)
{
    struct store_op **link = &fresh->ops;
    fresh->moves = op->cid_len == 0 && (fresh->ops == NULL || fresh->moves);
    while (*link != NULL)
        link = &(*link)->next;
    op->next = NULL;
    *link = op;
}

static enum err may_write(struct blockstore *s, const struct store_op *op, const struct block_ref *ref)
{
    uint64_t bytes = segment_record_bytes(op->key.len, ref->len);
    if (ref->len > BLOCK_BYTES_MAX)
        return ERR_TOO_LARGE;
    if (s->read_only && s->now_ns < s->retry_at_ns)
        return ERR_READ_ONLY;
    s->full = disk_tier_used(s->core->tier) + s->queued_bytes + bytes > s->storage_max;
    if (!s->full)
        return ERR_OK;
    return store_makes_room(s, bytes) ? ERR_BUSY : ERR_NO_SPACE;
}

/* Blocks without a row hold memory, which a commit gives back: it begins at once, and the put is to be tried again. */
static enum err no_memory(struct blockstore *s)
{
    if (s->fresh.live == 0)
        return ERR_NOMEM;
    store_flush(s);
    return ERR_BUSY;
}

static enum err enqueue(struct blockstore *s, struct store_op *op, struct block_ref *ref)
{
    enum err err = may_write(s, op, ref);
    if (err != ERR_OK)
        return err;
    struct fresh *fresh = calloc(1, sizeof(*fresh));
    if (fresh == NULL)
        return no_memory(s);
    fresh->place = (struct block_place){.key = op->key, .codec = op->codec, .size = (uint32_t)ref->len};
    err = table_put(&s->fresh, block_key_span(&op->key), fresh, NULL);
    if (err != ERR_OK) {
        free(fresh);
        return err == ERR_NOMEM ? no_memory(s) : err;
    }
    fresh->ref = block_ref_ref(ref);
    wait_for(fresh, op);
    fresh_list_push(&s->queued, fresh);
    s->queued_bytes += record_bytes(fresh);
    return ERR_OK;
}

bool store_is_node(uint32_t codec)
{
    return codec != CODEC_RAW && dag_links_known(codec);
}

bool store_put_joins(struct blockstore *s, struct store_op *op)
{
    struct fresh *fresh = table_get(&s->fresh, block_key_span(&op->key));
    op->existed = fresh != NULL;
    if (fresh == NULL || fresh->state >= FRESH_DURABLE)
        return false;
    wait_for(fresh, op);
    return true;
}

/*
 * A leaf that is cold is stored, while its medium is there and its pack whole: else the copy may be lost, and the bytes are here now. Of a node there is to be a copy that walks find
 * without a medium.
 */
void blockstore_put(struct blockstore *s, struct store_op *op, struct block_ref *ref)
{
    struct cold_place cold;
    if (store_is_doomed(s, &op->key)) {
        store_stall(s, op, ref);
        return;
    }
    bool is_cold = s->info.cold_blocks > 0 && store_find_cold(s, &op->key, &cold) == ERR_OK;
    if (is_cold)
        leases_touch(&s->leases, &op->key);
    if (is_cold && s->cold.up && !store_is_node(op->codec) && store_cold_counts(s, &op->key)) {
        op->existed = true;
        op->done(op, ERR_OK);
        return;
    }
    store_put_hot(s, op, ref, is_cold);
}

void store_put_hot(struct blockstore *s, struct store_op *op, struct block_ref *ref, bool is_cold)
{
    struct block_place place;
    if (store_put_joins(s, op))
        return;
    struct fresh *fresh = table_get(&s->fresh, block_key_span(&op->key));
    enum err err = store_find(s, &op->key, &place);
    op->existed = err == ERR_OK || is_cold;
    if (fresh != NULL && op->cid_len > 0)
        fresh->moves = false;
    if (err == ERR_OK)
        leases_touch(&s->leases, &op->key);
    if (err == ERR_NOT_FOUND && fresh != NULL) {
        err = ERR_BUSY; /* damaged before its row was made: again once that is settled */
    } else if (err == ERR_NOT_FOUND) {
        err = enqueue(s, op, ref);
        if (err == ERR_OK)
            return;
    }
    op->done(op, err);
}

/* ---- groups ---- */

struct store_job *store_group_job(struct blockstore *s)
{
    if (s->writing || s->queued.count == 0)
        return NULL;
    struct store_job *job = store_job_new(s, JOB_GROUP);
    if (job == NULL)
        return NULL;
    job->group = disk_group_new();
    while (job->group != NULL && s->queued.head != NULL) {
        struct fresh *fresh = s->queued.head;
        if (disk_group_add(job->group, &fresh->place.key, fresh->place.codec, fresh->ref, fresh) != ERR_OK)
            break;
        (void)fresh_list_pop(&s->queued);
        fresh->state = FRESH_WRITING;
    }
    if (job->group == NULL || job->group->count == 0) {
        store_job_free(job);
        return NULL;
    }
    s->writing = true;
    return job;
}

/* Answers the puts of a block; the first to ask is the one that stored it. */
static void answer(struct blockstore *s, struct store_op *ops, enum err err)
{
    if (err == ERR_OK && ops != NULL && ops->cid_len > 0 && s->events.stored != NULL)
        s->events.stored(s->events.arg, span_of(ops->cid, ops->cid_len));
    while (ops != NULL) {
        struct store_op *next = ops->next;
        ops->done(ops, err);
        ops = next;
    }
}

void store_note_durable(struct blockstore *s, struct fresh *fresh)
{
    fresh->state = FRESH_DURABLE;
    fresh->durable_at_ns = s->now_ns;
    filter_add(s->filter, &fresh->place.key);
    filter_add(s->filter_next, &fresh->place.key);
    fresh_list_push(&s->durable, fresh);
}

/* The list is short: one open segment, and those sealed since the last commit. */
void store_note_checkpoint(struct blockstore *s, const struct segment_checkpoint *checkpoint)
{
    if (checkpoint->segment == 0)
        return;
    for (size_t i = 0; i < s->dirty_count; i++) {
        if (s->dirty[i].segment == checkpoint->segment) {
            s->dirty[i] = *checkpoint;
            return;
        }
    }
    if (s->dirty_count < STORE_CHECKPOINTS_MAX) /* else start-up scans a little more */
        s->dirty[s->dirty_count++] = *checkpoint;
}

static void group_stored(struct blockstore *s, struct disk_group *group)
{
    struct segment_checkpoint reached = {.segment = group->segment, .offset = group->end, .state = SEGMENT_OPEN};
    store_note_checkpoint(s, &reached);
    s->written_segment = group->segment;
    s->written_offset = group->end;
    s->failures = 0;
    if (s->read_only)
        store_notice(s, false, "there is space again: the store accepts writes");
    s->read_only = false;
    for (size_t i = 0; i < group->count; i++) {
        struct fresh *fresh = group->records[i].user;
        struct store_op *ops = fresh->ops;
        struct block_ref *ref = fresh->ref;
        fresh->place = group->records[i].place;
        fresh->ops = NULL;
        fresh->ref = NULL;
        block_ref_unref(group->records[i].ref);
        group->records[i].ref = NULL;
        memory_tier_put(s->memory, &fresh->place.key, ref);
        block_ref_unref(ref);
        store_note_durable(s, fresh);
        answer(s, ops, ERR_OK);
    }
}

static void say_failed(struct blockstore *s, const struct disk_group *group, enum err err)
{
    if (err == ERR_NO_SPACE) {
        if (!s->read_only)
            store_notice(s, false, "%s: the disk is full: the store is read-only until there is space", s->core->path);
        s->read_only = true;
        compactor_look(&s->compactor, s->now_ns);
        s->retry_at_ns = s->now_ns + STORE_RETRY_NS;
        return;
    }
    s->failures++;
    store_notice(s, s->failures >= STORE_FAILURES_MAX, "%s/segments/%016llx.seg: %s: the segment is not used further",
                 s->core->path, (unsigned long long)group->sealed.segment, err_text(err));
}

static void group_failed(struct blockstore *s, struct disk_group *group, enum err err)
{
    say_failed(s, group, err);
    for (size_t i = 0; i < group->count; i++) {
        struct fresh *fresh = group->records[i].user;
        struct store_op *ops = fresh->ops;
        (void)table_remove(&s->fresh, block_key_span(&fresh->place.key));
        block_ref_unref(fresh->ref);
        free(fresh);
        answer(s, ops, err);
    }
}

/* The job never ran: its blocks go back to where they were, before all others. */
static void group_again(struct blockstore *s, struct disk_group *group)
{
    struct fresh_list rest = s->queued;
    fresh_list_init(&s->queued);
    for (size_t i = 0; i < group->count; i++) {
        struct fresh *fresh = group->records[i].user;
        fresh->state = FRESH_QUEUED;
        fresh_list_push(&s->queued, fresh);
    }
    if (rest.head == NULL)
        return;
    *s->queued.tail = rest.head;
    s->queued.tail = rest.tail;
    s->queued.count += rest.count;
    s->queued.bytes += rest.bytes;
}

void store_group_done(struct blockstore *s, struct store_job *job, enum err err)
{
    struct disk_group *group = job->group;
    s->writing = false;
    if (err == ERR_BUSY) {
        group_again(s, group);
        return;
    }
    s->queued_bytes -= MIN(s->queued_bytes, group->bytes);
    store_note_checkpoint(s, &group->sealed);
    if (err == ERR_OK)
        group_stored(s, group);
    else
        group_failed(s, group, err);
    store_release_late(s);
}
