/* SPDX-License-Identifier: MIT */
#include "mailbox/runtime.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mailbox/ctx.h"
#include "mailbox/machine.h"

enum { STOP_AFTER_FAILED_START_S = 10, WORKERS_STOP_S = 10 };

/* ---- checking ---- */

PRINTF_LIKE(3, 4) static enum err refuse(char *why, size_t why_bytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, why_bytes, fmt, args);
    va_end(args);
    return ERR_INVALID;
}

static bool has_class(const struct runtime_config *config, actor_id id)
{
    return id != ROOT_ID && id < config->class_count && config->classes[id] != NULL;
}

static enum err check_tree(const struct runtime_config *config, const struct supervisor_spec *tree, char *why,
                           size_t why_bytes)
{
    for (size_t i = 0; i < tree->child_count; i++) {
        const struct child_spec *c = &tree->children[i];
        enum err err = ERR_OK;
        if (c->type == CHILD_SUPERVISOR)
            err = check_tree(config, c->tree, why, why_bytes);
        else if (!has_class(config, c->start))
            err = refuse(why, why_bytes, "%s: child %s has no actor class", tree->name, c->id);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err check(const struct runtime_config *config, char *why, size_t why_bytes)
{
    if (config->class_count == 0 || config->class_count > RUNTIME_ACTORS_MAX + 1)
        return refuse(why, why_bytes, "1 to %d actors are possible", RUNTIME_ACTORS_MAX);
    if (config->lane_count > RUNTIME_LANES_MAX)
        return refuse(why, why_bytes, "at most %d job lanes are possible", RUNTIME_LANES_MAX);
    for (size_t i = 0; i < config->edge_count; i++) {
        const struct edge_spec *edge = &config->edges[i];
        if (!has_class(config, edge->from) || (edge->to != ROOT_ID && !has_class(config, edge->to)))
            return refuse(why, why_bytes, "row %zu of the call table names an unknown actor", i);
    }
    for (size_t i = 0; i < config->lane_count; i++) {
        if (config->lanes[i].workers == 0 || config->lanes[i].queue == 0)
            return refuse(why, why_bytes, "lane %s has no worker or no queue", config->lanes[i].name);
    }
    if (config->schemas == NULL || config->tree == NULL)
        return refuse(why, why_bytes, "%s", "schemas and tree must be given");
    return check_tree(config, config->tree, why, why_bytes);
}

/* ---- building ---- */

/* Kinds are few and close together: an array finds a schema in one step. */
static enum err index_schemas(struct runtime *rt)
{
    const struct schema_set *set = rt->config.schemas;
    if (set->count == 0)
        return ERR_OK;
    rt->first_kind = set->schemas[0].kind;
    rt->kind_count = (uint16_t)(set->schemas[set->count - 1].kind - rt->first_kind + 1);
    rt->by_kind = calloc(rt->kind_count, sizeof(*rt->by_kind));
    if (rt->by_kind == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < set->count; i++) {
        rt->by_kind[set->schemas[i].kind - rt->first_kind] = &set->schemas[i];
        rt->struct_bytes = MAX(rt->struct_bytes, set->schemas[i].struct_bytes);
    }
    return ERR_OK;
}

static enum err open_actor(struct runtime *rt, struct ctx *c, actor_id id)
{
    static const struct actor_class no_class = {.name = ""};
    const struct actor_class *class = id == ROOT_ID ? &rt->root_class : rt->config.classes[id];
    c->rt = rt;
    c->id = id;
    c->class = class == NULL ? &no_class : class;
    c->shared = &rt->shared->actors[id];
    poison_open(c);
    if (!rt->joined)
        box_init(&c->shared->box, (uint32_t)rt->actor_count, c->class->mailbox_records, c->class->mailbox_bytes);
    calls_init(&c->calls);
    timers_init(&c->timers, TIMERS_MAX);
    timers_init(&c->deadlines, CALLS_IN_FLIGHT_MAX + 3 * (RUNTIME_ACTORS_MAX + 1) + 1);
    c->peers = calloc(rt->actor_count, sizeof(*c->peers));
    c->dirty = calloc(rt->actor_count * LANE_COUNT, sizeof(*c->dirty));
    c->scratch = calloc(1, MAX(rt->struct_bytes, 1));
    bool locked = pthread_mutex_init(&c->jobs.lock, NULL) == 0;
    return c->peers == NULL || c->dirty == NULL || c->scratch == NULL || !locked ? ERR_NOMEM : ERR_OK;
}

static void close_actor(struct ctx *c)
{
    if (c->rt == NULL)
        return; /* never opened */
    if (c->peers != NULL)
        outbox_release(c);
    chaos_release(c);
    if (c->heirloom != NULL)
        c->heirloom_free(c->heirloom);
    calls_release(&c->calls);
    timers_release(&c->timers);
    timers_release(&c->deadlines);
    free(c->peers);
    free(c->dirty);
    free(c->scratch);
    (void)pthread_mutex_destroy(&c->jobs.lock);
}

void runtime_free(struct runtime *rt)
{
    for (size_t i = 0; rt->actors != NULL && i < rt->actor_count; i++)
        close_actor(&rt->actors[i]);
    root_close(rt);
    if (rt->hops != NULL && rt->account != NULL && !rt->joined)
        account_give(rt->account, sizeof(*rt->hops));
    (void)pthread_cond_destroy(&rt->wait_cond);
    (void)pthread_cond_destroy(&rt->watchdog_cond);
    (void)pthread_mutex_destroy(&rt->wait_lock);
    free(rt->actors);
    poison_end(rt);
    if (rt->backend->unshare != NULL)
        rt->backend->unshare(rt);
    else
        free(rt->shared);
    free(rt->by_kind);
    free(rt);
}

static void init_waiting(struct runtime *rt)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&rt->wait_lock, NULL);
    (void)pthread_cond_init(&rt->wait_cond, &attr);
    (void)pthread_cond_init(&rt->watchdog_cond, &attr);
    (void)pthread_condattr_destroy(&attr);
}

