/* SPDX-License-Identifier: MIT */
#include "storage/tier_mover.h"

#include <stdlib.h>

#include "base/limits.h"
#include "storage/byte_budget.h"
#include "storage/move_marks.h"
#include "storage/rank_sample.h"

/* A block that shall move. */
struct item {
    struct block_key key;
    uint32_t bytes; /* to be written for it */
    uint32_t size;
    bool held;
    float rank;
};

enum wave { WAVE_NONE, WAVE_SWEEP, WAVE_SQUEEZE };

/* What of the wave is under way. */
enum wave_step { STEP_NONE, STEP_ASKED, STEP_DEMOTING };

struct tier_mover {
    uint64_t demote_at;
    uint64_t demote_to;
    uint64_t spill_at;
    uint64_t settle_ns;
    struct account *account;
    struct byte_budget demote;
    struct byte_budget promote;
    struct move_marks marks;

    uint64_t live_bytes;
    uint64_t leaving_bytes; /* of those: taken for demotion, and not gone */
    uint64_t coming_bytes;  /* promotions under way */
    uint64_t demoted_bytes; /* as the store counts them */
    bool cold_up;
    bool full;
    bool busy;
    uint64_t busy_since_ns;

    enum wave wave;
    enum wave_step step;
    struct mover_place hand;  /* where the next page begins, also of the next wave */
    bool whole_lap;           /* this lap began with the first block … */
    bool lap_ended;           /* … and has seen the last */
    struct rank_sample ranks; /* of what the policy holds, seen in this lap */
    float rank_max;           /* WAVE_SQUEEZE: what ranks higher stays */
    uint64_t due_ns;          /* of its next step */
    uint64_t rested_ns;       /* since the last wave gave up; 0: it did not */
    unsigned fruitless;       /* waves in a row that gave up, and nothing had gone */
    bool fruit;               /* something went in this one */
    uint64_t demoted_at_ns;
    struct item page[MOVER_PAGE_MAX]; /* those of the page that shall go, from page_at on */
    size_t page_count;
    size_t page_at;
    size_t slice; /* of them in the step that is under way */
    struct block_key keys[MOVER_PAGE_MAX];

    struct item wanted[MOVER_WANTED_MAX];
    size_t wanted_count;
    size_t promoting;
    uint64_t promoted_at_ns;
    struct block_key promoting_key;

    struct mover_stats stats;
};

struct tier_mover *mover_new(const struct mover_config *config)
{
    if (config->account != NULL && !account_take(config->account, sizeof(struct tier_mover)))
        return NULL;
    struct tier_mover *m = calloc(1, sizeof(*m));
    if (m == NULL || move_marks_init(&m->marks, config->account) != ERR_OK) {
        if (config->account != NULL)
            account_give(config->account, sizeof(struct tier_mover));
        free(m);
        return NULL;
    }
    m->account = config->account;
    m->demote_at = config->storage_max / 100 * config->demote_at;
    m->settle_ns = config->settle_ns;
    m->demote_to = config->storage_max / 100 * config->demote_to;
    m->spill_at = MAX(m->demote_at, config->storage_max / 100 * MOVER_SPILL_PERCENT);
    byte_budget_init(&m->demote, config->demote_rate);
    byte_budget_init(&m->promote, config->promote_rate);
    return m;
}

void mover_free(struct tier_mover *m)
{
    if (m == NULL)
        return;
    move_marks_release(&m->marks);
    if (m->account != NULL)
        account_give(m->account, sizeof(*m));
    free(m);
}

/* ---- what it knows ---- */

static uint64_t fill(const struct tier_mover *m)
{
    return m->live_bytes + m->coming_bytes - MIN(m->live_bytes, m->leaving_bytes);
}

static bool spilling(const struct tier_mover *m)
{
    return fill(m) >= m->spill_at || (m->full && fill(m) >= m->demote_at);
}

