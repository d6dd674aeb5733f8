/* SPDX-License-Identifier: MIT */
/*
 * What names stood for when they were resolved, each for as long as its record said. Bounded by Ipns.ResolveCacheSize entries, of which the one
 * used longest ago gives way, and charged to the account. Values longer than NAME_CACHE_VALUE_MAX are not remembered. No clock; one thread.
 */
#ifndef HEARTH_ACTORS_CONTROL_NAME_CACHE_H
#define HEARTH_ACTORS_CONTROL_NAME_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "wire/peer_id.h"

enum { NAME_CACHE_VALUE_MAX = 1024 };

struct account;
struct name_entry;

struct name_cache {
    struct name_entry *entries;
    size_t count;
    size_t max;
    uint64_t uses;
    struct account *account; /* may be NULL */
};

/* Allocates nothing. */
void name_cache_init(struct name_cache *cache, size_t entries_max, struct account *account);
void name_cache_release(struct name_cache *cache);

/* The value, borrowed until the next call; false when it is not known, or no longer. Times are ns since the epoch. */
bool name_cache_get(struct name_cache *cache, const struct peer_id *name, uint64_t now_ns, struct span *ret_value);

/* Remembers; without memory, or when it would be over already, the name is forgotten instead. */
void name_cache_put(struct name_cache *cache, const struct peer_id *name, struct span value, uint64_t now_ns,
                    uint64_t until_ns);

#endif
