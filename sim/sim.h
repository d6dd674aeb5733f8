/* SPDX-License-Identifier: MIT */
/*
 * The simulator: a seeded scheduler with a virtual clock, in one thread.
 *
 * Everything that happens is an event at a time: a step of an actor, a job, an arrival on a simulated link. The earliest goes
 * first; among those at the same time the seed chooses. Each step costs a little virtual time, so loops make deadlines pass.
 * Two runs with one seed give the same trace, a hash over all that was delivered; a different address-space layout must not
 * change it, so nothing here orders by pointer.
 *
 * Not thread-safe; several runtimes (nodes) may live in one sim.
 */
#ifndef HEARTH_SIM_SIM_H
#define HEARTH_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct backend;
struct ctx;
struct sim;

/* The backend for runtime_config, with the struct sim as backend_arg. */
extern const struct backend backend_sim;

/* NULL without memory. The clock starts at one hour, so that "now minus something" stays positive. */
struct sim *sim_new(uint64_t seed) MUST_CHECK;
/* Frees what is scheduled without running it. All runtimes must have been stopped before. */
void sim_free(struct sim *sim);

uint64_t sim_now(const struct sim *sim);      /* ns */
uint64_t sim_real_now(const struct sim *sim); /* ns since the epoch; a run does not depend on the day */
/* Moves the wall clock (ctx_real_now) by this much, without touching the monotonic one. */
void sim_shift_real_clock(struct sim *sim, int64_t by_ns);

/* How far a node's wall clock is off, by the name of its runtime. NULL: none is. */
typedef int64_t sim_clock_fn(void *arg, const char *node);
void sim_set_clocks(struct sim *sim, sim_clock_fn *fn, void *arg);
int64_t sim_clock_off(const struct sim *sim, const char *node);

/* Seeded randomness for the simulated world. Actors have their own streams behind ctx_random. */
uint64_t sim_random(struct sim *sim);
uint64_t sim_below(struct sim *sim, uint64_t below); /* uniform, below > 0 */

/*
 * Calls fn(arg) at the time (now, when that has passed). Events of one order key happen in the order of their times and, at one
 * time, of their scheduling; key 0 means unordered: the seed chooses among those at the same time. Returns an id, never 0.
 */
uint64_t sim_schedule(struct sim *sim, uint64_t at_ns, void (*fn)(void *arg), void *arg);
uint64_t sim_schedule_ordered(struct sim *sim, uint64_t at_ns, uint64_t key, void (*fn)(void *arg), void *arg);
/* Forgets an event; an id that ran is ignored. */
void sim_cancel(struct sim *sim, uint64_t id);

/*
 * In a job: it takes so much longer. The clock stands still while a job runs, so what it waits for is noted here and its end comes later by that;
 * what it does has happened by then.
 */
void sim_job_wait(struct sim *sim, uint64_t ns);
uint64_t sim_job_waited(const struct sim *sim); /* by the job that runs, so far */
uint64_t sim_job_end(struct sim *sim);          /* the backend's: the job has run; how long it waited */

/* Mixes bytes, or one number, into the trace. Never pointers. */
void sim_trace_mix(struct sim *sim, const void *bytes, size_t len);
void sim_trace_u64(struct sim *sim, uint64_t value);
uint64_t sim_trace(const struct sim *sim);

/* Runs the next event; false when there is none. */
bool sim_step(struct sim *sim);
/* Runs all events up to the time and sets the clock to it. */
void sim_run_until(struct sim *sim, uint64_t at_ns);
/* Runs until done(arg), at most timeout_ns of virtual time; false when it did not come true. */
bool sim_run_while_not(struct sim *sim, bool (*done)(void *arg), void *arg, uint64_t timeout_ns);
uint64_t sim_steps(const struct sim *sim);

#endif
