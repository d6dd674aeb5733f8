/* SPDX-License-Identifier: MIT */
/*
 * The messages by which libp2p peers of one link find each other.
 *
 *      question    _p2p._udp.local PTR ?
 *      answer      _p2p._udp.local             PTR  <name>._p2p._udp.local
 *      additional  <name>._p2p._udp.local      SRV  0 0 <port> <name>.local
 *                  <name>._p2p._udp.local      TXT  "dnsaddr=/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW..." ...
 *                  <name>.local                A, AAAA
 *
 * <name> is a random label that means nothing; the peer id is in the addresses. The TXT is all that a libp2p peer reads, but go-libp2p
 * passes over a peer without SRV and an address record of its target, and reads one TXT record only, so all addresses are strings of
 * one. One message tells of one peer, and fits a packet of 1,500 bytes. Spec: libp2p/specs discovery/mdns, RFC 6762, RFC 6763.
 */
#ifndef HEARTH_WIRE_MDNS_MESSAGE_H
#define HEARTH_WIRE_MDNS_MESSAGE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/dns.h"
#include "wire/multiaddr.h"
#include "wire/peer_id.h"

enum {
    MDNS_NAME_BYTES_MIN = 32,
    MDNS_NAME_BYTES_MAX = 63,
    MDNS_MESSAGE_BYTES_MAX = 1400,
    MDNS_TXT_BYTES_MAX = 768, /* addresses past it are left out */
    MDNS_TTL_SECONDS = 120,
    MDNS_PORT = 5353,
};

/* The names that a peer answers to. */
struct mdns_names {
    struct dns_name services; /* _services._dns-sd._udp.local: which services are there? */
    struct dns_name service;  /* _p2p._udp.local */
    struct dns_name instance; /* <name>._p2p._udp.local */
    struct dns_name host;     /* <name>.local */
};

/* Makes a lower-case alphanumeric name of 32 to 63 letters from 64 random bytes and the names around it. */
void mdns_names_init(struct mdns_names *names, const uint8_t random[64]);

/* What a query wants of this peer. */
struct mdns_asked {
    bool services;
    bool peers;   /* who is there: PTR of the service */
    bool records; /* what of this peer: records of the instance or the host by name */
};

/* Whether the message is an answer; queries and answers that hold an error code or another operation are ERR_INVALID. */
enum err mdns_is_answer(struct span message, bool *ret_answer) MUST_CHECK;

/* Reads a query; what the asker says that it knows already (and for a while still) is not asked for. ERR_TRUNCATED, ERR_INVALID. */
enum err mdns_read_query(const struct mdns_names *names, struct span message, struct mdns_asked *ret_asked) MUST_CHECK;

/* Reads an answer: the addresses in it one by one, whoever's they are. */
struct mdns_answer {
    struct dns_reader dns;
    struct span strings; /* what is left of the current TXT */
};

enum err mdns_answer_init(struct mdns_answer *answer, struct span message) MUST_CHECK;

/*
 * The next address, which ends in /p2p/ID. Strings that are something else, other instances' records of other services, this
 * peer's own and goodbyes (a lifetime of 0) are passed over. ERR_NOT_FOUND after the last, ERR_TRUNCATED or ERR_INVALID when the
 * rest cannot be read.
 */
enum err mdns_answer_next(struct mdns_answer *answer, const struct mdns_names *names, struct multiaddr *ret_addr,
                          struct peer_id *ret_peer) MUST_CHECK;

/* Writes into an empty buffer. ERR_NOMEM, ERR_TOO_LARGE. */
enum err mdns_write_query(const struct mdns_names *names, struct buf *to) MUST_CHECK;

/*
 * Writes the answer to what was asked. addrs: multiaddrs of TCP without /p2p, best first. ERR_NOT_FOUND when there are none, and
 * as above.
 */
enum err mdns_write_answer(const struct mdns_names *names, const struct mdns_asked *asked, const struct peer_id *self,
                           const struct span *addrs, size_t count, struct buf *to) MUST_CHECK;

#endif
