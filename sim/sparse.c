/* SPDX-License-Identifier: MIT */
#include "sim/sparse.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

enum { FIRST_CAP = 4 };

struct sparse_piece {
    _Atomic uint32_t refs; /* a piece that others hold, too, is copied before it is written */
    uint8_t bytes[SPARSE_PIECE];
};

static void drop(struct sparse_piece *piece)
{
    if (piece != NULL && atomic_fetch_sub(&piece->refs, 1) == 1)
        free(piece);
}

static size_t pieces_of(size_t len)
{
    return (len + SPARSE_PIECE - 1) / SPARSE_PIECE;
}

void sparse_release(struct sparse *s)
{
    for (size_t i = 0; i < s->cap; i++)
        drop(s->pieces[i]);
    free(s->pieces);
    *s = (struct sparse){0};
}

static bool reserve(struct sparse *s, size_t count)
{
    if (count <= s->cap)
        return true;
    size_t cap = MAX(count, MAX((size_t)FIRST_CAP, s->cap + s->cap / 2));
    struct sparse_piece **pieces = realloc(s->pieces, cap * sizeof(*pieces));
    if (pieces == NULL)
        return false;
    memset(pieces + s->cap, 0, (cap - s->cap) * sizeof(*pieces));
    s->pieces = pieces;
    s->cap = cap;
    return true;
}

/* The piece alone, to be written; NULL without memory. */
static struct sparse_piece *own(struct sparse *s, size_t index)
{
    struct sparse_piece *piece = s->pieces[index];
    if (piece != NULL && atomic_load(&piece->refs) == 1)
        return piece;
    struct sparse_piece *copy = piece == NULL ? calloc(1, sizeof(*copy)) : malloc(sizeof(*copy));
    if (copy == NULL)
        return NULL;
    if (piece != NULL)
        memcpy(copy->bytes, piece->bytes, SPARSE_PIECE);
    atomic_init(&copy->refs, 1);
    drop(piece);
    s->pieces[index] = copy;
    return copy;
}

/* Behind the end all is zero, so that growing needs to do nothing. */
static bool cut(struct sparse *s, size_t len)
{
    size_t rest = len % SPARSE_PIECE;
    size_t whole = pieces_of(len);
    if (rest > 0 && s->pieces[len / SPARSE_PIECE] != NULL) {
        struct sparse_piece *last = own(s, len / SPARSE_PIECE);
        if (last == NULL)
            return false;
        memset(last->bytes + rest, 0, SPARSE_PIECE - rest);
    }
    for (size_t i = whole; i < pieces_of(s->len); i++) {
        drop(s->pieces[i]);
        s->pieces[i] = NULL;
    }
    return true;
}

bool sparse_resize(struct sparse *s, size_t len)
{
    if (len < s->len ? !cut(s, len) : !reserve(s, pieces_of(len)))
        return false;
    s->len = len;
    return true;
}

bool sparse_write(struct sparse *s, const uint8_t *data, size_t len, uint64_t offset)
{
    size_t end = (size_t)offset + len;
    if (len == 0)
        return true;
    if (!reserve(s, pieces_of(end)))
        return false;
    for (size_t at = (size_t)offset; at < end;) {
        size_t skip = at % SPARSE_PIECE;
        size_t part = MIN(end - at, SPARSE_PIECE - skip);
        struct sparse_piece *piece = own(s, at / SPARSE_PIECE);
        if (piece == NULL)
            return false;
        memcpy(piece->bytes + skip, data, part);
        data += part;
        at += part;
    }
    s->len = MAX(s->len, end);
    return true;
}

void sparse_read(const struct sparse *s, uint8_t *to, size_t len, uint64_t offset)
{
    assert(offset + len <= s->len);
    for (size_t at = (size_t)offset; len > 0;) {
        size_t skip = at % SPARSE_PIECE;
        size_t part = MIN(len, SPARSE_PIECE - skip);
        const struct sparse_piece *piece = s->pieces[at / SPARSE_PIECE];
        if (piece == NULL)
            memset(to, 0, part);
        else
            memcpy(to, piece->bytes + skip, part);
        to += part;
        at += part;
        len -= part;
    }
}

bool sparse_copy(struct sparse *to, const struct sparse *from)
{
    size_t count = pieces_of(from->len);
    struct sparse_piece **pieces = count == 0 ? NULL : malloc(count * sizeof(*pieces));
    if (count > 0 && pieces == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        pieces[i] = from->pieces[i];
        if (pieces[i] != NULL)
            (void)atomic_fetch_add(&pieces[i]->refs, 1);
    }
    sparse_release(to);
    *to = (struct sparse){.pieces = pieces, .cap = count, .len = from->len};
    return true;
}
