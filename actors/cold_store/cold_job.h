/* SPDX-License-Identifier: MIT */
/*
 * A call to cold_store as the job that carries it out.
 *
 *      call --> cold_job_take --> cold_drive --> cold_job_answer
 */
#ifndef HEARTH_ACTORS_COLD_STORE_COLD_JOB_H
#define HEARTH_ACTORS_COLD_STORE_COLD_JOB_H

#include "mailbox/actor.h"
#include "storage/cold_drive.h"

struct cold_job {
    struct cold_job *next;
    struct cold_drive *drive; /* a reference: the job may outlive the life */
    struct store_cold op;
    struct reply_to to;
    actor_id from;
    uint16_t kind; /* of the call; 0: nobody asked */
    bool wanted;   /* somebody waits for the answer */
    uint64_t tag;
};

/* Puts what a call asks for into a fresh job. ERR_UNSUPPORTED: it is none of these; ERR_INVALID, ERR_TOO_LARGE, ERR_NOMEM. */
enum err cold_job_take(struct cold_job *job, const struct msg *msg) MUST_CHECK;
/* Blocks, on a worker. */
enum err cold_job_run(void *arg, const _Atomic bool *cancelled);
void cold_job_free(void *arg);

/* Answers the call with the results, or with the error and what the medium said. */
void cold_job_answer(struct ctx *ctx, const struct cold_job *job, enum err err);
/* Answers cold_stat. */
enum err cold_stat_answer(struct ctx *ctx, struct cold_drive *drive, struct reply_to to) MUST_CHECK;

#endif
