/* SPDX-License-Identifier: MIT */
/*
 * What the blockstore_*.c files share; nobody else includes it.
 */
#ifndef HEARTH_STORAGE_BLOCKSTORE_PRIVATE_H
#define HEARTH_STORAGE_BLOCKSTORE_PRIVATE_H

#include <stdatomic.h>

#include "base/table.h"
#include "storage/blockstore.h"
#include "storage/blockstore_tier.h"
#include "storage/collector.h"
#include "storage/compactor.h"
#include "storage/disk_tier.h"
#include "storage/filter.h"
#include "storage/healer.h"
#include "storage/leases.h"
#include "storage/memory_tier.h"
#include "storage/scrubber.h"
#include "storage/snapshot.h"
#include "storage/sqlite_vfs.h"

enum {
    STORE_PATH_MAX = 4096,
    STORE_CHECKPOINTS_MAX = 64,
    STORE_FILTER_PAGE = 4096,
    STORE_FAILURES_MAX = 3,
    STORE_BAD_MAX = 4096,
    STORE_RESERVE_BYTES = 2 * 1024 * 1024,
    COLLECT_ROWS = 1024 /* a page of a collection looks at so many */
};

/* What jobs use: it lives until the store and the last job have let go. */
struct store_core {
    _Atomic uint32_t refs; /* release on drop pairs with acquire before freeing */
    const struct disk_port *port;
    struct disk_tier *tier;
    struct catalogue *catalogue;          /* of the catalogue lane */
    struct catalogue_reader *lane_reader; /* of the catalogue lane */
    struct snapshot *snapshot;            /* of the catalogue lane; NULL: none is being made */
    struct disk_file *lock;
    struct sqlite_vfs *vfs; /* NULL on the real disk: SQLite's own, so that outsiders can read while we write */
    char path[STORE_PATH_MAX];
    uint64_t log_stop_bytes;
    bool crash; /* leave the files as they are */
};

struct store_core *store_core_ref(struct store_core *core);
void store_core_drop(struct store_core *core);

/* ---- fresh blocks ---- */

enum fresh_state { FRESH_QUEUED, FRESH_WRITING, FRESH_DURABLE, FRESH_COMMITTING };

struct fresh {
    enum fresh_state state;
    struct block_place place;
    struct block_ref *ref; /* until durable */
    struct store_op *ops;  /* puts that wait for it, the first first */
    bool moves;            /* nobody puts it: it comes from the cold tier */
    struct fresh *next;    /* in queue or durable list */
    uint64_t durable_at_ns;
};

struct fresh_list {
    struct fresh *head;
    struct fresh **tail;
    size_t count;
    uint64_t bytes; /* of payload */
};

void fresh_list_init(struct fresh_list *list);
void fresh_list_push(struct fresh_list *list, struct fresh *fresh);
struct fresh *fresh_list_pop(struct fresh_list *list);

/* ---- jobs ---- */

enum job_kind {
    JOB_GROUP,
    JOB_READ,
    JOB_COMMIT,
    JOB_VERIFY,
    JOB_FILTER,
    JOB_PROBE,
    JOB_SNAPSHOT,
    JOB_PIECE,
    JOB_COMPACT_READ,
    JOB_COMPACT_WRITE,
    JOB_COMPACT_SEAL,
    JOB_COMPACT_DROP,
    JOB_EMPTY_LOG,
    JOB_COUNT,
    JOB_COLLECT_BEGIN,
    JOB_SCAN,
    JOB_COLLECT,
    JOB_CANDIDATES,
    JOB_LOOK_UP,
    JOB_PACK_ROWS,
    JOB_DEMOTE
};

struct store_piece {
    uint64_t segment;
    uint64_t offset;
    size_t length;
    struct block_ref *ref;
    uint64_t size; /* of the file */
};

struct read_one {
    struct store_op *op;
    struct block_place place;
    struct block_ref *ref;
    enum err err;
};

