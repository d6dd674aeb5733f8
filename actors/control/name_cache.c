/* SPDX-License-Identifier: MIT */
#include "actors/control/name_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

struct name_entry {
    struct peer_id name;
    struct buf value;
    uint64_t until_ns;
    uint64_t used; /* order of use */
};

void name_cache_init(struct name_cache *cache, size_t entries_max, struct account *account)
{
    *cache = (struct name_cache){.max = entries_max, .account = account};
}

void name_cache_release(struct name_cache *cache)
{
    for (size_t i = 0; i < cache->count; i++)
        buf_release(&cache->entries[i].value);
    if (cache->entries != NULL && cache->account != NULL)
        account_give(cache->account, cache->max * sizeof(*cache->entries));
    free(cache->entries);
    *cache = (struct name_cache){.max = cache->max, .account = cache->account};
}

static struct name_entry *find(struct name_cache *cache, const struct peer_id *name)
{
    for (size_t i = 0; i < cache->count; i++)
        if (peer_id_equal(&cache->entries[i].name, name))
            return &cache->entries[i];
    return NULL;
}

static void forget(struct name_cache *cache, struct name_entry *entry)
{
    buf_release(&entry->value);
    *entry = cache->entries[--cache->count];
}

bool name_cache_get(struct name_cache *cache, const struct peer_id *name, uint64_t now_ns, struct span *ret_value)
{
    struct name_entry *entry = find(cache, name);
    if (entry == NULL)
        return false;
    if (entry->until_ns <= now_ns) {
        forget(cache, entry);
        return false;
    }
    entry->used = ++cache->uses;
    *ret_value = buf_span(&entry->value);
    return true;
}

/* The table is made with the first name, all at once. */
static bool make_table(struct name_cache *cache)
{
    size_t bytes = cache->max * sizeof(*cache->entries);
    if (cache->entries != NULL)
        return true;
    if (cache->max == 0 || (cache->account != NULL && !account_take(cache->account, bytes)))
        return false;
    cache->entries = calloc(cache->max, sizeof(*cache->entries));
    if (cache->entries == NULL && cache->account != NULL)
        account_give(cache->account, bytes);
    return cache->entries != NULL;
}

static struct name_entry *make_room(struct name_cache *cache)
{
    if (cache->count == cache->max) {
        struct name_entry *oldest = &cache->entries[0];
        for (size_t i = 1; i < cache->count; i++)
            if (cache->entries[i].used < oldest->used)
                oldest = &cache->entries[i];
        forget(cache, oldest);
    }
    return &cache->entries[cache->count++];
}

void name_cache_put(struct name_cache *cache, const struct peer_id *name, struct span value, uint64_t now_ns,
                    uint64_t until_ns)
{
    struct name_entry *entry = find(cache, name);
    if (entry != NULL)
        forget(cache, entry);
    if (until_ns <= now_ns || value.len == 0 || value.len > NAME_CACHE_VALUE_MAX || !make_table(cache))
        return;
    entry = make_room(cache);
    *entry = (struct name_entry){.name = *name, .until_ns = until_ns, .used = ++cache->uses};
    buf_init(&entry->value, NAME_CACHE_VALUE_MAX, cache->account);
    if (buf_append_span(&entry->value, value) != ERR_OK)
        forget(cache, entry);
}
