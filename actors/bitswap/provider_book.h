/* SPDX-License-Identifier: MIT */
/*
 * What is remembered of peers that provided, or should have: whom to dial first when a search names more than are needed.
 *
 *      score = 0.4 reputation + 0.4 success + 0.2 / (1 + latency in s) + 0.1 affinity + 0.2 if preferred
 *
 * Reputation moves a tenth of the way to 1 with each block, a fifth to 0 with each failure, and begins at a half, as does the share of success. Latency is the mean of the
 * last PROVIDER_LATENCIES. Affinity is how many of the last 16 requests it served: who was useful for what is fetched now will be. Preferred are
 * the configured peerings. A failure keeps a provider from being dialled for 1 s, 2 s, 4 s ... up to 300 s; more than 10 requests of which less
 * than a fifth succeeded, for as long as it is remembered: 24 h from when it was last heard of. The pace of a connected peer (pace.h) is finer and new for each connection; this outlives it.
 *
 * An engine: time is an argument, and it may not go backwards. Charged to an account, PROVIDERS_MAX at most; who was not heard of for longest gives way.
 */
#ifndef HEARTH_ACTORS_BITSWAP_PROVIDER_BOOK_H
#define HEARTH_ACTORS_BITSWAP_PROVIDER_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/table.h"
#include "wire/peer_id.h"

enum {
    PROVIDERS_MAX = 1024,
    PROVIDER_LATENCIES = 50,
    PROVIDER_RECENT = 16,
    PROVIDER_REST_MAX_S = 300,
    PROVIDER_FORGET_H = 24,
    PROVIDER_TRIES = 10,    /* more than so many requests ... */
    PROVIDER_GOOD_SHARE = 5 /* ... of which less than one in so many succeeded: dropped */
};

struct account;
struct provider;

struct provider_book {
    struct account *account;
    struct table providers; /* peer id -> struct provider */
};

void provider_book_init(struct provider_book *b, struct account *account);
void provider_book_release(struct provider_book *b);

/* Preferred from now on, and never forgotten. Without memory it is like others. */
void provider_book_prefer(struct provider_book *b, const struct peer_id *id, uint64_t now_ns);

/* A search named it, or it connected. */
void provider_book_seen(struct provider_book *b, const struct peer_id *id, uint64_t now_ns);

/* It gave a block, so long after it was asked; 0: not known. */
void provider_book_success(struct provider_book *b, const struct peer_id *id, uint64_t latency_ns, uint64_t now_ns);

/* It could not be reached, or did not send what it should. */
void provider_book_failure(struct provider_book *b, const struct peer_id *id, uint64_t now_ns);

/* 0 to 1.3; 0.5 of 0.8 and no latency yet, 0.6, for who is not known. */
double provider_book_score(const struct provider_book *b, const struct peer_id *id);

/* Whether it may be dialled now. */
bool provider_book_may_ask(const struct provider_book *b, const struct peer_id *id, uint64_t now_ns);

/* Orders who may be dialled by score, best first; the others are left out. Returns how many are left. */
size_t provider_book_choose(const struct provider_book *b, struct peer_id *ids, size_t count, uint64_t now_ns);

/* Forgets who was not heard of for PROVIDER_FORGET_H. */
void provider_book_tidy(struct provider_book *b, uint64_t now_ns);

#endif