struct store_job {
    enum job_kind kind;
    struct store_core *core;
    struct account *account; /* reads */
    struct disk_group *group;
    struct read_one *reads; /* JOB_READ; JOB_VERIFY without ops */
    size_t read_count;
    struct fresh_list committing;
    struct catalogue_batch batch; /* its places, checkpoints and changes are the job's */
    struct scrub_progress scrub;  /* batch.scrub */
    struct catalogue_info info;
    struct block_key after;   /* JOB_FILTER, JOB_SCAN, JOB_PACK_ROWS: then where to go on */
    struct block_place *page; /* JOB_COUNT: those that cannot be read */
    struct cold_node *nodes;  /* JOB_COUNT: cold blocks that were fetched */
    size_t node_count;
    bool cold; /* JOB_FILTER: there are cold blocks, too */
    size_t page_count;
    uint64_t pack;                  /* JOB_PACK_ROWS */
    struct cold_place *places;      /* JOB_PACK_ROWS: page_count of them */
    struct store_candidate *found;  /* JOB_LOOK_UP: of each place in the page; without a key: its row is not there */
    pid_t reader;                   /* JOB_COMMIT: another process that has a long log open; 0: none is known */
    size_t gone_count;              /* JOB_COLLECT: the first of the page */
    struct store_op *op;            /* JOB_PROBE */
    struct store_verify_op *verify; /* JOB_VERIFY */
    bool remove;                    /* JOB_SNAPSHOT: it is not made but removed */
    bool finished;                  /* JOB_SNAPSHOT: it is complete */
    struct store_piece_op *piece_op;
    struct store_piece piece;
    struct segment_use use;           /* JOB_COMPACT_READ, JOB_COMPACT_DROP, JOB_CANDIDATES */
    uint64_t offset;                  /* JOB_COMPACT_READ, JOB_CANDIDATES: from where; then where to go on */
    uint64_t bytes;                   /* JOB_COMPACT_READ: of payload */
    struct segment_checkpoint sealed; /* JOB_COMPACT_SEAL */
};

struct store_job *store_job_new(struct blockstore *store, enum job_kind kind);

/* ---- the store ---- */

enum backup_state { BACKUP_NONE, BACKUP_COPYING, BACKUP_READY, BACKUP_REMOVING };

struct store_backup {
    enum backup_state state;
    bool running; /* a job of it */
    uint64_t id;
    uint64_t until_ns;
    struct store_backup_op *op; /* waits for the snapshot */
};

struct blockstore {
    struct store_core *core;
    struct catalogue_reader *reader;
    struct memory_tier *memory;
    struct blockstore_events events;
    uint64_t storage_max;
    struct account *tables;
    struct account *reads_account;
    uint64_t now_ns;
    uint64_t real_now_ns;

    struct table fresh;  /* key -> struct fresh */
    struct table bad;    /* keys whose quarantine is under way */
    struct table unread; /* keys that the last verification of theirs could not read */
    struct fresh_list queued;
    struct fresh_list durable;
    uint64_t queued_bytes; /* of records queued or being written */
    bool writing;
    bool read_only;
    uint64_t retry_at_ns;
    unsigned failures; /* group writes failed in a row */

    struct segment_checkpoint dirty[STORE_CHECKPOINTS_MAX];
    size_t dirty_count;
    struct catalogue_change *changes;
    struct catalogue_change **changes_tail;
    struct catalogue_change *removals; /* of blocks: wait until it is counted what is held */
    struct catalogue_change *late; /* the same of a block that is being moved to the disk: once more when it is there */
    bool flush;                    /* the next commit does not wait for more; never without a durable block */
    bool committing;
    uint64_t commit_retry_at_ns;
    uint64_t log_watched; /* how long it was when that was last thought of */
    bool emptying_log;
    uint64_t log_look_ns;
    bool commit_fails; /* the last one did */
    bool broken;       /* the catalogue is damaged: nothing is committed any more */

    struct store_op *reads;
    struct store_op **reads_tail;
    unsigned read_jobs;
    struct store_verify_op *verifies;
    struct store_verify_op **verifies_tail;
    bool verifying;
    struct store_op *probes;
    bool probing;

    struct compactor compactor;
    struct disk_group *compact_group; /* a page of live records that waits for its turn */
    struct catalogue_move *moves;     /* of that page: written, and to be repointed */
    size_t move_count;

    struct store_backup backup;
    struct store_piece_op *pieces;
    struct store_piece_op **pieces_tail;
    bool reading_piece;

    struct healer healer;
    bool healed;                      /* a commit is to tell of it */
    struct store_verify_op *settling; /* have found damage, and are done once it is in quarantine */
    struct scrubber scrubber;
    struct store_verify_op scrub; /* of the scrubber */

