/* SPDX-License-Identifier: MIT */
/*
 * Questions to delegated routers (Routing.DelegatedRouters): each goes to all of them that may be asked, as jobs that block on HTTP, and what
 * comes is told by hooks, peer by peer. An answer that is cut off by its deadline or its size counts as far as it came.
 *
 * Part of the discovery actor; one thread. At most DELEGATED_JOBS_MAX requests at once, each with a buffer charged to the tables account.
 */
#ifndef HEARTH_ACTORS_DISCOVERY_DELEGATED_H
#define HEARTH_ACTORS_DISCOVERY_DELEGATED_H

#include "actors/discovery/routers.h"
#include "mailbox/actor.h"

enum {
    DELEGATED_JOBS_MAX = 8,
    DELEGATED_QUESTIONS_MAX = 32,
    DELEGATED_BODY_MAX = 128 * 1024,
    DELEGATED_TIMEOUT_S = 15,
};

/* Tags of its jobs are from here on; the actor has no others that high. */
#define DELEGATED_TAG (UINT64_C(1) << 48)

struct delegated_hooks {
    void *arg;
    /* One peer that a router told of. */
    void (*peer)(void *arg, uint64_t question, const struct routing_v1_peer *peer);
    /* A name's record, unchecked; for a question that stored one, empty: a router has taken it. */
    void (*record)(void *arg, uint64_t question, struct span record);
    /* Nothing more will come. Never called from delegated_ask. */
    void (*ended)(void *arg, uint64_t question);
};

struct delegated_question {
    uint64_t number; /* 0: free */
    unsigned left;   /* jobs under way */
    uint64_t first;  /* of the numbers of its jobs, which follow each other */
    uint64_t last;
};

struct delegated {
    struct ctx *ctx;
    const struct http_port *http;
    struct account *account;
    struct delegated_hooks hooks;
    struct routers routers;
    size_t jobs;
    uint64_t last_job;
    struct delegated_question questions[DELEGATED_QUESTIONS_MAX];
    struct routing_v1_reader *reader;
};

/* Without routers, a port, or with --offline it is there and answers nothing. Says in the log which router is passed over. */
enum err delegated_init(struct delegated *d, struct ctx *ctx, const struct config *config,
                        const struct delegated_hooks *hooks) MUST_CHECK;
void delegated_release(struct delegated *d);

bool delegated_is_on(const struct delegated *d);

/*
 * Asks. cid: of the block, or with codec libp2p-key of the peer; record: to be stored under the name, or empty. question: any number but 0 that is
 * not in use. ERR_UNSUPPORTED: no router is for that; ERR_BUSY: they rest, or too much is asked already; ERR_NOMEM. Then no hook is called.
 */
enum err delegated_ask(struct delegated *d, struct ctx *ctx, enum routing_v1_kind kind, const struct cid *cid,
                       struct span record, uint64_t timeout_ns, uint64_t question) MUST_CHECK;

/* No hook is called for it any more, and its requests are given up. */
void delegated_cancel(struct delegated *d, uint64_t question);

/* Takes the end of its jobs; false for all other infos. */
bool delegated_info(struct delegated *d, struct ctx *ctx, const struct info *info);

#endif
