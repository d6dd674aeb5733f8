/* SPDX-License-Identifier: MIT */
/* trace: what one request caused, from the runtime's ring of hops. Times are microseconds from the first of its rows. */
#include <stdlib.h>

#include "actors/control/operations.h"
#include "schemas/pack.h"

enum { RESULT_BYTES_MAX = 1024 * 1024 };

static const char *name_of(const struct control *c, const struct trace_hop *hop)
{
    if (hop->what == TRACE_REQUEST)
        return hop->kind < OP_COUNT ? operations[hop->kind].words : "";
    if (hop->what == TRACE_JOB)
        return ctx_lane_name(c->ctx, hop->kind);
    const struct schema *schema = schema_find(&schema_messages, hop->kind);
    return schema == NULL ? "" : schema->name;
}

static const char *how_it_ended(const struct trace_hop *hop)
{
    if (hop->what == TRACE_REQUEST)
        return control_code_name((enum control_code)hop->err);
    return hop->err == ERR_OK ? "ok" : control_code_name(control_code_from_err((enum err)hop->err));
}

struct rows {
    struct trace_hop hops[TRACE_ROWS_MAX];
    uint64_t base_ns; /* the first time of all */
};

static void pack_time(struct pack *p, uint32_t *pairs, const char *key, const struct rows *rows, uint64_t at_ns)
{
    if (at_ns == 0)
        return;
    pack_pair_u64(p, key, at_ns <= rows->base_ns ? 0 : (at_ns - rows->base_ns) / 1000);
    *pairs += 1;
}

static void pack_hop(const struct control *c, struct pack *p, const struct rows *rows, const struct trace_hop *hop)
{
    static const char *const whats[] = {
        [TRACE_REQUEST] = "request", [TRACE_CALL] = "call", [TRACE_CAST] = "cast", [TRACE_JOB] = "job"};
    uint32_t pairs = 5;
    size_t where = pack_map_open(p);
    pack_pair_u64(p, "depth", hop->depth);
    pack_pair_text(p, "what", whats[hop->what]);
    pack_pair_text(p, "name", name_of(c, hop));
    pack_pair_text(p, "from", hop->what == TRACE_REQUEST ? "" : ctx_actor_name(c->ctx, hop->from));
    pack_pair_text(p, "to", ctx_actor_name(c->ctx, hop->to));
    pack_time(p, &pairs, "sent_us", rows, hop->sent_ns);
    pack_time(p, &pairs, "received_us", rows, hop->received_ns);
    pack_time(p, &pairs, "handled_us", rows, hop->handled_ns);
    pack_time(p, &pairs, "ended_us", rows, hop->ended_ns);
    if (hop->deadline_ns != UINT64_MAX)
        pack_time(p, &pairs, "deadline_us", rows, hop->deadline_ns);
    if (hop->ended) {
        pack_pair_text(p, "code", how_it_ended(hop));
        pairs++;
    }
    if (hop->dropped) {
        pack_pair_bool(p, "dropped", true);
        pairs++;
    }
    pack_count(p, where, pairs);
}

static uint64_t first_time(const struct trace_hop *hop)
{
    const uint64_t times[] = {hop->sent_ns, hop->received_ns, hop->handled_ns, hop->ended_ns};
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        if (times[i] != 0)
            return times[i];
    return UINT64_MAX;
}

static enum err no_trace(const struct control *c, struct conversation *v, uint64_t trace)
{
    unsigned long long number = trace;
    if (trace >> REQUEST_TRACE_BIT != 0)
        return conversation_error(v, ERR_NOT_FOUND,
                                  "nothing is known of trace %llu: no request carried it, or later ones took its place",
                                  number);
    if (trace <= ctx_trace_last(c->ctx))
        return conversation_error(v, ERR_NOT_FOUND, "what was known of trace %llu was overwritten by later requests",
                                  number);
    return conversation_error(v, ERR_NOT_FOUND, "no request had trace %llu yet: the last was %u", number,
                              ctx_trace_last(c->ctx));
}

static enum err answer(struct control *c, struct conversation *v, uint64_t trace, struct rows *rows)
{
    bool whole;
    size_t count = ctx_trace_read(c->ctx, (uint32_t)trace, rows->hops, ARRAY_LEN(rows->hops), &whole);
    if (count == 0)
        return no_trace(c, v, trace);
    rows->base_ns = UINT64_MAX;
    for (size_t i = 0; i < count; i++)
        rows->base_ns = MIN(rows->base_ns, first_time(&rows->hops[i]));
    uint64_t ago_ns = ctx_now(c->ctx) - MIN(rows->base_ns, ctx_now(c->ctx));
    struct buf result;
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 4);
    pack_pair_u64(&p, "trace", trace);
    pack_pair_u64(&p, "began_at", ctx_real_now(c->ctx) - ago_ns);
    pack_pair_bool(&p, "whole", whole);
    pack_text(&p, "hops");
    pack_array(&p, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        pack_hop(c, &p, rows, &rows->hops[i]);
    return conversation_finish_packed(c, v, &result, &p);
}

enum err trace_start(struct control *c, struct conversation *v)
{
    const struct op_trace *args = (const void *)v->args;
    struct rows *rows = calloc(1, sizeof(*rows));
    if (rows == NULL)
        return ERR_NOMEM;
    enum err err = answer(c, v, args->trace, rows);
    free(rows);
    return err;
}
