/* SPDX-License-Identifier: MIT */
/*
 * What the parts of a crowd share: crowd.c (what happens when), crowd_node.c (the life of a node), crowd_driver.c (the actor that asks).
 */
#ifndef HEARTH_SIM_CROWD_INTERNAL_H
#define HEARTH_SIM_CROWD_INTERNAL_H

#include "actors/tree.h"
#include "base/limits.h"
#include "base/random.h"
#include "sim/crowd.h"
#include "sim/net.h"
#include "sim/sim.h"
#include "wire/cid.h"
#include "wire/keys.h"
#include "wire/peer_id.h"

enum {
    CROWD_LOOK_MS = 2000,
    CROWD_SUPERVISORS_MAX = 8,
    CROWD_CHILDREN_MAX = 8,
    CROWD_ADDR_MAX = 128,
    CROWD_PORT = 4001,
    CROWD_ATTACKED_CID = 0,
    CROWD_CHECKS = 200, /* of CIDs that were provided by sweep or one by one */
};

struct crowd;
struct sim_disk;

enum crowd_task_state { TASK_WAITS, TASK_RUNS, TASK_DONE, TASK_FAILED, TASK_VOID };

struct crowd_task {
    struct crowd_task *next; /* of its node */
    enum crowd_task_kind kind;
    enum crowd_task_state state;
    unsigned node;
    unsigned target; /* a node */
    unsigned cid;    /* PROVIDE, FIND_PROVIDERS: its number */
    enum err err;
    uint64_t began_ns;
    uint64_t took_ns;
    uint64_t requests;
    uint64_t hops;
};

enum provider_order { PROVIDER_RESTS, PROVIDER_COUNTS, PROVIDER_PROVIDES };

/* One of the two nodes that provide much, as scene and actor see it. */
struct crowd_provider {
    struct crowd_node *node;
    enum crowd_way way;
    enum provider_order order;   /* the actor obeys, and rests again */
    struct crowd_effort counted; /* what its DHT says it did so far */
    uint64_t provided;           /* CIDs */
    enum err err;                /* of the first one that was not */
};

struct crowd_node {
    struct crowd *crowd;
    unsigned number;
    struct net_addr ip;
    struct sim_host *host;
    struct sim_disk *disk;
    struct config *config;
    struct key_pair *identity;
    struct peer_id id;
    struct budget budget;
    struct runtime *runtime; /* NULL: away */
    uint64_t changed_at_ns;  /* it left, or came back; 0: never */
    uint64_t change_at_ns;   /* it leaves, or comes back; UINT64_MAX: never */
    struct crowd_task *first;
    struct crowd_task **last;
};

/* The production tree without the actors that were not asked for. */
struct crowd_tree {
    struct supervisor_spec supervisors[CROWD_SUPERVISORS_MAX];
    struct child_spec children[CROWD_SUPERVISORS_MAX][CROWD_CHILDREN_MAX];
    size_t used;
    const struct actor_class *classes[ACTOR_COUNT];
    const struct actor_class *sybils[ACTOR_COUNT]; /* the same, but for discovery */
    bool wanted[ACTOR_COUNT];
};

struct crowd {
    const struct crowd_options *options;
    struct sim *sim;
    struct sim_net *net;
    struct prng prng;
    struct crowd_tree tree;
    struct crowd_tree whole;  /* all actors: of those that provide much */
    struct crowd_node *nodes; /* then the sybils, then those that provide much */
    struct crowd_provider providers[CROWD_WAYS];
    unsigned *by_distance; /* nodes, the nearest to the attacked key first; NULL without sybils */
    unsigned bootstraps;   /* the first of the nodes; they stay */
    struct crowd_task *tasks;
    size_t task_count;
    const struct crowd_task *attacked; /* the provide task of the attacked CID */
    size_t open_tasks;                 /* neither done nor failed */
    unsigned cid_count;                /* of PROVIDE tasks */
    unsigned left;
    unsigned swallowed; /* records of the attacked CID that sybils were given */
    char *why;
};

/* The driver finds its node by this: the simulator is one thread, and one crowd plays at a time. */
extern struct crowd *crowd_playing;

extern const struct actor_class crowd_driver_class;
extern const struct actor_class crowd_sybil_class;
extern const struct actor_class crowd_provider_class;

/* The bytes of a CID by its number; how many. */
size_t crowd_cid(unsigned number, uint8_t to[CID_BYTES_MAX]);

/* What a CID by its number is the hash of. */
struct crowd_block {
    uint64_t seed, number;
};
struct crowd_block crowd_block(unsigned number);

/* All nodes, with the sybils and those that provide much. */
unsigned crowd_size(const struct crowd_options *options);

/* Lets the crowd live; nodes come and go. */
enum err crowd_run_until(struct crowd *c, uint64_t at_ns) MUST_CHECK;
/* Until the tasks given are done. */
enum err crowd_end_tasks(struct crowd *c) MUST_CHECK;
/* Some node looks for who provides the CID: it has to find that node. */
void crowd_give_check(struct crowd *c, unsigned provider, unsigned cid);
void crowd_tell(struct crowd *c, const char *what);

/* Two more nodes come, and provide as many CIDs by sweep and one by one; others look for some of them. */
enum err crowd_provide_play(struct crowd *c, struct crowd_result *result) MUST_CHECK;

/* Bits that the key of a sybil shares with the attacked one. */
unsigned crowd_sybil_bits(unsigned nodes);
/* Tries keys until one is near enough; the caller frees it. */
enum err crowd_sybil_identity(uint64_t seed, unsigned number, unsigned bits, struct key_pair **ret_pair) MUST_CHECK;
enum err crowd_sybil_targets(struct crowd *c) MUST_CHECK;

/* The node's address as a multiaddr that ends in /p2p/ID. */
void crowd_node_addr(const struct crowd_node *n, char to[CROWD_ADDR_MAX]);

/* Gives it address, identity, disk and configuration. The bootstrap nodes must have been prepared before the others. */
enum err crowd_node_prepare(struct crowd *c, unsigned number) MUST_CHECK;
enum err crowd_node_start(struct crowd_node *n) MUST_CHECK;
/* silently: its peers hear nothing of it. Tasks that it has are void. */
void crowd_node_stop(struct crowd_node *n, bool silently);
void crowd_node_release(struct crowd_node *n);

/* Chooses the actors. ERR_INVALID: an unknown name, or one is missing. */
enum err crowd_tree_choose(struct crowd *c) MUST_CHECK;

void crowd_task_end(struct crowd_task *task, enum crowd_task_state state, enum err err);

#endif
