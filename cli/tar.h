/* SPDX-License-Identifier: MIT */
/*
 * The headers of a tar archive: POSIX ustar, preceded by a pax header when a path or a target has over 100 bytes. Numbers that octal digits
 * cannot hold (8 GiB, times before 1970) are in base 256, as GNU tar, libarchive, Go and Python read them; so the size has its place in the
 * header whatever it becomes, and can be filled in when the file's end is known.
 *
 *      [x header, pax records, padding]   header   bytes, padding to 512   header   ...   two blocks of zeros
 */
#ifndef HEARTH_CLI_TAR_H
#define HEARTH_CLI_TAR_H

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum { TAR_BLOCK = 512, TAR_END_BYTES = 2 * TAR_BLOCK };
enum tar_type { TAR_FILE = '0', TAR_SYMLINK = '2', TAR_FOLDER = '5' };

struct tar_entry {
    enum tar_type type;
    struct span path;
    struct span target; /* of a symlink */
    uint32_t mode;
    int64_t mtime_seconds;
};

/* Appends what stands before the bytes of an entry; its last TAR_BLOCK bytes are the header, with size 0. As buf_append. */
enum err tar_append_head(struct buf *out, const struct tar_entry *entry) MUST_CHECK;

/* Sets the size in a header. */
void tar_set_size(uint8_t header[TAR_BLOCK], uint64_t size);

/* How many zeros follow so many bytes of a file. */
static inline size_t tar_padding(uint64_t size)
{
    return (size_t)(-size % TAR_BLOCK);
}

#endif
