/* SPDX-License-Identifier: MIT */
/*
 * Nodes: a few peers, each a runtime with the real connection_manager and probes in place of the other actors, on inproc over
 * loopback or in one simulated network.
 *
 *      nodes_begin(2, SIM, seed);  node_connect(0, 1);  nodes_await(condition);  nodes_end();
 *
 * The driver (in control's place) carries out one command at a time; the probe (in bitswap's place) counts what it is told and
 * either swallows or echoes streams. The fields of struct node are written on actor threads: atomics throughout.
 *
 * With nodes_whole the nodes are production's tree on simulated disks, the driver alone in control's place: blocks can be put and
 * fetched, and nobody counts in bitswap's place.
 */
#ifndef HEARTH_TESTS_UNIT_ACTORS_HELPER_NODES_H
#define HEARTH_TESTS_UNIT_ACTORS_HELPER_NODES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/tree.h"
#include "base/limits.h"
#include "mailbox/runtime.h"
#include "net/reactor.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "sim/disk.h"
#include "sim/net.h"
#include "sim/sim.h"
#include "sim/zone.h"
#include "wire/cid.h"
#include "wire/keys.h"

enum { NODES_MAX = 8, NODE_ADDR_MAX = 200, NODE_TIMEOUT_S = 60 };

enum nodes_backend { INPROC, SIM };

enum command_kind {
    CMD_NONE,
    CMD_CONNECT,
    CMD_DISCONNECT,
    CMD_PING,
    CMD_PEERS,
    CMD_SEND,
    CMD_SERVE, /* the probe serves protocol, and no other beside Bitswap's; NULL: none */
    CMD_ADDRS,
    CMD_KNOWN,
    CMD_MDNS,
    CMD_ASK,       /* msg to an actor; the answer goes to take */
    CMD_TELL,      /* the same without an answer */
    CMD_DHT,       /* rows: peers in the tables of discovery; server: bits of those served, 1 wan, 2 lan */
    CMD_PROVIDE,   /* the block payload; rows: peers told */
    CMD_PROVIDERS, /* of the block payload; rows: how many, found: bits of nodes */
    CMD_FIND_PEER, /* target */
    CMD_ROUTE_PUT, /* payload under /pk/ and target's id; rows: peers that took it */
    CMD_ROUTE_GET, /* the same key; ERR_CORRUPT unless payload is what comes */
    CMD_PUT,       /* whole nodes: stores payload as a raw block */
    CMD_FETCH,     /* whole nodes: asks bitswap for it and compares */
    CMD_HAS        /* whole nodes: ERR_NOT_FOUND unless it is stored here */
};

struct node;

struct command {
    enum command_kind kind;
    unsigned target;          /* node */
    char addr[NODE_ADDR_MAX]; /* CMD_CONNECT: instead of the target's own */
    uint64_t bytes; /* CMD_SEND; CMD_PEERS: room of the reply, 0: much; CMD_PROVIDERS: a stream, nobody reads it */
    uint64_t count; /* CMD_PING; CMD_SEND: as many streams, with payloads only; CMD_PROVIDERS: enough */
    const char *protocol;                                      /* CMD_SEND: NULL = Bitswap's */
    const struct msg *msg;                                     /* CMD_ASK, CMD_TELL */
    actor_id to;                                               /* CMD_ASK, CMD_TELL; 0: connection_manager */
    void (*take)(struct node *node, const struct msg *answer); /* CMD_ASK: may be NULL; on the driver's thread */
    uint64_t within_ms;                                        /* its deadline; 0: one that is not met */
    uint32_t trace;      /* it is made for a request with this number; 0: of none */
    struct span payload; /* CMD_SEND: these bytes in place of the pattern; CMD_PUT, CMD_FETCH, CMD_HAS: the block */
};

struct node {
    unsigned index;
    struct runtime *rt;
    struct config *config;
    struct key_pair *key;
    struct budget budget;
    struct peer_id id;
    struct reactor *reactor;
    struct sim_host *host;
    struct net_addr ip;    /* set by change: instead of sim_net_ip (SIM) */
    struct span answer;    /* set by the test: what the probe answers each piece of a stream with, and never closes */
    struct sim_disk *disk; /* of a whole node */
    bool discovers;        /* set by change: the real discovery with multicast instead of a quiet probe (SIM) */
    unsigned segment;      /* set by change: of the simulated network */
    const struct actor_class *manager; /* set by change: in connection_manager's place */
    const struct actor_class *classes[ACTOR_COUNT];
    const struct actor_class *state; /* set by change: of a whole node, in place of the real one */
    char addr[NODE_ADDR_MAX];        /* with /p2p, once it is known */

    struct command command;
    _Atomic int command_state; /* 0 idle, 1 or 4 given to driver or probe, 2 running, 3 done */
    _Atomic int result;        /* enum err */
    _Atomic uint64_t rows;     /* of the last list reply */
    _Atomic uint64_t rtt_ns;
    _Atomic uint64_t found;
    _Atomic uint64_t server;
    char text[1024]; /* of an error, or the addresses of a reply (CMD_KNOWN: of the target); read after done */

    _Atomic uint64_t ups;
    _Atomic uint64_t downs;
    _Atomic uint64_t up_protocols; /* of the last peer_up */
    _Atomic uint64_t opened_in;
    _Atomic uint64_t closed;
    _Atomic int closed_err;
    _Atomic uint64_t received;
    _Atomic uint64_t fins;
    _Atomic uint64_t mismatches; /* bytes that differ from the pattern */
    _Atomic uint64_t sent;       /* given back as stream_written */
    _Atomic bool hold_credit;    /* the probe does not give credit back */
    _Atomic uint64_t held;
    _Atomic bool release_credit;
    _Atomic uint64_t in_flight_peak;
};

extern struct node nodes[NODES_MAX];
extern bool nodes_whole; /* set before nodes_begin (SIM only); nodes_end takes it back */
extern struct sim *nodes_sim;
extern struct sim_net *nodes_net;
extern struct sim_zone *nodes_zone; /* what all nodes hear from DNS; there from nodes_begin on */

/* Starts count nodes. change (may be NULL) may alter each one's configuration first. */
void nodes_begin(unsigned count, enum nodes_backend backend, uint64_t seed, void (*change)(struct node *));
void nodes_end(void);
/* A new process on the same disk and address (SIM only). */
void node_restart(unsigned n);

/* Waits until done() or fails the test after NODE_TIMEOUT_S (virtual time in sim). */
void nodes_await(bool (*done)(void));
/* Lets time pass. */
void nodes_pass_ms(uint64_t ms);
uint64_t nodes_trace(void);

/* Carries out a command and returns its result. */
enum err node_do(unsigned n, struct command command);
/* Gives a command without waiting. */
void node_give(unsigned n, struct command command);
enum err node_connect(unsigned from, unsigned to);

/* The raw CIDv1 of a block. */
struct cid nodes_cid_of(struct span block);

#endif
