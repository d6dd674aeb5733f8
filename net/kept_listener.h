/* SPDX-License-Identifier: MIT */
/*
 * Listening descriptors between two lives of an actor: those of a thread wait in its reactor, those of a process lie where its runtime
 * keeps sockets (keep_port), from the moment they are opened, since a process may end at any.
 *
 * The loop's thread, or while there is none. Private to net/.
 */
#ifndef HEARTH_NET_KEPT_LISTENER_H
#define HEARTH_NET_KEPT_LISTENER_H

#include "net/reactor.h"

struct kept_listener {
    struct net_addr asked; /* as the caller named it: the key */
    struct net_addr bound;
    int fd;
};

/* What was kept for the address, or a new one; the caller's. ERR_EXISTS: the port is taken. */
enum err kept_listener_open(struct reactor *r, const struct net_addr *addr, struct kept_listener *ret_kept) MUST_CHECK;
/* Between two lives; takes the descriptor. */
void kept_listener_return(struct reactor *r, const struct kept_listener *kept);
/* For good. */
void kept_listener_close(struct reactor *r, const struct kept_listener *kept);

/* The address that a socket is bound to. */
void socket_local(int fd, struct net_addr *ret_addr);

#endif
