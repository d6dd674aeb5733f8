/* SPDX-License-Identifier: MIT */
/*
 * One peer's wantlist, as it told it to us.
 *
 *      NEW -> LOOKING -> ABSENT                      absent blocks stay wanted
 *                     -> QUEUED -> FETCHING -> gone  a want ends when it is answered
 *
 * At most LEDGER_WANTS_MAX wants. Over that, a new want takes the place of the oldest one for an absent block, else of the oldest
 * one not looked up yet whose priority is no higher; else the new one is refused. So a list full of CIDs that nobody has cannot
 * keep a peer from being served. Each want is in the table by its CID and in the list of its state, oldest first. The links of
 * `same` belong to the engine, which chains the wants of one multihash over all peers.
 */
#ifndef HEARTH_ACTORS_BITSWAP_LEDGER_H
#define HEARTH_ACTORS_BITSWAP_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/table.h"
#include "wire/bitswap.h"

enum { LEDGER_WANTS_MAX = 1024 };

enum ledger_state { LEDGER_NEW, LEDGER_LOOKING, LEDGER_ABSENT, LEDGER_QUEUED, LEDGER_FETCHING, LEDGER_STATE_COUNT };

struct engine_peer;
struct engine_subject;

struct ledger_want {
    struct cid cid;
    int32_t priority;
    enum bitswap_want_type type;
    bool send_dont_have;
    enum ledger_state state;
    uint64_t message;         /* the newest that named it */
    size_t size;              /* of the block, once it is QUEUED */
    struct ledger_want *next; /* of its state */
    struct ledger_want *prev;
    struct engine_peer *peer;
    struct engine_subject *subject;
    struct ledger_want *next_same;
    struct ledger_want *prev_same;
};

struct ledger_list {
    struct ledger_want *first;
    struct ledger_want *last;
    size_t count;
};

struct ledger {
    struct account *account;
    struct table wants; /* CID bytes -> struct ledger_want */
    struct ledger_list lists[LEDGER_STATE_COUNT];
    uint64_t messages; /* begun */
};

void ledger_init(struct ledger *l, struct account *account);

/* All wants must have been removed. */
void ledger_release(struct ledger *l);

/* The want for a CID, or NULL. */
struct ledger_want *ledger_find(const struct ledger *l, const struct cid *cid);

/*
 * The want that must go before another one fits under a bound: NULL when there is room. ERR_BUSY: none may go for this priority.
 */
enum err ledger_room(const struct ledger *l, size_t wants_max, int32_t priority,
                     struct ledger_want **ret_victim) MUST_CHECK;

/* Adds a want that is not there, in state NEW. ERR_BUSY when full, ERR_NOMEM. */
enum err ledger_add(struct ledger *l, const struct bitswap_want *want, struct ledger_want **ret_want) MUST_CHECK;

/* Moves a want to the end of another state's list. */
void ledger_move(struct ledger *l, struct ledger_want *want, enum ledger_state state);

/* Takes a want out and frees it. */
void ledger_remove(struct ledger *l, struct ledger_want *want);

#endif
