/* SPDX-License-Identifier: MIT */
/*
 * What reactor.c (the loop) and sock.c (sockets and listeners on it) share. Nobody else includes this.
 */
#ifndef HEARTH_NET_REACTOR_INTERNAL_H
#define HEARTH_NET_REACTOR_INTERNAL_H

#include <uv.h>

#include "net/kept_listener.h"
#include "net/reactor.h"

struct watch {
    uv_poll_t poll;
    void (*ready)(void *arg);
    void *arg;
};

struct listener {
    uv_poll_t poll;
    struct loop *loop;
    struct kept_listener kept;
    uint64_t tag;
    bool closed;
};

struct loop {
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_timer_t timer;
    uv_timer_t accept_timer; /* resumes listeners after descriptors ran out */
    struct net_port net;
    struct reactor *reactor;
    net_sink *sink;
    void *sink_arg;
    bool (*turn)(void *arg, uint64_t *ret_wake_at_ns);
    void *turn_arg;
    struct net_sock *socks; /* all open ones, doubly linked */
    struct listener *listeners[REACTOR_LISTENERS_MAX];
    struct watch watches[REACTOR_WATCHES_MAX];
    size_t watch_count;
    int reserve_fd; /* given up for one accept when descriptors run out; -1 while gone */
};

struct reactor {
    struct loop_port port;
    struct loop *loop;
    const struct keep_port *keep; /* NULL: the listeners outlive no process */
    struct kept_listener kept[REACTOR_LISTENERS_MAX];
    size_t kept_count;
};

/* Fills loop->net and takes the reserve descriptor. */
void sock_port_init(struct loop *loop);

/* Closes every socket and hands the listeners' descriptors to the reactor. */
void sock_close_all(struct loop *loop);

#endif
