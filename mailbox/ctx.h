/* SPDX-License-Identifier: MIT */
/*
 * The inside of an actor's context and of the runtime. Private to mailbox/ and the backends: actors see actor.h only.
 *
 * A ctx has a shared part (shared.h), atomics that any thread reads (is it alive and in which epoch, how full is its box, when did its
 * turn begin), and an own part that only the thread of its current life touches. Root, actor 0, is a ctx like the others whose class
 * drives the supervisors.
 */
#ifndef HEARTH_MAILBOX_CTX_H
#define HEARTH_MAILBOX_CTX_H

#include <pthread.h>
#include <stdatomic.h>

#include "mailbox/actor.h"
#include "mailbox/backend.h"
#include "mailbox/batch.h"
#include "mailbox/calls.h"
#include "mailbox/chaos.h"
#include "mailbox/envelope.h"
#include "mailbox/hops.h"
#include "mailbox/runtime.h"
#include "mailbox/shared.h"
#include "mailbox/timers.h"

enum {
    ROOT_ID = 0,
    TURN_CONTROL_MAX = 16,
    TURN_DATA_MAX = 64,
    TURN_DATA_NS_MAX = 2000000,
    STOP_DRAIN_MS = 1000, /* once told to stop, for what was sent before: well under a child's shutdown time */
    PARKED_MAX = 64,      /* drop_oldest messages kept by a sender for a full receiver */
    CANCELLED_MAX = 64,   /* cancels remembered in case they overtook their call */
    WATCHES_MAX = 8,
    TEXT_MAX = 256,
    CALL_TIMEOUT_DEFAULT_S = 30,
    RETRY_BUSY_MS = 10,  /* when the account, not the box, was full */
    REPORT_WAIT_MS = 20, /* what may be dropped may wait for company so long */
    REPLY_BYTES_TOTAL_MAX = CALLS_IN_FLIGHT_MAX * REPLY_BYTES_DEFAULT,
};

/*
 * Tags in the heap of deadlines that are not correlations, with an actor in the low bits: ROOM by time, the first INFO_UP, reports
 * that have waited long enough; and the end of what the chaos switch ordered.
 */
#define RETRY_TAG  (UINT64_C(1) << 63)
#define UP_TAG     (UINT64_C(1) << 62)
#define REPORT_TAG (UINT64_C(1) << 61)
#define CHAOS_TAG  (UINT64_C(1) << 60)

/* Records on their way to one lane of one actor. */
struct outbox {
    struct batch *batch; /* NULL when empty */
    size_t used;
    uint32_t count;
    bool dirty;   /* listed for the flush */
    bool waiting; /* a timer will list it: reports */
    bool blocked; /* the last send found no room */
};

/* drop_oldest messages that wait for ROOM, packed. */
struct parked {
    struct parked_record {
        uint8_t *bytes; /* header and body, as in a batch */
        size_t len;
    } ring[PARKED_MAX];
    uint32_t head;
    uint32_t count;
};

struct peer_out {
    struct outbox lane[LANE_COUNT];
    struct parked *parked; /* NULL until needed */
    uint64_t retry_timer;  /* ROOM by time, when the account was empty */
    uint64_t told;         /* of the monitor: epoch * 2, + 1 for INFO_DOWN, of the last that was given */
    bool monitored;
    bool owes_down;  /* of the monitor: its life runs, as far as is known here, and the end of that was not told */
    bool wants_room; /* heard ERR_BUSY */
    bool may_call;   /* the call table */
};

struct watch {
    int fd;
    uint64_t tag;
    bool ready;
};

struct job {
    struct ctx *owner;
    const char *lane_name;
    uint32_t lane;
    job_fn *fn;
    void (*free_fn)(void *arg);
    void *arg;
    uint64_t tag;
    enum err result;
    struct hop_ref cause;
    uint64_t submitted_ns; /* these three of a traced one only */
    uint64_t begun_ns;
    uint64_t done_ns;
    _Atomic bool cancelled;
    bool abandoned;    /* its life ended; under owner->jobs.lock */
    struct job *prev;  /* of owner->jobs.running, under the lock */
    struct job *next;  /* of running or done, under the lock */
    struct job *queue; /* the backend's link */
};

/* What the watchdog remembers of an actor's turn. */
struct watched {
    uint64_t since_ns; /* when it began */
    uint64_t lost_ns;  /* of the time since then, in which nobody ran */
};

