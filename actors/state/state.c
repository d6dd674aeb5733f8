/* SPDX-License-Identifier: MIT */
/*
 * state: the only writer of state.db, and the keeper of the keys of names.
 *
 * Owns: the rows that changed since the last write; the keystore and the records that its keys signed (names.h). Accepts: casts event,
 * state_peer, state_connection, state_want, state_transfer, state_move; calls probe, state_probe (answered after a write that really
 * happened), state_peers, state_events and the pages of state_page_is, key_*, ipns_*; cast ipns_told. Emits the cast route_put to
 * discovery. Restart: permanent.
 *
 *      casts --> filling batch --+
 *      tick: actors, accounts ---+--> job on the lane `state` --> one transaction
 *
 * A tick looks at the runtime's actors and the accounts and takes only rows that differ from what was written last; a cast
 * shortens the wait for the next write. So a change is visible within 1 s and a quiet node writes nothing but the heartbeats of all
 * its actors each 10 s, in one transaction. When the database cannot be written the batch is kept and tried again, from 1 to 30 s apart; what no longer fits is
 * dropped and counted: a degraded state, never an exit.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/state/crashes.h"
#include "actors/state/names.h"
#include "actors/state/store_ref.h"
#include "actors/tree.h"
#include "base/group.h"
#include "schemas/config.h"

enum { TICK_MS = 700, SOON_MS = 100, RETRY_FIRST_MS = 1000, RETRY_MAX_MS = 30000, HEARTBEAT_SHOWN_S = 10 };
enum { PROBES_MAX = 32, LOAD_BYTES_MAX = 900 * 1024 };
enum { TAG_TICK = 1, TAG_WRITE, TAG_LOAD, TAG_NAMES, TAG_NAMES_TIMER };

struct state_state {
    struct store_ref *shared;
    struct state_batch *filling;
    struct state_batch *failed; /* to be written before anything newer */
    bool writing;
    bool degraded;
    uint64_t retry_ms;
    uint64_t retry_at; /* monotonic */
    uint64_t beats_at; /* when heartbeats that have nothing else to tell are written next */
    uint64_t timer;
    uint64_t timer_at;
    struct reply_to probes[PROBES_MAX];
    size_t probe_count;
    struct state_actor_row actors[STATE_ACTORS_MAX]; /* as written last */
    size_t actor_count;
    struct state_account_row accounts[ACCOUNT_COUNT];
    uint64_t dropped;
    uint64_t crashes; /* the last record that was put into a batch */
    struct state_names names;
};

/* ---- jobs ---- */

struct write_job {
    struct store_ref *shared;
    struct state_batch *batch;
    struct reply_to probes[PROBES_MAX];
    size_t probe_count;
    char why[STATE_WHY_BYTES];
    char replaced[STATE_WHY_BYTES];
};

struct load_job {
    struct store_ref *shared;
    struct reply_to to;
    uint16_t kind;
    struct state_page page;
    struct buf items;
    uint32_t count;
    struct msg_state_provide_stat_ok stat;
    char why[STATE_WHY_BYTES];
};

static enum err run_write(void *arg, const _Atomic bool *cancelled)
{
    (void)cancelled;
    struct write_job *job = arg;
    return state_store_write(job->shared->store, job->batch, job->why, job->replaced);
}

static void free_write(void *arg)
{
    struct write_job *job = arg;
    store_ref_drop(job->shared);
    state_batch_free(job->batch);
    free(job);
}

static enum err run_load(void *arg, const _Atomic bool *cancelled)
{
    (void)cancelled;
    struct load_job *job = arg;
    return state_store_load(job->shared->store, job->kind, &job->page, &job->items, &job->count, &job->stat, job->why);
}

static void free_load(void *arg)
{
    struct load_job *job = arg;
    store_ref_drop(job->shared);
    buf_release(&job->items);
    free(job);
}

/* ---- what changed ---- */

