/* SPDX-License-Identifier: MIT */
/*
 * Follows DNSLink from a path below a domain to one that needs no DNS any more.
 *
 *      /ipns/a.org/docs   ask _dnslink.a.org for TXT;  nothing valid there: ask a.org
 *          dnslink=/ipfs/CID          -> /ipfs/CID/docs                  the end
 *          dnslink=/ipns/KEY/www      -> /ipns/KEY/www/docs              the end: a key's record is another matter
 *          dnslink=/ipns/b.org        -> /ipns/b.org/docs                ask _dnslink.b.org, one domain further
 *
 * Of several valid records of a name the first in the order of their bytes counts, so that the order of an answer does not. Records are
 * an outsider's words: a value is a CID, a peer id or a domain in its namespace and a path without control characters; the path is
 * bounded, and so is the number of domains. No I/O; one thread. Spec: dnslink.dev, specs.ipfs.tech web-redirects and IPNS.
 */
#ifndef HEARTH_WIRE_DNSLINK_H
#define HEARTH_WIRE_DNSLINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

#define DNSLINK_PREFIX "_dnslink."

enum {
    DNSLINK_DOMAINS_MAX = 32,
    DNSLINK_PATH_MAX = 4096,
    DNSLINK_DOMAIN_MAX = 244, /* a DNS name of 253 with the prefix before it */
    DNSLINK_HOST_BYTES = DNSLINK_DOMAIN_MAX + sizeof(DNSLINK_PREFIX)
};

struct dnslink {
    char path[DNSLINK_PATH_MAX + 1]; /* where it is; the result in the end */
    char best[DNSLINK_PATH_MAX + 1]; /* of the records offered for the name asked */
    char host[DNSLINK_HOST_BYTES];   /* the name to ask */
    unsigned left;                   /* domains that may still be asked */
    bool single;                     /* one record is followed, wherever it leads */
    bool found;                      /* best is set */
    bool bare;                       /* host is the domain itself */
};

/* Whether text can be a domain: two labels or more of letters, digits, - and _. A peer id or CID is none. */
bool dnslink_is_domain(struct span text);

/*
 * Begins: path is /ipns/DOMAIN, with more behind it or not, or just DOMAIN/... as people write it. domains_max: at most
 * DNSLINK_DOMAINS_MAX; 1 follows one record, wherever it leads. ERR_UNSUPPORTED: the path names no domain; ERR_TOO_LARGE.
 */
enum err dnslink_init(struct dnslink *l, struct span path, unsigned domains_max) MUST_CHECK;

/* One TXT record of host. */
void dnslink_offer(struct dnslink *l, struct span record);

/*
 * All records of host were offered (there may have been none). ERR_AGAIN: host is another name now, to be asked. ERR_OK: path is the
 * result, which names no domain unless domains_max was 1.
 * ERR_NOT_FOUND: the domain has no valid record. ERR_TOO_LARGE: too many domains, or too long a path.
 */
enum err dnslink_answered(struct dnslink *l) MUST_CHECK;

#endif
