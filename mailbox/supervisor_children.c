/* SPDX-License-Identifier: MIT */
#include "mailbox/supervisor_children.h"

#include <string.h>

#include "base/attr.h"
#include "mailbox/supervisor_tree.h"

static struct node *node_at(struct supervisor *s, child_index child)
{
    return child < s->node_count && s->nodes[child].present ? &s->nodes[child] : NULL;
}

static child_index index_of(const struct supervisor *s, const struct node *n)
{
    return (child_index)(n - s->nodes);
}

static bool is_simple(const struct node *supervisor)
{
    return supervisor->tree->strategy == STRATEGY_SIMPLE_ONE_FOR_ONE;
}

/* ---- queries ---- */

/* The next in the tree's order; NULL at its end. */
static const struct node *next_node(const struct node *n)
{
    if (n->tree != NULL && n->present && n->room > 0)
        return n->children;
    while (n->parent != NULL && n + 1 == n->parent->children + n->parent->room)
        n = n->parent;
    return n->parent == NULL ? NULL : n + 1;
}

child_index supervisor_next(const struct supervisor *s, child_index child)
{
    const struct node *n = child == CHILD_NONE ? s->nodes : next_node(&s->nodes[child]);
    while (n != NULL && !n->present)
        n = next_node(n);
    return n == NULL ? CHILD_NONE : index_of(s, n);
}

child_index supervisor_find(const struct supervisor *s, const char *id)
{
    child_index i = supervisor_next(s, CHILD_NONE);
    while (i != CHILD_NONE && strcmp(s->nodes[i].spec.id, id) != 0)
        i = supervisor_next(s, i);
    return i;
}

child_index supervisor_find_actor(const struct supervisor *s, actor_id actor)
{
    for (child_index i = 1; i < s->node_count; i++) {
        if (s->nodes[i].present && s->nodes[i].tree == NULL && s->nodes[i].spec.start == actor)
            return i;
    }
    return CHILD_NONE;
}

bool supervisor_is_under(const struct supervisor *s, child_index child, child_index above)
{
    const struct node *n = child < s->node_count ? &s->nodes[child] : NULL;
    while (n != NULL && index_of(s, n) != above)
        n = n->parent;
    return n != NULL;
}

bool supervisor_is_held(const struct supervisor *s, child_index child)
{
    const struct node *n = child < s->node_count ? &s->nodes[child] : NULL;
    while (n != NULL && !n->held)
        n = n->parent;
    return n != NULL;
}

bool supervisor_restart_reaches(const struct supervisor *s, child_index child, child_index who)
{
    if (supervisor_is_under(s, who, child))
        return true;
    const struct node *c = child < s->node_count ? &s->nodes[child] : NULL;
    if (c == NULL || c->parent == NULL)
        return false;
    for (size_t i = 0; i < c->parent->room; i++) {
        const struct node *other = &c->parent->children[i];
        if (node_goes_with(c->parent, c, other) && supervisor_is_under(s, who, index_of(s, other)))
            return true;
    }
    return false;
}

static bool supervisor_runs(const struct node *supervisor)
{
    return supervisor->state == NODE_RUNNING || supervisor->state == NODE_STARTING;
}

static enum child_state state_of(const struct supervisor *s, const struct node *n)
{
    switch (n->state) {
    case NODE_STARTING:
        return CHILD_STATE_STARTING;
    case NODE_RUNNING:
        return CHILD_STATE_RUNNING;
    case NODE_STOPPING:
        return CHILD_STATE_STOPPING;
    case NODE_STUCK:
        return CHILD_STATE_STUCK;
    case NODE_DOWN:
        break;
    }
    if (n->held)
        return CHILD_STATE_STOPPED;
    if (!n->want && n->parent != NULL)
        return CHILD_STATE_ENDED;
    bool fails = n->parent != NULL && supervisor_runs(n->parent) && n->not_before_ns > s->now_ns;
    return fails ? CHILD_STATE_RESTARTING : CHILD_STATE_WAITING;
}

static uint32_t depth_of(const struct node *n)
{
    uint32_t depth = 0;
    for (; n->parent != NULL; n = n->parent)
        depth++;
    return depth;
}

static uint32_t recent_restarts(const struct supervisor *s, const struct node *n)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->restart_count; i++)
        count += s->now_ns - n->restarts[i] < n->tree->period_ms * MS_NS;
    return count;
}

