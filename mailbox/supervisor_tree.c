/* SPDX-License-Identifier: MIT */
#include "mailbox/supervisor_tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"

/* Slots under a supervisor: its children, and those that may come. */
static size_t room_of(const struct supervisor_spec *tree)
{
    return tree->strategy == STRATEGY_SIMPLE_ONE_FOR_ONE ? tree->dynamic_max : tree->child_count + tree->dynamic_max;
}

static size_t count_nodes(const struct supervisor_spec *tree)
{
    size_t count = 1 + MIN(tree->dynamic_max, (size_t)SUPERVISOR_NODES_MAX);
    if (tree->strategy == STRATEGY_SIMPLE_ONE_FOR_ONE)
        return count;
    for (size_t i = 0; i < tree->child_count && count <= SUPERVISOR_NODES_MAX; i++)
        count += tree->children[i].type == CHILD_SUPERVISOR ? count_nodes(tree->children[i].tree) : 1;
    return count;
}

static void build(struct supervisor *s, struct node *n)
{
    n->present = true;
    n->children = &s->nodes[s->node_count];
    n->room = room_of(n->tree);
    s->node_count += n->room;
    for (size_t i = 0; i < n->room; i++) {
        struct node *c = &n->children[i];
        c->parent = n;
        c->dynamic = n->tree->strategy == STRATEGY_SIMPLE_ONE_FOR_ONE || i >= n->tree->child_count;
        if (c->dynamic)
            continue;
        c->spec = n->tree->children[i];
        c->present = true;
        c->tree = c->spec.type == CHILD_SUPERVISOR ? c->spec.tree : NULL;
        if (c->tree != NULL)
            build(s, c);
    }
}

/* ---- checks ---- */

PRINTF_LIKE(3, 4) static enum err broken(char *why, size_t why_bytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, why_bytes, fmt, args);
    va_end(args);
    return ERR_INVALID;
}

enum err child_spec_check(const struct supervisor_spec *tree, const struct child_spec *c, char *why, size_t why_bytes)
{
    if (c->id == NULL || c->id[0] == '\0')
        return broken(why, why_bytes, "%s: a child has no id", tree->name);
    if ((unsigned)c->type > CHILD_SUPERVISOR || (unsigned)c->restart > RESTART_TEMPORARY)
        return broken(why, why_bytes, "%s: child %s has no such type or restart", tree->name, c->id);
    if (c->type == CHILD_SUPERVISOR ? c->tree == NULL : c->start == 0)
        return broken(why, why_bytes, "%s: child %s has nothing to start", tree->name, c->id);
    if (!c->significant)
        return ERR_OK;
    if (tree->auto_shutdown == AUTO_SHUTDOWN_NEVER || c->restart == RESTART_PERMANENT)
        return broken(why, why_bytes, "%s: child %s cannot be significant", tree->name, c->id);
    return ERR_OK;
}

static enum err check_flags(const struct supervisor_spec *tree, char *why, size_t why_bytes)
{
    bool simple = tree->strategy == STRATEGY_SIMPLE_ONE_FOR_ONE;
    if ((unsigned)tree->strategy > STRATEGY_SIMPLE_ONE_FOR_ONE)
        return broken(why, why_bytes, "%s: no such strategy", tree->name);
    if (tree->period_ms == 0 || tree->intensity > SUPERVISOR_INTENSITY_MAX)
        return broken(why, why_bytes, "%s: no such intensity or period", tree->name);
    if ((unsigned)tree->auto_shutdown > AUTO_SHUTDOWN_ALL_SIGNIFICANT)
        return broken(why, why_bytes, "%s: no such auto_shutdown", tree->name);
    if (simple && (tree->child_count != 1 || tree->children[0].type != CHILD_WORKER || tree->dynamic_max == 0))
        return broken(why, why_bytes, "%s: simple_one_for_one has one worker as pattern, and room", tree->name);
    if (simple && tree->auto_shutdown != AUTO_SHUTDOWN_NEVER)
        return broken(why, why_bytes, "%s: simple_one_for_one has no auto_shutdown", tree->name);
    if (tree->dynamic_max > SUPERVISOR_NODES_MAX)
        return broken(why, why_bytes, "%s: the tree is too large", tree->name);
    return ERR_OK;
}

