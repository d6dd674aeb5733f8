/* SPDX-License-Identifier: MIT */
/*
 * Multicast DNS: what to ask and to answer on which link, and when. No sockets, no clock; datagrams go in, messages come out.
 *
 *      link changed ──> question after 20-120 ms, then each 1 s, 2 s, 4 s ... 1 min; with each question our own answer
 *      question in  ──> answer after 20-120 ms, at most one a second and link
 *      answer in    ──> addresses of that link's own networks ──> neighbours
 *
 * A link is an interface and a family. An answer holds the addresses of its interface only, and an address is believed only if it
 * lies in a network of the link that it was heard on: what needs a router is no neighbour, and a liar cannot send us to strangers.
 * Loopback and link-local IPv6 are neither told nor believed (the zone is not in the address). Spec: RFC 6762 sections 5.2, 6, 7.1.
 *
 * One thread; times are nanoseconds of any monotonic clock; jitter is any random number.
 */
#ifndef HEARTH_ACTORS_DISCOVERY_MDNS_H
#define HEARTH_ACTORS_DISCOVERY_MDNS_H

#include "actors/discovery/neighbours.h"
#include "wire/mdns_message.h"

enum {
    MDNS_LINKS_MAX = 16,
    MDNS_OWN_MAX = 64,
    MDNS_DELAY_MIN_MS = 20,
    MDNS_DELAY_MAX_MS = 120,
    MDNS_ASK_FIRST_MS = 1000,
    MDNS_ASK_MAX_MS = 60000,
    MDNS_ANSWER_PAUSE_MS = 1000,
};

struct mdns_link {
    uint32_t link;
    enum net_family family;
    struct mdns_asked asked;
    uint64_t ask_at_ns;
    uint64_t ask_pause_ns;
    uint64_t answer_at_ns; /* UINT64_MAX: nothing is asked */
    uint64_t answered_ns;  /* 0: never */
};

struct mdns_counters {
    uint64_t questions_sent, answers_sent, questions_heard, answers_heard;
    uint64_t unusable; /* datagrams that are no DNS, or not whole */
    uint64_t foreign;  /* addresses that are not of the link they were heard on, or of no use */
};

struct mdns {
    struct mdns_names names;
    struct peer_id self;
    struct neighbours *neighbours;
    struct multicast_addr addrs[MULTICAST_ADDRS_MAX]; /* of the links */
    size_t addr_count;
    struct neighbour_addr own[MDNS_OWN_MAX]; /* where this node listens */
    size_t own_count;
    struct mdns_link links[MDNS_LINKS_MAX];
    size_t link_count;
    struct mdns_counters counters;
};

struct mdns_send {
    uint32_t link;
    enum net_family family;
};

/* neighbours is borrowed. random makes the name under which this life is known. */
void mdns_init(struct mdns *m, const struct peer_id *self, struct neighbours *neighbours, const uint8_t random[64]);

/* The links as they are now. When they are not as before, all are asked anew. */
void mdns_set_links(struct mdns *m, const struct multicast_addr *addrs, size_t count, uint64_t now_ns, uint64_t jitter);

/* Begins a new list of own addresses, adds one (multiaddr bytes; /p2p is dropped, what is not for neighbours passed over), and ends
 * it: a list that differs from the one before is told to all links. */
struct mdns_own {
    struct neighbour_addr addrs[MDNS_OWN_MAX];
    size_t count;
};
void mdns_own_add(struct mdns_own *own, struct span addr);
void mdns_set_own(struct mdns *m, const struct mdns_own *own, uint64_t now_ns, uint64_t jitter);

void mdns_feed(struct mdns *m, const struct multicast_datagram *datagram, uint64_t now_ns, uint64_t jitter);

/* The next message that is due, appended to an empty buffer. False: none is. */
bool mdns_next(struct mdns *m, uint64_t now_ns, uint64_t jitter, struct buf *to, struct mdns_send *ret_send) MUST_CHECK;

/* When mdns_next has one; UINT64_MAX: never. */
uint64_t mdns_due(const struct mdns *m);

#endif
