/* SPDX-License-Identifier: MIT */
#include "dht/slot_table.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* A link is the next slot + 1, 0 at the end; the upper bit says that the slot is free. */
#define FREE_BIT UINT32_C(0x80000000)

static uint32_t heads_for(size_t key_bytes, uint32_t max)
{
    uint32_t count = key_bytes == 0 ? 0 : 1;
    while (count != 0 && count < max)
        count *= 2;
    return count;
}

size_t slot_table_bytes(size_t row_bytes, size_t key_bytes, uint32_t max)
{
    return (row_bytes + sizeof(uint32_t)) * max + heads_for(key_bytes, max) * sizeof(uint32_t);
}

enum err slot_table_init(struct slot_table *t, size_t row_bytes, size_t key_bytes, uint32_t max, const uint8_t *seed)
{
    assert(max > 0 && max <= SLOTS_MAX && key_bytes <= row_bytes);
    *t = (struct slot_table){.row_bytes = row_bytes, .key_bytes = key_bytes, .max = max};
    t->head_count = heads_for(key_bytes, max);
    t->rows = calloc(max, row_bytes);
    t->links = calloc(max, sizeof(*t->links));
    t->heads = t->head_count == 0 ? NULL : calloc(t->head_count, sizeof(*t->heads));
    if (t->rows == NULL || t->links == NULL || (t->head_count != 0 && t->heads == NULL)) {
        slot_table_release(t);
        return ERR_NOMEM;
    }
    if (seed != NULL)
        memcpy(t->seed, seed, sizeof(t->seed));
    return ERR_OK;
}

void slot_table_release(struct slot_table *t)
{
    free(t->rows);
    free(t->links);
    free(t->heads);
    *t = (struct slot_table){0};
}

static uint32_t *chain_of(const struct slot_table *t, const void *key)
{
    uint64_t hash;
    (void)crypto_shorthash((uint8_t *)&hash, key, t->key_bytes, t->seed);
    return &t->heads[(uint32_t)hash & (t->head_count - 1)];
}

uint32_t slot_table_add(struct slot_table *t, const void *key)
{
    uint32_t slot;
    if (t->free != 0) {
        slot = t->free - 1;
        t->free = t->links[slot] & ~FREE_BIT;
    } else if (t->used < t->max) {
        slot = t->used++;
    } else {
        return SLOT_NONE;
    }
    t->links[slot] = 0;
    t->live++;
    if (t->key_bytes == 0)
        return slot;
    memcpy(slot_table_row(t, slot), key, t->key_bytes);
    uint32_t *head = chain_of(t, key);
    t->links[slot] = *head;
    *head = slot + 1;
    return slot;
}

void slot_table_remove(struct slot_table *t, uint32_t slot)
{
    assert(slot_table_is_live(t, slot));
    if (t->key_bytes != 0) {
        uint32_t *at = chain_of(t, slot_table_row(t, slot));
        while (*at != slot + 1)
            at = &t->links[*at - 1];
        *at = t->links[slot];
    }
    t->links[slot] = t->free | FREE_BIT;
    t->free = slot + 1;
    t->live--;
}

uint32_t slot_table_find(const struct slot_table *t, const void *key)
{
    for (uint32_t link = *chain_of(t, key); link != 0; link = t->links[link - 1])
        if (memcmp(slot_table_row(t, link - 1), key, t->key_bytes) == 0)
            return link - 1;
    return SLOT_NONE;
}

bool slot_table_is_live(const struct slot_table *t, uint32_t slot)
{
    return slot < t->used && (t->links[slot] & FREE_BIT) == 0;
}