static bool has_id_before(const struct supervisor_spec *tree, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(tree->children[i].id, tree->children[index].id) == 0)
            return true;
    }
    return false;
}

static enum err check(const struct supervisor_spec *tree, int depth, char *why, size_t why_bytes)
{
    enum { DEPTH_MAX = 8 };
    if (depth == DEPTH_MAX)
        return broken(why, why_bytes, "%s: the tree is too deep", tree->name);
    enum err err = check_flags(tree, why, why_bytes);
    for (size_t i = 0; i < tree->child_count && err == ERR_OK; i++) {
        const struct child_spec *c = &tree->children[i];
        err = child_spec_check(tree, c, why, why_bytes);
        if (err == ERR_OK && has_id_before(tree, i))
            err = broken(why, why_bytes, "%s: two children are called %s", tree->name, c->id);
        if (err == ERR_OK && c->type == CHILD_SUPERVISOR)
            err = check(c->tree, depth + 1, why, why_bytes);
    }
    return err;
}

static enum err check_unique(const struct supervisor *s, char *why, size_t why_bytes)
{
    for (size_t i = 1; i < s->node_count; i++) {
        for (size_t j = 1; j < i; j++) {
            const struct node *a = &s->nodes[i];
            const struct node *b = &s->nodes[j];
            if (a->tree == NULL && b->tree == NULL && a->present && b->present && a->spec.start == b->spec.start)
                return broken(why, why_bytes, "%s and %s start the same actor", b->spec.id, a->spec.id);
        }
    }
    return ERR_OK;
}

enum err supervisor_new(const struct supervisor_spec *spec, const struct supervisor_ops *ops,
                        struct supervisor **ret_supervisor, char *ret_why, size_t why_bytes)
{
    enum err err = check(spec, 0, ret_why, why_bytes);
    if (err != ERR_OK)
        return err;
    size_t count = count_nodes(spec);
    if (count > SUPERVISOR_NODES_MAX)
        return broken(ret_why, why_bytes, "%s: the tree is too large", spec->name);
    struct supervisor *s = calloc(1, sizeof(*s));
    struct node *nodes = calloc(count, sizeof(*nodes));
    if (s == NULL || nodes == NULL) {
        free(s);
        free(nodes);
        return ERR_NOMEM;
    }
    *s = (struct supervisor){.ops = *ops, .nodes = nodes, .node_count = 1};
    nodes[0].tree = spec;
    nodes[0].spec = (struct child_spec){.id = spec->name, .type = CHILD_SUPERVISOR, .tree = spec};
    build(s, &nodes[0]);
    err = check_unique(s, ret_why, why_bytes);
    if (err != ERR_OK) {
        supervisor_free(s);
        return err;
    }
    *ret_supervisor = s;
    return ERR_OK;
}

void supervisor_unbound(struct supervisor *s)
{
    s->unbounded = true;
}

void supervisor_set_intensity(struct supervisor *s, uint32_t intensity)
{
    s->intensity = MIN(intensity, (uint32_t)SUPERVISOR_INTENSITY_MAX);
}

void supervisor_free(struct supervisor *s)
{
    if (s == NULL)
        return;
    free(s->nodes);
    free(s);
}

const char *supervision_kind_name(enum supervision_kind kind)
{
    static const char *const names[] = {"starting", "started",   "start failed", "exited",  "restarting", "stopping",
                                        "stuck",    "escalated", "slow",         "stopped", "ignored"};
    return (unsigned)kind < ARRAY_LEN(names) ? names[kind] : "unknown";
}

const char *exit_reason_name(enum exit_reason reason)
{
    static const char *const names[] = {"normal", "shutdown", "failed", "stuck", "killed"};
    return (unsigned)reason < ARRAY_LEN(names) ? names[reason] : "unknown";
}

/* ---- queries ---- */

uint64_t supervisor_wake_at(const struct supervisor *s)
{
    uint64_t at = UINT64_MAX;
    for (size_t i = 1; i < s->node_count; i++) {
        const struct node *c = &s->nodes[i];
        if (node_has_deadline(c))
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
