/* SPDX-License-Identifier: MIT */
/*
 * Several multiaddrs as one run of bytes, which is how tables and messages of the DHT hold them: one allocation a peer.
 *
 *      <varint length> <multiaddr> <varint length> <multiaddr> ...      without /p2p of the peer they belong to
 *
 * What addr_list_add made holds valid multiaddrs only; addr_list_next takes any bytes and stops at the first that are broken.
 */
#ifndef HEARTH_WIRE_ADDR_LIST_H
#define HEARTH_WIRE_ADDR_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

/*
 * Appends one multiaddr, a last /p2p cut off, unless it is in the list already. Errors of multiaddr_next (ERR_INVALID for an
 * empty one too), ERR_TOO_LARGE past list's maximum or MULTIADDR_BYTES_MAX, ERR_NOMEM; then the list is unchanged.
 */
enum err addr_list_add(struct buf *list, struct span addr) MUST_CHECK;

/* Takes the next address from the front of *list, borrowed; false at the end. */
bool addr_list_next(struct span *list, struct span *ret_addr);

bool addr_list_has(struct span list, struct span addr);

/* How many there are. */
size_t addr_list_count(struct span list);

#endif
