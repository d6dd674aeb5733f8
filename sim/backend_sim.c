/* SPDX-License-Identifier: MIT */
/*
 * Backend sim: each turn of an actor is an event, so is the arrival of each batch and the end of each job.
 *
 * Actors of a node are as parallel as threads: a step costs its actor 1 to 20 us, in which others run. A batch takes 1 to 50 us and
 * never overtakes another of its sender and lane; at most two are under way on one, then the sender is refused and its batch grows,
 * as on a full socket. A job takes 20 us to 2 ms of its lane's worker and runs at the end of that time.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "mailbox/ctx.h"
#include "sim/sim.h"

enum {
    FLIGHT_MAX = 2,
    STEP_COST_NS_MAX = 20000,
    STEP_JITTER_NS_MAX = 3000,
    BATCH_DELAY_NS_MAX = 50000,
    JOB_NS_MIN = 20000,
    JOB_NS_MAX = 2000000,
};

struct arrival {
    struct ctx *to;
    struct batch *batch;
    struct arrival *next;     /* in the queue of its lane */
    uint64_t event;           /* 0 = it has arrived */
    struct arrival *all_prev; /* of the node */
    struct arrival *all_next;
    actor_id from;
    enum lane lane;
};

struct flight {
    uint64_t last_at_ns;
    uint32_t count;
};

struct sim_actor {
    struct ctx *ctx;
    struct arrival *head[LANE_COUNT];
    struct arrival *tail[LANE_COUNT];
    struct flight *flights; /* by sender * LANE_COUNT + lane */
    uint64_t step;          /* scheduled event, 0 = none */
    uint64_t step_at_ns;
    uint64_t busy_until_ns;
    uint64_t stalled_ns; /* what the step that runs takes longer; UINT64_MAX = it never ends */
    bool alive;
    bool begun;
    struct prng random;
};

struct sim_lane {
    uint32_t busy;
    uint32_t queued;
    struct job *head;
    struct job *tail;
};

struct sim_node {
    struct sim *sim;
    struct runtime *rt;
    uint64_t key; /* of the node, for order keys */
    struct arrival *arrivals;
    struct sim_lane lanes[RUNTIME_LANES_MAX];
};

static struct sim_node *node_of(const struct runtime *rt)
{
    return rt->carrier;
}

static struct sim_actor *actor(const struct ctx *c)
{
    return c->carrier;
}

static struct sim *sim_of(const struct runtime *rt)
{
    return rt->config.backend_arg;
}

/* ---- steps ---- */

static void step(void *arg);

static void schedule_step(struct sim_actor *a, uint64_t at_ns)
{
    struct sim *sim = sim_of(a->ctx->rt);
    at_ns = MAX(at_ns, MAX(a->busy_until_ns, sim_now(sim)));
    if (!a->alive || a->stalled_ns == UINT64_MAX || (a->step != 0 && a->step_at_ns <= at_ns))
        return;
    if (a->step != 0)
        sim_cancel(sim, a->step);
    a->step_at_ns = at_ns;
    a->step = sim_schedule(sim, at_ns, step, a);
}

static void wake(struct ctx *c)
{
    struct sim *sim = sim_of(c->rt);
    schedule_step(actor(c), sim_now(sim) + sim_below(sim, STEP_JITTER_NS_MAX));
}

static void step(void *arg)
{
    struct sim_actor *a = arg;
    struct sim *sim = sim_of(a->ctx->rt);
    uint64_t wake_at_ns = 0;
    a->step = 0;
    bool goes_on;
    if (a->begun) {
        goes_on = actor_turn(a->ctx, &wake_at_ns);
    } else {
        a->begun = true;
        goes_on = life_begin(a->ctx);
    }
    a->busy_until_ns = sim_now(sim) + 1 + sim_below(sim, STEP_COST_NS_MAX);
    if (a->stalled_ns == UINT64_MAX)
        return;
    a->busy_until_ns += a->stalled_ns;
    a->stalled_ns = 0;
    if (!goes_on) {
        a->alive = false;
        life_end(a->ctx);
    } else if (wake_at_ns != UINT64_MAX) {
        schedule_step(a, wake_at_ns);
    }
}

static enum err spawn(struct ctx *c)
{
    struct sim_actor *a = actor(c);
    assert(!a->alive);
    a->alive = true;
    a->begun = false;
    wake(c);
    return ERR_OK;
}

static void reap(struct ctx *c)
{
    (void)c;
}

/* ---- lanes ---- */

