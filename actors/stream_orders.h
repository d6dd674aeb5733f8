/* SPDX-License-Identifier: MIT */
/*
 * What the owner of streams tells connection_manager: open, write, credit, reset, which protocols it serves, and what
 * peers are worth to it.
 *
 * Orders that find its mailbox full wait in a backlog, in order. An owner asks stream_orders_are_congested before it makes more of what
 * peers do not wait for, and tells of each INFO_ROOM. Owned by one actor; ctx is that of the running handler and set by it.
 */
#ifndef HEARTH_ACTORS_STREAM_ORDERS_H
#define HEARTH_ACTORS_STREAM_ORDERS_H

#include "actors/connection_manager/backlog.h"
#include "base/block_ref.h"
#include "mailbox/actor.h"
#include "schemas/messages.h"

struct stream_orders {
    struct ctx *ctx;
    struct backlog backlog;
};

void stream_orders_init(struct stream_orders *o, struct ctx *ctx);
void stream_orders_release(struct stream_orders *o);

/* INFO_ROOM of any actor. */
void stream_orders_room(struct stream_orders *o, actor_id actor);

/* Sends bytes, of which a reference is taken; NULL: none. fin: nothing more follows. stream_written gives the credit back. */
void stream_orders_write(struct stream_orders *o, uint64_t stream, struct block_ref *bytes, bool fin);

/* Received bytes were used up; window: what the peer should be promised at least, 0: as it is. */
void stream_orders_credit(struct stream_orders *o, uint64_t stream, uint64_t bytes, uint64_t window);

void stream_orders_reset(struct stream_orders *o, uint64_t stream);

/* All that this actor serves from now on, beside what the tree says: a list of texts. */
void stream_orders_serve(struct stream_orders *o, struct schema_list protocols);

/* What a peer is worth to this actor, when others have to go. */
void stream_orders_tag(struct stream_orders *o, const struct msg_peer_tag *tag);

static inline bool stream_orders_are_congested(const struct stream_orders *o)
{
    return backlog_is_congested(&o->backlog);
}

#endif
