/* SPDX-License-Identifier: MIT */
/*
 * Which configured peers to dial, and when. No messages, no clock.
 *
 *      peering:    connected for ever; a failure or a loss is followed by another try, 5 s to 10 min apart, doubling, with jitter
 *      bootstrap:  until one try has succeeded; again whenever no peer at all is connected
 *
 * One thread; times are nanoseconds of any monotonic clock.
 */
#ifndef HEARTH_ACTORS_DISCOVERY_KEEPER_H
#define HEARTH_ACTORS_DISCOVERY_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "wire/peer_id.h"

enum { KEEPER_PEERS_MAX = 128, KEEPER_RETRY_MS = 5000, KEEPER_RETRY_MAX_MS = 600000, KEEPER_RUNNING_MAX = 8 };

struct keeper_peer {
    struct peer_id id;
    const char *addr; /* borrowed from the configuration */
    bool peering;
    bool connected;
    bool running; /* a try is under way */
    bool done;    /* bootstrap: has succeeded once */
    uint32_t failures;
    uint64_t due_ns;
};

struct keeper {
    struct keeper_peer peers[KEEPER_PEERS_MAX];
    size_t count;
    size_t running;
    size_t connected_any; /* peers connected, configured or not */
};

/* Adds a multiaddr that ends in /p2p/ID. ERR_INVALID: it does not; ERR_BUSY: too many. The same peer twice is one, peering wins. */
enum err keeper_add(struct keeper *k, const char *addr, bool peering) MUST_CHECK;

/* A peer, configured or not, is connected, or gone. jitter: any random number. */
void keeper_up(struct keeper *k, const struct peer_id *id);
void keeper_down(struct keeper *k, const struct peer_id *id, uint64_t now_ns, uint64_t jitter);

/* The next peer to try, marked as running; NULL: none is due. keeper_ended must follow. */
struct keeper_peer *keeper_next(struct keeper *k, uint64_t now_ns);
void keeper_ended(struct keeper *k, struct keeper_peer *peer, bool connected, uint64_t now_ns, uint64_t jitter);

/* When keeper_next may have one; UINT64_MAX: never. */
uint64_t keeper_due(const struct keeper *k);

#endif
