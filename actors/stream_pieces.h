/* SPDX-License-Identifier: MIT */
/*
 * Received bytes of a stream that its owner has not used yet: references to what connection_manager received, in order.
 *
 * They stay charged to the account they came from. What is held is bounded by the stream's window, since no credit is returned for
 * it. One thread.
 */
#ifndef HEARTH_ACTORS_STREAM_PIECES_H
#define HEARTH_ACTORS_STREAM_PIECES_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/err.h"

struct stream_piece {
    struct stream_piece *next;
    struct block_ref *ref;
};

struct stream_pieces {
    struct stream_piece *first; /* NULL: nothing is held */
    struct stream_piece **last;
    size_t offset; /* in the first piece: so much of it is used */
    size_t held;   /* bytes of all pieces */
};

void stream_pieces_init(struct stream_pieces *p);
void stream_pieces_release(struct stream_pieces *p);

/* Takes a reference at the end. ERR_NOMEM. */
enum err stream_pieces_add(struct stream_pieces *p, struct block_ref *ref) MUST_CHECK;

/* What is left of the first piece, perhaps nothing; there must be one. */
struct span stream_pieces_front(const struct stream_pieces *p);

/* So many bytes of the front were used. */
void stream_pieces_use(struct stream_pieces *p, size_t bytes);

/* Drops the first piece, used or not. Returns how many bytes it held. */
size_t stream_pieces_pop(struct stream_pieces *p);

#endif
