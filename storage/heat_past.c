/* SPDX-License-Identifier: MIT */
#include "storage/heat_past.h"

#include <stdlib.h>
#include <string.h>

enum job_kind { JOB_LOAD, JOB_HELD, JOB_FIND, JOB_SAVE };

/* Learned state: curves and a few numbers. */
enum { LEARNED_BYTES_MAX = HEAT_CURVES_BYTES + 4096 };

struct heat_past_job {
    enum job_kind kind;
    struct heat_store *store;
    struct buf learned;
    uint64_t keys[HEAT_PAST_ASK_MAX]; /* JOB_FIND */
    size_t key_count;
    uint64_t position; /* JOB_HELD */
    struct heat_row *rows;
    size_t row_count;
};

struct heat_past {
    struct heat_policy *policy;
    struct heat_store *store;
    struct account *account;
    bool ready;     /* what was learned is there … */
    bool restored;  /* … and what was held */
    bool page_next; /* the next page of that, rather than keys to be asked for: in turns */
    uint64_t page;  /* where it begins */
    uint64_t wait_until;
    bool busy;   /* a job is under way */
    bool failed; /* the last one did */
    uint64_t write_at;
    uint32_t position;                /* where the search for rows to be written goes on */
    uint64_t keys[HEAT_PAST_ASK_MAX]; /* to be asked for */
    size_t key_count;
    size_t forgotten_count;
    struct heat_row forgotten[HEAT_PAST_WRITE_MAX]; /* to be written */
};

static void note_forgotten(void *context, const struct heat_row *row)
{
    struct heat_past *past = context;
    if (past->forgotten_count < HEAT_PAST_WRITE_MAX)
        past->forgotten[past->forgotten_count++] = *row;
}

struct heat_past *heat_past_new(struct heat_policy *policy, struct heat_store *store, uint64_t now_ns,
                                struct account *account)
{
    if (account != NULL && !account_take(account, sizeof(struct heat_past)))
        return NULL;
    struct heat_past *past = calloc(1, sizeof(*past));
    if (past == NULL) {
        if (account != NULL)
            account_give(account, sizeof(*past));
        return NULL;
    }
    past->policy = policy;
    past->store = heat_store_ref(store);
    past->account = account;
    past->write_at = now_ns + HEAT_PAST_WRITE_NS;
    past->wait_until = now_ns + HEAT_PAST_WAIT_NS;
    heat_policy_on_forgotten(policy, note_forgotten, past);
    return past;
}

void heat_past_free(struct heat_past *past)
{
    if (past == NULL)
        return;
    heat_policy_on_forgotten(past->policy, NULL, NULL);
    heat_store_unref(past->store);
    if (past->account != NULL)
        account_give(past->account, sizeof(*past));
    free(past);
}

bool heat_past_use(struct heat_past *past, uint64_t key)
{
    if (past->ready && past->key_count < HEAT_PAST_ASK_MAX && !heat_policy_knows(past->policy, key))
        past->keys[past->key_count++] = key;
    return past->ready;
}

uint64_t heat_past_wait_until(const struct heat_past *past)
{
    return past->restored ? 0 : past->wait_until;
}

/* ---- jobs ---- */

void heat_past_job_free(struct heat_past_job *job)
{
    heat_store_unref(job->store);
    buf_release(&job->learned);
    free(job->rows);
    free(job);
}

/* NULL without memory. rows: for so many. */
static struct heat_past_job *new_job(struct heat_past *past, enum job_kind kind, size_t rows)
{
    struct heat_past_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return NULL;
    job->kind = kind;
    job->store = heat_store_ref(past->store);
    buf_init(&job->learned, LEARNED_BYTES_MAX, NULL);
    job->rows = rows == 0 ? NULL : calloc(rows, sizeof(*job->rows));
    if (rows == 0 || job->rows != NULL)
        return job;
    heat_past_job_free(job);
    return NULL;
}

static struct heat_past_job *held_job(struct heat_past *past)
{
    struct heat_past_job *job = new_job(past, JOB_HELD, HEAT_PAST_PAGE);
    if (job != NULL)
        job->position = past->page;
    past->page_next = false;
    return job;
}

static struct heat_past_job *find_job(struct heat_past *past)
{
    struct heat_past_job *job = new_job(past, JOB_FIND, past->key_count);
    if (job == NULL)
        return NULL;
    memcpy(job->keys, past->keys, past->key_count * sizeof(past->keys[0]));
    job->key_count = past->key_count;
    past->key_count = 0;
    past->page_next = true;
    return job;
}

