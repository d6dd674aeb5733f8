/* SPDX-License-Identifier: MIT */
/*
 * The memory that the processes of one runtime have in common.
 *
 *      | head: magic, sizes, root's pid | struct runtime_shared | struct budget | cells of the accounts |
 *
 * A memfd of fixed size, sealed against change of its size, mapped shared by root's process and by each actor's, which inherits its number.
 * It has no pointers. What a process that was taken over writes here can spoil bounds and states, which root may answer with a restart;
 * it cannot make another process read or write outside of what is its own: nothing in the region is an address, a descriptor or an index.
 */
#ifndef HEARTH_MAILBOX_IPC_REGION_H
#define HEARTH_MAILBOX_IPC_REGION_H

#include <sys/types.h>

#include "mailbox/ctx.h"

struct ipc_region {
    int fd;
    size_t bytes;
    size_t actor_count;
    struct ipc_region_head *head;
    struct runtime_shared *shared;
    struct budget *budget; /* NULL = the runtime has none */
    _Atomic uint64_t *cells;
};

/* Makes it, all zero. */
enum err ipc_region_make(size_t actor_count, bool has_budget, struct ipc_region *ret_region) MUST_CHECK;
/* Maps one that was inherited. ERR_MISMATCH: it is not of this program and so many actors. */
enum err ipc_region_join(int fd, size_t actor_count, bool has_budget, struct ipc_region *ret_region) MUST_CHECK;
void ipc_region_close(struct ipc_region *region);

/* The process that made it. */
pid_t ipc_region_root(const struct ipc_region *region);

#endif
