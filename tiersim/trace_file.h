/* SPDX-License-Identifier: MIT */
/*
 * A trace file as a stream of unpacked bytes, taken in lines or in records. gzip, xz and zstd are told by their first bytes. Memory: two
 * buffers, and what unpacking takes.
 */
#ifndef HEARTH_TIERSIM_TRACE_FILE_H
#define HEARTH_TIERSIM_TRACE_FILE_H

#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"

enum { TRACE_LINE_MAX = 4096 };

struct trace_file;

/* file is borrowed. unpack_memory_max: see unpacker.h. ERR_IO, ERR_NOMEM. */
enum err trace_file_new(FILE *file, uint64_t unpack_memory_max, struct trace_file **ret_trace_file) MUST_CHECK;
/* NULL-safe; does not close the file. */
void trace_file_free(struct trace_file *trace_file);

/*
 * The next line, without what ends it (LF or CR LF), or the next bytes (not 0, at most TRACE_LINE_MAX), valid until the next call. The
 * last line may lack its end. ERR_CLOSED: there are no more. ERR_TRUNCATED: less than a record is left, or the packed file breaks off.
 * ERR_TOO_LARGE: a line is longer than TRACE_LINE_MAX, or unpacking takes too much memory. ERR_CORRUPT, ERR_IO, ERR_NOMEM.
 */
enum err trace_file_line(struct trace_file *trace_file, struct span *ret_line) MUST_CHECK;
enum err trace_file_record(struct trace_file *trace_file, size_t bytes, struct span *ret_record) MUST_CHECK;

/* How the file is packed, for messages: "gzip" and the like, or "plain". */
const char *trace_file_packing(const struct trace_file *trace_file);

/* Whether the last error was one of unpacking or reading rather than of what was unpacked. */
bool trace_file_broken(const struct trace_file *trace_file);

/* Unpacked bytes before the one that comes next. */
uint64_t trace_file_offset(const struct trace_file *trace_file);

#endif
