/* SPDX-License-Identifier: MIT */
/*
 * The rules for values of the routing system, by namespace: which are valid, and which of two is better.
 *
 *      /ipns/<peer id>    an IPNS record that the owner of the id's key has signed and that is not over; the newer sequence is better
 *      /pk/<peer id>      a public key, the one that the id is the hash of; all valid values are the same
 *
 * Keys of other namespaces are refused. Pure functions; any thread. Spec: libp2p/specs kad-dht, entry validation.
 */
#ifndef HEARTH_ACTORS_DISCOVERY_DHT_VALUES_H
#define HEARTH_ACTORS_DISCOVERY_DHT_VALUES_H

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

/*
 * ret_expires_ns: the value's own end, UINT64_MAX without. ERR_UNSUPPORTED: no namespace of ours; else what the namespace says: ERR_INVALID,
 * ERR_AUTH, ERR_MISMATCH, ERR_TIMEOUT (expired) and the like.
 */
enum err dht_value_check(struct span key, struct span value, uint64_t real_now_ns, uint64_t *ret_expires_ns) MUST_CHECK;

/* Of two valid values of a key: positive when a is better, negative when b is, 0 when they are as good. */
int dht_value_compare(struct span key, struct span a, struct span b);

#endif
