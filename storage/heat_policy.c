/* SPDX-License-Identifier: MIT */
#include "storage/heat_policy.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/le.h"
#include "storage/heat_trial.h"

enum { LEARN_EVERY = 4096, REVIEW_MIN = 512, LONG_LEVELS = 10, SHORT_LEVELS = 5 };
_Static_assert(LONG_LEVELS *SHORT_LEVELS == HEAT_CLASSES, "a class is a pair of levels");

enum { FIRST_HELD = 64, LOOKS_A_ROW = 16 };

static const double half_life_slots[HEAT_SPANS] = {2, 64};
#define HITS_HALF_LIFE_SLOTS 8.0
#define COUNTS_HALF_LIFE     200000.0

struct heat_policy {
    struct heat_policy_config config;
    struct row_table history;
    struct heat_curves curves;
    struct heat_trials trials;
    struct heat_ranker ranker;
    struct heat_held *held;
    uint32_t held_count;
    uint32_t held_cap;
    uint64_t held_bytes;
    struct heat_search search;
    uint32_t last_used; /* the row that an admission most likely asks about */
    uint64_t accesses;
    uint64_t blocks_seen; /* rows made … */
    uint64_t bytes_seen;  /* … and what their blocks take: their mean size says how many fit in */
    uint64_t review_at;
    heat_forgotten *forgotten;
    void *forgotten_context;
};

static double slots(const struct heat_policy *policy)
{
    double mean = policy->blocks_seen == 0 ? 1 : (double)policy->bytes_seen / (double)policy->blocks_seen;
    return MAX((double)policy->config.capacity_bytes / MAX(mean, 1), 1);
}

/* After the mean size has changed: the trials' share of the blocks, the half-lives. */
static void scale(struct heat_policy *policy)
{
    double n = slots(policy);
    heat_trials_scale(&policy->trials, policy->config.capacity_bytes, n);
    for (int span = 0; span < HEAT_SPANS; span++)
        policy->ranker.cooling[span] = (float)(1 / (half_life_slots[span] * n));
}

struct heat_policy *heat_policy_new(const struct heat_policy_config *config)
{
    if (config->account != NULL && !account_take(config->account, sizeof(struct heat_policy)))
        return NULL;
    struct heat_policy *policy = calloc(1, sizeof(*policy));
    if (policy == NULL) {
        if (config->account != NULL)
            account_give(config->account, sizeof(*policy));
        return NULL;
    }
    policy->config = *config;
    row_table_init(&policy->history, sizeof(struct heat_row), config->rows_max, config->account);
    heat_curves_init(&policy->curves);
    heat_trials_init(&policy->trials);
    policy->ranker = (struct heat_ranker){.history = &policy->history, .curves = &policy->curves, .goal = config->goal};
    policy->review_at = REVIEW_MIN;
    scale(policy);
    return policy;
}

void heat_policy_free(struct heat_policy *policy)
{
    if (policy == NULL)
        return;
    row_table_release(&policy->history);
    if (policy->config.account != NULL)
        account_give(policy->config.account, sizeof(*policy) + policy->held_cap * sizeof(*policy->held));
    free(policy->held);
    free(policy);
}

void heat_policy_on_forgotten(struct heat_policy *policy, heat_forgotten *forgotten, void *context)
{
    policy->forgotten = forgotten;
    policy->forgotten_context = context;
}

/* ---- history ---- */

static float long_heat(const struct heat_policy *policy, const struct heat_row *row)
{
    return heat_cooled(row, HEAT_LONG, heat_age(row, policy->ranker.now), policy->ranker.cooling[HEAT_LONG]);
}

static float worth_remembering(void *context, const void *row)
{
    const struct heat_row *r = row;
    return r->place != ROW_NONE || r->trials != 0 ? INFINITY : long_heat(context, r);
}

/* The coldest of a few rows that nobody holds gives way. False when all that were looked at are held. */
static bool forget_one(struct heat_policy *policy)
{
    uint32_t coldest = row_table_least(&policy->history, worth_remembering, policy);
    if (coldest == ROW_NONE)
        return false;
    const struct heat_row *row = heat_row_at(&policy->history, coldest);
    if (policy->forgotten != NULL && row->kept == 0)
        policy->forgotten(policy->forgotten_context, row);
    row_table_remove(&policy->history, coldest);
    return true;
}

/* ROW_NONE when there is no room. */
static uint32_t add_row(struct heat_policy *policy, uint64_t key)
{
    uint32_t number;
    if (row_table_add(&policy->history, key, &number) != ERR_OK &&
        (!forget_one(policy) || row_table_add(&policy->history, key, &number) != ERR_OK))
        return ROW_NONE;
    struct heat_row *row = heat_row_at(&policy->history, number);
    row->place = ROW_NONE;
    row->used_at = policy->ranker.now;
    return number;
}

