/* SPDX-License-Identifier: MIT */
/*
 * The endpoints behind a name: /dns, /dns4 and /dns6 by A and AAAA records, /dnsaddr by TXT records at _dnsaddr.NAME that hold
 * multiaddrs, names among them.
 *
 *      /dnsaddr/a.org/p2p/X --TXT--> dnsaddr=/ip4/1.2.3.4/tcp/4001/p2p/X      an endpoint
 *                                    dnsaddr=/dns4/b.org/tcp/80/ws/p2p/X      --A--> endpoints
 *                                    dnsaddr=/dnsaddr/c.org/p2p/X             --TXT--> ... at most four levels
 *                                    dnsaddr=/ip4/.../p2p/Y                   another peer: passed over
 *
 * What records say is an outsider's word, so depth, questions and results are all bounded: a tree of records that only point on
 * would else ask a million questions (wire/dnsaddr). Blocking, from jobs: it uses nothing but the dns_port.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_NAMES_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_NAMES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "actors/connection_manager/endpoint.h"
#include "base/attr.h"
#include "mailbox/ports.h"
#include "wire/multiaddr.h"

enum {
    NAMES_QUESTIONS_MAX = 32, /* of one name in all, A and TXT together */
    NAMES_FOUND_MAX = 100,
    NAMES_SECONDS_MAX = 30 /* for all questions of one name */
};

struct names {
    const struct dns_port *dns; /* NULL: a runtime without names */
    struct peer_id peer;        /* whom the dial wants; empty: any */
    uint64_t deadline_ns;       /* CLOCK_MONOTONIC: no question is waited for beyond */
    unsigned questions;         /* asked so far */
    struct endpoint found[NAMES_FOUND_MAX];
    size_t count;
};

/* Whether this target's host is a name whose endpoints can be dialled. */
bool names_can_resolve(const struct multiaddr_target *target);

/*
 * Adds the endpoints behind addr to names->found; dns, peer and deadline_ns are set by the caller, the rest zero. Looks at *cancelled before
 * each question. What cannot be resolved adds nothing.
 */
void names_resolve(struct names *names, const struct multiaddr *addr, const _Atomic bool *cancelled);

#endif