void mover_pressed(struct tier_mover *m, const struct mover_pressure *p, uint64_t now_ns)
{
    if (p->busy && !m->busy)
        m->busy_since_ns = now_ns;
    m->busy = p->busy;
    m->full = p->full;
    m->cold_up = p->cold_up;
    m->live_bytes = p->live_bytes;
    uint64_t gone = p->demoted_bytes > m->demoted_bytes ? p->demoted_bytes - m->demoted_bytes : 0;
    m->leaving_bytes = p->waiting == 0 ? 0 : m->leaving_bytes - MIN(m->leaving_bytes, gone);
    m->demoted_bytes = p->demoted_bytes;
}

/* From when on a step may begin, if the last one was at last_ns. */
static uint64_t gate(const struct tier_mover *m, uint64_t last_ns)
{
    if (!m->cold_up)
        return UINT64_MAX;
    if (!m->busy)
        return 0;
    return MAX(m->busy_since_ns, last_ns) + (spilling(m) ? MOVER_SPILL_PATIENCE_NS : MOVER_PATIENCE_NS);
}

static bool settled(const struct tier_mover *m, const struct block_key *key, uint64_t now_ns)
{
    uint64_t since = now_ns < m->settle_ns ? 0 : now_ns - m->settle_ns + 1;
    return !move_marks_find(&m->marks, key, since);
}

void mover_moved(struct tier_mover *m, const struct block_key *key, uint64_t now_ns)
{
    move_marks_set(&m->marks, key, now_ns);
}

/* ---- promotions ---- */

static size_t hottest(const struct tier_mover *m)
{
    size_t best = 0;
    for (size_t i = 1; i < m->wanted_count; i++)
        best = m->wanted[i].rank > m->wanted[best].rank ? i : best;
    return best;
}

static size_t coldest(const struct tier_mover *m)
{
    size_t best = 0;
    for (size_t i = 1; i < m->wanted_count; i++)
        best = m->wanted[i].rank < m->wanted[best].rank ? i : best;
    return best;
}

bool mover_considers(const struct tier_mover *m, const struct block_key *key, uint32_t size, uint64_t now_ns)
{
    if (m->promote.rate == 0 || size > m->demote_at || size > BLOCK_BYTES_MAX || !settled(m, key, now_ns))
        return false;
    for (size_t i = 0; i < m->wanted_count; i++) {
        if (block_key_equal(&m->wanted[i].key, key))
            return false;
    }
    return true;
}

bool mover_want(struct tier_mover *m, const struct block_key *key, uint32_t size, float rank, struct block_key *ret_out)
{
    struct item item = {.key = *key, .bytes = size, .size = size, .rank = rank};
    if (m->wanted_count < MOVER_WANTED_MAX) {
        m->wanted[m->wanted_count++] = item;
        return false;
    }
    struct item *out = &m->wanted[coldest(m)];
    m->stats.refused++;
    *ret_out = out->rank < rank ? out->key : *key;
    if (out->rank < rank)
        *out = item;
    return true;
}

/* Whether the next one waits for a wave to make room for it. */
static bool wants_room(const struct tier_mover *m)
{
    return m->wanted_count > 0 && fill(m) + m->wanted[hottest(m)].size > m->demote_at;
}

/* False: none now; the wait is put into the step. */
static bool next_promotion(struct tier_mover *m, uint64_t now_ns, struct mover_step *step)
{
    if (m->wanted_count == 0 || m->promoting == MOVER_PROMOTIONS_MAX || wants_room(m))
        return false;
    size_t i = hottest(m);
    struct item item = m->wanted[i];
    uint64_t at = gate(m, m->promoted_at_ns);
    uint64_t wait = byte_budget_wait(&m->promote, item.bytes, now_ns);
    if (at > now_ns || wait > 0) {
        step->wake_ns = MIN(step->wake_ns, MAX(at, wait == UINT64_MAX ? UINT64_MAX : now_ns + wait));
        return false;
    }
    m->wanted[i] = m->wanted[--m->wanted_count];
    byte_budget_take(&m->promote, item.bytes, now_ns);
    move_marks_set(&m->marks, &item.key, now_ns);
    m->promoted_at_ns = now_ns;
    m->promoting++;
    m->coming_bytes += item.size;
    m->promoting_key = item.key;
    *step = (struct mover_step){.act = MOVER_PROMOTE, .keys = &m->promoting_key, .count = 1, .bytes = item.bytes};
    return true;
}

