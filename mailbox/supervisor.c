/* SPDX-License-Identifier: MIT */
/*
 * The tree is an array of nodes. Every event changes the state of one node and then reconciles its supervisor: stop, from the
 * last to the first and one at a time, what is doomed; then start, from the first on, what is wanted and down. A strategy only
 * says whom a failure dooms; order, acknowledgement and bounds follow from reconciling, also when failures overlap.
 */
#include "mailbox/supervisor.h"

#include <assert.h>

#include "base/attr.h"
#include "mailbox/supervisor_tree.h"

static void child_ended(struct supervisor *s, struct node *c, enum exit_reason reason, bool failed_start);

/* ---- small facts ---- */

void node_tell(struct supervisor *s, const struct node *n, enum supervision_kind kind, enum exit_reason reason,
               const char *text, uint64_t delay_ns)
{
    struct supervision_event event = {.kind = kind,
                                      .child = n->spec.id,
                                      .is_supervisor = n->tree != NULL,
                                      .actor = n->tree != NULL ? 0 : n->spec.start,
                                      .epoch = n->epoch,
                                      .reason = reason,
                                      .text = text,
                                      .delay_ms = (uint32_t)(delay_ns / MS_NS)};
    s->ops.event(s->ops.self, &event);
}

static struct node *node_of(struct supervisor *s, actor_id actor)
{
    for (size_t i = 1; i < s->node_count; i++) {
        if (s->nodes[i].tree == NULL && s->nodes[i].present && s->nodes[i].spec.start == actor)
            return &s->nodes[i];
    }
    return NULL;
}

/* ---- stopping ---- */

static bool is_simple(const struct node *n)
{
    return n->tree->strategy == STRATEGY_SIMPLE_ONE_FOR_ONE;
}

void node_doom(struct node *c)
{
    if (!node_is_alive(c))
        return;
    c->doomed = true;
    if (c->spec.restart == RESTART_TEMPORARY)
        c->want = false; /* a bystander that nobody brings back */
}

void node_forget(struct node *c)
{
    c->present = c->held = c->want = false;
    for (size_t i = 0; c->tree != NULL && i < c->room; i++)
        node_forget(&c->children[i]);
}

void node_settle(struct node *c)
{
    if (c->spec.restart == RESTART_TEMPORARY || is_simple(c->parent))
        node_forget(c);
}

/* Begins the end of a supervisor: everything under it goes first. */
static void stop_supervisor(struct node *n, enum exit_reason reason)
{
    if (n->state == NODE_STOPPING)
        return;
    n->state = NODE_STOPPING;
    n->reason = reason;
    for (size_t i = 0; i < n->room; i++)
        node_doom(&n->children[i]);
}

static uint64_t stop_deadline(const struct supervisor *s, const struct node *c)
{
    uint32_t ms = c->spec.shutdown_ms;
    if (ms == SUPERVISOR_SHUTDOWN_INFINITY)
        return UINT64_MAX;
    return s->now_ns + (ms == 0 || ms == SUPERVISOR_SHUTDOWN_BRUTAL ? SUPERVISOR_SHUTDOWN_MS : ms) * MS_NS;
}

static void kill_child(struct supervisor *s, struct node *c, enum exit_reason reason)
{
    c->killed = true;
    c->deadline_ns = s->now_ns + SUPERVISOR_KILL_MS * MS_NS;
    s->ops.kill(s->ops.self, c->spec.start, reason);
}

static void stop_child(struct supervisor *s, struct node *c)
{
    node_tell(s, c, SUPERVISION_STOPPING, EXIT_SHUTDOWN, "", 0);
    if (c->tree != NULL) {
        stop_supervisor(c, EXIT_SHUTDOWN);
        node_reconcile(s, c);
        return;
    }
    c->state = NODE_STOPPING;
    if (c->killed)
        return; /* its end is due anyway */
    if (c->spec.shutdown_ms == SUPERVISOR_SHUTDOWN_BRUTAL && s->ops.kills) {
        kill_child(s, c, EXIT_KILLED);
        return;
    }
    c->deadline_ns = stop_deadline(s, c);
    s->ops.stop(s->ops.self, c->spec.start);
}

