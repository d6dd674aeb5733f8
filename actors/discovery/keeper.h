/* SPDX-License-Identifier: MIT */
/*
 * Which peers to dial without being asked, and when. No messages, no clock.
 *
 *      peering:    connected for ever and claimed, so that it is not trimmed, whoever dialled; a failure or a loss is followed by
 *                  another try, 5 s to 10 min apart, doubling, with jitter
 *      bootstrap:  as long as fewer than KEEPER_WANTED peers of any kind are connected, that many at a time, in random order; one
 *                  that was lost is tried again after half a minute, or at once when nobody is left
 *                  Even with peers enough, one bootstrap peer that is not connected is tried every 5 to 10 min: a network that fell
 *                  apart into parts that are content with themselves would never be one again otherwise
 *      known:      peers of earlier lives: as bootstrap peers, but only once each of those has failed, and never without any
 *
 * One thread; times are nanoseconds of any monotonic clock. Addresses are copied.
 */
#ifndef HEARTH_ACTORS_DISCOVERY_KEEPER_H
#define HEARTH_ACTORS_DISCOVERY_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "wire/peer_id.h"

enum {
    KEEPER_PEERS_MAX = 192,
    KEEPER_KNOWN_MAX = 32,
    KEEPER_ADDRS_MAX = 8, /* of one peer */
    KEEPER_RETRY_MS = 5000,
    KEEPER_RETRY_MAX_MS = 600000,
    KEEPER_PERIOD_MS = 30000,
    KEEPER_LOOK_MS = 600000,
    KEEPER_WANTED = 4, /* connected peers, below which others are sought */
    KEEPER_RUNNING_MAX = 8
};

struct keeper_peer {
    struct peer_id id;
    char *addrs[KEEPER_ADDRS_MAX]; /* none: those that connection_manager knows */
    size_t addr_count;
    bool used;
    bool peering;
    bool bootstrap; /* neither: known */
    bool connected;
    bool claimed; /* peering: it is protected */
    bool running; /* a try is under way */
    bool sought;  /* that try is not for a peering */
    uint32_t failures;
    uint64_t due_ns;
    uint64_t order; /* of those that are sought: the least goes first */
};

struct keeper {
    struct keeper_peer peers[KEEPER_PEERS_MAX]; /* a peer keeps its place */
    size_t running;
    size_t seeking;       /* of those: bootstrap and known */
    size_t bootstraps;    /* configured */
    size_t known;         /* added */
    size_t connected_any; /* peers connected, whoever they are */
    uint64_t
        look_due_ns; /* when a bootstrap peer is tried though there are peers enough; 0: keeper_next has not been asked yet */
};

enum keeper_role { KEEPER_BOOTSTRAP, KEEPER_PEERING };

/* Frees the addresses; the keeper is empty. */
void keeper_release(struct keeper *k);

/*
 * Adds a multiaddr that ends in /p2p/ID. The same peer twice is one with both addresses, and both roles. random: any number, as below.
 * ERR_INVALID: it does not end so; ERR_BUSY: too many peers or addresses; ERR_NOMEM.
 */
enum err keeper_add(struct keeper *k, const char *addr, enum keeper_role role, uint64_t random) MUST_CHECK;

/* A peer of an earlier life; passed over when it is there already or there are enough. */
void keeper_add_known(struct keeper *k, const struct peer_id *id, uint64_t random);

/* It is no peering any more. false: it was none. A connection stays. */
bool keeper_remove(struct keeper *k, const struct peer_id *id);

/* An address of a bootstrap peer goes, and with the last one the peer, unless it is a peering. false: it was none. A connection stays. */
bool keeper_remove_bootstrap(struct keeper *k, const char *addr);

/* A peer, whoever it is, is connected, or gone. */
void keeper_up(struct keeper *k, const struct peer_id *id);
/* The peer, which was just added, had come up before that. */
void keeper_found(struct keeper_peer *peer);
void keeper_down(struct keeper *k, const struct peer_id *id, uint64_t now_ns, uint64_t random);

/* The next peer to try, marked as running; NULL: none is due. keeper_ended must follow. */
struct keeper_peer *keeper_next(struct keeper *k, uint64_t now_ns);
void keeper_ended(struct keeper *k, struct keeper_peer *peer, bool connected, uint64_t now_ns, uint64_t random);

/* When keeper_next may have one; UINT64_MAX: never. */
uint64_t keeper_due(const struct keeper *k);

#endif
