/* SPDX-License-Identifier: MIT */
/*
 * The driver: the actor in control's place, which takes its node's tasks one after the other and times them.
 */
#include "base/text.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "sim/crowd_internal.h"

enum { LOOK_TAG = 1, TASK_TAG, CALL_SECONDS = 60 };

struct crowd *crowd_playing;

struct driver {
    struct crowd_node *node;
    struct crowd_task *task; /* under way */
};

static struct call_opts opts(void)
{
    return (struct call_opts){.timeout_ns = CALL_SECONDS * SECOND_NS};
}

static enum err connect_to(struct ctx *ctx, const struct crowd_node *target)
{
    char addr[CROWD_ADDR_MAX];
    struct buf list;
    crowd_node_addr(target, addr);
    buf_init(&list, 2 * CROWD_ADDR_MAX, NULL);
    enum err err = schema_list_add_text(&list, span_text(addr));
    struct msg_peer_connect fields = {.peer = peer_id_span(&target->id), .addrs = schema_list_of(&list, 1)};
    if (err == ERR_OK)
        err = ctx_call(ctx, ACTOR_CONNECTION_MANAGER, &(struct msg){.kind = MSG_PEER_CONNECT, .fields = &fields},
                       opts(), TASK_TAG);
    buf_release(&list);
    return err;
}

static enum err begin(struct ctx *ctx, const struct crowd_task *task)
{
    switch (task->kind) {
    case CROWD_CONNECT:
        return connect_to(ctx, &crowd_playing->nodes[task->target]);
    case CROWD_KINDS:
        break;
    }
    return ERR_INVALID;
}

static void end(struct ctx *ctx, struct driver *d, enum err err)
{
    struct crowd_task *task = d->task;
    bool gone = crowd_playing->nodes[task->target].runtime == NULL;
    d->task = NULL;
    task->took_ns = ctx_now(ctx) - task->began_ns;
    crowd_task_end(task, err == ERR_OK ? TASK_DONE : gone ? TASK_VOID : TASK_FAILED, err);
}

static void look(struct ctx *ctx, struct driver *d)
{
    while (d->task == NULL && d->node->first != NULL) {
        d->task = d->node->first;
        d->task->state = TASK_RUNS;
        d->task->began_ns = ctx_now(ctx);
        enum err err = begin(ctx, d->task);
        if (err != ERR_OK)
            end(ctx, d, err);
    }
}

static void look_again(struct ctx *ctx, uint64_t after_ns)
{
    (void)ctx_timer(ctx, ctx_now(ctx) + after_ns, LOOK_TAG);
}

static enum err driver_init(struct ctx *ctx, void *state, const struct config *config)
{
    struct driver *d = state;
    uint64_t number = 0;
    uint64_t phase = 0;
    if (text_parse_u64(span_text(config->path + sizeof("/node-") - 1), &number) != ERR_OK)
        return ERR_INTERNAL;
    d->node = &crowd_playing->nodes[number];
    ctx_random(ctx, &phase, sizeof(phase));
    look_again(ctx, phase % (CROWD_LOOK_MS * MS_NS));
    return ERR_OK;
}

static void driver_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct driver *d = state;
    if (info->kind == INFO_TIMER) {
        look_again(ctx, CROWD_LOOK_MS * MS_NS);
    } else if (info->kind == INFO_REPLY && d->task != NULL) {
        end(ctx, d, info->err);
    }
    look(ctx, d);
}

const struct actor_class crowd_driver_class = {
    .name = "driver",
    .state_bytes = sizeof(struct driver),
    .init = driver_init,
    .handle_info = driver_info,
};
