/* SPDX-License-Identifier: MIT */
/*
 * A bounded walk over msgpack bytes, one token at a time.
 *
 * msgpack-c's object tree allocates 24 bytes per claimed element before it has seen one, so bytes from outside are never given to
 * it. The walk allocates nothing, copies nothing, and believes a count only when at least that many bytes are left. Depth is the
 * caller's: a token that opens an array or a map only says how many values follow.
 */
#ifndef HEARTH_SCHEMAS_WALK_H
#define HEARTH_SCHEMAS_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum walk_type { WALK_NIL, WALK_BOOL, WALK_U64, WALK_I64, WALK_F64, WALK_TEXT, WALK_BYTES, WALK_ARRAY, WALK_MAP };

enum { WALK_DEPTH_MAX = 16 };

struct walk_token {
    enum walk_type type;
    bool boolean;
    uint64_t u64;      /* WALK_U64: all integers >= 0 */
    int64_t i64;       /* WALK_I64: integers < 0 */
    double f64;        /* WALK_F64 */
    struct span bytes; /* WALK_TEXT (valid UTF-8), WALK_BYTES; borrowed */
    uint32_t count;    /* WALK_ARRAY: values; WALK_MAP: pairs */
};

struct walk {
    struct span left;
};

/* Takes one token. ERR_TRUNCATED, ERR_INVALID (reserved byte, extension type, text that is not UTF-8). */
enum err walk_next(struct walk *walk, struct walk_token *ret_token) MUST_CHECK;

/* Skips one whole value of at most WALK_DEPTH_MAX levels; ret_raw (may be NULL) gets its bytes. ERR_TOO_LARGE when deeper. */
enum err walk_skip(struct walk *walk, struct span *ret_raw) MUST_CHECK;

/* Finds a key of a packed map: ret_value gets the value's bytes. ERR_NOT_FOUND, or as walk_skip. The first of equal keys counts. */
enum err walk_find(struct span map, const char *key, struct span *ret_value) MUST_CHECK;

/* The same for a value of one type; ERR_INVALID when it is of another. */
enum err walk_find_text(struct span map, const char *key, struct span *ret_text) MUST_CHECK;
enum err walk_find_u64(struct span map, const char *key, uint64_t *ret_value) MUST_CHECK;

/* True for well-formed UTF-8 without surrogates and overlong forms. */
bool utf8_valid(struct span text);

#endif
