/* SPDX-License-Identifier: MIT */
/*
 * The peers that were heard of on the local network, and which of them to dial. No messages, no clock.
 *
 * Anybody on the link can claim anything, so all is bounded: entries, addresses of an entry, dials under way, and how many new
 * peers are believed per source address and in all. A full table takes a newcomer only in place of one that has been silent for
 * NEIGHBOUR_LIFE_S, so a flood of inventions does not push out who is really there. A peer becomes due when it is heard of, not by
 * time alone: who is silent is not dialled.
 *
 * One thread; times are nanoseconds of any monotonic clock.
 */
#ifndef HEARTH_ACTORS_DISCOVERY_NEIGHBOURS_H
#define HEARTH_ACTORS_DISCOVERY_NEIGHBOURS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/limits.h"
#include "mailbox/ports.h"
#include "wire/peer_id.h"

enum {
    NEIGHBOURS_MAX = 128,
    NEIGHBOUR_ADDRS_MAX = 8,
    NEIGHBOUR_ADDR_BYTES_MAX = 63, /* an IP, a port and a transport fit; peers with longer ones have shorter ones too */
    NEIGHBOUR_LIFE_S = 900,
    NEIGHBOURS_DIALS_MAX = 4,
    NEIGHBOUR_RETRY_MS = 5000, /* after a failure, doubling */
    NEIGHBOUR_RETRY_MAX_MS = 600000,
    NEIGHBOUR_AGAIN_MS = 60000, /* after a success: whoever was trimmed does not come back at once */
    NEIGHBOURS_BURST = 64,      /* new peers believed at once; one more each NEIGHBOURS_REFILL_MS */
    NEIGHBOURS_REFILL_MS = 500,
    NEIGHBOURS_SOURCES_MAX = 16,
    NEIGHBOURS_SOURCE_BURST = 16,
    NEIGHBOURS_SOURCE_REFILL_MS = 5000,
};

/* A multiaddr without /p2p. */
struct neighbour_addr {
    uint8_t len;
    uint8_t bytes[NEIGHBOUR_ADDR_BYTES_MAX];
};

struct neighbour {
    struct peer_id id;
    struct neighbour_addr addrs[NEIGHBOUR_ADDRS_MAX]; /* ring: the latest replace the oldest */
    size_t addr_count;
    uint64_t added; /* addresses, ever */
    uint64_t first_seen_ns;
    uint64_t seen_ns;
    uint64_t due_ns; /* heard of earlier, it is not dialled */
    uint32_t failures;
    bool wanted;  /* was heard of when it was due */
    bool running; /* a dial is under way */
    bool told;    /* the owner has told of it */
};

/* So many at once, one more each refill_ms. */
struct neighbour_bucket {
    uint64_t last_ns;
    uint32_t tokens;
};

struct neighbour_source {
    struct net_addr addr;
    struct neighbour_bucket bucket;
    uint64_t used_ns; /* 0: free */
};

struct neighbours {
    struct neighbour *slots[NEIGHBOURS_MAX];
    struct neighbour_source sources[NEIGHBOURS_SOURCES_MAX];
    struct neighbour_bucket all;
    struct account *account;
    size_t count;
    size_t running;
    uint64_t refused; /* new peers that were not believed: too many, no memory */
};

/* Allocates nothing; entries are charged to account (may be NULL). */
void neighbours_init(struct neighbours *n, struct account *account, uint64_t now_ns);
void neighbours_release(struct neighbours *n);

/* from said that the peer is at addr (without /p2p). Longer addresses than fit are passed over. */
void neighbours_note(struct neighbours *n, const struct peer_id *id, struct span addr, const struct net_addr *from,
                     uint64_t now_ns);

/* The next peer to dial and its slot, marked as running; NULL: none. neighbours_ended must follow. */
struct neighbour *neighbours_next(struct neighbours *n, size_t *ret_slot);
void neighbours_ended(struct neighbours *n, size_t slot, bool connected, uint64_t now_ns);

/* Forgets who has been silent for NEIGHBOUR_LIFE_S. */
void neighbours_expire(struct neighbours *n, uint64_t now_ns);

#endif
