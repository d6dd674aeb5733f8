/* SPDX-License-Identifier: MIT */
#include "mailbox/pulse.h"

#include "mailbox/ctx.h"

static uint64_t bound_ns(uint32_t configured_ms, uint32_t default_ms)
{
    return (configured_ms == 0 ? default_ms : configured_ms) * MS_NS;
}

static uint64_t slow_ns(const struct ctx *root)
{
    return bound_ns(root->rt->config.slow_ms, WATCHDOG_SLOW_MS);
}

void pulse_begin(struct ctx *root)
{
    if (root->rt->backend->kill == NULL)
        return;
    root->rt->pulse_due_ns = root->now_ns + MIN(SECOND_NS, slow_ns(root) / 2);
    (void)ctx_timer(root, root->rt->pulse_due_ns, PULSE_TAG);
}

void pulse_turn(struct ctx *root)
{
    struct runtime *rt = root->rt;
    if (rt->pulse_due_ns == 0 || root->now_ns < rt->pulse_due_ns + slow_ns(root) / 2)
        return;
    rt->away_ns += root->now_ns - rt->pulse_due_ns;
    rt->pulse_due_ns = root->now_ns;
    for (size_t i = 1; i < rt->actor_count; i++)
        actor_of(rt, (actor_id)i)->asked_ns = 0;
}

uint64_t pulse_now(const struct ctx *root)
{
    return root->now_ns - root->rt->away_ns;
}

/* Word of room that it does not wait for: it turns, and finds nothing to do. */
static void ask(struct ctx *root, struct ctx *c, uint32_t epoch)
{
    struct record room = {
        .type = RECORD_ROOM, .from = ROOT_ID, .to = c->id, .from_epoch = root->epoch, .to_epoch = epoch};
    outbox_raw(root, LANE_CONTROL, &room, NULL);
    c->asked_ns = root->now_ns;
}

static bool is_frozen(struct ctx *root, struct ctx *c)
{
    uint64_t life = life_of(c);
    uint64_t beat = atomic_load_explicit(&c->shared->heartbeat_ns, memory_order_relaxed);
    bool turns = atomic_load_explicit(&c->shared->turn_since_ns, memory_order_relaxed) != 0; /* the watchdog looks */
    if (life_state(life) != LIFE_RUNNING || turns || beat >= root->now_ns) {
        c->asked_ns = 0;
        return false;
    }
    if (c->asked_ns != 0 && beat < c->asked_ns)
        return root->now_ns - c->asked_ns >= bound_ns(root->rt->config.stuck_ms, WATCHDOG_STUCK_MS);
    c->asked_ns = 0;
    if (root->now_ns - beat >= slow_ns(root))
        ask(root, c, life_epoch(life));
    return false;
}

void pulse_look(struct ctx *root, void (*give_up)(struct ctx *root, struct ctx *frozen))
{
    for (size_t i = 1; i < root->rt->actor_count; i++) {
        struct ctx *c = actor_of(root->rt, (actor_id)i);
        if (!is_frozen(root, c))
            continue;
        c->asked_ns = 0;
        give_up(root, c);
    }
    pulse_begin(root);
}