/* The budget's accounts may have moved to where all processes count in them. */
static enum err share(struct runtime *rt)
{
    enum err err = ERR_OK;
    if (rt->backend->share != NULL)
        err = rt->backend->share(rt);
    else
        rt->shared = calloc(1, shared_bytes(rt->actor_count));
    if (err == ERR_OK && rt->shared == NULL)
        err = ERR_NOMEM;
    if (err != ERR_OK)
        return err;
    rt->account = rt->config.budget == NULL ? NULL : &rt->config.budget->accounts[ACCOUNT_MAILBOX];
    if (rt->account == NULL || rt->joined || account_take(rt->account, sizeof(*rt->hops)))
        rt->hops = &rt->shared->hops; /* untouched pages cost nothing until something is traced */
    if (!rt->joined)
        runtime_set_log_level(rt, rt->config.log_level);
    return ERR_OK;
}

static enum err build(struct runtime *rt, char *why, size_t why_bytes)
{
    rt->actor_count = rt->config.class_count;
    rt->actors = calloc(rt->actor_count, sizeof(*rt->actors));
    enum err err = rt->actors == NULL ? ERR_NOMEM : share(rt);
    if (err == ERR_OK)
        err = poison_begin(rt);
    if (err == ERR_OK)
        err = index_schemas(rt);
    if (err == ERR_OK)
        err = root_open(rt, why, why_bytes);
    for (size_t i = 0; i < rt->actor_count && err == ERR_OK; i++)
        err = open_actor(rt, &rt->actors[i], (actor_id)i);
    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < rt->config.edge_count; i++)
        rt->actors[rt->config.edges[i].from].peers[rt->config.edges[i].to].may_call = true;
    return ERR_OK;
}

enum err runtime_open(const struct runtime_config *config, struct runtime **ret_runtime, char *why, size_t why_bytes)
{
    enum err err = check(config, why, why_bytes);
    if (err != ERR_OK)
        return err;
    struct runtime *rt = calloc(1, sizeof(*rt));
    if (rt == NULL)
        return ERR_NOMEM;
    rt->config = *config;
    rt->backend = config->backend == NULL ? &backend_inproc : config->backend;
    init_waiting(rt);
    err = build(rt, why, why_bytes);
    if (err == ERR_OK) {
        err = rt->backend->open(rt);
        if (err != ERR_OK)
            (void)refuse(why, why_bytes, "cannot open the mailboxes: %s", err_text(err));
    }
    if (err != ERR_OK) {
        runtime_free(rt);
        return err;
    }
    *ret_runtime = rt;
    return ERR_OK;
}

/* ---- life cycle ---- */

