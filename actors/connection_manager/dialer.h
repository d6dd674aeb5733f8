/* SPDX-License-Identifier: MIT */
/*
 * The dialer: turns "connect to this peer at these addresses" into attempts, one order at a time. No sockets, no clock.
 *
 *      dialer_start -> [ranked: loopback, private, public; TCP before WebSocket; IPv6 and IPv4 in turn]
 *          order CONNECT  ... 250 ms or a failure ... order CONNECT ...            (happy eyeballs, RFC 8305)
 *              attempt_connected -> attempt_upgraded -> order ABANDON for the rest, order DONE (ERR_OK)
 *                                -> attempt_failed   -> the next address; after the last: order DONE (why)
 *
 * An attempt proposes its secure channel without waiting ("optimistic"), which saves a round trip. When the peer refuses it in good
 * order, the same address is tried again at once with the other channel, since a peer that can be reached at all takes that one;
 * when it refuses both, or just hangs up, without optimism. The dialer remembers what a peer refused and what it took, so the
 * next dial goes straight to what works.
 *
 * New sockets are paced: a burst, then a steady rate, and so many at once. Home routers keep a row for each of them, also for those that
 * nobody answers, for minutes.
 *
 * Bounds: dials, attempts in flight, addresses a dial, remembered peers. After each event the owner takes orders with dialer_next
 * until there are none. One thread; times are nanoseconds of any monotonic clock.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_DIALER_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_DIALER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actors/connection_manager/connection.h"
#include "actors/connection_manager/endpoint.h"
#include "base/attr.h"
#include "base/err.h"
#include "wire/peer_id.h"

enum {
    DIALER_DIALS_MAX = 128,
    DIALER_ADDRS_MAX = 100,   /* of one dial */
    DIALER_ATTEMPTS_MAX = 64, /* of all dials at once */
    DIALER_PER_DIAL_MAX = 8,  /* of one dial at once */
    DIALER_STAGGER_MS = 250,
    DIALER_CONNECT_MS = 5000,  /* TCP */
    DIALER_ATTEMPT_MS = 15000, /* TCP and upgrade */
    DIALER_LOCAL_MS = 5000,    /* the same on loopback and private addresses */
    DIALER_DIAL_MS = 60000     /* all addresses */
};

struct dialer;

enum dialer_order_kind {
    DIALER_CONNECT, /* open a socket to this endpoint; attempt_connected, then attempt_upgraded or attempt_failed must follow */
    DIALER_ABANDON, /* close the attempt's socket; report nothing */
    DIALER_DONE     /* the dial is over with err, and its id is dead */
};

struct dialer_order {
    enum dialer_order_kind kind;
    uint64_t dial;
    uint64_t attempt;
    struct endpoint to;
    struct peer_id peer; /* empty: whoever answers */
    enum connection_security security[2];
    size_t security_count;
    bool optimistic;
    enum err err;
};

/* The channels that the node offers, in order of preference. account (may be NULL) pays for dials and memories. */
enum err dialer_new(const enum connection_security *security, size_t security_count, struct account *account,
                    struct dialer **ret_dialer) MUST_CHECK;
void dialer_free(struct dialer *d);

/* How fast sockets may be opened: rate a second (0: no limit) after a burst, and at most so many attempts at once (<= DIALER_ATTEMPTS_MAX). */
void dialer_pace(struct dialer *d, unsigned rate, unsigned burst, unsigned attempts_max, uint64_t now_ns);

/*
 * Starts a dial, or joins the one to the same peer under way (then ret_dial is its id and the addresses are added). names: how many
 * names are still being resolved; dialer_add brings their addresses. forced ignores the backoff (dial_memory.h). ERR_BUSY: too many dials;
 * ERR_UNAVAILABLE: the peer failed a moment ago and its backoff runs; ERR_NOT_FOUND: no address; ERR_NOMEM.
 */
enum err dialer_start(struct dialer *d, const struct peer_id *peer, const struct endpoint *addrs, size_t count,
                      unsigned names, bool forced, uint64_t now_ns, uint64_t *ret_dial) MUST_CHECK;

/* Addresses of a name that has been resolved (count 0: it could not). An unknown dial is ignored. */
void dialer_add(struct dialer *d, uint64_t dial, const struct endpoint *addrs, size_t count);

/* Gives the dial up: ABANDON orders and DONE with ERR_CANCELLED follow. */
void dialer_cancel(struct dialer *d, uint64_t dial);

/* Progress of an attempt. Unknown and abandoned ones are ignored. */
void dialer_attempt_connected(struct dialer *d, uint64_t attempt);
void dialer_attempt_upgraded(struct dialer *d, uint64_t attempt, const struct peer_id *peer,
                             enum connection_security security);
void dialer_attempt_failed(struct dialer *d, uint64_t attempt, enum err err);

/* The next thing to do; false: nothing until dialer_deadline or another event. */
bool dialer_next(struct dialer *d, uint64_t now_ns, struct dialer_order *ret_order);

/* Whether a dial that is over failed by the peer: not what we gave up, or had no room for. */
bool dialer_was_the_peers(const struct dialer_order *done);

/* When dialer_next may have something by itself; UINT64_MAX: never. */
uint64_t dialer_deadline(struct dialer *d, uint64_t now_ns);

#endif
