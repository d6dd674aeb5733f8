/* SPDX-License-Identifier: MIT */
/*
 * The chaos switch: makes an actor fail on purpose, so that what is said of failures can be tried.
 *
 *      an order  = kind << 56 | value, one word in the actor's shared part, read at the top of each of its turns
 *
 * The runtime obeys, not the actor: what happens is what a bug, a slow disk or a leak in its handlers would do. There is one order at a
 * time, a later one takes the place of an earlier one that was not obeyed yet. Without runtime_config.chaos every order is refused; a
 * turn then costs one branch more.
 *
 * Threads: any thread may order; what an order left behind (leaks, a full mailbox) belongs to the thread of the life.
 */
#ifndef HEARTH_MAILBOX_CHAOS_H
#define HEARTH_MAILBOX_CHAOS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "mailbox/actor.h"

struct ctx;

/* kind, its word, whether it takes a value, the most that may be, what it does */
#define CHAOS_KINDS(X)                                                                                                 \
    X(CALM, "calm", false, 0, "ends slow and start-fails")                                                             \
    X(EXIT, "exit", false, 0, "ends its life in order")                                                                \
    X(FAIL, "fail", false, 0, "ends its life by a failure")                                                            \
    X(HANG, "hang", false, 0, "its thread never turns again")                                                          \
    X(STALL, "stall", true, 600000, "does nothing for so many ms")                                                     \
    X(SLOW, "slow", true, 60000, "each turn takes so many ms more")                                                    \
    X(LEAK, "leak", true, 1 << 30, "so many bytes are never freed")                                                    \
    X(LEAK_CHARGED, "leak-charged", true, 1 << 30, "and are charged to the account of mailboxes, as far as it goes")   \
    X(FILL, "fill", true, 600000, "its mailbox is full for so many ms")                                                \
    X(START_FAILS, "start-fails", true, 1000000, "fails, and so do as many of its next starts")

enum chaos_kind {
    CHAOS_NONE,
#define CHAOS_KIND(upper, word, valued, most, doc) CHAOS_##upper,
    CHAOS_KINDS(CHAOS_KIND)
#undef CHAOS_KIND
        CHAOS_COUNT
};

/* By its word; CHAOS_NONE: there is none. */
enum chaos_kind chaos_kind_of(struct span word);
/* Whether it takes a value, and the most that may be; 0 = it takes none. */
uint64_t chaos_value_max(enum chaos_kind kind);

/* Orders, by the actor's name; root takes none. ERR_DENIED: the switch is off. ERR_NOT_FOUND, ERR_TOO_LARGE (the value), ERR_UNAVAILABLE: it does not run. */
enum err ctx_chaos(struct ctx *c, struct span actor, enum chaos_kind kind, uint64_t value) MUST_CHECK;
/* The switch is on. */
bool ctx_chaos_allowed(const struct ctx *c);

/* ---- for the runtime ---- */

/* Obeys the order of the turn that begins. True: the turn ends here. */
bool chaos_turn(struct ctx *c);
/* The time of a full mailbox is over. */
void chaos_due(struct ctx *c);
/* This start is to fail. */
bool chaos_fails_start(struct ctx *c);
/* The life is over: its mailbox is not full any more. */
void chaos_end_life(struct ctx *c);
/* Frees what was leaked, at the very end. */
void chaos_release(struct ctx *c);

#endif
