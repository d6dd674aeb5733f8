/* SPDX-License-Identifier: MIT */
/*
 * The block store: memory tier, fresh blocks, catalogue and disk tier behind one interface that never blocks.
 *
 *      put --> fresh table --> group job (disk lane): write, sync --> done(): durable --> commit job (catalogue lane): row
 *      get --> memory tier, fresh table, absent filter, index --> read job (disk lane) --> done()
 *      pin, unpin, remove --> commit job, together with all rows before it --> done()
 *      collect            --> blockstore_collect.c, after the counts of what pins hold
 *      demote --> read job --> cold operations: BEGIN, ADD ..., END --> commit: cold rows --> the next commit: hot rows go
 *      get of a cold block --> cold operation: READ --> done()
 *
 * A block is fresh from its put until its row is committed; the fresh table answers for it meanwhile, and start-up finds it in the
 * segment's tail if the row never came. The owner calls the operations, then starts the jobs that blockstore_next_job offers on
 * its workers and hands each back to blockstore_job_done; done() callbacks run inside these calls, on the owner's thread.
 *
 * The store never waits for a cold tier either: like jobs it offers *cold operations*, which the owner carries out where it likes (on
 * storage/cold_tier in the end) and hands back to blockstore_cold_done. What is cold is known from the catalogue alone.
 *
 * Threads: store_job_run on any worker; everything else on the owner's thread. Only open and close block.
 */
#ifndef HEARTH_STORAGE_BLOCKSTORE_H
#define HEARTH_STORAGE_BLOCKSTORE_H

#include "base/block_ref.h"
#include "mailbox/ports.h"
#include "storage/block_key.h"
#include "storage/catalogue.h"
#include "storage/catalogue_reader.h"
#include "storage/cold_pack.h"
#include "storage/scrub_progress.h"
#include "storage/tier_policy.h"

struct account;
struct blockstore;
struct store_job;

enum {
    STORE_FRESH_MAX = 16384,  /* blocks without a row; more puts hear ERR_BUSY */
    STORE_COMMIT_ROWS = 4096, /* a commit starts at so many rows … */
    STORE_READS_PER_JOB = 16, /* a read job takes so many at most … */
    STORE_READ_JOB_BYTES = 4 * 1024 * 1024,
    STORE_READ_JOBS_MAX = 2,
    STORE_VERIFY_PAGE = 256,
    STORE_WHY_BYTES = 512,
    STORE_COLD_READS_MAX = 16,             /* reads of a cold tier under way … */
    STORE_COLD_WAITING_MAX = 1024,         /* … and blocks that wait for one; more hear ERR_BUSY */
    STORE_COLD_PAGE = 1024,                /* entries that one INDEX or PACKS may bring */
    STORE_COLD_KIND_MAX = COLD_KIND_MAX,   /* of a medium's kind … */
    STORE_COLD_PLACE_MAX = COLD_WHERE_MAX, /* … and place; longer ones are cut */
    STORE_CANDIDATES_PAGE = 256,
    STORE_DEMOTE_MAX = 256,         /* keys of one blockstore_demote */
    STORE_DEMOTE_WAITING_MAX = 1024 /* keys that wait to be written */
};

#define STORE_COMMIT_BYTES    (UINT64_C(64) * 1024 * 1024) /* … or so many bytes of blocks … */
#define STORE_COMMIT_NS       (UINT64_C(5) * 1000000000)   /* … or when the oldest is so old */
#define STORE_BACKUP_LEASE_NS (UINT64_C(60) * 1000000000)  /* from the last request on */
#define STORE_LOG_LOOK_NS     (UINT64_C(60) * 1000000000)  /* how often a long log is tried when nothing is committed */
#define STORE_RETRY_NS        (UINT64_C(1) * 1000000000)   /* how often a full disk, or a full lane, is tried again */
#define STORE_PACK_NS                                                                                                  \
    (UINT64_C(60) * 1000000000) /* a pack is ended so long after its first block, however small it is */
#define STORE_COLD_READ_NS                                                                                             \
    (UINT64_C(30) * 1000000000) /* what a read of a cold tier may take, waiting included, and a claim … */
