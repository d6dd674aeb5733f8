/* SPDX-License-Identifier: MIT */
/*
 * The catalogue, blocks.db: which block lies where, on the disk and in packs, what is pinned, what is quarantined.
 *
 * Rows follow data: a block is durable before its row exists, and each transaction carries how far each segment is indexed, so a
 * start re-indexes exactly what lies behind. One connection writes (with synchronous=FULL: a commit happens once per 64 MiB or 5 s,
 * or for a pin, so there is nothing to save by a weaker mode); readers are in catalogue_reader.h. generation grows with each commit
 * that changes which blocks there are; id is random per database: together they say whether a filter file fits.
 *
 * Threads: one at a time (the catalogue lane). Everything blocks.
 */
#ifndef HEARTH_STORAGE_CATALOGUE_H
#define HEARTH_STORAGE_CATALOGUE_H

#include "storage/block_key.h"
#include "storage/cold_rows.h"
#include "storage/disk_tier.h"
#include "storage/quarantine.h"
#include "storage/scrub_progress.h"
#include "storage/snapshot.h"

enum { CATALOGUE_ID_BYTES = 16, PIN_CID_MAX = 168, PIN_NAME_MAX = 255 };
/* A log that is so long stops what the store does for itself; from a quarter of it on the reader is told of. */
enum { CATALOGUE_WAL_STOP_BYTES = 256 * 1024 * 1024, CATALOGUE_WAL_ALARM_SHARE = 4 };

struct catalogue;
struct metadata_change;

struct catalogue_options {
    const char *path;
    const char *vfs;              /* NULL = SQLite's own */
    const struct disk_port *disk; /* sql_options.disk, for who writes */
    uint32_t cache_kib;
    uint64_t seed; /* for the id of a new database, from ctx_random */
};

struct catalogue_info {
    uint8_t id[CATALOGUE_ID_BYTES];
    uint64_t generation;
    uint64_t blocks;
    uint64_t bytes;      /* of payload */
    uint64_t live_bytes; /* of the records that rows name: what compaction would leave */
    uint64_t pins;
    uint64_t recursive_pins; /* of these */
    uint64_t next_segment;   /* above all ids that a checkpoint ever named, those of removed segments too */
    uint64_t quarantined;
    uint64_t cold_blocks;        /* with a copy in a pack */
    uint64_t cold_bytes;         /* of their payload */
    uint64_t cold_packs;         /* whole or damaged */
    struct scrub_progress scrub; /* as the database was opened */
    uint64_t count_round;        /* pins counted in an earlier one count as not counted */
    bool count_clears;           /* the counts of the round before are being thrown away */
    bool
        count_leaks; /* a block was let go whose links could not be read: what it linked to is held until all is counted anew */
    bool counting;   /* pins and links wait to be counted; until then nobody knows what is held */
    bool count_cold; /* counting needs a block that is only cold: catalogue_uncounted says which */
    bool unexpanded; /* blocks are held whose links are not counted, because they are not stored or cannot be read */
    uint64_t
        wal_bytes; /* of the log after the last commit; 0: all of it is in the database, the next commit begins it anew */
};

