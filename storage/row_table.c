/* SPDX-License-Identifier: MIT */
#include "storage/row_table.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

enum { FIRST_BITS = 7, ROW_BYTES_MIN = 16, LOOKS_MAX = 64, LOOKS_ENOUGH = 8 };

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

static uint64_t bytes_for(const struct row_table *table, uint32_t rows)
{
    return rows == 0 ? 0 : (uint64_t)rows * table->row_bytes + (sizeof(uint32_t) << bits_for(rows));
}

void row_table_release(struct row_table *table)
{
    free(table->rows);
    free(table->index);
    if (table->account != NULL)
        account_give(table->account, bytes_for(table, table->cap));
    table->rows = NULL;
    table->index = NULL;
    table->cap = 0;
}

static uint32_t mask(const struct row_table *table)
{
    return (uint32_t)((UINT64_C(1) << table->index_bits) - 1);
}

static uint64_t hash_of(uint64_t key)
{
    return key * multiplier;
}

static uint32_t home(const struct row_table *table, uint64_t hash)
{
    return (uint32_t)(hash >> (64 - table->index_bits));
}

/* The bits of the hash that a slot has beside a row's number, in their place. */
static uint32_t tag(const struct row_table *table, uint64_t hash)
{
    return (uint32_t)(hash >> (32 - table->index_bits)) & ~mask(table);
}

static uint32_t number_in(const struct row_table *table, uint32_t slot)
{
    return (table->index[slot] & mask(table)) - 1; /* empty: 0 - 1 is none */
}

/* Where the key is in the index, or the empty slot where it would be. */
static uint32_t slot_of(const struct row_table *table, uint64_t key)
{
    uint64_t hash = hash_of(key);
    uint32_t slot = home(table, hash);
    while (table->index[slot] != 0 && ((table->index[slot] & ~mask(table)) != tag(table, hash) ||
                                       row_table_key(table, number_in(table, slot)) != key))
        slot = (slot + 1) & mask(table);
    return slot;
}

static void point_to(struct row_table *table, uint64_t key, uint32_t number)
{
    table->index[slot_of(table, key)] = tag(table, hash_of(key)) | (number + 1);
}

uint32_t row_table_find(const struct row_table *table, uint64_t key)
{
    return table->cap == 0 ? ROW_NONE : number_in(table, slot_of(table, key));
}

/* Only called when all rows are in use, so there are no holes to be kept out of the index. */
static enum err grow(struct row_table *table)
{
    uint32_t cap = table->cap >= table->rows_max / 2 ? table->rows_max : table->cap * 2;
    if (table->cap == 0)
        cap = MIN(table->rows_max, UINT32_C(1) << (FIRST_BITS - 1));
    uint64_t more = bytes_for(table, cap) - bytes_for(table, table->cap);
    if (cap == table->cap || (table->account != NULL && !account_take(table->account, more)))
        return ERR_BUSY;
    uint32_t *index = calloc(UINT64_C(1) << bits_for(cap), sizeof(*index));
    uint8_t *rows = index == NULL ? NULL : realloc(table->rows, (size_t)cap * table->row_bytes);
    if (rows == NULL) {
        free(index);
        if (table->account != NULL)
            account_give(table->account, more);
        return ERR_BUSY;
    }
    free(table->index);
    table->rows = rows;
    table->index = index;
    table->index_bits = bits_for(cap);
    table->cap = cap;
    for (uint32_t i = 0; i < table->used; i++)
        point_to(table, row_table_key(table, i), i);
    return ERR_OK;
}

enum err row_table_add(struct row_table *table, uint64_t key, uint32_t *ret_number)
{
    if (table->live == table->cap && grow(table) != ERR_OK)
        return ERR_BUSY;
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
static void close_gap(struct row_table *table, uint32_t gap)
{
    uint32_t wrap = mask(table);
    for (uint32_t at = (gap + 1) & wrap; table->index[at] != 0; at = (at + 1) & wrap) {
        uint32_t from = home(table, hash_of(row_table_key(table, number_in(table, at))));
        if (((at - from) & wrap) < ((at - gap) & wrap))
            continue;
        table->index[gap] = table->index[at];
        gap = at;
    }
    table->index[gap] = 0;
}

void row_table_remove(struct row_table *table, uint32_t number)
{
    struct hole *row = row_table_row(table, number);
    close_gap(table, slot_of(table, row->key));
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
