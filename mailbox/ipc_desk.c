/* SPDX-License-Identifier: MIT */
#include "mailbox/ipc_desk.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What an event is of: kind << 16 | peer << 1 | lane. */
enum event_kind { EVENT_LINK, EVENT_WAKE, EVENT_CHILD };

static uint64_t event_of(enum event_kind kind, actor_id peer, enum lane lane)
{
    return (uint64_t)kind << 16 | (uint64_t)peer << 1 | lane;
}

static uint64_t bit(actor_id peer)
{
    return UINT64_C(1) << peer;
}

static struct ipc_link *link_to(const struct ipc_desk *desk, actor_id peer, enum lane lane)
{
    return &desk->links[(size_t)peer * LANE_COUNT + lane];
}

static enum err watch(const struct ipc_desk *desk, int operation, int fd, uint32_t events, uint64_t what)
{
    struct epoll_event event = {.events = events, .data = {.u64 = what}};
    return epoll_ctl(desk->epoll_fd, operation, fd, &event) == 0 ? ERR_OK : err_from_errno(errno);
}

enum err desk_open(struct ipc_desk *desk, struct ctx *actor, const int *fds)
{
    size_t count = actor->rt->actor_count;
    *desk = (struct ipc_desk){.actor = actor, .epoll_fd = -1, .wake_fd = -1};
    desk->links = calloc(count * LANE_COUNT, sizeof(*desk->links));
    desk->scratch = malloc(LINK_HEAD_BYTES + LINK_FRAGMENT_BYTES);
    if (desk->links == NULL || desk->scratch == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count * LANE_COUNT; i++)
        desk->links[i] =
            (struct ipc_link){.fd = fds[i], .peer = (actor_id)(i / LANE_COUNT), .lane = (enum lane)(i % LANE_COUNT)};
    desk->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    desk->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (desk->epoll_fd < 0 || desk->wake_fd < 0)
        return err_from_errno(errno);
    enum err err = watch(desk, EPOLL_CTL_ADD, desk->wake_fd, EPOLLIN, event_of(EVENT_WAKE, 0, 0));
    for (size_t i = 0; i < count * LANE_COUNT && err == ERR_OK; i++) {
        const struct ipc_link *link = &desk->links[i];
        if (link->fd >= 0)
            err = watch(desk, EPOLL_CTL_ADD, link->fd, EPOLLIN, event_of(EVENT_LINK, link->peer, link->lane));
    }
    return err;
}

void desk_close(struct ipc_desk *desk)
{
    if (desk->actor == NULL)
        return;
    for (size_t i = 0; desk->links != NULL && i < desk->actor->rt->actor_count * LANE_COUNT; i++)
        link_release(desk->actor, &desk->links[i]);
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        if (desk->own[lane] != NULL)
            delivery_discard(desk->actor, desk->own[lane]);
    }
    free(desk->links);
    free(desk->scratch);
    if (desk->epoll_fd >= 0)
        (void)close(desk->epoll_fd);
    if (desk->wake_fd >= 0)
        (void)close(desk->wake_fd);
    *desk = (struct ipc_desk){.epoll_fd = -1, .wake_fd = -1};
}

enum err desk_send(struct ipc_desk *desk, actor_id to, enum lane lane, struct batch **batch)
{
    if (to == desk->actor->id) {
        if (desk->own[lane] != NULL)
            return ERR_AGAIN;
        desk->own[lane] = *batch;
        *batch = NULL;
        return ERR_OK;
    }
    struct ipc_link *link = link_to(desk, to, lane);
    if (link->fd < 0) { /* nobody has that place */
        delivery_discard(actor_of(desk->actor->rt, to), *batch);
        *batch = NULL;
        return ERR_OK;
    }
    return link_send(desk->actor, link, batch);
}

/* The next peer from `from` on whose bit is set. */
static actor_id next_peer(uint64_t mask, uint32_t from)
{
    uint64_t behind = mask & ~(bit((actor_id)from) - 1);
    return (actor_id)__builtin_ctzll(behind != 0 ? behind : mask);
}

