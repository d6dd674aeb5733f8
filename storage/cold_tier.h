/* SPDX-License-Identifier: MIT */
/*
 * A cold tier: packs on a store, under a mark. docs/internals/cold_tier.md tells the order of writes, and which rows go with them.
 *
 *      cold_pack_begin --> cold_pack_add, ... --> cold_pack_end      written, durable, verified: now rows may name it
 *      cold_tier_read                                                one block, by one range, its hash checked
 *      cold_tier_index, _check, _packs, _remove                      a pack's own index, all its bytes, all packs
 *
 * The mark tells a medium from an empty mount point and from the medium of another node. Nothing is called lost or damaged while it cannot be
 * read: ERR_NOT_FOUND and ERR_CORRUPT mean that the mark is in its place.
 *
 * Everything blocks, and is called from jobs, several at once; a pack that is being written belongs to one at a time. Errors are those of
 * storage/cold_store.h.
 */
#ifndef HEARTH_STORAGE_COLD_TIER_H
#define HEARTH_STORAGE_COLD_TIER_H

#include "base/block_ref.h"
#include "storage/cold_store.h"
#include "storage/pack_writer.h"

#define COLD_PACK_BYTES (UINT64_C(32) * 1024 * 1024) /* of a pack, unless configured */
#define COLD_MARK_NAME  "hearth-tier"

struct cold_tier {
    struct cold_store *store; /* borrowed */
    uint8_t mark[PACK_MARK_BYTES];
    uint64_t pack_bytes;     /* 0 = COLD_PACK_BYTES */
    struct account *account; /* for packs that are written or checked; NULL = not charged */
};

/* The mark of a store. ERR_NOT_FOUND: it has none. */
enum err cold_tier_find(struct cold_store *store, struct cold_call *call, uint8_t ret_mark[PACK_MARK_BYTES]) MUST_CHECK;

/*
 * Marks a store that is used for the first time. The catalogue has noted the mark before, so that this can be repeated after a crash or an error:
 * a store that has this mark already is ERR_OK. ERR_DENIED: it has another, or packs.
 */
enum err cold_tier_claim(struct cold_store *store, struct cold_call *call,
                         const uint8_t mark[PACK_MARK_BYTES]) MUST_CHECK;

/* Whether the mark is in its place: ERR_OK; ERR_UNAVAILABLE: there is none, or no answer; ERR_DENIED: it is another's. */
enum err cold_tier_ask(struct cold_tier *tier, struct cold_call *call) MUST_CHECK;

/* Reads a block into a fresh buffer charged to account. ERR_CORRUPT: wrong twice. */
enum err cold_tier_read(struct cold_tier *tier, struct cold_call *call, const struct cold_place *place,
                        struct account *account, struct block_ref **ret_ref) MUST_CHECK;

/* ---- a pack that is written ---- */

struct cold_pack;

/* pack: a fresh id of 63 random bits, not 0, which the catalogue has noted as being written. */
enum err cold_pack_begin(struct cold_tier *tier, struct cold_call *call, uint64_t pack,
                         struct cold_pack **ret_pack) MUST_CHECK;

/* As pack_writer_add: ERR_BUSY when it is full, and then it can be ended. After any other error but ERR_TOO_LARGE: abandon. */
enum err cold_pack_add(struct cold_pack *pack, struct cold_call *call, const struct block_key *key, uint32_t codec,
                       struct span bytes, struct cold_place *ret_place) MUST_CHECK;

/* Finishes and verifies; frees it in every case. After an error the object is gone, or the next cold_tier_remove takes it. */
enum err cold_pack_end(struct cold_pack *pack, struct cold_call *call, struct pack_tail *ret_tail) MUST_CHECK;

/* NULL-safe. */
void cold_pack_abandon(struct cold_pack *pack, struct cold_call *call);

uint32_t cold_pack_records(const struct cold_pack *pack);

/* ---- packs that are there ---- */

/* Each record that the index of a pack lists, in order. */
enum err cold_tier_index(struct cold_tier *tier, struct cold_call *call, uint64_t pack, pack_each *each,
                         void *arg) MUST_CHECK;

/* Reads all of a pack: header, checksum, index. The hashes of its blocks are for cold_tier_read. ret_tail may be NULL. */
enum err cold_tier_check(struct cold_tier *tier, struct cold_call *call, uint64_t pack,
                         struct pack_tail *ret_tail) MUST_CHECK;

/* A page of the packs behind `after` (0 = all), in order of id; ret_last: where to go on, 0 at the end. */
typedef enum err cold_pack_each(void *arg, uint64_t pack, uint64_t bytes);
enum err cold_tier_packs(struct cold_tier *tier, struct cold_call *call, uint64_t after, cold_pack_each *each,
                         void *arg, uint64_t *ret_last) MUST_CHECK;

/* One that is gone is no error. */
enum err cold_tier_remove(struct cold_tier *tier, struct cold_call *call, uint64_t pack) MUST_CHECK;

/* At the start, before anything is written: removes what unfinished packs have left. */
enum err cold_tier_sweep(struct cold_tier *tier, struct cold_call *call, uint64_t *ret_count) MUST_CHECK;

#endif
