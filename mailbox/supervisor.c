/* SPDX-License-Identifier: MIT */
/*
 * The tree is an array of nodes. Every event changes the state of one node and then reconciles its supervisor: stop, from the
 * last to the first and one at a time, what is doomed; then start, from the first on, what is wanted and down. A strategy only
 * says whom a failure dooms; order, acknowledgement and bounds follow from reconciling, also when failures overlap.
 */
#include "mailbox/supervisor_tree.h"

#include <assert.h>

#include "base/attr.h"

static void reconcile(struct supervisor *s, struct node *n);
static void child_ended(struct supervisor *s, struct node *c, enum exit_reason reason, bool failed_start);

/* ---- small facts ---- */

static bool is_alive(const struct node *n)
{
    return n->state == NODE_STARTING || n->state == NODE_RUNNING || n->state == NODE_STOPPING;
}

static const char *name_of(const struct node *n)
{
    return n->spec == NULL ? n->tree->name : n->spec->id;
}

static void tell(struct supervisor *s, const struct node *n, enum supervision_kind kind, enum exit_reason reason,
                 const char *text, uint64_t delay_ns)
{
    struct supervision_event event = {.kind = kind,
                                      .child = name_of(n),
                                      .is_supervisor = n->tree != NULL,
                                      .actor = n->tree != NULL ? 0 : n->spec->start,
                                      .epoch = n->epoch,
                                      .reason = reason,
                                      .text = text,
                                      .delay_ms = (uint32_t)(delay_ns / MS_NS)};
    s->ops.event(s->ops.self, &event);
}

static struct node *node_of(struct supervisor *s, actor_id actor)
{
    for (size_t i = 1; i < s->node_count; i++) {
        if (s->nodes[i].tree == NULL && s->nodes[i].spec->start == actor)
            return &s->nodes[i];
    }
    return NULL;
}

/* ---- stopping ---- */

static void doom(struct node *c)
{
    if (!is_alive(c))
        return;
    c->doomed = true;
    if (c->spec->restart == RESTART_TEMPORARY)
        c->want = false; /* a bystander that nobody brings back */
}

/* Begins the end of a supervisor: everything under it goes first. */
static void stop_supervisor(struct node *n, enum exit_reason reason)
{
    if (n->state == NODE_STOPPING)
        return;
    n->state = NODE_STOPPING;
    n->reason = reason;
    for (size_t i = 0; i < n->tree->child_count; i++)
        doom(&n->children[i]);
}

static void stop_child(struct supervisor *s, struct node *c)
{
    tell(s, c, SUPERVISION_STOPPING, EXIT_SHUTDOWN, "", 0);
    if (c->tree != NULL) {
        stop_supervisor(c, EXIT_SHUTDOWN);
        reconcile(s, c);
        return;
    }
    uint32_t bound_ms = c->spec->shutdown_ms == 0 ? SUPERVISOR_SHUTDOWN_MS : c->spec->shutdown_ms;
    c->state = NODE_STOPPING;
    c->deadline_ns = s->now_ns + bound_ms * MS_NS;
    s->ops.stop(s->ops.self, c->spec->start);
}

/* True while something doomed is still alive. */
static bool stop_doomed(struct supervisor *s, struct node *n)
{
    for (size_t i = n->tree->child_count; i-- > 0;) {
        struct node *c = &n->children[i];
        if (!c->doomed)
            continue;
        if (c->state == NODE_STARTING || c->state == NODE_RUNNING)
            stop_child(s, c); /* a supervisor without children is down when this returns */
        if (is_alive(c))
            return true;
        c->doomed = false;
    }
    return false;
}

static void supervisor_down(struct supervisor *s, struct node *n)
{
    n->state = NODE_DOWN;
    tell(s, n, SUPERVISION_EXITED, n->reason, n->start_failed ? "a child did not start" : "", 0);
    if (n->parent == NULL) {
        s->ended = true;
        return;
    }
    if (n->doomed)
        return; /* the parent is stopping it and looks next */
    child_ended(s, n, n->reason, n->start_failed);
}

