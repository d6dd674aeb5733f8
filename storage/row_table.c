/* SPDX-License-Identifier: MIT */
#include "storage/row_table.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

enum { FIRST_BITS = 7, ROW_BYTES_MIN = 16, LOOKS_MAX = 64, LOOKS_ENOUGH = 8, MOVES_AN_ADD = 8 };

struct hole {
    uint64_t key; /* 0 */
    uint32_t next;
};

static uint64_t multiplier;

__attribute__((constructor)) static void make_multiplier(void)
{
    random_fill(&multiplier, sizeof(multiplier));
    multiplier |= 1;
}

void row_table_init(struct row_table *table, uint32_t row_bytes, uint32_t rows_max, struct account *account)
{
    assert(row_bytes >= ROW_BYTES_MIN && row_bytes % 8 == 0 && rows_max > 0);
    *table = (struct row_table){.row_bytes = row_bytes, .rows_max = rows_max, .account = account, .holes = ROW_NONE};
}

/* Of the index for so many rows. */
static uint32_t bits_for(uint32_t rows)
{
    uint32_t bits = FIRST_BITS;
    while ((UINT64_C(1) << bits) < (uint64_t)rows * 2)
        bits++;
    return bits;
}

static uint64_t index_bytes(const struct row_index *index)
{
    return index->slots == NULL ? 0 : sizeof(uint32_t) << index->bits;
}

static bool take(const struct row_table *table, uint64_t bytes)
{
    return table->account == NULL || account_take(table->account, bytes);
}

static void give(const struct row_table *table, uint64_t bytes)
{
    if (table->account != NULL)
        account_give(table->account, bytes);
}

static void release_index(const struct row_table *table, struct row_index *index)
{
    give(table, index_bytes(index));
    free(index->slots);
    index->slots = NULL;
}

void row_table_release(struct row_table *table)
{
    release_index(table, &table->index);
    release_index(table, &table->old);
    free(table->rows);
    give(table, (uint64_t)table->cap * table->row_bytes);
    table->rows = NULL;
    table->cap = 0;
}

static uint32_t mask(const struct row_index *index)
{
    return (uint32_t)((UINT64_C(1) << index->bits) - 1);
}

static uint64_t hash_of(uint64_t key)
{
    return key * multiplier;
}

static uint32_t home(const struct row_index *index, uint64_t hash)
{
    return (uint32_t)(hash >> (64 - index->bits));
}

/* The bits of the hash that a slot has beside a row's number, in their place. */
static uint32_t tag(const struct row_index *index, uint64_t hash)
{
    return (uint32_t)(hash >> (32 - index->bits)) & ~mask(index);
}

static uint32_t number_in(const struct row_index *index, uint32_t slot)
{
    return (index->slots[slot] & mask(index)) - 1; /* empty: 0 - 1 is none */
}

/* The first slot from this one on of a row whose hash is alike, or the empty one that ends the search. */
static uint32_t alike_from(const struct row_index *index, uint32_t slot, uint64_t hash)
{
    while (index->slots[slot] != 0 && (index->slots[slot] & ~mask(index)) != tag(index, hash))
        slot = (slot + 1) & mask(index);
    return slot;
}

/* Where the key is in an index, or the empty slot where it would be. */
static uint32_t slot_of(const struct row_table *table, const struct row_index *index, uint64_t key)
{
    uint64_t hash = hash_of(key);
    uint32_t slot = alike_from(index, home(index, hash), hash);
    while (index->slots[slot] != 0 && row_table_key(table, number_in(index, slot)) != key)
        slot = alike_from(index, (slot + 1) & mask(index), hash);
    return slot;
}

static void point_to(struct row_table *table, uint64_t key, uint32_t number)
{
    table->index.slots[slot_of(table, &table->index, key)] = tag(&table->index, hash_of(key)) | (number + 1);
}

static uint32_t find_in(const struct row_table *table, const struct row_index *index, uint64_t key)
{
    return index->slots == NULL ? ROW_NONE : number_in(index, slot_of(table, index, key));
}

uint32_t row_table_find(const struct row_table *table, uint64_t key)
{
    uint32_t number = find_in(table, &table->index, key);
    return number != ROW_NONE ? number : find_in(table, &table->old, key);
}

INLINE_ALWAYS void announce_in(const struct row_table *table, const struct row_index *index, const uint64_t *keys,
                               size_t count)
{
    for (size_t i = 0; index->slots != NULL && i < count; i++)
        __builtin_prefetch(&index->slots[home(index, hash_of(keys[i]))]);
    for (size_t i = 0; index->slots != NULL && i < count; i++) {
        uint64_t hash = hash_of(keys[i]);
        uint32_t slot = alike_from(index, home(index, hash), hash);
        if (index->slots[slot] != 0)
            row_table_fetch(table, number_in(index, slot));
    }
}

