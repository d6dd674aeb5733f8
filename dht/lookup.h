/* SPDX-License-Identifier: MIT */
/*
 * An iterative lookup: asks ever closer peers until the closest ones have answered. Driven by events, no I/O, no clock.
 *
 *      lookup_seed ──> candidates, sorted by distance ── lookup_next ──> owner sends the request
 *                           ^                                              │
 *                           └── lookup_answered / lookup_failed <──────────┘      lookup_tick: deadlines
 *      lookup_next_provider <── what answers brought        lookup_state: RUNNING until DONE or DEADLINE
 *
 * FIND_NODE, GET_PROVIDERS and GET_VALUE are one engine: they differ in the request that the owner sends and in what it looks for.
 * A closest-peers lookup (`follow_up`) ends when the KAD_K closest candidates that did not fail have answered; without it, when the
 * KAD_BETA closest have. Every kind ends early when its goal is reached (enough providers; lookup_stop for a value or a peer), when nobody is
 * left to ask, and at its deadline; what was found until then stays readable (partial results).
 *
 * Sybils: with `diverse`, among the nearest candidates at most LOOKUP_GROUP_MAX count per IP group (dht/candidates.h); the others are kept
 * back, neither asked nor returned, unless one before them fails. 40 peers of one /24 beside the key thus cost three queries and hide
 * nobody. Peers of one group bring at most a third of the wanted providers, so bogus ones do not end a search. Nobody is dialled at
 * more than LOOKUP_ADDRS_MAX addresses that answers claimed.
 *
 * A query in flight longer than stall_ms frees its place among alpha, and still may answer until query_timeout_ms.
 *
 * Memory: one allocation of LOOKUP_CANDIDATES_MAX candidates (30 KiB) plus their addresses, at most LOOKUP_ADDRS_BYTES_MAX each, and the
 * providers; all charged to the account. What finds no room is left out, farthest candidates first, never refused as an error.
 * One thread. Times are milliseconds of any monotonic clock. Spec: libp2p/specs kad-dht, "DHT operations".
 */
#ifndef HEARTH_DHT_LOOKUP_H
#define HEARTH_DHT_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "dht/addr_scope.h"
#include "dht/ip_group.h"
#include "dht/kad_key.h"
#include "wire/kad.h"
#include "wire/peer_id.h"

enum {
    LOOKUP_CANDIDATES_MAX = 192, /* three peers that invent 40 each leave room for others */
    LOOKUP_ADDRS_MAX = 8,
    LOOKUP_ADDRS_BYTES_MAX = 512,
    LOOKUP_GROUPS_MAX = 4, /* of a candidate's addresses that are looked at */
    LOOKUP_GROUP_MAX = 3,
    LOOKUP_GROUP_KEPT_MAX = 8, /* crowded ones included: they must not push others out of the candidates */
    LOOKUP_PROVIDERS_MAX = 256,
    LOOKUP_GROUP_PROVIDERS_MAX = 64, /* that peers of one IP group bring, if diverse: they must not fill the set */
    LOOKUP_PROVIDER_ADDRS_MAX = 16,
    LOOKUP_PROVIDER_ADDRS_BYTES_MAX = 1024,
    LOOKUP_IN_FLIGHT_MAX = 3 * KAD_ALPHA, /* stalled ones included */
    LOOKUP_STALL_MS = 1500,
    LOOKUP_QUERY_TIMEOUT_MS = 10000,
};

struct lookup_params {
    struct span key; /* as it goes over the wire: multihash, peer id, "/ipns/..."; copied, at most KAD_RECORD_KEY_MAX */
    enum kad_type type;    /* of the request: KAD_FIND_NODE, KAD_GET_PROVIDERS, KAD_GET_VALUE */
    enum addr_scope scope; /* candidates are believed only addresses of it */
    bool diverse;          /* ADDR_SCOPE_WAN: yes */
    bool follow_up;        /* ask all of the KAD_K closest, not only the KAD_BETA closest */
    unsigned alpha;        /* 0: KAD_ALPHA */
    unsigned beta;         /* 0: KAD_BETA */
    size_t providers;      /* enough of them end the lookup; 0: as many as there are, up to LOOKUP_PROVIDERS_MAX */
    uint64_t deadline_ms;
    uint64_t query_timeout_ms; /* 0: LOOKUP_QUERY_TIMEOUT_MS */
    uint64_t stall_ms;         /* 0: LOOKUP_STALL_MS */
    struct peer_id own;        /* never asked, never returned */
};

