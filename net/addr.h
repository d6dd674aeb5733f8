/* SPDX-License-Identifier: MIT */
/*
 * Socket addresses: conversions between the ports' net_addr and the C library's sockaddr, and what kind of network one lies in.
 * Pure functions, any thread.
 */
#ifndef HEARTH_NET_ADDR_H
#define HEARTH_NET_ADDR_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "mailbox/ports.h"

/* Fills ret_sa and returns the length that bind and connect want. */
socklen_t addr_to_sockaddr(const struct net_addr *addr, struct sockaddr_storage *ret_sa);

/* ERR_UNSUPPORTED unless IPv4 or IPv6. An IPv4-mapped IPv6 address becomes IPv4, so that limits per address see one host. */
enum err addr_from_sockaddr(const struct sockaddr *sa, struct net_addr *ret_addr);

/* Family, port, zone and address bytes. */
bool addr_equal(const struct net_addr *a, const struct net_addr *b);

#endif
