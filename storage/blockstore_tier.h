/* SPDX-License-Identifier: MIT */
/*
 * The block store's side of a cold tier: what the blockstore_cold*.c and blockstore_pack*.c files share with the rest of the store; nobody else
 * includes it.
 *
 *      the medium    blockstore_cold.c        noted, claimed, swept, its packs listed; one operation at a time but reads
 *      reads         blockstore_cold_read.c   one for each block, however many want it
 *      nodes         blockstore_cold_nodes.c  read because their links are to be counted
 *      demotion      blockstore_demote.c      candidates; blocks that are loaded from the disk; hot rows that go
 *      the pack      blockstore_pack.c        the one that is being written, from its row to those of its blocks
 *      other packs   blockstore_packs.c       found on the medium, thin ones chosen, empty ones removed
 *      rewriting     blockstore_rewrite.c     of a thin or a damaged pack
 *      checks        blockstore_pack_check.c  of whole packs
 */
#ifndef HEARTH_STORAGE_BLOCKSTORE_TIER_H
#define HEARTH_STORAGE_BLOCKSTORE_TIER_H

#include "base/random.h"
#include "base/table.h"
#include "storage/blockstore.h"
#include "storage/cold_shelf.h"

enum {
    COLD_RUNNING_BYTES = 8 * 1024 * 1024, /* of blocks that are being read, if it is more than one */
    COLD_LOADED_MAX = 16,                 /* blocks in memory that wait for their turn in the pack … */
    COLD_LOADED_BYTES = 4 * 1024 * 1024,
    COLD_LEAVING_ROWS = 1024, /* hot rows that go with one commit */
    COLD_SHELF_PART = 4,      /* of the account of reads: blocks that were read last, while so much … */
    COLD_SHELF_ROOM = 2,      /* … is free, and put there while this is */
    COLD_NODES_MAX = 16,      /* blocks fetched at once because their links are to be counted */
    COLD_THIN_PERCENT = 50,   /* of a pack that are live: under it, it is rewritten */
    COLD_RETRY_MAX_S = 60
};

/* A medium that takes no packs may still answer, as a full disk does: one that came to nothing counts for so long, unless another became whole. */
#define COLD_FAILED_NS (600 * SECOND_NS)

/* What leaves early is paid for all the same in cheap classes of storage. */
#define COLD_S3_AGE_NS (UINT64_C(30) * 24 * 3600 * 1000000000)

enum cold_phase {
    COLD_OFF,   /* there is no cold tier */
    COLD_NOTE,  /* its mark is to be noted here first */
    COLD_CLAIM, /* the medium is to be found, or marked */
    COLD_SWEEP, /* what unfinished packs have left is to be removed */
    COLD_LIST,  /* its packs are to be compared with those that are known */
    COLD_UP
};

/* Who wants a block of the cold tier. */
enum want_kind { WANT_GET, WANT_PROMOTE, WANT_COUNT, WANT_REWRITE };

struct cold_want {
    enum want_kind kind;
    struct store_op *op; /* WANT_GET, WANT_PROMOTE */
    struct cold_want *next;
};

struct cold_read {
    struct cold_place place;
    uint64_t deadline_ns;
    struct cold_want *wants; /* the first first */
    struct store_cold *op;   /* NULL: it waits */
    struct cold_read *next;  /* that waits */
};

/* A block whose links are to be counted. */
struct cold_node {
    struct block_key key;
    struct block_ref *ref;
};

/* A block on its way into the pack. */
struct cold_loaded {
    struct cold_entry entry; /* its place is to be set */
    struct block_ref *ref;
    struct cold_loaded *next;
};

struct cold_demotion {
    struct block_key key;
    struct cold_demotion *next;
};

/* The pack that is being written. */
enum packing {
    PACKING_NONE,
    PACKING_NOTED, /* its row waits for a commit */
    PACKING_BEGIN,
    PACKING_OPEN,
    PACKING_END,
    PACKING_WHOLE,  /* durable and verified: the rows of its blocks wait for a commit … */
    PACKING_ROWS,   /* … which is under way */
    PACKING_ABANDON /* it came to nothing */
};

/* The check under way, the first of those that wait. */
enum checking {
    CHECKING_NONE,      /* it is read, or about to be */
    CHECKING_NOTED,     /* its row waits for a commit */
    CHECKING_DAMAGED,   /* it is to be rewritten … */
    CHECKING_REWRITTEN, /* … and is */
    CHECKING_SETTLED    /* what could not be read is on its way to the quarantine */
};

enum removing { REMOVING_NONE, REMOVING_MARKED, REMOVING_REMOVE, REMOVING_FORGET };

struct store_tier {
    enum cold_phase phase;
    struct cold_medium medium;
    struct prng random;
    bool unlisted; /* the catalogue was made anew, and which packs there are is not known yet: nothing is collected */
    bool changing; /* a change of the tier waits for its commit */
    bool busy;     /* an operation that is no read is under way */
    bool up;
    bool told;
    unsigned failures;
    uint64_t retry_at_ns;
    uint64_t seen_bytes; /* of cold blocks, when packs were last looked at */

