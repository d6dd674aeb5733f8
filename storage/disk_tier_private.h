/* SPDX-License-Identifier: MIT */
/*
 * What disk_tier.c and disk_recovery.c share; nobody else includes it.
 */
#ifndef HEARTH_STORAGE_DISK_TIER_PRIVATE_H
#define HEARTH_STORAGE_DISK_TIER_PRIVATE_H

#include <stdatomic.h>

#include "storage/direct_writer.h"
#include "storage/disk_tier.h"
#include "storage/segment_files.h"

/* The segment that groups are appended to; file NULL: the next group opens one. Invariant: end <= size. */
struct current_segment {
    uint64_t id;
    struct disk_file *file;
    struct disk_file *direct; /* the same file past the page cache; NULL: not opened, or not to be had */
    bool direct_tried;
    uint64_t end;       /* good bytes */
    uint64_t size;      /* of the file, preallocation included */
    bool name_unsynced; /* its folder entry is not safe yet */
};

struct disk_tier {
    const struct disk_port *port;
    struct segment_files *files;
    struct current_segment current;
    struct direct_writer *direct; /* NULL: all groups go through the page cache */
    uint64_t direct_bytes;
    uint64_t segment_bytes;
    uint64_t allocate_bytes;
    uint64_t next_segment;
    _Atomic uint64_t bytes; /* relaxed: a figure for people and for StorageMax, written by the one writing job */
    _Atomic uint64_t used;  /* the same without preallocation */
    char dir[SEGMENT_PATH_MAX];
};

#endif
