/* SPDX-License-Identifier: MIT */
#include "mailbox/supervisor_tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/attr.h"

static size_t count_nodes(const struct supervisor_spec *tree)
{
    size_t count = 1;
    for (size_t i = 0; i < tree->child_count && count <= SUPERVISOR_NODES_MAX; i++)
        count += tree->children[i].type == CHILD_SUPERVISOR ? count_nodes(tree->children[i].tree) : 1;
    return count;
}

static struct node *build(struct supervisor *s, struct node *n)
{
    n->children = &s->nodes[s->node_count];
    s->node_count += n->tree->child_count;
    for (size_t i = 0; i < n->tree->child_count; i++) {
        struct node *c = &n->children[i];
        c->spec = &n->tree->children[i];
        c->parent = n;
        c->tree = c->spec->type == CHILD_SUPERVISOR ? c->spec->tree : NULL;
        if (c->tree != NULL)
            (void)build(s, c);
    }
    return n;
}

PRINTF_LIKE(3, 4) static enum err broken(char *why, size_t why_bytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, why_bytes, fmt, args);
    va_end(args);
    return ERR_INVALID;
}

static enum err check_child(const struct supervisor_spec *tree, const struct child_spec *c, char *why, size_t why_bytes)
{
    if (c->type == CHILD_SUPERVISOR ? c->tree == NULL : c->start == 0)
        return broken(why, why_bytes, "%s: child %s has nothing to start", tree->name, c->id);
    if (!c->significant)
        return ERR_OK;
    if (tree->auto_shutdown == AUTO_SHUTDOWN_NEVER || c->restart == RESTART_PERMANENT)
        return broken(why, why_bytes, "%s: child %s cannot be significant", tree->name, c->id);
    return ERR_OK;
}

static enum err check(const struct supervisor_spec *tree, int depth, char *why, size_t why_bytes)
{
    enum { DEPTH_MAX = 8 };
    if (depth == DEPTH_MAX)
        return broken(why, why_bytes, "%s: the tree is too deep", tree->name);
    if (tree->period_ms == 0 || tree->intensity > SUPERVISOR_INTENSITY_MAX)
        return broken(why, why_bytes, "%s: no such intensity or period", tree->name);
    enum err err = ERR_OK;
    for (size_t i = 0; i < tree->child_count && err == ERR_OK; i++) {
        const struct child_spec *c = &tree->children[i];
        err = check_child(tree, c, why, why_bytes);
        if (err == ERR_OK && c->type == CHILD_SUPERVISOR)
            err = check(c->tree, depth + 1, why, why_bytes);
    }
    return err;
}

static enum err check_unique(const struct supervisor *s, char *why, size_t why_bytes)
{
    for (size_t i = 0; i < s->node_count; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct node *a = &s->nodes[i];
            const struct node *b = &s->nodes[j];
            if (a->tree == NULL && b->tree == NULL && a->spec->start == b->spec->start)
                return broken(why, why_bytes, "%s and %s start the same actor", b->spec->id, a->spec->id);
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
    (void)build(s, &nodes[0]);
    err = check_unique(s, ret_why, why_bytes);
    if (err != ERR_OK) {
        supervisor_free(s);
        return err;
    }
    *ret_supervisor = s;
    return ERR_OK;
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
    static const char *const names[] = {"starting", "started", "start failed", "exited", "restarting",
                                        "stopping", "stuck",   "escalated",    "slow"};
    return (unsigned)kind < ARRAY_LEN(names) ? names[kind] : "unknown";
}

const char *exit_reason_name(enum exit_reason reason)
{
    static const char *const names[] = {"normal", "shutdown", "failed", "stuck", "killed"};
    return (unsigned)reason < ARRAY_LEN(names) ? names[reason] : "unknown";
}
