/* SPDX-License-Identifier: MIT */
/*
 * Casts that must not be lost when a mailbox is full: they wait here, in order per receiver, until there is room again.
 *
 * What waits is bounded by what makes it: bytes behind tails are charged to the receive account, and while anything waits the
 * sockets are not read (backlog_is_congested). Fields are copied packed, so a message may be of any kind. One thread.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_BACKLOG_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_BACKLOG_H

#include "mailbox/actor.h"

enum {
    BACKLOG_RECEIVERS_MAX = 16,
    BACKLOG_STRUCT_MAX = 256,
    BACKLOG_PACKED_MAX = 512 * 1024,
    BACKLOG_WAITING_MAX = 65536
};

struct backlog_entry;

struct backlog_queue {
    struct backlog_entry *first;
    struct backlog_entry **last;
};

struct backlog {
    struct backlog_queue queues[BACKLOG_RECEIVERS_MAX]; /* by actor_id */
    size_t waiting;
    uint64_t lost; /* over the bound or without memory: must stay 0 */
};

void backlog_init(struct backlog *backlog);
void backlog_release(struct backlog *backlog);

/* Casts now or queues: the fields are packed, a reference to the tail is taken. */
void backlog_cast(struct backlog *backlog, struct ctx *ctx, actor_id to, const struct msg *msg);

/* INFO_ROOM of that actor. */
void backlog_room(struct backlog *backlog, struct ctx *ctx, actor_id to);

/* The actor's life ended: what waited for it is dropped. */
void backlog_forget(struct backlog *backlog, actor_id to);

static inline bool backlog_is_congested(const struct backlog *backlog)
{
    return backlog->waiting > 0;
}

#endif
