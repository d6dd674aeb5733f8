/* SPDX-License-Identifier: MIT */
#include "sim/crowd.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/crowd_internal.h"
#include "sim/disk.h"
#include "sim/globe.h"

enum {
    BOOTSTRAPS_MIN = 4,
    BOOTSTRAP_ONE_IN = 250,
    JOIN_EVERY_MS = 20,
    TASKS_FROM_PERCENT = 40, /* of the life; before that the crowd gets to know itself */
    TASKS_UNTIL_PERCENT = 90,
    LAST_TASKS_SECONDS = 120,
    SYBILS_KNOWN_SECONDS = 60,
    PROGRESS_SECONDS = 30,
    TRIES = 100,
};

static const char *const kind_names[CROWD_KINDS] = {[CROWD_CONNECT] = "connect",
                                                    [CROWD_FIND_PEER] = "find_peer",
                                                    [CROWD_PROVIDE] = "provide",
                                                    [CROWD_FIND_PROVIDERS] = "find_providers",
                                                    [CROWD_PROVIDE_ATTACKED] = "provide_attacked",
                                                    [CROWD_FIND_ATTACKED] = "find_attacked"};

unsigned crowd_size(const struct crowd_options *options)
{
    return options->nodes + options->sybils + (options->provide > 0 ? (unsigned)CROWD_WAYS : 0);
}

const char *crowd_kind_name(enum crowd_task_kind kind)
{
    return kind_names[kind];
}

void crowd_task_end(struct crowd_task *task, enum crowd_task_state state, enum err err)
{
    struct crowd_node *n = &crowd_playing->nodes[task->node];
    task->state = state;
    task->err = err;
    n->first = task->next; /* a node's tasks end in their order */
    if (n->first == NULL)
        n->last = &n->first;
    crowd_playing->open_tasks--;
}

/* ---- tasks ---- */

/* A node that is there, other than that one; a crowd of which nobody is there gives any. */
static unsigned some_node(struct crowd *c, unsigned other)
{
    unsigned number = 0;
    for (unsigned try = 0; try < TRIES; try++) {
        number = (unsigned)prng_below(&c->prng, c->options->nodes);
        if (number != other && c->nodes[number].runtime != NULL)
            return number;
    }
    return number;
}

/* Any that was provided a while ago, or NULL. */
static const struct crowd_task *some_provided(struct crowd *c)
{
    for (unsigned try = 0; try < TRIES && c->task_count > 0; try++) {
        const struct crowd_task *task = &c->tasks[prng_below(&c->prng, c->task_count)];
        if (task->kind == CROWD_PROVIDE && task->state == TASK_DONE)
            return task;
    }
    return NULL;
}

static bool can_do(const struct crowd *c, enum crowd_task_kind kind)
{
    if (kind == CROWD_PROVIDE_ATTACKED)
        return false; /* once, by itself */
    return kind == CROWD_CONNECT ||
           (c->tree.wanted[ACTOR_DISCOVERY] && (kind != CROWD_FIND_ATTACKED || c->options->sybils > 0));
}

static size_t kinds_of(const struct crowd *c, enum crowd_task_kind ret_kinds[CROWD_KINDS])
{
    size_t count = 0;
    for (size_t i = 0; i < CROWD_KINDS; i++)
        if (can_do(c, (enum crowd_task_kind)i))
            ret_kinds[count++] = (enum crowd_task_kind)i;
    return count;
}

static void fill_task(struct crowd *c, struct crowd_task *task)
{
    const struct crowd_task *provided = NULL;
    task->target = some_node(c, task->node);
    if (task->kind == CROWD_PROVIDE || task->kind == CROWD_PROVIDE_ATTACKED) {
        task->cid = task->kind == CROWD_PROVIDE ? ++c->cid_count : CROWD_ATTACKED_CID;
        task->target = task->node;
    } else if (task->kind == CROWD_FIND_PROVIDERS) {
        provided = some_provided(c);
        if (provided == NULL || provided->node == task->node)
            task->kind = CROWD_FIND_PEER; /* nothing to look for yet */
    } else if (task->kind == CROWD_FIND_ATTACKED) {
        provided = c->attacked;
    }
    if (task->kind == CROWD_FIND_PEER || provided == NULL)
        return;
    task->cid = provided->cid;
    task->target = provided->node;
}