#define STORE_COLD_WORK_NS (UINT64_C(600) * 1000000000) /* … and any other operation on it */

/* What the owner is told besides done(). Any may be NULL. */
struct blockstore_events {
    void *arg;
    /* A block became durable. */
    void (*stored)(void *arg, struct span cid);
    /*
     * A quarantined block is wanted back: fetch it and put it, then tell blockstore_healed(id), also when that failed. false: not
     * now. NULL: nobody can.
     */
    bool (*heal)(void *arg, uint64_t id, const struct block_key *key, uint32_t codec);
    /* Something a person should know: one sentence. fatal: the store cannot go on; end this life. */
    void (*notice)(void *arg, bool fatal, const char *text);
};

struct blockstore_options {
    const struct disk_port *port;
    const char *path; /* of the repository: holds segments/, blocks.db, pins.journal, filter, reserve, repo.lock */
    uint64_t storage_max_bytes;
    uint64_t scrub_rate;     /* bytes a second that the scrubber reads; 0 = off */
    uint64_t segment_bytes;  /* 0 = the disk tier's default */
    uint64_t allocate_bytes; /* 0 = the disk tier's default */
    uint64_t direct_bytes;   /* 0 = the disk tier's default */
    uint32_t cache_kib;      /* of the writing connection; readers take a half and a quarter of it; 0 = 1024 */
    uint64_t log_stop_bytes; /* a longer log of the database stops what the store does for itself; 0 = 256 MiB */
    uint64_t gc_watermark;   /* percent of storage_max_bytes from which on a collection starts by itself; 0 = never */
    uint64_t gc_period_ns;   /* after which one that left it over the watermark is repeated */
    uint64_t
        seed; /* of the filter's hash, a new database's id, a cold tier's mark and its packs' ids; random in production */
    bool cold;                    /* there is a cold tier: the owner carries out what blockstore_next_cold offers */
    enum tier_policy_kind policy; /* of the memory tier … */
    bool no_cache;                /* … of which there is none */
    struct account *memory;       /* memory tier and the disk tier's buffer; NULL = none, not charged */
    struct account *tables;       /* fresh table, filter; NULL = not charged */
    struct account *reads;        /* blocks read from the disk; NULL = not charged */
    struct blockstore_events events;
};

/*
 * On any port but disk_posix() the database runs on a VFS over that port. Takes repo.lock (ERR_BUSY: another daemon has the repository), opens or makes the catalogue, re-indexes what a crash left. A damaged
 * or missing catalogue is rebuilt from the segments. On an error ret_why has one sentence that names the thing and what to do.
 */
enum err blockstore_open(const struct blockstore_options *options, uint64_t now_ns, uint64_t real_now_ns,
                         struct blockstore **ret_store, char ret_why[STORE_WHY_BYTES]) MUST_CHECK;

/*
 * Ends it: operations under way get no done(). When no job runs, fresh rows are committed and the filter is saved; else start-up
 * will find them. Jobs that still run keep what they need and free it with store_job_free. crash: leave everything as it is (tests).
 */
void blockstore_close(struct blockstore *store, bool crash);

/* ---- operations: embed one in a request; it belongs to the store until done() ---- */

struct store_op {
    void (*done)(struct store_op *op, enum err err);
    struct block_key key;
    struct store_op *next;
    /* put */
    uint8_t cid[PIN_CID_MAX]; /* told to events.stored */
    uint8_t cid_len;
    uint32_t codec;
    bool existed; /* also of a promotion: it had a copy on the disk */
    /* get: one reference for the callee of done(); put: the store's own */
    struct block_ref *ref;
};

/*
 * Stores ref's bytes (a reference is taken). done(ERR_OK) once durable. ERR_NO_SPACE (StorageMax or the disk), ERR_READ_ONLY (a full
 * disk, tried again every second), ERR_BUSY (also while room is being made below StorageMax: again later), ERR_TOO_LARGE, ERR_NOMEM, ERR_IO.
 */
void blockstore_put(struct blockstore *store, struct store_op *op, struct block_ref *ref);

/*
 * done(ERR_OK) with op->ref; ERR_NOT_FOUND also for a block whose stored bytes proved wrong, which is quarantined then. Of a cold block
 * also ERR_UNAVAILABLE and ERR_DENIED (the cold tier does not answer, or refuses) and ERR_BUSY (too many wait for it).
 */
