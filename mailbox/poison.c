/* SPDX-License-Identifier: MIT */
/*
 * What the crash page is told of each message, and messages that are dropped since they were being handled at two crashes in a row.
 */
#include <stdlib.h>
#include <string.h>

#include "mailbox/crash_memory.h"
#include "mailbox/ctx.h"

/* Whoever has a process of its own hears of what others conclude; where all are in one, nobody writes while they run. */
static void learn(struct runtime *rt)
{
    if (crash_memory_read(rt->config.crash, &rt->crashes_version, rt->crashes))
        rt->poison_kinds = crash_history_kinds(rt->crashes);
}

static void keep_up(struct runtime *rt)
{
    if (rt->joined && rt->crashes != NULL && crash_memory_version(rt->config.crash) != rt->crashes_version)
        learn(rt);
}

enum err poison_begin(struct runtime *rt)
{
    if (rt->config.crash == NULL)
        return ERR_OK;
    rt->crashes = calloc(1, sizeof(*rt->crashes));
    if (rt->crashes == NULL)
        return ERR_NOMEM;
    learn(rt);
    return ERR_OK;
}

void poison_end(struct runtime *rt)
{
    free(rt->crashes);
}

void poison_open(struct ctx *c)
{
    if (c->rt->config.crash == NULL || c->id >= CRASH_SLOTS_MAX)
        return;
    c->slot = &c->rt->config.crash->page->slots[c->id];
    size_t len = MIN(strlen(c->class->name), sizeof(c->slot->name) - 1);
    if (!c->rt->joined)
        memcpy(c->slot->name, c->class->name, len);
}

void poison_stuck(struct ctx *c)
{
    uint32_t nobody = 0;
    if (c->slot != NULL) /* the first is the cause */
        (void)atomic_compare_exchange_strong(&c->rt->config.crash->page->stuck, &nobody, (uint32_t)c->id + 1);
}

void poison_note(struct ctx *c, uint32_t epoch, int status, bool stuck)
{
    struct runtime *rt = c->rt;
    if (c->slot == NULL)
        return;
    const struct crash_end end = {.status = status,
                                  .now_ns = rt->backend->now(rt),
                                  .real_ns = rt->backend->real_now(rt),
                                  .process = c->class->name,
                                  .number = c->id,
                                  .epoch = epoch,
                                  .stuck = stuck};
    (void)crash_history_note(rt->crashes, rt->config.crash->page, &end);
    crash_memory_publish(rt->config.crash, rt->crashes);
}

static bool is_message(const struct record *r)
{
    return r->type == RECORD_CALL || r->type == RECORD_CAST || r->type == RECORD_REPLY;
}

/* Whoever asked is told; a call of this actor's that it would have answered ends. */
static void drop(struct ctx *c, const struct record *r)
{
    static const char why[] = "the same message was being handled at two crashes in a row";
    count_up(&c->shared->counters.poison);
    ctx_log(c, LOG_ERROR, "dropped a message (%s, %zu bytes): %s", ctx_crash_does(c, r->kind), poison_bytes(r).len,
            why);
    if (r->type == RECORD_CALL) {
        const struct reply_to call = {.correlation = r->correlation,
                                      .deadline_ns = r->deadline_ns,
                                      .epoch = r->from_epoch,
                                      .trace = r->trace,
                                      .bytes_max = (uint32_t)r->err,
                                      .from = r->from};
        ctx_reply_err(c, call, ERR_DENIED, "%s", why);
    } else if (r->type == RECORD_REPLY) {
        struct call *call = calls_find(&c->calls, r->correlation);
        if (call != NULL && call->to == r->from)
            delivery_end_call(c, call, ERR_DENIED, why, false);
    }
}

/* The rare way: the kind is one of a suspect's. */
static bool look_closely(struct ctx *c, const struct record *r, struct span bytes)
{
    const struct crash_history *history = c->rt->crashes;
    uint8_t digest[CRASH_DIGEST_BYTES];
    if (!crash_history_suspects(history, c->id, r->kind, bytes))
        return false;
    crash_digest(r->kind, bytes, digest);
    if (crash_history_is_poison(history, c->id, r->kind, (uint32_t)bytes.len, digest)) {
        drop(c, r);
        return true;
    }
    if (c->slot != NULL) {
        memcpy(c->slot->digest, digest, sizeof(digest));
        c->slot->has_digest = true;
    }
    return false;
}

bool poison_stops(struct ctx *c, const struct record *r)
{
    if (!is_message(r)) {
        crash_slot_does(c->slot, CRASH_DOES_CONTROL | r->type);
        return false;
    }
    struct span bytes = poison_bytes(r);
    crash_slot_message(c->slot, r->kind, bytes);
    keep_up(c->rt);
    return (c->rt->poison_kinds >> (r->kind & 63) & 1) != 0 && look_closely(c, r, bytes);
}

/* ---- what actors ask ---- */

void ctx_of_peer(struct ctx *c, enum crash_who kind, struct span who)
{
    crash_slot_who(c->slot, kind, who);
}

const struct crash_history *ctx_crashes(const struct ctx *c)
{
    keep_up(c->rt);
    return c->rt->crashes;
}

uint64_t ctx_crashes_stored(struct ctx *c, uint64_t id)
{
    const struct crash_memory *memory = c->rt->config.crash;
    if (memory != NULL && id > 0)
        atomic_store(&memory->page->stored_id, id);
    uint64_t stored = memory == NULL ? id : atomic_load(&memory->page->stored_id);
    return c->rt->crashes != NULL && stored > c->rt->crashes->last_id ? 0
                                                                      : stored; /* what was never there is not kept */
}

const char *ctx_crash_does(const struct ctx *c, uint32_t does)
{
    static const char *const infos[] = {
        [INFO_REPLY] = "a reply",       [INFO_CANCEL] = "a cancel", [INFO_TIMER] = "a timer",
        [INFO_DOWN] = "a down",         [INFO_UP] = "an up",        [INFO_JOB] = "a job's result",
        [INFO_ROOM] = "a room",         [INFO_NET] = "a net event", [INFO_WATCH] = "a readable descriptor",
        [INFO_MULTICAST] = "a datagram"};
    uint32_t low = does & 0xffff;
    if (does == 0)
        return "";
    if (crash_is_message(does)) {
        const struct schema *schema = runtime_schema(c->rt, (uint16_t)does);
        return schema == NULL ? "a message" : schema->name;
    }
    if ((does & ~UINT32_C(0xffff)) == CRASH_DOES_INFO && low < ARRAY_LEN(infos))
        return infos[low];
    if (does == (CRASH_DOES_STEP | CRASH_STEP_INIT))
        return "init";
    if (does == (CRASH_DOES_STEP | CRASH_STEP_TERMINATE))
        return "terminate";
    return "a control record";
}