/* ---- starting ---- */

static void start_child(struct supervisor *s, struct node *c)
{
    c->state = NODE_STARTING;
    tell(s, c, SUPERVISION_STARTING, EXIT_NORMAL, "", 0);
    if (c->tree == NULL) {
        uint32_t bound_ms = c->spec->start_ms == 0 ? SUPERVISOR_START_MS : c->spec->start_ms;
        c->deadline_ns = s->now_ns + bound_ms * MS_NS;
        s->ops.start(s->ops.self, c->spec->start);
        return;
    }
    c->start_failed = false;
    c->restart_count = 0;
    for (size_t i = 0; i < c->tree->child_count; i++) {
        struct node *child = &c->children[i];
        child->want = true;
        child->doomed = false;
        child->not_before_ns = 0;
        child->failures = 0;
        child->started_ns = 0;
    }
    reconcile(s, c);
}

/* True when all that is wanted runs. */
static bool start_wanted(struct supervisor *s, struct node *n)
{
    bool ordered = n->tree->strategy != STRATEGY_ONE_FOR_ONE || n->state == NODE_STARTING;
    bool all = true;
    for (size_t i = 0; i < n->tree->child_count; i++) {
        struct node *c = &n->children[i];
        if (!c->want)
            continue;
        if (c->state == NODE_DOWN && c->not_before_ns <= s->now_ns)
            start_child(s, c);
        if (n->state == NODE_STOPPING || n->state == NODE_DOWN)
            return false; /* the start failed at once */
        if (c->state == NODE_RUNNING)
            continue;
        all = false;
        if (ordered)
            return false;
    }
    return all;
}

static void reconcile(struct supervisor *s, struct node *n)
{
    if (n->state == NODE_DOWN || stop_doomed(s, n))
        return;
    if (n->state == NODE_STOPPING) {
        supervisor_down(s, n);
        if (n->parent != NULL)
            reconcile(s, n->parent);
        return;
    }
    if (!start_wanted(s, n) || n->state != NODE_STARTING)
        return;
    n->state = NODE_RUNNING;
    n->started_ns = s->now_ns;
    tell(s, n, SUPERVISION_STARTED, EXIT_NORMAL, "", 0);
    if (n->parent != NULL)
        reconcile(s, n->parent);
}

/* ---- failures ---- */

/* Counts a restart; false when there were more than intensity within the period. */
static bool count_restart(struct supervisor *s, struct node *n)
{
    uint64_t period_ns = n->tree->period_ms * MS_NS;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n->restart_count; i++) {
        if (s->now_ns - n->restarts[i] < period_ns)
            n->restarts[kept++] = n->restarts[i];
    }
    n->restarts[kept++] = s->now_ns;
    n->restart_count = kept;
    return kept <= n->tree->intensity;
}

static uint64_t backoff(struct supervisor *s, struct node *c, bool failed_start)
{
    if (c->started_ns != 0 && s->now_ns - c->started_ns >= SUPERVISOR_HEALTHY_MS * MS_NS)
        c->failures = 0;
    c->started_ns = 0;
    if (failed_start && c->failures == 0)
        c->failures = 1;
    uint32_t n = c->failures++;
    if (n == 0)
        return 0;
    uint64_t delay = SUPERVISOR_BACKOFF_FIRST_MS * MS_NS << MIN(n - 1, 16U);
    delay = MIN(delay, SUPERVISOR_BACKOFF_MAX_MS * MS_NS);
    return delay / 2 + s->ops.random(s->ops.self) % (delay / 2 + 1);
}

static void doom_by_strategy(struct node *p, const struct node *c)
{
    for (size_t i = 0; i < p->tree->child_count; i++) {
        struct node *other = &p->children[i];
        if (other != c &&
            (p->tree->strategy == STRATEGY_ONE_FOR_ALL || (p->tree->strategy == STRATEGY_REST_FOR_ONE && other > c)))
            doom(other);
    }
}