static bool is_up_or_over(void *arg)
{
    const struct runtime *rt = arg;
    return atomic_load_explicit(&rt->booted, memory_order_acquire) ||
           atomic_load_explicit(&rt->ended, memory_order_acquire);
}

static bool is_over(void *arg)
{
    const struct runtime *rt = arg;
    return atomic_load_explicit(&rt->ended, memory_order_acquire);
}

enum err runtime_start(const struct runtime_config *config, struct runtime **ret_runtime, char *ret_why,
                       size_t why_bytes)
{
    struct runtime *rt;
    if (why_bytes > 0)
        ret_why[0] = '\0';
    enum err err = runtime_open(config, &rt, ret_why, why_bytes);
    if (err != ERR_OK)
        return err;
    struct ctx *root = &rt->actors[ROOT_ID];
    atomic_store_explicit(&root->shared->life, life_word(1, LIFE_STARTING), memory_order_release);
    err = rt->backend->watches ? watchdog_start(rt) : ERR_OK;
    if (err == ERR_OK)
        err = rt->backend->spawn(root);
    if (err != ERR_OK) {
        watchdog_stop(rt);
        (void)rt->backend->close(rt, 0);
        runtime_free(rt);
        (void)refuse(ret_why, why_bytes, "%s", "no thread to run root");
        return err;
    }
    /* Root bounds each start; this bound is for root itself. */
    bool up = rt->backend->await(rt, is_up_or_over, rt, UINT64_MAX / 2);
    if (up && !is_over(rt)) {
        *ret_runtime = rt;
        return ERR_OK;
    }
    (void)refuse(ret_why, why_bytes, "%s", rt->why[0] == '\0' ? "the tree did not start" : rt->why);
    (void)runtime_stop(&rt, STOP_AFTER_FAILED_START_S * SECOND_NS);
    return ERR_UNAVAILABLE;
}

void runtime_request_stop(struct runtime *rt)
{
    atomic_store_explicit(&rt->shared->stop_requested, true, memory_order_release);
    rt->backend->wake(&rt->actors[ROOT_ID]);
}

bool runtime_wait(struct runtime *rt, uint64_t timeout_ns, enum runtime_exit *ret_exit)
{
    if (!rt->backend->await(rt, is_over, rt, timeout_ns))
        return false;
    *ret_exit = (enum runtime_exit)atomic_load(&rt->exit_code);
    return true;
}

enum runtime_exit runtime_stop(struct runtime **rt_ptr, uint64_t timeout_ns)
{
    struct runtime *rt = *rt_ptr;
    enum runtime_exit code = RUNTIME_EXIT_STUCK;
    runtime_request_stop(rt);
    bool over = runtime_wait(rt, timeout_ns, &code);
    *rt_ptr = NULL;
    if (!over || code == RUNTIME_EXIT_STUCK)
        return RUNTIME_EXIT_STUCK; /* a thread may still use all of it */
    rt->backend->reap(&rt->actors[ROOT_ID]);
    watchdog_stop(rt);
    if (!rt->backend->close(rt, WORKERS_STOP_S * SECOND_NS))
        return RUNTIME_EXIT_STUCK;
    runtime_free(rt);
    return code;
}

bool runtime_await(struct runtime *rt, bool (*done)(void *arg), void *arg, uint64_t timeout_ns)
{
    return rt->backend->await(rt, done, arg, timeout_ns);
}

void runtime_notify(struct runtime *rt)
{
    (void)pthread_mutex_lock(&rt->wait_lock);
    (void)pthread_cond_broadcast(&rt->wait_cond);
    (void)pthread_mutex_unlock(&rt->wait_lock);
}

/* ---- messages and log ---- */

const struct schema *runtime_schema(const struct runtime *rt, uint16_t kind)
{
    uint16_t index = (uint16_t)(kind - rt->first_kind);
    return index < rt->kind_count ? rt->by_kind[index] : NULL;
}

void runtime_log(const struct runtime *rt, enum log_level level, const char *actor, const char *text)
{
    if (rt->config.log != NULL)
        rt->config.log(rt->config.log_arg, level, actor, text);
}

void runtime_set_log_level(struct runtime *rt, enum log_level level)
{
    atomic_store_explicit(&rt->shared->log_level, (uint32_t)level, memory_order_relaxed);
}

/* ---- stats ---- */

