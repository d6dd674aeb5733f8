/* SPDX-License-Identifier: MIT */
/*
 * Expands /dnsaddr/NAME[/p2p/ID]: which names to ask for TXT records, and which addresses the records give.
 *
 *      /dnsaddr/a.org/p2p/X   ask _dnsaddr.a.org
 *          dnsaddr=/ip4/1.2.3.4/tcp/4001/p2p/X      an address
 *          dnsaddr=/dnsaddr/b.org/p2p/X             ask _dnsaddr.b.org, one level deeper
 *          dnsaddr=/ip4/1.2.3.5/tcp/4001/p2p/Y      another suffix: passed over
 *          v=spf1 ...                               not ours
 *
 * Records are an outsider's words that may lead on to a million names, or in a circle: a name is asked once per suffix, at most
 * DNSADDR_QUESTIONS_MAX names DNSADDR_DEPTH_MAX levels deep, and DNSADDR_ADDRS_MAX addresses come out in all. Breadth first, so that
 * what is near is not crowded out by what is far. No I/O; one thread. Spec: multiformats/multiaddr, protocols/DNSADDR.md.
 */
#ifndef HEARTH_WIRE_DNSADDR_H
#define HEARTH_WIRE_DNSADDR_H

#include "wire/multiaddr.h"

#define DNSADDR_PREFIX "_dnsaddr."

enum {
    DNSADDR_DEPTH_MAX = 4,
    DNSADDR_QUESTIONS_MAX = 32,
    DNSADDR_ADDRS_MAX = 100,
    DNSADDR_HOST_BYTES = MULTIADDR_NAME_MAX + sizeof(DNSADDR_PREFIX)
};

struct dnsaddr_question {
    char host[DNSADDR_HOST_BYTES]; /* "_dnsaddr.a.org" */
    struct peer_id peer;           /* records must end in it; empty: any */
    unsigned depth;
};

struct dnsaddr {
    struct dnsaddr_question questions[DNSADDR_QUESTIONS_MAX]; /* all there ever were */
    size_t count;
    size_t asked;
    size_t addrs;
};

/* Begins with one question. ERR_UNSUPPORTED: not /dnsaddr/NAME or /dnsaddr/NAME/p2p/ID; ERR_INVALID: no name that DNS could have. */
enum err dnsaddr_init(struct dnsaddr *d, const struct multiaddr *addr) MUST_CHECK;

/* The next name to ask for TXT records; NULL: none. Its records go to dnsaddr_take before the next one is asked for. */
const char *dnsaddr_next(struct dnsaddr *d);

/*
 * One record of the name asked last. ERR_OK: ret_addr is an address, no /dnsaddr. ERR_AGAIN: it leads on to another name.
 * ERR_NOT_FOUND: not a dnsaddr= record, or of another suffix. ERR_EXISTS: that name was or will be asked. ERR_TOO_LARGE: a bound was
 * reached. ERR_INVALID, ERR_UNSUPPORTED: no multiaddr that is known.
 */
enum err dnsaddr_take(struct dnsaddr *d, struct span record, struct multiaddr *ret_addr) MUST_CHECK;

#endif
