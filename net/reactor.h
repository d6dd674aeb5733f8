/* SPDX-License-Identifier: MIT */
/*
 * The production loop and network ports: libuv's loop, own sockets.
 *
 * libuv is used for readiness only (uv_poll over our own non-blocking descriptors), so that one readv fills the caller's buffer and
 * one sendmsg empties its queue; uv_tcp_t would copy once more and own the write queue, which must be charged to an account here.
 *
 *      actor thread: [prepare: turn()] -> epoll -> [poll: net events, mailbox descriptors] -> [timer] -> ...
 *
 * Threads: reactor_new and reactor_free by anyone while no loop is open; all else on the thread that opened the loop. One reactor
 * serves one actor over its restarts and keeps the listening descriptors between two lives, so that no port is lost; with a keep_port those
 * outlive its process too.
 */
#ifndef HEARTH_NET_REACTOR_H
#define HEARTH_NET_REACTOR_H

#include "base/attr.h"
#include "mailbox/ports.h"

enum {
    REACTOR_LISTENERS_MAX = 32,
    REACTOR_WATCHES_MAX = 16,
    REACTOR_BACKLOG = 512,
    REACTOR_ACCEPTS_PER_WAKE = 64, /* then other sockets have their turn */
    REACTOR_ACCEPT_PAUSE_MS = 100  /* without a descriptor to spare, or memory of the kernel */
};

struct reactor;

/* NULL without memory. */
struct reactor *reactor_new(void) MUST_CHECK;

/* Closes the kept listeners. No loop may be open. NULL is ignored. */
void reactor_free(struct reactor *reactor);

/*
 * The port to hand to a runtime, borrowed from the reactor. open() gives ERR_BUSY while a loop of this reactor is open. The net
 * port of a loop: read and write never raise SIGPIPE, TCP_NODELAY is set on each socket, IPv6 listeners take IPv6 only. An
 * accept without a free descriptor closes the newcomer through a descriptor held in reserve.
 */
const struct loop_port *reactor_port(struct reactor *reactor);

#endif
