/* SPDX-License-Identifier: MIT */
/*
 * Supervision: a tree written as data, and the engine that keeps it alive.
 *
 * The words and rules are OTP's. Children start in order, each acknowledged before the next; they stop in reverse order, each
 * within its bound. When a child ends, its restart type says whether it comes back, the supervisor's strategy says who goes with
 * it. More than `intensity` restarts within `period_ms` (monotonic) end the supervisor itself, which is then its parent's child
 * that failed; at the root it is an exit code for the nanny. Beyond OTP: the first restart is immediate, later ones back off from
 * 100 ms to 30 s with jitter until a life has lasted 10 s, and nothing here ever waits, so a child whose start hangs does not keep
 * its siblings from being looked after.
 *
 * The engine has no thread, clock or I/O of its own: events and the time go in, orders come out through struct supervisor_ops. The
 * root actor drives it, tests drive it by hand. What can be asked of and ordered about single children is in
 * supervisor_children.h; it answers in every state.
 */
#ifndef HEARTH_MAILBOX_SUPERVISOR_H
#define HEARTH_MAILBOX_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "mailbox/actor.h"

enum {
    SUPERVISOR_START_MS = 10000,   /* a start not acknowledged by then has failed */
    SUPERVISOR_SHUTDOWN_MS = 5000, /* a child that has not stopped by then is stuck */
    SUPERVISOR_KILL_MS = 5000,     /* one that was killed and has not ended by then is, too */
    SUPERVISOR_BACKOFF_FIRST_MS = 100,
    SUPERVISOR_BACKOFF_MAX_MS = 30000,
    SUPERVISOR_HEALTHY_MS = 10000,
    SUPERVISOR_INTENSITY_MAX = 64,
    SUPERVISOR_NODES_MAX = 128,
};

/* Beside a number of ms, of child_spec.shutdown_ms. Brutal is at once, where the carrier can kill; else as SUPERVISOR_SHUTDOWN_MS. */
#define SUPERVISOR_SHUTDOWN_BRUTAL   UINT32_MAX
#define SUPERVISOR_SHUTDOWN_INFINITY (UINT32_MAX - 1)

enum strategy { STRATEGY_ONE_FOR_ONE, STRATEGY_ONE_FOR_ALL, STRATEGY_REST_FOR_ONE, STRATEGY_SIMPLE_ONE_FOR_ONE };
enum restart { RESTART_PERMANENT, RESTART_TRANSIENT, RESTART_TEMPORARY };
enum child_type { CHILD_WORKER, CHILD_SUPERVISOR };
enum auto_shutdown { AUTO_SHUTDOWN_NEVER, AUTO_SHUTDOWN_ANY_SIGNIFICANT, AUTO_SHUTDOWN_ALL_SIGNIFICANT };

struct supervisor_spec;

struct child_spec {
    const char *id;
    enum child_type type;
    actor_id start;                     /* CHILD_WORKER */
    const struct supervisor_spec *tree; /* CHILD_SUPERVISOR */
    enum restart restart;
    bool significant;     /* only transient and temporary children, under a supervisor with auto_shutdown */
    uint32_t shutdown_ms; /* 0 = SUPERVISOR_SHUTDOWN_MS; supervisors: not bounded of themselves */
    uint32_t start_ms;    /* 0 = SUPERVISOR_START_MS */
};

struct supervisor_spec {
    const char *name;
    enum strategy strategy;
    uint32_t intensity; /* at most SUPERVISOR_INTENSITY_MAX; 0 = the first failure escalates */
    uint32_t period_ms; /* must not be 0 */
    enum auto_shutdown auto_shutdown;
    const struct child_spec *children;
    size_t child_count;
    /* So many workers can be added later (supervisor_start_child). Under simple_one_for_one, whose one child is the pattern of
     * all and is not started by itself: so many at once, the actors from the pattern's start on. */
    uint32_t dynamic_max;
};