static void copy_text(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from == NULL ? "" : from);
}

static bool actor_differs(const struct state_actor_row *now, const struct state_actor_row *written, bool beats)
{
    struct state_actor_row same_beat = *now;
    if (!beats)
        same_beat.heartbeat_at = written->heartbeat_at;
    return memcmp(&same_beat, written, sizeof(same_beat)) != 0;
}

static void sample_actors(struct ctx *ctx, struct state_state *s, struct state_batch *batch)
{
    size_t count = MIN(ctx_actor_count(ctx), (size_t)STATE_ACTORS_MAX);
    bool beats = ctx_now(ctx) >= s->beats_at;
    batch->actor_count = 0;
    if (beats)
        s->beats_at = ctx_now(ctx) + HEARTBEAT_SHOWN_S * SECOND_NS;
    for (size_t i = 0; i < count; i++) {
        struct actor_stats stats;
        struct state_actor_row row;
        memset(&row, 0, sizeof(row)); /* padding too: rows are compared as memory */
        if (!ctx_actor_stats(ctx, i, &stats))
            continue;
        copy_text(row.name, sizeof(row.name), stats.name);
        copy_text(row.state, sizeof(row.state), stats.state);
        copy_text(row.last_exit_reason, sizeof(row.last_exit_reason), stats.last_exit_reason);
        row.epoch = stats.epoch;
        row.restarts = stats.restarts;
        row.mailbox_records = stats.mailbox_records;
        row.mailbox_bytes = stats.mailbox_bytes;
        row.refused = stats.refused;
        row.heartbeat_at = stats.heartbeat_ns;
        if (!actor_differs(&row, &s->actors[i], beats))
            continue;
        s->actors[i] = row;
        batch->actors[batch->actor_count++] = row;
    }
}

static void sample_accounts(struct ctx *ctx, struct state_state *s, struct state_batch *batch)
{
    const struct budget *budget = ctx_budget(ctx);
    batch->account_count = 0;
    for (size_t i = 0; budget != NULL && i < ACCOUNT_COUNT; i++) {
        const struct account *account = &budget->accounts[i];
        struct state_account_row row;
        if (account->limit_bytes == 0)
            continue; /* of a part that is not there */
        memset(&row, 0, sizeof(row));
        copy_text(row.name, sizeof(row.name), account->name);
        row.limit_bytes = account->limit_bytes;
        row.used_bytes = account_used(account);
        row.peak_bytes = atomic_load_explicit(&account->peak_bytes, memory_order_relaxed);
        row.refused = atomic_load_explicit(&account->refused, memory_order_relaxed);
        if (memcmp(&row, &s->accounts[i], sizeof(row)) == 0)
            continue;
        s->accounts[i] = row;
        batch->accounts[batch->account_count++] = row;
    }
}

/* After a failure the rows on disk are not known to be the ones remembered: all are written again. */
static void forget_written(struct state_state *s)
{
    memset(s->actors, 0, sizeof(s->actors));
    memset(s->accounts, 0, sizeof(s->accounts));
}

/* ---- writing ---- */

static void arm(struct ctx *ctx, struct state_state *s, uint64_t in_ms)
{
    uint64_t at = ctx_now(ctx) + in_ms * MS_NS;
    if (s->timer != 0 && s->timer_at <= at)
        return;
    if (s->timer != 0)
        ctx_timer_cancel(ctx, s->timer);
    s->timer = ctx_timer(ctx, at, TAG_TICK);
    s->timer_at = at;
}

static struct state_batch *next_batch(struct ctx *ctx, struct state_state *s)
{
    if (s->failed != NULL) {
        struct state_batch *batch = s->failed;
        s->failed = NULL;
        return batch;
    }
    crashes_report(ctx, s->filling, &s->crashes);
    sample_actors(ctx, s, s->filling);
    sample_accounts(ctx, s, s->filling);
    if (state_batch_is_empty(s->filling) && s->probe_count == 0)
        return NULL;
    struct state_batch *fresh = state_batch_new();
    struct state_batch *batch = s->filling;
    if (fresh == NULL)
        return NULL; /* memory may be back at the next tick */
    s->filling = fresh;
    return batch;
}

