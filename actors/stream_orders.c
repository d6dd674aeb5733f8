/* SPDX-License-Identifier: MIT */
#include "actors/stream_orders.h"

#include "actors/tree.h"

void stream_orders_init(struct stream_orders *o, struct ctx *ctx)
{
    o->ctx = ctx;
    backlog_init(&o->backlog);
}

void stream_orders_release(struct stream_orders *o)
{
    backlog_release(&o->backlog);
}

void stream_orders_room(struct stream_orders *o, actor_id actor)
{
    backlog_room(&o->backlog, o->ctx, actor);
}

static void tell(struct stream_orders *o, uint16_t kind, const void *fields, struct block_ref *tail)
{
    backlog_cast(&o->backlog, o->ctx, ACTOR_CONNECTION_MANAGER,
                 &(struct msg){.kind = kind, .fields = fields, .tail = tail});
}

void stream_orders_write(struct stream_orders *o, uint64_t stream, struct block_ref *bytes, bool fin)
{
    struct msg_stream_write fields = {.stream = stream, .fin = fin};
    tell(o, MSG_STREAM_WRITE, &fields, bytes);
}

void stream_orders_credit(struct stream_orders *o, uint64_t stream, uint64_t bytes, uint64_t window)
{
    struct msg_stream_credit fields = {.stream = stream, .bytes = bytes, .window = window};
    tell(o, MSG_STREAM_CREDIT, &fields, NULL);
}

void stream_orders_reset(struct stream_orders *o, uint64_t stream)
{
    struct msg_stream_reset fields = {.stream = stream};
    tell(o, MSG_STREAM_RESET, &fields, NULL);
}

void stream_orders_serve(struct stream_orders *o, struct schema_list protocols)
{
    struct msg_protocol_serve fields = {.protocols = protocols};
    tell(o, MSG_PROTOCOL_SERVE, &fields, NULL);
}

void stream_orders_tag(struct stream_orders *o, const struct msg_peer_tag *tag)
{
    tell(o, MSG_PEER_TAG, tag, NULL);
}
