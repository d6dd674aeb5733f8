/* SPDX-License-Identifier: MIT */
/*
 * What moves between the disk and the cold tier, and when.
 *
 *      fill = live bytes on the disk - those on their way out, in percent of StorageMax
 *
 *        0 ─────────── demote_to ─────────── demote_at ────────── spill ──── 100     spill: 95, or demote_at if that is more
 *                           ^ a wave ends         ^ a wave begins    ^ room is made before anything else
 *
 *      wave:  SWEEP ──a lap was not enough──> SQUEEZE ──still not enough──> rest
 *             oldest first, what the          what it holds too, up to the rank below which
 *             policy does not hold            enough bytes were seen in the lap
 *
 *      promotion: a cold block was used and the policy admits it ──> wanted (bounded, the coldest falls out) ──> hottest first
 *
 * The rules, for both directions:
 *   - a budget of bytes a second (storage/byte_budget);
 *   - nothing begins while requests wait, but for one step after MOVER_PATIENCE_NS; nothing at all while the cold tier is away;
 *   - what moved stays for settle_ns, whatever the policy thinks (storage/move_marks);
 *   - a promotion never takes the fill over demote_at: if it would, a wave makes room first.
 * At the spill line, and before it when a put has found no room, as on a disk of few blocks, demotion waits neither for the budget nor longer
 * than MOVER_SPILL_PATIENCE_NS.
 *
 * The rank that limits a SQUEEZE comes from a sample that the lap took (storage/rank_sample): a sorted list of the coldest was rejected, as it
 * needs memory for as many keys as have to go.
 *
 * It moves nothing itself. The owner asks mover_next for a step, carries it out, and tells how it ended; and it tells the time, the fill and
 * accesses. A new mover knows nothing and loses only pace. Pure; one thread.
 */
#ifndef HEARTH_STORAGE_TIER_MOVER_H
#define HEARTH_STORAGE_TIER_MOVER_H

#include <stdbool.h>

#include "base/err.h"
#include "storage/block_key.h"

struct account;
struct tier_mover;

enum {
    MOVER_PAGE_MAX = 256,               /* candidates of a page, and blocks of a step */
    MOVER_STEP_BYTES = 2 * 1024 * 1024, /* a step has one block, or so many bytes */
    MOVER_WANTED_MAX = 256,
    MOVER_PROMOTIONS_MAX = 4, /* under way */
    MOVER_SPILL_PERCENT = 95,
    MOVER_FRUITLESS =
        3, /* waves in a row after which nothing more can go; on a busy disk two may meet blocks that have no rows yet */
};

#define MOVER_PATIENCE_NS       (10 * SECOND_NS)
#define MOVER_SPILL_PATIENCE_NS (500 * MS_NS)
#define MOVER_RETRY_NS          (1 * SECOND_NS)  /* after the store had no room for a demotion */
#define MOVER_REST_NS           (60 * SECOND_NS) /* after a wave that could not free enough; at the spill line: */
#define MOVER_PAGE_NS           (10 * MS_NS)     /* between two pages that are looked through, unless room is short */
#define MOVER_SPILL_REST_NS     (5 * SECOND_NS)  /* by then what is fresh now has rows, and may go */

struct mover_config {
    uint64_t storage_max;
    unsigned demote_at; /* percent of it, */
    unsigned demote_to; /* not more than demote_at */
    uint64_t demote_rate;
    uint64_t promote_rate; /* bytes a second; 0: nothing goes this way */
    uint64_t settle_ns;
    struct account *account; /* may be NULL; some 320 KiB */
};

/* The store, as it was last seen. */
struct mover_pressure {
    uint64_t live_bytes;
    uint64_t demoted_bytes; /* counted since the store was opened: gone from the disk */
    uint64_t waiting;       /* blocks that were taken and are not gone yet */
    bool busy;              /* requests wait */
    bool full;              /* the last put found no room */
    bool cold_up;
};

/* Where the next page begins; zeros: with the first. */
struct mover_place {
    uint64_t segment;
    uint64_t offset;
};

struct mover_candidate {
    struct block_key key;
    uint32_t size;
    bool may_go;
    bool cold; /* it has a cold copy: to let it go costs nothing */
    bool held; /* the policy wants it on the disk */
    float rank;
};

enum mover_act {
    MOVER_WAIT,   /* until wake_ns, UINT64_MAX: until it is told something */
    MOVER_ASK,    /* for the page behind place --> mover_page */
    MOVER_DEMOTE, /* keys --> mover_demoted */
    MOVER_PROMOTE /* keys, one --> mover_promoted */
};

struct mover_step {
    enum mover_act act;
    uint64_t wake_ns;
    struct mover_place place;
    const struct block_key *keys; /* until the next call of mover_next */
    size_t count;
    uint64_t bytes; /* of them that have to be written */
    bool spill;     /* puts may be waiting for it */
};

/* What one direction did in this life. */
struct mover_count {
    uint64_t blocks;
    uint64_t bytes;
};

struct mover_stats {
    uint64_t fill_bytes;
    struct mover_count demoted;
    struct mover_count promoted;
    struct mover_count squeezed; /* of demoted: those that the policy held */
    uint64_t refused;            /* promotions that fell out of the queue */
    uint64_t waves;
    size_t wanted;
    bool in_wave;
    bool exhausted; /* the last waves ended without anything having gone: nothing more can, for now */
};

/* NULL without memory. */
struct tier_mover *mover_new(const struct mover_config *config);
void mover_free(struct tier_mover *mover);

void mover_pressed(struct tier_mover *mover, const struct mover_pressure *pressure, uint64_t now_ns);

/* A cold block was used: whether the policy is to be asked at all. Not when it moved lately, is wanted already, or could never come. */
bool mover_considers(const struct tier_mover *mover, const struct block_key *key, uint32_t size,
                     uint64_t now_ns) MUST_CHECK;

/*
 * The policy admits it. rank: the higher, the more it is wanted. True: *ret_out is a block that will not be promoted after all, perhaps this one: the
 * policy holds it no longer.
 */
bool mover_want(struct tier_mover *mover, const struct block_key *key, uint32_t size, float rank,
                struct block_key *ret_out) MUST_CHECK;

/* Somebody else moved it. */
void mover_moved(struct tier_mover *mover, const struct block_key *key, uint64_t now_ns);

/* What to do now. One demotion or question, and MOVER_PROMOTIONS_MAX promotions, are under way at most. */
void mover_next(struct tier_mover *mover, uint64_t now_ns, struct mover_step *ret_step);

/* The answer to MOVER_ASK. next: of the page behind it, zeros at the end; NULL candidates with an error: asked again later. */
void mover_page(struct tier_mover *mover, enum err err, const struct mover_candidate *candidates, size_t count,
                struct mover_place next, uint64_t now_ns);

/* The step's blocks were taken, or none of them was: ERR_BUSY, ERR_UNAVAILABLE, ERR_TIMEOUT: tried again; others: passed over for a while. */
void mover_demoted(struct tier_mover *mover, enum err err, uint64_t now_ns);

/* One is there, or is not: then the policy does not hold it. */
void mover_promoted(struct tier_mover *mover, const struct block_key *key, uint32_t size, enum err err);

struct mover_stats mover_stats(const struct tier_mover *mover);

#endif
