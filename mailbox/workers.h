/* SPDX-License-Identifier: MIT */
/*
 * Job lanes of the backends on the real machine: a bounded queue and a few threads each, which are made when there is work that those
 * there are have no time for: no process has threads for lanes that it does not use. Any thread may submit.
 */
#ifndef HEARTH_MAILBOX_WORKERS_H
#define HEARTH_MAILBOX_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "mailbox/runtime.h"

struct job;
struct workers;

enum { WORKERS_STACK_BYTES = 1024 * 1024 };

/* Opens the queues of all lanes. */
enum err workers_start(const struct lane_spec *lanes, size_t count, struct workers **ret_workers) MUST_CHECK;
/* Queues the job on lane `job->lane`; ERR_BUSY when its queue is full or no thread is to be had. */
enum err workers_submit(struct workers *w, struct job *job) MUST_CHECK;
/* Lets the queues run empty and joins the threads, then frees. False, and nothing freed, when one does not end in time. */
bool workers_stop(struct workers *w, uint64_t timeout_ns);

#endif
