/* SPDX-License-Identifier: MIT */
/*
 * Entries of a folder on their way to the client, in the folder's order, while the blocks that tell their kinds arrive in
 * any order. A ring of READER_ENTRIES_AHEAD. Private to actors/control/reader.
 */
#ifndef HEARTH_ACTORS_CONTROL_ENTRY_RING_H
#define HEARTH_ACTORS_CONTROL_ENTRY_RING_H

#include "actors/control/reader.h"
#include "storage/dir_lister.h"
#include "storage/node_info.h"

/* An entry whose kind may still be looked up. */
struct ahead {
    struct reader_entry entry; /* its name lives in text */
    struct buf text;
    bool waits;
    bool asked;
};

struct entry_ring {
    struct ahead slots[READER_ENTRIES_AHEAD];
    size_t first;
    size_t count;
};

void entry_ring_init(struct entry_ring *ring, struct account *account);
void entry_ring_release(struct entry_ring *ring);

/* Takes an entry; the ring must not be full. kinds: its block is to be looked at. Errors as buf_append. */
enum err entry_ring_push(struct entry_ring *ring, const struct dir_entry *entry, bool kinds) MUST_CHECK;

/* The next block that tells a kind; not one that the lister waits for itself. ERR_AGAIN: none. */
enum err entry_ring_next_want(struct entry_ring *ring, const struct dir_lister *lister, struct cid *ret_cid) MUST_CHECK;

/* A block that tells entries what they are; NULL: it cannot be had, they stay unknown. */
void entry_ring_put(struct entry_ring *ring, const struct cid *cid, const struct block_ref *block);

/* The block cannot be had for the moment. */
void entry_ring_retry(struct entry_ring *ring, const struct cid *cid);

/* The next entry, which lives until the next push. ERR_AGAIN: it waits for its block, or there is none. */
enum err entry_ring_pop(struct entry_ring *ring, struct reader_entry *ret_entry) MUST_CHECK;

enum reader_kind reader_kind_of(enum node_kind kind);

#endif