struct jobs {
    pthread_mutex_t lock; /* between the actor's thread and the workers */
    struct job *running;  /* queued or at work */
    struct job *done_head;
    struct job *done_tail;
    _Atomic bool
        any_done; /* release pairs with the acquire in the turn: the lock is taken only when there is something */
};

struct ctx {
    /* shared, written once at start */
    struct runtime *rt;
    const struct actor_class *class;
    void *carrier; /* the backend's */
    actor_id id;
    struct crash_slot *slot; /* written by the life; NULL: the runtime has no crash page */

    struct actor_shared *shared; /* what others read of it */
    struct jobs jobs;            /* shared with the workers */
    struct watched watched;      /* the watchdog's own */

    /* root's own */
    uint64_t asked_ns;        /* when it asked it for a turn (pulse.h); 0 = not */
    char last_text[TEXT_MAX]; /* why its last life ended, or did not begin */

    /* the life's own */
    uint32_t epoch;
    bool over;
    bool stopping;    /* told to: it ends when what waits in its mailbox is handled, or at stop_by_ns */
    bool initialised; /* init was called: terminate must be */
    bool started;     /* init succeeded */
    bool ignored;     /* init said ctx_ignore */
    enum exit_reason reason;
    char text[TEXT_MAX];
    uint64_t now_ns;
    uint64_t stop_by_ns;
    void *state;
    struct peer_out *peers; /* by actor_id */
    uint16_t *dirty;        /* actor_id * 2 + lane */
    uint32_t dirty_count;
    struct calls calls;
    struct timers timers;
    struct timers deadlines; /* tag = correlation */
    struct reply_to cancelled[CANCELLED_MAX];
    uint32_t cancelled_count;
    struct reply_to current; /* the call being handled; correlation 0 = none */
    struct hop_ref cause;    /* what is traced of the handler's cause; trace 0 = nothing */
    uint64_t traced_casts;
    uint64_t requests;
    void *scratch; /* the unpacked fields of the message being handled */
    struct watch watches[WATCHES_MAX];
    uint32_t watch_count;
    struct loop *loop;           /* PORT_NET */
    struct multicast *multicast; /* PORT_MULTICAST */
    bool multicast_ready;        /* a descriptor of it is readable */
    void *heirloom;              /* ctx_bequeath: between two lives nobody touches it */
    void (*heirloom_free)(void *thing);
    uint64_t chaos_filled; /* taken from the box, as it counts; 0 = nothing */
    uint64_t chaos_filled_until_ns;
    struct chaos_leak *chaos_leaks;
};

enum waiting { WAITING_NOT, WAITING_RESTART, WAITING_STOPPED };

struct runtime {
    struct runtime_config config;
    const struct backend *backend;
    void *carrier;                 /* the backend's */
    struct ctx *actors;            /* [0] is root */
    size_t actor_count;            /* root included */
    size_t struct_bytes;           /* of the largest message struct */
    const struct schema **by_kind; /* kinds first_kind.. */
    uint16_t first_kind;
    uint16_t kind_count;
    struct account *account; /* NULL = none */
    struct actor_class root_class;
    struct supervisor *supervisor;
    struct orders *orders;         /* root's: who waits for what was ordered */
    struct crash_history *crashes; /* this process's copy of what is known; NULL: nothing is kept */
    uint64_t crashes_version;      /* of the copy */
    uint64_t poison_kinds;         /* of messages to be looked at before they are handled, as crash_history_kinds */
    char why[TEXT_MAX];            /* of a failed first start; root writes it before booted */
    uint64_t root_timer;
    uint64_t pulse_due_ns; /* when root looks next (pulse.h) */
    uint64_t away_ns;      /* for how long root was kept from looking, in all */
    bool root_stopping;

    struct runtime_shared *shared;
    bool joined;                  /* another process made what is shared */
    const struct keep_port *keep; /* of a process that is one life; NULL: none is */
    _Atomic bool booted; /* the first start has succeeded or failed; release pairs with the acquire in runtime_start */
    _Atomic bool ended;
    _Atomic uint32_t exit_code;
    struct hops *hops; /* of shared; NULL: nothing is recorded */

