/* SPDX-License-Identifier: MIT */
/*
 * Makes the image of a denylist (storage/denylist.h) from the same rules told twice: first they are counted by bucket, then each is put
 * where the counts say. So nothing is sorted, and there is no memory but the image's.
 *
 *      init -> add, add, ... -> turn -> add, add, ... (the same) -> take
 *
 * One thread at a time.
 */
#ifndef HEARTH_STORAGE_DENYLIST_BUILDER_H
#define HEARTH_STORAGE_DENYLIST_BUILDER_H

#include "base/limits.h"
#include "storage/denylist.h"

struct denylist_builder {
    struct account *account;
    uint32_t *counts; /* rules by bucket, then where the next one goes */
    struct block_ref *image;
    uint32_t run;
    bool allows; /* the run's rules */
    bool second; /* round */
    enum err err;
    struct denylist head; /* what the image will begin with */
};

/* rules_guess decides how large the directory is. key: random, of this image alone. The image is charged to the account. ERR_NOMEM. */
enum err denylist_builder_init(struct denylist_builder *b, struct account *account, uint64_t rules_guess,
                               const uint8_t key[DENYLIST_KEY_BYTES]) MUST_CHECK;

/* Errors are kept for turn and take. */
void denylist_builder_add(struct denylist_builder *b, const struct denylist_rule *rule);

/* Ends the first round. ERR_TOO_LARGE: denying and allowing rules alternate more than DENYLIST_RUNS_MAX times; ERR_NOMEM. */
enum err denylist_builder_turn(struct denylist_builder *b) MUST_CHECK;

/* Ends the second one and hands the image over. ERR_AGAIN: the rounds had different rules. */
enum err denylist_builder_take(struct denylist_builder *b, struct block_ref **ret_image) MUST_CHECK;

void denylist_builder_release(struct denylist_builder *b);

#endif
