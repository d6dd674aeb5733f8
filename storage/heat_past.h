/* SPDX-License-Identifier: MIT */
/*
 * Joins the heat policy, which remembers as many blocks as there is memory for, with heat.db, which remembers the rest and lasts over restarts.
 *
 *      what was learned, then what the tier held, by pages ──> the policy, before anything else is asked of it: once in a life
 *      heat_past_use ──> unknown to the policy ──> asked for, up to 256 keys at a time ──> what is known of them is added
 *      rows that gave way, rows that changed ──> each minute, up to 8192 of them, with what was learned ──> heat.db
 *
 * Requests never wait for it. What there is no room to ask for or to write is left out, and costs heat. It offers jobs, of which its owner
 * carries out one at a time, on any thread, and tells when it has ended. Nothing is counted before what was learned is there; and what is not
 * held should not be taken for worthless before it is known what was, or HEAT_PAST_WAIT_NS are over.
 *
 * No I/O but in jobs and heat_past_stop; no clock; one thread.
 */
#ifndef HEARTH_STORAGE_HEAT_PAST_H
#define HEARTH_STORAGE_HEAT_PAST_H

#include "storage/heat_policy.h"
#include "storage/heat_store.h"

enum { HEAT_PAST_ASK_MAX = 256, HEAT_PAST_WRITE_MAX = 8192, HEAT_PAST_PAGE = 4096, HEAT_PAST_STOP_MAX = 65536 };

#define HEAT_PAST_WRITE_NS (UINT64_C(60) * 1000000000)
#define HEAT_PAST_WAIT_NS  (UINT64_C(10) * 1000000000)

struct heat_past;
struct heat_past_job;

/* policy is borrowed and not used yet; takes a reference of its own to the store. NULL without memory, the account's (may be NULL) included. */
struct heat_past *heat_past_new(struct heat_policy *policy, struct heat_store *store, uint64_t now_ns,
                                struct account *account) MUST_CHECK;
/* NULL-safe. A job that is under way may end later. */
void heat_past_free(struct heat_past *past);

/* Before each use of a block. False: the policy has no past yet, and must not be told. */
bool heat_past_use(struct heat_past *past, uint64_t key) MUST_CHECK;

/* Until when blocks that the policy does not hold should stay where they are; 0: what it held is known, as far as it can be. */
uint64_t heat_past_wait_until(const struct heat_past *past);

/* The next job, or NULL; ask again after each use, at heat_past_wakes_at and when a job has ended. */
struct heat_past_job *heat_past_next(struct heat_past *past, uint64_t now_ns) MUST_CHECK;
uint64_t heat_past_wakes_at(const struct heat_past *past);

/* Carries it out; blocks. */
enum err heat_past_run(struct heat_past_job *job) MUST_CHECK;

/* It has ended, or could not be begun: ERR_BUSY. The caller frees it. Returns whether heat.db failed or works again since the last time. */
bool heat_past_done(struct heat_past *past, struct heat_past_job *job, enum err err, uint64_t now_ns);
void heat_past_job_free(struct heat_past_job *job);

/*
 * A clean stop: writes what is not kept yet; what a job is about to write may be lost. Blocks for the time of that job and HEAT_PAST_STOP_MAX
 * rows at most. ERR_BUSY when what was learned before is not there yet: then nothing is new.
 */
enum err heat_past_stop(struct heat_past *past) MUST_CHECK;

#endif
