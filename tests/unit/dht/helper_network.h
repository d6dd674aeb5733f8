/* SPDX-License-Identifier: MIT */
/*
 * A network of simulated DHT servers for tests of lookups: real tables, real messages, a virtual clock. Include after cmocka.h.
 */
#ifndef HEARTH_TESTS_UNIT_DHT_HELPER_NETWORK_H
#define HEARTH_TESTS_UNIT_DHT_HELPER_NETWORK_H

#include "base/random.h"
#include "base/table.h"
#include "dht/lookup.h"
#include "dht/routing_table.h"

enum node_kind {
    NODE_GOOD,
    NODE_DEAD,   /* in tables, cannot be dialled: half of them fail at once, half after 5 s */
    NODE_SILENT, /* takes requests and never answers */
    NODE_SYBIL   /* names all Sybils as closer peers and 40 invented providers */
};

struct node {
    struct peer_id id;
    struct kad_key key;
    enum node_kind kind;
    struct buf addrs; /* an addr_list; the first is where it is */
    struct routing_table table;
    const struct node *provider; /* of the key that is looked for; NULL: knows none */
};

/* How Sybils lie about addresses, beside what they lie about peers. */
enum sybil_lies {
    SYBIL_PLAIN,     /* their own addresses, which are true */
    SYBIL_SCATTERED, /* each claims one more, of a network of its own */
    SYBIL_DEFAMING   /* name the good nodes next to the key too, at addresses of the Sybils */
};

struct network {
    struct node *nodes;
    size_t count;
    struct table by_id;
    struct prng prng;
    enum sybil_lies lies;
    struct node *closest[KAD_K]; /* for SYBIL_DEFAMING */
};

/* So many nodes in random networks of the public Internet; of a hundred so many dead and silent. Their tables are empty. */
void network_init(struct network *n, size_t count, unsigned dead_percent, unsigned silent_percent, uint64_t seed);
void network_release(struct network *n);

/* Makes the last `count` nodes Sybils of 66.7.8.0/24 whose keys share `bits` with target. Before network_meet. */
void network_plant(struct network *n, size_t count, const struct kad_key *target, unsigned bits);

/* Everybody has met everybody, in an order of its own. */
void network_meet(struct network *n);

/* The nearest good nodes, by looking at all: nearest first. */
size_t network_closest(struct network *n, const struct kad_key *target, struct node **ret_nodes, size_t max);

struct node *network_find(const struct network *n, const struct peer_id *id);

/* A random good node, to look something up. */
struct node *network_pick(struct network *n);

/* Starts a lookup of node with what its table knows, by the rules of the public DHT. The caller frees. */
struct lookup *network_lookup(struct network *n, const struct node *node, enum kad_type type, struct span key,
                              size_t providers);

/* Plays it to its end; returns the virtual milliseconds it took. */
uint64_t network_play(struct network *n, const struct node *node, struct lookup *lookup);

#endif
