/* SPDX-License-Identifier: MIT */
/*
 * Rows of one size, each beginning with its key, found through an index of 4-byte row numbers that is at most half full: for what is kept
 * of millions of blocks, where a pointer and a copy of the multihash each would cost more than the row.
 *
 *   index   (linear probing; slot = low bits: row number + 1, 0 empty; the bits above: as many of the hash, so that other keys' rows, far
 *     |      away in memory, are not looked at)
 *     | top bits of the hash: key times an odd number that no peer knows, since peers choose many of our keys
 *     v
 *   rows    key 8 | the owner's                 key 0: a hole; holes are chained by their next four bytes
 *
 * A table that grows gets an index twice as large, into which each row that is added moves a few of the others, so that no call takes long; until
 * all are there the old one is asked, too.
 *
 * Rows keep their numbers while they live; memory moves when the table grows, so pointers last until the next row is added. The order of
 * rows does not hang on the index, so a seeded run repeats exactly. One thread.
 */
#ifndef HEARTH_STORAGE_ROW_TABLE_H
#define HEARTH_STORAGE_ROW_TABLE_H

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/limits.h"

#define ROW_NONE UINT32_MAX

struct row_index {
    uint32_t *slots; /* NULL: there is none */
    uint32_t bits;
};

struct row_table {
    struct account *account; /* may be NULL */
    uint8_t *rows;
    struct row_index index; /* of all rows … */
    struct row_index old; /* … but those that are not moved yet: of the smaller table that this one has grown from */
    uint32_t moved;       /* rows below are in `index`, and so are those from to_move on */
    uint32_t to_move;
    uint32_t row_bytes;
    uint32_t rows_max;
    uint32_t cap;   /* rows there is memory for; a power of two or rows_max */
    uint32_t used;  /* rows ever taken, holes included */
    uint32_t live;  /* rows in use */
    uint32_t holes; /* the first hole, or ROW_NONE */
    uint32_t hand;  /* the row to be looked at next */
};

/* Allocates nothing yet. Memory is charged to account (may be NULL). row_bytes: a multiple of 8, 16 at least; rows_max is not 0. */
void row_table_init(struct row_table *table, uint32_t row_bytes, uint32_t rows_max, struct account *account);
void row_table_release(struct row_table *table);

/* The row's number, or ROW_NONE. */
uint32_t row_table_find(const struct row_table *table, uint64_t key);

/*
 * The keys will be asked for next: their slots and then their rows are fetched from far memory for all of them at once, where asking for one after
 * the other waits twice for each. Changes nothing.
 */
void row_table_announce(const struct row_table *table, const uint64_t *keys, size_t count);

/* A new row, zero but for its key, which is not 0 and has none yet. ERR_BUSY: full, or no memory is granted: remove one first. */
enum err row_table_add(struct row_table *table, uint64_t key, uint32_t *ret_number) MUST_CHECK;

void row_table_remove(struct row_table *table, uint32_t number);

/* The hand's row, and the hand moves on; ROW_NONE on a hole or when there is none. */
uint32_t row_table_turn(struct row_table *table);

/*
 * Which row should give way to a new one: the one of least worth among the next few at the hand. worth() answers INFINITY for a row that
 * has to stay. ROW_NONE when all that were looked at have to.
 */
typedef float row_worth(void *context, const void *row);
uint32_t row_table_least(struct row_table *table, row_worth *worth, void *context);

static inline void *row_table_row(const struct row_table *table, uint32_t number)
{
    return table->rows + (size_t)number * table->row_bytes;
}

static inline uint64_t row_table_key(const struct row_table *table, uint32_t number)
{
    return *(const uint64_t *)row_table_row(table, number);
}

/* Fetches a row from far memory, for somebody who will look at it soon. It may lie in two lines. */
INLINE_ALWAYS void row_table_fetch(const struct row_table *table, uint32_t number)
{
    const uint8_t *row = row_table_row(table, number);
    __builtin_prefetch(row);
    __builtin_prefetch(row + table->row_bytes - 1);
}

#endif