static void answer_probes(struct ctx *ctx, const struct write_job *job, enum err err)
{
    struct msg_ok ok = {0};
    for (size_t i = 0; i < job->probe_count; i++) {
        if (err == ERR_OK)
            ctx_reply(ctx, job->probes[i], &(struct msg){.kind = MSG_OK, .fields = &ok});
        else
            ctx_reply_err(ctx, job->probes[i], err, "%s", job->why);
    }
}

static void start_write(struct ctx *ctx, struct state_state *s)
{
    if (s->writing || (s->degraded && ctx_now(ctx) < s->retry_at && s->probe_count == 0))
        return;
    struct write_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return;
    job->batch = next_batch(ctx, s);
    if (job->batch == NULL) {
        free(job);
        return;
    }
    job->shared = store_ref_take(s->shared);
    job->batch->at = ctx_real_now(ctx);
    job->batch->dropped = s->dropped;
    memcpy(job->probes, s->probes, sizeof(job->probes));
    job->probe_count = s->probe_count;
    enum err err = ctx_job(ctx, "state", run_write, job, free_write, TAG_WRITE);
    if (err == ERR_OK) {
        s->writing = true;
        s->probe_count = 0;
        return;
    }
    s->failed = job->batch;
    job->batch = NULL;
    free_write(job);
}

static void note_event(struct ctx *ctx, struct state_state *s, const char *event, const char *reason)
{
    struct msg_event m = {
        .actor = span_text("state"), .event = span_text(event), .reason = span_first(span_text(reason), 255)};
    if (state_batch_add(s->filling, MSG_EVENT, ctx_real_now(ctx), &m) != ERR_OK)
        s->dropped++;
}

static void write_failed(struct ctx *ctx, struct state_state *s, struct write_job *job)
{
    if (!s->degraded) {
        ctx_log(ctx, LOG_ERROR, "%s; what happens is kept in memory and written when that works again", job->why);
        note_event(ctx, s, "degraded", job->why);
        s->retry_ms = RETRY_FIRST_MS;
    }
    s->degraded = true;
    s->failed = job->batch;
    job->batch = NULL;
    s->retry_at = ctx_now(ctx) + s->retry_ms * MS_NS;
    s->retry_ms = MIN(s->retry_ms * 2, (uint64_t)RETRY_MAX_MS);
    forget_written(s);
}

static void write_done(struct ctx *ctx, struct state_state *s, struct write_job *job)
{
    if (s->degraded) {
        s->degraded = false;
        ctx_log(ctx, LOG_INFO, "state.db is written again");
        note_event(ctx, s, "recovered", "state.db is written again");
    }
    if (job->batch->crashes != 0)
        ctx_crashes_stored(ctx, job->batch->crashes);
    if (job->replaced[0] != '\0') {
        ctx_log(ctx, LOG_WARN, "%s; moved aside and made anew", job->replaced);
        note_event(ctx, s, "database replaced", job->replaced);
    }
}

static void handle_written(struct ctx *ctx, struct state_state *s, struct write_job *job, enum err err)
{
    s->writing = false;
    answer_probes(ctx, job, err);
    if (err == ERR_OK)
        write_done(ctx, s, job);
    else
        write_failed(ctx, s, job);
    free_write(job);
    arm(ctx, s, s->filling->records.len > 0 || s->probe_count > 0 ? SOON_MS : TICK_MS);
}

/* ---- loading ---- */

