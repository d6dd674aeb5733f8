/* SPDX-License-Identifier: MIT */
/*
 * The origin's heat (origin_heat.h): of 16 held blocks the one with the least leaves, unless the newcomer has less. Its threshold of 10 for
 * promotion is left out: with it almost nothing of the traces in docs/heat.md would ever enter.
 */
#include <math.h>
#include <stdlib.h>

#include "storage/origin_heat.h"
#include "storage/row_table.h"
#include "storage/tier_policy_ops.h"

enum { SAMPLE = 16, FIRST_HELD = 64 };
#define GOLDEN_STEP UINT32_C(0x9E3779B9) /* spreads the looks evenly: 2^32 times the golden section */

struct origin_row {
    uint64_t key;
    double heat;
    double first_s;
    double last_s;
    uint64_t bytes;
    uint32_t accesses;
    uint32_t place; /* in held, or ROW_NONE */
};

struct origin {
    struct account *account;
    struct row_table rows;
    uint32_t *held; /* row numbers */
    uint32_t held_count;
    uint32_t held_cap;
    uint32_t walk;
    uint64_t held_bytes;
};

static struct origin_row *row_at(const struct origin *origin, uint32_t number)
{
    return row_table_row(&origin->rows, number);
}

static void origin_destroy(void *self)
{
    struct origin *origin = self;
    if (origin == NULL)
        return;
    row_table_release(&origin->rows);
    tier_policy_release(origin->account, origin->held, origin->held_cap * sizeof(*origin->held));
    tier_policy_release(origin->account, origin, sizeof(*origin));
}

static void *origin_create(const struct tier_policy_config *config)
{
    struct origin *origin = tier_policy_alloc(config->account, sizeof(*origin));
    if (origin == NULL)
        return NULL;
    origin->account = config->account;
    row_table_init(&origin->rows, sizeof(struct origin_row), config->blocks_max, config->account);
    return origin;
}

/* ---- heat ---- */

/* Clocks may step back: then no time has passed. */
static void warm(struct origin_row *row, double now_s)
{
    if (row->accesses++ == 0) {
        row->first_s = now_s;
        row->heat = ORIGIN_HEAT_FIRST;
    } else {
        row->heat =
            origin_heat(row->accesses, MAX(now_s - row->last_s, 0) / 3600, MAX(now_s - row->first_s, 0) / 86400);
    }
    row->last_s = now_s;
}

static float worth_remembering(void *context, const void *row)
{
    const struct origin_row *r = row;
    (void)context;
    return r->place != ROW_NONE ? INFINITY : (float)r->heat;
}

/* ROW_NONE when there is no room. */
static uint32_t add_row(struct origin *origin, uint64_t key)
{
    uint32_t number;
    if (row_table_add(&origin->rows, key, &number) != ERR_OK) {
        uint32_t least = row_table_least(&origin->rows, worth_remembering, NULL);
        if (least == ROW_NONE)
            return ROW_NONE;
        row_table_remove(&origin->rows, least);
        if (row_table_add(&origin->rows, key, &number) != ERR_OK)
            return ROW_NONE;
    }
    row_at(origin, number)->place = ROW_NONE;
    return number;
}

static bool origin_use(void *self, uint64_t key, uint64_t bytes, double now_s)
{
    struct origin *origin = self;
    uint32_t number = row_table_find(&origin->rows, key);
    (void)bytes;
    if (number == ROW_NONE)
        number = add_row(origin, key);
    if (number == ROW_NONE)
        return false;
    warm(row_at(origin, number), now_s);
    return row_at(origin, number)->place != ROW_NONE;
}

/* ---- what is held ---- */

static bool make_place(struct origin *origin)
{
    if (origin->held_count < origin->held_cap)
        return true;
    uint32_t cap = origin->held_cap == 0 ? FIRST_HELD : origin->held_cap * 2;
    uint32_t *held = tier_policy_alloc(origin->account, cap * sizeof(*held));
    if (held == NULL)
        return false;
    if (origin->held_count > 0)
        memcpy(held, origin->held, origin->held_count * sizeof(*held));
    tier_policy_release(origin->account, origin->held, origin->held_cap * sizeof(*held));
    origin->held = held;
    origin->held_cap = cap;
    return true;
}

/* The place of the one to leave. */
static uint32_t coldest(struct origin *origin)
{
    uint32_t worst = 0;
    double worst_heat = INFINITY;
    for (uint32_t i = 0; i < MIN(origin->held_count, SAMPLE); i++) {
        uint32_t at = i;
        if (origin->held_count > SAMPLE) {
            origin->walk += GOLDEN_STEP;
            at = (uint32_t)((uint64_t)origin->walk * origin->held_count >> 32);
        }
        double heat = row_at(origin, origin->held[at])->heat;
        if (heat < worst_heat) {
            worst_heat = heat;
            worst = at;
        }
    }
    return worst;
}

static void take_out(struct origin *origin, uint32_t place)
{
    struct origin_row *row = row_at(origin, origin->held[place]);
    origin->held_bytes -= row->bytes;
    origin->held[place] = origin->held[--origin->held_count];
    row_at(origin, origin->held[place])->place = place;
    row->place = ROW_NONE;
}

static bool origin_admit(void *self, const struct tier_newcomer *newcomer)
{
    struct origin *origin = self;
    uint32_t number = row_table_find(&origin->rows, newcomer->key);
    if (number == ROW_NONE || row_at(origin, number)->place != ROW_NONE || !make_place(origin))
        return false;
    struct origin_row *row = row_at(origin, number);
    while (origin->held_bytes > newcomer->room_bytes - newcomer->bytes) {
        uint32_t worst = coldest(origin);
        const struct origin_row *leaving = row_at(origin, origin->held[worst]);
        if (leaving->heat > row->heat)
            return false;
        take_out(origin, worst);
        newcomer->left(newcomer->context, leaving->key);
    }
    row->bytes = newcomer->bytes;
    row->place = origin->held_count;
    origin->held[origin->held_count++] = number;
    origin->held_bytes += newcomer->bytes;
    return true;
}

static void origin_leave(void *self, uint64_t key)
{
    struct origin *origin = self;
    uint32_t number = row_table_find(&origin->rows, key);
    if (number != ROW_NONE && row_at(origin, number)->place != ROW_NONE)
        take_out(origin, row_at(origin, number)->place);
}

/* ---- questions ---- */

static bool origin_holds(const void *self, uint64_t key)
{
    const struct origin *origin = self;
    uint32_t number = row_table_find(&origin->rows, key);
    return number != ROW_NONE && row_at(origin, number)->place != ROW_NONE;
}

static float origin_rank(const void *self, uint64_t key, uint64_t bytes)
{
    const struct origin *origin = self;
    uint32_t number = row_table_find(&origin->rows, key);
    (void)bytes;
    return number == ROW_NONE ? -INFINITY : (float)row_at(origin, number)->heat;
}

static struct tier_policy_stats origin_stats(const void *self)
{
    const struct origin *origin = self;
    return (struct tier_policy_stats){
        .held_bytes = origin->held_bytes, .held = origin->held_count, .remembered = origin->rows.live};
}

const struct tier_policy_ops tier_policy_origin = {.name = "origin",
                                                   .create = origin_create,
                                                   .destroy = origin_destroy,
                                                   .use = origin_use,
                                                   .admit = origin_admit,
                                                   .leave = origin_leave,
                                                   .holds = origin_holds,
                                                   .rank = origin_rank,
                                                   .stats = origin_stats};
