/* SPDX-License-Identifier: MIT */
/*
 * All lanes of the one actor of this process: it sends and reads here, and waits for whatever comes first.
 *
 *      epoll { control and data of each peer, wake, the ends of processes (root's) }   one descriptor, which a poll or an event loop watches
 *
 * Fair: peers with something to read are served in turn. One thread, but for desk_wake.
 */
#ifndef HEARTH_MAILBOX_IPC_DESK_H
#define HEARTH_MAILBOX_IPC_DESK_H

#include "mailbox/ipc_link.h"

struct ipc_desk {
    struct ctx *actor;
    struct ipc_link *links;        /* peer * LANE_COUNT + lane */
    uint64_t readable[LANE_COUNT]; /* bit n: peer n */
    uint64_t sending[LANE_COUNT];  /* bit n: epoll tells when there is room towards peer n */
    uint64_t ended;                /* bit n: the process of actor n has ended */
    uint32_t next[LANE_COUNT];     /* whose turn it is */
    struct batch *own[LANE_COUNT]; /* to itself */
    int epoll_fd;
    int wake_fd;
    _Atomic bool wake_pending; /* spares the write when one is under way */
    uint8_t *scratch;
};

/* fds: LANE_COUNT for each peer, borrowed. On an error desk_close all the same. */
enum err desk_open(struct ipc_desk *desk, struct ctx *actor, const int *fds) MUST_CHECK;
void desk_close(struct ipc_desk *desk);

/* As the backend's operations. */
enum err desk_send(struct ipc_desk *desk, actor_id to, enum lane lane, struct batch **batch) MUST_CHECK;
/* ERR_PROTOCOL: the process of *ret_bad sent what is no batch. */
enum err desk_receive(struct ipc_desk *desk, enum lane lane, struct batch **ret_batch, actor_id *ret_bad) MUST_CHECK;
/* True while the actor must not wait: it has sent itself something. */
bool desk_has_own(const struct ipc_desk *desk);
/* Any thread. */
void desk_wake(struct ipc_desk *desk);

/* Before each wait: epoll shall tell of room where something is on its way. */
void desk_arm(struct ipc_desk *desk);
/* epoll_fd is readable: notes what is. Sends on where there is room. */
void desk_look(struct ipc_desk *desk);
/* Root's: ended gets the actor's bit when the process ends. */
enum err desk_watch_child(struct ipc_desk *desk, actor_id who, int pidfd) MUST_CHECK;
/* Nothing is on its way any more, within so long. */
void desk_settle(struct ipc_desk *desk, int timeout_ms);

#endif
