/* SPDX-License-Identifier: MIT */
/*
 * The seam between the runtime and what carries it: threads and nng (inproc), processes (ipc) or a seeded scheduler (sim).
 *
 * Everything above is one code: the backend gives time, randomness, a place where an actor's life runs, lanes that carry batches
 * from one actor to another in order, and workers for jobs. It calls back life_begin, actor_turn and life_end.
 */
#ifndef HEARTH_MAILBOX_BACKEND_H
#define HEARTH_MAILBOX_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mailbox/actor.h"
#include "mailbox/batch.h"
#include "mailbox/envelope.h"

struct job;
struct runtime;

struct backend {
    const char *name;

    /* Sets rt->shared, to memory that processes have in common, and moves the budget there. NULL: ordinary memory does. */
    enum err (*share)(struct runtime *rt);
    /* After close, or after a share that failed. */
    void (*unshare)(struct runtime *rt);

    /* Opens mailboxes and edges for all actors (rt->actor_count, root included) and the job workers. Nothing runs yet. */
    enum err (*open)(struct runtime *rt);
    /* After the last life has ended: waits for the workers, at most timeout_ns, then frees what open made. False, and nothing
     * freed, when a worker does not end. Also after a failed open. */
    bool (*close)(struct runtime *rt, uint64_t timeout_ns);

    /* Runs a life of the actor: life_begin, then actor_turn until false, then life_end. ERR_NOMEM when no thread is to be had. */
    enum err (*spawn)(struct ctx *actor);
    /* The life has reported its end: waits for the last of it (a thread: join). */
    void (*reap)(struct ctx *actor);
    /*
     * Ends a life from outside; its end is reported like any other, for this reason (EXIT_STUCK, EXIT_KILLED). NULL: it cannot be ended (a
     * thread).
     */
    void (*kill)(struct ctx *actor, enum exit_reason reason);
    /* The life is over but for its report: waits for what must be done before. NULL: nothing. */
    void (*drain)(struct ctx *actor);
    /* The life is at its end and batches are left: waits a little for room in their sockets. */
    void (*settle)(struct ctx *actor);
    /* Its life does nothing for so long: in its turn, for the chaos switch. UINT64_MAX = never again. */
    void (*stall)(struct ctx *actor, uint64_t ns);
    /* Makes the actor turn soon. Any thread. */
    void (*wake)(struct ctx *actor);

    /* Never blocks. ERR_OK takes *batch and nulls it; ERR_AGAIN leaves it. */
    enum err (*send)(struct ctx *from, actor_id to, enum lane lane, struct batch **batch);
    /* ERR_AGAIN when there is none. */
    enum err (*recv)(struct ctx *actor, enum lane lane, struct batch **ret_batch);

    /* Queues the job on its lane: ERR_BUSY when full. Runs job_run on a worker, then job_done. */
    enum err (*job)(struct job *job);

    uint64_t (*now)(const struct runtime *rt);
    uint64_t (*real_now)(const struct runtime *rt);
    void (*random)(struct ctx *actor, void *to, size_t len);
    /* Mixes into the trace; NULL when there is none. */
    void (*trace)(struct runtime *rt, const void *bytes, size_t len);
    /* Waits, or simulates, until done(arg). */
    bool (*await)(struct runtime *rt, bool (*done)(void *arg), void *arg, uint64_t timeout_ns);
    /* ctx_watch may be used. */
    bool watches;
};

/* Thread per actor; nng inproc. */
extern const struct backend backend_inproc;
/* Process per actor; Unix sockets (backend_ipc.h). */
extern const struct backend backend_ipc;

/* ---- what a backend calls ---- */

/* Begins a life: opens the loop, runs init, reports to root. False when it failed; life_end must follow in both cases. */
bool life_begin(struct ctx *actor);

/*
 * One turn: control, data, timers, jobs, then flush. Sets when the next is due (0 = at once, UINT64_MAX = on a wake only).
 * False when the life is over. The one function for a thread's loop, a loop_port's callback and a step of sim.
 */
bool actor_turn(struct ctx *actor, uint64_t *ret_wake_at_ns);

/* terminate, then everything the life held is given back, and root hears of it. */
void life_end(struct ctx *actor);

#endif
