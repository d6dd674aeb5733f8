/* SPDX-License-Identifier: MIT */
/*
 * Socket addresses: conversions between the ports' net_addr, the C library's sockaddr, and multiaddrs of TCP.
 * Pure functions, any thread.
 */
#ifndef HEARTH_NET_ADDR_H
#define HEARTH_NET_ADDR_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/ip_network.h"
#include "mailbox/ports.h"
#include "wire/multiaddr.h"

/* Fills ret_sa and returns the length that bind and connect want. */
socklen_t addr_to_sockaddr(const struct net_addr *addr, struct sockaddr_storage *ret_sa);

/* ERR_UNSUPPORTED unless IPv4 or IPv6. An IPv4-mapped IPv6 address becomes IPv4, so that limits per address see one host. */
enum err addr_from_sockaddr(const struct sockaddr *sa, struct net_addr *ret_addr);

/* The socket address of a multiaddr target that is an IP literal. ERR_UNSUPPORTED for names, zones that are no number, and others. */
enum err addr_of_target(const struct multiaddr_target *target, struct net_addr *ret_addr);

/* /ip4/.../tcp/... or /ip6/.../tcp/... */
struct multiaddr addr_to_multiaddr(const struct net_addr *addr);

/* The mapped form of base/ip_network.h. */
void addr_map(const struct net_addr *addr, uint8_t ret_ip[IP_BYTES]);

/* Family, port, zone and address bytes. */
bool addr_equal(const struct net_addr *a, const struct net_addr *b);

#endif
