/* SPDX-License-Identifier: MIT */
/*
 * The supervision tree in memory: an array of nodes, the children of one supervisor next to each other. Private to the engine:
 * supervisor_tree.c checks a specification and builds it, supervisor.c brings it to life.
 */
#ifndef HEARTH_MAILBOX_SUPERVISOR_TREE_H
#define HEARTH_MAILBOX_SUPERVISOR_TREE_H

#include "mailbox/supervisor.h"

enum node_state { NODE_DOWN, NODE_STARTING, NODE_RUNNING, NODE_STOPPING, NODE_STUCK };

struct node {
    const struct child_spec *spec;      /* NULL for the root */
    const struct supervisor_spec *tree; /* NULL for workers */
    struct node *parent;
    struct node *children; /* child_count of tree, next to each other */
    enum node_state state;
    bool want;              /* is to run */
    bool doomed;            /* its supervisor stops it */
    bool killed;            /* its bound has passed and it was killed */
    uint64_t deadline_ns;   /* of a worker's start or stop */
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
    bool ended;
};

#endif
