/* SPDX-License-Identifier: MIT */
/*
 * A region of the key space and all peers in it, found by few lookups: where the records of all keys of the region go.
 *
 *      key space   0 ------[start ............ end]------- 2^256        a region is a subtree: all keys with its first bits
 *                           ^covered^  ^next lookup
 *
 * The KAD_K closest peers of a target are all peers of some subtree around it (that of the bits which the farthest of them shares with
 * the target, and one more), and then some. So lookups from left to right, each at the first key that is not covered yet, find every peer of
 * the region. And because any peer inside of a subtree is closer to a key inside than any peer outside, the KAD_K closest of each key of a
 * region with at least KAD_K peers are among its peers: one exploration, some five lookups, serves all keys in it.
 *
 * How large a region is follows from the network's density: some PROVIDE_REGION_PEERS peers. A region with fewer than KAD_K is widened to
 * its parent; one with too many is cut to a smaller subtree that is covered already. The rejected alternative, a lookup for each key, costs a
 * hundred thousand lookups for as many keys; go-libp2p-kad-dht's sweeping provider works by regions too.
 *
 * Targets are multihashes whose hash falls where it must, found by trial. One thread; no I/O, no clock, nothing allocated.
 */
#ifndef HEARTH_DHT_PROVIDE_REGION_H
#define HEARTH_DHT_PROVIDE_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "dht/kad_key.h"
#include "wire/kad.h"
#include "wire/peer_id.h"

enum {
    PROVIDE_REGION_PEERS = 40,      /* aimed at: up to twice as many, as a region is a subtree */
    PROVIDE_REGION_PEERS_MAX = 255, /* kept */
    PROVIDE_REGION_BITS_MAX = 40,
    PROVIDE_REGION_BITS_UNKNOWN = PROVIDE_REGION_BITS_MAX + 1, /* chosen by what the first lookup finds */
    PROVIDE_REGION_LOOKUPS_MAX = 96,
    PROVIDE_TARGET_BYTES = 34,
    PROVIDE_TARGET_BITS_MAX = 20, /* bits of a target that are searched for: a million hashes at most */
};

struct region_peer {
    struct kad_key key;
    struct peer_id id;
};

enum region_state { REGION_EXPLORING, REGION_DONE, REGION_FAILED };

struct provide_region {
    enum region_state state;
    struct kad_key start;      /* bits after `bits` are 0 */
    unsigned bits;             /* PROVIDE_REGION_BITS_UNKNOWN at first, if so asked */
    struct kad_key next;       /* first key from start on that is not covered */
    bool past_end;             /* the covered part reaches the end of the key space */
    struct kad_key done_start; /* the subtree that was explored before it was widened */
    unsigned done_bits;        /* 0: none */
    struct region_peer peers[PROVIDE_REGION_PEERS_MAX];
    size_t peer_count;
    uint32_t lookups;
    unsigned depth; /* bits that the next target shall share with `next` */
    uint64_t trial; /* of the search for targets */
    uint8_t target[PROVIDE_TARGET_BYTES];
    struct kad_key target_key;
};

/*
 * A region that contains the key, with so many bits. seed: any number; the targets depend on it, so that strangers do not know them
 * beforehand.
 */
void provide_region_init(struct provide_region *r, const struct kad_key *key, unsigned bits, uint64_t seed);

/* The key of the next FIND_NODE lookup, borrowed; false when the region is done or failed. Takes up to PROVIDE_TARGET_BITS_MAX bits of hashing. */
bool provide_region_target(struct provide_region *r, struct span *ret_key);

/*
 * The closest peers that answered a finished lookup for the target, in any order, at most KAD_K. Fewer than KAD_K are taken for all peers of
 * that half of the key space, so a lookup that ended early must not come here.
 */
void provide_region_found(struct provide_region *r, const struct peer_id *peers, size_t count);

/* The last key of the region. */
struct kad_key provide_region_end(const struct provide_region *r);
bool provide_region_contains(const struct provide_region *r, const struct kad_key *key);

/* Peers in the whole key space if all of it is as dense as this region. 0 while it is not done. */
double provide_region_density(const struct provide_region *r);

/* Bits of a region in a network of so many peers; 0 peers: PROVIDE_REGION_BITS_UNKNOWN. */
unsigned provide_region_bits(double network_peers);

#endif