/* It was doomed and is down. */
static void stopped(struct supervisor *s, struct node *c)
{
    c->doomed = false;
    if (c->held)
        node_tell(s, c, SUPERVISION_STOPPED, EXIT_SHUTDOWN, "", 0);
    if (!c->want)
        node_settle(c);
}

/* True while something doomed is still alive. */
static bool stop_doomed(struct supervisor *s, struct node *n)
{
    for (size_t i = n->room; i-- > 0;) {
        struct node *c = &n->children[i];
        if (!c->doomed)
            continue;
        if (c->state == NODE_STARTING || c->state == NODE_RUNNING)
            stop_child(
                s, c); /* a supervisor without children is down when this returns, and then this one was reconciled */
        if (node_is_alive(c))
            return true;
        if (c->doomed)
            stopped(s, c);
    }
    return false;
}

static void supervisor_down(struct supervisor *s, struct node *n)
{
    n->state = NODE_DOWN;
    for (size_t i = 0; i < n->room; i++) {
        if (n->children[i].dynamic)
            node_forget(&n->children[i]);
    }
    node_tell(s, n, SUPERVISION_EXITED, n->reason, n->start_failed ? "a child did not start" : "", 0);
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
    node_tell(s, c, SUPERVISION_STARTING, EXIT_NORMAL, "", 0);
    if (c->tree == NULL) {
        uint32_t bound_ms = c->spec.start_ms == 0 ? SUPERVISOR_START_MS : c->spec.start_ms;
        c->deadline_ns = s->now_ns + bound_ms * MS_NS;
        s->ops.start(s->ops.self, c->spec.start);
        return;
    }
    c->start_failed = false;
    c->restart_count = 0;
    for (size_t i = 0; i < c->room; i++) {
        struct node *child = &c->children[i];
        child->present = !child->dynamic;
        child->want = child->present && !child->held;
        child->asked = false;
        child->doomed = false;
        child->not_before_ns = 0;
        child->failures = 0;
        child->started_ns = 0;
    }
    node_reconcile(s, c);
}

