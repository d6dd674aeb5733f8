/* SPDX-License-Identifier: MIT */
/*
 * The supervision tree in memory: an array of nodes, the children of one supervisor next to each other, with room behind them for
 * those that are added later. Private to the engine: supervisor_tree.c checks a specification and builds it, supervisor.c brings it
 * to life, supervisor_children.c answers about single children and changes them.
 */
#ifndef HEARTH_MAILBOX_SUPERVISOR_TREE_H
#define HEARTH_MAILBOX_SUPERVISOR_TREE_H

#include "mailbox/supervisor.h"

enum node_state { NODE_DOWN, NODE_STARTING, NODE_RUNNING, NODE_STOPPING, NODE_STUCK };

struct node {
    struct child_spec spec;             /* a copy; the root has its name and nothing else */
    const struct supervisor_spec *tree; /* NULL for workers */
    struct node *parent;
    struct node *children; /* room of them, next to each other */
    size_t room;
    enum node_state state;
    bool present; /* else the slot is free, or its child is gone: then nothing wants or dooms it */
    bool dynamic; /* added later: it ends with this life of its supervisor */
    bool want;    /* is to run */
    bool doomed;  /* its supervisor stops it */
    bool held;    /* ordered to stop: down until it is ordered to start */
    bool asked;   /* its start was ordered: when it fails, that is the answer and not a failure to be tried again */
    bool killed;  /* its end is due */
    uint64_t deadline_ns;   /* of a worker's start, stop or kill */
    uint64_t not_before_ns; /* backoff */
    uint64_t started_ns;    /* 0 = not in this row of failures */
    uint32_t failures;      /* in a row */
    uint32_t epoch;
    /* of supervisors */
    bool start_failed;                               /* why it stops */
    enum exit_reason reason;                         /* of its end */
    uint64_t restarts[SUPERVISOR_INTENSITY_MAX + 1]; /* times of the last */
    uint32_t restart_count;
};

struct supervisor {
    struct supervisor_ops ops;
    struct node *nodes; /* [0] is the root */
    size_t node_count;
    uint64_t now_ns;
    bool stuck;
    bool escalated;
    bool unbounded;
    uint32_t intensity; /* of all; 0 = as each says */
    bool ended;
};

/* ---- supervisor_tree.c ---- */

/* A child's specification under this supervisor, by itself. */
enum err child_spec_check(const struct supervisor_spec *tree, const struct child_spec *spec, char *ret_why,
                          size_t why_bytes);

/* ---- supervisor.c ---- */

static inline bool node_is_alive(const struct node *n)
{
    return n->state == NODE_STARTING || n->state == NODE_RUNNING || n->state == NODE_STOPPING;
}

/* A worker that must have started, stopped or died by deadline_ns. */
static inline bool node_has_deadline(const struct node *n)
{
    return n->tree == NULL && (n->state == NODE_STARTING || n->state == NODE_STOPPING || n->killed);
}

void node_tell(struct supervisor *s, const struct node *n, enum supervision_kind kind, enum exit_reason reason,
               const char *text, uint64_t delay_ns);
void node_doom(struct node *n);
/* By the supervisor's strategy, when the child restarts. */
bool node_goes_with(const struct node *supervisor, const struct node *child, const struct node *other);
/* Dooms those that go with a child by its supervisor's strategy. */
void node_doom_others(struct node *supervisor, const struct node *child);
/* The child, and those under it, are not there any more. */
void node_forget(struct node *n);
/* It is down for good: a temporary one, and one of a simple_one_for_one supervisor, vanishes. */
void node_settle(struct node *n);
/* Does what the states of a supervisor's children ask for. */
void node_reconcile(struct supervisor *s, struct node *supervisor);
void supervisor_set_now(struct supervisor *s, uint64_t now_ns);

#endif