static uint64_t get(const counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

void runtime_stats(const struct runtime *rt, struct runtime_stats *ret_stats)
{
    struct runtime_stats sum = {0};
    for (size_t i = 0; i < rt->actor_count; i++) {
        const struct counters *c = &rt->actors[i].shared->counters;
        sum.calls += get(&c->calls);
        sum.casts += get(&c->casts);
        sum.batches += get(&c->batches);
        sum.busy += get(&c->busy);
        sum.expired += get(&c->expired);
        sum.stale += get(&c->stale);
        sum.late += get(&c->late);
        sum.dropped += get(&c->dropped);
        sum.jobs_abandoned += get(&c->jobs_abandoned);
        sum.poison += get(&c->poison);
    }
    *ret_stats = sum;
}

size_t runtime_actor_count(const struct runtime *rt)
{
    size_t count = 0;
    for (size_t i = 1; i < rt->actor_count; i++)
        count += rt->config.classes[i] != NULL;
    return count;
}

static const char *state_name(const struct ctx *c)
{
    switch (life_state(life_of(c))) {
    case LIFE_STARTING:
        return "starting";
    case LIFE_RUNNING:
        return "running";
    case LIFE_NONE:
        return "stopped";
    case LIFE_ENDED:
        break;
    }
    uint32_t waiting = atomic_load_explicit(&c->shared->waiting, memory_order_relaxed);
    if (waiting != WAITING_NOT)
        return waiting == WAITING_RESTART ? "restarting" : "stopped";
    uint32_t last = atomic_load_explicit(&c->shared->last_exit, memory_order_relaxed);
    return last == EXIT_NORMAL + 1 || last == EXIT_SHUTDOWN + 1 ? "stopped" : "failed";
}

static uint64_t cpu_of(const struct actor_shared *shared)
{
    clockid_t clock = atomic_load(&shared->cpu_clock);
    return atomic_load(&shared->cpu_past_ns) + (clock == 0 ? 0 : machine_cpu(clock));
}

static void fill_stats(const struct runtime *rt, const struct ctx *c, struct actor_stats *ret_stats)
{
    uint64_t held = box_held(&c->shared->box);
    uint64_t beat = atomic_load_explicit(&c->shared->heartbeat_ns, memory_order_relaxed);
    uint64_t now = rt->backend->now(rt);
    uint32_t last = atomic_load_explicit(&c->shared->last_exit, memory_order_relaxed);
    *ret_stats = (struct actor_stats){
        .name = c->class->name,
        .state = state_name(c),
        .stays_down = atomic_load_explicit(&c->shared->stays_down, memory_order_relaxed),
        .epoch = life_epoch(life_of(c)),
        .restarts = atomic_load_explicit(&c->shared->restarts, memory_order_relaxed),
        .last_exit_reason = last == 0 ? "" : exit_reason_name((enum exit_reason)(last - 1)),
        .mailbox_records = box_records(held),
        .mailbox_bytes = box_bytes(held),
        .refused = atomic_load_explicit(&c->shared->box.refused, memory_order_relaxed),
        .heartbeat_ns = beat == 0 ? 0 : rt->backend->real_now(rt) - (now - MIN(beat, now)),
    };
}

bool runtime_actor_stats_of(const struct runtime *rt, actor_id id, struct actor_stats *ret_stats)
{
    if (id >= rt->actor_count || (id != ROOT_ID && rt->config.classes[id] == NULL))
        return false;
    const struct ctx *c = &rt->actors[id];
    struct handling_figures figures;
    fill_stats(rt, c, ret_stats);
    handling_read(&c->shared->handling, rt->backend->now(rt), &figures);
    ret_stats->messages = figures.messages;
    ret_stats->messages_per_s = figures.messages_per_s;
    ret_stats->p50_ns = figures.p50_ns;
    ret_stats->p99_ns = figures.p99_ns;
    ret_stats->cpu_ns = cpu_of(c->shared);
    return true;
}

bool runtime_actor_stats(const struct runtime *rt, size_t index, struct actor_stats *ret_stats)
{
    size_t id = 1;
    for (; id < rt->actor_count; id++) {
        if (rt->config.classes[id] != NULL && index-- == 0)
            break;
    }
    if (id < rt->actor_count)
        fill_stats(rt, &rt->actors[id], ret_stats);
    return id < rt->actor_count;
}
