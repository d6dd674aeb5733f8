/* SPDX-License-Identifier: MIT */
/*
 * Which part of the network an address belongs to, as far as one owner is likely to hold it: what diversity limits count.
 *
 *      IPv4     /16, or /8 in the networks that were given out whole (12, 17, 19, 38, 48, 53, 56, 73)
 *      IPv6     /32, what a registry gives to one provider; 6to4 (2002::/16) and IPv4-mapped ones count as the IPv4 in them
 *      names    one group for all: nobody knows what they lead to
 *
 * go-libp2p groups IPv6 by AS number from a table of 10 MB, and by nothing where that knows none; /32 needs no table. Values; any
 * thread.
 */
#ifndef HEARTH_DHT_IP_GROUP_H
#define HEARTH_DHT_IP_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* 0 is no group. */
typedef uint64_t ip_group;

/* Of 4 or 16 bytes in network order. */
ip_group ip_group_of_ip(struct span ip);

/* Of the host that a multiaddr starts with (for a circuit the relay's); 0 when there is none or the bytes are broken. */
ip_group ip_group_of_addr(struct span multiaddr);

/* The different groups of an addr_list, at most max; returns how many. */
size_t ip_group_of_list(struct span addrs, ip_group *groups, size_t max);

#endif