bool supervisor_child(const struct supervisor *s, child_index child, struct child_info *ret_info)
{
    if (child >= s->node_count || !s->nodes[child].present)
        return false;
    const struct node *n = &s->nodes[child];
    *ret_info = (struct child_info){.id = n->spec.id,
                                    .index = child,
                                    .supervisor = n->parent == NULL ? CHILD_NONE : index_of(s, n->parent),
                                    .depth = depth_of(n),
                                    .state = state_of(s, n),
                                    .type = n->spec.type,
                                    .restart = n->spec.restart,
                                    .significant = n->spec.significant,
                                    .dynamic = n->dynamic,
                                    .actor = n->tree == NULL ? n->spec.start : 0,
                                    .epoch = n->epoch,
                                    .next_start_ns = n->not_before_ns};
    if (n->tree == NULL)
        return true;
    ret_info->strategy = n->tree->strategy;
    ret_info->intensity = n->tree->intensity;
    ret_info->period_ms = n->tree->period_ms;
    ret_info->restarts = recent_restarts(s, n);
    return true;
}

struct child_counts supervisor_count_children(const struct supervisor *s, child_index supervisor)
{
    struct child_counts counts = {0};
    const struct node *n = supervisor < s->node_count ? &s->nodes[supervisor] : NULL;
    if (n == NULL || n->tree == NULL)
        return counts;
    for (size_t i = 0; i < n->room; i++) {
        const struct node *c = &n->children[i];
        if (!c->present)
            continue;
        counts.specs++;
        counts.active += node_is_alive(c);
        counts.supervisors += c->tree != NULL;
        counts.workers += c->tree == NULL;
    }
    if (is_simple(n))
        counts.specs = 1;
    return counts;
}

/* ---- orders ---- */

enum child_answer supervisor_terminate_child(struct supervisor *s, uint64_t now_ns, child_index child)
{
    supervisor_set_now(s, now_ns);
    struct node *c = node_at(s, child);
    if (c == NULL)
        return CHILD_NOT_FOUND;
    if (c->parent == NULL)
        return CHILD_IS_ROOT;
    bool news = !c->held;
    c->held = true;
    c->want = c->asked = false;
    c->not_before_ns = 0;
    c->failures = 0;
    if (node_is_alive(c)) {
        node_doom(c);
    } else if (news) {
        node_tell(s, c, SUPERVISION_STOPPED, EXIT_SHUTDOWN, "", 0);
        node_settle(c);
    }
    node_reconcile(s, c->parent);
    return CHILD_OK;
}

/* It was held or has ended; where its supervisor is down itself, it comes with it. */
static void start_again(struct supervisor *s, struct node *c)
{
    c->held = false;
    c->want = true;
    c->asked = supervisor_runs(c->parent);
    c->not_before_ns = 0;
    c->failures = 0;
    node_reconcile(s, c->parent);
}

/* The supervisor or one above it was stopped, or has ended, for good. */
static bool never_comes(const struct node *supervisor)
{
    const struct node *n = supervisor;
    while (n->parent != NULL && (node_is_alive(n) || n->want))
        n = n->parent;
    return n->parent != NULL || !supervisor_runs(n);
}

enum child_answer supervisor_restart_child(struct supervisor *s, uint64_t now_ns, child_index child)
{
    supervisor_set_now(s, now_ns);
    struct node *c = node_at(s, child);
    if (c == NULL)
        return CHILD_NOT_FOUND;
    if (c->parent == NULL)
        return CHILD_IS_ROOT;
    if (is_simple(c->parent))
        return CHILD_SIMPLE;
    if (never_comes(c->parent))
        return CHILD_SUPERVISOR_ENDED;
    if (node_is_alive(c) && !c->held)
        return c->doomed ? CHILD_RESTARTING : CHILD_RUNNING;
    if (c->want)
        return CHILD_RESTARTING;
    start_again(s, c);
    return CHILD_OK;
}

enum child_answer supervisor_cycle_child(struct supervisor *s, uint64_t now_ns, child_index child)
{
    supervisor_set_now(s, now_ns);
    struct node *c = node_at(s, child);
    if (c == NULL)
        return CHILD_NOT_FOUND;
    if (c->parent == NULL)
        return CHILD_IS_ROOT;
    if (never_comes(c->parent))
        return CHILD_SUPERVISOR_ENDED;
    if (!node_is_alive(c) && !c->want) {
        start_again(s, c);
        return CHILD_OK;
    }
    node_tell(s, c, SUPERVISION_RESTARTING, EXIT_SHUTDOWN, "as ordered", 0);
    if (c->state == NODE_RUNNING && supervisor_runs(c->parent))
        node_doom_others(c->parent, c);
    node_doom(c);
    c->held = false;
    c->want = true;
    c->not_before_ns = 0;
    c->failures = 0;
    node_reconcile(s, c->parent);
    return CHILD_OK;
}

