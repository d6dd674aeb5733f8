/* SPDX-License-Identifier: MIT */
/*
 * The routing table: DHT servers by how long a prefix their key shares with ours.
 *
 *      buckets[0]   common prefix 0          20 peers, half of the key space
 *      buckets[1]   common prefix 1          20 peers, a quarter
 *      ...
 *      buckets[n-1] common prefix >= n-1     the last one, which is split when it is full
 *
 * As go-libp2p-kbucket: one bucket at first, only the last one is split. A full bucket takes a newcomer only in place of a peer that
 * failed, or that has not been of use for grace_ms; long-lived peers stay, which is what makes a flood of newcomers harmless.
 * With `diverse`, at most ROUTING_GROUP_MAX peers of one IP group (dht/ip_group.h) are in the table and ROUTING_GROUP_CPL_MAX of them at
 * one common prefix length; the groups are those of the address that the peer was really seen at.
 *
 * Bounded by ROUTING_PEERS_MAX entries of at most ROUTING_ADDRS_BYTES_MAX, all charged to the account. Questions allocate nothing. One
 * thread; times are milliseconds of any monotonic clock. Spec: libp2p/specs kad-dht, "Kademlia routing table".
 */
#ifndef HEARTH_DHT_ROUTING_TABLE_H
#define HEARTH_DHT_ROUTING_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "dht/ip_group.h"
#include "dht/kad_key.h"
#include "wire/kad.h"
#include "wire/peer_id.h"

enum {
    ROUTING_BUCKETS_MAX = 32, /* 2^32 peers: deeper ones share the last bucket */
    ROUTING_PEERS_MAX = ROUTING_BUCKETS_MAX * KAD_K,
    ROUTING_ADDRS_BYTES_MAX = 1024, /* of a peer's addr_list; the rest is left out */
    ROUTING_ADDRS_MAX = 16,
    ROUTING_GROUP_MAX = 3,
    ROUTING_GROUP_CPL_MAX = 2,
    ROUTING_REFRESH_CPL_MAX = 15, /* go's bound: a random key for a deeper prefix would take 2^15 trials */
    ROUTING_GRACE_MS = 20 * 60 * 1000,
};

/* Borrowed from the table until it changes. */
struct routing_peer {
    struct peer_id id;
    struct kad_key key;
    uint8_t *addrs; /* an addr_list of addrs_len bytes */
    uint16_t addrs_len;
    uint16_t cpl;      /* with our own key */
    uint32_t failures; /* in a row */
    ip_group group;    /* of the address it was seen at; 0 when it is not counted */
    uint64_t added_ms;
    uint64_t last_useful_ms;  /* it told us something a lookup needed */
    uint64_t last_queried_ms; /* it answered us last */
};

static inline struct span routing_peer_addrs(const struct routing_peer *peer)
{
    return span_of(peer->addrs, peer->addrs_len);
}

struct routing_bucket {
    struct routing_peer *peers[KAD_K];
    size_t count;
};

struct routing_table {
    struct kad_key own;
    struct peer_id own_id;
    struct routing_bucket *buckets[ROUTING_BUCKETS_MAX];
    size_t bucket_count;
    size_t count;
    bool diverse;
    uint64_t grace_ms;
    uint64_t refreshed_ms[ROUTING_REFRESH_CPL_MAX + 1]; /* per common prefix length; 0: never */
    struct account *account;
    uint64_t refused_full;      /* newcomers */
    uint64_t refused_diversity; /* newcomers, and moves of known peers to another group */
    uint64_t replaced;
};

/* account may be NULL. Allocates nothing. grace_ms: ROUTING_GRACE_MS. */
void routing_table_init(struct routing_table *t, const struct peer_id *own, bool diverse, uint64_t grace_ms,
                        struct account *account);
void routing_table_release(struct routing_table *t);

/*
 * Notes a DHT server that is or was connected: seen_at is the remote multiaddr of that connection, addrs the addr_list that others may be
 * told (filtered by the caller: addr_scope_filter). A known peer gets its addresses and group renewed; that it is there says nothing about
 * its use. useful: it has just answered a query, and last_useful_ms and last_queried_ms begin now instead of unset.
 *
 * ERR_OK: it is in the table. ERR_EXISTS: it was, and is. ERR_BUSY: its bucket is full of good peers. ERR_DENIED: too many of its IP
 * group, or no IP in seen_at (both only if diverse). ERR_INVALID: ourselves. ERR_NOMEM.
 */
enum err routing_table_add(struct routing_table *t, const struct peer_id *id, struct span seen_at, struct span addrs,
                           bool useful, uint64_t now_ms) MUST_CHECK;

/* It is gone, or speaks the DHT no more (client mode). False when it was not there. */
bool routing_table_remove(struct routing_table *t, const struct peer_id *id);

/* It answered a query; useful: with something new. Its failures are forgotten. Unknown peers are ignored. */
void routing_table_answered(struct routing_table *t, const struct peer_id *id, bool useful, uint64_t now_ms);

/* A query or dial failed: the peer may be replaced; after ROUTING_FAILURES_MAX in a row it is removed. True if it was removed. */
enum { ROUTING_FAILURES_MAX = 2 };
bool routing_table_failed(struct routing_table *t, const struct peer_id *id);

/* NULL when it is not there. */
const struct routing_peer *routing_table_find(const struct routing_table *t, const struct peer_id *id);

/* The peers closest to target, nearest first, at most max (up to ROUTING_PEERS_MAX); returns how many. Exact, allocates nothing. */
size_t routing_table_closest(const struct routing_table *t, const struct kad_key *target,
                             const struct routing_peer **ret_peers, size_t max);

/* The peer whose last answer is the oldest and at least age_ms ago, to be pinged by a refresh; NULL: none. */
const struct routing_peer *routing_table_stale(const struct routing_table *t, uint64_t age_ms, uint64_t now_ms);

/* Iterates all peers: *position starts at 0; NULL at the end. The table must not change meanwhile. */
const struct routing_peer *routing_table_next(const struct routing_table *t, size_t *position);

static inline size_t routing_table_len(const struct routing_table *t)
{
    return t->count;
}

/* ---- refresh ---- */

/*
 * The common prefix lengths whose part of the key space was not looked up for interval_ms: as many as there are buckets with peers and
 * one more, at most ROUTING_REFRESH_CPL_MAX + 1 of them. Returns how many; nearest part last.
 */
size_t routing_table_due(const struct routing_table *t, uint64_t interval_ms, uint64_t now_ms,
                         uint8_t ret_cpls[ROUTING_REFRESH_CPL_MAX + 1]);

/* A lookup for this key ended: its part counts as refreshed. */
void routing_table_refreshed(struct routing_table *t, const struct kad_key *target, uint64_t now_ms);

/*
 * Makes a peer id (sha2-256 form, 34 bytes) whose key has exactly this common prefix length with ours, for a FIND_NODE of a refresh: the
 * wire carries preimages, not keys, so it is searched by trial. random is 32 bytes from the caller. About 2^(cpl+1) hashes, at most
 * 2^20; false if none was found (about once in 10^13 at 15).
 */
bool routing_table_target(const struct routing_table *t, unsigned cpl, const uint8_t random[32],
                          struct peer_id *ret_id);

#endif
