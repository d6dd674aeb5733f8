/* SPDX-License-Identifier: MIT */
#include "storage/compactor.h"

#include "base/attr.h"

void compactor_look(struct compactor *c, uint64_t now_ns)
{
    if (c->phase == COMPACT_IDLE)
        c->due_ns = MIN(c->due_ns, now_ns + SECOND_NS);
}

bool compactor_is_due(const struct compactor *c, uint64_t now_ns, bool busy, bool tight)
{
    if (tight && c->phase != COMPACT_IDLE)
        return true;
    return now_ns >= c->due_ns && (!busy || now_ns >= c->due_ns + COMPACT_PATIENCE_NS);
}

bool compactor_is_at_work(const struct compactor *c, uint64_t now_ns)
{
    return c->phase != COMPACT_IDLE || c->due_ns <= now_ns + SECOND_NS;
}

static bool is_stuck(const struct compactor *c, uint64_t segment, uint64_t now_ns)
{
    for (size_t i = 0; i < COMPACT_STUCK_MAX; i++) {
        if (c->stuck[i].segment == segment && now_ns < c->stuck[i].until_ns)
            return true;
    }
    return false;
}

/* When the first of the stuck is tried again. */
static uint64_t stuck_until(const struct compactor *c, uint64_t now_ns)
{
    uint64_t until = UINT64_MAX;
    for (size_t i = 0; i < COMPACT_STUCK_MAX; i++) {
        if (c->stuck[i].segment != 0 && c->stuck[i].until_ns > now_ns)
            until = MIN(until, c->stuck[i].until_ns);
    }
    return until;
}

static bool is_dead_enough(const struct segment_use *use, bool tight)
{
    return tight ? use->live <= use->bytes / 8 * 7 : use->live <= use->bytes / 2;
}

bool compactor_choose(struct compactor *c, const struct segment_use *candidates, size_t count, uint64_t now_ns,
                      bool tight)
{
    c->due_ns = stuck_until(c, now_ns);
    for (size_t i = 0; i < count; i++) {
        if (!is_dead_enough(&candidates[i], tight))
            return false;
        if (is_stuck(c, candidates[i].segment, now_ns))
            continue;
        c->victim = candidates[i];
        c->phase = candidates[i].live == 0 ? COMPACT_DROP : COMPACT_READ;
        c->offset = 0;
        c->ended = false;
        c->due_ns = now_ns;
        return true;
    }
    return false;
}

bool compactor_choose_open(struct compactor *c, const struct segment_use *open, uint64_t now_ns, bool tight)
{
    if (open->bytes < COMPACT_SEAL_BYTES || !is_dead_enough(open, tight))
        return false;
    c->phase = COMPACT_SEAL;
    c->due_ns = now_ns;
    return true;
}

void compactor_paid(struct compactor *c, uint64_t bytes, uint64_t now_ns)
{
    c->due_ns = now_ns + bytes * SECOND_NS / COMPACT_RATE;
}

void compactor_failed(struct compactor *c, uint64_t now_ns)
{
    c->phase = COMPACT_IDLE;
    c->due_ns = now_ns + COMPACT_RETRY_NS;
}

void compactor_stuck(struct compactor *c, uint64_t now_ns)
{
    c->stuck[c->stuck_next].segment = c->victim.segment;
    c->stuck[c->stuck_next].until_ns = now_ns + COMPACT_STUCK_NS;
    c->stuck_next = (c->stuck_next + 1) % COMPACT_STUCK_MAX;
    c->phase = COMPACT_IDLE;
    c->due_ns = now_ns;
}

void compactor_dropped(struct compactor *c, uint64_t now_ns)
{
    c->freed_bytes += c->victim.bytes;
    c->phase = COMPACT_IDLE;
    c->due_ns = now_ns;
}

uint64_t compactor_due(const struct compactor *c)
{
    bool runs = c->phase == COMPACT_READING || c->phase == COMPACT_WRITING || c->phase == COMPACT_SEALING ||
                c->phase == COMPACT_DROPPING || c->phase == COMPACT_FORGETTING;
    return runs ? UINT64_MAX : c->due_ns;
}
