/* SPDX-License-Identifier: MIT */
/*
 * A bounded list of byte strings in one buffer: what a name's TXT records say.
 *
 *      bytes  | first | second | third ... |        ends  5, 11, 16, ...
 *
 * Both bounds hold together: at most TEXTS_MAX strings, at most the bytes given at birth in all. Strings may hold any byte, NUL
 * among them. Spans that were handed out are good until the next addition. Not thread-safe.
 */
#ifndef HEARTH_BASE_TEXTS_H
#define HEARTH_BASE_TEXTS_H

#include "base/buf.h"

enum { TEXTS_MAX = 64 };

struct texts {
    struct buf bytes;
    uint32_t ends[TEXTS_MAX];
    size_t count;
};

/* Allocates nothing. */
void texts_init(struct texts *t, size_t max_bytes);
void texts_release(struct texts *t);
void texts_clear(struct texts *t);

/* Appends a copy. ERR_TOO_LARGE past either bound, ERR_NOMEM; the list is then as before. */
enum err texts_add(struct texts *t, struct span text) MUST_CHECK;

/* index < count. */
struct span texts_get(const struct texts *t, size_t index);

#endif
