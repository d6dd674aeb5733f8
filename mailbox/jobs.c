/* SPDX-License-Identifier: MIT */
/*
 * Jobs: blocking work on the runtime's workers, its results back in the actor's turn.
 *
 * Each actor lists its jobs in progress, so that the end of a life can mark them: an abandoned job frees its argument itself, on the
 * worker, once its function has returned. The list and the results have one lock, held for a few instructions.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mailbox/ctx.h"

static void list_running(struct jobs *jobs, struct job *job)
{
    job->next = jobs->running;
    if (job->next != NULL)
        job->next->prev = job;
    jobs->running = job;
}

static void unlist_running(struct jobs *jobs, struct job *job)
{
    if (job->next != NULL)
        job->next->prev = job->prev;
    if (job->prev != NULL)
        job->prev->next = job->next;
    else
        jobs->running = job->next;
    job->prev = job->next = NULL;
}

static bool lane_index(const struct runtime *rt, const char *name, uint32_t *ret_lane)
{
    for (uint32_t i = 0; i < rt->config.lane_count; i++) {
        if (strcmp(rt->config.lanes[i].name, name) == 0) {
            *ret_lane = i;
            return true;
        }
    }
    return false;
}

enum err ctx_job(struct ctx *c, const char *lane, job_fn *fn, void *arg, void (*free_fn)(void *arg), uint64_t tag)
{
    assert((c->class->ports & PORT_JOBS) != 0);
    uint32_t index;
    if (!lane_index(c->rt, lane, &index))
        return ERR_NOT_FOUND;
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return ERR_NOMEM;
    *job = (struct job){.owner = c, .lane = index, .fn = fn, .free_fn = free_fn, .arg = arg, .tag = tag};
    trace_job_submitted(c, job);
    (void)pthread_mutex_lock(&c->jobs.lock);
    list_running(&c->jobs, job);
    (void)pthread_mutex_unlock(&c->jobs.lock);
    enum err err = c->rt->backend->job(job);
    if (err == ERR_OK)
        return ERR_OK;
    (void)pthread_mutex_lock(&c->jobs.lock);
    unlist_running(&c->jobs, job);
    (void)pthread_mutex_unlock(&c->jobs.lock);
    free(job);
    return err;
}

void ctx_job_cancel(struct ctx *c, uint64_t tag)
{
    (void)pthread_mutex_lock(&c->jobs.lock);
    for (struct job *job = c->jobs.running; job != NULL; job = job->next) {
        if (job->tag == tag && !job->abandoned)
            atomic_store(&job->cancelled, true);
    }
    (void)pthread_mutex_unlock(&c->jobs.lock);
}

bool job_abandoned(struct job *job)
{
    (void)pthread_mutex_lock(&job->owner->jobs.lock);
    bool abandoned = job->abandoned;
    (void)pthread_mutex_unlock(&job->owner->jobs.lock);
    return abandoned;
}

void job_run(struct job *job)
{
    trace_job_begins(job);
    job->result = job->fn(job->arg, &job->cancelled);
    trace_job_ends(job);
}

static void free_job(struct job *job)
{
    if (job->free_fn != NULL)
        job->free_fn(job->arg);
    free(job);
}

void job_done(struct job *job)
{
    struct ctx *owner = job->owner;
    (void)pthread_mutex_lock(&owner->jobs.lock);
    unlist_running(&owner->jobs, job);
    bool abandoned = job->abandoned;
    if (!abandoned) {
        if (owner->jobs.done_tail == NULL)
            owner->jobs.done_head = job;
        else
            owner->jobs.done_tail->next = job;
        owner->jobs.done_tail = job;
        atomic_store_explicit(&owner->jobs.any_done, true, memory_order_release);
    }
    (void)pthread_mutex_unlock(&owner->jobs.lock);
    if (abandoned)
        free_job(job);
    else
        owner->rt->backend->wake(owner);
}

struct job *jobs_take_done(struct ctx *c)
{
    (void)pthread_mutex_lock(&c->jobs.lock);
    struct job *job = c->jobs.done_head;
    if (job != NULL) {
        c->jobs.done_head = job->next;
        if (c->jobs.done_head == NULL)
            c->jobs.done_tail = NULL;
        job->next = NULL;
    }
    atomic_store_explicit(&c->jobs.any_done, c->jobs.done_head != NULL, memory_order_release);
    (void)pthread_mutex_unlock(&c->jobs.lock);
    return job;
}

void jobs_abandon(struct ctx *c)
{
    (void)pthread_mutex_lock(&c->jobs.lock);
    for (struct job *job = c->jobs.running; job != NULL; job = job->next) {
        if (!job->abandoned)
            count_up(&c->shared->counters.jobs_abandoned);
        job->abandoned = true;
        atomic_store(&job->cancelled, true);
    }
    (void)pthread_mutex_unlock(&c->jobs.lock);
    struct job *done;
    while ((done = jobs_take_done(c)) != NULL)
        free_job(done);
}
