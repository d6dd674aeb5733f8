/* SPDX-License-Identifier: MIT */
/*
 * The actor contract: what an actor is to the runtime and what the runtime is to an actor.
 *
 * An actor is a struct of its own, handlers, and a ctx. It runs on one thread at a time (inproc: its own; sim: the scheduler's), so
 * its state needs no lock. Nothing here blocks: a call's answer comes later as an info with the caller's tag. Time, randomness,
 * timers, jobs, network and disk reach it only through ctx, which is why one source runs on every backend.
 *
 * Messages are declared once in schemas/: fields points to the message's struct (struct msg_<name>), packed by the runtime when
 * sent, unpacked and validated by the runtime before a handler sees it. Spans inside received fields, and the tail, are borrowed
 * for the duration of the handler; block_ref_ref() keeps a tail longer.
 */
#ifndef HEARTH_MAILBOX_ACTOR_H
#define HEARTH_MAILBOX_ACTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/err.h"
#include "mailbox/crash_page.h"
#include "mailbox/ports.h"

struct account;
struct budget;
struct config;
struct crash_history;
struct ctx;
struct runtime;

/* An index into the runtime's tree of actors; the production tree numbers them in actors/tree.h. 0 is nobody. */
typedef uint16_t actor_id;

/* The text of an INFO_REPLY with ERR_UNAVAILABLE when the callee's life ended, which its next life may mend. */
#define WENT_DOWN_TEXT "it went down"

enum { CALLS_IN_FLIGHT_MAX = 1024, REPLY_BYTES_DEFAULT = 4096 };

/* How a life of an actor ended, as its supervisor, the events table and terminate() see it. */
enum exit_reason {
    EXIT_NORMAL,   /* done; a transient child is not restarted */
    EXIT_SHUTDOWN, /* asked to by its supervisor */
    EXIT_FAILED,   /* cannot go on */
    EXIT_STUCK,    /* did not stop or did not turn within its bound */
    EXIT_KILLED,   /* ended from outside */
    EXIT_REASON_COUNT
};

/* A message to be sent: kind is one of schemas/, fields points to its struct msg_<name>; tail is borrowed (a reference is taken). */
struct msg {
    uint16_t kind;
    const void *fields;
    struct block_ref *tail;
    /* Set on received messages only: */
    actor_id from;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC of the backend; UINT64_MAX = none */
    uint32_t trace;
};

/* Names one call to be answered; a plain value that may be kept across turns. Two are the same call when reply_same() says so. */
struct reply_to {
    uint64_t correlation;
    uint64_t deadline_ns; /* of the call: what is asked on its behalf inherits it */
    uint32_t epoch;       /* the caller's life */
    uint32_t trace;
    uint32_t bytes_max; /* what the caller has reserved for the reply */
    actor_id from;
};

static inline bool reply_same(const struct reply_to *a, const struct reply_to *b)
{
    return a->correlation == b->correlation && a->epoch == b->epoch && a->from == b->from;
}

struct call_opts {
    uint64_t
        timeout_ns; /* from now; the inherited deadline still bounds it. 0 = what is left of it, 30 s if there is none */
    uint32_t reply_bytes_max; /* reserved in the caller's mailbox; 0 = REPLY_BYTES_DEFAULT */
    const struct reply_to
        *scope; /* the call on whose behalf this one is made: its cancel cancels this one; NULL = none */
};

enum info_kind {
    INFO_REPLY, /* the end of a call: tag, err, on ERR_OK msg. Also ERR_TIMEOUT, ERR_CANCELLED, ERR_UNAVAILABLE, ERR_BUSY… */
    INFO_CANCEL, /* the caller of `call` gave up or its deadline passed: undo. It may be a call that was answered or never seen */
    INFO_TIMER,     /* tag */
    INFO_DOWN,      /* a monitored actor ended: actor, reason */
    INFO_UP,        /* a monitored actor runs (again): actor */
    INFO_JOB,       /* a job ended: tag, err, arg (owned by the receiver again) */
    INFO_ROOM,      /* there is room again in the mailbox of `actor`, which had refused with ERR_BUSY */
    INFO_NET,       /* net: an event of the actor's net port */
    INFO_WATCH,     /* a watched descriptor is readable: tag */
    INFO_MULTICAST, /* datagram: one that came to the group */
};

