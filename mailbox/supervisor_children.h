/* SPDX-License-Identifier: MIT */
/*
 * The children of a running tree, one by one: who there is, in which state; stop, start, restart, add, delete.
 *
 * The words are OTP's (terminate_child, restart_child, start_child, delete_child, which_children, count_children), and so are the
 * answers. What differs, since nothing here waits: an order is taken, and what came of it is told as an event (SUPERVISION_STARTED,
 * _START_FAILED, _IGNORED, _STOPPED). Three rules go beyond OTP: one that was ordered to stop stays down also when its supervisor
 * restarts all others or is restarted itself, until it is ordered to start; one that waited behind it is started; and
 * supervisor_cycle_child restarts a child with those that its strategy takes along, at once and without counting it as a failure.
 *
 * An ordered start that fails is not tried again. A temporary child, and each under simple_one_for_one, vanishes with its end.
 * Children that are added are workers, SUPERVISOR_NODES_MAX bounds all, dynamic_max those of one supervisor.
 *
 * Everything answers in every state: while the tree starts, while a restart fails again and again, while it stops.
 */
#ifndef HEARTH_MAILBOX_SUPERVISOR_CHILDREN_H
#define HEARTH_MAILBOX_SUPERVISOR_CHILDREN_H

#include "mailbox/supervisor.h"

/* Names a child, or a supervisor, as long as it is there and no child is added to its supervisor. 0 is the root. */
typedef size_t child_index;
#define CHILD_NONE SIZE_MAX

enum child_answer {
    CHILD_OK,
    CHILD_NOT_FOUND,
    CHILD_IS_ROOT,          /* the root has no supervisor here: supervisor_stop ends it */
    CHILD_RUNNING,          /* restart_child, delete_child: it runs, starts or stops */
    CHILD_RESTARTING,       /* restart_child, delete_child: it is going to be started anyway */
    CHILD_ALREADY_STARTED,  /* start_child: its id or its actor runs */
    CHILD_ALREADY_PRESENT,  /* start_child: its id is there, stopped: restart_child */
    CHILD_NO_ROOM,          /* start_child: dynamic_max */
    CHILD_INVALID,          /* start_child: a broken specification */
    CHILD_SIMPLE,           /* not under simple_one_for_one */
    CHILD_SUPERVISOR_ENDED, /* its supervisor does not run */
    CHILD_ANSWER_COUNT
};

/* One sentence fragment: "it runs". */
const char *child_answer_text(enum child_answer answer);

enum child_state {
    CHILD_STATE_STARTING,
    CHILD_STATE_RUNNING,
    CHILD_STATE_STOPPING,
    CHILD_STATE_RESTARTING, /* it failed, and is tried again at next_start_ns */
    CHILD_STATE_WAITING,    /* for one before it, or for its supervisor */
    CHILD_STATE_STOPPED,    /* as ordered */
    CHILD_STATE_ENDED,      /* by itself, in peace, or its start said ignore */
    CHILD_STATE_STUCK,
    CHILD_STATE_COUNT
};
const char *child_state_name(enum child_state state);

struct child_info {
    const char *id;
    child_index index;
    child_index supervisor; /* CHILD_NONE for the root */
    uint32_t depth;
    enum child_state state;
    enum child_type type;
    enum restart restart;
    bool significant;
    bool dynamic;
    actor_id actor; /* 0 for supervisors */
    uint32_t epoch;
    uint64_t next_start_ns; /* CHILD_STATE_RESTARTING */
    /* of supervisors */
    enum strategy strategy;
    uint32_t intensity;
    uint32_t period_ms;
    uint32_t restarts; /* within the period that ends now */
};

/* ---- queries ---- */

/* By id, the root by its supervisor's name; the first in the tree's order. CHILD_NONE. */
child_index supervisor_find(const struct supervisor *s, const char *id);
child_index supervisor_find_actor(const struct supervisor *s, actor_id actor);
bool supervisor_child(const struct supervisor *s, child_index child, struct child_info *ret_info);
/* The tree in the order of starts, a supervisor before its children; begins with CHILD_NONE, ends with it. */
child_index supervisor_next(const struct supervisor *s, child_index child);
/* True when `child` is `above` or anywhere under it. */
bool supervisor_is_under(const struct supervisor *s, child_index child, child_index above);
/* True when it was ordered to stop, or one above it was, and not to start again. CHILD_NONE: false. */
bool supervisor_is_held(const struct supervisor *s, child_index child);

/* True when a restart of `child` ends `who` too: it is under it, or goes with it by the strategy. */
bool supervisor_restart_reaches(const struct supervisor *s, child_index child, child_index who);

struct child_counts {
    uint32_t specs;  /* under simple_one_for_one: 1 */
    uint32_t active; /* alive */
    uint32_t supervisors;
    uint32_t workers;
};
/* OTP's count_children, of one supervisor. All 0 for a worker. */
struct child_counts supervisor_count_children(const struct supervisor *s, child_index supervisor);

const char *strategy_name(enum strategy strategy);
const char *restart_name(enum restart restart);

/* ---- orders ---- */

/* Stops it and what is under it. Also one that is restarting: it is not tried again. Stopping what is down is CHILD_OK. */
enum child_answer supervisor_terminate_child(struct supervisor *s, uint64_t now_ns, child_index child);
/* Starts one that is down for good. */
enum child_answer supervisor_restart_child(struct supervisor *s, uint64_t now_ns, child_index child);
/* Restarts it, whatever its state. */
enum child_answer supervisor_cycle_child(struct supervisor *s, uint64_t now_ns, child_index child);
/* Forgets one that is down for good. The children of a specification come back when their supervisor restarts. */
enum child_answer supervisor_delete_child(struct supervisor *s, uint64_t now_ns, child_index child);
/*
 * Adds a worker behind all others and starts it. spec is copied, its id must live as long as the engine. Under simple_one_for_one spec
 * is NULL. ret_why may be NULL.
 */
enum child_answer supervisor_start_child(struct supervisor *s, uint64_t now_ns, child_index supervisor,
                                         const struct child_spec *spec, child_index *ret_child, char *ret_why,
                                         size_t why_bytes);

#endif
