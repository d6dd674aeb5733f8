/* SPDX-License-Identifier: MIT */
/*
 * Delegated routers: which of them is asked, and when one that failed is asked again. An engine: no clock, no I/O.
 *
 * A failure rests a router for 1 s, and twice as long each time up to ROUTERS_REST_MAX_S; "too many requests" rests it for as long as it says.
 * A router that says that it does not do something is not asked for that again in this life.
 */
#ifndef HEARTH_ACTORS_DISCOVERY_ROUTERS_H
#define HEARTH_ACTORS_DISCOVERY_ROUTERS_H

#include "wire/routing_v1.h"

enum { ROUTERS_MAX = 8, ROUTERS_REST_MAX_S = 300 };

struct router {
    struct routing_v1_router at;
    unsigned failures; /* in a row */
    uint64_t rests_until_ns;
};

struct routers {
    size_t count;
    struct router list[ROUTERS_MAX];
};

/* How a request ended. */
struct router_answer {
    enum err err;           /* of the transport */
    unsigned status;        /* of HTTP, 0 without a whole answer */
    uint64_t retry_after_s; /* 0: not told */
    bool any;               /* it had something before it was cut off */
};

/* ERR_INVALID with a sentence, ERR_BUSY past ROUTERS_MAX. */
enum err routers_add(struct routers *r, struct span text, const char **ret_why) MUST_CHECK;

/* Whether the router may be asked now, and the URL. */
bool routers_may_ask(const struct routers *r, size_t index, enum routing_v1_kind kind, const struct cid *cid,
                     uint64_t now_ns, char url[ROUTING_V1_URL_MAX]);

/* ERR_OK: it answered; ERR_NOT_FOUND: it knows nothing; else the error that counts as its failure. */
enum err routers_answered(struct routers *r, size_t index, enum routing_v1_kind kind,
                          const struct router_answer *answer, uint64_t now_ns);

#endif
