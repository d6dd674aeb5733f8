/* SPDX-License-Identifier: MIT */
#include "storage/heat_history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROWS = 64, HEAT_MAX = 40 * HEAT_FRACTION };

void heat_history_init(struct heat_history *history, uint32_t rows_max, struct account *account)
{
    *history = (struct heat_history){.rows_max = rows_max, .account = account, .holes = HEAT_NOWHERE};
}

static size_t index_slots(uint32_t rows)
{
    size_t slots = 1;
    while (slots < (size_t)rows * 2)
        slots *= 2;
    return slots;
}

static uint64_t bytes_for(uint32_t rows)
{
    return rows == 0 ? 0 : rows * sizeof(struct heat_row) + index_slots(rows) * sizeof(uint32_t);
}

void heat_history_release(struct heat_history *history)
{
    free(history->rows);
    free(history->index);
    if (history->account != NULL)
        account_give(history->account, bytes_for(history->cap));
    history->rows = NULL;
    history->index = NULL;
    history->cap = 0;
}

static uint32_t home(const struct heat_history *history, uint64_t key)
{
    return (uint32_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & history->index_mask;
}

/* Where the key is in the index, or the empty slot where it would be. */
static uint32_t slot_of(const struct heat_history *history, uint64_t key)
{
    uint32_t slot = home(history, key);
    while (history->index[slot] != 0 && history->rows[history->index[slot] - 1].key != key)
        slot = (slot + 1) & history->index_mask;
    return slot;
}

uint32_t heat_history_find(const struct heat_history *history, uint64_t key)
{
    if (history->cap == 0)
        return HEAT_NOWHERE;
    return history->index[slot_of(history, key)] - 1; /* empty: 0 - 1 is nowhere */
}

/* Only called when all rows are in use, so there are no holes to be kept out of the index. */
static enum err grow(struct heat_history *history)
{
    uint32_t cap = history->cap == 0 ? FIRST_ROWS : history->cap * 2;
    cap = history->cap >= history->rows_max / 2 ? history->rows_max : MIN(cap, history->rows_max);
    uint64_t more = bytes_for(cap) - bytes_for(history->cap);
    if (cap == history->cap || (history->account != NULL && !account_take(history->account, more)))
        return ERR_BUSY;
    size_t slots = index_slots(cap);
    uint32_t *index = calloc(slots, sizeof(*index));
    struct heat_row *rows = index == NULL ? NULL : realloc(history->rows, cap * sizeof(*rows));
    if (rows == NULL) {
        free(index);
        if (history->account != NULL)
            account_give(history->account, more);
        return ERR_BUSY;
    }
    free(history->index);
    history->rows = rows;
    history->index = index;
    history->index_mask = (uint32_t)(slots - 1);
    history->cap = cap;
    for (uint32_t i = 0; i < history->used; i++)
        index[slot_of(history, rows[i].key)] = i + 1;
    return ERR_OK;
}

enum err heat_history_add(struct heat_history *history, uint64_t key, uint32_t *ret_number)
{
    if (history->live == history->cap && grow(history) != ERR_OK)
        return ERR_BUSY;
    uint32_t number = history->holes;
    if (number != HEAT_NOWHERE)
        history->holes = history->rows[number].place;
    else
        number = history->used++;
    history->rows[number] = (struct heat_row){.key = key, .place = HEAT_NOWHERE};
    history->index[slot_of(history, key)] = number + 1;
    history->live++;
    *ret_number = number;
    return ERR_OK;
}

/* Those behind the gap move up, unless they would then be before their home. */
static void close_gap(struct heat_history *history, uint32_t gap)
{
    uint32_t mask = history->index_mask;
    for (uint32_t at = (gap + 1) & mask; history->index[at] != 0; at = (at + 1) & mask) {
        uint32_t from = home(history, history->rows[history->index[at] - 1].key);
        if (((at - from) & mask) < ((at - gap) & mask))
            continue;
        history->index[gap] = history->index[at];
        gap = at;
    }
    history->index[gap] = 0;
}

void heat_history_remove(struct heat_history *history, uint32_t number)
{
    struct heat_row *row = &history->rows[number];
    close_gap(history, slot_of(history, row->key));
    *row = (struct heat_row){.place = history->holes};
    history->holes = number;
    history->live--;
}

uint32_t heat_history_turn(struct heat_history *history)
{
    if (history->used == 0)
        return HEAT_NOWHERE;
    uint32_t number = history->hand < history->used ? history->hand : 0;
    history->hand = number + 1;
    return history->rows[number].key == 0 ? HEAT_NOWHERE : number;
}

uint16_t heat_warmed(uint16_t heat, uint32_t age, float half_life)
{
    float cooled = (float)heat / HEAT_FRACTION - (float)age / half_life;
    float warmed = log2f(1 + exp2f(cooled)) * HEAT_FRACTION + 0.5F;
    return (uint16_t)MIN(warmed, (float)HEAT_MAX);
}