void blockstore_get(struct blockstore *store, struct store_op *op);

/*
 * Nobody waits for a get any more. When it waits for the cold tier it ends now, with ERR_CANCELLED, else as if nothing had been said. Returns the
 * cold operation that was under way for it alone, which is to be handed back with ERR_CANCELLED before anything else is called, or NULL.
 */
struct store_cold *blockstore_give_up(struct blockstore *store, struct store_op *op) MUST_CHECK;

/* ERR_OK with its size, or ERR_NOT_FOUND; other errors as catalogue_find. ret_tier (may be NULL): "memory", "disk" or "cold"; no medium is asked. */
enum err blockstore_has(struct blockstore *store, const struct block_key *key, uint64_t *ret_size,
                        const char **ret_tier) MUST_CHECK;

/*
 * The same for many: ret_sizes[i] is 0 when keys[i] is absent (or cannot be looked up), else its size + 1. readable: what is only cold is absent
 * while its medium does not answer.
 */
void blockstore_has_many(struct blockstore *store, const struct block_key *keys, size_t count, bool readable,
                         uint64_t *ret_sizes);

/* A pin, an unpin, a removal, or what is to become of the quarantine; change->err is its result, and done() gets it (or the commit's error). */
struct store_change_op {
    void (*done)(struct store_change_op *op, enum err err);
    struct catalogue_change change;
};
/* change.metadata becomes the store's. */
void blockstore_change(struct blockstore *store, struct store_change_op *op);

/* A page of pins, as catalogue_pins. Pins under way are not seen. */
enum err blockstore_pins(struct blockstore *store, struct span after, struct pin_row *ret_pins, size_t max,
                         size_t *ret_count) MUST_CHECK;

struct store_bad_block {
    struct block_place place;
    enum err err; /* blockstore_damage_text says it in words */
};

/* What the error of a block's verification means, for people. */
const char *blockstore_damage_text(enum err err);

/* As catalogue_pin_state and catalogue_indirect_pins. */
enum err blockstore_pin_state(struct blockstore *store, const struct cid *cid, struct pin_state *ret_state) MUST_CHECK;
enum err blockstore_indirect_pins(struct blockstore *store, const struct cid *after, struct cid *ret_cids, size_t max,
                                  size_t *ret_count, struct cid *ret_last, bool *ret_more) MUST_CHECK;

/* As catalogue_page_stored: what is not in the database yet is missing. */
enum err blockstore_page_stored(struct blockstore *store, const struct block_key *after, struct block_place *ret_places,
                                size_t max, size_t *ret_count) MUST_CHECK;

/* Checks up to limit blocks after `after`, about SCRUB_PAGE_BYTES, against their hashes; wrong ones are quarantined before done(). */
struct store_verify_op {
    void (*done)(struct store_verify_op *op, enum err err);
    struct block_key after; /* len 0: from the beginning; on done where to go on, len 0 at the end */
    size_t limit;           /* at most STORE_VERIFY_PAGE */
    size_t checked;
    uint64_t bytes;              /* of these */
    struct store_bad_block *bad; /* freed by the store after done() */
    size_t bad_count;
    struct store_verify_op *next;
};
void blockstore_verify(struct blockstore *store, struct store_verify_op *op);

/* The answer to events.heal; the put came before it, or it failed. An id of an earlier life is ignored. */
void blockstore_healed(struct blockstore *store, uint64_t id);

/* Up to max quarantined blocks behind `after`, as quarantine_page. */
enum err blockstore_quarantine(struct blockstore *store, const struct block_key *after, struct quarantine_row *ret_rows,
                               size_t max, size_t *ret_count) MUST_CHECK;

/*
 * A backup: a snapshot of the catalogue is made, and until the backup is closed, or nobody has read for STORE_BACKUP_LEASE_NS, every
 * segment that it names stays. One at a time: ERR_BUSY.
 */
struct store_backup_op {
    void (*done)(struct store_backup_op *op, enum err err);
    uint64_t id; /* set on ERR_OK */
};
void blockstore_backup_open(struct blockstore *store, struct store_backup_op *op);
void blockstore_backup_close(struct blockstore *store, uint64_t id);

