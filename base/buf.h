/* SPDX-License-Identifier: MIT */
/*
 * Byte ranges and growable buffers.
 *
 * A span borrows bytes and never frees them. A buf owns its bytes, takes its maximum at birth and never grows past it. With an
 * account, each growth is taken from the account first and given back on release.
 *
 * Invariants of a buf: len <= cap <= max; data is NULL exactly when cap is 0. Not thread-safe.
 */
#ifndef HEARTH_BASE_BUF_H
#define HEARTH_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"

struct account;

struct span {
    const uint8_t *data;
    size_t len;
};

struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max;              /* bytes; set once by buf_init */
    struct account *account; /* may be NULL: not charged */
};

static inline struct span span_of(const void *data, size_t len)
{
    return (struct span){.data = data, .len = len};
}

static inline struct span span_text(const char *text)
{
    return (struct span){.data = (const uint8_t *)text, .len = strlen(text)};
}

/* Drops the first n bytes; n > len gives the empty span. */
static inline struct span span_skip(struct span s, size_t n)
{
    n = MIN(n, s.len);
    return (struct span){.data = s.len == 0 ? s.data : s.data + n, .len = s.len - n};
}

/* Keeps at most the first n bytes. */
static inline struct span span_first(struct span s, size_t n)
{
    return (struct span){.data = s.data, .len = MIN(n, s.len)};
}

/* Without the spaces and tabs around it. */
struct span span_trim(struct span s);

/* Equality of public bytes (not constant time: for secrets use sodium_memcmp). */
bool span_equal(struct span a, struct span b);
bool span_equal_text(struct span a, const char *text);

/* Order of byte strings: negative, zero or positive like memcmp, a prefix sorts first. */
int span_compare(struct span a, struct span b);

/* Makes an empty buffer that may grow to max_bytes. Allocates nothing. account may be NULL. */
void buf_init(struct buf *b, size_t max_bytes, struct account *account);

/* Frees the bytes, gives them back to the account; the buffer is empty and usable again. NULL-safe on data. */
void buf_release(struct buf *b);

/* Sets len to 0 and keeps the memory. */
void buf_clear(struct buf *b);

/*
 * Ensures room for extra_bytes more after len and returns a pointer to the first of them; NULL when that would pass max (the
 * caller reports ERR_TOO_LARGE) or when memory or the account is exhausted. The bytes count only after buf_commit.
 */
uint8_t *buf_reserve(struct buf *b, size_t extra_bytes) MUST_CHECK;

/* Counts n reserved bytes as content; n must not exceed what buf_reserve ensured. */
void buf_commit(struct buf *b, size_t n);

/* Appends; ERR_TOO_LARGE past max, ERR_NOMEM without memory. On failure the buffer is unchanged. */
enum err buf_append(struct buf *b, const void *data, size_t len) MUST_CHECK;
enum err buf_append_span(struct buf *b, struct span s) MUST_CHECK;
enum err buf_append_text(struct buf *b, const char *text) MUST_CHECK;
enum err buf_append_byte(struct buf *b, uint8_t byte) MUST_CHECK;
enum err buf_appendf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_CHECK;

/* Removes the first n bytes by moving the rest: for small buffers. n <= len. */
void buf_drop(struct buf *b, size_t n);

static inline struct span buf_span(const struct buf *b)
{
    return (struct span){.data = b->data, .len = b->len};
}

#endif
