/* SPDX-License-Identifier: MIT */
/*
 * A file outside of the repository that somebody else opened and handed over: read only while it stays what it was when it came, or written.
 *
 * It is known by its descriptor alone, so it is the sender's file whatever its path leads to here, and nobody has a file read or written for
 * them that they could not open so. The bytes of one that is read count only when size and time of modification are the same afterwards.
 * Reading and writing block as the file system does, and closing may after writing: from jobs only.
 */
#ifndef HEARTH_STORAGE_LOCAL_FILE_H
#define HEARTH_STORAGE_LOCAL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

struct local_file {
    int fd; /* -1 = closed */
    bool readable;
    bool writable; /* at any offset */
    uint64_t size;
    struct timespec mtime;
};

/*
 * Takes over an open descriptor and notes what the file is now and what it is open for. One in append mode is not open for writing, nor is
 * one that runs as its owner or group, which the kernel would make an ordinary file if its sender wrote to it, and not if root does.
 * ERR_UNSUPPORTED: no regular file, or open for neither; on every error the descriptor stays the caller's.
 */
enum err local_file_take(int fd, struct local_file *ret_file) MUST_CHECK;

/* The same file once more, with a descriptor of its own. ERR_BUSY and the like: no descriptor is left. */
enum err local_file_dup(const struct local_file *file, struct local_file *ret_copy) MUST_CHECK;

/* Fills to with len bytes from offset on. ERR_MISMATCH: the file ends before. */
enum err local_file_read(const struct local_file *file, uint64_t offset, void *to, size_t len) MUST_CHECK;

/* ERR_MISMATCH when it is not what it was any more, so that what was read may be of two states. */
enum err local_file_check(const struct local_file *file) MUST_CHECK;

/* Writes all of the bytes from offset on. On an error some of them may be written. */
enum err local_file_write(const struct local_file *file, uint64_t offset, struct span bytes) MUST_CHECK;

/* Closes; a closed one is ignored. Some file systems tell only now that what was written found no place. */
enum err local_file_close(struct local_file *file);

#endif
