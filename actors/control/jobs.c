/* SPDX-License-Identifier: MIT */
/*
 * Jobs: a request that takes longer than 50 s is answered with a number, goes on, and `job status` fetches its answer. A table of
 * 16. The client cannot be watched any more, since it need not stay connected: a job that nobody asks about for JOB_LEASE_S is given
 * up, as if the client had gone, and an answer that nobody fetches goes then too, or when its place is needed.
 */
#include "actors/control/operations.h"
#include "schemas/pack.h"

struct job_entry *job_find(struct control *c, uint64_t number)
{
    for (size_t i = 0; i < JOBS_MAX; i++) {
        if (number != 0 && c->jobs[i].number == number)
            return &c->jobs[i];
    }
    return NULL;
}

static struct job_entry *job_of_conversation(struct control *c, int conversation)
{
    for (size_t i = 0; i < JOBS_MAX; i++) {
        if (c->jobs[i].number != 0 && c->jobs[i].conversation == conversation)
            return &c->jobs[i];
    }
    return NULL;
}

void job_free(struct job_entry *job)
{
    buf_release(&job->answer);
    *job = (struct job_entry){.conversation = -1};
}

/* A free place, else that of the oldest answer which nobody fetched. */
static struct job_entry *place_for_job(struct control *c)
{
    struct job_entry *oldest = NULL;
    for (size_t i = 0; i < JOBS_MAX; i++) {
        struct job_entry *job = &c->jobs[i];
        if (job->number == 0)
            return job;
        if (job->conversation < 0 && (oldest == NULL || job->number < oldest->number))
            oldest = job;
    }
    return oldest;
}

struct job_entry *job_new(struct control *c, int conversation)
{
    struct job_entry *job = place_for_job(c);
    if (job == NULL)
        return NULL;
    job_free(job);
    *job = (struct job_entry){.number = ++c->next_job, .conversation = conversation, .touched_at = ctx_now(c->ctx)};
    return job;
}

void job_lease(struct control *c, struct conversation *v, uint64_t tag)
{
    const struct job_entry *job = job_of_conversation(c, (int)(v - c->conversations));
    uint64_t ends = job == NULL ? 0 : job->touched_at + JOB_LEASE_S * SECOND_NS;
    if (ends > ctx_now(c->ctx))
        v->job_timer = ctx_timer(c->ctx, ends, tag);
    else
        conversation_fail(c, v, CODE_CANCELLED, "given up: nobody asked for its status");
}

/* An answer that finds no memory becomes the small one that says so. */
void job_keep(struct control *c, int conversation, struct span answer)
{
    struct job_entry *job = job_of_conversation(c, conversation);
    if (job == NULL)
        return;
    job->conversation = -1;
    job->touched_at = ctx_now(c->ctx);
    buf_init(&job->answer, ANSWER_BYTES_MAX, c->requests);
    enum err err = buf_append_span(&job->answer, answer);
    if (err != ERR_OK) {
        buf_release(&job->answer);
        buf_init(&job->answer, ANSWER_KEPT_BYTES, NULL);
        err = answer_pack_error(CODE_BUSY, "no memory for the answer", "", (struct span){0}, 0, &job->answer);
    }
    if (err != ERR_OK)
        job_free(job);
    else
        (void)ctx_timer(c->ctx, ctx_now(c->ctx) + JOB_LEASE_S * SECOND_NS, tag_make(TAG_ANSWER, 0, 0, 0));
}

void jobs_expire(struct control *c)
{
    for (size_t i = 0; i < JOBS_MAX; i++) {
        struct job_entry *job = &c->jobs[i];
        if (job->number != 0 && job->conversation < 0 && job->touched_at + JOB_LEASE_S * SECOND_NS <= ctx_now(c->ctx))
            job_free(job);
    }
}

static enum err no_job(struct conversation *v, uint64_t number)
{
    return conversation_error(v, ERR_NOT_FOUND, "no job %llu: its answer was fetched, or it never was",
                              (unsigned long long)number);
}

static void pack_ended(struct pack *p, const struct answer *answer)
{
    pack_map(p, 2);
    pack_pair_text(p, "state", answer->ok ? "done" : "failed");
    if (answer->ok) {
        pack_text(p, "result");
        pack_raw(p, answer->result);
        return;
    }
    pack_text(p, "error");
    pack_map(p, 2);
    pack_pair_text(p, "code", control_code_name(answer->code));
    pack_pair_span(p, "message", answer->message);
}

enum err job_status_start(struct control *c, struct conversation *v)
{
    const struct op_job_status *args = (const void *)v->args;
    struct job_entry *job = job_find(c, args->job);
    if (job == NULL)
        return no_job(v, args->job);
    struct buf result;
    struct answer answer;
    job->touched_at = ctx_now(c->ctx);
    buf_init(&result, ANSWER_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    bool running = job->conversation >= 0;
    enum err err = running ? ERR_OK : answer_unpack(buf_span(&job->answer), &answer);
    if (running) {
        pack_map(&p, 2);
        pack_pair_text(&p, "state", "running");
        pack_pair_u64(&p, "done", c->conversations[job->conversation].done);
    } else if (err == ERR_OK) {
        pack_ended(&p, &answer);
    }
    enum err packed = pack_end(&p);
    err = err == ERR_OK ? packed : err;
    if (!running)
        job_free(job);
    if (err == ERR_OK)
        conversation_finish(c, v, buf_span(&result));
    buf_release(&result);
    return err;
}

enum err job_cancel_start(struct control *c, struct conversation *v)
{
    const struct op_job_cancel *args = (const void *)v->args;
    struct job_entry *job = job_find(c, args->job);
    if (job == NULL)
        return no_job(v, args->job);
    if (job->conversation >= 0)
        conversation_fail(c, &c->conversations[job->conversation], CODE_CANCELLED, "given up by the client");
    job_free(job);
    conversation_finish(c, v, (struct span){0});
    return ERR_OK;
}