/* Bytes of the snapshot (segment 0) or of a segment's file. ERR_NOT_FOUND: no such backup is open, or no such segment. */
struct store_piece_op {
    void (*done)(struct store_piece_op *op, enum err err);
    uint64_t backup;
    uint64_t segment;
    uint64_t offset;
    size_t length;
    struct block_ref *ref; /* one reference for the callee of done(); shorter at the end of the file */
    uint64_t size;         /* of the whole file */
    struct store_piece_op *next;
};
void blockstore_backup_read(struct blockstore *store, struct store_piece_op *op);

/*
 * One page of a collection: removes blocks that neither a pin nor a block below a recursive one nor a lease keeps. Whoever wants all of it
 * asks again with `after` as it was left. Space on the disk comes back when segments are compacted. At the beginning it waits until what
 * pins hold is counted; a pin that is committed meanwhile is waited for, too. ERR_UNAVAILABLE: that needs a cold block, and its medium is not there.
 */
struct store_collect_op {
    void (*done)(struct store_collect_op *op, enum err err);
    bool dry_run;             /* removes nothing: gone are those that would be */
    bool only_hot;            /* what is only in the cold tier stays: it takes no room here */
    struct block_key after;   /* len 0: from the beginning; on done where to go on, len 0 at the end */
    struct block_place *gone; /* freed by the store after done() */
    size_t gone_count;
    bool begun;
    struct store_collect_op *next;
};
void blockstore_collect(struct blockstore *store, struct store_collect_op *op);

/*
 * A lease keeps all that is stored from now on, and those that are told to blockstore_keep, until it is closed; a put of a block that is there
 * tells by itself. For whoever adds or fetches what is pinned in the end: pin first, then close. ERR_BUSY: LEASES_MAX are open.
 */
enum err blockstore_lease_open(struct blockstore *store, uint64_t *ret_lease) MUST_CHECK;
void blockstore_lease_close(struct blockstore *store, uint64_t lease);
void blockstore_keep(struct blockstore *store, const struct block_key *key);

/* Really writes, syncs and removes a small file; done as a put's. */
void blockstore_probe(struct blockstore *store, struct store_op *op);

/* What is noted about CIDs, as metadata_of and metadata_find; changes under way are not seen. */
enum err blockstore_metadata_of(struct blockstore *store, struct span cid, metadata_each *each, void *arg) MUST_CHECK;
enum err blockstore_metadata_find(struct blockstore *store, const struct metadata_query *query, metadata_each *each,
                                  void *arg, bool *ret_more) MUST_CHECK;

/* All that is known of a block, also of one that is absent. */
struct block_facts {
    bool stored;
    uint64_t size;
    const char *tier;
    uint64_t segment; /* 0: it has no place on the disk, or none yet */
    uint64_t offset;
    uint64_t pack;        /* 0: it has no copy in a cold tier */
    const char *tier_pin; /* the tier that it shall not leave; "": it may */
    bool counting;        /* rows.holds may change by itself */
    struct catalogue_block_facts rows;
};
enum err blockstore_facts(struct blockstore *store, const struct block_key *key,
                          struct block_facts *ret_facts) MUST_CHECK;

struct blockstore_stats {
    uint64_t blocks;
    uint64_t bytes;      /* of payload */
    uint64_t disk_bytes; /* of segment files, without what is only preallocated */
    uint64_t storage_max;
    uint64_t live_bytes; /* of records that are not garbage: what compaction would leave of disk_bytes */
    uint64_t pins;
    uint64_t recursive_pins; /* of these */
    uint64_t fresh;
    bool counting; /* what pins hold is not known for the moment */
    bool read_only;
    bool filter_complete;
    uint64_t dead_bytes; /* of disk_bytes: what compaction could give back */
    uint64_t quarantined;
    uint64_t healing; /* of these: asked for, or to be asked for now; more than HEAL_MAX may not be counted */
    struct scrub_progress scrub;
    uint64_t cold_blocks;    /* with a copy in a cold tier, whether or not one is on the disk */
    uint64_t cold_bytes;     /* of their payload */
    uint64_t cold_packs;     /* whole ones */
    uint64_t cold_waiting;   /* blocks that are to be demoted, or are in the pack that is being written */
    uint64_t demoted_bytes;  /* of payload that has left the disk in this life … */
    uint64_t promoted_bytes; /* … and that has come back */
    unsigned pressure;       /* percent of storage_max that live blocks on the disk take; more than 100 is possible */
    bool full;               /* the last put found no room on the disk */
    bool cold_up;            /* the cold tier is there and ours */
};
struct blockstore_stats blockstore_stats(const struct blockstore *store);

