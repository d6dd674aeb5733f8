/* SPDX-License-Identifier: MIT */
/*
 * The production actors, watched: each handler is called through one here, which writes what it was given into the journal, and makes the
 * actor exit, stall or fail its start when that is plotted. The actors do not know; what has no trial runs without.
 */
#include <string.h>

#include "mailbox/ctx.h"
#include "mailbox/supervisor.h"
#include "schemas/messages.h"
#include "sim/trial_internal.h"

static const struct actor_class *originals[ACTOR_COUNT];
static struct actor_class watched[ACTOR_COUNT];
static const struct actor_class *classes[ACTOR_COUNT];

/* The node that an actor is of. */
static struct trial_node *node_of(const struct ctx *ctx)
{
    return ctx->rt->config.event_arg;
}

static const struct actor_class *original(const struct ctx *ctx)
{
    return originals[ctx_self(ctx)];
}

static struct journal_row row_of(const struct ctx *ctx, enum journal_type type)
{
    return (struct journal_row){
        .type = (uint8_t)type, .node = (uint16_t)node_of(ctx)->number, .actor = (uint8_t)ctx_self(ctx)};
}

static void note(const struct ctx *ctx, const struct journal_row *row, const char *text)
{
    const struct trial_node *n = node_of(ctx);
    if (!n->dead)
        trial_note(n->trial, row, text);
}

/* What is plotted happens with the next thing that the actor hears. */
static void play_plot(struct ctx *ctx)
{
    struct trial_node *n = node_of(ctx);
    struct trial_plot *plot = &n->plots[ctx_self(ctx)];
    if (plot->stall_ns > 0) {
        ctx->rt->backend->stall(ctx, plot->stall_ns);
        if (ctx_self(ctx) == ACTOR_CONNECTION_MANAGER)
            sim_host_stall(n->host, ctx_now(ctx) + plot->stall_ns);
        plot->stall_ns = 0;
    }
    if (plot->exits)
        ctx_exit(ctx, EXIT_FAILED, "it was made to");
    plot->exits = false;
}

/* ---- handlers ---- */

static enum err watched_init(struct ctx *ctx, void *state, const struct config *config)
{
    struct trial_plot *plot = &node_of(ctx)->plots[ctx_self(ctx)];
    enum err err = original(ctx)->init(ctx, state, config);
    if (err == ERR_OK && plot->fails_start) {
        plot->fails_start = false;
        err = ctx_fail(ctx, ERR_INTERNAL, "its start was made to fail");
    }
    struct journal_row row = row_of(ctx, JOURNAL_INIT);
    row.err = (uint8_t)err;
    note(ctx, &row, err == ERR_OK ? NULL : ctx->text);
    return err;
}

static enum err watched_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to call)
{
    struct journal_row row = row_of(ctx, JOURNAL_CALL);
    row.kind = msg->kind;
    row.from = (uint8_t)msg->from;
    note(ctx, &row, NULL);
    enum err err =
        original(ctx)->handle_call == NULL ? ERR_UNSUPPORTED : original(ctx)->handle_call(ctx, state, msg, call);
    play_plot(ctx);
    return err;
}

static void watched_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    struct journal_row row = row_of(ctx, JOURNAL_CAST);
    row.kind = msg->kind;
    row.from = (uint8_t)msg->from;
    note(ctx, &row, NULL);
    if (original(ctx)->handle_cast != NULL)
        original(ctx)->handle_cast(ctx, state, msg);
    play_plot(ctx);
}

static const enum journal_type info_types[] = {
    [INFO_REPLY] = JOURNAL_REPLY, [INFO_CANCEL] = JOURNAL_CANCEL, [INFO_TIMER] = JOURNAL_TIMER,
    [INFO_DOWN] = JOURNAL_DOWN,   [INFO_UP] = JOURNAL_UP,         [INFO_JOB] = JOURNAL_JOB,
    [INFO_ROOM] = JOURNAL_ROOM,   [INFO_NET] = JOURNAL_NET,
};

static void note_info(struct ctx *ctx, const struct info *info)
{
    if (info->kind >= ARRAY_LEN(info_types))
        return;
    struct journal_row row = row_of(ctx, info_types[info->kind]);
    row.a = info->tag;
    row.err = (uint8_t)info->err;
    row.from = (uint8_t)(info->kind == INFO_CANCEL ? info->call.from : info->actor);
    if (info->kind == INFO_REPLY && info->msg != NULL)
        row.kind = info->msg->kind;
    else if (info->kind == INFO_NET)
        row.kind = (uint16_t)info->net->kind;
    note(ctx, &row, info->kind == INFO_REPLY && info->err != ERR_OK ? info->text : NULL);
}

static void watched_info(struct ctx *ctx, void *state, const struct info *info)
{
    note_info(ctx, info);
    if (original(ctx)->handle_info != NULL)
        original(ctx)->handle_info(ctx, state, info);
    play_plot(ctx);
}

static void watched_terminate(struct ctx *ctx, void *state, enum exit_reason reason)
{
    struct journal_row row = row_of(ctx, JOURNAL_END);
    row.kind = (uint16_t)reason;
    note(ctx, &row, ctx->text);
    if (original(ctx)->terminate != NULL)
        original(ctx)->terminate(ctx, state, reason);
}

const struct actor_class *const *trial_classes(const struct runtime_config *described)
{
    for (size_t i = 1; i < described->class_count; i++) {
        originals[i] = i == ACTOR_CONTROL ? &trial_driver_class : described->classes[i];
        watched[i] = *originals[i];
        watched[i].init = watched_init;
        watched[i].handle_call = watched_call;
        watched[i].handle_cast = watched_cast;
        watched[i].handle_info = watched_info;
        watched[i].terminate = watched_terminate;
        classes[i] = &watched[i];
    }
    return classes;
}