    pthread_mutex_t wait_lock; /* for runtime_await on inproc */
    pthread_cond_t wait_cond;
    pthread_cond_t watchdog_cond;
    pthread_t watchdog;
    bool watchdog_runs;
    _Atomic bool watchdog_stop;
};

static inline uint64_t life_of(const struct ctx *actor)
{
    return atomic_load_explicit(&actor->shared->life, memory_order_acquire);
}

static inline struct ctx *actor_of(const struct runtime *rt, actor_id id)
{
    return &rt->actors[id];
}

/* ---- a turn, as the watchdog, root and the nanny read it ---- */

static inline void turn_note_beat(struct ctx *c)
{
    atomic_store_explicit(&c->shared->heartbeat_ns, c->now_ns, memory_order_relaxed);
    if (c->slot != NULL)
        atomic_store_explicit(&c->slot->heartbeat_ns, c->now_ns, memory_order_relaxed);
}

/* Since when it lasts; 0 = the actor waits. */
static inline void turn_note_since(struct ctx *c, uint64_t since_ns)
{
    atomic_store_explicit(&c->shared->turn_since_ns, since_ns, memory_order_relaxed);
    if (c->slot != NULL)
        atomic_store_explicit(&c->slot->turn_since_ns, since_ns, memory_order_relaxed);
}

static inline void turn_note_kind(struct ctx *c, uint16_t kind)
{
    atomic_store_explicit(&c->shared->turn_kind, kind, memory_order_relaxed);
}

/* The clock, for how long a handler takes (handling.h). */
static inline uint64_t handling_now(const struct ctx *c)
{
    return c->rt->backend->now(c->rt);
}

/* ---- outbox.c ---- */

/* Appends a message record; fields by schema. Bounds, overflow class, lane and tail are dealt with here. */
enum err outbox_message(struct ctx *c, struct record *record, const struct msg *msg, bool force);
/* Appends a record whose body is text or nothing; never refused. */
void outbox_raw(struct ctx *c, enum lane lane, struct record *record, const char *text);
/* Sends what it can; true when nothing is left. */
bool outbox_flush(struct ctx *c);
/* The timer of reports to an actor: they leave with the next flush. */
void outbox_report_due(struct ctx *c, actor_id to);
/* ROOM at an actor: parked messages go first. */
void outbox_room(struct ctx *c, actor_id to);
/* Drops what is parked for an actor whose life ended. */
void outbox_forget(struct ctx *c, actor_id to);
/* Drops everything, at the very end. */
void outbox_release(struct ctx *c);

/* ---- delivery.c ---- */

/* Hands each record to the actor; those left once its life is over, or addressed to another life, are dropped. Frees the batch. */
void delivery_batch(struct ctx *c, struct batch *batch);
/* Frees a batch, its tails and its records' room in the box, unread. */
void delivery_discard(struct ctx *c, struct batch *batch);
/* The actor's handle_info, now: a handler may run within another. */
void delivery_tell(struct ctx *c, const struct info *info);
/* There may be room in the mailbox of who: INFO_ROOM if the actor waits for it. */
void delivery_room(struct ctx *c, actor_id who);
/* Deadlines of own calls that have passed. */
void delivery_deadlines(struct ctx *c);
void delivery_timers(struct ctx *c);
void delivery_jobs(struct ctx *c);
void delivery_watches(struct ctx *c);
/* Ends a call of this actor with an error: INFO_REPLY to it, and CANCEL to the callee when tell is set. */
void delivery_end_call(struct ctx *c, struct call *call, enum err err, const char *text, bool tell);
/* Forgets a call, which ended with err; tells the callee when tell is set. */
void delivery_drop_call(struct ctx *c, struct call *call, enum err err, bool tell);
/* The net port's sink: runs the handler at once. */
void delivery_net(void *ctx, const struct net_event *event);

/* The multicast port's sink: runs the handler at once. */
void delivery_multicast(void *ctx, const struct multicast_datagram *datagram);
/* Takes what is there, when a descriptor of the port is readable. */
void delivery_multicast_ready(struct ctx *c);

/* ---- poison.c ---- */

