/* SPDX-License-Identifier: MIT */
/*
 * A peer that asks one node for the same blocks over and over, made of the node's own engines (connection, Bitswap codec), so that a hundred
 * of them cost little.
 *
 * A round: it wants all blocks in order, WINDOW of them at a time as Kubo's sessions do, counts them as they come, and begins the next
 * round a pause after the last one. It has nothing itself and says so. What goes wrong is counted: connections lost, blocks that nobody
 * asked for, blocks said to be absent, rounds that take longer than LOAD_STALL_S. One thread has them all; a fault of the node's protocol
 * ends the program.
 */
#ifndef HEARTH_TESTS_BUDGET_LOAD_PEER_H
#define HEARTH_TESTS_BUDGET_LOAD_PEER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/cid.h"

enum {
    LOAD_PEERS_MAX = 128,
    LOAD_BLOCKS_MAX = 1024,
    LOAD_STALL_S = 60,
};

struct load_peer;

/* What all peers share, and what they count. */
struct load {
    struct sockaddr_in node;
    struct cid blocks[LOAD_BLOCKS_MAX]; /* in order of bytes: load_sort */
    size_t block_count;
    uint64_t pause_ns;
    uint64_t received, bytes, unasked, rejected, lost, refused, stalls, dont_haves;
    uint64_t slowest_round_ns;
};

void load_sort(struct load *load);

/* Ends the program with a message that names what failed, unless err is ERR_OK. */
void load_check(enum err err, const char *what);

/* The first round begins after delay_ns. load is borrowed. */
struct load_peer *load_peer_new(struct load *load, uint64_t delay_ns);
void load_peer_free(struct load_peer *peer);

/* For poll: the socket, -1 while not connected, and whether there is something to write. */
int load_peer_fd(const struct load_peer *peer);
bool load_peer_writes(struct load_peer *peer);

/* Does what is due: dials, reads when readable, lets time pass, asks, writes. */
void load_peer_turn(struct load_peer *peer, bool readable);

/* Rounds done; whether it is connected; how long the round that is under way has taken, 0 for none. */
uint32_t load_peer_rounds(const struct load_peer *peer);
bool load_peer_is_up(const struct load_peer *peer);
uint64_t load_peer_round_ns(const struct load_peer *peer);

#endif