static void restart_child(struct supervisor *s, struct node *c, bool failed_start)
{
    struct node *p = c->parent;
    if (!count_restart(s, p)) {
        tell(s, p, SUPERVISION_ESCALATED, EXIT_FAILED, name_of(c), 0);
        s->escalated = s->escalated || p->parent == NULL;
        stop_supervisor(p, EXIT_FAILED);
        return;
    }
    uint64_t delay = backoff(s, c, failed_start);
    c->not_before_ns = s->now_ns + delay;
    tell(s, c, SUPERVISION_RESTARTING, EXIT_NORMAL, "", delay);
    doom_by_strategy(p, c);
}

/* A significant child has gone for good: does its supervisor go too? */
static bool shuts_down(const struct node *p, const struct node *c)
{
    if (!c->spec->significant || p->tree->auto_shutdown == AUTO_SHUTDOWN_NEVER)
        return false;
    if (p->tree->auto_shutdown == AUTO_SHUTDOWN_ANY_SIGNIFICANT)
        return true;
    for (size_t i = 0; i < p->tree->child_count; i++) {
        if (p->children[i].spec->significant && p->children[i].want)
            return false;
    }
    return true;
}

/* A child ended that nobody had asked to. The caller reconciles the parent. */
static void child_ended(struct supervisor *s, struct node *c, enum exit_reason reason, bool failed_start)
{
    struct node *p = c->parent;
    bool abnormal = failed_start || (reason != EXIT_NORMAL && reason != EXIT_SHUTDOWN);
    if (p->state == NODE_STOPPING)
        return;
    if (failed_start && p->state == NODE_STARTING) {
        p->start_failed = true;
        stop_supervisor(p, EXIT_FAILED);
    } else if (c->spec->restart == RESTART_PERMANENT || (c->spec->restart == RESTART_TRANSIENT && abnormal)) {
        restart_child(s, c, failed_start);
    } else {
        c->want = false;
        if (shuts_down(p, c))
            stop_supervisor(p, EXIT_SHUTDOWN);
    }
}

/* ---- events ---- */

static void set_now(struct supervisor *s, uint64_t now_ns)
{
    s->now_ns = MAX(s->now_ns, now_ns);
}

void supervisor_start(struct supervisor *s, uint64_t now_ns)
{
    set_now(s, now_ns);
    assert(s->nodes[0].state == NODE_DOWN && !s->ended);
    start_child(s, &s->nodes[0]);
}

void supervisor_stop(struct supervisor *s, uint64_t now_ns)
{
    set_now(s, now_ns);
    struct node *root = &s->nodes[0];
    if (root->state == NODE_DOWN || root->state == NODE_STOPPING)
        return;
    tell(s, root, SUPERVISION_STOPPING, EXIT_SHUTDOWN, "", 0);
    stop_supervisor(root, EXIT_SHUTDOWN);
    reconcile(s, root);
}

void supervisor_started(struct supervisor *s, uint64_t now_ns, actor_id actor, uint32_t epoch)
{
    set_now(s, now_ns);
    struct node *c = node_of(s, actor);
    if (c == NULL || c->state != NODE_STARTING)
        return;
    c->state = NODE_RUNNING;
    c->started_ns = s->now_ns;
    c->epoch = epoch;
    tell(s, c, SUPERVISION_STARTED, EXIT_NORMAL, "", 0);
    reconcile(s, c->parent);
}

void supervisor_start_failed(struct supervisor *s, uint64_t now_ns, actor_id actor, const char *text)
{
    set_now(s, now_ns);
    struct node *c = node_of(s, actor);
    if (c == NULL || (c->state != NODE_STARTING && c->state != NODE_STOPPING))
        return;
    bool expected = c->state == NODE_STOPPING;
    c->state = NODE_DOWN;
    c->killed = false;
    tell(s, c, SUPERVISION_START_FAILED, EXIT_FAILED, text, 0);
    if (!expected)
        child_ended(s, c, EXIT_FAILED, true);
    reconcile(s, c->parent);
}

