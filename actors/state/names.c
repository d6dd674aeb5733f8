/* SPDX-License-Identifier: MIT */
#include "actors/state/names.h"

#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#include "actors/tree.h"
#include "base/limits.h"
#include "schemas/config.h"

enum { FIRST_LOOK_S = 60, LOOK_S = 300, RENEWALS_MAX = 16, NEXT_PAGE_S = 1 };
enum { ROWS_BYTES_MAX = 256 * 1024, PACKED_BYTES = 64 * 1024, UNPACKED_WORDS = 32, KIND_RENEW = 0 };

struct names_job {
    struct store_ref *shared;
    struct naming naming;
    uint16_t kind;
    bool called;
    struct reply_to to;
    uint64_t real_now_ns;
    struct buf packed; /* the message; it may hold a private key */
    /* results */
    struct buf rows;
    uint32_t count;
    bool overwritten;
    struct ipns_row row;
    char why[STATE_WHY_BYTES];
    /* renewing */
    struct peer_id position;
    uint64_t told_before;
    uint64_t lifetime_ns;
    bool ended;
    size_t renewal_count;
    struct ipns_row renewals[];
};

static void free_job(void *arg)
{
    struct names_job *job = arg;
    if (job->packed.data != NULL)
        sodium_memzero(job->packed.data, job->packed.cap);
    buf_release(&job->packed);
    buf_release(&job->rows);
    store_ref_drop(job->shared);
    free(job);
}

static struct names_job *job_new(const struct state_names *n, struct ctx *ctx, uint16_t kind, size_t renewals)
{
    struct names_job *job = calloc(1, sizeof(*job) + renewals * sizeof(struct ipns_row));
    if (job == NULL)
        return NULL;
    job->shared = store_ref_take(n->shared);
    job->naming = n->naming;
    job->kind = kind;
    job->real_now_ns = ctx_real_now(ctx);
    buf_init(&job->packed, PACKED_BYTES, NULL);
    buf_init(&job->rows, ROWS_BYTES_MAX, NULL);
    return job;
}

/* ---- on the worker ---- */

static enum err run_told(struct names_job *job, const struct msg_ipns_told *told)
{
    struct peer_id name;
    if (told->count == 0 || ipns_name_of_key(told->key, &name) != ERR_OK)
        return ERR_OK;
    return ipns_store_told(job->naming.store, &name, job->real_now_ns, job->why);
}

static enum err run_message(struct names_job *job, const void *fields)
{
    struct naming *n = &job->naming;
    switch (job->kind) {
    case MSG_KEY_GEN:
        return naming_gen(n, fields, &job->rows, &job->count, job->why);
    case MSG_KEY_IMPORT:
        return naming_import(n, fields, &job->rows, &job->count, job->why);
    case MSG_KEY_LIST:
        return naming_list(n, &job->rows, &job->count, job->why);
    case MSG_KEY_RM:
        return naming_rm(n, fields, &job->rows, &job->count, job->why);
    case MSG_KEY_RENAME:
        return naming_rename(n, fields, &job->rows, &job->count, &job->overwritten, job->why);
    case MSG_IPNS_LAST:
        return naming_last(n, ((const struct msg_ipns_last *)fields)->key, &job->row, job->why);
    case MSG_IPNS_SIGN:
        return naming_sign(n, fields, job->real_now_ns, &job->row, job->why);
    case MSG_IPNS_TOLD:
        return run_told(job, fields);
    default:
        return ERR_UNSUPPORTED;
    }
}

static enum err run_job(void *arg, const _Atomic bool *cancelled)
{
    struct names_job *job = arg;
    uint64_t fields[UNPACKED_WORDS];
    const struct schema *schema = schema_find(&schema_messages, job->kind);
    if (atomic_load_explicit(cancelled, memory_order_relaxed))
        return ERR_CANCELLED;
    if (schema == NULL || schema->struct_bytes > sizeof(fields))
        return ERR_INTERNAL;
    enum err err = schema_unpack(schema, SCHEMA_ARRAY, buf_span(&job->packed), fields, job->why, sizeof(job->why));
    return err == ERR_OK ? run_message(job, fields) : err;
}

static enum err run_renew(void *arg, const _Atomic bool *cancelled)
{
    struct names_job *job = arg;
    while (job->renewal_count < RENEWALS_MAX && !atomic_load_explicit(cancelled, memory_order_relaxed)) {
        enum err err = naming_renew(&job->naming, &job->position, job->told_before, job->lifetime_ns, job->real_now_ns,
                                    &job->renewals[job->renewal_count], job->why);
        if (err == ERR_NOT_FOUND)
            job->ended = true;
        if (err != ERR_OK)
            return err == ERR_NOT_FOUND ? ERR_OK : err;
        job->renewal_count++;
    }
    return ERR_OK;
}

/* ---- on the actor's thread ---- */

