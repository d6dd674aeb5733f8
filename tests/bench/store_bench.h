/* SPDX-License-Identifier: MIT */
/*
 * A block store with the lanes that the daemon gives it, two workers for the disk and one for the catalogue, for the programs that measure
 * it. The accounts are those of a budget of BENCH_BUDGET_MIB (environment), 64 unless given.
 */
#ifndef HEARTH_TESTS_BENCH_STORE_BENCH_H
#define HEARTH_TESTS_BENCH_STORE_BENCH_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/random.h"
#include "storage/blockstore.h"
#include "storage/disk_posix.h"
#include "storage/segment.h"

enum { WORKERS = 3, JOBS_MAX = 64 };

static inline void check(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "bench_store: %s\n", what);
    exit(1);
}

static inline void check_err(enum err err, const char *what)
{
    if (err != ERR_OK)
        (void)fprintf(stderr, "bench_store: %s: %s\n", what, err_text(err));
    if (err != ERR_OK)
        exit(1);
}

/* ---- lanes: jobs on workers, their ends back to the owner ---- */

struct lanes {
    struct blockstore *store;
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_cond_t ends;
    struct store_job *queued[2][JOBS_MAX]; /* by lane */
    size_t count[2];
    struct store_job *ended[JOBS_MAX];
    enum err result[JOBS_MAX];
    size_t ended_count;
    size_t running;
    bool stop;
    pthread_t threads[WORKERS];
};

struct worker {
    struct lanes *lanes;
    enum store_lane lane;
};

static inline struct store_job *take_job(struct lanes *l, enum store_lane lane)
{
    while (l->count[lane] == 0 && !l->stop)
        (void)pthread_cond_wait(&l->work, &l->lock);
    if (l->count[lane] == 0)
        return NULL;
    struct store_job *job = l->queued[lane][0];
    memmove(l->queued[lane], l->queued[lane] + 1, --l->count[lane] * sizeof(job));
    return job;
}

static inline void *work(void *arg)
{
    struct worker w = *(struct worker *)arg;
    struct lanes *l = w.lanes;
    struct store_job *job;
    free(arg);
    (void)pthread_mutex_lock(&l->lock);
    while ((job = take_job(l, w.lane)) != NULL) {
        (void)pthread_mutex_unlock(&l->lock);
        enum err err = store_job_run(job);
        (void)pthread_mutex_lock(&l->lock);
        l->ended[l->ended_count] = job;
        l->result[l->ended_count++] = err;
        (void)pthread_cond_signal(&l->ends);
    }
    (void)pthread_mutex_unlock(&l->lock);
    return NULL;
}

static inline void lanes_start(struct lanes *l, struct blockstore *store)
{
    memset(l, 0, sizeof(*l));
    l->store = store;
    pthread_condattr_t clock;
    check(pthread_condattr_init(&clock) == 0 && pthread_condattr_setclock(&clock, CLOCK_MONOTONIC) == 0 &&
              pthread_mutex_init(&l->lock, NULL) == 0 && pthread_cond_init(&l->work, NULL) == 0 &&
              pthread_cond_init(&l->ends, &clock) == 0,
          "locks");
    for (size_t i = 0; i < WORKERS; i++) {
        struct worker *w = malloc(sizeof(*w));
        check(w != NULL, "memory");
        *w = (struct worker){.lanes = l, .lane = i < 2 ? STORE_LANE_DISK : STORE_LANE_CATALOGUE};
        check(pthread_create(&l->threads[i], NULL, work, w) == 0, "threads");
    }
}

