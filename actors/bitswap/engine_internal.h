/* SPDX-License-Identifier: MIT */
/*
 * The inside of the serving engine: peers, the multihashes they want, what is due to them. Only engine*.c include it.
 */
#ifndef HEARTH_ACTORS_BITSWAP_ENGINE_INTERNAL_H
#define HEARTH_ACTORS_BITSWAP_ENGINE_INTERNAL_H

#include "actors/bitswap/engine.h"
#include "actors/bitswap/rate.h"

/* A multihash that somebody wants. */
struct engine_subject {
    struct cid cid; /* of the first want: its multihash is the key */
    struct ledger_want *wants;
    struct engine_subject *next_lookup;
    struct engine_subject *prev_lookup;
    bool due;   /* on the list of lookups */
    bool asked; /* storage has the question */
    bool again; /* something changed since storage was asked */
};

struct presence {
    struct presence *next;
    struct cid cid;
    bool have;
};

struct ready {
    struct ready *next;
    struct cid cid;
    struct block_ref *block;
};

struct engine_peer {
    struct peer_id id;
    void *owner;
    struct ledger ledger;
    struct presence *presences;
    struct presence **presences_last;
    size_t presence_count;
    struct ready *ready;
    struct ready **ready_last;
    size_t ready_bytes;
    size_t outstanding; /* bytes charged: being fetched, ready, or under way */
    size_t fetching;    /* count */
    size_t deficit;     /* bytes that it may still fetch in its turn */
    struct rate rate;   /* at which it takes blocks */
    struct engine_peer *next_turn;
    struct engine_peer *next_dirty;
    bool in_turn;
    bool dirty;
};

/* Peers in a queue, by one of their two links. */
struct engine {
    struct account *tables;
    struct account *send;
    size_t reading; /* bytes of the fetches under way: storage charges its read of them to send once more */
    struct table peers;
    struct table subjects; /* multihash bytes -> struct engine_subject */
    struct engine_subject *lookups;
    struct engine_subject *lookups_last;
    struct engine_peer *turns; /* peers with blocks to be fetched */
    struct engine_peer **turns_last;
    bool short_of_memory; /* when the first of these was looked at */
    struct engine_peer *dirty;
    struct engine_peer **dirty_last;
    struct engine_stats stats;
};

/* Memory that is charged to tables; NULL when it is exhausted. Zeroed. */
void *engine_take(struct engine *e, size_t bytes) MUST_CHECK;
void engine_give(struct engine *e, void *p, size_t bytes);

/* The queue of peers with blocks to be fetched, and that of peers with something to be sent. Pushing twice is once. */
void engine_turn_push(struct engine *e, struct engine_peer *peer);
void engine_turn_remove(struct engine *e, struct engine_peer *peer);
void engine_dirty_push(struct engine *e, struct engine_peer *peer);
void engine_dirty_remove(struct engine *e, struct engine_peer *peer);

/* Answers that wait for a message; a full queue drops and counts. */
void engine_presence_push(struct engine *e, struct engine_peer *peer, const struct cid *cid, bool have);
void engine_presence_pop(struct engine *e, struct engine_peer *peer);
void engine_ready_pop(struct engine *e, struct engine_peer *peer);

/* Gives bytes back that the peer held of the send account. */
void engine_charge_back(struct engine *e, struct engine_peer *peer, size_t bytes);

/* Ends a want; its subject goes with the last one. */
void engine_want_remove(struct engine *e, struct ledger_want *want);

/* Looks up whether its block is stored. */
void engine_want_look(struct engine *e, struct ledger_want *want);

/* Keeps the want until the block comes; tells the peer if it asked to be told. */
void engine_answer_absent(struct engine *e, struct ledger_want *w);

#endif
