/* SPDX-License-Identifier: MIT */
/*
 * The loop: life cycle, the turn before each wait, the wake timer, watched descriptors. Sockets are in sock.c.
 *
 * Handles are freed in libuv's close callbacks only, so a sink may close any socket, the reported one too, from inside an event;
 * reactor_close runs the loop until the last callback is through.
 */
#include "net/reactor.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/reactor_internal.h"

static void watch_ready(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    struct watch *w = handle->data;
    w->ready(w->arg);
}

static enum err loop_watch(struct loop *loop, int fd, void (*ready)(void *arg), void *arg)
{
    if (loop->watch_count == REACTOR_WATCHES_MAX)
        return ERR_BUSY;
    struct watch *w = &loop->watches[loop->watch_count];
    *w = (struct watch){.ready = ready, .arg = arg};
    if (uv_poll_init(&loop->uv, &w->poll, fd) != 0)
        return ERR_IO;
    w->poll.data = w;
    loop->watch_count++;
    return uv_poll_start(&w->poll, UV_READABLE, watch_ready) == 0 ? ERR_OK : ERR_IO;
}

static void wake(uv_timer_t *handle)
{
    (void)handle; /* waking up was all: the next prepare runs the turn */
}

static void set_wake(struct loop *loop, uint64_t wake_at_ns)
{
    if (wake_at_ns == UINT64_MAX) {
        (void)uv_timer_stop(&loop->timer);
        return;
    }
    uint64_t now = clock_mono_ns();
    uint64_t left_ms = wake_at_ns <= now ? 0 : (wake_at_ns - now + MS_NS - 1) / MS_NS;
    uv_update_time(&loop->uv);
    (void)uv_timer_start(&loop->timer, wake, left_ms, 0);
}

static void before_wait(uv_prepare_t *handle)
{
    struct loop *loop = handle->data;
    uint64_t wake_at_ns = UINT64_MAX;
    if (!loop->turn(loop->turn_arg, &wake_at_ns)) {
        uv_stop(&loop->uv);
        wake_at_ns = 0;
    }
    set_wake(loop, wake_at_ns);
}

static void loop_run(struct loop *loop, bool (*turn)(void *arg, uint64_t *ret_wake_at_ns), void *arg)
{
    loop->turn = turn;
    loop->turn_arg = arg;
    (void)uv_prepare_start(&loop->prepare, before_wait);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    (void)uv_prepare_stop(&loop->prepare);
}

static const struct net_port *loop_net(struct loop *loop)
{
    return &loop->net;
}

static void loop_close(struct loop *loop)
{
    struct reactor *r = loop->reactor;
    sock_close_all(loop);
    for (size_t i = 0; i < loop->watch_count; i++)
        uv_close((uv_handle_t *)&loop->watches[i].poll, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->timer, NULL);
    uv_close((uv_handle_t *)&loop->accept_timer, NULL);
    while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0)
        continue;
    int closed = uv_loop_close(&loop->uv);
    assert(closed == 0);
    (void)closed;
    if (loop->reserve_fd >= 0)
        (void)close(loop->reserve_fd);
    free(loop);
    r->loop = NULL;
}

static void loop_keep_in(void *self, const struct keep_port *keep)
{
    ((struct reactor *)self)->keep = keep;
}

static enum err loop_open(void *self, net_sink *sink, void *arg, struct loop **ret_loop)
{
    struct reactor *r = self;
    if (r->loop != NULL)
        return ERR_BUSY;
    struct loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return ERR_NOMEM;
    if (uv_loop_init(&loop->uv) != 0) {
        free(loop);
        return ERR_IO;
    }
    loop->reactor = r;
    loop->sink = sink;
    loop->sink_arg = arg;
    (void)uv_prepare_init(&loop->uv, &loop->prepare);
    (void)uv_timer_init(&loop->uv, &loop->timer);
    (void)uv_timer_init(&loop->uv, &loop->accept_timer);
    loop->prepare.data = loop;
    loop->accept_timer.data = loop;
    sock_port_init(loop);
    r->loop = loop;
    *ret_loop = loop;
    return ERR_OK;
}

struct reactor *reactor_new(void)
{
    struct reactor *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    r->port = (struct loop_port){.self = r,
                                 .keep_in = loop_keep_in,
                                 .open = loop_open,
                                 .watch = loop_watch,
                                 .run = loop_run,
                                 .net = loop_net,
                                 .close = loop_close};
    return r;
}

void reactor_free(struct reactor *reactor)
{
    if (reactor == NULL)
        return;
    assert(reactor->loop == NULL);
    for (size_t i = 0; i < reactor->kept_count; i++)
        (void)close(reactor->kept[i].fd);
    free(reactor);
}

const struct loop_port *reactor_port(struct reactor *reactor)
{
    return &reactor->port;
}
