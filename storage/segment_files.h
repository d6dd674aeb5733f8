/* SPDX-License-Identifier: MIT */
/*
 * Open segments for reading: a small cache of descriptors, so that a read is one pread and not open, pread, close.
 *
 * Thread-safe: jobs of both disk workers read at once. A file stays open while someone holds it, also when it falls out of the cache.
 */
#ifndef HEARTH_STORAGE_SEGMENT_FILES_H
#define HEARTH_STORAGE_SEGMENT_FILES_H

#include "base/attr.h"
#include "mailbox/ports.h"

enum { SEGMENT_FILES_MAX = 32, SEGMENT_PATH_MAX = 4096 };

struct segment_files;
struct segment_file;

/* dir is copied; port is borrowed. ERR_TOO_LARGE when a path would be over SEGMENT_PATH_MAX. */
enum err segment_files_new(const struct disk_port *port, const char *dir, struct segment_files **ret_files) MUST_CHECK;
/* Nobody may hold a file any more. NULL-safe. */
void segment_files_free(struct segment_files *files);

/* Opens or finds; blocks. Each hold is ended by segment_files_drop. ERR_NOT_FOUND when the segment is gone. */
enum err segment_files_hold(struct segment_files *files, uint64_t segment, struct segment_file **ret_file) MUST_CHECK;
void segment_files_drop(struct segment_files *files, struct segment_file *file);
struct disk_file *segment_file_disk(const struct segment_file *file);

/* Closes the cached descriptor of a segment that is about to be unlinked. */
void segment_files_forget(struct segment_files *files, uint64_t segment);

/* The path of a segment; never fails after new. */
void segment_files_path(const struct segment_files *files, uint64_t segment, char to[SEGMENT_PATH_MAX]);

#endif
