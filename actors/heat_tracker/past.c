/* SPDX-License-Identifier: MIT */
/* Carries out the jobs of heat_past, so that what the disk's policy knows and holds lasts over restarts. A failing heat.db is told once. */
#include "actors/heat_tracker/tracker.h"

#include <stdio.h>

#include "actors/tree.h"
#include "base/limits.h"
#include "schemas/config.h"

enum err past_init(struct heat_state *s, const struct config *config)
{
    char path[HEAT_STORE_PATH_MAX];
    struct budget *budget = ctx_budget(s->ctx);
    struct heat_policy *heat = s->moves.policy == NULL ? NULL : tier_policy_heat(s->moves.policy);
    if (heat == NULL || !s->tracks)
        return ERR_OK;
    int len = snprintf(path, sizeof(path), "%s/heat.db", config->path);
    if (len < 0 || (size_t)len >= sizeof(path))
        return ERR_TOO_LARGE;
    struct heat_store *store = heat_store_new(ctx_disk(s->ctx), path, HEAT_STORE_ROWS_MAX);
    if (store == NULL)
        return ERR_NOMEM;
    s->past = heat_past_new(heat, store, ctx_now(s->ctx), budget == NULL ? NULL : &budget->accounts[ACCOUNT_TABLES]);
    heat_store_unref(store);
    return s->past == NULL ? ERR_NOMEM : ERR_OK;
}

void past_release(struct heat_state *s, enum exit_reason reason)
{
    bool clean = reason == EXIT_SHUTDOWN || reason == EXIT_NORMAL;
    enum err err = s->past == NULL || !clean ? ERR_OK : heat_past_stop(s->past);
    if (err != ERR_OK && err != ERR_BUSY)
        ctx_log(s->ctx, LOG_WARN, "heat.db: the heat of the last minute is lost: %s", err_text(err));
    heat_past_free(s->past);
}

bool past_use(struct heat_state *s, const struct block_key *key)
{
    return s->past == NULL || heat_past_use(s->past, tier_policy_key(key));
}

uint64_t past_wait_until(const struct heat_state *s)
{
    return s->past == NULL ? 0 : heat_past_wait_until(s->past);
}

static enum err run(void *arg, const _Atomic bool *cancelled)
{
    (void)cancelled; /* a page, or the rows of a minute */
    return heat_past_run(arg);
}

static void free_job(void *arg)
{
    heat_past_job_free(arg);
}

static void ended(struct heat_state *s, struct heat_past_job *job, enum err err)
{
    if (heat_past_done(s->past, job, err, ctx_now(s->ctx))) {
        s->past_fails = !s->past_fails;
        if (err == ERR_CORRUPT)
            ctx_log(s->ctx, LOG_WARN, "heat.db was damaged and is begun anew: what it knew of heat is lost");
        else if (s->past_fails)
            ctx_log(s->ctx, LOG_WARN, "heat.db: %s: heat will not last over a restart until it works", err_text(err));
        else
            ctx_log(s->ctx, LOG_INFO, "heat.db is written again");
    }
    heat_past_job_free(job);
}

void past_job(struct heat_state *s, const struct info *info)
{
    ended(s, info->arg, info->err);
}

void past_pump(struct heat_state *s)
{
    struct heat_past_job *job;
    if (s->past == NULL)
        return;
    if ((job = heat_past_next(s->past, ctx_now(s->ctx))) != NULL) {
        enum err err = ctx_job(s->ctx, "heat", run, job, free_job, TAG_PAST_JOB);
        if (err != ERR_OK)
            ended(s, job, err);
    }
    if (s->past_timer == 0)
        s->past_timer = ctx_timer(s->ctx, heat_past_wakes_at(s->past), TAG_PAST_TIMER);
}
