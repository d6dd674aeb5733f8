/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the exchange share: its nodes, and the cables between them. Only exchange*.c include it.
 */
#ifndef HEARTH_SIM_EXCHANGE_INTERNAL_H
#define HEARTH_SIM_EXCHANGE_INTERNAL_H

#include "base/block_ref.h"
#include "base/buf.h"
#include "sim/exchange.h"
#include "wire/cid.h"
#include "wire/peer_id.h"

struct config;
struct sim;

/* Between the fetcher and one provider. A cut makes a new life of it, in which both sides begin anew. */
struct exchange_cable {
    struct buf to_fetcher;
    struct buf to_provider;
    unsigned life;
};

struct exchange_node {
    unsigned number;
    struct config *config;
    struct budget budget;
    struct peer_id id;
    struct runtime *runtime;
    bool stored[EXCHANGE_BLOCKS_MAX];
    bool done;
};

struct exchange {
    const struct exchange_options *options;
    struct sim *sim;
    struct exchange_node nodes[EXCHANGE_NODES];
    struct exchange_cable cables[EXCHANGE_PROVIDERS];
    struct cid cids[EXCHANGE_BLOCKS_MAX];
    struct block_ref *blocks[EXCHANGE_BLOCKS_MAX];
    unsigned cuts; /* of cables, to come */
    unsigned fetched;
    unsigned cancelled;
    enum err err;
    char *why;
};

/* The one that is being played: the simulator is one thread. */
extern struct exchange *exchange_playing;

/* The node whose configuration this is. */
struct exchange_node *exchange_node_of(const struct config *config);

/* The block's number; EXCHANGE_BLOCKS_MAX for a foreign CID. */
unsigned exchange_block_of(struct span cid);

/* In the place of connection_manager. */
extern const struct actor_class exchange_wire_class;

#endif
