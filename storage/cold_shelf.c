/* SPDX-License-Identifier: MIT */
#include "storage/cold_shelf.h"

#include <string.h>

void cold_shelf_init(struct cold_shelf *shelf, uint64_t bytes_max)
{
    memset(shelf, 0, sizeof(*shelf));
    shelf->bytes_max = bytes_max;
}

static void drop_oldest(struct cold_shelf *shelf)
{
    struct shelf_block *oldest = &shelf->blocks[shelf->first];
    shelf->bytes -= oldest->ref->cap;
    block_ref_unref(oldest->ref);
    shelf->first = (shelf->first + 1) % COLD_SHELF_BLOCKS;
    shelf->count--;
}

void cold_shelf_release(struct cold_shelf *shelf)
{
    while (shelf->count > 0)
        drop_oldest(shelf);
}

struct block_ref *cold_shelf_find(const struct cold_shelf *shelf, const struct block_key *key)
{
    for (size_t i = 0; i < shelf->count; i++) {
        const struct shelf_block *block = &shelf->blocks[(shelf->first + i) % COLD_SHELF_BLOCKS];
        if (block_key_equal(&block->key, key))
            return block_ref_ref(block->ref);
    }
    return NULL;
}

void cold_shelf_put(struct cold_shelf *shelf, const struct block_key *key, struct block_ref *ref, uint64_t now_ns)
{
    struct block_ref *there = cold_shelf_find(shelf, key);
    block_ref_unref(there);
    if (there != NULL || ref->cap > shelf->bytes_max)
        return;
    while (shelf->count == COLD_SHELF_BLOCKS || shelf->bytes + ref->cap > shelf->bytes_max)
        drop_oldest(shelf);
    shelf->blocks[(shelf->first + shelf->count++) % COLD_SHELF_BLOCKS] =
        (struct shelf_block){.key = *key, .ref = block_ref_ref(ref), .since_ns = now_ns};
    shelf->bytes += ref->cap;
}

uint64_t cold_shelf_due(const struct cold_shelf *shelf)
{
    return shelf->count == 0 ? UINT64_MAX : shelf->blocks[shelf->first].since_ns + COLD_SHELF_NS;
}

void cold_shelf_age(struct cold_shelf *shelf, uint64_t now_ns)
{
    while (cold_shelf_due(shelf) <= now_ns)
        drop_oldest(shelf);
}
