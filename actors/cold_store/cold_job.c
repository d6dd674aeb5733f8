/* SPDX-License-Identifier: MIT */
#include "actors/cold_store/cold_job.h"

#include <stdlib.h>

#include "base/limits.h"
#include "schemas/messages.h"

enum { RECORD_BYTES_MAX = 128, PLACE_TEXT_MAX = 1024 };

/* ---- what is asked ---- */

static void pack_of(struct cold_job *job, enum store_cold_kind what, uint64_t pack)
{
    job->op.kind = what;
    job->op.pack = pack;
}

static enum err read_of(struct cold_job *job, const struct msg_cold_read *m)
{
    struct cold_place *place = &job->op.place;
    job->op.kind = STORE_COLD_READ;
    *place = (struct cold_place){.pack = m->pack,
                                 .offset = (uint32_t)m->offset,
                                 .stored = (uint32_t)m->stored,
                                 .size = (uint32_t)m->size,
                                 .codec = (uint32_t)m->codec};
    if (m->size > BLOCK_BYTES_MAX || m->stored > m->size)
        return ERR_INVALID;
    return block_key_of_span(m->multihash, &place->key);
}

static enum err add_of(struct cold_job *job, const struct msg *msg)
{
    const struct msg_cold_add *m = msg->fields;
    struct cold_place *place = &job->op.place;
    pack_of(job, STORE_COLD_ADD, m->pack);
    place->codec = (uint32_t)m->codec;
    if (msg->tail != NULL)
        job->op.ref = block_ref_ref(msg->tail);
    return block_key_of_span(m->multihash, &place->key);
}

enum err cold_job_take(struct cold_job *job, const struct msg *msg)
{
    const void *fields = msg->fields;
    job->kind = msg->kind;
    switch (msg->kind) {
    case MSG_COLD_CLAIM:
        job->op.kind = STORE_COLD_CLAIM;
        memcpy(job->op.mark, ((const struct msg_cold_claim *)fields)->mark.data, PACK_MARK_BYTES);
        job->op.adopt = ((const struct msg_cold_claim *)fields)->adopt;
        return ERR_OK;
    case MSG_COLD_SWEEP:
        job->op.kind = STORE_COLD_SWEEP;
        return ERR_OK;
    case MSG_COLD_READ:
        return read_of(job, fields);
    case MSG_COLD_CHECK:
        pack_of(job, STORE_COLD_CHECK, ((const struct msg_cold_check *)fields)->pack);
        return ERR_OK;
    case MSG_COLD_BEGIN:
        pack_of(job, STORE_COLD_BEGIN, ((const struct msg_cold_begin *)fields)->pack);
        return ERR_OK;
    case MSG_COLD_ADD:
        return add_of(job, msg);
    case MSG_COLD_END:
        pack_of(job, STORE_COLD_END, ((const struct msg_cold_end *)fields)->pack);
        return ERR_OK;
    case MSG_COLD_ABANDON:
        pack_of(job, STORE_COLD_ABANDON, ((const struct msg_cold_abandon *)fields)->pack);
        return ERR_OK;
    case MSG_COLD_REMOVE:
        pack_of(job, STORE_COLD_REMOVE, ((const struct msg_cold_remove *)fields)->pack);
        return ERR_OK;
    case MSG_COLD_INDEX:
        pack_of(job, STORE_COLD_INDEX, ((const struct msg_cold_index *)fields)->pack);
        job->op.from = (uint32_t)((const struct msg_cold_index *)fields)->from;
        job->op.places = calloc(STORE_COLD_PAGE, sizeof(*job->op.places));
        return job->op.places == NULL ? ERR_NOMEM : ERR_OK;
    case MSG_COLD_PACKS:
        pack_of(job, STORE_COLD_PACKS, ((const struct msg_cold_packs *)fields)->after);
        job->op.packs = calloc(STORE_COLD_PAGE, sizeof(*job->op.packs));
        return job->op.packs == NULL ? ERR_NOMEM : ERR_OK;
    }
    return ERR_UNSUPPORTED;
}

/* ---- the work ---- */

void cold_job_free(void *arg)
{
    struct cold_job *job = arg;
    block_ref_unref(job->op.ref);
    free(job->op.places);
    free(job->op.packs);
    cold_drive_unref(job->drive);
    free(job);
}

enum err cold_job_run(void *arg, const _Atomic bool *cancelled)
{
    struct cold_job *job = arg;
    return cold_drive_run(job->drive, &job->op, cancelled);
}

/* ---- answers ---- */

static void answer_err(struct ctx *ctx, const struct cold_job *job, enum err err)
{
    struct cold_facts facts;
    cold_drive_facts(job->drive, &facts);
    uint64_t wait_s = (ctx_left(ctx, facts.retry_at_ns) + SECOND_NS - 1) / SECOND_NS;
    if (err == ERR_UNAVAILABLE && wait_s > 0)
        ctx_reply_err(ctx, job->to, err, "the cold tier is asked again in %lu s: %s", (unsigned long)wait_s,
                      job->op.why);
    else
        ctx_reply_err(ctx, job->to, err, "%s%s", job->op.why[0] == '\0' ? "" : "the cold tier: ", job->op.why);
}