static struct crowd_task *give_task(struct crowd *c, enum crowd_task_kind kind)
{
    struct crowd_task *task = &c->tasks[c->task_count];
    *task = (struct crowd_task){.kind = kind, .node = some_node(c, UINT32_MAX)};
    fill_task(c, task);
    c->task_count++;
    struct crowd_node *n = &c->nodes[task->node];
    *n->last = task;
    n->last = &task->next;
    c->open_tasks++;
    return task;
}

void crowd_give_check(struct crowd *c, unsigned provider, unsigned cid)
{
    struct crowd_task *task = give_task(c, CROWD_FIND_PROVIDERS);
    task->kind = CROWD_FIND_PROVIDERS; /* it may be that no task provided anything */
    task->target = provider;
    task->cid = cid;
}

/* ---- time ---- */

static struct crowd_node *next_to_change(const struct crowd *c)
{
    struct crowd_node *first = &c->nodes[0];
    for (unsigned i = 1; i < c->options->nodes; i++)
        if (c->nodes[i].change_at_ns < first->change_at_ns)
            first = &c->nodes[i];
    return first;
}

static void plan_leaving(struct crowd *c, struct crowd_node *n)
{
    n->change_at_ns = c->options->session_ns == 0 || n->number < c->bootstraps
                          ? UINT64_MAX
                          : sim_now(c->sim) + globe_exponential_ns(&c->prng, c->options->session_ns);
}

/* It leaves, half of the time without a word, or it is back. */
static enum err change(struct crowd *c, struct crowd_node *n)
{
    n->changed_at_ns = sim_now(c->sim);
    if (n->runtime == NULL) {
        enum err err = crowd_node_start(n);
        plan_leaving(c, n);
        return err;
    }
    crowd_node_stop(n, prng_below(&c->prng, 2) == 0);
    c->left++;
    n->change_at_ns = sim_now(c->sim) + globe_exponential_ns(&c->prng, c->options->away_ns);
    return ERR_OK;
}

enum err crowd_run_until(struct crowd *c, uint64_t at_ns)
{
    enum err err = ERR_OK;
    while (err == ERR_OK) {
        struct crowd_node *n = next_to_change(c);
        if (n->change_at_ns > at_ns)
            break;
        sim_run_until(c->sim, n->change_at_ns);
        err = change(c, n);
    }
    sim_run_until(c->sim, at_ns);
    return err;
}

void crowd_tell(struct crowd *c, const char *what)
{
    if (c->options->progress == NULL)
        return;
    size_t up = 0;
    uint64_t sockets = 0;
    for (unsigned i = 0; i < c->options->nodes; i++) {
        up += c->nodes[i].runtime != NULL;
        sockets += c->nodes[i].host == NULL ? 0 : sim_host_sockets(c->nodes[i].host);
    }
    (void)fprintf(
        c->options->progress, "%s: %.0f s, %zu nodes, %" PRIu64 " connections, %" PRIu64 " steps, %zu open tasks\n",
        what, (double)sim_now(c->sim) / (double)SECOND_NS - 3600, up, sockets / 2, sim_steps(c->sim), c->open_tasks);
}

static enum err join_one(struct crowd *c, unsigned number)
{
    enum err err = crowd_node_prepare(c, number);
    return err == ERR_OK ? crowd_node_start(&c->nodes[number]) : err;
}

static enum err join_all(struct crowd *c)
{
    enum err err = ERR_OK;
    for (unsigned i = 0; i < c->options->nodes && err == ERR_OK; i++) {
        err = join_one(c, i);
        sim_run_until(c->sim, sim_now(c->sim) + JOIN_EVERY_MS * MS_NS);
        if ((i + 1) % 1000 == 0)
            crowd_tell(c, "joining");
    }
    return err;
}

/* They come when all others are there, have a while to become known, then the honest provider provides. */
static enum err attack(struct crowd *c)
{
    enum err err = crowd_sybil_targets(c);
    for (unsigned i = 0; i < c->options->sybils && err == ERR_OK; i++)
        err = join_one(c, c->options->nodes + i);
    sim_run_until(c->sim, sim_now(c->sim) + SYBILS_KNOWN_SECONDS * SECOND_NS);
    if (err == ERR_OK)
        c->attacked = give_task(c, CROWD_PROVIDE_ATTACKED);
    for (unsigned i = 0; i < LAST_TASKS_SECONDS && c->open_tasks > 0; i++)
        sim_run_until(c->sim, sim_now(c->sim) + SECOND_NS);
    crowd_tell(c, "attacked");
    return err;
}