void row_table_announce(const struct row_table *table, const uint64_t *keys, size_t count)
{
    announce_in(table, &table->index, keys, count);
    announce_in(table, &table->old, keys, count);
}

/* A few more rows into the index that is to have them all. A row that is there already, since its number was given anew, stays. */
static void move_some(struct row_table *table, uint32_t rows)
{
    uint32_t end = table->moved + MIN(rows, table->to_move - table->moved);
    for (; table->moved < end; table->moved++) {
        uint64_t key = row_table_key(table, table->moved);
        if (key != 0)
            point_to(table, key, table->moved);
    }
    if (table->moved == table->to_move)
        release_index(table, &table->old);
}

/* Only called when all rows are in use. */
static enum err grow(struct row_table *table)
{
    uint32_t cap = table->cap >= table->rows_max / 2 ? table->rows_max : table->cap * 2;
    if (table->cap == 0)
        cap = MIN(table->rows_max, UINT32_C(1) << (FIRST_BITS - 1));
    uint64_t more = (uint64_t)(cap - table->cap) * table->row_bytes + (sizeof(*table->index.slots) << bits_for(cap));
    if (cap == table->cap || !take(table, more))
        return ERR_BUSY;
    struct row_index index = {.bits = bits_for(cap)};
    index.slots = calloc(UINT64_C(1) << index.bits, sizeof(*index.slots));
    uint8_t *rows = index.slots == NULL ? NULL : realloc(table->rows, (size_t)cap * table->row_bytes);
    if (rows == NULL) {
        free(index.slots);
        give(table, more);
        return ERR_BUSY;
    }
    assert(table->old.slots == NULL); /* as many rows were added since as made the table grow, and each moved several */
    table->old = table->index;
    table->index = index;
    table->rows = rows;
    table->cap = cap;
    table->moved = 0;
    table->to_move = table->used;
    return ERR_OK;
}

enum err row_table_add(struct row_table *table, uint64_t key, uint32_t *ret_number)
{
    if (table->live == table->cap && grow(table) != ERR_OK)
        return ERR_BUSY;
    if (table->old.slots != NULL)
        move_some(table, MOVES_AN_ADD);
    uint32_t number = table->holes;
    if (number != ROW_NONE)
        table->holes = ((struct hole *)row_table_row(table, number))->next;
    else
        number = table->used++;
    uint8_t *row = row_table_row(table, number);
    memset(row, 0, table->row_bytes);
    memcpy(row, &key, sizeof(key));
    point_to(table, key, number);
    table->live++;
    *ret_number = number;
    return ERR_OK;
}

/* Those behind the gap move up, unless they would then be before their home. */
static void close_gap(const struct row_table *table, struct row_index *index, uint32_t gap)
{
    uint32_t wrap = mask(index);
    for (uint32_t at = (gap + 1) & wrap; index->slots[at] != 0; at = (at + 1) & wrap) {
        uint32_t from = home(index, hash_of(row_table_key(table, number_in(index, at))));
        if (((at - from) & wrap) < ((at - gap) & wrap))
            continue;
        index->slots[gap] = index->slots[at];
        gap = at;
    }
    index->slots[gap] = 0;
}

static void remove_from(const struct row_table *table, struct row_index *index, uint64_t key)
{
    if (index->slots == NULL)
        return;
    uint32_t slot = slot_of(table, index, key);
    if (index->slots[slot] != 0)
        close_gap(table, index, slot);
}

void row_table_remove(struct row_table *table, uint32_t number)
{
    struct hole *row = row_table_row(table, number);
    remove_from(table, &table->index, row->key);
    remove_from(table, &table->old, row->key);
    memset(row, 0, table->row_bytes);
    row->next = table->holes;
    table->holes = number;
    table->live--;
}

uint32_t row_table_turn(struct row_table *table)
{
    if (table->used == 0)
        return ROW_NONE;
    uint32_t number = table->hand < table->used ? table->hand : 0;
    table->hand = number + 1;
    return row_table_key(table, number) == 0 ? ROW_NONE : number;
}

uint32_t row_table_least(struct row_table *table, row_worth *worth, void *context)
{
    uint32_t least = ROW_NONE;
    float least_worth = INFINITY;
    for (int look = 0, found = 0; look < LOOKS_MAX && found < LOOKS_ENOUGH; look++) {
        uint32_t number = row_table_turn(table);
        if (number == ROW_NONE)
            continue;
        float this_worth = worth(context, row_table_row(table, number));
        if (this_worth == INFINITY)
            continue;
        found++;
        if (this_worth < least_worth) {
            least_worth = this_worth;
            least = number;
        }
    }
    return least;
}
