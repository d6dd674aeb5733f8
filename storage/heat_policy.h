/* SPDX-License-Identifier: MIT */
/*
 * What a tier should hold: hearth's policy. A block's heat is remembered whether the tier holds it or not, so that one coming back is known;
 * which heat counts is learned.
 *
 *   use(key) ──> history (heat_row.h)      its heats with a short and a long half-life; 24 bytes a block
 *          ├───> curves (heat_curve.h)         when blocks as hot as this one came back
 *          └───> trials (heat_trial.h)         which of four ways to rank keeps the most
 *                     └──> the way ──> admit: does it rank above what would have to leave?  leave: the worst of 10 looked at
 *
 * Parameters and their reasons. n is the number of blocks that fit into the tier.
 *   half-lives 2 n and 64 n accesses   a block at the edge of the tier is used about once in n accesses; the short one sees what
 *                                      happens now, the long one tells blocks that are used once in 10 n from those that are not
 *   review every n / 4 accesses, at least 512, hits halved in 8 n      shorter follows noise, longer misses changes of load
 *   curves worked out every 4096 accesses, counts halved in 200,000: they are the load's, not the tier's
 * Half-lives in hours were rejected: which is right depends on how busy a node is, and traces hardly tell.
 *
 * Memory: 24 bytes a block remembered and 8 to 16 for its index, 8 a block held; all else is 230 KiB, curves and trials.
 * An access costs two or three lines of memory that are not cached, and an admission those of 10 blocks; uses that were announced wait for theirs
 * together.
 *
 * What is not here: bytes, I/O, clocks. The owner keeps the blocks, asks, and does as told. One thread; same calls, same answers.
 */
#ifndef HEARTH_STORAGE_HEAT_POLICY_H
#define HEARTH_STORAGE_HEAT_POLICY_H

#include "base/buf.h"
#include "storage/heat_rank.h"

struct heat_policy;

struct heat_policy_config {
    uint64_t capacity_bytes;
    uint32_t rows_max; /* blocks remembered, those held included; more than the tier can hold */
    enum heat_goal goal;
    struct account *account; /* may be NULL */
};

/* A block's history had to give way to another's, and is not kept elsewhere as it is. */
typedef void heat_forgotten(void *context, const struct heat_row *row);

/* A block left the tier to make room. */
typedef void heat_left(void *context, uint64_t key);

/* NULL without memory, the account's included. */
struct heat_policy *heat_policy_new(const struct heat_policy_config *config);
void heat_policy_free(struct heat_policy *policy);

/* Who is told of forgotten rows; NULL for nobody. */
void heat_policy_on_forgotten(struct heat_policy *policy, heat_forgotten *forgotten, void *context);

/* As tier_policy_announce. */
void heat_policy_announce(const struct heat_policy *policy, const uint64_t *keys, size_t count);

/*
 * A block was used, whoever had it; true: the tier holds it. key: of the block, not 0, well mixed, such as the end of its digest.
 * bytes: what it would take.
 */
bool heat_policy_use(struct heat_policy *policy, uint64_t key, uint64_t bytes);

/* As tier_policy_admit: whether the tier should take a block in that was just used and is not held. */
bool heat_policy_admit(struct heat_policy *policy, uint64_t key, uint64_t bytes, uint64_t room_bytes, heat_left *left,
                       void *context);

/* A block is gone from the tier for another reason. Its history stays. Nothing when it is not held. */
void heat_policy_leave(struct heat_policy *policy, uint64_t key);

bool heat_policy_holds(const struct heat_policy *policy, uint64_t key);

/* How the block ranks now, by the way that ranks now, held or not; -INFINITY when nothing is known of it. */
float heat_policy_rank(const struct heat_policy *policy, uint64_t key, uint64_t bytes);

/* The heat of a block now, by the long half-life: a decayed count of its accesses; 0 when nothing is known of it. */
double heat_policy_heat(const struct heat_policy *policy, uint64_t key);

/* All that the policy thinks of a block. */
struct heat_explained {
    bool held;
    uint32_t age;            /* accesses to any block since its last one */
    double heat[HEAT_SPANS]; /* decayed counts of its accesses, now */
    uint8_t class;           /* by its heats at its last access (heat_curve.h) */
    enum heat_way way;       /* that ranks now */
    float limit;             /* the rank, by that way, of one that would leave now; -INFINITY: nothing has to */
    float rank[HEAT_WAYS];
    double hits[HEAT_WAYS]; /* of the trials, of late */
};

/* bytes: of the block. False when nothing is known of it: then the trials and the way are told all the same. */
bool heat_policy_explain(const struct heat_policy *policy, uint64_t key, uint64_t bytes,
                         struct heat_explained *ret_explained);

struct heat_policy_stats {
    uint64_t held_bytes;
    uint32_t held;
    uint32_t remembered;
    enum heat_way way;
};
struct heat_policy_stats heat_policy_stats(const struct heat_policy *policy);

/* ---- over a restart, and beyond the rows that there is room for: rows, into a database say, and what was learned as a blob ---- */

bool heat_policy_knows(const struct heat_policy *policy, uint64_t key);

/*
 * Copies rows that are not kept elsewhere as they are, at most max, with their held_bytes, and takes them for kept from now on. *position starts
 * at 0 and is 0 again behind the last row. Looks at 16 max rows at most. Returns how many.
 */
size_t heat_policy_unkept(struct heat_policy *policy, uint32_t *position, struct heat_row *ret_rows, size_t max);

/*
 * A row that was kept elsewhere comes back. When the block was used again meanwhile its past is added to what is known, else the row is as it
 * was, but for held_bytes: heat_policy_admit has the block held again. Each row once. ERR_EXISTS when the one that is here is not younger; ERR_BUSY when there is no room; ERR_INVALID when it is no row of
 * this policy.
 */
enum err heat_policy_remember(struct heat_policy *policy, const struct heat_row *row) MUST_CHECK;

/* Appends clock, sizes, curves and the way. ERR_NOMEM. */
enum err heat_policy_save(const struct heat_policy *policy, struct buf *to) MUST_CHECK;

/* Into a policy that has not been used yet, before rows are given back. ERR_CORRUPT: not a state of this version; nothing is changed. */
enum err heat_policy_load(struct heat_policy *policy, struct span state) MUST_CHECK;

#endif