    struct table reads; /* key -> struct cold_read */
    struct cold_read *waiting;
    struct cold_read **waiting_tail;
    unsigned running;
    uint64_t running_bytes;
    struct cold_shelf shelf;
    struct table bad; /* keys whose cold row is going because its bytes are wrong */
    struct cold_node nodes[COLD_NODES_MAX];
    size_t node_count;
    size_t nodes_wanted;
    bool count_waits; /* the last of them could not be had: the medium is not there */

    struct store_candidates_op *candidates;
    struct store_candidates_op **candidates_tail;
    bool listing;                    /* a job of the first is under way */
    struct block_place *looked_page; /* of the first: their rows are to be looked up */
    size_t looked_count;

    struct table demoting; /* keys that are to go, or are in the pack */
    struct cold_demotion *queue;
    struct cold_demotion **queue_tail;
    bool loading;
    uint64_t load_retry_ns; /* nothing is loaded before: there was no memory */
    struct cold_loaded *loaded;
    struct cold_loaded **loaded_tail;
    size_t loaded_count;
    uint64_t loaded_bytes;
    struct cold_entry *leaving; /* whose hot rows are to go; charged to `tables`, as the entries of the pack are */
    size_t leaving_count;
    size_t leaving_cap;

    enum packing packing;
    uint64_t pack_id;
    struct cold_change *pack; /* the commit's in PACKING_ROWS */
    size_t pack_cap;
    size_t packed; /* blocks in it that are to leave the disk */
    uint64_t pack_due_ns;
    uint64_t pack_failed_ns; /* the last one came to nothing then; 0: it became whole */
    bool pack_hurried;       /* it ends as soon as nothing waits for it */

    struct store_pack *listed; /* a page of the medium's packs */
    size_t listed_count;
    size_t listed_at;
    uint64_t list_after;
    uint64_t listed_last; /* the pack before the one at listed_at */
    struct cold_change *adopting;
    size_t adopting_cap;
    uint64_t adopted; /* packs, in this life */
    uint64_t lost;    /* the same of those that are not on the medium */

    bool look; /* packs may have become thin or empty */
    uint64_t removing;
    enum removing removal;
    uint64_t thin;               /* the pack that is being rewritten */
    bool thin_damaged;           /* its blocks are found by their rows, … */
    bool thin_scanning;          /* … which a job looks for … */
    struct block_key thin_after; /* … from here on */
    struct cold_place *thin_page;
    size_t thin_count;
    size_t thin_at;
    uint64_t thin_from;
    bool thin_ended;             /* its index, or the rows, were gone through */
    uint64_t thin_retry_ns;      /* nothing of it is read before: there was no memory */
    size_t thin_reading;         /* its blocks that are being read … */
    uint64_t thin_reading_bytes; /* … these have so many … */
    size_t thin_loaded;          /* … and that wait for the pack */
    uint64_t thin_moved;         /* that are in another pack … */
    uint64_t thin_bad;           /* … and that could not be read */

    struct store_pack_check_op *checks;
    enum checking checking;
    struct store_pack_check_op own_check; /* in the background */
    uint64_t check_due_ns;                /* of the next of these */

    uint64_t demoted_bytes;
    uint64_t promoted_bytes;
};

/* ---- blockstore_cold.c ---- */
enum err store_cold_init(struct blockstore *store, const struct blockstore_options *options) MUST_CHECK;
void store_cold_release(struct blockstore *store);
void store_cold_tick(struct blockstore *store);
uint64_t store_cold_due(const struct blockstore *store);
/* No cold block can be read: the medium did not answer last, or is not configured. False while it is looked for after a start. */
bool store_cold_is_away(const struct blockstore *store);
/* A change of packs has been committed, or answered with an error of its own. */
void store_cold_changed(struct blockstore *store, struct catalogue_change *change);
/* Whether a commit is to be made for what the cold tier waits for; and into it. */
bool store_cold_wants_commit(const struct blockstore *store);
void store_cold_take_changes(struct blockstore *store);
/* The row of the tier is made what is known of it. */
void store_cold_note(struct blockstore *store);
/* Makes room for so many entries, charged to `tables`; store_entries_release ends the charge. False without memory. */
bool store_entries_reserve(struct blockstore *store, struct cold_entry **entries, size_t *cap, size_t count);
void store_entries_release(struct blockstore *store, size_t *cap);
/* Pushes a change with its payload; frees it and says false without memory. */
bool store_cold_push(struct blockstore *store, enum change_of kind, struct cold_change *cold);
/* The same of one pack. */
bool store_cold_push_pack(struct blockstore *store, enum change_of kind, uint64_t pack, enum pack_state state);
struct store_cold *store_cold_new(const struct blockstore *store, enum store_cold_kind kind, uint64_t pack);
/* The medium did not do what was asked: it is asked again later. */
void store_cold_back_off(struct blockstore *store);

