/* SPDX-License-Identifier: MIT */
/*
 * Traces: what a request caused is noted in the ring of hops as it happens, by whom it happens to.
 *
 * The number of the trace travels in each record, and c->cause says for which call, cast or request a handler runs: it is set where
 * a handler begins, kept with each call and job that is made, and there again when their ends come. 0 is what nobody traces, so each
 * function here begins with the one branch that such a message costs.
 */
#include <stdlib.h>

#include "mailbox/ctx.h"
#include "mailbox/hop_tree.h"

static uint64_t clock_now(const struct ctx *c)
{
    return c->rt->backend->now(c->rt);
}

static void note(struct ctx *c, const struct hop_event *event)
{
    if (c->rt->hops != NULL)
        hops_add(c->rt->hops, event);
}

static struct hop_ref ref_of(const struct reply_to *call)
{
    return (struct hop_ref){
        .correlation = call->correlation, .epoch = call->epoch, .trace = call->trace, .from = call->from};
}

struct hop_ref trace_cause(const struct ctx *c, const struct reply_to *scope)
{
    return scope != NULL && scope->trace != 0 ? ref_of(scope) : c->cause;
}

static struct hop_ref ref_of_record(const struct record *r)
{
    return (struct hop_ref){.correlation = r->correlation, .epoch = r->from_epoch, .trace = r->trace, .from = r->from};
}

/* ---- calls and casts ---- */

static struct hop_ref own_call(const struct ctx *c, const struct call *call)
{
    return (struct hop_ref){
        .correlation = call->correlation, .epoch = c->epoch, .trace = call->cause.trace, .from = c->id};
}

void trace_call(struct ctx *c, const struct call *call, uint16_t kind)
{
    if (call->cause.trace == 0)
        return;
    note(c, &(struct hop_event){.type = HOP_CALL,
                                .hop = own_call(c, call),
                                .cause = call->cause,
                                .to = call->to,
                                .kind = kind,
                                .at_ns = clock_now(c),
                                .until_ns = call->deadline_ns});
}

void trace_call_ended(struct ctx *c, const struct call *call, enum err err)
{
    if (call->cause.trace == 0)
        return;
    note(c,
         &(struct hop_event){
             .type = HOP_ENDED, .hop = own_call(c, call), .to = call->to, .err = (uint8_t)err, .at_ns = clock_now(c)});
}

void trace_cast(struct ctx *c, const struct record *r, enum err err)
{
    if (r->trace == 0 || err != ERR_OK)
        return;
    note(c, &(struct hop_event){.type = HOP_CAST,
                                .hop = ref_of_record(r),
                                .cause = c->cause,
                                .to = r->to,
                                .kind = r->kind,
                                .at_ns = clock_now(c)});
}

/* ---- handlers ---- */

uint64_t trace_handler_begins(struct ctx *c, const struct record *r)
{
    if (r->trace == 0)
        return 0;
    c->cause = ref_of_record(r);
    return clock_now(c);
}

void trace_handler_ended(struct ctx *c, const struct record *r, uint64_t began_ns, enum err err)
{
    c->cause.trace = 0;
    if (r->trace == 0)
        return;
    note(c, &(struct hop_event){.type = HOP_HANDLED,
                                .hop = ref_of_record(r),
                                .to = c->id,
                                .kind = r->kind,
                                .err = (uint8_t)err,
                                .at_ns = began_ns,
                                .until_ns = clock_now(c)});
}

/* ---- jobs ---- */

void trace_job_submitted(struct ctx *c, struct job *job)
{
    if (c->cause.trace == 0)
        return;
    job->cause = c->cause;
    job->submitted_ns = clock_now(c);
}

void trace_job_begins(struct job *job)
{
    if (job->cause.trace != 0)
        job->begun_ns = clock_now(job->owner);
}

void trace_job_ends(struct job *job)
{
    if (job->cause.trace != 0)
        job->done_ns = clock_now(job->owner);
}

void trace_job_done(struct ctx *c, const struct job *job)
{
    if (job->cause.trace == 0)
        return;
    note(c, &(struct hop_event){
                .type = HOP_JOB,
                .hop = {.correlation = job->done_ns, .epoch = c->epoch, .trace = job->cause.trace, .from = c->id},
                .cause = job->cause,
                .to = c->id,
                .kind = (uint16_t)job->lane,
                .err = (uint8_t)job->result,
                .at_ns = job->submitted_ns,
                .until_ns = job->begun_ns});
}

/* ---- requests ---- */

/* 0 and the upper half, which users name by themselves, are left out. */
static uint32_t next_trace(struct runtime *rt)
{
    uint32_t trace;
    do {
        trace = (atomic_fetch_add_explicit(&rt->shared->trace, 1, memory_order_relaxed) + 1) & INT32_MAX;
    } while (trace == 0);
    return trace;
}

void ctx_request_begin(struct ctx *c, uint32_t trace, uint16_t operation, uint64_t deadline_ns,
                       struct reply_to *ret_scope)
{
    if (trace == 0)
        trace = c->cause.trace != 0 ? c->cause.trace : next_trace(c->rt);
    *ret_scope = (struct reply_to){.correlation = HOP_REQUEST_BIT | ++c->requests,
                                   .deadline_ns = deadline_ns,
                                   .epoch = c->epoch,
                                   .trace = trace,
                                   .from = c->id};
    struct hop_ref cause = c->cause.trace == trace ? c->cause : (struct hop_ref){0};
    c->cause = ref_of(ret_scope);
    note(c, &(struct hop_event){.type = HOP_REQUEST,
                                .hop = c->cause,
                                .cause = cause,
                                .to = c->id,
                                .kind = operation,
                                .at_ns = clock_now(c),
                                .until_ns = deadline_ns});
}

void ctx_request_end(struct ctx *c, const struct reply_to *scope, uint8_t code)
{
    note(c, &(struct hop_event){
                .type = HOP_ANSWER, .hop = ref_of(scope), .to = c->id, .err = code, .at_ns = clock_now(c)});
}

void ctx_caused_by(struct ctx *c, const struct reply_to *call)
{
    c->cause = call == NULL ? (struct hop_ref){0} : ref_of(call);
}

size_t ctx_trace_read(struct ctx *c, uint32_t trace, struct trace_hop *ret_rows, size_t max, bool *ret_whole)
{
    *ret_whole = false;
    struct hop_event *events = c->rt->hops == NULL || trace == 0 ? NULL : calloc(HOPS_MAX, sizeof(*events));
    if (events == NULL)
        return 0;
    size_t count = hops_read(c->rt->hops, trace, events, HOPS_MAX);
    size_t rows = hop_tree_make(events, count, ret_rows, MIN(max, (size_t)TRACE_ROWS_MAX), ret_whole);
    free(events);
    return rows;
}

uint32_t ctx_trace_last(const struct ctx *c)
{
    return atomic_load_explicit(&c->rt->shared->trace, memory_order_relaxed) & INT32_MAX;
}

const char *ctx_actor_name(const struct ctx *c, actor_id id)
{
    return id < c->rt->actor_count ? c->rt->actors[id].class->name : "";
}

const char *ctx_lane_name(const struct ctx *c, uint16_t lane)
{
    return lane < c->rt->config.lane_count ? c->rt->config.lanes[lane].name : "";
}
