/* SPDX-License-Identifier: MIT */
#include "actors/stream_pieces.h"

#include <stdlib.h>

void stream_pieces_init(struct stream_pieces *p)
{
    *p = (struct stream_pieces){0};
    p->last = &p->first;
}

void stream_pieces_release(struct stream_pieces *p)
{
    while (p->first != NULL)
        (void)stream_pieces_pop(p);
}

enum err stream_pieces_add(struct stream_pieces *p, struct block_ref *ref)
{
    struct stream_piece *piece = malloc(sizeof(*piece));
    if (piece == NULL)
        return ERR_NOMEM;
    *piece = (struct stream_piece){.ref = block_ref_ref(ref)};
    *p->last = piece;
    p->last = &piece->next;
    p->held += ref->len;
    return ERR_OK;
}

struct span stream_pieces_front(const struct stream_pieces *p)
{
    return span_skip(block_ref_span(p->first->ref), p->offset);
}

void stream_pieces_use(struct stream_pieces *p, size_t bytes)
{
    p->offset += bytes;
}

size_t stream_pieces_pop(struct stream_pieces *p)
{
    struct stream_piece *piece = p->first;
    size_t len = piece->ref->len;
    p->held -= len;
    p->first = piece->next;
    if (p->first == NULL)
        p->last = &p->first;
    p->offset = 0;
    block_ref_unref(piece->ref);
    free(piece);
    return len;
}