/* Starts what the store offers; then waits for an end, if something runs, until a time. Returns whether anything runs. */
static inline bool lanes_turn_until(struct lanes *l, uint64_t until_ns)
{
    struct store_job *job;
    struct timespec until = {.tv_sec = (time_t)(until_ns / SECOND_NS), .tv_nsec = (long)(until_ns % SECOND_NS)};
    blockstore_tick(l->store, clock_mono_ns(), clock_real_ns());
    (void)pthread_mutex_lock(&l->lock);
    while (l->running < JOBS_MAX - 4 && (job = blockstore_next_job(l->store)) != NULL) {
        enum store_lane lane = store_job_lane(job);
        l->queued[lane][l->count[lane]++] = job;
        l->running++;
        (void)pthread_cond_broadcast(&l->work);
    }
    while (l->ended_count == 0 && l->running > 0 && clock_mono_ns() < until_ns)
        (void)pthread_cond_timedwait(&l->ends, &l->lock, &until);
    struct store_job *ended[JOBS_MAX];
    enum err result[JOBS_MAX];
    size_t count = l->ended_count;
    memcpy(ended, l->ended, count * sizeof(*ended));
    memcpy(result, l->result, count * sizeof(*result));
    l->ended_count = 0;
    l->running -= count;
    bool busy = l->running > 0;
    (void)pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < count; i++)
        blockstore_job_done(l->store, ended[i], result[i]);
    return busy || count > 0;
}

static inline bool lanes_turn(struct lanes *l, bool wait)
{
    return lanes_turn_until(l, wait ? clock_mono_ns() + 3600 * SECOND_NS : 0);
}

static inline void lanes_stop(struct lanes *l)
{
    while (lanes_turn(l, true))
        ;
    (void)pthread_mutex_lock(&l->lock);
    l->stop = true;
    (void)pthread_cond_broadcast(&l->work);
    (void)pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < WORKERS; i++)
        (void)pthread_join(l->threads[i], NULL);
}

/* ---- the store ---- */

static struct budget budget;

static inline void say_notice(void *arg, bool fatal, const char *text)
{
    (void)arg;
    (void)fprintf(stderr, "%s%s\n", fatal ? "fatal: " : "", text);
}

static inline struct blockstore *open_store(const char *path, bool memory)
{
    struct blockstore_options options = {.port = disk_posix(), .path = path, .storage_max_bytes = UINT64_MAX / 4};
    struct blockstore *store;
    char why[STORE_WHY_BYTES];
    options.events.notice = say_notice;
    options.memory = memory ? &budget.accounts[ACCOUNT_MEMORY_TIER] : NULL;
    options.tables = &budget.accounts[ACCOUNT_TABLES];
    options.reads = &budget.accounts[ACCOUNT_SEND];
    options.cache_kib = (uint32_t)(budget.accounts[ACCOUNT_SQLITE].limit_bytes / 4 / 1024);
    random_fill(&options.seed, sizeof(options.seed));
    enum err err = blockstore_open(&options, clock_mono_ns(), clock_real_ns(), &store, why);
    if (err != ERR_OK)
        (void)fprintf(stderr, "%s\n", why);
    check_err(err, path);
    return store;
}

/* VmHWM: what getrusage tells is the caller's before exec, where that was more. */
static inline uint64_t resident_peak(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
        if (sscanf(line, "VmHWM: %llu", &kib) == 1)
            break;
    }
    if (status != NULL)
        (void)fclose(status);
    return kib * 1024;
}

/* A block of bytes that no other number has. */
static inline void fill_block(uint64_t number, uint8_t *to, size_t len)
{
    memset(to, (int)(number * 131 + 7), len);
    memcpy(to, &number, MIN(len, sizeof(number)));
}

static inline void key_of(uint64_t number, size_t len, uint8_t *scratch, struct block_key *ret_key)
{
    struct multihash hash;
    fill_block(number, scratch, len);
    check_err(multihash_sum(MULTIHASH_SHA2_256, 0, span_of(scratch, len), &hash), "hash");
    check_err(block_key_of(&hash, ret_key), "key");
}

static inline uint64_t number_of(const char *text)
{
    return strtoull(text, NULL, 10);
}

static inline void take_budget(void)
{
    const char *mib = getenv("BENCH_BUDGET_MIB");
    check_err(budget_init(&budget, (mib == NULL ? 64 : number_of(mib)) << 20), "budget");
}

#endif
