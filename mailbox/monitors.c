/* SPDX-License-Identifier: MIT */
/*
 * What an actor hears of other actors' lives, in their order.
 *
 * Root tells each end and each beginning, but what a monitored actor says comes another way and may be here first: before anything is heard of
 * a life, its beginning is told, and before that the end of the last one. Root's own word of it is old news then.
 */
#include "mailbox/ctx.h"

void monitor_down(struct ctx *c, actor_id who, uint32_t epoch, enum exit_reason reason)
{
    struct peer_out *peer = &c->peers[who];
    uint64_t news = (uint64_t)epoch * 2 + 1;
    if (!peer->monitored || news > peer->told) /* else what waits is for the next life */
        outbox_forget(c, who);
    for (uint32_t i = 0; i < c->calls.cap; i++) {
        struct call *call = calls_at(&c->calls, i);
        if (call != NULL && call->to == who && call->to_epoch == epoch)
            delivery_end_call(c, call, ERR_UNAVAILABLE, WENT_DOWN_TEXT, false);
    }
    delivery_room(c, who); /* whoever waits for room tries again and learns that it is down */
    if (!peer->monitored || news <= peer->told)
        return;
    peer->told = news;
    peer->owes_down = false;
    delivery_tell(c, &(struct info){.kind = INFO_DOWN, .actor = who, .reason = reason, .text = ""});
}

void monitor_up(struct ctx *c, actor_id who, uint32_t epoch)
{
    struct peer_out *peer = &c->peers[who];
    uint64_t news = (uint64_t)epoch * 2;
    if (!peer->monitored || news <= peer->told)
        return;
    peer->told = news;
    peer->owes_down = true;
    delivery_tell(c, &(struct info){.kind = INFO_UP, .actor = who});
}

void monitor_hears(struct ctx *c, actor_id who, uint32_t epoch)
{
    const struct peer_out *peer = &c->peers[who];
    if (!peer->monitored || peer->told >= (uint64_t)epoch * 2)
        return;
    if (peer->owes_down && peer->told + 1 < (uint64_t)epoch * 2) {
        uint32_t last = atomic_load_explicit(&actor_of(c->rt, who)->shared->last_exit, memory_order_relaxed);
        monitor_down(c, who, epoch - 1, last == 0 ? EXIT_FAILED : (enum exit_reason)(last - 1));
    }
    monitor_up(c, who, epoch);
}