static enum err start_load(struct ctx *ctx, struct state_state *s, const struct msg *msg, struct reply_to to)
{
    struct load_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return ERR_NOMEM;
    *job = (struct load_job){.shared = store_ref_take(s->shared), .to = to, .kind = msg->kind};
    state_page_of(msg->kind, msg->fields, &job->page);
    job->page.now = ctx_real_now(ctx);
    buf_init(&job->items, LOAD_BYTES_MAX, NULL);
    enum err err = ctx_job(ctx, "state", run_load, job, free_load, TAG_LOAD);
    if (err != ERR_OK)
        free_load(job);
    return err;
}

static void handle_loaded(struct ctx *ctx, struct load_job *job, enum err err)
{
    struct schema_list rows = schema_list_of(&job->items, job->count);
    struct msg_state_peers_ok peers = {.peers = rows};
    struct msg_state_events_ok events = {.events = rows};
    struct msg_state_crashes_ok crashes = {.crashes = rows};
    struct msg_state_providers_ok providers = {.rows = rows};
    struct msg_state_values_ok values = {.rows = rows};
    struct msg_state_provides_ok provides = {.rows = rows, .more = job->count == job->page.limit};
    struct msg answer = {.kind = job->kind + 1}; /* each answer is numbered behind its question */
    answer.fields = job->kind == MSG_STATE_PEERS       ? (const void *)&peers
                    : job->kind == MSG_STATE_EVENTS    ? (const void *)&events
                    : job->kind == MSG_STATE_CRASHES   ? (const void *)&crashes
                    : job->kind == MSG_STATE_PROVIDERS ? (const void *)&providers
                    : job->kind == MSG_STATE_VALUES    ? (const void *)&values
                    : job->kind == MSG_STATE_PROVIDES  ? (const void *)&provides
                                                       : (const void *)&job->stat;
    if (err != ERR_OK)
        ctx_reply_err(ctx, job->to, err, "%s", job->why);
    else
        ctx_reply(ctx, job->to, &answer);
    free_load(job);
}

/* ---- the actor ---- */

static enum err choose_group(struct ctx *ctx, const struct config *config, struct state_options *options)
{
    if (config->control_group[0] == '\0')
        return ERR_OK;
    if (group_find(config->control_group, &options->group) != ERR_OK)
        return ctx_fail(ctx, ERR_NOT_FOUND, "Control.Group: no group is named %s", config->control_group);
    options->shared = true;
    return ERR_OK;
}

static enum err state_init(struct ctx *ctx, void *state, const struct config *config)
{
    struct state_state *s = state;
    struct state_options options = {.disk = ctx_disk(ctx)};
    int len = snprintf(options.path, sizeof(options.path), "%s/state.db", config->path);
    if (len < 0 || (size_t)len >= sizeof(options.path))
        return ctx_fail(ctx, ERR_TOO_LARGE, "HEARTH_PATH is too long");
    enum err err = choose_group(ctx, config, &options);
    if (err != ERR_OK)
        return err;
    s->filling = state_batch_new();
    struct state_store *store = state_store_new(&options);
    s->shared = store == NULL ? NULL : store_ref_new(store);
    if (s->shared == NULL)
        state_store_free(store);
    if (s->filling == NULL || s->shared == NULL)
        return ctx_fail(ctx, ERR_NOMEM, "no memory for the store");
    if (names_init(&s->names, ctx, config, s->shared, TAG_NAMES_TIMER) != ERR_OK)
        return ctx_fail(ctx, ERR_TOO_LARGE, "HEARTH_PATH is too long");
    s->crashes = ctx_crashes_stored(ctx, 0);
    arm(ctx, s, 0);
    return ERR_OK;
}

static enum err handle_probe(struct ctx *ctx, struct state_state *s, struct reply_to to)
{
    if (s->probe_count == PROBES_MAX)
        return ERR_BUSY;
    s->probes[s->probe_count++] = to;
    start_write(ctx, s);
    return ERR_OK;
}

