/* SPDX-License-Identifier: MIT */
/*
 * The simulated disk: folders and files in memory behind disk_port, with a page cache that a power cut can lose.
 *
 *      folder ---- durable entries    what a sync_dir has made safe
 *        |    \--- live entries       what open, rename and unlink have done since
 *        v
 *      inode ----- durable bytes      what the last fdatasync has made safe
 *             \--- live bytes         what readers see
 *              \-- unsynced log       writes, allocations and truncations since, in order
 *
 * sim_disk_power_cut() rebuilds each inode from its durable bytes plus a chosen part of its unsynced log, and each folder from its
 * durable entries plus a chosen part of its changes. fdatasync of a file does not make its name safe: the strict reading of POSIX.
 * Rejected: keeping only two copies per file, which cannot tear or reorder.
 *
 * Deterministic given its seed; one thread.
 */
#ifndef HEARTH_SIM_DISK_H
#define HEARTH_SIM_DISK_H

#include "base/attr.h"
#include "base/random.h"
#include "mailbox/ports.h"

struct sim_disk;

/* What becomes of unsynced work at a power cut. */
enum sim_disk_cut {
    SIM_CUT_DROP,    /* nothing of it survives */
    SIM_CUT_KEEP,    /* all of it survives: the machine was kind, or only the process died */
    SIM_CUT_PREFIX,  /* per file and folder a random prefix, the last write torn at a sector */
    SIM_CUT_REORDER, /* a random subset, each write torn into sectors of which a random subset survives */
    SIM_CUT_COUNT
};

enum sim_disk_fault {
    SIM_FAULT_WRITE_NO_SPACE, /* pwritev and allocate: ERR_NO_SPACE; a pwritev writes a prefix first */
    SIM_FAULT_WRITE_IO,       /* pwritev: ERR_IO after a prefix */
    SIM_FAULT_SYNC_IO, /* fdatasync: ERR_IO; the unsynced log of the file is lost to the media, readers still see it */
    SIM_FAULT_SYNC_DIR_IO, /* sync_dir: ERR_IO; its names stay as unsafe as they were */
    SIM_FAULT_READ_IO,     /* pread: ERR_IO */
    SIM_FAULT_READ_FLIP,   /* pread: one bit of what is returned is wrong */
    SIM_FAULT_COUNT
};

enum { SIM_DISK_SECTOR = 512, SIM_DISK_PATH_MAX = 256 };

/* An empty disk with the folder "/". capacity_bytes bounds the sum of file sizes. NULL without memory. */
struct sim_disk *sim_disk_new(uint64_t seed, uint64_t capacity_bytes) MUST_CHECK;
/* NULL-safe. Files still open are invalid afterwards. */
void sim_disk_free(struct sim_disk *disk);

/* The port; valid as long as the disk. Paths may be absolute or not ("repo/a" is "/repo/a"). */
const struct disk_port *sim_disk_port(struct sim_disk *disk);

/* No power cut will come, so nothing is kept for one: half the memory, for swarms of many. While it is empty. */
void sim_disk_set_steady(struct sim_disk *disk);

/* A copy with live, durable and unsynced state, and no open files. */
struct sim_disk *sim_disk_clone(const struct sim_disk *disk) MUST_CHECK;

/* The power goes and comes back: what is unsynced is decided by how and the seed, all locks are gone. No file may be open. */
void sim_disk_power_cut(struct sim_disk *disk, enum sim_disk_cut how, uint64_t seed);

/* The next operations that match fail: skip this many first, then fail count times. Replaces an earlier plan for the same fault. */
void sim_disk_fail(struct sim_disk *disk, enum sim_disk_fault fault, uint64_t skip, uint64_t count);

/* From now on each operation that matches fails so often of a million times, by the disk's seed; NULL: none does. Clones inherit it. */
void sim_disk_set_rates(struct sim_disk *disk, const uint32_t per_million[SIM_FAULT_COUNT]);

/* What was asked of the disk, for those who want to know; path is the file's or the folder's. */
enum sim_disk_op {
    SIM_DISK_OPEN,
    SIM_DISK_READ,
    SIM_DISK_WRITE,
    SIM_DISK_ALLOCATE,
    SIM_DISK_TRUNCATE,
    SIM_DISK_SYNC,
    SIM_DISK_SYNC_DIR,
    SIM_DISK_RENAME,
    SIM_DISK_UNLINK,
    SIM_DISK_OP_COUNT
};
typedef void sim_disk_watch(void *arg, enum sim_disk_op op, const char *path, uint64_t offset, uint64_t len,
                            enum err err);
void sim_disk_set_watch(struct sim_disk *disk, sim_disk_watch *watch, void *arg);

/* How often it has failed since it was planned, or by its rate. */
uint64_t sim_disk_struck(const struct sim_disk *disk, enum sim_disk_fault fault);

/*
 * Syncs for which skip() says true report success and do nothing: how a test leaves out one sync call of the code above and looks
 * whether it is missed. path is absolute. NULL: none is skipped. Clones inherit it.
 */
typedef bool sim_disk_skip(void *arg, const char *path, bool is_folder);
void sim_disk_skip_syncs(struct sim_disk *disk, sim_disk_skip *skip, void *arg);

/* Changes the capacity: free space comes and goes. */
void sim_disk_resize(struct sim_disk *disk, uint64_t capacity_bytes);

/* Flips bits of the durable and live bytes of a file: decay of the media. */
enum err sim_disk_damage(struct sim_disk *disk, const char *path, uint64_t offset, uint8_t mask);

#endif
