/* SPDX-License-Identifier: MIT */
/*
 * A pair: two whole nodes in one simulated network, each the production tree with its real control, and a client beside it that asks
 * control as the socket would.
 *
 *      pair_begin(seed);  pair_ask(0, "add open", args, &answer);  pair_measure(&m);  pair_end();
 *
 * At the second node each record, job and network event that a handler gets is a boundary. With pair_strike the client gives up its
 * request, or dies, when the n-th of a request has been handled.
 */
#ifndef HEARTH_TESTS_UNIT_ACTORS_HELPER_PAIR_H
#define HEARTH_TESTS_UNIT_ACTORS_HELPER_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/tree.h"
#include "base/limits.h"
#include "schemas/operations.h"
#include "schemas/pack.h"

enum { PAIR_NODES = 2, PAIR_VICTIM = 1, PAIR_CLIENT = ACTOR_COLD_STORE, PAIR_NEVER = 0 };

/* A table that has grown keeps its room: how far depends on what was in it at once. */
enum { PAIR_TABLES_SPARE = 1024 };

enum pair_blow { BLOW_CANCEL, BLOW_CLIENT_DIES };

void pair_begin(uint64_t seed);
void pair_end(void);
void pair_pass_s(uint64_t seconds);

/* The address of a node with its id, for `swarm connect`. */
const char *pair_addr(unsigned node);

/*
 * Asks and waits. args: a packed map, or empty. False: the blow has fallen, nothing was answered. ret_answer borrows until the next of
 * that node.
 */
bool pair_ask(unsigned node, const char *op, struct span args, struct answer *ret_answer);

/* From here on boundaries are counted; at the n-th (0: never) the blow falls, if a request is out. */
void pair_strike(enum pair_blow blow, uint64_t at);
/* How many there were since; none is counted any more. */
uint64_t pair_boundaries(void);

/* What a node holds. */
struct pair_measure {
    struct pair_node_measure {
        uint64_t accounts[ACCOUNT_COUNT];
        uint64_t calls[ACTOR_COUNT]; /* in flight */
        uint64_t timers[ACTOR_COUNT];
        uint64_t jobs[ACTOR_COUNT];
        uint64_t mailbox[ACTOR_COUNT]; /* records */
        uint64_t sockets;
        uint64_t rows; /* of wants and transfers in state.db */
        uint64_t streams;
    } node[PAIR_NODES];
    uint64_t files; /* open on both disks */
};
void pair_measure(struct pair_measure *ret_measure);

/* Those of both nodes. */
uint64_t pair_rows(void);

/* Fails the test when something is held that was not then; what says which run it is. */
void pair_expect_no_more(const struct pair_measure *now, const struct pair_measure *then, const char *what);

#endif
