/* SPDX-License-Identifier: MIT */
/*
 * Whether everything at and below a root is stored, and what is to be asked until it is: for `pin add`, which has the rest fetched, and
 * `pin verify`, which notes what is missing. An engine: the control actor sends its questions and hands the answers back.
 *
 *      a block with links   GET: from the store; when it is not there FETCH: from peers
 *      a leaf               HAS: only whether it is there, since its bytes say nothing; else FETCH
 *
 * Memory is bounded, however large the graph: leaves are not remembered, and past PIN_WALK_SEEN blocks with links, or without memory, all that
 * were seen are forgotten, so that what stands in places far apart is looked at more than once. One thread.
 */
#ifndef HEARTH_ACTORS_CONTROL_PIN_WALK_H
#define HEARTH_ACTORS_CONTROL_PIN_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/err.h"
#include "wire/cid.h"

enum {
    PIN_WALK_SLOTS = 32, /* questions on their way */
    PIN_WALK_SEEN = 96 * 1024,
    PIN_WALK_MISSING = 16, /* of those missing so many are named */
    PIN_WALK_WINDOW_BYTES = 4 * 1024 * 1024
};

struct pin_walk;

enum pin_ask { PIN_ASK_GET, PIN_ASK_HAS, PIN_ASK_FETCH };

struct pin_walk_options {
    bool recursive; /* else the root alone */
    bool offline;   /* nothing is fetched */
    bool
        note_missing; /* what is not there is noted, and the walk goes on; else it ends with ERR_NOT_FOUND. With offline. */
    struct account *account; /* of tables; may be NULL */
    struct account *shared;  /* of bytes read ahead; may be NULL */
};

/* ERR_NOMEM. */
enum err pin_walk_new(const struct cid *root, const struct pin_walk_options *options,
                      struct pin_walk **ret_walk) MUST_CHECK;
/* NULL-safe. */
void pin_walk_free(struct pin_walk *walk);

/* The next question, which takes a slot until pin_walk_answer. ERR_AGAIN: none at the moment. */
enum err pin_walk_next(struct pin_walk *walk, unsigned *ret_slot) MUST_CHECK;

/* The question of a slot, to be asked or asked again. */
enum pin_ask pin_walk_question(const struct pin_walk *walk, unsigned slot, struct cid *ret_cid);

/* It could not be asked: pin_walk_next gives it again. */
void pin_walk_unasked(struct pin_walk *walk, unsigned slot);

/* The answer: ERR_OK with the block (GET, FETCH) or without (HAS), or an error, ERR_NOT_FOUND among them. */
void pin_walk_answer(struct pin_walk *walk, unsigned slot, enum err err, struct block_ref *block);

/* ERR_OK: all was looked at; ERR_AGAIN: not yet; else what ended it, in words by pin_walk_why. */
enum err pin_walk_state(struct pin_walk *walk) MUST_CHECK;
const char *pin_walk_why(const struct pin_walk *walk);

/* Blocks that are there, so far; and those that are missing, the first PIN_WALK_MISSING of them by name. */
uint64_t pin_walk_blocks(const struct pin_walk *walk);
uint64_t pin_walk_missing(const struct pin_walk *walk, const struct cid **ret_first);

#endif
