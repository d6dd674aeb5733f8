/* SPDX-License-Identifier: MIT */
/*
 * The table ipns_records of state.db: the last record of each name whose key is here.
 *
 * Its sequence never goes back: a record is durable (synchronous=FULL) before it is given to anybody, an older one does not replace a newer one,
 * and the table is carried over when state.db is made anew. As for state_store: blocks, one thread at a time.
 */
#ifndef HEARTH_ACTORS_STATE_IPNS_STORE_H
#define HEARTH_ACTORS_STATE_IPNS_STORE_H

#include "actors/state/store.h"
#include "wire/ipns.h"
#include "wire/peer_id.h"

struct ipns_row {
    struct peer_id name;
    uint64_t published_at; /* ns since the epoch: when it was made */
    uint64_t told_at;      /* when a peer took it last; 0: none did */
    size_t record_len;
    uint8_t record[IPNS_RECORD_BYTES_MAX];
};

/* ERR_NOT_FOUND; others with a sentence. A row that is no valid record counts as absent. */
enum err ipns_store_get(struct state_store *store, const struct peer_id *name, struct ipns_row *ret_row,
                        char why[STATE_WHY_BYTES]) MUST_CHECK;

/* Keeps the row, durably. ERR_MISMATCH: one with a higher sequence is there. */
enum err ipns_store_put(struct state_store *store, const struct ipns_row *row, char why[STATE_WHY_BYTES]) MUST_CHECK;

/* Notes that a peer took what is kept of the name; no such row is no error. */
enum err ipns_store_told(struct state_store *store, const struct peer_id *name, uint64_t at,
                         char why[STATE_WHY_BYTES]) MUST_CHECK;

/*
 * The next row, by name, that no peer was told since the given time; one told later than now was told under a wrong clock, and is due.
 * after: the name of the row before, NULL for the first.
 * ERR_NOT_FOUND at the end.
 */
enum err ipns_store_due(struct state_store *store, const struct peer_id *after, uint64_t told_before, uint64_t now,
                        struct ipns_row *ret_row, char why[STATE_WHY_BYTES]) MUST_CHECK;

#endif
