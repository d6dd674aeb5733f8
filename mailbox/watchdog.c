/* SPDX-License-Identifier: MIT */
/*
 * The watchdog: a plain thread that looks once a second (more often when its bounds are short) whether any actor's turn has begun and not ended for too long. It has no
 * mailbox and no nng, so it works when those do not. It leaves what it saw in the actor's shared part and wakes root; when root
 * itself is stuck, it ends the process.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "mailbox/crash.h"
#include "mailbox/crash_memory.h"
#include "mailbox/ctx.h"

uint64_t watchdog_age(struct watched *w, uint64_t since_ns, uint64_t due_ns, uint64_t now_ns)
{
    uint64_t late = now_ns > due_ns + WATCHDOG_LATE_MS * MS_NS ? now_ns - due_ns : 0;
    if (since_ns == 0 || now_ns < since_ns)
        return 0;
    if (w->since_ns != since_ns)
        *w = (struct watched){.since_ns = since_ns};
    /* A turn that began while we were late may have run since then. */
    w->lost_ns += since_ns <= due_ns ? late : 0;
    uint64_t age = now_ns - since_ns;
    return age - MIN(age, w->lost_ns);
}

static uint64_t turn_age(struct ctx *c, uint64_t due_ns, uint64_t now_ns)
{
    uint64_t since = atomic_load_explicit(&c->shared->turn_since_ns, memory_order_relaxed);
    uint64_t bound = atomic_load_explicit(&c->shared->turn_bound_ns, memory_order_relaxed);
    uint64_t age = watchdog_age(&c->watched, since, due_ns, now_ns);
    return age < bound ? 0 : age;
}

static bool raise_state(struct ctx *c, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(&c->shared->watch_state, &from, to);
}

static uint64_t bound_ns(uint32_t configured_ms, uint32_t default_ms)
{
    return (configured_ms == 0 ? default_ms : configured_ms) * MS_NS;
}

static void look_at(struct ctx *c, uint64_t due_ns, uint64_t now_ns)
{
    uint64_t age = turn_age(c, due_ns, now_ns);
    if (age < bound_ns(c->rt->config.slow_ms, WATCHDOG_SLOW_MS)) {
        (void)raise_state(c, WATCH_SLOW_TOLD, WATCH_FINE);
        return;
    }
    bool stuck = age >= bound_ns(c->rt->config.stuck_ms, WATCHDOG_STUCK_MS);
    if (stuck && c->id == ROOT_ID) { /* nobody is left to tell; the nanny restarts the process */
        poison_stuck(c);
        abort();
    }
    bool news = stuck ? raise_state(c, WATCH_SLOW_TOLD, WATCH_STUCK) : raise_state(c, WATCH_FINE, WATCH_SLOW);
    if (news)
        c->rt->backend->wake(&c->rt->actors[ROOT_ID]);
}

static void *watch(void *arg)
{
    struct runtime *rt = arg;
    crash_thread("watchdog", -1);
    uint64_t pause_ns = MIN(SECOND_NS, bound_ns(rt->config.slow_ms, WATCHDOG_SLOW_MS) / 2);
    (void)pthread_mutex_lock(&rt->wait_lock);
    while (!atomic_load(&rt->watchdog_stop)) {
        uint64_t at = clock_mono_ns() + pause_ns;
        struct timespec until = {.tv_sec = (time_t)(at / SECOND_NS), .tv_nsec = (long)(at % SECOND_NS)};
        (void)pthread_cond_timedwait(&rt->watchdog_cond, &rt->wait_lock, &until);
        uint64_t now_ns = clock_mono_ns();
        if (rt->config.crash != NULL)
            atomic_store_explicit(&rt->config.crash->page->alive_ns, now_ns, memory_order_relaxed);
        for (size_t i = 0; i < rt->actor_count; i++)
            look_at(&rt->actors[i], at, now_ns);
    }
    (void)pthread_mutex_unlock(&rt->wait_lock);
    return NULL;
}

enum err watchdog_start(struct runtime *rt)
{
    enum { STACK_BYTES = 64 * 1024 };
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return ERR_NOMEM;
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    rt->watchdog_runs = pthread_create(&rt->watchdog, &attr, watch, rt) == 0;
    (void)pthread_attr_destroy(&attr);
    return rt->watchdog_runs ? ERR_OK : ERR_NOMEM;
}

void watchdog_stop(struct runtime *rt)
{
    if (!rt->watchdog_runs)
        return;
    (void)pthread_mutex_lock(&rt->wait_lock);
    atomic_store(&rt->watchdog_stop, true);
    (void)pthread_cond_signal(&rt->watchdog_cond);
    (void)pthread_mutex_unlock(&rt->wait_lock);
    (void)pthread_join(rt->watchdog, NULL);
    rt->watchdog_runs = false;
}
