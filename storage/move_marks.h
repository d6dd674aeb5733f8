/* SPDX-License-Identifier: MIT */
/*
 * Which blocks were moved lately, and when: what was just moved stays where it is for a while.
 *
 *      sets[]  by hash, eight marks each; a full set forgets its oldest
 *
 * So the memory is bounded, and a flood of moves shortens what is remembered: MARKS_MAX moves are remembered almost surely, more are not.
 * Pure; one thread.
 */
#ifndef HEARTH_STORAGE_MOVE_MARKS_H
#define HEARTH_STORAGE_MOVE_MARKS_H

#include <stdbool.h>

#include "base/err.h"
#include "storage/block_key.h"

struct account;
struct move_mark;

enum { MARK_WAYS = 8, MARK_SETS = 2048, MARKS_MAX = MARK_WAYS * MARK_SETS / 2 };

struct move_marks {
    struct move_mark *marks;
    struct account *account;
};

/* 256 KiB, charged to account (may be NULL). ERR_NOMEM. */
enum err move_marks_init(struct move_marks *marks, struct account *account) MUST_CHECK;
void move_marks_release(struct move_marks *marks);

/* The block moves at this time. */
void move_marks_set(struct move_marks *marks, const struct block_key *key, uint64_t at_ns);

/* It did not move after all. */
void move_marks_drop(struct move_marks *marks, const struct block_key *key);

/* Whether it moved at since_ns or later, as far as is remembered. */
bool move_marks_find(const struct move_marks *marks, const struct block_key *key, uint64_t since_ns);

#endif
