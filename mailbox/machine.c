/* SPDX-License-Identifier: MIT */
#include "mailbox/machine.h"

#include <poll.h>

#include "base/clock.h"
#include "base/random.h"
#include "mailbox/ctx.h"

enum { AWAIT_LOOK_MS = 10 };

uint64_t machine_now(const struct runtime *rt)
{
    (void)rt;
    return clock_mono_ns();
}

uint64_t machine_real_now(const struct runtime *rt)
{
    (void)rt;
    return clock_real_ns();
}

void machine_random(struct ctx *c, void *to, size_t len)
{
    (void)c;
    random_fill(to, len);
}

bool machine_await(struct runtime *rt, bool (*done)(void *arg), void *arg, uint64_t timeout_ns)
{
    uint64_t end = clock_mono_ns() + MIN(timeout_ns, UINT64_MAX / 2);
    bool is_done = done(arg); /* not under the lock: it may ask the runtime */
    while (!is_done && clock_mono_ns() < end) {
        uint64_t at = MIN(end, clock_mono_ns() + AWAIT_LOOK_MS * MS_NS);
        struct timespec until = {.tv_sec = (time_t)(at / SECOND_NS), .tv_nsec = (long)(at % SECOND_NS)};
        (void)pthread_mutex_lock(&rt->wait_lock);
        (void)pthread_cond_timedwait(&rt->wait_cond, &rt->wait_lock, &until);
        (void)pthread_mutex_unlock(&rt->wait_lock);
        is_done = done(arg);
    }
    return is_done;
}

void machine_stall(struct ctx *c, uint64_t ns)
{
    (void)c;
    if (ns == UINT64_MAX)
        for (;;)
            (void)poll(NULL, 0, -1);
    uint64_t until = clock_mono_ns() + ns;
    for (uint64_t now = clock_mono_ns(); now < until; now = clock_mono_ns())
        (void)poll(NULL, 0, (int)((until - now) / MS_NS + 1));
}

struct timespec machine_left(uint64_t wake_at_ns)
{
    uint64_t now = clock_mono_ns();
    uint64_t left = wake_at_ns <= now ? 0 : MIN(wake_at_ns - now, 3600 * SECOND_NS);
    return (struct timespec){.tv_sec = (time_t)(left / SECOND_NS), .tv_nsec = (long)(left % SECOND_NS)};
}

uint64_t machine_cpu(clockid_t clock)
{
    struct timespec used = {0};
    (void)clock_gettime(clock, &used);
    return (uint64_t)used.tv_sec * SECOND_NS + (uint64_t)used.tv_nsec;
}