/* True when all that is wanted runs. */
static bool start_wanted(struct supervisor *s, struct node *n)
{
    bool each_alone = n->tree->strategy == STRATEGY_ONE_FOR_ONE || is_simple(n);
    bool ordered = !each_alone || n->state == NODE_STARTING;
    bool all = true;
    for (size_t i = 0; i < n->room; i++) {
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

void node_reconcile(struct supervisor *s, struct node *n)
{
    if (n->state == NODE_DOWN || stop_doomed(s, n) || n->state == NODE_DOWN)
        return;
    if (n->state == NODE_STOPPING) {
        supervisor_down(s, n);
        if (n->parent != NULL)
            node_reconcile(s, n->parent);
        return;
    }
    if (!start_wanted(s, n) || n->state != NODE_STARTING)
        return;
    n->state = NODE_RUNNING;
    n->started_ns = s->now_ns;
    n->asked = false;
    node_tell(s, n, SUPERVISION_STARTED, EXIT_NORMAL, "", 0);
    if (n->parent != NULL)
        node_reconcile(s, n->parent);
}

/* ---- failures ---- */

/* Counts a restart; false when there were more than intensity within the period. */
static bool count_restart(struct supervisor *s, struct node *n)
{
    if (s->unbounded)
        return true;
    uint64_t period_ns = n->tree->period_ms * MS_NS;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n->restart_count; i++) {
        if (s->now_ns - n->restarts[i] < period_ns)
            n->restarts[kept++] = n->restarts[i];
    }
    n->restarts[kept++] = s->now_ns;
    n->restart_count = kept;
    return kept <= (s->intensity != 0 ? s->intensity : n->tree->intensity);
}

static uint64_t backoff(struct supervisor *s, struct node *c, bool failed_start)
{
    if (s->unbounded)
        return failed_start ? SUPERVISOR_BACKOFF_FIRST_MS * MS_NS : 0;
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

bool node_goes_with(const struct node *p, const struct node *c, const struct node *other)
{
    return other != c && other->present &&
           (p->tree->strategy == STRATEGY_ONE_FOR_ALL || (p->tree->strategy == STRATEGY_REST_FOR_ONE && other > c));
}

void node_doom_others(struct node *p, const struct node *c)
{
    for (size_t i = 0; i < p->room; i++) {
        struct node *other = &p->children[i];
        if (!node_goes_with(p, c, other))
            continue;
        node_doom(other);
        /* Also one that had ended in peace begins anew; one that was ordered to stop does not. */
        if (other->spec.restart != RESTART_TEMPORARY)
            other->want = !other->held;
    }
}

static void restart_child(struct supervisor *s, struct node *c, bool failed_start)
{
    struct node *p = c->parent;
    if (!count_restart(s, p)) {
        node_tell(s, p, SUPERVISION_ESCALATED, EXIT_FAILED, c->spec.id, 0);
        s->escalated = s->escalated || p->parent == NULL;
        stop_supervisor(p, EXIT_FAILED);
        return;
    }
    uint64_t delay = backoff(s, c, failed_start);
    c->not_before_ns = s->now_ns + delay;
    node_tell(s, c, SUPERVISION_RESTARTING, EXIT_NORMAL, "", delay);
    node_doom_others(p, c);
}

/* A significant child has gone for good: does its supervisor go too? */
static bool shuts_down(const struct node *p, const struct node *c)
{
    if (!c->spec.significant || p->tree->auto_shutdown == AUTO_SHUTDOWN_NEVER)
        return false;
    if (p->tree->auto_shutdown == AUTO_SHUTDOWN_ANY_SIGNIFICANT)
        return true;
    for (size_t i = 0; i < p->room; i++) {
        const struct node *other = &p->children[i];
        if (other->present && other->spec.significant && other->want)
            return false;
    }
    return true;
}

/* A start that was ordered failed: whoever ordered it hears of it, and it stays down; one that was to be added is not. */
static void refuse_start(struct node *c)
{
    c->asked = false;
    c->want = false;
    c->held = true;
    if (c->dynamic)
        node_forget(c);
}

/* A child ended that nobody had asked to. The caller reconciles the parent. */
static void child_ended(struct supervisor *s, struct node *c, enum exit_reason reason, bool failed_start)
{
    struct node *p = c->parent;
    bool abnormal = failed_start || (reason != EXIT_NORMAL && reason != EXIT_SHUTDOWN);
    if (p->state == NODE_STOPPING || c->held)
        return;
    if (failed_start && c->asked) {
        refuse_start(c);
    } else if (failed_start && p->state == NODE_STARTING) {
        p->start_failed = true;
        stop_supervisor(p, EXIT_FAILED);
    } else if (c->spec.restart == RESTART_PERMANENT || (c->spec.restart == RESTART_TRANSIENT && abnormal)) {
        restart_child(s, c, failed_start);
    } else {
        c->want = false;
        node_settle(c);
        if (shuts_down(p, c))
            stop_supervisor(p, EXIT_SHUTDOWN);
    }
}

/* ---- events ---- */

void supervisor_set_now(struct supervisor *s, uint64_t now_ns)
{
    s->now_ns = MAX(s->now_ns, now_ns);
}

void supervisor_start(struct supervisor *s, uint64_t now_ns)
{
    supervisor_set_now(s, now_ns);
    assert(s->nodes[0].state == NODE_DOWN && !s->ended);
    start_child(s, &s->nodes[0]);
}

void supervisor_stop(struct supervisor *s, uint64_t now_ns)
{
    supervisor_set_now(s, now_ns);
    struct node *root = &s->nodes[0];
    if (root->state == NODE_DOWN || root->state == NODE_STOPPING)
        return;
    node_tell(s, root, SUPERVISION_STOPPING, EXIT_SHUTDOWN, "", 0);
    stop_supervisor(root, EXIT_SHUTDOWN);
    node_reconcile(s, root);
}

void supervisor_started(struct supervisor *s, uint64_t now_ns, actor_id actor, uint32_t epoch)
{
    supervisor_set_now(s, now_ns);
    struct node *c = node_of(s, actor);
    if (c == NULL || c->state != NODE_STARTING)
        return;
    c->state = NODE_RUNNING;
    c->started_ns = s->now_ns;
    c->epoch = epoch;
    c->asked = false;
    node_tell(s, c, SUPERVISION_STARTED, EXIT_NORMAL, "", 0);
    node_reconcile(s, c->parent);
}

/* A worker is down; the caller says why, then ended() does the rest. True when it had been told to. */
static bool take_down(struct node *c)
{
    bool expected = c->state == NODE_STOPPING;
    c->state = NODE_DOWN;
    c->killed = false;
    return expected;
}

void supervisor_start_failed(struct supervisor *s, uint64_t now_ns, actor_id actor, const char *text)
{
    supervisor_set_now(s, now_ns);
    struct node *c = node_of(s, actor);
    if (c == NULL || (c->state != NODE_STARTING && c->state != NODE_STOPPING))
        return;
    bool expected = take_down(c);
    node_tell(s, c, SUPERVISION_START_FAILED, EXIT_FAILED, text, 0);
    if (!expected)
        child_ended(s, c, EXIT_FAILED, true);
    node_reconcile(s, c->parent);
}

void supervisor_ignored(struct supervisor *s, uint64_t now_ns, actor_id actor, const char *text)
{
    supervisor_set_now(s, now_ns);
    struct node *c = node_of(s, actor);
    if (c == NULL || (c->state != NODE_STARTING && c->state != NODE_STOPPING))
        return;
    (void)take_down(c);
    c->want = c->want && c->doomed; /* its sibling's failure has it tried again */
    c->asked = false;
    node_tell(s, c, SUPERVISION_IGNORED, EXIT_NORMAL, text, 0);
    if (!c->want)
        node_settle(c);
    node_reconcile(s, c->parent);
}

void supervisor_exited(struct supervisor *s, uint64_t now_ns, actor_id actor, enum exit_reason reason, const char *text)
{
    supervisor_set_now(s, now_ns);
    struct node *c = node_of(s, actor);
    if (c == NULL || !node_is_alive(c))
        return;
    bool failed_start = c->state == NODE_STARTING;
    bool expected = take_down(c);
    node_tell(s, c, failed_start ? SUPERVISION_START_FAILED : SUPERVISION_EXITED, reason, text, 0);
    if (!expected)
        child_ended(s, c, reason, failed_start);
    node_reconcile(s, c->parent);
}

/*
 * A process is killed, and what follows is what follows each end. A thread is still there, so neither it nor its siblings can go on:
 * the tree stops and the process must end.
 */
static void give_up_on(struct supervisor *s, struct node *c)
{
    bool can_kill = s->ops.kills && !c->killed;
    node_tell(s, c, SUPERVISION_STUCK, EXIT_STUCK,
              c->killed                   ? "did not end when killed"
              : c->state == NODE_STARTING ? "did not start in time"
              : c->state == NODE_STOPPING ? "did not stop in time"
                                          : "does not turn any more",
              0);
    if (can_kill) {
        kill_child(s, c, EXIT_STUCK);
        return;
    }
    if (!c->killed)
        s->ops.kill(s->ops.self, c->spec.start, EXIT_STUCK);
    c->state = NODE_STUCK;
    c->want = false;
    s->stuck = true;
    stop_supervisor(&s->nodes[0], EXIT_STUCK);
}

void supervisor_tick(struct supervisor *s, uint64_t now_ns)
{
    supervisor_set_now(s, now_ns);
    for (size_t i = 1; i < s->node_count; i++) {
        if (node_has_deadline(&s->nodes[i]) && s->nodes[i].deadline_ns <= s->now_ns)
            give_up_on(s, &s->nodes[i]);
    }
    /* Children before parents: the deepest lie last. */
    for (size_t i = s->node_count; i-- > 0;) {
        if (s->nodes[i].tree != NULL)
            node_reconcile(s, &s->nodes[i]);
    }
}

void supervisor_abandon(struct supervisor *s, uint64_t now_ns, actor_id actor)
{
    supervisor_set_now(s, now_ns);
    struct node *c = node_of(s, actor);
    if (c == NULL || !node_is_alive(c) || c->killed)
        return;
    give_up_on(s, c);
    supervisor_tick(s, now_ns);
}