static enum err do_tasks(struct crowd *c, uint64_t from, uint64_t until, uint64_t end)
{
    enum crowd_task_kind kinds[CROWD_KINDS];
    size_t kind_count = kinds_of(c, kinds);
    uint64_t total = (uint64_t)c->options->tasks * kind_count;
    uint64_t given = 0;
    uint64_t next_news = sim_now(c->sim);
    enum err err = ERR_OK;
    while (err == ERR_OK && sim_now(c->sim) < end) {
        uint64_t at = MIN(end, given < total ? from + (until - from) / total * given : end);
        if (at >= next_news) {
            err = crowd_run_until(c, next_news);
            crowd_tell(c, "living");
            next_news += PROGRESS_SECONDS * SECOND_NS;
            continue;
        }
        err = crowd_run_until(c, at);
        if (err == ERR_OK && given < total)
            (void)give_task(c, kinds[given++ % kind_count]);
    }
    return err;
}

enum err crowd_end_tasks(struct crowd *c)
{
    enum err err = ERR_OK;
    for (unsigned i = 0; i < LAST_TASKS_SECONDS && c->open_tasks > 0 && err == ERR_OK; i++)
        err = crowd_run_until(c, sim_now(c->sim) + SECOND_NS);
    return err;
}

static enum err live(struct crowd *c)
{
    enum err err = c->options->sybils == 0 ? ERR_OK : attack(c);
    uint64_t began = sim_now(c->sim);
    uint64_t percent = c->options->life_ns / 100;
    for (unsigned i = 0; i < c->options->nodes; i++)
        plan_leaving(c, &c->nodes[i]);
    if (err == ERR_OK)
        err = do_tasks(c, began + percent * TASKS_FROM_PERCENT, began + percent * TASKS_UNTIL_PERCENT,
                       began + c->options->life_ns);
    return err == ERR_OK ? crowd_end_tasks(c) : err;
}

/* ---- result ---- */

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Sorts; of an empty list 0. */
static uint64_t percentile(uint64_t *list, size_t count, unsigned percent)
{
    qsort(list, count, sizeof(*list), by_size);
    return count == 0 ? 0 : list[count * percent / 100];
}

static double mean(const uint64_t *list, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)list[i];
    return count == 0 ? 0 : sum / (double)count;
}

/* One list after another: took, requests, hops, each with room for all tasks. */
static void fill_kind(const struct crowd *c, enum crowd_task_kind kind, uint64_t *lists, struct crowd_kind_result *r)
{
    uint64_t *requests = lists + c->task_count;
    uint64_t *hops = requests + c->task_count;
    size_t asked = 0;
    for (size_t i = 0; i < c->task_count; i++) {
        const struct crowd_task *task = &c->tasks[i];
        if (task->kind != kind)
            continue;
        r->given++;
        r->gone += task->state == TASK_VOID;
        if (task->state == TASK_FAILED && c->why[0] == '\0')
            (void)snprintf(c->why, CROWD_WHY_BYTES, "first failure: %s of %u by %u: %s", kind_names[kind], task->target,
                           task->node, err_text(task->err));
        if (task->state != TASK_DONE)
            continue;
        lists[r->done++] = task->took_ns;
        r->known += task->requests == 0;
        requests[asked] = task->requests;
        hops[asked] = task->hops;
        asked += task->requests > 0;
    }
    r->p50_ns = percentile(lists, r->done, 50);
    r->p95_ns = percentile(lists, r->done, 95);
    r->requests_p50 = percentile(requests, asked, 50);
    r->requests_p95 = percentile(requests, asked, 95);
    r->requests_mean = mean(requests, asked);
    r->hops_p50 = percentile(hops, asked, 50);
    r->hops_p95 = percentile(hops, asked, 95);
    r->hops_mean = mean(hops, asked);
}

static enum err count_kind(const struct crowd *c, enum crowd_task_kind kind, struct crowd_kind_result *ret_result)
{
    uint64_t *lists = calloc(3 * c->task_count + 1, sizeof(*lists));
    if (lists == NULL)
        return ERR_NOMEM;
    *ret_result = (struct crowd_kind_result){0};
    fill_kind(c, kind, lists, ret_result);
    free(lists);
    return ERR_OK;
}