static void unlist(struct sim_node *node, struct arrival *arrival)
{
    if (arrival->all_next != NULL)
        arrival->all_next->all_prev = arrival->all_prev;
    if (arrival->all_prev != NULL)
        arrival->all_prev->all_next = arrival->all_next;
    else
        node->arrivals = arrival->all_next;
}

static void arrive(void *arg)
{
    struct arrival *arrival = arg;
    struct sim_actor *a = actor(arrival->to);
    arrival->event = 0;
    if (a->tail[arrival->lane] == NULL)
        a->head[arrival->lane] = arrival;
    else
        a->tail[arrival->lane]->next = arrival;
    a->tail[arrival->lane] = arrival;
    wake(arrival->to);
}

static void stall(struct ctx *c, uint64_t ns)
{
    struct sim_actor *a = actor(c);
    a->stalled_ns = ns > UINT64_MAX - a->stalled_ns ? UINT64_MAX : a->stalled_ns + ns;
}

/* Root and a life at its end are never refused: nobody would try again for them. */
static bool may_refuse(const struct ctx *from)
{
    return from->id != ROOT_ID && !from->over;
}

static enum err send_batch(struct ctx *from, actor_id to, enum lane lane, struct batch **batch)
{
    struct sim_node *node = node_of(from->rt);
    struct sim *sim = node->sim;
    struct sim_actor *a = actor(actor_of(from->rt, to));
    struct flight *flight = &a->flights[from->id * LANE_COUNT + lane];
    if (flight->count >= FLIGHT_MAX && may_refuse(from))
        return ERR_AGAIN;
    struct arrival *arrival = calloc(1, sizeof(*arrival));
    if (arrival == NULL)
        abort();
    *arrival = (struct arrival){.to = a->ctx, .batch = *batch, .from = from->id, .lane = lane};
    arrival->all_next = node->arrivals;
    if (node->arrivals != NULL)
        node->arrivals->all_prev = arrival;
    node->arrivals = arrival;
    flight->count++;
    uint64_t at_ns = sim_now(sim) + 1000 + sim_below(sim, BATCH_DELAY_NS_MAX);
    flight->last_at_ns = MAX(flight->last_at_ns, at_ns);
    uint64_t key = node->key << 24 | (uint64_t)from->id << 16 | (uint64_t)to << 8 | (uint64_t)lane << 1 | 1;
    arrival->event = sim_schedule_ordered(sim, flight->last_at_ns, key, arrive, arrival);
    *batch = NULL;
    return ERR_OK;
}

static enum err recv_batch(struct ctx *c, enum lane lane, struct batch **ret_batch)
{
    struct sim_actor *a = actor(c);
    struct arrival *arrival = a->head[lane];
    if (arrival == NULL)
        return ERR_AGAIN;
    a->head[lane] = arrival->next;
    if (a->head[lane] == NULL)
        a->tail[lane] = NULL;
    unlist(node_of(c->rt), arrival);
    a->flights[arrival->from * LANE_COUNT + lane].count--;
    struct ctx *from = actor_of(c->rt, arrival->from);
    if (from->dirty_count > 0)
        wake(from);
    *ret_batch = arrival->batch;
    free(arrival);
    return ERR_OK;
}

static void settle(struct ctx *c)
{
    /* A life at its end is never refused, so what it left behind goes now. */
    bool flushed = outbox_flush(c);
    assert(flushed);
    (void)flushed;
}

/* ---- jobs ---- */

static void start_jobs(struct sim_node *node, uint32_t lane);

static void end_job(void *arg)
{
    struct job *job = arg;
    struct sim_node *node = node_of(job->owner->rt);
    uint32_t lane = job->lane;
    sim_trace_u64(node->sim, (uint64_t)job->owner->id << 32 | (uint64_t)job->result << 8 | lane);
    job_done(job);
    node->lanes[lane].busy--;
    start_jobs(node, lane);
}

static void run_job(void *arg)
{
    struct job *job = arg;
    struct sim *sim = node_of(job->owner->rt)->sim;
    if (!job_abandoned(job))
        job_run(job);
    uint64_t waited = sim_job_end(sim);
    if (waited == 0)
        end_job(job);
    else
        (void)sim_schedule(sim, sim_now(sim) + waited, end_job, job);
}

