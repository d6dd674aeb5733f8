/* SPDX-License-Identifier: MIT */
#include "actors/cold_store/costs.h"

#include "actors/tree.h"
#include "base/limits.h"
#include "schemas/messages.h"

#define COSTS_NS (10 * SECOND_NS)

static uint64_t since(const struct costs *costs, const struct s3_counters *now, enum s3_kind kind)
{
    return now->requests[kind] - costs->told.requests[kind];
}

static void tell(struct costs *costs, struct ctx *ctx, struct cold_drive *drive)
{
    struct cold_facts facts;
    cold_drive_facts(drive, &facts);
    const struct s3_counters *now = &facts.requests;
    struct msg_state_cost m = {.tier = span_text("cold"),
                               .writes = since(costs, now, S3_PUT) + since(costs, now, S3_UPLOAD_CREATE) +
                                         since(costs, now, S3_UPLOAD_PART) + since(costs, now, S3_UPLOAD_COMPLETE) +
                                         since(costs, now, S3_LIST),
                               .reads = since(costs, now, S3_GET) + since(costs, now, S3_HEAD),
                               .removals = since(costs, now, S3_DELETE) + since(costs, now, S3_UPLOAD_ABORT),
                               .bytes_out = now->bytes_out - costs->told.bytes_out,
                               .bytes_in = now->bytes_in - costs->told.bytes_in};
    if (facts.is_counted && m.writes + m.reads + m.removals > 0 &&
        ctx_cast(ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_COST, .fields = &m}) == ERR_OK)
        costs->told = *now;
}

void costs_note(struct costs *costs, struct ctx *ctx, uint64_t tag)
{
    if (costs->timer == 0)
        costs->timer = ctx_timer(ctx, ctx_now(ctx) + COSTS_NS, tag);
}

void costs_due(struct costs *costs, struct ctx *ctx, struct cold_drive *drive)
{
    costs->timer = 0;
    tell(costs, ctx, drive);
}

void costs_release(struct costs *costs, struct ctx *ctx, struct cold_drive *drive)
{
    if (costs->timer != 0)
        tell(costs, ctx, drive);
}
