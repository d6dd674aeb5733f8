/* SPDX-License-Identifier: MIT */
/*
 * The crash replay: a run of the block store is recorded write by write, then the power is cut after each entry of the log, in several
 * ways, and recovery must bring back all that was acknowledged by then, and nothing wrong.
 *
 *      crash_run      lives of a store on a recorded simulated disk: puts, pins, removals, collections, the compaction that follows, a
 *                     backup under way, clean ends, kill -9 at random points
 *      crash_check    one crashed disk: open, compare with what the log's marks say, crash again, compare again
 *      crash_files    the repository's own files, the same way
 *      crash_migration   a database of version 1 that becomes one of this version
 *      crash_copy     backups and a restore
 *      crash_cold     packs of a cold tier in a folder
 *      crash_demote   a store whose blocks go there and come back
 *      crash_replay   all prefixes x all ways; and with one sync call site left out at a time, which must be found
 */
#ifndef HEARTH_TESTS_CRASH_CRASH_H
#define HEARTH_TESTS_CRASH_CRASH_H

#include "sim/disk.h"
#include "sim/disk_log.h"
#include "storage/blockstore.h"

enum { CRASH_BLOCKS = 48, CRASH_LEAVES = 32, CRASH_LINKS = 3, CRASH_BLOCK_MAX = 1500, CRASH_WHY_BYTES = 256 };

/* Notes of the run between the disk's entries; the value is a block's number. */
enum crash_mark {
    MARK_PUT_ACK = 1,
    MARK_REMOVE_START,
    MARK_PIN_START,
    MARK_PIN_ACK,
    MARK_UNPIN_START,
    MARK_UNPIN_ACK,
    MARK_OPEN_START,
    MARK_OPEN_END,
    MARK_PUT_START,
    MARK_REMOVE_ACK,
    MARK_COLLECT_START,
};

/* From CRASH_LEAVES on they are dag-pb nodes that link to blocks before them. */
struct crash_blocks {
    struct block_key keys[CRASH_BLOCKS];
    uint8_t bytes[CRASH_BLOCKS][CRASH_BLOCK_MAX];
    size_t sizes[CRASH_BLOCKS];
    size_t links[CRASH_BLOCKS][CRASH_LINKS];
};

/* What must hold at some point of the log. */
struct crash_truth {
    bool must_have[CRASH_BLOCKS];
    bool must_not_have[CRASH_BLOCKS];
    bool must_pin[CRASH_BLOCKS];
    bool must_not_pin[CRASH_BLOCKS];
};

void crash_blocks_init(struct crash_blocks *blocks, uint64_t seed);
/* A mark of the log; also keeps crash_opening. */
void crash_truth_note(struct crash_truth *truth, const struct crash_blocks *blocks, uint32_t mark, uint64_t value);
/* What a collection must leave: the blocks that a pin reaches, where pin and blocks are there for certain. */
void crash_truth_reach(const struct crash_truth *truth, const struct crash_blocks *blocks, bool ret_kept[CRASH_BLOCKS]);

/* Collects all of it; each removed block is told. False when it did not come to its end. */
bool crash_collect(struct blockstore *store, void (*gone)(void *arg, const struct block_key *key), void *arg);

/* Whether a store is being opened right now: tells sync calls of recovery from those of writing. One thread. */
extern bool crash_opening;

/* Set when a store reports damage: to its catalogue, which is then made anew, or to a block, which is quarantined. */
extern bool crash_damaged;

/* Opens a store on the port with the small segments of this test; clears crash_damaged first. */
enum err crash_open(const struct disk_port *port, struct blockstore **ret_store, char why[STORE_WHY_BYTES]);

/* Records a run of so many lives into a fresh log; false when the run itself went wrong. */
bool crash_run(const struct crash_blocks *blocks, uint64_t seed, unsigned lives, struct disk_log *log);

/* Opens the crashed disk and checks it, twice when again: the second time after a power cut right after recovery. */
bool crash_check(struct sim_disk *disk, const struct crash_blocks *blocks, const struct crash_truth *truth, bool again,
                 uint64_t seed, char why[CRASH_WHY_BYTES]);

/* The process dies but the machine does not: all that is found is stored once more, which acknowledges it; then the power goes. */
bool crash_check_kill(struct sim_disk *disk, const struct crash_blocks *blocks, const struct crash_truth *truth,
                      uint64_t seed, char why[CRASH_WHY_BYTES]);

/*
 * The repository's own files and folders (storage/durable): as above, at each prefix and with each of its syncs left out. Then the
 * health check's write: it must tell of a sync that fails. Prints one line each; false when one fails.
 */
bool crash_files(uint64_t seed);

/* Each prefix of a recorded migration, cut in each way, leaves the old database or the new one; what was acknowledged is the new one. */
bool crash_migration(uint64_t seed);

/*
 * Each prefix of two backups into one folder and of a restore, cut in each way: there is no backup, or a whole one that is no older than
 * what was acknowledged; no store, a whole one, or one that says that it is half restored and can be ended. And without each of their syncs.
 */
bool crash_copy(uint64_t seed);

/*
 * Each prefix of packs written to a folder, and of the removal of one, cut in each way: what was acknowledged is there and whole, and what is there
 * under the name of a pack is one. And without each of their syncs.
 */
bool crash_cold(uint64_t seed);

/*
 * Each prefix (every stride-th) of a store's demotions, promotions and removals, cut in each way: what was acknowledged is found, also when the catalogue is lost
 * as well; what was removed is not. And without each of the syncs that this rests on.
 */
bool crash_demote(uint64_t seed, size_t stride);

#endif
