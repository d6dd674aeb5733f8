/* SPDX-License-Identifier: MIT */
/*
 * Keys to be provided and who is told of each: its KAD_K closest among the peers that were found.
 *
 *      provide_batch_add ──> keys ── provide_batch_assign(peers) ──> for each peer: provide_batch_next_peer
 *                                                                        its keys: provide_batch_next_key   (one stream)
 *                                                                        how it went: provide_batch_told
 *
 * A peer gets all its keys one after the other on one stream. A key counts as provided once PROVIDE_ENOUGH peers were told, or all that there
 * are. At most PROVIDE_BATCH_KEYS_MAX keys, all memory taken from the account at birth. One thread.
 */
#ifndef HEARTH_DHT_PROVIDE_BATCH_H
#define HEARTH_DHT_PROVIDE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "dht/provide_region.h"
#include "wire/multihash.h"

struct account;
struct provide_batch;

enum { PROVIDE_BATCH_KEYS_MAX = 2048, PROVIDE_BATCH_KEY_BYTES_MAX = 71, PROVIDE_ENOUGH = 5 };

struct provide_outcome {
    uint32_t keys;
    uint32_t provided; /* of these */
    uint32_t told;     /* messages that went out */
    uint32_t peers;    /* that were told */
    uint32_t failed;   /* that could not be */
};

/* ERR_NOMEM. account may be NULL. */
enum err provide_batch_new(uint32_t keys_max, struct account *account, struct provide_batch **ret_batch) MUST_CHECK;

/* NULL is ignored. */
void provide_batch_free(struct provide_batch *batch);

/* Forgets keys, peers and outcome. */
void provide_batch_clear(struct provide_batch *batch);

/* Takes a copy of a multihash. ERR_BUSY: full; ERR_TOO_LARGE. */
enum err provide_batch_add(struct provide_batch *batch, struct span multihash) MUST_CHECK;

/* peers are borrowed until the batch is cleared; at most PROVIDE_REGION_PEERS_MAX. Nothing may be added any more. */
void provide_batch_assign(struct provide_batch *batch, const struct region_peer *peers, size_t count);

/* The next peer that has keys, each once; false: all were handed out. */
bool provide_batch_next_peer(struct provide_batch *batch, size_t *ret_peer, struct peer_id *ret_id);

/* The keys of a peer: *position starts at 0; false at the end. */
bool provide_batch_next_key(const struct provide_batch *batch, size_t peer, uint32_t *position,
                            struct span *ret_multihash);

/* The peer was told of its keys up to position (of provide_batch_next_key), then it ended well or not. */
void provide_batch_told(struct provide_batch *batch, size_t peer, uint32_t position, bool well);

/* Whether the key with this number, in order of adding, counts as provided. */
bool provide_batch_is_provided(const struct provide_batch *batch, uint32_t key);
struct provide_outcome provide_batch_outcome(const struct provide_batch *batch);

#endif
