/* SPDX-License-Identifier: MIT */
/*
 * What a tier holds: one of four policies, behind one seam, so that tier-sim measures what the memory tier and the disk tier run.
 *
 *   hearth    heat that learns from the whole history which blocks return (heat_policy.h); may refuse a newcomer
 *   origin    the formula of the project's origin (origin_heat.h); may refuse a newcomer
 *   lru       the one not used for longest leaves
 *   s3fifo    Yang et al., SOSP 2023: a small queue that what is used only once does not get past
 *
 * A policy has no bytes, no I/O, no clock. Its owner tells it of each use, asks whether to take in what the tier does not hold, and does as
 * told:
 *
 *   if (!tier_policy_use(policy, key, bytes, now_s))
 *       if (tier_policy_admit(policy, key, bytes, room_bytes, left, context))      left() for each that has to go
 *           … copy it into the tier; tier_policy_leave(policy, key) when that fails
 *
 * What it says is held need not be there already: for a tier that is filled slowly it is what should be there. Whatever stands in the tier
 * and is not held should go when room is short.
 *
 * key: of a block, not 0, well mixed, such as the end of its digest (tier_policy_key). Two blocks of one key share their heat; an owner whose
 * tier finds blocks by key compares the whole. One thread; same calls, same answers.
 */
#ifndef HEARTH_STORAGE_TIER_POLICY_H
#define HEARTH_STORAGE_TIER_POLICY_H

#include "storage/block_key.h"
#include "storage/heat_policy.h"

struct tier_policy;

enum tier_policy_kind {
    TIER_POLICY_HEARTH,
    TIER_POLICY_ORIGIN,
    TIER_POLICY_LRU,
    TIER_POLICY_S3FIFO,
    TIER_POLICY_KINDS
};

enum { TIER_POLICY_ANNOUNCED_MAX = 32 }; /* at a time: what is fetched for them has room in the nearest cache */

struct tier_policy_config {
    enum tier_policy_kind kind;
    enum heat_goal goal; /* of hearth */
    uint64_t capacity_bytes;
    uint32_t blocks_max;     /* remembered at most, those held included; not 0 */
    struct account *account; /* all memory is charged to it; may be NULL */
};

/* A block should leave the tier, to make room. It is not held any more; the policy must not be called from here. */
typedef void tier_policy_left(void *context, uint64_t key);

/* The name in configuration and commands. */
const char *tier_policy_name(enum tier_policy_kind kind);
bool tier_policy_parse(const char *name, enum tier_policy_kind *ret_kind) MUST_CHECK;

static inline uint64_t tier_policy_key(const struct block_key *key)
{
    uint64_t end = 0;
    size_t n = MIN((size_t)key->len, sizeof(end));
    memcpy(&end, key->bytes + key->len - n, n);
    return end == 0 ? 1 : end;
}

/* NULL without memory, the account's included. */
struct tier_policy *tier_policy_new(const struct tier_policy_config *config) MUST_CHECK;
/* NULL-safe. */
void tier_policy_free(struct tier_policy *policy);

/*
 * These blocks will be used next. Who knows of several uses says so before the first one: where millions of blocks are remembered a use is mostly
 * waiting for memory, and these waits become one. Changes nothing, and nothing has to be announced.
 */
void tier_policy_announce(const struct tier_policy *policy, const uint64_t *keys, size_t count);

/* A block was used, whoever had it. bytes: what it would take; now_s: seconds of any one clock, which only origin asks for. True: it is held. */
bool tier_policy_use(struct tier_policy *policy, uint64_t key, uint64_t bytes, double now_s);

/*
 * Whether the tier should take in a block that was just used and is not held. True: from now on it is, and left() was called for each that
 * has to go for it. False: it stays out, as what is larger than the tier or held already always does; blocks that left before a worthier one
 * stood in the way are not taken back. room_bytes: what the tier may take at this time, if that is less than its capacity.
 */
bool tier_policy_admit(struct tier_policy *policy, uint64_t key, uint64_t bytes, uint64_t room_bytes,
                       tier_policy_left *left, void *context);

/* A block is gone from the tier for another reason; what is known of it stays. Nothing when it is not held. */
void tier_policy_leave(struct tier_policy *policy, uint64_t key);

bool tier_policy_holds(const struct tier_policy *policy, uint64_t key);

/*
 * How much a block speaks for being kept, held or not: the higher, the rather. Comparable within one policy and one moment only, and says
 * nothing between policies. -INFINITY for a block that is not known.
 */
float tier_policy_rank(const struct tier_policy *policy, uint64_t key, uint64_t bytes);

struct tier_policy_stats {
    uint64_t held_bytes;
    uint32_t held;
    uint32_t remembered;
};
struct tier_policy_stats tier_policy_stats(const struct tier_policy *policy);

/* The learning policy itself, for what only it can tell and for what lasts over a restart; NULL for the others, which save nothing. */
struct heat_policy *tier_policy_heat(struct tier_policy *policy);

#endif