/* What counts of a message: its tail, which is what peers sent, else its body. */
static inline struct span poison_bytes(const struct record *r)
{
    return r->tail == NULL ? span_of(r->body, r->body_len) : span_of(r->tail->data, r->tail->len);
}
/* Notes the message in the slot. True when it is poison: it was dropped, and whoever waits for an answer has one. */
bool poison_stops(struct ctx *c, const struct record *record);
/* The actor is given up: the page says so. */
void poison_stuck(struct ctx *c);
/* What is known of earlier lives. */
enum err poison_begin(struct runtime *rt);
void poison_end(struct runtime *rt);
/* A slot of the page. */
void poison_open(struct ctx *c);
/* Root's: the process of this actor's life has ended by a signal, or was killed for being stuck. All shall know what is concluded. */
void poison_note(struct ctx *c, uint32_t epoch, int status, bool stuck);

/* ---- monitors.c ---- */

/* A life has ended: calls to it end, INFO_DOWN if that is monitored and news. */
void monitor_down(struct ctx *c, actor_id who, uint32_t epoch, enum exit_reason reason);
/* A life runs: INFO_UP if that is monitored and news. */
void monitor_up(struct ctx *c, actor_id who, uint32_t epoch);
/* Something that this life said is about to be delivered: first its beginning, and the end of the last one. */
void monitor_hears(struct ctx *c, actor_id who, uint32_t epoch);

/* ---- jobs.c ---- */

void job_run(struct job *job);
/* After job_run, or instead of it when the job was abandoned in the queue. Any thread. */
void job_done(struct job *job);
bool job_abandoned(struct job *job);
void jobs_abandon(struct ctx *c);
struct job *jobs_take_done(struct ctx *c);

/* ---- trace.c: notes in the ring; each is one branch for what is not traced ---- */

/* What a call is made for: its scope, else what this handler runs for. */
struct hop_ref trace_cause(const struct ctx *c, const struct reply_to *scope);
void trace_call(struct ctx *c, const struct call *call, uint16_t kind);
void trace_call_ended(struct ctx *c, const struct call *call, enum err err);
/* One that was refused is none. */
void trace_cast(struct ctx *c, const struct record *record, enum err err);
/* Before a record's handler: what it does from here on is done for it. Returns when that was, 0 = it is not traced. */
uint64_t trace_handler_begins(struct ctx *c, const struct record *record);
/* err: why it was dropped instead. */
void trace_handler_ended(struct ctx *c, const struct record *record, uint64_t began_ns, enum err err);
void trace_job_submitted(struct ctx *c, struct job *job);
void trace_job_begins(struct job *job); /* on a worker, as is its end */
void trace_job_ends(struct job *job);
void trace_job_done(struct ctx *c, const struct job *job);

/* ---- root.c ---- */

enum err root_open(struct runtime *rt, char *ret_why, size_t why_bytes);
void root_close(struct runtime *rt);
/* STARTED and EXITED records. */
void root_record(struct ctx *root, const struct record *record);
/* An actor says that another's process sent it what is no batch. */
void root_accused(struct ctx *root, const struct record *record);
/* At the top of root's turn: stop requests and what the watchdog saw. */
void root_turn(struct ctx *root);

/* The chaos switch has an order for this actor. */
static inline bool chaos_ordered(const struct ctx *c)
{
    return __builtin_expect(atomic_load_explicit(&c->shared->chaos, memory_order_relaxed) != 0, 0);
}

/* ---- watchdog.c ---- */

enum watch_state { WATCH_FINE, WATCH_SLOW, WATCH_SLOW_TOLD, WATCH_STUCK, WATCH_STUCK_TOLD };
enum err watchdog_start(struct runtime *rt);
/*
 * How long a turn that began at since_ns (0: none) has lasted. The watchdog, which was to look at due_ns and looks at now_ns, itself ran late by
 * the difference: a process that was stopped or frozen, or a machine that had no time for it. That is nobody's turn.
 */
uint64_t watchdog_age(struct watched *w, uint64_t since_ns, uint64_t due_ns, uint64_t now_ns);
void watchdog_stop(struct runtime *rt);

/* ---- runtime.c ---- */

/* As runtime_start, but nothing runs yet. */
enum err runtime_open(const struct runtime_config *config, struct runtime **ret_runtime, char *why, size_t why_bytes);
/* After the backend was closed. */
void runtime_free(struct runtime *rt);
const struct schema *runtime_schema(const struct runtime *rt, uint16_t kind);
void runtime_log(const struct runtime *rt, enum log_level level, const char *actor, const char *text);

#endif