/* Counts what has passed of a row's open interval, for one row an access: so each row's turn comes. */
static void count_open_interval(struct heat_policy *policy)
{
    uint32_t number = row_table_turn(&policy->history);
    if (number == ROW_NONE)
        return;
    struct heat_row *row = heat_row_at(&policy->history, number);
    uint32_t age = heat_age(row, policy->ranker.now);
    if (age > HEAT_AGE_MAX) {
        age = HEAT_AGE_MAX;
        row->used_at = policy->ranker.now - age;
    }
    uint8_t step = heat_curve_step(age);
    heat_curves_pass(&policy->curves, row->class, row->counted, step);
    row->counted = MAX(row->counted, step);
}

/* Level 0 of the long heat is kept for blocks used once. */
static uint8_t class_of(const struct heat_row *row)
{
    unsigned longer = MIN(1U + row->heat[HEAT_LONG] / HEAT_FRACTION, LONG_LEVELS - 1U);
    unsigned shorter = MIN((unsigned)row->heat[HEAT_SHORT] / HEAT_FRACTION, SHORT_LEVELS - 1U);
    return (uint8_t)(longer * SHORT_LEVELS + shorter);
}

static void warm(struct heat_policy *policy, struct heat_row *row)
{
    uint32_t age = heat_age(row, policy->ranker.now);
    heat_curves_return(&policy->curves, row->class, row->counted, age);
    for (int span = 0; span < HEAT_SPANS; span++)
        row->heat[span] = heat_warmed(heat_cooled(row, (enum heat_span)span, age, policy->ranker.cooling[span]));
    row->class = class_of(row);
    row->counted = 0;
    row->kept = 0;
    row->used_at = policy->ranker.now;
}

static bool power_of_two(uint64_t n)
{
    return (n & (n - 1)) == 0;
}

static void learn(struct heat_policy *policy)
{
    if (policy->accesses % LEARN_EVERY == 0)
        heat_curves_learn(&policy->curves, exp2f((float)(-LEARN_EVERY / COUNTS_HALF_LIFE)));
    else if (policy->accesses < LEARN_EVERY && power_of_two(policy->accesses))
        heat_curves_learn(&policy->curves, 1);
    if (policy->accesses < policy->review_at)
        return;
    double n = slots(policy);
    double every = MAX(n / 4, REVIEW_MIN);
    policy->review_at = policy->accesses + (uint64_t)every;
    (void)heat_trials_review(&policy->trials, exp2(-every / (HITS_HALF_LIFE_SLOTS * n)));
    scale(policy);
}

static bool is_held(const struct heat_policy *policy, uint32_t number)
{
    return heat_row_at(&policy->history, number)->place != ROW_NONE;
}

void heat_policy_announce(const struct heat_policy *policy, const uint64_t *keys, size_t count)
{
    row_table_announce(&policy->history, keys, count);
}

bool heat_policy_use(struct heat_policy *policy, uint64_t key, uint64_t bytes)
{
    policy->ranker.now = (uint32_t)++policy->accesses;
    uint32_t number = row_table_find(&policy->history, key);
    if (number != ROW_NONE) {
        warm(policy, heat_row_at(&policy->history, number));
    } else {
        number = add_row(policy, key);
        if (number == ROW_NONE)
            return false;
        policy->blocks_seen++;
        policy->bytes_seen += bytes;
        if (power_of_two(policy->blocks_seen))
            scale(policy);
    }
    policy->last_used = number;
    count_open_interval(policy);
    learn(policy);
    heat_trials_use(&policy->trials, &policy->ranker,
                    (struct heat_held){.row = number, .bytes = (uint32_t)MIN(bytes, UINT32_MAX)});
    return is_held(policy, number);
}

/* ---- what is held ---- */

static bool make_place(struct heat_policy *policy)
{
    if (policy->held_count < policy->held_cap)
        return true;
    uint32_t cap = policy->held_cap == 0 ? FIRST_HELD : policy->held_cap * 2;
    uint64_t more = (uint64_t)(cap - policy->held_cap) * sizeof(*policy->held);
    if (policy->config.account != NULL && !account_take(policy->config.account, more))
        return false;
    struct heat_held *held = realloc(policy->held, cap * sizeof(*held));
    if (held == NULL) {
        if (policy->config.account != NULL)
            account_give(policy->config.account, more);
        return false;
    }
    policy->held = held;
    policy->held_cap = cap;
    return true;
}

