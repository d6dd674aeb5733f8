/* SPDX-License-Identifier: MIT */
/*
 * Which addresses belong into which of the two DHTs. Pure functions.
 *
 *                      public   private, link   loopback      unspecified, reserved
 *      ADDR_SCOPE_WAN    yes         no            no                  no
 *      ADDR_SCOPE_LAN    yes         yes           if allowed          no
 *
 * Names count as public, *.local and *.localhost as private. A circuit counts as its relay. Both are applied to what is sent and to
 * what is believed, as go-libp2p-kad-dht does for Kubo's dual DHT.
 */
#ifndef HEARTH_DHT_ADDR_SCOPE_H
#define HEARTH_DHT_ADDR_SCOPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum addr_scope {
    ADDR_SCOPE_WAN,
    ADDR_SCOPE_LAN,
    ADDR_SCOPE_LAN_LOOPBACK /* loopback too: several nodes on one machine */
};

/* May this multiaddr be told or believed there? False for broken bytes. */
bool addr_scope_admits(enum addr_scope scope, struct span addr);

/* The same for an address that is known to be valid, as those that addr_list_add put into a list: several times as fast. */
bool addr_scope_admits_listed(enum addr_scope scope, struct span addr);

/* Appends the addresses of an addr_list that are admitted, at most max of them; what does not fit is left out. ERR_NOMEM. */
enum err addr_scope_filter(enum addr_scope scope, struct span addrs, size_t max, struct buf *out) MUST_CHECK;

/* May a peer with these addresses be asked, or enter the table? WAN: a public one that is no circuit; LAN: any admitted one. */
bool addr_scope_usable(enum addr_scope scope, struct span addrs);

#endif
