/* SPDX-License-Identifier: MIT */
/*
 * The driver: the actor in control's place. In the safety phase it runs errands that are drawn; in the liveness phase those that are left to
 * do, until nothing is.
 */
#include <stdio.h>

#include "base/text.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "sim/trial_internal.h"

enum { WORK_TAG = 1, LEASE_BIT = 1 << 20, LIVENESS_WINDOW = 4, LOOK_SECONDS = 1 };

struct driver {
    struct trial_node *node;
};

/* ---- an errand ---- */

static void forget_lease(struct ctx *ctx, const struct errand *e, uint64_t slot)
{
    if (e->leased)
        ctx_cancel_call(ctx, slot | LEASE_BIT);
}

static void end(struct ctx *ctx, struct trial_node *n, struct errand *e, enum err err, const char *text)
{
    forget_lease(ctx, e, (uint64_t)(e - n->errands));
    if (n->dead)
        return; /* nobody hears of it any more */
    errand_over(n, e, err, text);
}

static void go_on(struct ctx *ctx, struct trial_node *n, struct errand *e)
{
    enum err err = errand_ask(ctx, n, e, (uint64_t)(e - n->errands));
    if (err != ERR_OK)
        end(ctx, n, e, err, "it could not be asked");
}

static void begin(struct ctx *ctx, struct trial_node *n, struct errand *e)
{
    static const uint64_t seconds[] = {5, 15, 60};
    struct trial *t = n->trial;
    uint64_t slot = (uint64_t)(e - n->errands);
    uint64_t timeout_ns = seconds[prng_below(&t->prng, ARRAY_LEN(seconds))] * SECOND_NS;
    e->used = true;
    e->deadline_ns = ctx_now(ctx) + timeout_ns;
    errand_begin(n, e);
    t->result.begun[e->kind]++;
    const struct journal_row row = {.type = JOURNAL_BEGIN,
                                    .node = (uint16_t)n->number,
                                    .actor = ACTOR_CONTROL,
                                    .kind = (uint16_t)e->kind,
                                    .a = e->number};
    char text[JOURNAL_TEXT_MAX];
    (void)snprintf(text, sizeof(text), "%s, block %u", errand_name(e->kind), e->block);
    trial_note(t, &row, e->block == 0 ? errand_name(e->kind) : text);
    if (e->leases) {
        struct msg_lease lease = {0};
        e->leased = ctx_call(ctx, ACTOR_TIERED_STORAGE, &(struct msg){.kind = MSG_LEASE, .fields = &lease},
                             (struct call_opts){.timeout_ns = timeout_ns + SECOND_NS}, slot | LEASE_BIT) == ERR_OK;
    }
    go_on(ctx, n, e);
}

static struct errand *free_slot(struct trial_node *n, size_t most)
{
    for (size_t i = 0; i < most; i++) {
        if (n->errands[i].used)
            continue;
        n->errands[i] = (struct errand){0};
        return &n->errands[i];
    }
    return NULL;
}

/* ---- what is left to do ---- */

static bool is_under_way(const struct trial_node *n, enum errand_kind kind, unsigned block)
{
    for (size_t i = 0; i < TRIAL_ERRANDS; i++)
        if (n->errands[i].used && n->errands[i].kind == kind && n->errands[i].block == block)
            return true;
    return false;
}

static enum errand_kind lacking(const struct holding *held)
{
    if (held->wanted && held->pinned != SURE_YES)
        return ERRAND_PIN;
    if (held->stored == SURE_YES && !held->verified)
        return ERRAND_GET;
    return held->pinned == SURE_YES && !held->found ? ERRAND_FIND : ERRAND_KINDS;
}

