/* SPDX-License-Identifier: MIT */
/*
 * find_providers answered by delegated routers alone, where there is no DHT: each call is one question, answered when enough providers came, when
 * all routers have answered, or with what came by then shortly before its deadline. Part of the discovery actor; one thread.
 */
#ifndef HEARTH_ACTORS_DISCOVERY_FINDER_H
#define HEARTH_ACTORS_DISCOVERY_FINDER_H

#include "actors/discovery/delegated.h"
#include "schemas/messages.h"

enum { FINDER_CALLS_MAX = 16, FINDER_PROVIDERS_MAX = 64, FINDER_ROWS_BYTES = 28 * 1024, FINDER_DEFAULT = 10 };

struct finder_call {
    uint64_t question; /* 0: free */
    struct reply_to call;
    uint64_t stream; /* each provider is told at once; 0: all at the end */
    uint64_t until_ns;
    size_t wanted;
    size_t count;
    struct peer_id told[FINDER_PROVIDERS_MAX];
    struct buf rows;
};

struct finder {
    struct ctx *ctx;
    struct delegated routers;
    uint64_t last_question;
    struct finder_call calls[FINDER_CALLS_MAX];
};

enum err finder_init(struct finder *f, struct ctx *ctx, const struct config *config) MUST_CHECK;
void finder_release(struct finder *f);

/* ERR_UNSUPPORTED: there are no routers. ERR_BUSY, ERR_NOMEM, ERR_INVALID. */
enum err finder_call(struct finder *f, struct ctx *ctx, const struct msg_find_providers *fields,
                     struct reply_to call) MUST_CHECK;

/* Its jobs, and callers that gave up. */
void finder_info(struct finder *f, struct ctx *ctx, const struct info *info);

#endif