enum lookup_state {
    LOOKUP_RUNNING,
    LOOKUP_DONE,    /* goal reached, or the closest have answered */
    LOOKUP_STARVED, /* nobody is left to ask and nobody answered: no seeds, or all failed */
    LOOKUP_DEADLINE /* results are partial */
};

struct lookup_stats {
    uint32_t asked;
    uint32_t answered;
    uint32_t failed;    /* timed out included */
    uint32_t heard;     /* different candidates that came in */
    uint32_t crowded;   /* that were kept back for their IP group when it ended, or now */
    uint32_t hops;      /* longest chain of answers that led to an answer: 1 for a seed */
    uint32_t hops_goal; /* the chain that led to the first provider; 0 without */
};

struct lookup;

/* Allocates. ERR_NOMEM; ERR_INVALID: an empty key or another type; ERR_TOO_LARGE. */
enum err lookup_new(const struct lookup_params *params, struct account *account, struct lookup **ret_lookup) MUST_CHECK;

/* NULL-safe. Queries in flight are forgotten. */
void lookup_free(struct lookup *l);

/*
 * A peer to begin with, usually KAD_K of routing_table_closest, with an addr_list of its addresses (may be empty for a connected peer: it
 * is used whatever scope says).
 */
void lookup_seed(struct lookup *l, const struct peer_id *id, struct span addrs);

/* Whom to ask. addrs is an addr_list, borrowed until the next call on the lookup; it may be empty when the peer is connected. */
struct lookup_query {
    struct peer_id id;
    struct span addrs;
};

/* The next peer to ask, then in flight; false: none at the moment. Call it until false after each event. */
bool lookup_next(struct lookup *l, uint64_t now_ms, struct lookup_query *ret_query);

/*
 * The connection that the peer's answer came over reaches this multiaddr: its IP group counts from now on instead of those of the addresses
 * that others claimed for it. Call it before lookup_answered; without, claims have to do.
 */
void lookup_seen_at(struct lookup *l, const struct peer_id *id, struct span remote_addr);

/*
 * The peer answered: takes its closer peers (the first KAD_PEERS_MAX) and, for GET_PROVIDERS, its providers. A value in it is the
 * owner's to judge. Ignored when the peer was not asked, has answered, or the lookup is over. True when the answer brought a new candidate among
 * the closest, a provider or a record: then it was useful to the routing table.
 */
bool lookup_answered(struct lookup *l, const struct peer_id *id, const struct kad_message *answer, uint64_t now_ms);

/* The dial, the stream or the answer failed. Ignored as above. */
void lookup_failed(struct lookup *l, const struct peer_id *id, uint64_t now_ms);

/* Ends queries and the lookup by their deadlines. Timed-out peers are handed out by lookup_next_timeout. */
void lookup_tick(struct lookup *l, uint64_t now_ms);

/* The next peer whose query ran out of time, each once: the owner resets its stream and tells the routing table. False: none. */
bool lookup_next_timeout(struct lookup *l, struct peer_id *ret_id);

/* When to call lookup_tick and lookup_next at the latest: a deadline, or a query that stalls and makes way for another one. */
uint64_t lookup_next_tick(const struct lookup *l);

/* The owner has what it wanted: LOOKUP_DONE. */
void lookup_stop(struct lookup *l);

enum lookup_state lookup_state(const struct lookup *l);
void lookup_stats(const struct lookup *l, struct lookup_stats *ret_stats);
const struct kad_key *lookup_target(const struct lookup *l);
struct span lookup_key(const struct lookup *l);
enum kad_type lookup_type(const struct lookup *l);

/* ---- results: readable at any time, also after the end ---- */

struct lookup_peer {
    struct peer_id id;
    struct span addrs; /* an addr_list, borrowed until the next call that changes the lookup */
};

/* The closest peers that answered, nearest first, at most max (up to KAD_K). Returns how many. */
size_t lookup_closest(const struct lookup *l, struct lookup_peer *ret_peers, size_t max);

/* What is known of a peer that somebody named, asked or not: for find_peer. False when it was not named or has no address. */
bool lookup_find(const struct lookup *l, const struct peer_id *id, struct lookup_peer *ret_peer);

/*
 * The next provider that was not taken yet, in order of arrival, each once; it comes a second time when addresses are learned after it came
 * without any. False: none at the moment. addrs borrowed until the next call that changes the lookup.
 */
bool lookup_next_provider(struct lookup *l, struct lookup_peer *ret_provider);

/* How many different ones have come. */
size_t lookup_provider_count(const struct lookup *l);

#endif
