/* SPDX-License-Identifier: MIT */
/*
 * Rows of one size in numbered slots, all made at birth, found by the key that each row begins with.
 *
 *      rows[]   slot -> {key, whatever the owner keeps}
 *      heads[]  SipHash-2-4(key), keyed by the owner's seed: peers choose our keys
 *      links[]  slot -> next in its chain, or in the list of free slots
 *
 * A slot's number is the same as long as its row lives, so rows name each other by number, and so does a database that mirrors
 * them. base/table.h would take 70 bytes more a row and has no numbers. The row of a slot that was given back is left as it is:
 * the owner may keep a mark in it. Nothing is allocated after birth, so a flood cannot make it fail half-way. One thread.
 */
#ifndef HEARTH_DHT_SLOT_TABLE_H
#define HEARTH_DHT_SLOT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum { SLOT_NONE = UINT32_MAX, SLOT_SEED_BYTES = 16, SLOTS_MAX = 1 << 24 };

struct slot_table {
    uint8_t *rows;
    uint32_t *links;
    uint32_t *heads; /* NULL without keys */
    size_t row_bytes;
    size_t key_bytes; /* 0: rows have no key and are found by number alone */
    uint32_t head_count;
    uint32_t max;
    uint32_t live;
    uint32_t used; /* slots from here on were never taken */
    uint32_t free; /* list of those given back */
    uint8_t seed[SLOT_SEED_BYTES];
};

/* Bytes that a table takes: for the account of its owner. */
size_t slot_table_bytes(size_t row_bytes, size_t key_bytes, uint32_t max);

/* seed may be NULL without keys. Rows are zeros at first. max is from 1 to SLOTS_MAX. ERR_NOMEM: nothing is kept. */
enum err slot_table_init(struct slot_table *t, size_t row_bytes, size_t key_bytes, uint32_t max,
                         const uint8_t *seed) MUST_CHECK;
void slot_table_release(struct slot_table *t);

/* Takes a slot and writes the key to the front of its row; the rest of the row is as it was left. SLOT_NONE when all are taken. */
uint32_t slot_table_add(struct slot_table *t, const void *key);

/* Gives a taken slot back. */
void slot_table_remove(struct slot_table *t, uint32_t slot);

/* SLOT_NONE when absent. */
uint32_t slot_table_find(const struct slot_table *t, const void *key);

bool slot_table_is_live(const struct slot_table *t, uint32_t slot);

static inline void *slot_table_row(const struct slot_table *t, uint32_t slot)
{
    return t->rows + (size_t)slot * t->row_bytes;
}

#endif
