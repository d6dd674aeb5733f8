/* SPDX-License-Identifier: MIT */
/*
 * The runtime: a tree of actors brought up from data, kept alive, and taken down again.
 *
 *      runtime_start --> root (an actor that drives the supervisors) --> actors, one thread each (inproc) or one slot each (sim)
 *
 * Everything that the actors share is owned here and opened before the first of them runs: mailboxes and edges, job lanes, the
 * table of who may call whom. It is closed after the last has ended, since closing a socket under a running actor is not safe.
 *
 * Threads: start, wait, stop and free belong to the thread that started it; request_stop, stats and the log level to any thread.
 */
#ifndef HEARTH_MAILBOX_RUNTIME_H
#define HEARTH_MAILBOX_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "mailbox/actor.h"
#include "mailbox/ports.h"
#include "mailbox/supervisor.h"
#include "schemas/schema.h"

struct backend;
struct crash_memory;
struct runtime;

enum {
    RUNTIME_ACTORS_MAX = 63, /* without root, which is 0 */
    RUNTIME_LANES_MAX = 8,
    RUNTIME_STACK_BYTES = 1024 * 1024,
    WATCHDOG_SLOW_MS = 5000,
    WATCHDOG_STUCK_MS = 30000,
    WATCHDOG_LATE_MS = 500, /* so late is the watchdog on a busy machine; when it is later, nobody ran */
};

/* One row of the call table: `from` may call `to`, which may be root (0). Casts are free to go anywhere, but only these pairs have a socket of their own. */
struct edge_spec {
    actor_id from;
    actor_id to;
};

/* Workers for blocking work, shared by all actors with PORT_JOBS. */
struct lane_spec {
    const char *name;
    uint32_t workers;
    uint32_t queue; /* jobs waiting at most */
};

typedef void log_fn(void *arg, enum log_level level, const char *actor, const char *text);

/* Called on root's thread for each supervision event. root may be used for ctx_cast, so that the event reaches an actor. */
typedef void event_fn(void *arg, struct ctx *root, const struct supervision_event *event);

/* All pointers are borrowed until runtime_free. */
struct runtime_config {
    const char *name;              /* of the node, for thread and endpoint names; NULL = "hearth" */
    const struct backend *backend; /* NULL = backend_inproc */
    void *backend_arg;             /* sim: the struct sim */

    const struct actor_class *const *classes; /* by actor_id; [0] is NULL */
    size_t class_count;                       /* [0] included */
    const struct supervisor_spec *tree;
    const struct edge_spec *edges;
    size_t edge_count;
    const struct lane_spec *lanes;
    size_t lane_count;
    const struct schema_set *schemas;

    const struct config *config;            /* handed to each init */
    struct budget *budget;                  /* NULL: mailboxes are bounded by their own limits only */
    const struct disk_port *disk;           /* for PORT_DISK */
    const struct dns_port *dns;             /* for PORT_DNS */
    const struct http_port *http;           /* for PORT_HTTP; NULL: there is none */
    const struct loop_port *loop;           /* for PORT_NET: each such actor opens its own loop */
    const struct multicast_port *multicast; /* for PORT_MULTICAST; NULL: there is none */

    log_fn *log; /* any thread; NULL = silent */
    void *log_arg;
    enum log_level log_level;
    event_fn *event; /* may be NULL */
    void *event_arg;
    const struct crash_memory
        *crash;              /* what this life leaves behind, and what is known of earlier ones; NULL: neither */
    uint32_t slow_ms;        /* 0 = WATCHDOG_SLOW_MS */
    uint32_t stuck_ms;       /* 0 = WATCHDOG_STUCK_MS */
    bool chaos;              /* the chaos switch (mailbox/chaos.h) may be used */
    uint32_t intensity;      /* for tests: of each supervisor, whatever the tree says; 0 = as it says */
    bool unbounded_restarts; /* for tests: neither intensity nor backoff, whatever the tree says */
};

/* How a runtime ended; also the process's exit code, by which the nanny decides. */
enum runtime_exit {
    RUNTIME_EXIT_OK = 0,
    RUNTIME_EXIT_START_FAILED = 1, /* the nanny does not try again: the first start fails for a reason that stays */
    RUNTIME_EXIT_ESCALATED = 70,
    RUNTIME_EXIT_STUCK = 71, /* threads are left: only the process's end helps */
};

/*
 * Opens everything, starts the tree and waits until each child has acknowledged. On an error all is taken down again and ret_why
 * has one sentence that names the child and its own words. ERR_INVALID: the configuration contradicts itself.
 */
enum err runtime_start(const struct runtime_config *config, struct runtime **ret_runtime, char *ret_why,
                       size_t why_bytes) MUST_CHECK;

/* Waits until the tree has ended by itself or by runtime_request_stop; false after timeout_ns. Does not free. */
bool runtime_wait(struct runtime *rt, uint64_t timeout_ns, enum runtime_exit *ret_exit);

/* Asks root to stop the tree; returns at once. Any thread, not signal handlers. */
void runtime_request_stop(struct runtime *rt);

/*
 * Stops the tree in reverse order within timeout_ns, then closes and frees all. When a thread is stuck, nothing is closed or freed
 * (it may still use it) and RUNTIME_EXIT_STUCK is returned: the process must end.
 */
enum runtime_exit runtime_stop(struct runtime **rt, uint64_t timeout_ns);

/*
 * Waits until done(arg) is true, which is looked at after each step (sim) or each runtime_notify and at least each 10 ms
 * (inproc). False after timeout_ns, virtual time in sim.
 */
bool runtime_await(struct runtime *rt, bool (*done)(void *arg), void *arg, uint64_t timeout_ns);

/* Makes runtime_await look. Any thread. */
void runtime_notify(struct runtime *rt);

void runtime_set_log_level(struct runtime *rt, enum log_level level);

/* What happened to messages that went wrong, summed over all actors. */
struct runtime_stats {
    uint64_t calls;
    uint64_t casts;
    uint64_t batches;
    uint64_t busy;    /* refused for want of room */
    uint64_t expired; /* requests dropped unprocessed, past their deadline */
    uint64_t stale;   /* addressed to a life that had ended */
    uint64_t late;    /* replies without a call waiting */
    uint64_t dropped; /* casts to dead actors, drop_oldest */
    uint64_t jobs_abandoned;
    uint64_t poison; /* dropped, since they were being handled at two crashes in a row */
};
void runtime_stats(const struct runtime *rt, struct runtime_stats *ret_stats);
size_t runtime_actor_count(const struct runtime *rt);
/* By index: without messages and all that follows it. */
bool runtime_actor_stats(const struct runtime *rt, size_t index, struct actor_stats *ret_stats);
bool runtime_actor_stats_of(const struct runtime *rt, actor_id id, struct actor_stats *ret_stats); /* root is 0 */

#endif