static enum err state_handle_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    struct state_state *s = state;
    if (msg->kind == MSG_PROBE) {
        struct msg_ok ok = {0};
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_OK, .fields = &ok});
        return ERR_OK;
    }
    if (msg->kind == MSG_STATE_PROBE)
        return handle_probe(ctx, s, to);
    if (state_page_is(msg->kind))
        return start_load(ctx, s, msg, to);
    return names_kind(msg->kind) ? names_message(&s->names, ctx, msg, &to, TAG_NAMES) : ERR_UNSUPPORTED;
}

static void state_handle_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    struct state_state *s = state;
    if (msg->kind == MSG_IPNS_TOLD) /* untold, it is published once too often */
        (void)!names_message(&s->names, ctx, msg, NULL, TAG_NAMES);
    bool row = msg->kind >= MSG_STATE_PEER && msg->kind <= MSG_STATE_DHT;
    bool provide = msg->kind >= MSG_STATE_PROVIDER && msg->kind <= MSG_STATE_SWEEP;
    if (msg->kind != MSG_EVENT && !row && !provide)
        return;
    if (state_batch_add(s->filling, msg->kind, ctx_real_now(ctx), msg->fields) != ERR_OK)
        s->dropped++;
    else
        arm(ctx, s, SOON_MS);
}

static void forget_probe(struct state_state *s, struct reply_to call)
{
    for (size_t i = 0; i < s->probe_count; i++) {
        if (s->probes[i].from == call.from && s->probes[i].correlation == call.correlation) {
            s->probes[i] = s->probes[--s->probe_count];
            return;
        }
    }
}

static void state_handle_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct state_state *s = state;
    switch (info->kind) {
    case INFO_TIMER:
        if (info->tag == TAG_NAMES_TIMER) {
            names_timer(&s->names, ctx, TAG_NAMES, TAG_NAMES_TIMER);
            break;
        }
        s->timer = 0;
        start_write(ctx, s);
        arm(ctx, s, TICK_MS);
        break;
    case INFO_JOB:
        if (info->tag == TAG_WRITE)
            handle_written(ctx, s, info->arg, info->err);
        else if (info->tag == TAG_NAMES)
            names_job(&s->names, ctx, info, TAG_NAMES_TIMER);
        else
            handle_loaded(ctx, info->arg, info->err);
        break;
    case INFO_CANCEL:
        forget_probe(s, info->call);
        break;
    case INFO_REPLY:
    case INFO_DOWN:
    case INFO_UP:
    case INFO_ROOM:
    case INFO_NET:
    case INFO_WATCH:
    case INFO_MULTICAST:
        break;
    }
}

/* The last rows are written here, on the actor's own thread, unless a job still holds the connection. */
static void state_terminate(struct ctx *ctx, void *state, enum exit_reason reason)
{
    struct state_state *s = state;
    bool alone = s->shared != NULL && !s->writing && store_ref_is_alone(s->shared);
    if (alone && s->filling != NULL) {
        char why[STATE_WHY_BYTES];
        crashes_report(ctx, s->filling, &s->crashes);
        sample_actors(ctx, s, s->filling);
        s->filling->at = ctx_real_now(ctx);
        s->filling->dropped = s->dropped;
        s->filling->stopping = reason == EXIT_SHUTDOWN || reason == EXIT_NORMAL;
        if (state_store_write(s->shared->store, s->filling, why, NULL) != ERR_OK)
            ctx_log(ctx, LOG_WARN, "the last rows are lost: %s", why);
        else if (s->filling->crashes != 0)
            ctx_crashes_stored(ctx, s->filling->crashes);
    }
    store_ref_drop(s->shared);
    state_batch_free(s->filling);
    state_batch_free(s->failed);
}

const struct actor_class state_class = {
    .name = "state",
    .state_bytes = sizeof(struct state_state),
    .ports = PORT_JOBS | PORT_DISK,
    .init = state_init,
    .handle_call = state_handle_call,
    .handle_cast = state_handle_cast,
    .handle_info = state_handle_info,
    .terminate = state_terminate,
};