static void take_out(struct heat_policy *policy, uint32_t place)
{
    struct heat_row *row = heat_row_at(&policy->history, policy->held[place].row);
    row->place = ROW_NONE;
    row->kept = 0;
    policy->held_bytes -= policy->held[place].bytes;
    policy->held[place] = policy->held[--policy->held_count];
    if (place < policy->held_count)
        heat_row_at(&policy->history, policy->held[place].row)->place = place;
}

static uint32_t find_used(const struct heat_policy *policy, uint64_t key)
{
    uint32_t last = policy->last_used;
    if (last < policy->history.used && heat_row_at(&policy->history, last)->key == key)
        return last;
    return row_table_find(&policy->history, key);
}

bool heat_policy_admit(struct heat_policy *policy, uint64_t key, uint64_t bytes, uint64_t room_bytes, heat_left *left,
                       void *context)
{
    uint64_t capacity = MIN(policy->config.capacity_bytes, room_bytes);
    uint32_t number = find_used(policy, key);
    if (number == ROW_NONE || is_held(policy, number) || bytes > MIN(capacity, UINT32_MAX) || !make_place(policy))
        return false;
    struct heat_held entering = {.row = number, .bytes = (uint32_t)bytes};
    enum heat_way way = policy->trials.best;
    float rank = heat_rank(&policy->ranker, way, entering);
    while (policy->held_bytes > capacity - bytes) {
        float worst_rank;
        uint32_t worst =
            heat_worst(&policy->ranker, way, policy->held, policy->held_count, &policy->search, &worst_rank);
        if (worst_rank > rank)
            return false;
        uint64_t leaving = heat_row_at(&policy->history, policy->held[worst].row)->key;
        take_out(policy, worst);
        left(context, leaving);
    }
    heat_row_at(&policy->history, number)->place = policy->held_count;
    policy->held[policy->held_count++] = entering;
    policy->held_bytes += bytes;
    return true;
}

void heat_policy_leave(struct heat_policy *policy, uint64_t key)
{
    uint32_t number = row_table_find(&policy->history, key);
    if (number != ROW_NONE && is_held(policy, number))
        take_out(policy, heat_row_at(&policy->history, number)->place);
}

/* ---- questions ---- */

bool heat_policy_holds(const struct heat_policy *policy, uint64_t key)
{
    uint32_t number = row_table_find(&policy->history, key);
    return number != ROW_NONE && is_held(policy, number);
}

float heat_policy_rank(const struct heat_policy *policy, uint64_t key, uint64_t bytes)
{
    uint32_t number = row_table_find(&policy->history, key);
    if (number == ROW_NONE)
        return -INFINITY;
    return heat_rank(&policy->ranker, policy->trials.best,
                     (struct heat_held){.row = number, .bytes = (uint32_t)MIN(bytes, UINT32_MAX)});
}

double heat_policy_heat(const struct heat_policy *policy, uint64_t key)
{
    uint32_t number = row_table_find(&policy->history, key);
    return number == ROW_NONE ? 0 : exp2(long_heat(policy, heat_row_at(&policy->history, number)));
}

/* What an admission of so many bytes would look at first; the search is not moved on. */
static float limit_for(const struct heat_policy *policy, uint64_t bytes)
{
    struct heat_search search = policy->search;
    float limit = -INFINITY;
    if (policy->held_count > 0 && policy->held_bytes + bytes > policy->config.capacity_bytes)
        (void)heat_worst(&policy->ranker, policy->trials.best, policy->held, policy->held_count, &search, &limit);
    return limit;
}

bool heat_policy_explain(const struct heat_policy *policy, uint64_t key, uint64_t bytes,
                         struct heat_explained *ret_explained)
{
    uint32_t size = (uint32_t)MIN(bytes, UINT32_MAX);
    uint32_t number = row_table_find(&policy->history, key);
    struct heat_explained explained = {.way = policy->trials.best, .limit = limit_for(policy, size)};
    for (int way = 0; way < HEAT_WAYS; way++) {
        explained.hits[way] = policy->trials.of[way].hits;
        explained.rank[way] = number == ROW_NONE ? -INFINITY
                                                 : heat_rank(&policy->ranker, (enum heat_way)way,
                                                             (struct heat_held){.row = number, .bytes = size});
    }
    if (number != ROW_NONE) {
        const struct heat_row *row = heat_row_at(&policy->history, number);
        explained.held = is_held(policy, number);
        explained.age = heat_age(row, policy->ranker.now);
        explained.class = row->class;
        for (int span = 0; span < HEAT_SPANS; span++)
            explained.heat[span] =
                exp2((double)heat_cooled(row, (enum heat_span)span, explained.age, policy->ranker.cooling[span]));
    }
    *ret_explained = explained;
    return number != ROW_NONE;
}

