/* SPDX-License-Identifier: MIT */
/*
 * Reads the requests of a trace, one after the other, in the formats in which traces are handed round.
 *
 *   oracleGeneral  records of 24 bytes, little-endian: {u32 time_s, u64 object, u32 size, i64 next use}; the last is not believed
 *   lis            lines `start blocks ignored number`: pages start … start + blocks - 1
 *   keys           a key a line; a line `*` is a mark of the recorder's and skipped
 *   be32, be64     keys of 4 or 8 bytes, big-endian
 *   tsv            lines `time id size`: seconds with or without a fraction, any word, bytes
 *
 * Empty lines are skipped. Words are known by a hash of 64 bits.
 */
#ifndef HEARTH_TIERSIM_TRACE_READER_H
#define HEARTH_TIERSIM_TRACE_READER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/err.h"

enum trace_format { TRACE_ORACLE_GENERAL, TRACE_LIS, TRACE_KEYS, TRACE_BE32, TRACE_BE64, TRACE_TSV };

enum { LIS_BLOCKS_MAX = 1 << 20 };

/* False for a name that is none. */
bool trace_format_parse(const char *name, enum trace_format *ret_format) MUST_CHECK;

/* Whether its requests have sizes and times; in the others each object is one slot. */
bool trace_format_sized(enum trace_format format);

struct trace_record {
    double time_s; /* 0 without times */
    uint64_t id;
    uint64_t bytes; /* 1 without sizes */
};

struct trace_reader;

/* file is borrowed; unpack_memory_max: see unpacker.h. ERR_IO, ERR_NOMEM. */
enum err trace_reader_new(FILE *file, enum trace_format format, uint64_t unpack_memory_max,
                          struct trace_reader **ret_reader) MUST_CHECK;
/* NULL-safe. */
void trace_reader_free(struct trace_reader *reader);

/* ERR_CLOSED behind the last. Any other error is for good, and trace_reader_why says what is wrong and where. */
enum err trace_reader_next(struct trace_reader *reader, struct trace_record *ret_record) MUST_CHECK;
const char *trace_reader_why(const struct trace_reader *reader);

bool trace_reader_sized(const struct trace_reader *reader);

#endif
