/* SPDX-License-Identifier: MIT */
/*
 * A bounded hash table from byte-string keys to pointers.
 *
 *      index[]  (open addressing, linear probing; slot = entry number + 1, 0 empty)
 *        | SipHash-2-4(key), keyed per process: peers choose many of our keys
 *        v
 *      entries[] dense, in order of insertion: {hash, key bytes, value}
 *
 * Iteration is in order of insertion whatever the hash key is, so a seeded run repeats exactly. Removal leaves a hole that the
 * next growth or compaction closes; iteration skips holes, and removing the current entry while iterating is safe. Keys are
 * copied; values are borrowed. Not thread-safe.
 */
#ifndef HEARTH_BASE_TABLE_H
#define HEARTH_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct table_entry;

struct table {
    struct table_entry *entries;
    uint32_t *index;
    size_t used;      /* entries in use, holes included */
    size_t live;      /* entries in use */
    size_t index_cap; /* a power of two, or 0 */
    size_t max;       /* most live entries */
    struct account *account;
};

/* An empty table of at most max_entries; memory is charged to account (may be NULL). Allocates nothing. */
void table_init(struct table *t, size_t max_entries, struct account *account);

/* Frees keys and memory, not the values. */
void table_release(struct table *t);

/* Adds or replaces. ERR_BUSY when full, ERR_NOMEM without memory. ret_old (may be NULL) gets the value replaced, else NULL. */
enum err table_put(struct table *t, struct span key, void *value, void **ret_old) MUST_CHECK;

/* The value, or NULL. */
void *table_get(const struct table *t, struct span key);

/* Removes and returns the value, or NULL. */
void *table_remove(struct table *t, struct span key);

static inline size_t table_len(const struct table *t)
{
    return t->live;
}

/* Iterates: *position starts at 0; returns the next value or NULL at the end. ret_key may be NULL. */
void *table_next(const struct table *t, size_t *position, struct span *ret_key);

/* For keys that are integers. */
static inline struct span table_key_u64(const uint64_t *key)
{
    return (struct span){.data = (const uint8_t *)key, .len = sizeof(*key)};
}

#endif
