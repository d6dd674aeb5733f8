/* SPDX-License-Identifier: MIT */
/* What backend ipc has for a runtime in each process. Private to it. */
#ifndef HEARTH_MAILBOX_IPC_CARRIER_H
#define HEARTH_MAILBOX_IPC_CARRIER_H

#include "mailbox/backend_ipc.h"
#include "mailbox/crash_memory.h"
#include "mailbox/ipc_child.h"
#include "mailbox/ipc_desk.h"
#include "mailbox/ipc_place.h"
#include "mailbox/ipc_region.h"

struct workers;

struct ipc {
    const struct ipc_options *options;
    struct ipc_region region;
    struct crash_memory crash;  /* an actor's, which it joined */
    struct ipc_sockets sockets; /* root's */
    struct ipc_desk desk;
    struct workers *workers;
    pthread_t thread; /* root's */
    bool has_thread;
    _Atomic uint64_t to_wake;                          /* bit n: actor n, in another process, is to turn */
    struct ipc_child children[RUNTIME_ACTORS_MAX + 1]; /* root's; by actor_id */
    uint32_t accused[RUNTIME_ACTORS_MAX + 1];          /* the epoch that was told of */
};

static inline struct ipc *ipc_of(const struct ctx *c)
{
    return c->rt->carrier;
}

#endif
