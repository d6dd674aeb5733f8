/* SPDX-License-Identifier: MIT */
/* Whether a block is here, by the cheapest that knows: the absent filter, memory, then the catalogue. */
#include "storage/blockstore_private.h"

enum { HAS_AHEAD = 64 };

/* What the filter has never seen is in no tier; only puts that are not durable yet are not in the filter. */
static bool surely_absent(const struct blockstore *s, const struct block_key *key)
{
    return filter_absent(s->filter, key) &&
           (table_len(&s->fresh) == 0 || table_get(&s->fresh, block_key_span(key)) == NULL);
}

enum err blockstore_has(struct blockstore *s, const struct block_key *key, uint64_t *ret_size, const char **ret_tier)
{
    size_t cached;
    struct block_place place;
    struct cold_place cold;
    if (surely_absent(s, key) || store_is_doomed(s, key))
        return ERR_NOT_FOUND;
    bool in_memory = memory_tier_has(s->memory, key, &cached);
    const struct fresh *fresh = in_memory ? NULL : table_get(&s->fresh, block_key_span(key));
    enum err err = ERR_OK;
    if (in_memory)
        place.size = (uint32_t)cached;
    else if (fresh != NULL)
        place.size = fresh->place.size;
    else
        err = store_find(s, key, &place);
    bool is_cold = err == ERR_NOT_FOUND;
    if (is_cold)
        err = store_find_cold(s, key, &cold);
    if (err != ERR_OK)
        return err;
    *ret_size = is_cold ? cold.size : place.size;
    if (ret_tier != NULL)
        *ret_tier = in_memory ? "memory" : is_cold ? "cold" : "disk";
    return ERR_OK;
}

static bool is_here(struct blockstore *s, const struct block_key *key, bool cold_counts, uint64_t *ret_size)
{
    const char *tier;
    return blockstore_has(s, key, ret_size, &tier) == ERR_OK && (cold_counts || strcmp(tier, "cold") != 0);
}

/* Those that the filter does not settle are looked up in one state of the database. */
void blockstore_has_many(struct blockstore *s, const struct block_key *keys, size_t count, bool readable,
                         uint64_t *ret_sizes)
{
    bool absent[HAS_AHEAD];
    bool cold_counts = !readable || !store_cold_is_away(s);
    catalogue_begin_reading(s->reader);
    for (size_t at = 0; at < count; at += HAS_AHEAD) {
        size_t n = MIN(count - at, (size_t)HAS_AHEAD);
        filter_absent_many(s->filter, keys + at, n, absent);
        for (size_t i = 0; i < n; i++) {
            uint64_t size = 0;
            bool here = !(absent[i] && table_len(&s->fresh) == 0) && is_here(s, &keys[at + i], cold_counts, &size);
            ret_sizes[at + i] = here ? size + 1 : 0;
        }
    }
    catalogue_end_reading(s->reader);
}