enum child_answer supervisor_delete_child(struct supervisor *s, uint64_t now_ns, child_index child)
{
    supervisor_set_now(s, now_ns);
    struct node *c = node_at(s, child);
    if (c == NULL)
        return CHILD_NOT_FOUND;
    if (c->parent == NULL)
        return CHILD_IS_ROOT;
    if (is_simple(c->parent))
        return CHILD_SIMPLE;
    if (node_is_alive(c) || c->state == NODE_STUCK)
        return CHILD_RUNNING;
    if (c->want)
        return CHILD_RESTARTING;
    node_forget(c);
    return CHILD_OK;
}

/* Its id under this supervisor, or its actor anywhere. */
static enum child_answer check_new(const struct supervisor *s, const struct node *p, const struct child_spec *spec)
{
    for (size_t i = 0; i < p->room && !is_simple(p); i++) {
        const struct node *c = &p->children[i];
        if (c->present && strcmp(c->spec.id, spec->id) == 0)
            return node_is_alive(c) ? CHILD_ALREADY_STARTED : CHILD_ALREADY_PRESENT;
    }
    return supervisor_find_actor(s, spec->start) == CHILD_NONE ? CHILD_OK : CHILD_ALREADY_STARTED;
}

/* Moves those that were added to the front of their room, so that the last slot is the last child. NULL when all are taken. */
static struct node *free_slot(struct node *p)
{
    size_t first = is_simple(p) ? 0 : p->tree->child_count;
    size_t kept = first;
    for (size_t i = first; i < p->room; i++) {
        struct node *c = &p->children[i];
        if (!c->present && !node_is_alive(c) && c->state != NODE_STUCK)
            continue;
        if (i != kept) {
            p->children[kept] = *c; /* a worker: nobody points to it */
            *c = (struct node){.parent = p, .dynamic = true};
        }
        kept++;
    }
    return kept < p->room ? &p->children[kept] : NULL;
}

/* The pattern, with the first of its actors that nobody has. */
static struct child_spec from_pattern(const struct supervisor *s, const struct node *p)
{
    struct child_spec spec = p->tree->children[0];
    while (supervisor_find_actor(s, spec.start) != CHILD_NONE)
        spec.start++;
    return spec;
}

enum child_answer supervisor_start_child(struct supervisor *s, uint64_t now_ns, child_index supervisor,
                                         const struct child_spec *spec, child_index *ret_child, char *ret_why,
                                         size_t why_bytes)
{
    supervisor_set_now(s, now_ns);
    struct node *p = node_at(s, supervisor);
    if (p == NULL || p->tree == NULL)
        return CHILD_NOT_FOUND;
    if (!supervisor_runs(p))
        return CHILD_SUPERVISOR_ENDED;
    if ((spec == NULL) != is_simple(p))
        return spec == NULL ? CHILD_INVALID : CHILD_SIMPLE;
    if (spec != NULL && (spec->type != CHILD_WORKER || child_spec_check(p->tree, spec, ret_why, why_bytes) != ERR_OK))
        return CHILD_INVALID;
    enum child_answer answer = spec == NULL ? CHILD_OK : check_new(s, p, spec);
    if (answer != CHILD_OK)
        return answer;
    struct node *c = free_slot(p);
    if (c == NULL)
        return CHILD_NO_ROOM;
    *c =
        (struct node){.spec = spec == NULL ? from_pattern(s, p) : *spec, .parent = p, .dynamic = true, .present = true};
    *ret_child = index_of(s, c);
    start_again(s, c);
    return CHILD_OK;
}

/* ---- names ---- */

const char *child_answer_text(enum child_answer answer)
{
    static const char *const texts[] = {"ok",
                                        "there is no such actor",
                                        "the root can only be stopped with the whole",
                                        "it runs",
                                        "it is being restarted",
                                        "it has been started already",
                                        "it is there already, stopped",
                                        "there is no room for another child",
                                        "its specification is broken",
                                        "its supervisor is simple_one_for_one",
                                        "its supervisor does not run"};
    return (unsigned)answer < ARRAY_LEN(texts) ? texts[answer] : "unknown";
}

const char *child_state_name(enum child_state state)
{
    static const char *const names[] = {"starting", "running", "stopping", "restarting",
                                        "waiting",  "stopped", "ended",    "stuck"};
    return (unsigned)state < ARRAY_LEN(names) ? names[state] : "unknown";
}

const char *strategy_name(enum strategy strategy)
{
    static const char *const names[] = {"one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"};
    return (unsigned)strategy < ARRAY_LEN(names) ? names[strategy] : "unknown";
}

const char *restart_name(enum restart restart)
{
    static const char *const names[] = {"permanent", "transient", "temporary"};
    return (unsigned)restart < ARRAY_LEN(names) ? names[restart] : "unknown";
}