/* ---- tiers ---- */

/* A block that might leave the disk. */
struct store_candidate {
    struct block_key key;
    uint32_t codec;
    uint32_t size;
    bool may_go; /* it is not leased, and no recursive pin needs its links */
    bool cold;   /* it has a copy in the cold tier: nothing has to be written for it to go */
};

/* A page of the blocks that have rows, in the order in which they lie on the disk, the oldest segment first. */
struct store_candidates_op {
    void (*done)(struct store_candidates_op *op, enum err err);
    uint64_t segment; /* 0: from the beginning; on done where to go on, 0 at the end */
    uint64_t offset;
    struct store_candidate *found; /* freed by the store after done() */
    size_t count;                  /* at most STORE_CANDIDATES_PAGE; may be 0 before the end */
    struct store_candidates_op *next;
};
void blockstore_candidates(struct blockstore *store, struct store_candidates_op *op);

/*
 * Blocks that shall leave the disk: taken when it returns ERR_OK, which they do once they are in a pack that is whole, and its rows are committed. What may
 * not go, or is gone, is passed over, and what is cold already goes with the next commit. ERR_BUSY: more wait than there is room for, none was taken;
 * ERR_UNAVAILABLE: there is no cold tier, or it is not there; ERR_INVALID: over STORE_DEMOTE_MAX.
 */
enum err blockstore_demote(struct blockstore *store, const struct block_key *keys, size_t count) MUST_CHECK;

/*
 * Whether demotion can make room, as far as its owner knows: then a put over storage_max hears ERR_BUSY, not ERR_NO_SPACE, and nothing is
 * collected at gc_watermark. At first it cannot.
 */
void blockstore_may_spill(struct blockstore *store, bool possible);

/*
 * Whether a block may leave the disk: ERR_OK; ERR_EXISTS: it has a copy in the cold tier already; ERR_BUSY: it is on its way there; ERR_AGAIN:
 * its row is not committed yet; ERR_DENIED: it is leased, it is pinned to the disk, or a recursive pin needs its links; ERR_NOT_FOUND.
 */
enum err blockstore_may_leave(struct blockstore *store, const struct block_key *key) MUST_CHECK;

/* The pack that is written next, or is being written, ends as soon as all that waits is in it, however small it is. */
void blockstore_end_pack(struct blockstore *store);

/*
 * A cold block gets a copy on the disk; done(ERR_OK) once that is durable, at once when it has one: then it existed. ERR_DENIED also: it is
 * pinned to the cold tier. Errors as those of get and put.
 */
void blockstore_promote(struct blockstore *store, struct store_op *op);

/*
 * Reads all of a pack and compares it with its checksums; on S3 that costs its transfer. Blocks of one that is damaged are moved to another pack, or
 * quarantined when they cannot be read, before done(). ERR_NOT_FOUND, ERR_CORRUPT: it is damaged, and no row knows it; ERR_UNAVAILABLE: the medium is not
 * there; with damage set not all of its blocks were moved: to be checked again.
 */
struct store_pack_check_op {
    void (*done)(struct store_pack_check_op *op, enum err err);
    uint64_t pack;
    uint64_t bytes; /* of its object, and … */
    uint32_t records;
    enum err damage;           /* ERR_OK: it is whole */
    uint64_t moved;            /* of its blocks; also of one that is whole, and was taken for damaged before */
    uint64_t bad;              /* that could not be read */
    char why[STORE_WHY_BYTES]; /* what the medium says, or empty */
    struct store_pack_check_op *next;
};
void blockstore_check_pack(struct blockstore *store, struct store_pack_check_op *op);