static void start_jobs(struct sim_node *node, uint32_t index)
{
    struct sim_lane *lane = &node->lanes[index];
    while (lane->head != NULL && lane->busy < node->rt->config.lanes[index].workers) {
        struct job *job = lane->head;
        lane->head = job->queue;
        if (lane->head == NULL)
            lane->tail = NULL;
        lane->queued--;
        lane->busy++;
        uint64_t took = JOB_NS_MIN + sim_below(node->sim, JOB_NS_MAX - JOB_NS_MIN);
        (void)sim_schedule(node->sim, sim_now(node->sim) + took, run_job, job);
    }
}

static enum err submit(struct job *job)
{
    struct sim_node *node = node_of(job->owner->rt);
    struct sim_lane *lane = &node->lanes[job->lane];
    if (lane->queued >= node->rt->config.lanes[job->lane].queue)
        return ERR_BUSY;
    job->queue = NULL;
    if (lane->tail == NULL)
        lane->head = job;
    else
        lane->tail->queue = job;
    lane->tail = job;
    lane->queued++;
    start_jobs(node, job->lane);
    return ERR_OK;
}

/* ---- opening and closing ---- */

static bool lanes_idle(void *arg)
{
    const struct sim_node *node = arg;
    for (size_t i = 0; i < node->rt->config.lane_count; i++) {
        if (node->lanes[i].busy > 0 || node->lanes[i].head != NULL)
            return false;
    }
    return true;
}

static bool close_all(struct runtime *rt, uint64_t timeout_ns)
{
    struct sim_node *node = node_of(rt);
    if (node != NULL && !sim_run_while_not(node->sim, lanes_idle, node, timeout_ns))
        return false;
    for (struct arrival *arrival = node == NULL ? NULL : node->arrivals; arrival != NULL;) {
        struct arrival *next = arrival->all_next;
        sim_cancel(node->sim, arrival->event);
        delivery_discard(arrival->to, arrival->batch);
        free(arrival);
        arrival = next;
    }
    for (size_t i = 0; i < rt->actor_count; i++) {
        struct sim_actor *a = actor(&rt->actors[i]);
        if (a == NULL)
            continue;
        sim_cancel(node->sim, a->step);
        free(a->flights);
        free(a);
        rt->actors[i].carrier = NULL;
    }
    free(node);
    rt->carrier = NULL;
    return true;
}

static enum err open_actor(struct runtime *rt, struct ctx *c, uint64_t seed)
{
    struct sim_actor *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return ERR_NOMEM;
    c->carrier = a;
    a->ctx = c;
    a->flights = calloc(rt->actor_count * LANE_COUNT, sizeof(*a->flights));
    prng_init(&a->random, seed + c->id);
    return a->flights == NULL ? ERR_NOMEM : ERR_OK;
}

static enum err open_all(struct runtime *rt)
{
    struct sim *sim = sim_of(rt);
    struct sim_node *node = calloc(1, sizeof(*node));
    if (node == NULL)
        return ERR_NOMEM;
    rt->carrier = node;
    node->sim = sim;
    node->rt = rt;
    node->key = sim_random(sim) >> 32;
    uint64_t seed = sim_random(sim);
    enum err err = ERR_OK;
    for (size_t i = 0; i < rt->actor_count && err == ERR_OK; i++)
        err = open_actor(rt, &rt->actors[i], seed);
    if (err != ERR_OK)
        (void)close_all(rt, 0);
    return err;
}

/* ---- the rest ---- */

static uint64_t now(const struct runtime *rt)
{
    return sim_now(sim_of(rt));
}

static uint64_t real_now(const struct runtime *rt)
{
    struct sim *sim = sim_of(rt);
    return sim_real_now(sim) + (uint64_t)sim_clock_off(sim, rt->config.name);
}

static void fill_random(struct ctx *c, void *to, size_t len)
{
    prng_fill(&actor(c)->random, to, len);
}

static void trace(struct runtime *rt, const void *bytes, size_t len)
{
    sim_trace_mix(sim_of(rt), bytes, len);
}

static bool await_done(struct runtime *rt, bool (*done)(void *arg), void *arg, uint64_t timeout_ns)
{
    return sim_run_while_not(sim_of(rt), done, arg, timeout_ns);
}

const struct backend backend_sim = {
    .name = "sim",
    .open = open_all,
    .close = close_all,
    .spawn = spawn,
    .reap = reap,
    .settle = settle,
    .stall = stall,
    .wake = wake,
    .send = send_batch,
    .recv = recv_batch,
    .job = submit,
    .now = now,
    .real_now = real_now,
    .random = fill_random,
    .trace = trace,
    .await = await_done,
    .watches = false,
};