struct info {
    enum info_kind kind;
    uint64_t tag;
    enum err err;
    const struct msg *msg;       /* INFO_REPLY with ERR_OK */
    const char *text;            /* INFO_REPLY with an error: what the callee said, may be empty, never NULL */
    struct reply_to call;        /* INFO_CANCEL */
    actor_id actor;              /* INFO_DOWN, INFO_UP, INFO_ROOM */
    enum exit_reason reason;     /* INFO_DOWN */
    void *arg;                   /* INFO_JOB */
    const struct net_event *net; /* INFO_NET */
    const struct multicast_datagram *datagram; /* INFO_MULTICAST */
};

enum actor_ports {
    PORT_NET = 1,
    PORT_JOBS = 2,
    PORT_DNS = 4,
    PORT_DISK = 8,
    PORT_WATCH = 16,
    PORT_MULTICAST = 32,
    PORT_HTTP = 64
};

struct actor_class {
    const char *name;
    size_t state_bytes;       /* zeroed before init */
    uint32_t ports;           /* enum actor_ports */
    uint32_t mailbox_records; /* 0 = 4096 */
    uint32_t mailbox_bytes;   /* 0 = 1 MiB */
    /* Returning ERR_OK acknowledges the start; an error is a failed start with the text of ctx_fail(). May cast, set timers, watch,
     * monitor and start jobs; may not call, and may block only for its own files. */
    enum err (*init)(struct ctx *, void *state, const struct config *config);
    /* ERR_OK: a reply was or will be sent. An error is sent as the reply. */
    enum err (*handle_call)(struct ctx *, void *state, const struct msg *, struct reply_to);
    void (*handle_cast)(struct ctx *, void *state, const struct msg *);
    void (*handle_info)(struct ctx *, void *state, const struct info *);
    /* Releases everything; jobs still running free their own. Called once per life, also after a failed init. */
    void (*terminate)(struct ctx *, void *state, enum exit_reason reason);
};

/* ---- time and randomness ---- */
uint64_t ctx_now(const struct ctx *);      /* monotonic ns; constant within one handler */
uint64_t ctx_real_now(const struct ctx *); /* ns since the epoch */
void ctx_random(struct ctx *, void *to, size_t len);

/* ---- messages ---- */
actor_id ctx_self(const struct ctx *);

/*
 * Asks. The answer, an error or the timeout comes as one INFO_REPLY with tag, always, unless this returns an error: ERR_BUSY (the
 * callee's mailbox is full: INFO_ROOM follows; or CALLS_IN_FLIGHT_MAX), ERR_UNAVAILABLE (it is down), ERR_TOO_LARGE, ERR_TIMEOUT
 * (the inherited deadline has passed). Inside handle_call the deadline of that call is inherited; elsewhere opts bound it.
 */
enum err ctx_call(struct ctx *, actor_id to, const struct msg *, struct call_opts opts, uint64_t tag) MUST_CHECK;

/* Tells. ERR_BUSY and INFO_ROOM as above; a cast to a dead actor is dropped and counted, which is ERR_OK. */
enum err ctx_cast(struct ctx *, actor_id to, const struct msg *);

/* Answers, now or in a later turn, once. Never refused: the caller reserved the room (a reply over it becomes ERR_TOO_LARGE). */
void ctx_reply(struct ctx *, struct reply_to, const struct msg *);
void ctx_reply_err(struct ctx *, struct reply_to, enum err err, const char *fmt, ...) PRINTF_LIKE(4, 5);

/*
 * In handle_call: what this turn does from here on is not on behalf of the call, so that neither its deadline nor its cancel reaches what others
 * wait for too.
 */
void ctx_detach(struct ctx *);

/* Cancels a call of this actor by its tag: no INFO_REPLY follows, the callee hears INFO_CANCEL. */
void ctx_cancel_call(struct ctx *, uint64_t tag);

/* ---- requests and their traces ---- */
/*
 * A request from outside, which no message brought, becomes a scope: what is asked on its behalf (call_opts.scope, or in this handler) carries
 * its trace, and by the scope its deadline. trace: what the user named, 0 = that of the call being handled, or else a new one. operation
 * and, at its end, code are numbers of the actor's own. One end for each begin.
 */
void ctx_request_begin(struct ctx *, uint32_t trace, uint16_t operation, uint64_t deadline_ns,
                       struct reply_to *ret_scope);
void ctx_request_end(struct ctx *, const struct reply_to *scope, uint8_t code);