static struct heat_past_job *save_job(struct heat_past *past)
{
    struct heat_past_job *job = new_job(past, JOB_SAVE, HEAT_PAST_WRITE_MAX);
    if (job == NULL)
        return NULL;
    if (heat_policy_save(past->policy, &job->learned) != ERR_OK) {
        heat_past_job_free(job);
        return NULL;
    }
    memcpy(job->rows, past->forgotten, past->forgotten_count * sizeof(*job->rows));
    job->row_count = past->forgotten_count;
    past->forgotten_count = 0;
    job->row_count += heat_policy_unkept(past->policy, &past->position, job->rows + job->row_count,
                                         HEAT_PAST_WRITE_MAX - job->row_count);
    return job;
}

struct heat_past_job *heat_past_next(struct heat_past *past, uint64_t now_ns)
{
    struct heat_past_job *job = NULL;
    if (past->busy)
        return NULL;
    if (!past->ready) {
        job = new_job(past, JOB_LOAD, 0);
    } else if (now_ns >= past->write_at) {
        past->write_at = now_ns + HEAT_PAST_WRITE_NS;
        job = save_job(past);
    } else if (!past->restored && (past->page_next || past->key_count == 0)) {
        job = held_job(past);
    } else if (past->key_count > 0) {
        job = find_job(past);
    }
    past->busy = job != NULL;
    return job;
}

uint64_t heat_past_wakes_at(const struct heat_past *past)
{
    return past->write_at;
}

enum err heat_past_run(struct heat_past_job *job)
{
    switch (job->kind) {
    case JOB_LOAD:
        return heat_store_load(job->store, &job->learned);
    case JOB_HELD:
        return heat_store_held(job->store, &job->position, job->rows, HEAT_PAST_PAGE, &job->row_count);
    case JOB_FIND:
        return heat_store_find(job->store, job->keys, job->key_count, job->rows, &job->row_count);
    case JOB_SAVE:
        return heat_store_save(job->store, buf_span(&job->learned), job->rows, job->row_count);
    }
    return ERR_INTERNAL;
}

/* A state of another version, or one that is damaged, is as good as none. */
static void take_learned(struct heat_past *past, const struct heat_past_job *job)
{
    if (job->learned.len > 0) {
        enum err err = heat_policy_load(past->policy, buf_span(&job->learned));
        (void)err;
    }
    past->ready = true;
}

static void left(void *context, uint64_t key)
{
    (void)context;
    (void)key;
}

/* A row that is known was asked for when its block was used, or is. What there is no room for has to rank above what would leave for it. */
static void hold_again(struct heat_policy *policy, const struct heat_row *row)
{
    if (heat_policy_knows(policy, row->key) || heat_policy_remember(policy, row) == ERR_OK)
        (void)heat_policy_admit(policy, row->key, row->held_bytes, UINT64_MAX, left, NULL);
}

static void take_page(struct heat_past *past, const struct heat_past_job *job, enum err err)
{
    for (size_t i = 0; err == ERR_OK && i < job->row_count; i++)
        hold_again(past->policy, &job->rows[i]);
    if (err != ERR_BUSY) {
        past->page = job->position;
        past->restored = err != ERR_OK || job->position == 0;
    }
}

bool heat_past_done(struct heat_past *past, struct heat_past_job *job, enum err err, uint64_t now_ns)
{
    bool failed = err != ERR_OK && err != ERR_BUSY;
    bool was_failed = past->failed;
    past->busy = false;
    if (failed || job->kind == JOB_SAVE) /* that something can be read tells nothing */
        past->failed = failed;
    if (job->kind == JOB_LOAD && err != ERR_BUSY) {
        take_learned(past, job);
        past->restored = err != ERR_OK;
        past->write_at = now_ns + HEAT_PAST_WRITE_NS;
    }
    if (job->kind == JOB_HELD)
        take_page(past, job, err);
    for (size_t i = 0; job->kind == JOB_FIND && err == ERR_OK && i < job->row_count; i++) {
        enum err row_err = heat_policy_remember(past->policy, &job->rows[i]);
        (void)row_err; /* what does not fit stays in the database */
    }
    return past->failed != was_failed;
}

enum err heat_past_stop(struct heat_past *past)
{
    enum err err = past->ready ? ERR_OK : ERR_BUSY;
    size_t written = 0;
    past->position = 0;
    while (err == ERR_OK && written < HEAT_PAST_STOP_MAX) {
        struct heat_past_job *job = save_job(past);
        if (job == NULL)
            return ERR_NOMEM;
        written += job->row_count;
        err = heat_past_run(job);
        heat_past_job_free(job);
        if (past->position == 0)
            break;
    }
    return err;
}
