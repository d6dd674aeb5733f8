/* SPDX-License-Identifier: MIT */
/*
 * Which cold blocks are read ahead of whoever will ask for them: the children of a node that was used, and what stands behind a block in the node
 * that was used before it.
 *
 *      node used --its first links--> CHILDREN --+
 *                                                +--> offered --> asked --> here ----used----> it paid
 *      block used --the links behind--> SIBLINGS +                            |
 *                  it, in a node used lately                          unused for PREFETCH_LIFE_NS: it did not
 *
 * It is bounded by a budget of bytes a second and by the bytes that are asked for or here and not used. One is read at a time, and none while
 * requests wait for the cold tier.
 *
 * It measures itself: a kind of which less than PREFETCH_PAYS_PERCENT of the bytes were used goes off, and then only PREFETCH_TRIAL blocks are
 * read ahead each PREFETCH_TRIAL_NS, until those pay. What is here is kept here, not in the memory tier: there it would need a history to be let in.
 *
 * Pure; one thread. The owner says what is cold, reads, and serves.
 */
#ifndef HEARTH_STORAGE_PREFETCHER_H
#define HEARTH_STORAGE_PREFETCHER_H

#include <stdbool.h>

#include "base/block_ref.h"
#include "base/err.h"
#include "storage/block_key.h"

struct prefetcher;

enum {
    PREFETCH_AHEAD = 4,   /* children or siblings of one use */
    PREFETCH_BLOCKS = 64, /* offered, asked for or here */
    PREFETCH_NODES = 16,  /* used last, … */
    PREFETCH_LINKS = 64,  /* … so many links of each */
    PREFETCH_WINDOW = 32, /* blocks that decide on a kind */
    PREFETCH_TRIAL = 4,   /* … while it is off */
    PREFETCH_PAYS_PERCENT = 40,
};

#define PREFETCH_LIFE_NS  (30 * SECOND_NS)
#define PREFETCH_TRIAL_NS (60 * SECOND_NS)

enum prefetch_kind { PREFETCH_CHILDREN, PREFETCH_SIBLINGS, PREFETCH_KINDS };

struct prefetch_config {
    uint64_t rate;            /* bytes a second */
    uint64_t outstanding_max; /* bytes */
    struct account *account;  /* may be NULL; some 80 KiB */
};

struct prefetch_figures {
    uint64_t blocks; /* that came */
    uint64_t bytes;
    uint64_t used_bytes;   /* of these … */
    uint64_t unused_bytes; /* … in their time; the others are here, or were removed */
    bool off;
};

struct prefetch_stats {
    struct prefetch_figures kinds[PREFETCH_KINDS];
};

/* NULL without memory. */
struct prefetcher *prefetcher_new(const struct prefetch_config *config);
void prefetcher_free(struct prefetcher *prefetcher);

/* A node was used, and these are its first links, at most PREFETCH_LINKS. */
void prefetcher_node(struct prefetcher *prefetcher, const struct block_key *links, size_t count);

/* Those that stand behind the block in the node that was used last and names it; returns how many. */
size_t prefetcher_siblings(const struct prefetcher *prefetcher, const struct block_key *key,
                           struct block_key ret_keys[PREFETCH_AHEAD]);

/* Whether it is worth looking for blocks of this kind: it pays, or is on trial, and there is a place. */
bool prefetcher_wants(struct prefetcher *prefetcher, enum prefetch_kind kind, uint64_t now_ns);

/* A cold block that may be asked for soon. Passed over when it is known, or there is no place. */
void prefetcher_offer(struct prefetcher *prefetcher, enum prefetch_kind kind, const struct block_key *key,
                      uint32_t size, uint64_t now_ns);

/* The next one to read now: prefetcher_came follows. busy: requests wait for the cold tier. NULL: none, or not before *ret_wake_ns. */
const struct block_key *prefetcher_next(struct prefetcher *prefetcher, bool busy, uint64_t now_ns,
                                        uint64_t *ret_wake_ns);

/* It was read (a reference is taken), or was not (NULL). */
void prefetcher_came(struct prefetcher *prefetcher, const struct block_key *key, struct block_ref *ref,
                     uint64_t now_ns);

/* A block is used. Its bytes, and with them the reference, when they are here; else NULL. */
struct block_ref *prefetcher_use(struct prefetcher *prefetcher, const struct block_key *key, uint64_t now_ns);

/* A block was removed, or proved wrong. */
void prefetcher_forget(struct prefetcher *prefetcher, const struct block_key *key);

struct prefetch_stats prefetcher_stats(const struct prefetcher *prefetcher);

#endif
