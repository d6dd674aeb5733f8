/* SPDX-License-Identifier: MIT */
/*
 * A recorder around any disk_port: the log of what a run asked of the disk, to be replayed up to any point.
 *
 *      entry:  open (created) | write | allocate | truncate | fdatasync | rename | unlink | make_dir | sync_dir | mark
 *
 * Entries name files by the path they were opened under, so a file that is renamed while open must be closed first. Only what
 * succeeded is recorded. disk_log_kill() makes every later operation fail unrecorded: the process died at that instant.
 *
 * Thread-safe as far as the port below is.
 */
#ifndef HEARTH_SIM_DISK_LOG_H
#define HEARTH_SIM_DISK_LOG_H

#include "base/attr.h"
#include "mailbox/ports.h"

struct disk_log;

enum disk_entry_kind {
    DISK_ENTRY_OPEN, /* of a file that may be new */
    DISK_ENTRY_WRITE,
    DISK_ENTRY_ALLOCATE,
    DISK_ENTRY_TRUNCATE,
    DISK_ENTRY_SYNC,
    DISK_ENTRY_RENAME,
    DISK_ENTRY_UNLINK,
    DISK_ENTRY_MAKE_DIR,
    DISK_ENTRY_SYNC_DIR,
    DISK_ENTRY_MARK, /* from disk_log_mark: what the run knew at this point */
};

struct disk_entry {
    enum disk_entry_kind kind;
    char *path;
    char *to; /* rename */
    uint64_t offset;
    uint64_t len;  /* write, allocate, truncate */
    uint8_t *data; /* write */
    uint32_t mark;
    uint64_t value; /* of a mark */
};

/* under is borrowed. NULL without memory. */
struct disk_log *disk_log_new(const struct disk_port *under) MUST_CHECK;
/* NULL-safe. */
void disk_log_free(struct disk_log *log);

const struct disk_port *disk_log_port(struct disk_log *log);

/* A note of the run's own. */
void disk_log_mark(struct disk_log *log, uint32_t mark, uint64_t value);

/* After so many more changes of the disk nothing works any more; UINT64_MAX: alive (again). */
void disk_log_kill_after(struct disk_log *log, uint64_t changes);
bool disk_log_is_dead(struct disk_log *log);

size_t disk_log_count(const struct disk_log *log);
const struct disk_entry *disk_log_at(const struct disk_log *log, size_t index);

/* Does to port what was recorded; marks do nothing. */
enum err disk_entry_apply(const struct disk_entry *entry, const struct disk_port *port) MUST_CHECK;

#endif
