/* SPDX-License-Identifier: MIT */
#include "base/table.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/random.h"

enum { TABLE_FIRST_CAP = 8, KEY_INLINE = 40 };

struct table_entry {
    uint64_t hash;
    void *value; /* NULL: a hole */
    uint32_t key_len;
    union {
        uint8_t bytes[KEY_INLINE]; /* a CIDv1 or a peer id fits */
        uint8_t *heap;
    } key;
};

static uint8_t hash_key[crypto_shorthash_KEYBYTES];

__attribute__((constructor)) static void make_hash_key(void)
{
    random_fill(hash_key, sizeof(hash_key));
}

static uint64_t hash_of(struct span key)
{
    uint64_t hash;
    (void)crypto_shorthash((uint8_t *)&hash, key.len == 0 ? (const uint8_t *)"" : key.data, key.len, hash_key);
    return hash;
}

static struct span key_of(const struct table_entry *e)
{
    return span_of(e->key_len <= KEY_INLINE ? e->key.bytes : e->key.heap, e->key_len);
}

static void free_key(struct table_entry *e)
{
    if (e->key_len > KEY_INLINE)
        free(e->key.heap);
}

static size_t memory_of(size_t index_cap)
{
    return index_cap * sizeof(uint32_t) + index_cap / 2 * sizeof(struct table_entry);
}

void table_init(struct table *t, size_t max_entries, struct account *account)
{
    *t = (struct table){.max = max_entries, .account = account};
}

void table_release(struct table *t)
{
    for (size_t i = 0; i < t->used; i++) {
        if (t->entries[i].value != NULL)
            free_key(&t->entries[i]);
    }
    free(t->entries);
    free(t->index);
    if (t->account != NULL)
        account_give(t->account, memory_of(t->index_cap));
    table_init(t, t->max, t->account);
}

/* The index slot of the key, or of the empty slot where it would go. Holes keep their slot until they are closed. */
static size_t find_slot(const struct table *t, struct span key, uint64_t hash)
{
    size_t mask = t->index_cap - 1;
    size_t slot = (size_t)hash & mask;
    while (t->index[slot] != 0) {
        const struct table_entry *e = &t->entries[t->index[slot] - 1];
        if (e->value != NULL && e->hash == hash && span_equal(key_of(e), key))
            break;
        slot = (slot + 1) & mask;
    }
    return slot;
}

/* Moves what lives to the front of `entries` (its own may be the same) and names it in `index`, which is all zeros and has `cap` slots. */
static void move_live(struct table *t, struct table_entry *entries, uint32_t *index, size_t cap)
{
    size_t used = 0;
    for (size_t i = 0; i < t->used; i++) {
        if (t->entries[i].value == NULL)
            continue;
        size_t slot = (size_t)t->entries[i].hash & (cap - 1);
        while (index[slot] != 0)
            slot = (slot + 1) & (cap - 1);
        entries[used] = t->entries[i];
        index[slot] = (uint32_t)++used;
    }
    t->used = used;
}

static enum err grow(struct table *t)
{
    size_t cap = t->index_cap == 0 ? TABLE_FIRST_CAP : t->index_cap * 2;
    if (t->account != NULL && !account_take(t->account, memory_of(cap)))
        return ERR_NOMEM;
    struct table_entry *entries = malloc(cap / 2 * sizeof(*entries));
    uint32_t *index = calloc(cap, sizeof(*index));
    if (entries == NULL || index == NULL) {
        free(entries);
        free(index);
        if (t->account != NULL)
            account_give(t->account, memory_of(cap));
        return ERR_NOMEM;
    }
    move_live(t, entries, index, cap);
    free(t->entries);
    free(t->index);
    if (t->account != NULL)
        account_give(t->account, memory_of(t->index_cap));
    t->entries = entries;
    t->index = index;
    t->index_cap = cap;
    return ERR_OK;
}

/*
 * Room for one more entry: doubles when more than three quarters are live, else closes holes, which needs no memory. Without memory to
 * double, holes are closed while there are enough of them to pay for it.
 */
static enum err make_room(struct table *t)
{
    size_t cap = t->index_cap;
    if (t->live >= cap / 4 + cap / 8) {
        enum err err = grow(t);
        if (err == ERR_OK || t->used - t->live <= cap / 16)
            return err;
    }
    memset(t->index, 0, cap * sizeof(*t->index));
    move_live(t, t->entries, t->index, cap);
    return ERR_OK;
}

static bool store_key(struct table_entry *e, struct span key)
{
    e->key_len = (uint32_t)key.len;
    uint8_t *to = e->key.bytes;
    if (key.len > KEY_INLINE) {
        to = malloc(key.len);
        if (to == NULL)
            return false;
        e->key.heap = to;
    }
    if (key.len > 0)
        memcpy(to, key.data, key.len);
    return true;
}

enum err table_put(struct table *t, struct span key, void *value, void **ret_old)
{
    uint64_t hash = hash_of(key);
    if (t->index_cap > 0) {
        size_t slot = find_slot(t, key, hash);
        if (t->index[slot] != 0) {
            struct table_entry *e = &t->entries[t->index[slot] - 1];
            if (ret_old != NULL)
                *ret_old = e->value;
            e->value = value;
            return ERR_OK;
        }
    }
    if (t->live >= t->max || t->live >= UINT32_MAX / 2)
        return ERR_BUSY;
    if (t->used >= t->index_cap / 2) {
        enum err err = make_room(t);
        if (err != ERR_OK)
            return err;
    }
    struct table_entry *e = &t->entries[t->used];
    if (!store_key(e, key))
        return ERR_NOMEM;
    e->hash = hash;
    e->value = value;
    t->index[find_slot(t, key, hash)] = (uint32_t)++t->used;
    t->live++;
    if (ret_old != NULL)
        *ret_old = NULL;
    return ERR_OK;
}

void *table_get(const struct table *t, struct span key)
{
    if (t->live == 0)
        return NULL;
    size_t slot = find_slot(t, key, hash_of(key));
    return t->index[slot] == 0 ? NULL : t->entries[t->index[slot] - 1].value;
}

void *table_remove(struct table *t, struct span key)
{
    if (t->live == 0)
        return NULL;
    size_t slot = find_slot(t, key, hash_of(key));
    if (t->index[slot] == 0)
        return NULL;
    struct table_entry *e = &t->entries[t->index[slot] - 1];
    void *value = e->value;
    free_key(e);
    e->value = NULL;
    t->live--;
    return value;
}

void *table_next(const struct table *t, size_t *position, struct span *ret_key)
{
    for (; *position < t->used; (*position)++) {
        const struct table_entry *e = &t->entries[*position];
        if (e->value == NULL)
            continue;
        (*position)++;
        if (ret_key != NULL)
            *ret_key = key_of(e);
        return e->value;
    }
    return NULL;
}
