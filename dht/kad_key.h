/* SPDX-License-Identifier: MIT */
/*
 * The key space of the DHT: SHA-256 of a key's bytes, in which distance is XOR, read as a big-endian number.
 *
 * A peer is at the hash of its id's bytes, a provider record at the hash of the multihash, a value at the hash of its whole key
 * ("/ipns/..."). Values, no state; any thread. Spec: libp2p/specs kad-dht, "Distance".
 */
#ifndef HEARTH_DHT_KAD_KEY_H
#define HEARTH_DHT_KAD_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "wire/peer_id.h"

enum { KAD_KEY_BYTES = 32, KAD_KEY_BITS = 256 };

struct kad_key {
    uint8_t bytes[KAD_KEY_BYTES];
};

struct kad_key kad_key_of(struct span preimage);
struct kad_key kad_key_of_peer(const struct peer_id *id);

/* a XOR b. */
struct kad_key kad_key_distance(const struct kad_key *a, const struct kad_key *b);

/* How many leading bits are equal, 0 to KAD_KEY_BITS. */
unsigned kad_key_common_prefix(const struct kad_key *a, const struct kad_key *b);

/* Negative when a is closer to target than b, positive when b is, 0 when they are the same key. */
int kad_key_closer(const struct kad_key *target, const struct kad_key *a, const struct kad_key *b);

/* Order of keys as numbers, for regions. */
int kad_key_compare(const struct kad_key *a, const struct kad_key *b);

#endif
