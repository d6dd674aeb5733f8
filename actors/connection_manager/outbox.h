/* SPDX-License-Identifier: MIT */
/*
 * Casts that must not be lost when a mailbox is full: they wait here, in order per receiver, until there is room again.
 *
 * What waits is bounded by what makes it: bytes behind tails are charged to the receive account, and while anything waits the
 * sockets are not read (outbox_is_congested). Fields are copied packed, so a message may be of any kind. One thread.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_OUTBOX_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_OUTBOX_H

#include "mailbox/actor.h"

enum { OUTBOX_RECEIVERS_MAX = 16, OUTBOX_STRUCT_MAX = 256, OUTBOX_PACKED_MAX = 512 * 1024, OUTBOX_WAITING_MAX = 65536 };

struct outbox_entry;

struct outbox_queue {
    struct outbox_entry *first;
    struct outbox_entry **last;
};

struct outbox {
    struct outbox_queue queues[OUTBOX_RECEIVERS_MAX]; /* by actor_id */
    size_t waiting;
    uint64_t lost; /* over the bound or without memory: must stay 0 */
};

void outbox_init(struct outbox *outbox);
void outbox_release(struct outbox *outbox);

/* Casts now or queues: the fields are packed, a reference to the tail is taken. */
void outbox_cast(struct outbox *outbox, struct ctx *ctx, actor_id to, const struct msg *msg);

/* INFO_ROOM of that actor. */
void outbox_room(struct outbox *outbox, struct ctx *ctx, actor_id to);

/* The actor's life ended: what waited for it is dropped. */
void outbox_forget(struct outbox *outbox, actor_id to);

static inline bool outbox_is_congested(const struct outbox *outbox)
{
    return outbox->waiting > 0;
}

#endif
