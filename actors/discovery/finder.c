/* SPDX-License-Identifier: MIT */
#include "actors/discovery/finder.h"

#include "base/limits.h"

enum { ADDRS_BYTES = 16 * 1024 };

static struct finder_call *find(struct finder *f, uint64_t question)
{
    for (size_t i = 0; i < FINDER_CALLS_MAX; i++)
        if (f->calls[i].question == question)
            return &f->calls[i];
    return NULL;
}

static void release(struct finder_call *c)
{
    buf_release(&c->rows);
    c->question = 0;
}

static void answer(struct finder *f, struct finder_call *c)
{
    struct msg_providers reply = {.partial = c->count < c->wanted && ctx_now(f->ctx) >= c->until_ns};
    if (c->stream == 0)
        reply.providers = schema_list_of(&c->rows, (uint32_t)c->count);
    ctx_reply(f->ctx, c->call, &(struct msg){.kind = MSG_PROVIDERS, .fields = &reply});
    release(c);
}

static uint32_t list_addrs(const struct routing_v1_peer *peer, struct buf *items)
{
    char text[MSG_ADDR_MAX];
    uint32_t count = 0;
    for (size_t i = 0; i < peer->addr_count; i++)
        if (multiaddr_text(multiaddr_span(&peer->addrs[i]), text, sizeof(text)) == ERR_OK &&
            schema_list_add_text(items, span_text(text)) == ERR_OK)
            count++;
    return count;
}

static void on_peer(void *arg, uint64_t question, const struct routing_v1_peer *peer)
{
    struct finder *f = arg;
    struct finder_call *c = find(f, question);
    struct buf items;
    if (c == NULL || (peer->told_protocols && !peer->bitswap))
        return; /* who speaks something else only, such as HTTP, cannot be asked by us */
    for (size_t i = 0; i < c->count; i++)
        if (peer_id_equal(&c->told[i], &peer->id))
            return;
    buf_init(&items, ADDRS_BYTES, NULL);
    uint32_t addrs = list_addrs(peer, &items);
    struct item_provider row = {.peer = peer_id_span(&peer->id), .addrs = schema_list_of(&items, addrs)};
    if (schema_list_add_map(&c->rows, &schema_item_provider, &row) == ERR_OK)
        c->told[c->count++] = peer->id;
    buf_release(&items);
    if (c->stream != 0) {
        struct msg_provider_found found = {.stream = c->stream, .providers = schema_list_of(&c->rows, 1)};
        if (c->rows.len > 0)
            (void)ctx_cast(f->ctx, c->call.from, &(struct msg){.kind = MSG_PROVIDER_FOUND, .fields = &found});
        buf_clear(&c->rows);
    }
    if (c->count == c->wanted) {
        delegated_cancel(&f->routers, question);
        answer(f, c);
    }
}

static void on_record(void *arg, uint64_t question, struct span record)
{
    (void)arg;
    (void)question;
    (void)record; /* no names are asked for here */
}

static void on_ended(void *arg, uint64_t question)
{
    struct finder *f = arg;
    struct finder_call *c = find(f, question);
    if (c != NULL)
        answer(f, c);
}

enum err finder_init(struct finder *f, struct ctx *ctx, const struct config *config)
{
    const struct delegated_hooks hooks = {.arg = f, .peer = on_peer, .record = on_record, .ended = on_ended};
    f->ctx = ctx;
    f->last_question = 0;
    return delegated_init(&f->routers, ctx, config, &hooks);
}

void finder_release(struct finder *f)
{
    for (size_t i = 0; i < FINDER_CALLS_MAX; i++)
        if (f->calls[i].question != 0)
            release(&f->calls[i]);
    delegated_release(&f->routers);
}

enum err finder_call(struct finder *f, struct ctx *ctx, const struct msg_find_providers *fields, struct reply_to call)
{
    struct cid cid;
    uint64_t left = ctx_left(ctx, call.deadline_ns);
    if (!delegated_is_on(&f->routers))
        return ERR_UNSUPPORTED;
    if (cid_parse(fields->cid, &cid) != ERR_OK)
        return ERR_INVALID;
    struct finder_call *c = find(f, 0);
    if (c == NULL)
        return ERR_BUSY;
    f->ctx = ctx;
    ctx_detach(ctx);
    uint64_t question = ++f->last_question;
    enum err err =
        delegated_ask(&f->routers, ctx, ROUTING_V1_PROVIDERS, &cid, (struct span){0}, left - left / 10, question);
    if (err != ERR_OK)
        return err;
    c->question = question;
    c->until_ns = ctx_now(ctx) + MIN(left - left / 10, DELEGATED_TIMEOUT_S * SECOND_NS);
    c->call = call;
    c->stream = fields->stream;
    c->wanted = (size_t)MIN(fields->count == 0 ? FINDER_DEFAULT : fields->count, (uint64_t)FINDER_PROVIDERS_MAX);
    c->count = 0;
    buf_init(&c->rows, FINDER_ROWS_BYTES, NULL);
    return ERR_OK;
}

void finder_info(struct finder *f, struct ctx *ctx, const struct info *info)
{
    f->ctx = ctx;
    if (delegated_info(&f->routers, ctx, info) || info->kind != INFO_CANCEL)
        return;
    for (size_t i = 0; i < FINDER_CALLS_MAX; i++) {
        struct finder_call *c = &f->calls[i];
        if (c->question == 0 || !reply_same(&c->call, &info->call))
            continue;
        delegated_cancel(&f->routers, c->question);
        release(c);
    }
}