/*
 * From here on to the end of the handler, or the next time, what is asked is shown in the trace of the call: for what is done in a later turn, and
 * without its deadline or cancel reaching it. NULL: in none.
 */
void ctx_caused_by(struct ctx *, const struct reply_to *call);

enum trace_what { TRACE_REQUEST, TRACE_CALL, TRACE_CAST, TRACE_JOB };

/* A row of a trace. Times are of ctx_now; 0: not yet, or overwritten. */
struct trace_hop {
    enum trace_what what;
    uint16_t depth; /* of rows in front, the last with one less caused it */
    uint16_t kind;  /* of the message; the operation of a request; the number of a job's lane */
    actor_id from;
    actor_id to;
    uint64_t sent_ns;
    uint64_t received_ns; /* its handler, or the job, began */
    uint64_t handled_ns;  /* and returned */
    uint64_t ended_ns;    /* the caller had its answer, or gave up */
    uint64_t deadline_ns; /* 0: of a cast or job */
    bool ended;
    bool dropped; /* it was not handled: too late, or given up before */
    uint8_t err;  /* enum err; the code of a request */
};

enum { TRACE_ROWS_MAX = 2048 };

/*
 * What is known of a trace, in the order of a tree; returns how many rows, at most max and TRACE_ROWS_MAX. ret_whole: nothing of it was overwritten
 * and all fit. The last hops of all requests are kept, so 0 rows may be one of long ago. Takes some milliseconds.
 */
size_t ctx_trace_read(struct ctx *, uint32_t trace, struct trace_hop *ret_rows, size_t max, bool *ret_whole);
/* The last trace that a request without one was given. */
uint32_t ctx_trace_last(const struct ctx *);
/* "" for what is not there. */
const char *ctx_actor_name(const struct ctx *, actor_id id);
const char *ctx_lane_name(const struct ctx *, uint16_t lane);

/* The time left of a deadline in ns, 0 when passed. */
uint64_t ctx_left(const struct ctx *, uint64_t deadline_ns);

/* ---- timers, monitors, jobs ---- */
/* One INFO_TIMER with tag at the time. Returns an id for ctx_timer_cancel, never 0. At most 4,096 timers (aborts: programmer error). */
uint64_t ctx_timer(struct ctx *, uint64_t at_ns, uint64_t tag);
void ctx_timer_cancel(struct ctx *, uint64_t id); /* an id that fired is ignored */

/*
 * INFO_DOWN and INFO_UP for the actor from now on, over its restarts; an INFO_UP follows at once when it runs already. Both come before
 * anything that the actor says in its next life.
 */
enum err ctx_monitor(struct ctx *, actor_id who);

/* What runs on a worker thread. Returns the job's result; must look at *cancelled between long steps. */
typedef enum err job_fn(void *arg, const _Atomic bool *cancelled);

/*
 * Runs fn(arg) on a worker of the lane (one of the runtime's table of lanes, by name). One INFO_JOB follows. ERR_BUSY when the lane's
 * queue is full. If this life ends first, *cancelled is set and the runtime calls free_fn(arg) once fn is done, or without running
 * it when it had not begun.
 */
enum err ctx_job(struct ctx *, const char *lane, job_fn *fn, void *arg, void (*free_fn)(void *arg),
                 uint64_t tag) MUST_CHECK;

/* Sets *cancelled for the job with tag; its INFO_JOB follows all the same. */
void ctx_job_cancel(struct ctx *, uint64_t tag);

/* ---- what the actor was given ---- */
const struct net_port *ctx_net(struct ctx *);   /* PORT_NET */
const struct disk_port *ctx_disk(struct ctx *); /* PORT_DISK: for jobs */
const struct dns_port *ctx_dns(struct ctx *);   /* PORT_DNS: for jobs; NULL when the runtime was given none */
const struct http_port *ctx_http(struct ctx *); /* PORT_HTTP: for jobs; NULL when the runtime was given none */
struct budget *ctx_budget(struct ctx *);

/* PORT_MULTICAST: the port and what this life has open on it, to join and to send. NULL when the runtime was given none. */
const struct multicast_port *ctx_multicast(struct ctx *, struct multicast **ret_multicast);

/* PORT_WATCH: INFO_WATCH with tag in each turn in which fd is readable. At most 8 a life. ERR_UNSUPPORTED in sim and for actors
 * with PORT_NET, whose descriptors are their port's. */
