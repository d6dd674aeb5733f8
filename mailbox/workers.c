/* SPDX-License-Identifier: MIT */
#include "mailbox/workers.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "mailbox/crash.h"
#include "mailbox/ctx.h"

struct lane_workers {
    const char *name; /* borrowed from the runtime's configuration */
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_cond_t left; /* a worker is about to end */
    struct job *head;
    struct job *tail;
    uint32_t queued;
    uint32_t queue_max;
    bool stop;
    pthread_t *threads;
    uint32_t thread_max;
    uint32_t thread_count;
    uint32_t idle;    /* threads that wait for work */
    uint32_t at_work; /* threads that have not come to their end */
};

struct workers {
    size_t count;
    struct lane_workers lanes[RUNTIME_LANES_MAX];
};

static struct job *next_job(struct lane_workers *lane)
{
    (void)pthread_mutex_lock(&lane->lock);
    lane->idle++;
    while (lane->head == NULL && !lane->stop)
        (void)pthread_cond_wait(&lane->work, &lane->lock);
    lane->idle--;
    struct job *job = lane->head;
    if (job != NULL) {
        lane->head = job->queue;
        lane->queued--;
        if (lane->head == NULL)
            lane->tail = NULL;
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return job;
}

static void *work(void *arg)
{
    struct lane_workers *lane = arg;
    struct job *job;
    crash_thread(lane->name, -1);
    while ((job = next_job(lane)) != NULL) {
        if (!job_abandoned(job))
            job_run(job);
        job_done(job);
    }
    (void)pthread_mutex_lock(&lane->lock);
    lane->at_work--;
    (void)pthread_cond_signal(&lane->left);
    (void)pthread_mutex_unlock(&lane->lock);
    return NULL;
}

static enum err init_lane(struct lane_workers *lane, const struct lane_spec *spec)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&lane->lock, NULL);
    (void)pthread_cond_init(&lane->work, NULL);
    (void)pthread_cond_init(&lane->left, &attr);
    (void)pthread_condattr_destroy(&attr);
    lane->name = spec->name;
    lane->queue_max = spec->queue;
    lane->thread_max = spec->workers;
    lane->threads = calloc(spec->workers, sizeof(*lane->threads));
    return lane->threads == NULL ? ERR_NOMEM : ERR_OK;
}

/* One more thread, while all that are there are busy. Under the lock. */
static void add_thread(struct lane_workers *lane)
{
    pthread_attr_t attr;
    if (lane->thread_count == lane->thread_max || pthread_attr_init(&attr) != 0)
        return;
    (void)pthread_attr_setstacksize(&attr, WORKERS_STACK_BYTES);
    if (pthread_create(&lane->threads[lane->thread_count], &attr, work, lane) == 0) {
        lane->thread_count++;
        lane->at_work++;
    }
    (void)pthread_attr_destroy(&attr);
}

enum err workers_start(const struct lane_spec *lanes, size_t count, struct workers **ret_workers)
{
    struct workers *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        w->count++;
        enum err err = init_lane(&w->lanes[i], &lanes[i]);
        if (err != ERR_OK) {
            (void)workers_stop(w, SECOND_NS);
            return err;
        }
    }
    *ret_workers = w;
    return ERR_OK;
}

enum err workers_submit(struct workers *w, struct job *job)
{
    struct lane_workers *lane = &w->lanes[job->lane];
    (void)pthread_mutex_lock(&lane->lock);
    if (lane->queued >= lane->idle)
        add_thread(lane);
    bool full = lane->queued >= lane->queue_max || lane->thread_count == 0;
    if (!full) {
        job->queue = NULL;
        if (lane->tail == NULL)
            lane->head = job;
        else
            lane->tail->queue = job;
        lane->tail = job;
        lane->queued++;
        (void)pthread_cond_signal(&lane->work);
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return full ? ERR_BUSY : ERR_OK;
}

/* False when a thread is still at work at the time. */
static bool join_lane(struct lane_workers *lane, const struct timespec *until)
{
    (void)pthread_mutex_lock(&lane->lock);
    int late = 0;
    while (lane->at_work > 0 && late == 0)
        late = pthread_cond_timedwait(&lane->left, &lane->lock, until);
    bool all_left = lane->at_work == 0;
    (void)pthread_mutex_unlock(&lane->lock);
    for (; all_left && lane->thread_count > 0; lane->thread_count--)
        (void)pthread_join(lane->threads[lane->thread_count - 1], NULL);
    return all_left;
}

bool workers_stop(struct workers *w, uint64_t timeout_ns)
{
    uint64_t at = clock_mono_ns() + timeout_ns;
    struct timespec until = {.tv_sec = (time_t)(at / SECOND_NS), .tv_nsec = (long)(at % SECOND_NS)};
    for (size_t i = 0; i < w->count; i++) {
        (void)pthread_mutex_lock(&w->lanes[i].lock);
        w->lanes[i].stop = true;
        (void)pthread_cond_broadcast(&w->lanes[i].work);
        (void)pthread_mutex_unlock(&w->lanes[i].lock);
    }
    for (size_t i = 0; i < w->count; i++) {
        if (!join_lane(&w->lanes[i], &until))
            return false;
    }
    for (size_t i = 0; i < w->count; i++) {
        (void)pthread_mutex_destroy(&w->lanes[i].lock);
        (void)pthread_cond_destroy(&w->lanes[i].work);
        (void)pthread_cond_destroy(&w->lanes[i].left);
        free(w->lanes[i].threads);
    }
    free(w);
    return true;
}
