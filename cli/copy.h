/* SPDX-License-Identifier: MIT */
/* What `repo backup` and `repo restore` share: files of a copy of a store. */
#ifndef HEARTH_CLI_COPY_H
#define HEARTH_CLI_COPY_H

#include "cli/output.h"
#include "storage/disk_posix.h"
#include "storage/store_copy.h"

/* folder/a b c; false when it is too long. */
bool copy_path(char to[STORE_COPY_PATH_MAX], const char *folder, const char *a, const char *b,
               const char *c) MUST_CHECK;

/* Bytes of the file, 0 when there is none. */
uint64_t copy_file_size(const struct disk_port *port, const char *path);

/* Whether folder/segments holds a segment. */
bool copy_has_segments(const struct disk_port *port, const char *folder);

/* Removes the segments of the folder that are not in the list. */
int copy_remove_others(const struct disk_port *port, const char *folder, const struct segment_checkpoint *list,
                       size_t count);

/* Checks every block of the copy; says which are wrong. EXIT_ERROR when one is. */
int copy_verify(const struct invocation *in, const char *folder);

#endif