static void reply(struct ctx *ctx, const struct cold_job *job, uint16_t kind, const void *fields,
                  struct block_ref *tail)
{
    ctx_reply(ctx, job->to, &(struct msg){.kind = kind, .fields = fields, .tail = tail});
}

static void answer_index(struct ctx *ctx, const struct cold_job *job)
{
    struct buf items;
    enum err err = ERR_OK;
    buf_init(&items, (size_t)STORE_COLD_PAGE * RECORD_BYTES_MAX, NULL);
    for (size_t i = 0; i < job->op.count && err == ERR_OK; i++) {
        const struct cold_place *place = &job->op.places[i];
        struct item_cold_record item = {.offset = place->offset,
                                        .stored = place->stored,
                                        .size = place->size,
                                        .codec = place->codec,
                                        .multihash = block_key_span(&place->key)};
        err = schema_list_add_map(&items, &schema_item_cold_record, &item);
    }
    struct msg_cold_listing listing = {.records = schema_list_of(&items, (uint32_t)job->op.count),
                                       .next = job->op.next};
    if (err == ERR_OK)
        reply(ctx, job, MSG_COLD_LISTING, &listing, NULL);
    else
        answer_err(ctx, job, err);
    buf_release(&items);
}

static void answer_packs(struct ctx *ctx, const struct cold_job *job)
{
    struct buf items;
    enum err err = ERR_OK;
    buf_init(&items, (size_t)STORE_COLD_PAGE * RECORD_BYTES_MAX, NULL);
    for (size_t i = 0; i < job->op.count && err == ERR_OK; i++) {
        struct item_cold_pack item = {.pack = job->op.packs[i].pack, .bytes = job->op.packs[i].bytes};
        err = schema_list_add_map(&items, &schema_item_cold_pack, &item);
    }
    struct msg_cold_pack_list list = {.packs = schema_list_of(&items, (uint32_t)job->op.count), .next = job->op.next};
    if (err == ERR_OK)
        reply(ctx, job, MSG_COLD_PACK_LIST, &list, NULL);
    else
        answer_err(ctx, job, err);
    buf_release(&items);
}

static void answer_ok(struct ctx *ctx, const struct cold_job *job)
{
    struct msg_ok ok = {0};
    struct msg_cold_block block = {0};
    struct msg_cold_added added = {.offset = job->op.place.offset, .stored = job->op.place.stored};
    struct msg_cold_ended ended = {.bytes = job->op.bytes, .records = job->op.records};
    struct msg_cold_claimed claimed = {.kind = span_text(job->op.kind_name), .place = span_text(job->op.place_name)};
    switch (job->kind) {
    case MSG_COLD_CLAIM:
        reply(ctx, job, MSG_COLD_CLAIMED, &claimed, NULL);
        break;
    case MSG_COLD_READ:
        reply(ctx, job, MSG_COLD_BLOCK, &block, job->op.ref);
        break;
    case MSG_COLD_ADD:
        reply(ctx, job, MSG_COLD_ADDED, &added, NULL);
        break;
    case MSG_COLD_END:
    case MSG_COLD_CHECK:
        reply(ctx, job, MSG_COLD_ENDED, &ended, NULL);
        break;
    case MSG_COLD_INDEX:
        answer_index(ctx, job);
        break;
    case MSG_COLD_PACKS:
        answer_packs(ctx, job);
        break;
    default:
        reply(ctx, job, MSG_OK, &ok, NULL);
        break;
    }
}

static enum err pack_requests(const struct s3_counters *counters, struct buf *items)
{
    for (unsigned kind = 0; kind < S3_KIND_COUNT; kind++) {
        struct item_cold_requests item = {.kind = span_text(s3_kind_name((enum s3_kind)kind)),
                                          .count = counters->requests[kind]};
        enum err err = schema_list_add_map(items, &schema_item_cold_requests, &item);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

void cold_job_answer(struct ctx *ctx, const struct cold_job *job, enum err err)
{
    if (err == ERR_OK)
        answer_ok(ctx, job);
    else
        answer_err(ctx, job, err);
}

enum err cold_stat_answer(struct ctx *ctx, struct cold_drive *drive, struct reply_to to)
{
    struct cold_facts facts;
    struct buf items;
    cold_drive_facts(drive, &facts);
    buf_init(&items, S3_KIND_COUNT * RECORD_BYTES_MAX, NULL);
    enum err err = facts.is_counted ? pack_requests(&facts.requests, &items) : ERR_OK;
    struct msg_cold_state reply = {.kind = span_text(facts.kind),
                                   .place = span_first(span_text(facts.place), PLACE_TEXT_MAX),
                                   .up = facts.up,
                                   .retry_in_ns = ctx_left(ctx, facts.retry_at_ns),
                                   .why = span_text(facts.why),
                                   .requests = schema_list_of(&items, facts.is_counted ? S3_KIND_COUNT : 0),
                                   .again = facts.requests.again,
                                   .held = facts.requests.held,
                                   .failed = facts.requests.failed,
                                   .bytes_in = facts.requests.bytes_in,
                                   .bytes_out = facts.requests.bytes_out};
    if (err == ERR_OK)
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_COLD_STATE, .fields = &reply});
    buf_release(&items);
    return err;
}