enum change_of {
    CHANGE_PIN_ADD,  /* ERR_NOT_FOUND when the root is not stored; an identity CID always is */
    CHANGE_PIN_RM,   /* ERR_NOT_FOUND */
    CHANGE_BLOCK_RM, /* ERR_NOT_FOUND (a block in quarantine is forgotten), ERR_DENIED when pinned or held, ERR_AGAIN while that is being counted */
    CHANGE_QUARANTINE, /* the row moves to the quarantine table if it is still at this place */
    CHANGE_MISSING,    /* a block that is held and not stored is put in quarantine, so that peers are asked for it */
    CHANGE_HEAL_TRIED, /* peers were asked for a block in quarantine; at_ns: when they are asked next */
    CHANGE_HEAL_ALL,   /* all in quarantine are asked for at once */
    CHANGE_SEGMENT_RM, /* a segment without a live byte, whose file is gone */
    CHANGE_FORGET_ALL, /* the quarantine is emptied; count: how many were in it */
    CHANGE_TIER,       /* cold->medium is the cold tier */
    CHANGE_PACK_NEW,   /* cold->pack will be written; ERR_EXISTS: there is one of that id */
    CHANGE_PACK_WHOLE, /* cold->pack is: its entries that still have a hot row, or a cold one in the pack they come from, get their rows.
                          ERR_NOT_FOUND: it was not being written */
    CHANGE_PACK_ADOPT, /* cold->pack was found on the medium: its entries get rows, of one that was being written those that have a cold one;
                          ERR_EXISTS: it is known */
    CHANGE_PACKS_LOST, /* whole packs with live bytes behind cold->pack and before cold->before are not on the medium: they become damaged; records: how
                          many */
    CHANGE_PACK_STATE, /* cold->pack becomes cold->state; PACK_REMOVING: ERR_BUSY while a row of a block names it */
    CHANGE_PACK_CHECKED, /* cold->pack was read as a whole, and cold->state is how it was found: it stays damaged if it was. ERR_NOT_FOUND */
    CHANGE_PACK_RM, /* cold->pack is gone from the medium; as PACK_REMOVING */
    CHANGE_HOT_RM, /* the hot rows of those entries go that have a cold one in a whole pack and are not needed for their links */
    CHANGE_COLD_BAD, /* the cold row at cold->entries[0] goes, and the block into quarantine when it has no hot one */
    CHANGE_TIER_PIN, /* the block shall not leave the tier that `name` names, "disk" or "cold"; "": it may */
    CHANGE_METADATA, /* what is noted about a CID of version 1; ERR_NOT_FOUND, ERR_TOO_LARGE as metadata_apply */
};

/* A block of a pack. */
struct cold_entry {
    struct cold_place place; /* CHANGE_HOT_RM: only its key and size */
    uint64_t old_pack;       /* CHANGE_PACK_WHOLE: it was copied from this one; 0: from the disk */
    uint32_t old_offset;
    bool done; /* set: the row was made, moved or removed */
};

/* What a change of packs is about. */
struct cold_change {
    uint64_t pack;
    enum pack_state state;
    uint64_t bytes; /* of the object */
    uint32_t records;
    uint64_t before; /* CHANGE_PACKS_LOST */
    struct cold_entry *entries;
    size_t count;
    struct cold_medium medium;
};

/* NULL-safe. */
void cold_change_free(struct cold_change *cold);

/* One change besides new rows; its own result is in err, apart from the commit's. */
struct catalogue_change {
    enum change_of kind;
    struct block_key key; /* of a block; pins have a CID */
    struct block_place
        place; /* CHANGE_QUARANTINE: where; CHANGE_BLOCK_RM: set to where it was, segment 0: in a pack; CHANGE_SEGMENT_RM: its segment */
    uint8_t cid[PIN_CID_MAX]; /* pins */
    uint8_t cid_len;
    bool recursive;
    bool
        was_pinned; /* CHANGE_PIN_ADD: made also when the root is not stored; it may be in a pack that is not known yet */
    uint64_t at_ns;                     /* pins: when it was made; 0 = the batch's time */
    uint64_t count;                     /* CHANGE_FORGET_ALL */
    char name[PIN_NAME_MAX + 1];        /* pins; CHANGE_TIER_PIN: the tier */
    char reason[QUARANTINE_REASON_MAX]; /* quarantine */
    struct metadata_change *metadata;   /* CHANGE_METADATA; the change's own */
    struct cold_change *cold;           /* packs; the change's own */
    enum err err;
    void *user;
    struct catalogue_change *next;
};

/* Frees a change made with malloc, and what is its own. */
void catalogue_change_free(struct catalogue_change *change);

/* A block was copied: its row is repointed if it is still at the old place. */
struct catalogue_move {
    struct block_place from;
    struct block_place to;
};