enum store_cold_kind {
    STORE_COLD_READ,    /* place --> ref: as cold_tier_read */
    STORE_COLD_BEGIN,   /* pack: as cold_pack_begin; none is under way */
    STORE_COLD_ADD,     /* pack, place.key, place.codec, ref --> place: as cold_pack_add; ERR_BUSY: full */
    STORE_COLD_END,     /* pack --> bytes, records: as cold_pack_end */
    STORE_COLD_ABANDON, /* pack: as cold_pack_abandon; always ERR_OK, also when there is none */
    STORE_COLD_REMOVE,  /* pack: as cold_tier_remove */
    STORE_COLD_SWEEP,   /* as cold_tier_sweep */
    STORE_COLD_INDEX,   /* pack, from --> places, count, next: as cold_tier_index, a page from record `from` on */
    STORE_COLD_PACKS,   /* pack (those behind it) --> packs, count, next: as cold_tier_packs */
    STORE_COLD_CHECK,   /* pack --> bytes, records: as cold_tier_check */
    STORE_COLD_CLAIM /* mark, adopt --> kind_name, place_name. adopt: a medium without this mark is ERR_NOT_FOUND (none) or ERR_DENIED
                           (another), and nothing is written; else as cold_tier_claim */
};

struct store_pack {
    uint64_t pack;
    uint64_t bytes;
};

/* One operation on the cold tier. The first line of fields is given, the rest are what it brings. */
struct store_cold {
    enum store_cold_kind kind;
    uint64_t deadline_ns; /* handed back by then, with ERR_UNAVAILABLE when there is no answer */
    uint64_t pack;
    struct cold_place place; /* READ: the whole of it; ADD: key, codec, size */
    struct block_ref *ref;   /* ADD: a reference of the store; READ: one for the store */
    uint8_t mark[PACK_MARK_BYTES];
    bool adopt;
    uint32_t from; /* INDEX: the number of a record */

    uint64_t bytes;                        /* END, CHECK: of the pack's object, … */
    uint32_t records;                      /* … and in it */
    char kind_name[STORE_COLD_KIND_MAX];   /* CLAIM: "directory", "s3" */
    char place_name[STORE_COLD_PLACE_MAX]; /* CLAIM: where it is, for people */
    struct cold_place *places;             /* INDEX: room for STORE_COLD_PAGE */
    struct store_pack *packs;              /* PACKS: room for STORE_COLD_PAGE */
    size_t count;                          /* of these */
    uint64_t next;                         /* INDEX, PACKS: where the next page begins: from, or pack; 0 at the end */
    char why[STORE_WHY_BYTES];             /* with an error: one sentence, or empty */
};

/*
 * The next cold operation to carry out now, or NULL. Ask before jobs are asked for, since this makes some, and once more after the last of them. Reads come
 * first and run several at once, of all other kinds one is under way. An operation is handed back with its result, which frees it; with
 * ERR_BUSY when it could not be started (but ADD: full), and it comes again.
 */
struct store_cold *blockstore_next_cold(struct blockstore *store);
void blockstore_cold_done(struct blockstore *store, struct store_cold *op, enum err err);

/* Frees an operation whose store is closed already. */
void store_cold_free(struct store_cold *op);

/* ---- jobs and time ---- */

enum store_lane { STORE_LANE_DISK, STORE_LANE_CATALOGUE };

/* The next job to start now, or NULL. Ask again after each operation, tick and finished job. */
struct store_job *blockstore_next_job(struct blockstore *store);
enum store_lane store_job_lane(const struct store_job *job);
enum err store_job_run(struct store_job *job);

/* Hands a job back with its result; frees it. A job that could not be started is handed back with ERR_BUSY and comes again. */
void blockstore_job_done(struct blockstore *store, struct store_job *job, enum err err);

/* Frees a finished job whose store is closed already. */
void store_job_free(struct store_job *job);

/* Tells the time: before anything else is called, and when blockstore_wakes_at says so. */
void blockstore_tick(struct blockstore *store, uint64_t now_ns, uint64_t real_now_ns);

/* When it wants to be told the time at the latest; UINT64_MAX: not before something happens. */
uint64_t blockstore_wakes_at(const struct blockstore *store);

#endif
