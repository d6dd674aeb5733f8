/* SPDX-License-Identifier: MIT */
/*
 * cold_store: the medium of the cold tier.
 *
 * Owns: the medium that the configuration names, through one storage/cold_drive. Accepts: calls cold_* and probe. Emits: casts
 * state_cost to state. Restart: permanent; who stores blocks restarts with it. It exists only where a cold tier is configured.
 *
 *      call --> job --> lane `cold` --> cold_drive_run --> INFO_JOB --> reply
 *
 * Reads and checks go to the lane at once; of everything else one is under way and the rest wait here, so that of the lane's two workers one is
 * left for reads. A call that is cancelled, or whose deadline passes, cancels its job.
 */
#include <stdlib.h>

#include "actors/cold_store/cold_job.h"
#include "actors/cold_store/costs.h"
#include "actors/tree.h"
#include "base/limits.h"
#include "schemas/config.h"
#include "schemas/messages.h"

enum { WAITING_MAX = 32, ABANDON_S = 10, SPARE_MS = 200 };
enum { TAG_COSTS = 1 }; /* of timers */

struct cold_state {
    struct ctx *ctx;
    struct cold_drive *drive;
    struct cold_job *started; /* with the runtime */
    struct cold_job *waiting; /* the first of them; of what runs one at a time */
    size_t waiting_count;
    struct cold_job *working; /* of these: the one that is started */
    struct costs costs;
    actor_id writer; /* who began the last pack; 0: nobody has */
    uint64_t pack;
    uint64_t next_tag;
};

/* ---- jobs ---- */

static bool is_alone(const struct cold_job *job)
{
    return job->kind != MSG_COLD_READ && job->kind != MSG_COLD_CHECK;
}

static void unlist(struct cold_job **list, const struct cold_job *job)
{
    while (*list != job)
        list = &(*list)->next;
    *list = job->next;
}

static enum err start(struct cold_state *s, struct cold_job *job)
{
    job->tag = ++s->next_tag;
    enum err err = ctx_job(s->ctx, "cold", cold_job_run, job, cold_job_free, job->tag);
    if (err != ERR_OK)
        return err;
    job->next = s->started;
    s->started = job;
    if (is_alone(job))
        s->working = job;
    return ERR_OK;
}

static enum err append(struct cold_state *s, struct cold_job *job)
{
    struct cold_job **end = &s->waiting;
    if (s->waiting_count == WAITING_MAX)
        return ERR_BUSY;
    while (*end != NULL)
        end = &(*end)->next;
    *end = job;
    s->waiting_count++;
    return ERR_OK;
}

/* Starts what waits, as long as nothing of it runs. */
static void go_on(struct cold_state *s)
{
    while (s->working == NULL && s->waiting != NULL) {
        struct cold_job *job = s->waiting;
        unlist(&s->waiting, job);
        s->waiting_count--;
        enum err err = start(s, job);
        if (err != ERR_OK) {
            if (job->wanted)
                cold_job_answer(s->ctx, job, err);
            cold_job_free(job);
        }
    }
}

static struct cold_job *job_new(struct cold_state *s, uint64_t deadline_ns)
{
    struct cold_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return NULL;
    job->op.deadline_ns = deadline_ns;
    job->drive = cold_drive_ref(s->drive);
    return job;
}

/* ---- calls ---- */

/* Who writes packs is watched: a pack does not outlive them. */
static void note_writer(struct cold_state *s, const struct cold_job *job)
{
    if (job->kind != MSG_COLD_BEGIN)
        return;
    s->writer = job->from;
    s->pack = job->op.pack;
    (void)ctx_monitor(s->ctx, job->from);
}

static enum err carry_out(struct cold_state *s, const struct msg *msg, struct reply_to to)
{
    /* It ends a little before the call does, so that the caller hears what the medium said. */
    uint64_t spare_ns = MIN(ctx_left(s->ctx, to.deadline_ns) / 8, SPARE_MS * MS_NS);
    struct cold_job *job = job_new(s, to.deadline_ns - spare_ns);
    if (job == NULL)
        return ERR_NOMEM;
    job->to = to;
    job->from = msg->from;
    job->wanted = true;
    enum err err = cold_job_take(job, msg);
    if (err == ERR_OK)
        err = is_alone(job) ? append(s, job) : start(s, job);
    if (err != ERR_OK) {
        cold_job_free(job);
        return err;
    }
    note_writer(s, job);
    go_on(s);
    return ERR_OK;
}

static enum err cold_handle_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    struct cold_state *s = state;
    struct msg_ok ok = {0};
    if (msg->kind == MSG_COLD_STAT)
        return cold_stat_answer(ctx, s->drive, to);
    if (msg->kind != MSG_PROBE)
        return carry_out(s, msg, to);
    ctx_reply(ctx, to, &(struct msg){.kind = MSG_OK, .fields = &ok});
    return ERR_OK;
}