void mover_promoted(struct tier_mover *m, const struct block_key *key, uint32_t size, enum err err)
{
    m->promoting--;
    m->coming_bytes -= MIN(m->coming_bytes, size);
    if (err != ERR_OK) {
        move_marks_drop(&m->marks, key);
        return;
    }
    m->live_bytes += size; /* until the store says */
    m->stats.promoted.blocks++;
    m->stats.promoted.bytes += size;
}

/* ---- waves ---- */

/* Down to where a wave goes. */
static uint64_t target(const struct tier_mover *m)
{
    return wants_room(m) ? MIN(m->demote_to, m->demote_at - m->wanted[hottest(m)].size) : m->demote_to;
}

static void begin_lap(struct tier_mover *m, enum wave wave)
{
    m->wave = wave;
    m->whole_lap = m->hand.segment == 0;
    m->lap_ended = false;
    rank_sample_clear(&m->ranks);
}

static bool may_begin(const struct tier_mover *m)
{
    return m->demote.rate > 0 && (fill(m) >= m->demote_at || wants_room(m));
}

/* The last block was seen, and all of the page is on its way. */
static void end_lap(struct tier_mover *m, uint64_t now_ns)
{
    if (!m->whole_lap) {
        begin_lap(m, m->wave);
    } else if (!may_begin(m)) {
        m->wave = WAVE_NONE;
    } else if (m->wave == WAVE_SWEEP && rank_sample_cut(&m->ranks, fill(m) - target(m), &m->rank_max)) {
        begin_lap(m, WAVE_SQUEEZE);
    } else {
        m->wave = WAVE_NONE;
        m->rested_ns = MAX(now_ns, 1);
        m->fruitless = m->fruit ? 0 : m->fruitless + 1;
    }
}

static bool may_leave(struct tier_mover *m, const struct mover_candidate *c, uint64_t now_ns)
{
    if (!c->may_go || !settled(m, &c->key, now_ns))
        return false;
    if (c->held)
        rank_sample_add(&m->ranks, c->rank, c->size);
    return !c->held || (m->wave == WAVE_SQUEEZE && c->rank <= m->rank_max);
}

void mover_page(struct tier_mover *m, enum err err, const struct mover_candidate *candidates, size_t count,
                struct mover_place next, uint64_t now_ns)
{
    uint64_t planned = 0;
    size_t i = 0;
    m->step = STEP_NONE;
    m->due_ns = now_ns + (err != ERR_OK ? MOVER_RETRY_NS : spilling(m) ? 0 : MOVER_PAGE_NS);
    m->page_count = 0;
    m->page_at = 0;
    if (err != ERR_OK)
        return;
    for (; i < count && i < MOVER_PAGE_MAX && fill(m) > target(m) + planned; i++) {
        const struct mover_candidate *c = &candidates[i];
        if (!may_leave(m, c, now_ns))
            continue;
        m->page[m->page_count++] =
            (struct item){.key = c->key, .bytes = c->cold ? 0 : c->size, .size = c->size, .held = c->held};
        planned += c->size;
    }
    if (i < count)
        return; /* the wave ends with these; the next one looks at the rest of the page */
    m->hand = next;
    m->lap_ended = next.segment == 0;
}

/* The next blocks of the page, as a step. */
static uint64_t slice(struct tier_mover *m)
{
    uint64_t bytes = 0;
    m->slice = 0;
    for (size_t i = m->page_at; i < m->page_count; i++) {
        if (m->slice > 0 && bytes + m->page[i].bytes > MOVER_STEP_BYTES)
            break;
        bytes += m->page[i].bytes;
        m->keys[m->slice++] = m->page[i].key;
    }
    return bytes;
}

