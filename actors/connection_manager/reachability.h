/* SPDX-License-Identifier: MIT */
/*
 * Reachability: what AutoNAT knows of this node, and when it asks whom.
 *
 *      unknown --PROVEN networks agree that they came through--> public
 *         |    <--a stranger comes in all the same-------------- private
 *         +-----FAILED networks agree that they did not--------> private
 *
 * One peer is asked at a time. Words are cheap: that a peer came through counts only if its connection was seen to arrive while it
 * was asked, from the address where it was asked; so fewer of them are needed than of those who say that they failed (more than
 * three, says the spec), and these count for nothing while strangers from the public network come in. A network (dht/ip_group.h)
 * has one voice, and rests after it was asked; who is asked is one that this node dialled, so nobody can apply. A voice of the
 * other kind begins a new count, and leaves the status as it is until there are enough of them.
 *
 * No I/O and no clock: times are nanoseconds of any monotonic one. A value; one thread. Spec: libp2p/specs autonat/autonat-v1.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_REACHABILITY_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_REACHABILITY_H

#include <stdbool.h>
#include <stdint.h>

#include "dht/ip_group.h"
#include "mailbox/ports.h"

enum {
    REACHABILITY_START_MS = 5000, /* before the first question: peers have to be identified */
    REACHABILITY_PACE_MS = 20000, /* between two of them, three a minute; doubles with each that led to nothing */
    REACHABILITY_PACE_MAX_MS = 600 * 1000, /* up to this */
    REACHABILITY_LOOK_MS = 10000,          /* there was nobody to ask */
    REACHABILITY_FRESH_MS = 900 * 1000,    /* between two once the status is known */
    REACHABILITY_REST_MS = 600 * 1000,     /* of a network that was asked */
    REACHABILITY_ASK_MS = 30000,           /* until the answer; go-libp2p dials for 15 s */
    REACHABILITY_LATE_MS = 2000,           /* the answer may overtake the connection that it tells of */
    REACHABILITY_VISIT_MS = 600 * 1000,    /* so long a stranger's visit outweighs those who say that they failed */
    REACHABILITY_PROVEN = 2,
    REACHABILITY_FAILED = 4,
    REACHABILITY_RESTING_MAX = 32
};

/* In the order of go-libp2p's numbers. */
enum reachability_status { REACHABILITY_UNKNOWN, REACHABILITY_PUBLIC, REACHABILITY_PRIVATE };

struct reachability {
    enum reachability_status status;
    uint64_t next_ns; /* no question before */
    unsigned in_vain; /* questions one after the other that led to nothing */
    bool asking;
    bool came;       /* the asked one's connection has arrived */
    bool said_ok;    /* it says that it came through, and its connection is awaited */
    uint64_t due_ns; /* of the question under way */
    struct net_addr asked;
    struct net_addr said;
    bool agree_reached; /* what those in agreed say */
    unsigned agreed_count;
    ip_group agreed[REACHABILITY_FAILED];
    bool visited;
    uint64_t visited_ns;
    struct net_addr reached_at; /* where the last one says that it came through; family 0: not said */
    struct {
        ip_group group;
        uint64_t until_ns;
    } resting[REACHABILITY_RESTING_MAX]; /* a ring */
    unsigned resting_next;
    uint64_t questions;
    uint64_t answers; /* of these, that counted */
};

void reachability_init(struct reachability *r, uint64_t now_ns);

/* Is it time for a question? */
bool reachability_is_due(const struct reachability *r, uint64_t now_ns);

/* May the peer at this address be asked? */
bool reachability_may_ask(const struct reachability *r, const struct net_addr *peer, uint64_t now_ns);

/* It is asked; reachability_is_due and reachability_may_ask said so. */
void reachability_asked(struct reachability *r, const struct net_addr *peer, uint64_t now_ns);

/* It was time, and there was nobody. */
void reachability_nobody(struct reachability *r, uint64_t now_ns);

/* The answer: an enum autonat_status, or any number; said: where the peer says that it came through, NULL: not said. */
void reachability_answered(struct reachability *r, uint64_t status, const struct net_addr *said, uint64_t now_ns);

/* There will be no answer. */
void reachability_unanswered(struct reachability *r, uint64_t now_ns);

/* An upgraded connection has come in. open: from the public network to an address of it. */
void reachability_came_in(struct reachability *r, const struct net_addr *from, bool open, uint64_t now_ns);

/* Own addresses are others than before. */
void reachability_moved(struct reachability *r, uint64_t now_ns);

/* When reachability_tick or reachability_is_due has something to say. */
uint64_t reachability_deadline(const struct reachability *r);

/* Ends a question whose time is over. */
void reachability_tick(struct reachability *r, uint64_t now_ns);

/* "Unknown", "Public", "Private". */
const char *reachability_text(enum reachability_status status);

#endif