struct heat_policy_stats heat_policy_stats(const struct heat_policy *policy)
{
    return (struct heat_policy_stats){.held_bytes = policy->held_bytes,
                                      .held = policy->held_count,
                                      .remembered = policy->history.live,
                                      .way = policy->trials.best};
}

/* ---- over a restart ---- */

bool heat_policy_knows(const struct heat_policy *policy, uint64_t key)
{
    return row_table_find(&policy->history, key) != ROW_NONE;
}

size_t heat_policy_unkept(struct heat_policy *policy, uint32_t *position, struct heat_row *ret_rows, size_t max)
{
    uint32_t end = (uint32_t)MIN((uint64_t)*position + max * LOOKS_A_ROW, policy->history.used);
    size_t count = 0;
    while (*position < end && count < max) {
        struct heat_row *row = heat_row_at(&policy->history, (*position)++);
        if (row->key == 0 || row->kept != 0)
            continue;
        row->kept = 1;
        ret_rows[count] = *row;
        ret_rows[count++].held_bytes = row->place == ROW_NONE ? ROW_NONE : policy->held[row->place].bytes;
    }
    if (*position >= policy->history.used)
        *position = 0;
    return count;
}

/* Of a block that was new to us when it was used again: the interval that ended then was an open one, and heat adds up. */
static void add_past(struct heat_policy *policy, struct heat_row *mine, const struct heat_row *past)
{
    uint32_t age = mine->used_at - past->used_at;
    heat_curves_return(&policy->curves, past->class, past->counted, age);
    for (int span = 0; span < HEAT_SPANS; span++) {
        float cooled = heat_cooled(past, (enum heat_span)span, age, policy->ranker.cooling[span]);
        float now = (float)mine->heat[span] / HEAT_FRACTION;
        uint32_t sum = mine->heat[span] + (uint32_t)heat_warmed(cooled - now);
        mine->heat[span] = (uint16_t)MIN(sum, UINT16_MAX);
    }
    mine->class = class_of(mine);
    mine->kept = 0;
}

enum err heat_policy_remember(struct heat_policy *policy, const struct heat_row *row)
{
    if (row->key == 0 || row->class >= HEAT_CLASSES || row->counted >= HEAT_AGES ||
        heat_age(row, policy->ranker.now) > HEAT_AGE_MAX)
        return ERR_INVALID;
    uint32_t number = row_table_find(&policy->history, row->key);
    if (number != ROW_NONE) {
        struct heat_row *mine = heat_row_at(&policy->history, number);
        if (heat_age(mine, policy->ranker.now) >= heat_age(row, policy->ranker.now))
            return ERR_EXISTS;
        add_past(policy, mine, row);
        return ERR_OK;
    }
    number = add_row(policy, row->key);
    if (number == ROW_NONE)
        return ERR_BUSY;
    struct heat_row *mine = heat_row_at(&policy->history, number);
    *mine = *row;
    mine->place = ROW_NONE;
    mine->trials = 0;
    mine->kept = 1;
    return ERR_OK;
}

/* version 4 | accesses 8 | blocks_seen 8 | bytes_seen 8 | way 1 | curves */
enum { STATE_VERSION = 1, STATE_HEADER_BYTES = 29, STATE_WAY_AT = 28 };

enum err heat_policy_save(const struct heat_policy *policy, struct buf *to)
{
    uint8_t header[STATE_HEADER_BYTES];
    le_put(header, STATE_VERSION, 4);
    le_put(header + 4, policy->accesses, 8);
    le_put(header + 12, policy->blocks_seen, 8);
    le_put(header + 20, policy->bytes_seen, 8);
    header[STATE_WAY_AT] = (uint8_t)policy->trials.best;
    enum err err = buf_append(to, header, sizeof(header));
    return err == ERR_OK ? heat_curves_save(&policy->curves, to) : err;
}

enum err heat_policy_load(struct heat_policy *policy, struct span state)
{
    assert(policy->accesses == 0);
    if (state.len < STATE_HEADER_BYTES || le_get(state.data, 4) != STATE_VERSION ||
        state.data[STATE_WAY_AT] >= HEAT_WAYS ||
        heat_curves_load(&policy->curves, span_skip(state, STATE_HEADER_BYTES)) != ERR_OK)
        return ERR_CORRUPT;
    policy->accesses = le_get(state.data + 4, 8);
    policy->blocks_seen = le_get(state.data + 12, 8);
    policy->bytes_seen = le_get(state.data + 20, 8);
    policy->trials.best = (enum heat_way)state.data[STATE_WAY_AT];
    policy->ranker.now = (uint32_t)policy->accesses;
    policy->review_at = policy->accesses + REVIEW_MIN;
    scale(policy);
    return ERR_OK;
}