static void job_done(struct cold_state *s, struct cold_job *job, enum err err)
{
    unlist(&s->started, job);
    s->working = s->working == job ? NULL : s->working;
    if (job->wanted)
        cold_job_answer(s->ctx, job, err);
    cold_job_free(job);
    costs_note(&s->costs, s->ctx, TAG_COSTS);
    go_on(s);
}

/* ---- callers that are gone ---- */

typedef bool job_filter(const struct cold_job *job, const void *arg);

static bool is_call(const struct cold_job *job, const void *arg)
{
    return job->wanted && reply_same(&job->to, arg);
}

static bool is_from(const struct cold_job *job, const void *arg)
{
    return job->wanted && job->from == *(const actor_id *)arg;
}

/* What waits is forgotten, what runs is cancelled. */
static void drop(struct cold_state *s, job_filter *fits, const void *arg)
{
    for (struct cold_job **at = &s->waiting; *at != NULL;) {
        struct cold_job *job = *at;
        if (!fits(job, arg)) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        s->waiting_count--;
        cold_job_free(job);
    }
    for (struct cold_job *job = s->started; job != NULL; job = job->next) {
        if (fits(job, arg)) {
            job->wanted = false;
            ctx_job_cancel(s->ctx, job->tag);
        }
    }
}

static void writer_is_gone(struct cold_state *s)
{
    struct cold_job *job = job_new(s, ctx_now(s->ctx) + ABANDON_S * SECOND_NS);
    s->writer = 0;
    if (job == NULL)
        return; /* the next pack that begins ends this one */
    job->op.kind = STORE_COLD_ABANDON;
    job->op.pack = s->pack;
    if (append(s, job) != ERR_OK)
        cold_job_free(job);
}

static void cold_handle_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct cold_state *s = state;
    if (info->kind == INFO_JOB) {
        job_done(s, info->arg, info->err);
    } else if (info->kind == INFO_TIMER) {
        costs_due(&s->costs, ctx, s->drive);
    } else if (info->kind == INFO_CANCEL) {
        drop(s, is_call, &info->call);
    } else if (info->kind == INFO_DOWN) {
        drop(s, is_from, &info->actor);
        if (info->actor == s->writer)
            writer_is_gone(s);
    }
    go_on(s);
}

/* ---- life ---- */

static const char *environment(const char *name)
{
    return getenv(name);
}

static enum err cold_init(struct ctx *ctx, void *state, const struct config *config)
{
    struct cold_state *s = state;
    struct budget *budget = ctx_budget(ctx);
    struct cold_drive_options options = {.kind = config->tiers_cold_kind,
                                         .disk = ctx_disk(ctx),
                                         .path = config->tiers_cold_path,
                                         .http = ctx_http(ctx),
                                         .environment = environment,
                                         .endpoint = config->tiers_cold_endpoint,
                                         .region = config->tiers_cold_region,
                                         .bucket = config->tiers_cold_bucket,
                                         .prefix = config->tiers_cold_prefix,
                                         .access_key = config->tiers_cold_access_key,
                                         .secret_key = config->tiers_cold_secret_key,
                                         .ca_file = config->tiers_cold_ca_file,
                                         .requests_per_s = config->tiers_cold_request_rate,
                                         .burst = config->tiers_cold_request_burst,
                                         .pack_bytes = config->tiers_cold_pack_bytes};
    s->ctx = ctx;
    ctx_random(ctx, &options.seed, sizeof(options.seed));
    if (budget != NULL) {
        options.packs = &budget->accounts[ACCOUNT_COLD];
        options.reads = &budget->accounts[ACCOUNT_SEND];
    }
    enum err err = cold_drive_new(&options, &s->drive);
    return err == ERR_OK ? ERR_OK : ctx_fail(ctx, err, "Tiers.Cold: %s", err_text(err));
}

/* What was started is the runtime's to free. */
static void cold_terminate(struct ctx *ctx, void *state, enum exit_reason reason)
{
    struct cold_state *s = state;
    (void)reason;
    costs_release(&s->costs, ctx, s->drive);
    while (s->waiting != NULL) {
        struct cold_job *job = s->waiting;
        s->waiting = job->next;
        cold_job_free(job);
    }
    cold_drive_unref(s->drive);
}

const struct actor_class cold_store_class = {
    .name = "cold_store",
    .state_bytes = sizeof(struct cold_state),
    .ports = PORT_JOBS | PORT_DISK | PORT_HTTP,
    .mailbox_bytes = 256 * 1024,
    .init = cold_init,
    .handle_call = cold_handle_call,
    .handle_info = cold_handle_info,
    .terminate = cold_terminate,
};