/* One transaction: quarantines, rows, moves, checkpoints, then the other changes in order. All borrowed. */
struct catalogue_batch {
    struct block_place *places; /* sorted by the commit, since keys in order cost a twentieth */
    size_t place_count;
    struct catalogue_move *moves;
    size_t move_count;
    const struct segment_checkpoint *checkpoints;
    size_t checkpoint_count;
    struct catalogue_change *changes;
    const struct scrub_progress *scrub; /* NULL: as it is */
    uint64_t real_now_ns;
};

/*
 * Opens or makes. ERR_CORRUPT: not a database, or damaged; ERR_UNSUPPORTED: made by a newer version; ERR_BUSY: another process
 * writes. ret_made (may be NULL): the database was not there, or catalogue_restored was never reached since.
 */
enum err catalogue_open(const struct catalogue_options *options, struct catalogue **ret_catalogue,
                        bool *ret_made) MUST_CHECK;
/* NULL-safe. */
void catalogue_close(struct catalogue *catalogue);

/* All segments of which something is indexed, in order of id; freed by the caller. */
enum err catalogue_checkpoints(struct catalogue *catalogue, struct segment_checkpoint **ret_list,
                               size_t *ret_count) MUST_CHECK;

/* The same of those that hold live blocks. */
enum err catalogue_used_segments(struct catalogue *catalogue, struct segment_checkpoint **ret_list,
                                 size_t *ret_count) MUST_CHECK;

/* Commits or changes nothing. On success the changes' own results are set and ret_info (may be NULL) has the new figures. */
enum err catalogue_commit(struct catalogue *catalogue, struct catalogue_batch *batch,
                          struct catalogue_info *ret_info) MUST_CHECK;

struct catalogue_info catalogue_info(const struct catalogue *catalogue);

/* Tries to empty a long log, as each commit does: how much of it a reader still holds. */
uint64_t catalogue_empty_log(struct catalogue *catalogue);

/* As snapshot_begin, of this database. Between its steps commits may run. */
enum err catalogue_snapshot(struct catalogue *catalogue, const char *path, const char *vfs,
                            struct snapshot **ret_snapshot) MUST_CHECK;

/* ---- what is held: catalogue_count.c ---- */

enum {
    COUNT_NODES = 256,             /* a step looks at so many blocks at most … */
    COUNT_BYTES = 2 * 1024 * 1024, /* … or at so many bytes of them */
    COUNT_CLEAR_ROWS = 8192,
};

/*
 * Reads a stored block: one reference for the caller. place->segment 0: it is only cold, and ERR_AGAIN says that it is to be fetched first: the step
 * ends there, and info.count_cold is set. ERR_NOMEM and ERR_BUSY: not now; any other error: its links are not known for the present.
 */
typedef enum err catalogue_load(void *arg, const struct block_place *place, struct block_ref **ret_ref);

/*
 * One step of counting, a transaction; info.counting says whether more is to do. ERR_BUSY: memory was missing, again later. Else as
 * catalogue_commit.
 */
enum err catalogue_count(struct catalogue *catalogue, catalogue_load *load, void *arg,
                         struct catalogue_info *ret_info) MUST_CHECK;

/* Before a collection: all is counted anew where counts have leaked, and blocks that could not be read before are tried again. */
enum err catalogue_collect_begin(struct catalogue *catalogue, struct catalogue_info *ret_info) MUST_CHECK;

/*
 * Removes the rows of those places (segment 0: in the pack `offset`), as they are, that neither a pin nor a held block needs. Those that went come first in places,
 * *ret_gone of them. ERR_AGAIN while pins are being counted: nothing was removed.
 */
enum err catalogue_collect(struct catalogue *catalogue, struct block_place *places, size_t count, size_t *ret_gone,
                           struct catalogue_info *ret_info) MUST_CHECK;

/*
 * Copies what pins and metadata can still be read from a damaged database at path into catalogue; ret_count: how many pins. An error means
 * that it is to be done again.
 */
enum err catalogue_salvage_pins(struct catalogue *catalogue, const char *path, const char *vfs,
                                uint64_t *ret_count) MUST_CHECK;

/* All that second copies had is in the new database: from now on it is not new any more. */
enum err catalogue_restored(struct catalogue *catalogue) MUST_CHECK;

#endif
