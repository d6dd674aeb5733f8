/* SPDX-License-Identifier: MIT */
/*
 * A file outside of the repository that somebody else named: read only while it is exactly the one that was meant.
 *
 * A path alone says too little: in a container, after a rename or through a symlink it leads to another file. So whoever names one says
 * which inode on which device, of what size and when last modified; what is opened must be that, a regular file, before the first byte is
 * read and after the last one. Nothing here waits for the other end of a pipe, but reading blocks as the file system does: from jobs only.
 */
#ifndef HEARTH_STORAGE_LOCAL_FILE_H
#define HEARTH_STORAGE_LOCAL_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/attr.h"
#include "base/err.h"

enum { LOCAL_PATH_MAX = 4096 };

struct local_file_id {
    uint64_t device;
    uint64_t inode;
    uint64_t size;
    uint64_t mtime_ns; /* since 1970 */
};

/* What a stat says. ERR_UNSUPPORTED: no regular file, or one that was modified before 1970. */
enum err local_file_id_of(const struct stat *st, struct local_file_id *ret_id) MUST_CHECK;

/*
 * Opens for reading; the path is absolute and its last part no symlink. ERR_MISMATCH: what is there is another file, or none that has
 * an id; ERR_INVALID: a relative path; ERR_NOT_FOUND, ERR_DENIED and the like.
 */
enum err local_file_open(const char *path, const struct local_file_id *id, int *ret_fd) MUST_CHECK;

/* Fills to with len bytes from offset on. ERR_MISMATCH: the file ends before. */
enum err local_file_read(int fd, uint64_t offset, void *to, size_t len) MUST_CHECK;

/* Closes; ERR_MISMATCH when it is not what it was any more, so that what was read may be of two states. */
enum err local_file_close(int fd, const struct local_file_id *id) MUST_CHECK;

#endif