enum err names_init(struct state_names *n, struct ctx *ctx, const struct config *config, struct store_ref *shared,
                    uint64_t tag_timer)
{
    int len = snprintf(n->naming.folder, sizeof(n->naming.folder), "%s/keystore", config->path);
    if (len < 0 || (size_t)len >= sizeof(n->naming.folder))
        return ERR_TOO_LARGE;
    n->shared = shared;
    n->naming.disk = ctx_disk(ctx);
    n->naming.self = config->identity;
    n->naming.store = shared->store;
    n->period_ns = config->offline ? 0 : config->ipns_republish_period;
    n->lifetime_ns = config->ipns_record_lifetime;
    if (n->period_ns != 0)
        (void)ctx_timer(ctx, ctx_now(ctx) + FIRST_LOOK_S * SECOND_NS, tag_timer);
    return ERR_OK;
}

bool names_kind(uint16_t kind)
{
    return (kind >= MSG_KEY_GEN && kind <= MSG_KEY_RENAME) || (kind >= MSG_IPNS_LAST && kind <= MSG_IPNS_SIGN) ||
           kind == MSG_IPNS_TOLD;
}

enum err names_message(struct state_names *n, struct ctx *ctx, const struct msg *msg, const struct reply_to *to,
                       uint64_t tag_job)
{
    const struct schema *schema = schema_find(&schema_messages, msg->kind);
    struct names_job *job = job_new(n, ctx, msg->kind, 0);
    if (job == NULL)
        return ERR_NOMEM;
    enum err err = ERR_INTERNAL;
    if (to != NULL) {
        job->called = true;
        job->to = *to;
    }
    /* all at once: a buffer that grows leaves what it held behind */
    if (schema != NULL && buf_reserve(&job->packed, PACKED_BYTES) != NULL)
        err = schema_pack(schema, SCHEMA_ARRAY, msg->fields, &job->packed);
    if (err == ERR_OK)
        err = ctx_job(ctx, "state", run_job, job, free_job, tag_job);
    if (err != ERR_OK)
        free_job(job);
    return err;
}

static void reply(struct ctx *ctx, const struct names_job *job, enum err err)
{
    bool record = job->kind == MSG_IPNS_LAST || job->kind == MSG_IPNS_SIGN;
    struct msg_keys keys = {.keys = schema_list_of(&job->rows, job->count), .overwritten = job->overwritten};
    struct msg_ipns_record row = {.peer = peer_id_span(&job->row.name),
                                  .record = span_of(job->row.record, job->row.record_len),
                                  .published_at = job->row.published_at};
    if (err != ERR_OK)
        ctx_reply_err(ctx, job->to, err, "%s", job->why[0] != '\0' ? job->why : err_text(err));
    else if (record)
        ctx_reply(ctx, job->to, &(struct msg){.kind = MSG_IPNS_RECORD, .fields = &row});
    else
        ctx_reply(ctx, job->to, &(struct msg){.kind = MSG_KEYS, .fields = &keys});
}

/* What no peer takes now comes again at the next look: nobody waits for it. */
static void publish(struct ctx *ctx, const struct names_job *job)
{
    for (size_t i = 0; i < job->renewal_count; i++) {
        uint8_t key[IPNS_KEY_BYTES_MAX];
        size_t len = ipns_key_of_name(&job->renewals[i].name, key);
        struct msg_route_put put = {.key = span_of(key, len),
                                    .value = span_of(job->renewals[i].record, job->renewals[i].record_len)};
        (void)ctx_cast(ctx, ACTOR_DISCOVERY, &(struct msg){.kind = MSG_ROUTE_PUT, .fields = &put});
    }
}

static void renewed(struct state_names *n, struct ctx *ctx, const struct names_job *job, enum err err,
                    uint64_t tag_timer)
{
    n->renewing = false;
    publish(ctx, job);
    if (err != ERR_OK)
        ctx_log(ctx, LOG_WARN, "names are not published again for now: %s",
                job->why[0] != '\0' ? job->why : err_text(err));
    bool more = err == ERR_OK && !job->ended;
    n->position = more ? job->position : (struct peer_id){.len = 0};
    (void)ctx_timer(ctx, ctx_now(ctx) + (more ? NEXT_PAGE_S : LOOK_S) * SECOND_NS, tag_timer);
}

void names_job(struct state_names *n, struct ctx *ctx, const struct info *info, uint64_t tag_timer)
{
    struct names_job *job = info->arg;
    if (job->kind == KIND_RENEW)
        renewed(n, ctx, job, info->err, tag_timer);
    else if (job->called)
        reply(ctx, job, info->err);
    free_job(job);
}

void names_timer(struct state_names *n, struct ctx *ctx, uint64_t tag_job, uint64_t tag_timer)
{
    uint64_t now = ctx_real_now(ctx);
    struct names_job *job = n->renewing ? NULL : job_new(n, ctx, KIND_RENEW, RENEWALS_MAX);
    if (job != NULL) {
        job->position = n->position;
        job->told_before = now > n->period_ns ? now - n->period_ns : 0;
        job->lifetime_ns = n->lifetime_ns;
        n->renewing = ctx_job(ctx, "state", run_renew, job, free_job, tag_job) == ERR_OK;
        if (!n->renewing)
            free_job(job);
    }
    if (!n->renewing)
        (void)ctx_timer(ctx, ctx_now(ctx) + LOOK_S * SECOND_NS, tag_timer);
}
