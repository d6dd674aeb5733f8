/* SPDX-License-Identifier: MIT */
/*
 * Many peers of one node in one thread, on real engines: Noise, Yamux, identify, ping, and the Kademlia DHT, in whose tables the node
 * puts them, since they say that they serve it. Each has a key and a source address of its own in 127.0.0.0/8, which is what it
 * announces; Bitswap is announced too, and what comes by it ignored. They begin nothing by themselves, no keepalive either: what moves is what the node wants, or what kad_peers_ask asks. Whatever the
 * node does wrong ends the program.
 */
#ifndef HEARTH_TESTS_BENCH_KAD_PEERS_H
#define HEARTH_TESTS_BENCH_KAD_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { KAD_PEERS_MAX_COUNT = 16384, KAD_PEERS_FLIGHT_MAX = 256, KAD_PEERS_TYPES = 6 };

/* What a node's streams are for; the muxer's pings and what else belongs to no stream come last. */
enum kad_peers_kind {
    KAD_PEERS_KAD,
    KAD_PEERS_IDENTIFY,
    KAD_PEERS_PUSH,
    KAD_PEERS_PING,
    KAD_PEERS_BITSWAP,
    KAD_PEERS_MUXER,
    KAD_PEERS_KINDS
};

/*
 * What the sockets carried, parted by turns of a connection: a turn is one read and what is written after it, and belongs to the stream
 * whose event came last in it.
 */
struct kad_peers_moved {
    uint64_t turns;
    uint64_t streams; /* that the node opened */
    uint64_t in_bytes;
    uint64_t out_bytes;
};

/* Since the start; up: now. */
struct kad_peers_count {
    size_t up;
    size_t lost;
    uint64_t answers[2]; /* to FIND_NODE, to GET_PROVIDERS */
    uint64_t answer_bytes;
    uint64_t sampled; /* answers of which closer was counted: one of 64 */
    uint64_t closer;
    uint64_t asked_by_node[KAD_PEERS_TYPES]; /* requests of the DHT, by enum kad_type */
    struct kad_peers_moved moved[KAD_PEERS_KINDS];
    uint64_t in_bytes; /* of the connections that are up */
    uint64_t out_bytes;
};

/* Says what and ends the program unless err is ERR_OK. */
void kad_peers_check(enum err err, const char *what);

/* protocol is borrowed. */
void kad_peers_init(uint16_t port, size_t number, const char *protocol);

/* Dials until each is up, or lost. */
void kad_peers_connect(void);

/* Waits once for what comes. True when the file given to kad_peers_watch can be read. */
bool kad_peers_run(int timeout_ms);
void kad_peers_watch(int fd);

/* From now on: FIND_NODE and GET_PROVIDERS of random keys in turn, so many under way on one stream of each peer. */
void kad_peers_ask(unsigned flight);

/* "kad"; static. */
const char *kad_peers_kind_name(enum kad_peers_kind kind);

struct kad_peers_count kad_peers_count(void);

#endif