static void demote(struct tier_mover *m, uint64_t now_ns, struct mover_step *step)
{
    bool spill = spilling(m);
    uint64_t bytes = slice(m);
    uint64_t wait = spill ? 0 : byte_budget_wait(&m->demote, bytes, now_ns);
    if (wait > 0) {
        step->wake_ns = MIN(step->wake_ns, now_ns + wait);
        return;
    }
    byte_budget_take(&m->demote, bytes, now_ns);
    m->step = STEP_DEMOTING;
    m->demoted_at_ns = now_ns;
    *step =
        (struct mover_step){.act = MOVER_DEMOTE, .keys = m->keys, .count = m->slice, .bytes = bytes, .spill = spill};
}

static uint64_t wave_due(const struct tier_mover *m)
{
    uint64_t pause = spilling(m) ? MOVER_SPILL_REST_NS : MOVER_REST_NS;
    return MAX(m->due_ns, m->rested_ns == 0 ? 0 : m->rested_ns + pause);
}

/* Begins a wave, or ends the one that is on. False: there is nothing to do. */
static bool wave_is_on(struct tier_mover *m, uint64_t now_ns)
{
    if (m->wave != WAVE_NONE && fill(m) <= target(m))
        m->wave = WAVE_NONE;
    else if (m->wave != WAVE_NONE && m->page_at == m->page_count && m->lap_ended)
        end_lap(m, now_ns);
    if (m->wave == WAVE_NONE)
        m->page_at = m->page_count;
    return m->wave != WAVE_NONE || may_begin(m);
}

static void next_of_wave(struct tier_mover *m, uint64_t now_ns, struct mover_step *step)
{
    if (m->step != STEP_NONE || !wave_is_on(m, now_ns))
        return;
    uint64_t at = MAX(gate(m, m->demoted_at_ns), wave_due(m));
    if (at > now_ns) {
        step->wake_ns = MIN(step->wake_ns, at);
        return;
    }
    if (m->page_at < m->page_count) {
        demote(m, now_ns, step);
        return;
    }
    if (m->wave == WAVE_NONE) {
        m->stats.waves++;
        m->rested_ns = 0;
        m->fruit = false;
        begin_lap(m, WAVE_SWEEP);
    }
    m->step = STEP_ASKED;
    *step = (struct mover_step){.act = MOVER_ASK, .place = m->hand, .spill = spilling(m)};
}

void mover_demoted(struct tier_mover *m, enum err err, uint64_t now_ns)
{
    m->step = STEP_NONE;
    if (err == ERR_BUSY || err == ERR_UNAVAILABLE || err == ERR_TIMEOUT) {
        m->due_ns = now_ns + MOVER_RETRY_NS;
        return;
    }
    for (size_t i = 0; i < m->slice; i++) {
        const struct item *item = &m->page[m->page_at++];
        move_marks_set(&m->marks, &item->key, now_ns); /* with an error too: it is not to be tried over and over */
        if (err != ERR_OK)
            continue;
        m->fruit = true;
        m->fruitless = 0;
        m->leaving_bytes += item->size;
        m->stats.demoted.blocks++;
        m->stats.demoted.bytes += item->size;
        m->stats.squeezed.blocks += item->held;
        m->stats.squeezed.bytes += item->held ? item->size : 0;
    }
}

/* ---- together ---- */

void mover_next(struct tier_mover *m, uint64_t now_ns, struct mover_step *step)
{
    *step = (struct mover_step){.act = MOVER_WAIT, .wake_ns = UINT64_MAX};
    if (!next_promotion(m, now_ns, step))
        next_of_wave(m, now_ns, step);
}

struct mover_stats mover_stats(const struct tier_mover *m)
{
    struct mover_stats stats = m->stats;
    stats.fill_bytes = fill(m);
    stats.wanted = m->wanted_count;
    stats.in_wave = m->wave != WAVE_NONE;
    stats.exhausted = m->fruitless >= MOVER_FRUITLESS && may_begin(m);
    return stats;
}