/* ERRAND_KINDS: nothing more to begin. */
static enum errand_kind next_duty(const struct trial_node *n, unsigned *ret_block, bool *ret_all_done)
{
    const struct trial_node *other = &n->trial->nodes[(n->number + 1) % n->trial->plan->nodes];
    bool all = true;
    for (size_t i = 0; i < n->history.count; i++) {
        enum errand_kind kind = lacking(&n->history.list[i]);
        all = all && kind == ERRAND_KINDS;
        *ret_block = n->history.list[i].block;
        if (kind != ERRAND_KINDS && n->healthy && !is_under_way(n, kind, *ret_block))
            return kind;
    }
    *ret_block = 0;
    *ret_all_done = all && n->healthy && n->published && n->resolved;
    if (!n->healthy)
        return is_under_way(n, ERRAND_HEALTH, 0) ? ERRAND_KINDS : ERRAND_HEALTH;
    if (!n->published)
        return is_under_way(n, ERRAND_PUBLISH, 0) ? ERRAND_KINDS : ERRAND_PUBLISH;
    if (!n->resolved && other->published && !is_under_way(n, ERRAND_RESOLVE, 0))
        return ERRAND_RESOLVE;
    return ERRAND_KINDS;
}

static void do_duties(struct ctx *ctx, struct trial_node *n)
{
    struct errand *e;
    while ((e = free_slot(n, LIVENESS_WINDOW)) != NULL) {
        unsigned block = 0;
        bool all_done = false;
        enum errand_kind kind = next_duty(n, &block, &all_done);
        n->done = all_done;
        if (kind == ERRAND_KINDS)
            return;
        const struct trial_node *other = &n->trial->nodes[(n->number + 1) % n->trial->plan->nodes];
        *e = (struct errand){.kind = kind, .block = block, .other = other->number};
        e->wanted = kind == ERRAND_RESOLVE ? other->history.told_to : 0;
        begin(ctx, n, e);
    }
}

/* ---- time ---- */

static void work(struct ctx *ctx, struct trial_node *n)
{
    struct trial *t = n->trial;
    struct errand *e;
    if (t->phase == PHASE_LIVENESS)
        do_duties(ctx, n);
    else if (t->phase == PHASE_SAFETY && !t->plan->idle && (e = free_slot(n, TRIAL_ERRANDS)) != NULL) {
        errand_choose(n, e);
        begin(ctx, n, e);
    }
}

static void set_timer(struct ctx *ctx, struct trial_node *n)
{
    struct trial *t = n->trial;
    uint64_t at = ctx_now(ctx) + LOOK_SECONDS * SECOND_NS;
    if (t->phase == PHASE_JOINING || (t->phase == PHASE_SAFETY && t->plan->idle))
        at = MAX(at, t->plan->idle ? t->liveness_ns : t->safety_ns);
    else if (t->phase == PHASE_SAFETY)
        at = MIN(ctx_now(ctx) + trial_draw(t, t->plan->pause_ns), MAX(at, t->liveness_ns));
    (void)ctx_timer(ctx, at, WORK_TAG);
}

static void take_reply(struct ctx *ctx, struct trial_node *n, const struct info *info)
{
    struct errand *e = &n->errands[info->tag & ~(uint64_t)LEASE_BIT];
    if ((info->tag & LEASE_BIT) != 0) {
        e->leased = false; /* it was refused, or is lost: nothing may be pinned */
        return;
    }
    if (n->dead)
        return;
    enum err err = errand_take(n, e, info);
    if (err == ERR_AGAIN)
        go_on(ctx, n, e);
    else
        end(ctx, n, e, err, info->err == ERR_OK ? NULL : info->text);
    if (n->trial->phase == PHASE_LIVENESS && err == ERR_OK)
        do_duties(ctx, n);
}

static enum err driver_init(struct ctx *ctx, void *state, const struct config *config)
{
    struct driver *d = state;
    uint64_t number = 0;
    if (text_parse_u64(span_text(config->path + sizeof("/node-") - 1), &number) != ERR_OK)
        return ERR_INTERNAL;
    d->node = &trial_playing->nodes[number];
    set_timer(ctx, d->node);
    return ERR_OK;
}

static void driver_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct driver *d = state;
    if (info->kind == INFO_REPLY) {
        take_reply(ctx, d->node, info);
    } else if (info->kind == INFO_TIMER && !d->node->dead) {
        work(ctx, d->node);
        set_timer(ctx, d->node);
    }
}

const struct actor_class trial_driver_class = {
    .name = "driver",
    .state_bytes = sizeof(struct driver),
    .init = driver_init,
    .handle_info = driver_info,
};