/* ---- blockstore_cold_read.c ---- */

/* Where a block lies in the cold tier. ERR_NOT_FOUND, without a look at the catalogue when nothing is cold. */
enum err store_find_cold(struct blockstore *store, const struct block_key *key,
                         struct cold_place *ret_place) MUST_CHECK;
/* Whether it lies there in a pack that is whole: only such a copy stands for one on the disk. */
bool store_cold_counts(struct blockstore *store, const struct block_key *key);
/* A get of a block that is not on the disk: it is read from the cold tier, or absent. */
void store_cold_get(struct blockstore *store, struct store_op *op);
/* op: WANT_GET, WANT_PROMOTE. ERR_UNAVAILABLE, ERR_BUSY, ERR_NOMEM. */
enum err store_cold_want(struct blockstore *store, const struct cold_place *place, enum want_kind kind,
                         struct store_op *op) MUST_CHECK;
struct store_cold *store_cold_next_read(struct blockstore *store);
void store_cold_read_done(struct blockstore *store, struct store_cold *op, enum err err);

/* ---- blockstore_cold_nodes.c ---- */

/* False while blocks are being fetched whose links are to be counted. Those that came are the job's; false without memory. */
bool store_cold_count_ready(struct blockstore *store);
bool store_cold_take_nodes(struct blockstore *store, struct store_job *job) MUST_CHECK;
/* One of them was read, or not. */
void store_cold_node_came(struct blockstore *store, const struct cold_place *place, struct block_ref *ref,
                          enum err err);
/* The store closes: a put that is its own, of a node that is to be on the disk, is not answered any more. */
void store_cold_free_op(struct store_op *op);

/* ---- blockstore_demote.c ---- */
struct store_job *store_candidates_job(struct blockstore *store);
enum err store_job_candidates(struct store_job *job);
void store_candidates_done(struct blockstore *store, struct store_job *job, enum err err);
enum err store_job_look_up(struct store_job *job);
void store_look_up_done(struct blockstore *store, struct store_job *job, enum err err);
struct store_job *store_demote_job(struct blockstore *store);
enum err store_job_demote(struct store_job *job);
void store_demote_done(struct blockstore *store, struct store_job *job, enum err err);
/* Blocks that have a cold row now: their hot ones go. */
void store_leave(struct blockstore *store, const struct cold_entry *entries, size_t count);
bool store_leave_wanted(const struct blockstore *store);
void store_leave_take(struct blockstore *store);
void store_left(struct blockstore *store, const struct catalogue_change *change);
void store_demote_release(struct blockstore *store);

/* ---- blockstore_pack.c ---- */

/* A block that is to go into the pack: takes ref. False without memory. */
bool store_pack_load(struct blockstore *store, const struct cold_entry *entry, struct block_ref *ref);
struct store_cold *store_pack_next(struct blockstore *store);
void store_pack_done(struct blockstore *store, struct store_cold *op, enum err err);
void store_pack_changed(struct blockstore *store, struct catalogue_change *change);
void store_pack_take(struct blockstore *store);
void store_pack_release(struct blockstore *store);

/* ---- blockstore_packs.c ---- */
struct store_cold *store_packs_list(struct blockstore *store);
struct store_cold *store_packs_next(struct blockstore *store);
void store_packs_done(struct blockstore *store, struct store_cold *op, enum err err);
void store_packs_changed(struct blockstore *store, struct catalogue_change *change);
void store_packs_release(struct blockstore *store);

/* ---- blockstore_rewrite.c ---- */

/* None is being rewritten. damaged: a check waits for it, and is told. */
void store_rewrite_begin(struct blockstore *store, uint64_t pack, bool damaged);
struct store_cold *store_rewrite_next(struct blockstore *store);
void store_rewrite_index(struct blockstore *store, struct store_cold *op, enum err err);
struct store_job *store_rewrite_job(struct blockstore *store);
enum err store_job_pack_rows(struct store_job *job);
void store_rewrite_rows(struct blockstore *store, struct store_job *job, enum err err);
/* A block of it was read, or not. */
void store_rewrite_read(struct blockstore *store, const struct cold_place *place, struct block_ref *ref, enum err err);
/* The pack that was written, with its blocks or others, has its rows; NULL: it came to nothing. */
void store_rewrite_packed(struct blockstore *store, const struct cold_change *pack);
void store_rewrite_release(struct blockstore *store);

/* ---- blockstore_pack_check.c ---- */
struct store_cold *store_check_next(struct blockstore *store);
void store_check_done(struct blockstore *store, const struct store_cold *op, enum err err);
void store_check_changed(struct blockstore *store, const struct catalogue_change *change);
/* The damaged pack was rewritten, as far as that was possible. */
void store_check_rewritten(struct blockstore *store, enum err err);
/* Something bad is in quarantine now. */
void store_check_settle(struct blockstore *store);
void store_check_tick(struct blockstore *store);
/* When the next pack is checked without anybody having asked. */
uint64_t store_check_due(const struct blockstore *store);

#endif