void supervisor_exited(struct supervisor *s, uint64_t now_ns, actor_id actor, enum exit_reason reason, const char *text)
{
    set_now(s, now_ns);
    struct node *c = node_of(s, actor);
    if (c == NULL || !is_alive(c))
        return;
    bool expected = c->state == NODE_STOPPING;
    c->state = NODE_DOWN;
    c->killed = false;
    tell(s, c, SUPERVISION_EXITED, reason, text, 0);
    if (!expected)
        child_ended(s, c, reason, false);
    reconcile(s, c->parent);
}

/* Its thread is still there, so neither it nor its siblings can go on: the tree stops and the process must end. */
static void give_up_on(struct supervisor *s, struct node *c)
{
    tell(s, c, SUPERVISION_STUCK, EXIT_STUCK,
         c->state == NODE_STARTING ? "did not start in time" : "did not stop in time", 0);
    if (s->ops.kills && !c->killed) { /* its end is told like any other */
        c->killed = true;
        c->deadline_ns = s->now_ns + SUPERVISOR_KILL_MS * MS_NS;
        s->ops.kill(s->ops.self, c->spec->start);
        return;
    }
    c->state = NODE_STUCK;
    c->want = false;
    s->stuck = true;
    s->ops.kill(s->ops.self, c->spec->start);
    stop_supervisor(&s->nodes[0], EXIT_STUCK);
}

static bool is_late(const struct supervisor *s, const struct node *c)
{
    bool waits = c->state == NODE_STARTING || c->state == NODE_STOPPING || (c->state == NODE_RUNNING && c->killed);
    return c->tree == NULL && waits && c->deadline_ns <= s->now_ns;
}

void supervisor_tick(struct supervisor *s, uint64_t now_ns)
{
    set_now(s, now_ns);
    for (size_t i = 1; i < s->node_count; i++) {
        if (is_late(s, &s->nodes[i]))
            give_up_on(s, &s->nodes[i]);
    }
    /* Children before parents: the deepest lie last. */
    for (size_t i = s->node_count; i-- > 0;) {
        if (s->nodes[i].tree != NULL)
            reconcile(s, &s->nodes[i]);
    }
}

void supervisor_abandon(struct supervisor *s, uint64_t now_ns, actor_id actor)
{
    set_now(s, now_ns);
    struct node *c = node_of(s, actor);
    if (c == NULL || !is_alive(c))
        return;
    give_up_on(s, c);
    supervisor_tick(s, now_ns);
}

/* ---- queries ---- */

uint64_t supervisor_wake_at(const struct supervisor *s)
{
    uint64_t at = UINT64_MAX;
    for (size_t i = 1; i < s->node_count; i++) {
        const struct node *c = &s->nodes[i];
        if (c->tree == NULL && (c->state == NODE_STARTING || c->state == NODE_STOPPING || c->killed))
            at = MIN(at, c->deadline_ns);
        if (c->state == NODE_DOWN && c->want && c->not_before_ns > s->now_ns)
            at = MIN(at, c->not_before_ns);
    }
    return at;
}

enum supervisor_state supervisor_state(const struct supervisor *s)
{
    if (s->ended)
        return SUPERVISOR_ENDED;
    switch (s->nodes[0].state) {
    case NODE_RUNNING:
        return SUPERVISOR_RUNNING;
    case NODE_STOPPING:
        return SUPERVISOR_STOPPING;
    case NODE_DOWN:
    case NODE_STARTING:
    case NODE_STUCK:
        break;
    }
    return SUPERVISOR_STARTING;
}

enum supervisor_end supervisor_end(const struct supervisor *s)
{
    if (s->stuck)
        return SUPERVISOR_END_STUCK;
    if (s->nodes[0].start_failed)
        return SUPERVISOR_END_START_FAILED;
    return s->escalated ? SUPERVISOR_END_ESCALATED : SUPERVISOR_END_STOPPED;
}
