/* SPDX-License-Identifier: MIT */
/*
 * The driver: the actor in control's place, which takes its node's tasks one after the other and times them.
 */
#include "base/text.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "sim/crowd_internal.h"
#include "wire/multihash.h"

enum { LOOK_TAG = 1, WORK_TAG, CALL_SECONDS = 60 };

struct crowd *crowd_playing;

struct driver {
    struct crowd_node *node;
    struct crowd_task *task; /* under way */
};

static enum err ask(struct ctx *ctx, actor_id whom, uint16_t kind, const void *fields)
{
    const struct call_opts opts = {.timeout_ns = CALL_SECONDS * SECOND_NS};
    return ctx_call(ctx, whom, &(struct msg){.kind = kind, .fields = fields}, opts, WORK_TAG);
}

/* ---- tasks ---- */

static enum err connect_to(struct ctx *ctx, const struct crowd_node *target)
{
    char addr[CROWD_ADDR_MAX];
    struct buf list;
    crowd_node_addr(target, addr);
    buf_init(&list, 2 * CROWD_ADDR_MAX, NULL);
    enum err err = schema_list_add_text(&list, span_text(addr));
    struct msg_peer_connect fields = {.peer = peer_id_span(&target->id), .addrs = schema_list_of(&list, 1)};
    if (err == ERR_OK)
        err = ask(ctx, ACTOR_CONNECTION_MANAGER, MSG_PEER_CONNECT, &fields);
    buf_release(&list);
    return err;
}

static enum err find_peer(struct ctx *ctx, const struct crowd_node *target)
{
    struct msg_find_peer fields = {.peer = peer_id_span(&target->id)};
    return ask(ctx, ACTOR_DISCOVERY, MSG_FIND_PEER, &fields);
}

struct crowd_block crowd_block(unsigned number)
{
    return (struct crowd_block){.seed = crowd_playing->options->seed, .number = number};
}

size_t crowd_cid(unsigned number, uint8_t to[CID_BYTES_MAX])
{
    struct crowd_block block = crowd_block(number);
    struct multihash hash;
    if (multihash_sum(MULTIHASH_SHA2_256, SHA256_BYTES, span_of(&block, sizeof(block)), &hash) != ERR_OK)
        return 0;
    struct cid cid = cid_v1(CODEC_RAW, &hash);
    return cid_encode(&cid, to);
}

static enum err provide(struct ctx *ctx, unsigned cid)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct msg_provide fields = {.cid = span_of(bytes, crowd_cid(cid, bytes))};
    return ask(ctx, ACTOR_DISCOVERY, MSG_PROVIDE, &fields);
}

static enum err find_providers(struct ctx *ctx, unsigned cid)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct msg_find_providers fields = {.cid = span_of(bytes, crowd_cid(cid, bytes)), .count = 1};
    return ask(ctx, ACTOR_DISCOVERY, MSG_FIND_PROVIDERS, &fields);
}

static enum err begin(struct ctx *ctx, const struct crowd_task *task)
{
    switch (task->kind) {
    case CROWD_CONNECT:
        return connect_to(ctx, &crowd_playing->nodes[task->target]);
    case CROWD_FIND_PEER:
        return find_peer(ctx, &crowd_playing->nodes[task->target]);
    case CROWD_PROVIDE:
    case CROWD_PROVIDE_ATTACKED:
        return provide(ctx, task->cid);
    case CROWD_FIND_PROVIDERS:
    case CROWD_FIND_ATTACKED:
        return find_providers(ctx, task->cid);
    case CROWD_KINDS:
        break;
    }
    return ERR_INVALID;
}

/* Is the right one among them? */
static bool names_target(const struct msg_providers *found, const struct crowd_task *task)
{
    struct span target = peer_id_span(&crowd_playing->nodes[task->target].id);
    struct item_provider row;
    size_t position = 0;
    while (schema_list_next_map(&found->providers, &schema_item_provider, &position, &row))
        if (span_equal(row.peer, target))
            return true;
    return false;
}

/* Whether it is what was asked for; how much it took goes into the task. */
static bool judge(struct crowd_task *task, const struct msg *msg)
{
    const struct msg_peer_found *peer = msg->fields;
    const struct msg_provide_ok *told = msg->fields;
    const struct msg_providers *found = msg->fields;
    switch (task->kind) {
    case CROWD_FIND_PEER:
        task->requests = peer->asked;
        task->hops = peer->hops;
        return peer->addrs.count > 0;
    case CROWD_PROVIDE:
    case CROWD_PROVIDE_ATTACKED:
        task->requests = told->asked + told->count;
        task->hops = told->hops;
        return told->count > 0;
    case CROWD_FIND_PROVIDERS:
    case CROWD_FIND_ATTACKED:
        task->requests = found->asked;
        task->hops = found->hops;
        return names_target(found, task);
    case CROWD_CONNECT:
    case CROWD_KINDS:
        break;
    }
    return true;
}

/* ---- one after the other ---- */

static void end(struct driver *d, bool done, enum err err)
{
    struct crowd_task *task = d->task;
    bool by_id = task->kind == CROWD_CONNECT || task->kind == CROWD_FIND_PEER; /* records outlive their providers */
    const struct crowd_node *target = &crowd_playing->nodes[task->target];
    bool gone = by_id && (target->runtime == NULL || target->changed_at_ns >= task->began_ns); /* it may be back */
    d->task = NULL;
    crowd_task_end(task, done ? TASK_DONE : gone ? TASK_VOID : TASK_FAILED, err);
}

static void look(struct ctx *ctx, struct driver *d)
{
    while (d->task == NULL && d->node->first != NULL) {
        d->task = d->node->first;
        d->task->state = TASK_RUNS;
        d->task->began_ns = ctx_now(ctx);
        enum err err = begin(ctx, d->task);
        if (err != ERR_OK)
            end(d, false, err);
    }
}

static void take_reply(struct ctx *ctx, struct driver *d, const struct info *info)
{
    bool done = info->err == ERR_OK && judge(d->task, info->msg);
    d->task->took_ns = ctx_now(ctx) - d->task->began_ns;
    end(d, done, info->err == ERR_OK && !done ? ERR_NOT_FOUND : info->err);
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
    if (info->kind == INFO_TIMER)
        look_again(ctx, CROWD_LOOK_MS * MS_NS);
    else if (info->kind == INFO_REPLY && d->task != NULL)
        take_reply(ctx, d, info);
    look(ctx, d);
}

const struct actor_class crowd_driver_class = {
    .name = "driver",
    .state_bytes = sizeof(struct driver),
    .init = driver_init,
    .handle_info = driver_info,
};