enum err desk_receive(struct ipc_desk *desk, enum lane lane, struct batch **ret_batch, actor_id *ret_bad)
{
    if (desk->own[lane] != NULL) {
        *ret_batch = desk->own[lane];
        desk->own[lane] = NULL;
        return ERR_OK;
    }
    while (desk->readable[lane] != 0) {
        actor_id peer = next_peer(desk->readable[lane], desk->next[lane]);
        bool more = false;
        enum err err = link_receive(desk->actor, link_to(desk, peer, lane), desk->scratch, ret_batch, &more);
        desk->next[lane] = (peer + 1U) % BOX_SENDERS_MAX;
        if (err == ERR_OK)
            return ERR_OK;
        desk->readable[lane] &= ~bit(peer); /* epoll says it again when there is more */
        if (err == ERR_PROTOCOL) {          /* whoever sends such things without end is read no more in this turn */
            *ret_bad = peer;
            return ERR_PROTOCOL;
        }
    }
    return ERR_AGAIN;
}

bool desk_has_own(const struct ipc_desk *desk)
{
    return desk->own[LANE_CONTROL] != NULL || desk->own[LANE_DATA] != NULL;
}

void desk_wake(struct ipc_desk *desk)
{
    uint64_t one = 1;
    if (!atomic_exchange(&desk->wake_pending, true))
        (void)!write(desk->wake_fd, &one, sizeof(one));
}

void desk_arm(struct ipc_desk *desk)
{
    for (size_t i = 0; i < desk->actor->rt->actor_count * LANE_COUNT; i++) {
        const struct ipc_link *link = &desk->links[i];
        bool armed = (desk->sending[link->lane] & bit(link->peer)) != 0;
        if (link->fd < 0 || link_is_sending(link) == armed)
            continue;
        if (watch(desk, EPOLL_CTL_MOD, link->fd, armed ? EPOLLIN : EPOLLIN | EPOLLOUT,
                  event_of(EVENT_LINK, link->peer, link->lane)) == ERR_OK)
            desk->sending[link->lane] ^= bit(link->peer);
    }
}

static void take_wake(struct ipc_desk *desk)
{
    uint64_t count;
    (void)!read(desk->wake_fd, &count, sizeof(count));
    /* An exchange, so that what a waker wrote before it found the flag set is seen by the turn that follows. */
    (void)atomic_exchange(&desk->wake_pending, false);
}

static void take_event(struct ipc_desk *desk, const struct epoll_event *event)
{
    uint64_t what = event->data.u64;
    actor_id peer = (actor_id)(what >> 1 & 0x7fff);
    enum lane lane = (enum lane)(what & 1);
    switch ((enum event_kind)(what >> 16)) {
    case EVENT_LINK:
        if ((event->events & EPOLLOUT) != 0)
            link_push(desk->actor, link_to(desk, peer, lane));
        if ((event->events & EPOLLIN) != 0)
            desk->readable[lane] |= bit(peer);
        break;
    case EVENT_WAKE:
        take_wake(desk);
        break;
    case EVENT_CHILD: /* what it said last comes first */
        desk->ended |= bit(peer);
        desk->readable[LANE_CONTROL] |= bit(peer);
        desk->readable[LANE_DATA] |= bit(peer);
        break;
    }
}

void desk_look(struct ipc_desk *desk)
{
    enum { EVENTS = 64 };
    struct epoll_event events[EVENTS];
    int count = epoll_wait(desk->epoll_fd, events, EVENTS, 0);
    for (int i = 0; i < count; i++)
        take_event(desk, &events[i]);
}

enum err desk_watch_child(struct ipc_desk *desk, actor_id who, int pidfd)
{
    return watch(desk, EPOLL_CTL_ADD, pidfd, EPOLLIN, event_of(EVENT_CHILD, who, LANE_CONTROL));
}

void desk_settle(struct ipc_desk *desk, int timeout_ms)
{
    for (int i = 0; i < timeout_ms; i++) {
        bool flushed = outbox_flush(desk->actor);
        for (size_t k = 0; k < desk->actor->rt->actor_count * LANE_COUNT; k++) {
            link_push(desk->actor, &desk->links[k]);
            flushed = flushed && !link_is_sending(&desk->links[k]);
        }
        if (flushed)
            return;
        (void)poll(NULL, 0, 1);
    }
}
