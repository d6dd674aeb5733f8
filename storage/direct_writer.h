/* SPDX-License-Identifier: MIT */
/*
 * Writes past the page cache: bytes are gathered in an aligned buffer, which goes to a file opened with DISK_DIRECT when it is full.
 *
 *      begin(file, offset)  append append append ...  end  -->  pwritev of 1 MiB pieces, the last one padded with zeros
 *
 * A large group that is written through the page cache and synced at once is copied into pages that nobody reads soon, waits for their
 * writeback, and drives out what others keep there; past it, the disk takes it from the buffer. One thread at a time. Blocks.
 */
#ifndef HEARTH_STORAGE_DIRECT_WRITER_H
#define HEARTH_STORAGE_DIRECT_WRITER_H

#include "base/buf.h"
#include "base/limits.h"
#include "mailbox/ports.h"

enum { DIRECT_BUFFER_BYTES = 1024 * 1024 };

struct direct_writer;

/* The buffer is charged to account (borrowed, may be NULL) until direct_writer_free. ERR_NOMEM. */
enum err direct_writer_new(const struct disk_port *port, struct account *account,
                           struct direct_writer **ret_writer) MUST_CHECK;
/* NULL-safe. */
void direct_writer_free(struct direct_writer *writer);

/* file stays the caller's; offset is a multiple of DISK_DIRECT_ALIGN. Forgets what an earlier, failed one left. */
void direct_writer_begin(struct direct_writer *writer, struct disk_file *file, uint64_t offset);

/* ERR_INVALID: the file cannot be written this way after all; other errors as of pwritev. */
enum err direct_writer_append(struct direct_writer *writer, struct span bytes) MUST_CHECK;

/* Writes the rest, padded with zeros to a multiple of DISK_DIRECT_ALIGN. Nothing is durable before an fdatasync. */
enum err direct_writer_end(struct direct_writer *writer) MUST_CHECK;

#endif
