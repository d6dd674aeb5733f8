/* SPDX-License-Identifier: MIT */
/*
 * Heat: one decayed score per block, kept as (score, time) and cooled only when it is looked at.
 *
 *      heat(now) = score * 2^-(now - time) / half-life          half-life one hour; within one, the power is taken as a line
 *
 * A bounded table: when it is full, the coldest of a few rows gives way, so a flood of blocks seen once displaces its own kind
 * first. Pure; one thread.
 */
#ifndef HEARTH_STORAGE_HEAT_H
#define HEARTH_STORAGE_HEAT_H

#include "base/buf.h"
#include "base/table.h"
#include "storage/block_key.h"
#include "wire/peer_id.h"

enum { HEAT_BLOCKS_MAX = 4096, HEAT_CID_MAX = 80 };

#define HEAT_HALF_LIFE_NS (UINT64_C(3600) * 1000000000)

enum heat_kind { HEAT_READ, HEAT_SERVED, HEAT_STORED, HEAT_WANTED };

struct heat_entry {
    struct block_key key;
    uint8_t cid[HEAT_CID_MAX]; /* as it was last named */
    uint8_t cid_len;
    double score; /* at time_ns */
    uint64_t time_ns;
    uint64_t accesses;
    uint64_t wants;
    uint64_t used_at_ns;   /* the last access */
    uint64_t wanted_at_ns; /* the last want … */
    struct peer_id asker;  /* … and whose it was */
};

struct heat_map {
    struct table rows;
    size_t hand; /* where the search for a cold row goes on */
};

/* account may be NULL. */
void heat_map_init(struct heat_map *map, struct account *account);
void heat_map_release(struct heat_map *map);

/* Something happened to a block. asker: of HEAT_WANTED, else NULL. ERR_NOMEM, ERR_TOO_LARGE (a CID longer than HEAT_CID_MAX): not counted. */
enum err heat_map_note(struct heat_map *map, const struct block_key *key, struct span cid, enum heat_kind kind,
                       const struct peer_id *asker, uint64_t now_ns) MUST_CHECK;

/* What is known of a block, its score cooled to now; false when nothing is. */
bool heat_map_find(const struct heat_map *map, const struct block_key *key, uint64_t now_ns,
                   struct heat_entry *ret_row) MUST_CHECK;

/* The score now; 0 for a block that is not known. */
double heat_map_score(const struct heat_map *map, const struct block_key *key, uint64_t now_ns);

/* The hottest rows, hottest first, scores cooled to now; ret_rows has room for max. Returns how many. */
size_t heat_map_top(const struct heat_map *map, uint64_t now_ns, struct heat_entry *ret_rows, size_t max);

#endif
