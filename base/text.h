/* SPDX-License-Identifier: MIT */
/*
 * Text that people write and read: numbers, sizes, durations, suggestions. Nothing here allocates or depends on the locale.
 */
#ifndef HEARTH_BASE_TEXT_H
#define HEARTH_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

/* Decimal digits only, nothing around them. ERR_INVALID, ERR_TOO_LARGE past 64 bits. */
enum err text_parse_u64(struct span text, uint64_t *ret_value) MUST_CHECK;

/* "0", "512", "10kB", "10GB" (powers of 1000), "64MiB", "64M" (powers of 1024 for the i-forms), as Kubo reads them. */
enum err text_parse_size(struct span text, uint64_t *ret_bytes) MUST_CHECK;

/* "300ms", "20s", "22h", "1h30m", "0": Go's duration grammar without signs, in nanoseconds. */
enum err text_parse_duration(struct span text, uint64_t *ret_ns) MUST_CHECK;

/* "true" or "false" (also "1", "0"). */
enum err text_parse_bool(struct span text, bool *ret_value) MUST_CHECK;

/* Copies into a NUL-terminated array; ERR_TOO_LARGE when it does not fit, ERR_INVALID when the text holds a NUL. */
enum err text_copy(struct span text, char *to, size_t to_bytes) MUST_CHECK;

/* "1.5 MiB" and the like, at most 16 bytes with the NUL. */
void text_size(uint64_t bytes, char to[16]);

/* Appends text with control bytes, DEL, and invalid or bidirectional UTF-8 escaped as \xNN: safe on a terminal. */
enum err text_append_escaped(struct buf *to, struct span text) MUST_CHECK;

/* True for well-formed UTF-8 (no surrogates, no overlong forms). */
bool text_is_utf8(struct span text);

/* The number of edits between two words, ignoring case; words over 63 bytes count as far apart. */
size_t text_distance(const char *a, const char *b);

#endif
