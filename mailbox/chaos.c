/* SPDX-License-Identifier: MIT */
#include "mailbox/chaos.h"

#include <stdlib.h>
#include <string.h>

#include "mailbox/ctx.h"

enum { KIND_SHIFT = 56 };

/* Kept in a list, so that it is a leak to the budget and to the kernel but not to the sanitizers. */
struct chaos_leak {
    struct chaos_leak *next;
    uint64_t charged;
};

static const struct {
    const char *word;
    bool valued;
    uint64_t most;
} kinds[CHAOS_COUNT] = {
#define CHAOS_KIND(upper, word, valued, most, doc) [CHAOS_##upper] = {word, valued, most},
    CHAOS_KINDS(CHAOS_KIND)
#undef CHAOS_KIND
};

enum chaos_kind chaos_kind_of(struct span word)
{
    for (int kind = CHAOS_NONE + 1; kind < CHAOS_COUNT; kind++) {
        if (span_equal_text(word, kinds[kind].word))
            return (enum chaos_kind)kind;
    }
    return CHAOS_NONE;
}

uint64_t chaos_value_max(enum chaos_kind kind)
{
    return kinds[kind].valued ? kinds[kind].most : 0;
}

/* ---- ordering ---- */

static enum err order(struct runtime *rt, struct ctx *target, enum chaos_kind kind, uint64_t value)
{
    if (!rt->config.chaos)
        return ERR_DENIED;
    if (kind <= CHAOS_NONE || kind >= CHAOS_COUNT)
        return ERR_INVALID;
    if (value > chaos_value_max(kind))
        return ERR_TOO_LARGE;
    if (kind == CHAOS_CALM || kind == CHAOS_START_FAILS)
        atomic_store_explicit(&target->shared->chaos_starts, (uint32_t)value, memory_order_relaxed);
    if (kind != CHAOS_CALM && life_state(life_of(target)) != LIFE_RUNNING)
        return kind == CHAOS_START_FAILS ? ERR_OK : ERR_UNAVAILABLE;
    uint64_t word = kind == CHAOS_CALM ? 0 : (uint64_t)kind << KIND_SHIFT | value;
    atomic_store_explicit(&target->shared->chaos, word, memory_order_release);
    rt->backend->wake(target);
    return ERR_OK;
}

enum err ctx_chaos(struct ctx *c, struct span actor, enum chaos_kind kind, uint64_t value)
{
    for (size_t i = 1; i < c->rt->actor_count; i++) {
        struct ctx *target = actor_of(c->rt, (actor_id)i);
        if (c->rt->config.classes[i] == NULL || !span_equal_text(actor, target->class->name))
            continue;
        /* Whoever turns is not woken: its next turn is to be due at once. */
        if (target == c && timers_set(&c->deadlines, c->now_ns, CHAOS_TAG) == TIMERS_NONE)
            return ERR_BUSY;
        return order(c->rt, target, kind, value);
    }
    return c->rt->config.chaos ? ERR_NOT_FOUND : ERR_DENIED;
}

bool ctx_chaos_allowed(const struct ctx *c)
{
    return c->rt->config.chaos;
}

/* ---- obeying ---- */

static void leak(struct ctx *c, uint64_t bytes, bool charge)
{
    struct chaos_leak *leak = malloc(sizeof(*leak) + bytes);
    if (leak == NULL)
        return;
    memset(leak, 0xa5, sizeof(*leak) + bytes); /* resident, as what a handler wrote and lost */
    leak->next = c->chaos_leaks;
    leak->charged = charge && c->rt->account != NULL && account_take(c->rt->account, bytes) ? bytes : 0;
    c->chaos_leaks = leak;
}

/* As if it had sent it to itself. */
static struct box_pair own_pair(const struct ctx *c)
{
    return box_pair_of(c->id, c->epoch, c->epoch);
}

/* Takes as much room as the mailbox has in all, so that what lies in it already leaves none when it is handled. */
static void fill(struct ctx *c, uint64_t ms)
{
    chaos_end_life(c); /* one that is full already is full for longer */
    if (timers_set(&c->deadlines, c->now_ns + ms * MS_NS, CHAOS_TAG) == TIMERS_NONE)
        return;
    const struct box *box = &c->shared->box;
    c->chaos_filled = box->records_max << BOX_BYTES_BITS | box->bytes_max;
    c->chaos_filled_until_ns = c->now_ns + ms * MS_NS;
    (void)box_add(&c->shared->box, own_pair(c), c->chaos_filled);
}

bool chaos_turn(struct ctx *c)
{
    uint64_t word = atomic_load_explicit(&c->shared->chaos, memory_order_acquire);
    enum chaos_kind kind = (enum chaos_kind)(word >> KIND_SHIFT);
    uint64_t value = word & ((UINT64_C(1) << KIND_SHIFT) - 1);
    if (kind != CHAOS_SLOW)
        (void)atomic_compare_exchange_strong(&c->shared->chaos, &word,
                                             0); /* else a later order has come: it is the next turn's */
    switch (kind) {
    case CHAOS_EXIT:
        ctx_exit(c, EXIT_NORMAL, "%s", "chaos: was told to end");
        return true;
    case CHAOS_FAIL:
    case CHAOS_START_FAILS:
        ctx_exit(c, EXIT_FAILED, "%s", "chaos: was told to fail");
        return true;
    case CHAOS_HANG:
        c->rt->backend->stall(c, UINT64_MAX);
        return true;
    case CHAOS_STALL:
        c->rt->backend->stall(c, value * MS_NS);
        return true;
    case CHAOS_SLOW:
        c->rt->backend->stall(c, value * MS_NS);
        break;
    case CHAOS_LEAK:
    case CHAOS_LEAK_CHARGED:
        leak(c, value, kind == CHAOS_LEAK_CHARGED);
        break;
    case CHAOS_FILL:
        fill(c, value);
        break;
    case CHAOS_NONE:
    case CHAOS_CALM:
    case CHAOS_COUNT:
        break;
    }
    return false;
}

void chaos_due(struct ctx *c)
{
    if (c->chaos_filled != 0 && c->chaos_filled_until_ns <= c->now_ns)
        chaos_end_life(c);
}

bool chaos_fails_start(struct ctx *c)
{
    uint32_t left = atomic_load_explicit(&c->shared->chaos_starts, memory_order_relaxed);
    while (left > 0 && !atomic_compare_exchange_weak(&c->shared->chaos_starts, &left, left - 1)) {
    }
    return left > 0;
}

void chaos_end_life(struct ctx *c)
{
    box_give(&c->shared->box, own_pair(c), box_records(c->chaos_filled), box_bytes(c->chaos_filled));
    c->chaos_filled = 0;
}

void chaos_release(struct ctx *c)
{
    while (c->chaos_leaks != NULL) {
        struct chaos_leak *next = c->chaos_leaks->next;
        if (c->chaos_leaks->charged > 0)
            account_give(c->rt->account, c->chaos_leaks->charged);
        free(c->chaos_leaks);
        c->chaos_leaks = next;
    }
}