static enum err count(const struct crowd *c, uint64_t began_ns, struct crowd_result *ret_result)
{
    struct crowd_result r = {.trace = sim_trace(c->sim),
                             .steps = sim_steps(c->sim),
                             .virtual_ns = sim_now(c->sim) - began_ns,
                             .left = c->left,
                             .swallowed = c->swallowed};
    for (unsigned i = 0; i < c->options->nodes; i++) {
        size_t sockets = sim_host_sockets(c->nodes[i].host);
        r.up += c->nodes[i].runtime != NULL;
        r.alone += c->nodes[i].runtime != NULL && sockets == 0;
        r.connections += sockets;
    }
    r.connections /= 2;
    for (size_t kind = 0; kind < CROWD_KINDS; kind++) {
        enum err err = count_kind(c, (enum crowd_task_kind)kind, &r.kinds[kind]);
        if (err != ERR_OK)
            return err;
    }
    *ret_result = r;
    return ERR_OK;
}

/* ---- playing ---- */

static uint64_t latency(void *arg, unsigned from, unsigned to)
{
    const struct crowd *c = arg;
    return globe_latency_ns(c->options->seed, from, to);
}

static enum err play(struct crowd *c, struct crowd_result *ret_result)
{
    uint64_t began = sim_now(c->sim);
    prng_init(&c->prng, c->options->seed ^ UINT64_C(0x63726f7764));
    sim_net_set_latency(c->net, latency, c);
    c->bootstraps = MIN(c->options->nodes, MAX((unsigned)BOOTSTRAPS_MIN, c->options->nodes / BOOTSTRAP_ONE_IN));
    enum err err = crowd_tree_choose(c);
    if (err == ERR_OK)
        err = join_all(c);
    if (err == ERR_OK)
        err = live(c);
    struct crowd_result provided = {0};
    if (err == ERR_OK && c->options->provide > 0)
        err = crowd_provide_play(c, &provided);
    if (err != ERR_OK)
        return err;
    err = count(c, began, ret_result);
    if (err == ERR_OK) {
        memcpy(ret_result->efforts, provided.efforts, sizeof(provided.efforts));
        memcpy(ret_result->quiet, provided.quiet, sizeof(provided.quiet));
    }
    return err;
}

static void release(struct crowd *c)
{
    unsigned count = c->nodes == NULL ? 0 : crowd_size(c->options);
    for (unsigned i = 0; i < count; i++)
        if (c->nodes[i].crowd != NULL)
            crowd_node_stop(&c->nodes[i], true); /* nobody has to be told any more */
    if (c->net != NULL)
        sim_net_free(c->net);
    for (unsigned i = 0; i < count; i++)
        crowd_node_release(&c->nodes[i]);
    if (c->sim != NULL)
        sim_free(c->sim);
    free(c->nodes);
    free(c->tasks);
    free(c->by_distance);
}

enum err crowd_play(const struct crowd_options *options, struct crowd_result *ret_result, char why[CROWD_WHY_BYTES])
{
    struct crowd crowd = {.options = options, .why = why};
    why[0] = '\0';
    if (options->nodes < 2 || options->nodes > CROWD_NODES_MAX || options->tasks > CROWD_TASKS_MAX ||
        options->sybils > CROWD_SYBILS_MAX || options->provide > CROWD_PROVIDE_MAX) {
        (void)snprintf(why, CROWD_WHY_BYTES, "2 to %d nodes, at most %d sybils, %d tasks, %d to provide",
                       CROWD_NODES_MAX, CROWD_SYBILS_MAX, CROWD_TASKS_MAX, CROWD_PROVIDE_MAX);
        return ERR_INVALID;
    }
    crowd_playing = &crowd;
    crowd.sim = sim_new(options->seed);
    crowd.net = crowd.sim == NULL ? NULL : sim_net_new(crowd.sim);
    crowd.nodes = calloc(crowd_size(options), sizeof(*crowd.nodes));
    crowd.tasks = calloc((size_t)options->tasks * CROWD_KINDS + 1 + CROWD_CHECKS, sizeof(*crowd.tasks));
    enum err err =
        crowd.net == NULL || crowd.nodes == NULL || crowd.tasks == NULL ? ERR_NOMEM : play(&crowd, ret_result);
    release(&crowd);
    crowd_playing = NULL;
    return err;
}