enum err ctx_watch(struct ctx *, int fd, uint64_t tag);
void ctx_unwatch(struct ctx *, int fd);

/* ---- life ---- */
/* Ends this life after the handler; text says why, for the events table. */
void ctx_exit(struct ctx *, enum exit_reason reason, const char *fmt, ...) PRINTF_LIKE(3, 4);
/*
 * In terminate: leaves a thing to the next life of this actor, so that a socket stays open and those who wait at it are not sent away. It is
 * freed by free_fn where there will be no next life: at once when the tree is being stopped, else when the runtime is freed. One thing; a
 * second takes the place of the first. A life in a process of its own leaves nothing: sockets are left by ctx_keep.
 */
void ctx_bequeath(struct ctx *, void *thing, void (*free_fn)(void *thing));
/* What the last life left, the caller's from now on; NULL: nothing. */
void *ctx_inherit(struct ctx *);
/* Where sockets are left that outlive this life if it is a process, however it ends; NULL: it is none, ctx_bequeath does. */
const struct keep_port *ctx_keep(struct ctx *);
/* Declares that this handler may take up to bound_ns, so that the watchdog does not call the actor stuck before. */
void ctx_long(struct ctx *, uint64_t bound_ns);
/* Says why init fails. Returns err, so that init can return it. */
enum err ctx_fail(struct ctx *, enum err err, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* There is nothing to run, which is no failure: the actor stays down, those after it start. Returns what init then returns. */
enum err ctx_ignore(struct ctx *, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
 * What an actor whose row in the call table says so may ask of root, actor 0, by the messages of schemas/messages/root.def. Nobody
 * may stop or restart what would take himself along: ERR_DENIED.
 */
enum actor_order {
    ORDER_STOP,    /* and keep it down until ORDER_START, whatever restarts around it */
    ORDER_START,   /* one start: when it fails, it stays down */
    ORDER_RESTART, /* with those that its supervisor's strategy takes along; counts as no failure, waits for no backoff */
    ORDER_DELETE, /* forget one that is down */
};

/* ---- what the runtime knows of each actor (state, control) ---- */
struct actor_stats {
    const char *name;
    const char *state; /* starting, running, restarting, stopped, failed */
    bool stays_down;   /* stopped as ordered, or its supervisor was: until it is ordered to start */
    uint32_t epoch;
    uint32_t restarts;
    const char *last_exit_reason; /* "" when none */
    uint64_t mailbox_records;
    uint64_t mailbox_bytes;
    uint64_t refused;
    uint64_t heartbeat_ns; /* realtime */
    uint64_t messages;     /* handled since the node's start */
    double messages_per_s; /* these three: of the last 10 to 20 s */
    uint64_t p50_ns;       /* of the time that a handler takes, to a quarter; 0: none ran */
    uint64_t p99_ns;
    uint64_t cpu_ns; /* in all its lives: of its thread, or of its process with its jobs */
};
size_t ctx_actor_count(const struct ctx *);
/* By index: without messages and all that follows it, which take much longer to find out; these are 0. */
bool ctx_actor_stats(const struct ctx *, size_t index, struct actor_stats *ret_stats);
bool ctx_actor_stats_of(const struct ctx *, actor_id id, struct actor_stats *ret_stats); /* root is 0 */

/* Asks the program that started this runtime to end it in order, as SIGTERM does. */
void ctx_end_runtime(struct ctx *);

/* ---- crashes ---- */
/*
 * What this handler does from here on it does with bytes of this peer: a binary peer id, or before it is known the IP in mapped form (16
 * bytes). Two crashes in a row in the same actor and with the same peer's bytes, and the peer is banned for an hour. Cheap.
 */
void ctx_of_peer(struct ctx *, enum crash_who kind, struct span who);
/* What is known of crashes, as of now; NULL: nothing is kept. Valid until the actor asks again or handles the next message. */
const struct crash_history *ctx_crashes(const struct ctx *);
/* The records up to this one are kept now: they may be forgotten. 0 only asks. Returns up to which they are. */
uint64_t ctx_crashes_stored(struct ctx *, uint64_t id);
/* What an actor did, in words: "stream_data", "a timer". Static or of the schemas. */
const char *ctx_crash_does(const struct ctx *, uint32_t does);

/* ---- log ---- */
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
void ctx_log(struct ctx *, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);
void ctx_set_log_level(struct ctx *, enum log_level level); /* of the whole runtime */

#endif