    struct filter *filter;
    struct filter *filter_next; /* being built; incomplete */
    struct block_key filter_after;
    bool filter_running;
    uint64_t filter_seed;
    uint64_t filter_retry_at_ns;

    struct leases leases;
    uint64_t written_segment; /* where the next group lies, or behind */
    uint64_t written_offset;
    bool count_running;
    uint64_t count_retry_at_ns;
    struct store_collect_op *collects;
    struct store_collect_op **collects_tail;
    bool collecting; /* a job of the first is under way */
    struct block_key scanned;
    struct table doomed; /* keys whose removal is under way */
    struct block_place *doomed_page;
    size_t doomed_count;
    struct store_op *stalled; /* puts, with ref, and gets of these keys */
    struct store_op **stalled_tail;
    struct collector collector;
    struct store_collect_op automatic;
    uint64_t automatic_blocks;
    uint64_t automatic_bytes;

    struct store_tier cold;
    bool full;      /* the last put found no room */
    bool may_spill; /* blocks can leave for the cold tier to make room */

    struct catalogue_info info;
};

/* ---- between the files ---- */

void store_notice(struct blockstore *store, bool fatal, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Where a block with a row or a durable fresh one lies. ERR_NOT_FOUND. */
enum err store_find(struct blockstore *store, const struct block_key *key, struct block_place *ret_place) MUST_CHECK;

/* Passes an error of the catalogue on; a damaged one ends this life. */
enum err store_catalogue_said(struct blockstore *store, enum err err) MUST_CHECK;

/* Whether blocks of the codec link to others. */
bool store_is_node(uint32_t codec);

/* Puts a block whether or not it is cold; and joins a put of it that is under way. One without a CID moves: it is stored already, in the cold tier. */
void store_put_hot(struct blockstore *store, struct store_op *op, struct block_ref *ref, bool is_cold);
bool store_put_joins(struct blockstore *store, struct store_op *op);

/* A block became durable: remember it until its row is committed. */
void store_note_durable(struct blockstore *store, struct fresh *fresh);
void store_note_checkpoint(struct blockstore *store, const struct segment_checkpoint *checkpoint);

/* Whether the error of a read means that what is stored is damaged or gone. */
bool store_is_damage(enum err err);

/* Moves a block out of the index because its bytes are wrong or cannot be read: err says how. */
void store_quarantine(struct blockstore *store, const struct block_place *place, enum err err);

/* The same for a block that a pin holds and that is not stored: only its key and codec are known. */
void store_miss(struct blockstore *store, const struct block_place *place);

/* Whether a foreign reader keeps the log of the catalogue from being reset for so long that nothing is written without need. */
bool store_log_is_long(const struct blockstore *store);
/* When a long log is looked at next. */
uint64_t store_log_due(const struct blockstore *store);
struct store_job *store_log_job(struct blockstore *store);
void store_log_done(struct blockstore *store, struct store_job *job, enum err err);

/* Whether somebody waits for the store. */
bool store_is_busy(const struct blockstore *store);

/* A commit has ended: verifications whose damage is in quarantine now are done. */
void store_verify_settle(struct blockstore *store);

/* Asks for the scrubber's next page when it is time. */
void store_scrub(struct blockstore *store);

/* Asks the owner for quarantined blocks whose time has come. */
void store_heal(struct blockstore *store);
uint64_t store_healing(const struct blockstore *store);

/* A copy of the change joins the next commit; NULL without memory. */
struct catalogue_change *store_push_change(struct blockstore *store, const struct catalogue_change *change);

/* Takes all that is to be committed into a job; NULL when there is nothing or no memory. */
struct store_job *store_commit_job(struct blockstore *store);
/* What is durable by now gets its rows without delay. */
void store_flush(struct blockstore *store);
bool store_commit_due(const struct blockstore *store);

struct store_job *store_group_job(struct blockstore *store);
struct store_job *store_read_job(struct blockstore *store);
struct store_job *store_verify_job(struct blockstore *store);
struct store_job *store_filter_job(struct blockstore *store);
struct store_job *store_probe_job(struct blockstore *store);
struct store_job *store_count_job(struct blockstore *store);
struct store_job *store_collect_job(struct blockstore *store);

void store_group_done(struct blockstore *store, struct store_job *job, enum err err);
void store_read_done(struct blockstore *store, struct store_job *job, enum err err);
void store_verify_done(struct blockstore *store, struct store_job *job, enum err err);
void store_commit_done(struct blockstore *store, struct store_job *job, enum err err);
void store_filter_done(struct blockstore *store, struct store_job *job, enum err err);
void store_probe_done(struct blockstore *store, struct store_job *job, enum err err);
void store_count_done(struct blockstore *store, struct store_job *job, enum err err);
void store_collect_done(struct blockstore *store, struct store_job *job, enum err err);

/* blockstore_compact.c */
struct store_job *store_compact_job(struct blockstore *store);
struct store_job *store_compact_write_job(struct blockstore *store);
enum err store_job_compact_read(struct store_job *job);
void store_compact_read_done(struct blockstore *store, struct store_job *job, enum err err);
enum err store_job_compact_seal(struct store_job *job);
void store_compact_seal_done(struct blockstore *store, struct store_job *job, enum err err);
void store_compact_write_done(struct blockstore *store, struct store_job *job, enum err err);
void store_compact_drop_done(struct blockstore *store, struct store_job *job, enum err err);
bool store_compact_wants_commit(const struct blockstore *store);
/* Into a commit, and what became of it. */
void store_compact_take_moves(struct blockstore *store, struct store_job *job);
void store_compact_moved(struct blockstore *store, struct store_job *job, enum err err);
void store_compact_free(struct blockstore *store);

/* blockstore_backup.c */
struct store_job *store_snapshot_job(struct blockstore *store);
struct store_job *store_piece_job(struct blockstore *store);
void store_snapshot_done(struct blockstore *store, struct store_job *job, enum err err);
void store_piece_done(struct blockstore *store, struct store_job *job, enum err err);
enum err store_job_snapshot(struct store_job *job);
enum err store_job_piece(struct store_job *job);
/* While one is open no segment may be removed. */
bool store_backup_is_open(const struct blockstore *store);
/* When its lease ends. */
uint64_t store_backup_due(const struct blockstore *store);
/* What a backup that was not closed has left. */
void store_backup_remove(struct store_core *core);

enum err store_job_read(struct store_job *job);
enum err store_job_verify(struct store_job *job);
enum err store_job_probe(struct store_job *job);
enum err store_job_count(struct store_job *job);
enum err store_job_filter(struct store_job *job);
enum err store_job_collect(struct store_job *job);

/* Removals that waited go into the next commit once it is known what is held. */
void store_release_removals(struct blockstore *store);
/* It is not known when it will be: those who wait hear so. */
void store_refuse_removals(struct blockstore *store, enum err err);
/* Removals that waited for a block to be on the disk go into the next commit. */
void store_release_late(struct blockstore *store);
/* The catalogue could not be changed: says so, and what happens then; a damaged one ends this life. */
void store_catalogue_failed(struct blockstore *store, enum err err, const char *then);

/* While a key is being removed, a put (with its block) and a get of it wait for the outcome. */
bool store_is_doomed(const struct blockstore *store, const struct block_key *key);
void store_stall(struct blockstore *store, struct store_op *op, struct block_ref *put);
/* Starts a collection when one is due; and when that is, as far as is known. */
void store_collect_tick(struct blockstore *store);
uint64_t store_collect_due(const struct blockstore *store);
/* Whether demotion, a collection or compaction is making the room that so many bytes lack: the put is worth another try. */
bool store_makes_room(struct blockstore *store, uint64_t bytes) MUST_CHECK;

/* blockstore_open.c: the catalogue beside the segments. */
enum err store_open_core(struct blockstore *store, const struct blockstore_options *options,
                         char ret_why[STORE_WHY_BYTES]) MUST_CHECK;
void store_mark_broken(struct blockstore *store);

/* The second copy of a cold tier's mark, of which a change of it is told: without it the medium is not marked. */
void store_copy_mark(struct store_core *core, const struct catalogue_batch *batch);

/* The second copy of the pins. A failure costs nothing while the catalogue is well, so it is not reported. */
void store_journal_pins(struct store_core *core, const struct catalogue_batch *batch);

/*
 * The reserve: a preallocated file that a full disk gives back, so that pins and removals can still be committed. keep makes it
 * when there is room, use removes it and says whether that freed anything.
 */
void store_reserve_keep(struct store_core *core);
bool store_reserve_use(struct store_core *core);

#endif
