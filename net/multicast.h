/* SPDX-License-Identifier: MIT */
/*
 * Multicast DNS sockets: the production multicast_port.
 *
 *      one socket per family, port 5353 shared with whoever else is there (SO_REUSEADDR), joined to the group on each link
 *
 * Plain non-blocking descriptors: their actor waits for them along with its mailbox, and a few datagrams a minute need no loop. What
 * was sent to another address than the group is dropped, so nobody far away is heard; what is sent does not leave the link.
 * Without IPv6, or with the port taken exclusively, the other family works alone.
 *
 * One multicast per open; any number of them on any threads.
 */
#ifndef HEARTH_NET_MULTICAST_H
#define HEARTH_NET_MULTICAST_H

#include "mailbox/ports.h"

enum { MULTICAST_LINKS_MAX = 16, MULTICAST_RECEIVES_PER_WAKE = 64 };

/* A static port; nothing to free. */
const struct multicast_port *multicast_port(void);

#endif
