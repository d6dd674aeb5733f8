/* SPDX-License-Identifier: MIT */
/*
 * Leases: what is being added or fetched is kept from collection until its pin is committed.
 *
 * A lease remembers where the store wrote when it was opened. Blocks lie in order of time, so all that was stored since lies at or behind
 * that place; the oldest open lease protects it. A block that was there before and is found by whoever has a lease is noted (touched) in a
 * Bloom filter: a false positive keeps a dead block until the next collection, no more. The filter goes with the last lease; when it cannot
 * be made, everything is protected until then. Rejected: a list of blocks per lease, which grows with what is added.
 *
 * Pure; one thread.
 */
#ifndef HEARTH_STORAGE_LEASES_H
#define HEARTH_STORAGE_LEASES_H

#include "storage/filter.h"

enum { LEASES_MAX = 128, LEASES_TOUCHED_KEYS = 128 * 1024 };

struct lease {
    uint64_t id; /* 0 = free */
    uint64_t segment;
    uint64_t offset;
};

struct leases {
    struct lease open[LEASES_MAX];
    size_t count;
    uint64_t last_id;
    struct filter *touched; /* NULL until the first touch */
    bool blind;             /* a touch could not be noted */
    uint64_t seed;
    struct account *account;
};

/* seed: of the filter's hash. account (may be NULL) is charged for it. */
void leases_init(struct leases *leases, uint64_t seed, struct account *account);
void leases_release(struct leases *leases);

/* Opens one at the place where the next block is written. ERR_BUSY when LEASES_MAX are open. ret_id is never 0. */
enum err leases_open(struct leases *leases, uint64_t segment, uint64_t offset, uint64_t *ret_id) MUST_CHECK;
/* An id that is not open is ignored. */
void leases_close(struct leases *leases, uint64_t id);

/* A holder of a lease relies on a block that is stored already. Nothing happens while no lease is open. */
void leases_touch(struct leases *leases, const struct block_key *key);

bool leases_protect(const struct leases *leases, const struct block_place *place);

#endif
