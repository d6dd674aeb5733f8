/* SPDX-License-Identifier: MIT */
/*
 * The disk tier: groups of blocks appended to the current segment, one sync per group, reads by pread.
 *
 *      owner thread            job (one group at a time)
 *      group N+1 collects  |   group N: [new segment?] allocate, pwritev, fdatasync, [sync_dir] --> acknowledged
 *
 * A group of 256 KiB or more goes past the page cache, where that is possible: it begins at a multiple of DISK_DIRECT_ALIGN and is padded
 * to the next. Small ones go through it and follow each other without gaps.
 *
 * Groups form by themselves: the next one takes all that arrived while the last was written. A new segment's file and folder entry
 * are synced before its first group counts, so no row ever names a file that a power cut can take. Rejected: a timer that waits
 * for more (it only adds latency), two groups in flight in one file (one fdatasync would pay for both, and truncating after a
 * failure would cut the other).
 *
 * Failure: a full disk cuts the segment back to its last good offset; nothing was acknowledged. After a failed fdatasync the segment
 * is suspect: it is cut back and never appended to again, because the kernel may have dropped pages and called them clean.
 *
 * Threads: disk_tier_write by one job at a time, disk_tier_read by any; the rest by the owner while no write runs.
 */
#ifndef HEARTH_STORAGE_DISK_TIER_H
#define HEARTH_STORAGE_DISK_TIER_H

#include "base/block_ref.h"
#include "base/limits.h"
#include "mailbox/ports.h"
#include "storage/block_key.h"
#include "storage/segment.h"

enum {
    GROUP_BYTES_MAX = 8 * 1024 * 1024,
    GROUP_RECORDS_MAX = 4096,
};

enum segment_state { SEGMENT_OPEN, SEGMENT_SEALED, SEGMENT_SUSPECT };

/* How far a segment is indexed; everything before offset has its row. */
struct segment_checkpoint {
    uint64_t segment;
    uint64_t offset;
    enum segment_state state;
};

struct disk_tier_options {
    const struct disk_port *port; /* borrowed */
    const char *dir;              /* of the segments, made when missing */
    uint64_t segment_bytes;       /* a segment is sealed when the next group would pass this; 0 = 256 MiB */
    uint64_t allocate_bytes;      /* preallocated in such steps; 0 = 32 MiB */
    uint64_t direct_bytes;        /* the smallest group that is written past the page cache; 0 = 256 KiB */
    struct account *buffers;      /* what that needs is charged to it until close; NULL = not charged */
    uint64_t next_segment;        /* the lowest id for a new one: above all that the catalogue ever named */
};

/* One block on its way to the disk. */
struct group_record {
    struct block_place place;
    struct block_ref *ref; /* one reference is the group's */
    void *user;            /* of the owner */
};

struct disk_group {
    struct group_record *records;
    size_t count;
    size_t cap;
    uint64_t bytes; /* of its records */
    /* Set by disk_tier_write: */
    struct segment_checkpoint sealed; /* segment 0: none was sealed or given up */
    uint64_t segment;
    uint64_t end; /* good offset after the group */
};

struct disk_tier;

/* Opens; no segment is looked at yet. */
enum err disk_tier_open(const struct disk_tier_options *options, struct disk_tier **ret_tier) MUST_CHECK;

/* Gives preallocated space back and closes; keep_space: leave the files as they are (a crash, for tests). NULL-safe. */
void disk_tier_close(struct disk_tier *tier, bool keep_space);

/*
 * Finds what a crash left after the checkpoints. Each segment that is not sealed, and each that has no checkpoint, is scanned from
 * its offset; good records go to each(), whose places are as durable as an acknowledged write by then: the kernel may still hold
 * unsynced pages of a process that was killed, so a file is synced before it is scanned. checkpoint() is told how far each scanned
 * segment reaches. The last open segment becomes the current one.
 */
typedef enum err recovered_block(void *arg, const struct block_place *place);
typedef enum err recovered_segment(void *arg, const struct segment_checkpoint *checkpoint);
enum err disk_tier_recover(struct disk_tier *tier, const struct segment_checkpoint *checkpoints, size_t count,
                           recovered_block *each, recovered_segment *checkpoint, void *arg) MUST_CHECK;

/* ---- groups ---- */
struct disk_group *disk_group_new(void) MUST_CHECK;
/* Drops the references of its records. NULL-safe. */
void disk_group_free(struct disk_group *group);

/* Takes a reference of ref. ERR_BUSY when the group is full (a first record always fits), ERR_NOMEM. */
enum err disk_group_add(struct disk_group *group, const struct block_key *key, uint32_t codec, struct block_ref *ref,
                        void *user) MUST_CHECK;

/*
 * Writes and syncs: when it returns ERR_OK every record is durable and its place is set. Blocks. ERR_NO_SPACE: nothing of the
 * group is kept, try again when there is room. ERR_IO: the segment is given up (group->sealed says so).
 */
enum err disk_tier_write(struct disk_tier *tier, struct disk_group *group) MUST_CHECK;

/* Reads and checks one record into a fresh block charged to account. ERR_CORRUPT, ERR_TRUNCATED, ERR_NOT_FOUND, ERR_NOMEM, ERR_IO. */
enum err disk_tier_read(struct disk_tier *tier, const struct block_place *place, struct account *account,
                        struct block_ref **ret_ref) MUST_CHECK;

/* Bytes of a segment's file as they are, and how many it has; fewer than len only at its end. ERR_NOT_FOUND, ERR_IO. */
enum err disk_tier_read_bytes(struct disk_tier *tier, uint64_t segment, uint64_t offset, uint8_t *to, size_t len,
                              size_t *ret_len, uint64_t *ret_size) MUST_CHECK;

/* Ends the segment that is appended to: the next group opens another. ret_sealed: segment 0 when there was none. As disk_tier_write. */
void disk_tier_seal(struct disk_tier *tier, struct segment_checkpoint *ret_sealed);

/* The records of a segment that are right, from offset on, looking past damage; as segment_scan. ERR_NOT_FOUND: it is gone. */
enum err disk_tier_scan(struct disk_tier *tier, uint64_t segment, uint64_t offset, segment_each *each,
                        void *arg) MUST_CHECK;

/*
 * Where records lie between *offset and end, up to max of them, by their headers alone: nothing is checked, and damaged ones are passed over. *offset:
 * where to go on. ERR_NOT_FOUND, ERR_IO.
 */
enum err disk_tier_list(struct disk_tier *tier, uint64_t segment, uint64_t *offset, uint64_t end,
                        struct block_place *ret_places, size_t max, size_t *ret_count) MUST_CHECK;

/*
 * Removes a segment that is not appended to and that no row names; good_bytes are those that count as used. Those who read it go on. When it
 * returns ERR_OK no power cut brings it back, where it would be taken for new. One that is gone already is no error. From one job at a time.
 */
enum err disk_tier_drop(struct disk_tier *tier, uint64_t segment, uint64_t good_bytes) MUST_CHECK;

/* Where the next group will lie, or behind. While no write runs. */
void disk_tier_position(const struct disk_tier *tier, uint64_t *ret_segment, uint64_t *ret_offset);

/* Bytes of all segment files, preallocation included. */
uint64_t disk_tier_bytes(const struct disk_tier *tier);
/* The same without preallocation: what StorageMax bounds. */
uint64_t disk_tier_used(const struct disk_tier *tier);

#endif
