/* SPDX-License-Identifier: MIT */
/*
 * How far away an address is: loopback, the local network, the world. It decides the order of dialling, what identify tells whom,
 * and which peers count as local. Pure functions.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_REACH_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_REACH_H

#include <stdbool.h>
#include <stddef.h>

#include "actors/connection_manager/endpoint.h"

enum reach {
    REACH_LOOPBACK,
    REACH_LOCAL, /* private, link-local, carrier NAT */
    REACH_PUBLIC,
    REACH_NOWHERE /* unspecified, multicast, broadcast: not an address to dial or to tell */
};

enum reach reach_of(const struct net_addr *addr);

/* Loopback or local. */
bool reach_is_near(const struct net_addr *addr);

/* May a peer whose connection reaches that far be told, or be believed, this address? Loopback needs loopback, local not public. */
bool reach_may_tell(enum reach addr, enum reach connection);

enum { REACH_SORT_MAX = 128 };

/*
 * Orders endpoints for dialling: nearer first, within that TCP before WebSocket (which costs a round trip more), within that IPv6
 * and IPv4 in turn, else stable. count <= REACH_SORT_MAX.
 */
void reach_sort(struct endpoint *addrs, size_t count);

#endif