/* What happened, for the log, the events table and tests. */
enum supervision_kind {
    SUPERVISION_STARTING,
    SUPERVISION_STARTED,
    SUPERVISION_START_FAILED,
    SUPERVISION_EXITED,
    SUPERVISION_RESTARTING, /* delay_ms says when */
    SUPERVISION_STOPPING,
    SUPERVISION_STUCK,
    SUPERVISION_ESCALATED, /* a supervisor passed its intensity */
    SUPERVISION_SLOW,      /* the watchdog: a turn takes more than 5 s */
    SUPERVISION_STOPPED,   /* as ordered: it stays down until it is ordered to start */
    SUPERVISION_IGNORED,   /* its start said that there is nothing to run */
    SUPERVISION_KIND_COUNT
};

struct supervision_event {
    enum supervision_kind kind;
    const char *child; /* id of the child, or name of the supervisor */
    bool is_supervisor;
    actor_id actor; /* 0 for supervisors */
    uint32_t epoch;
    enum exit_reason reason;
    const char *text; /* why, in the actor's own words; "" when there are none. Borrowed */
    uint32_t delay_ms;
};

/* Short lower-case words for events and actors rows: "restarting", "failed". */
const char *supervision_kind_name(enum supervision_kind kind);
const char *exit_reason_name(enum exit_reason reason);

/* ---- the engine ---- */

struct supervisor;

/* Orders of the engine. None may call back into the engine. */
struct supervisor_ops {
    void *self;
    void (*start)(void *self, actor_id actor);
    void (*stop)(void *self, actor_id actor);
    void (*kill)(void *self, actor_id actor,
                 enum exit_reason reason); /* stuck: its bound has passed; killed: as ordered */
    bool kills; /* kill ends it, and its end is told as any other (a process); else its carrier stays (a thread) */
    void (*event)(void *self, const struct supervision_event *event);
    uint64_t (*random)(void *self);
};

enum supervisor_state { SUPERVISOR_STARTING, SUPERVISOR_RUNNING, SUPERVISOR_STOPPING, SUPERVISOR_ENDED };

/* How the tree ended. */
enum supervisor_end {
    SUPERVISOR_END_STOPPED,      /* asked to, or auto_shutdown */
    SUPERVISOR_END_START_FAILED, /* the first start did not succeed */
    SUPERVISOR_END_ESCALATED,    /* the root's intensity was passed */
    SUPERVISOR_END_STUCK,        /* a child did not stop within its bound: its thread is still there */
};

/* Copies nothing: spec must live as long. ERR_INVALID names a broken spec in ret_why; ERR_NOMEM. */
enum err supervisor_new(const struct supervisor_spec *spec, const struct supervisor_ops *ops,
                        struct supervisor **ret_supervisor, char *ret_why, size_t why_bytes) MUST_CHECK;
void supervisor_free(struct supervisor *s);

/* For tests that make actors fail all the time: no number of restarts is too many, and only failed starts wait, SUPERVISOR_BACKOFF_FIRST_MS. */
void supervisor_unbound(struct supervisor *s);
/* For tests too: the intensity of each supervisor, whatever the specification says. */
void supervisor_set_intensity(struct supervisor *s, uint32_t intensity);

/* Events. now_ns is monotonic and never goes back. Those of an unknown or unexpected actor are ignored. */
void supervisor_start(struct supervisor *s, uint64_t now_ns);
void supervisor_stop(struct supervisor *s, uint64_t now_ns);
void supervisor_started(struct supervisor *s, uint64_t now_ns, actor_id actor, uint32_t epoch);
void supervisor_start_failed(struct supervisor *s, uint64_t now_ns, actor_id actor, const char *text);
/* Its start says ignore: it is not there, which is no failure. Nobody starts it again by himself, but a restart of its supervisor does. */
void supervisor_ignored(struct supervisor *s, uint64_t now_ns, actor_id actor, const char *text);
/* During its start it is a start that failed. */
void supervisor_exited(struct supervisor *s, uint64_t now_ns, actor_id actor, enum exit_reason reason,
                       const char *text);
void supervisor_tick(struct supervisor *s, uint64_t now_ns);
/* The watchdog saw that it does not turn any more: as if it had not stopped in time. */
void supervisor_abandon(struct supervisor *s, uint64_t now_ns, actor_id actor);

/* When supervisor_tick is due; UINT64_MAX = never. */
uint64_t supervisor_wake_at(const struct supervisor *s);
enum supervisor_state supervisor_state(const struct supervisor *s);
enum supervisor_end supervisor_end(const struct supervisor *s); /* valid in SUPERVISOR_ENDED */

#endif
