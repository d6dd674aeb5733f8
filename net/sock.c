/* SPDX-License-Identifier: MIT */
/*
 * TCP sockets and listeners of the reactor: the net_port.
 *
 *      connect:  CONNECTING --writable, SO_ERROR 0--> OPEN --> closed
 *      accept:   OPEN
 *
 * Readiness is libuv's level-triggered kind, which satisfies the port's edge contract. Out of descriptors (EMFILE), a pending
 * connection would wake the loop for ever: it is accepted through the reserve descriptor and closed; without one, accepting pauses.
 */
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/addr.h"
#include "net/reactor_internal.h"

struct net_sock {
    uv_poll_t poll;
    struct loop *loop;
    struct net_sock *next;
    struct net_sock *prev;
    uint64_t tag;
    int fd;
    bool connecting;
    bool closed;
    bool want_read;
    bool want_write;
};

static void emit(struct net_sock *s, struct net_event event)
{
    event.sock = s;
    event.tag = s->tag;
    s->loop->sink(s->loop->sink_arg, &event);
}

static enum err pending_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        return err_from_errno(errno);
    return error == 0 ? ERR_OK : err_from_errno(error);
}

static void remote_of(int fd, struct net_addr *ret_addr)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    if (getpeername(fd, (struct sockaddr *)&sa, &len) == 0)
        (void)addr_from_sockaddr((struct sockaddr *)&sa, ret_addr);
}

static void sock_event(uv_poll_t *handle, int status, int events);

static void arm(struct net_sock *s)
{
    int events = (s->want_read ? UV_READABLE : 0) | (s->want_write || s->connecting ? UV_WRITABLE : 0);
    if (events == 0)
        (void)uv_poll_stop(&s->poll);
    else
        (void)uv_poll_start(&s->poll, events, sock_event);
}

static void connect_ended(struct net_sock *s)
{
    enum err err = pending_error(s->fd);
    s->connecting = false;
    struct net_event event = {.kind = err == ERR_OK ? NET_CONNECTED : NET_CLOSED, .err = err};
    if (err == ERR_OK) {
        remote_of(s->fd, &event.remote);
        socket_local(s->fd, &event.local);
    } else {
        s->want_read = false;
        s->want_write = false;
    }
    arm(s);
    emit(s, event);
}

static bool has_bytes(const struct net_sock *s)
{
    uint8_t byte;
    return recv(s->fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) > 0;
}

/*
 * EPOLLERR: libuv has stopped the handle. A reset leaves what came before it: who closes at once after its last words sends one when
 * something was not read, and these words count (go-libp2p ends so what it has dialled for AutoNAT).
 */
static void broken(struct net_sock *s)
{
    enum err err = pending_error(s->fd);
    bool last_words = s->want_read && has_bytes(s);
    s->want_read = false;
    s->want_write = false;
    if (last_words)
        emit(s, (struct net_event){.kind = NET_READY, .readable = true});
    if (s->closed)
        return;
    s->want_read = false;
    s->want_write = false;
    arm(s);
    emit(s, (struct net_event){.kind = NET_CLOSED, .err = err == ERR_OK ? ERR_RESET : err});
}

static void sock_event(uv_poll_t *handle, int status, int events)
{
    struct net_sock *s = handle->data;
    if (s->connecting) {
        connect_ended(s);
        return;
    }
    if (status < 0) {
        broken(s);
        return;
    }
    emit(s, (struct net_event){
                .kind = NET_READY, .readable = (events & UV_READABLE) != 0, .writable = (events & UV_WRITABLE) != 0});
}

/* Owns fd from here on, also on failure. */
static enum err sock_new(struct loop *loop, int fd, uint64_t tag, struct net_sock **ret_sock)
{
    struct net_sock *s = calloc(1, sizeof(*s));
    if (s == NULL || uv_poll_init(&loop->uv, &s->poll, fd) != 0) {
        (void)close(fd);
        free(s);
        return ERR_NOMEM;
    }
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    s->poll.data = s;
    s->loop = loop;
    s->fd = fd;
    s->tag = tag;
    s->next = loop->socks;
    if (s->next != NULL)
        s->next->prev = s;
    loop->socks = s;
    *ret_sock = s;
    return ERR_OK;
}

static enum err net_connect(void *self, const struct net_addr *addr, uint64_t tag, struct net_sock **ret_sock)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(addr, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    if (connect(fd, (struct sockaddr *)&sa, len) != 0 && errno != EINPROGRESS) {
        enum err err = err_from_errno(errno);
        (void)close(fd);
        return err;
    }
    struct net_sock *s;
    enum err err = sock_new(self, fd, tag, &s);
    if (err != ERR_OK)
        return err;
    s->connecting = true;
    arm(s);
    *ret_sock = s;
    return ERR_OK;
}

static enum err net_read(struct net_sock *sock, const struct iovec *iov, int count, size_t *ret_bytes)
{
    ssize_t n;
    do
        n = readv(sock->fd, iov, count);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? ERR_AGAIN : err_from_errno(errno);
    *ret_bytes = (size_t)n;
    return ERR_OK;
}

static enum err net_write(struct net_sock *sock, const struct iovec *iov, int count, size_t *ret_bytes)
{
    struct msghdr msg = {.msg_iovlen = (size_t)count};
    memcpy(&msg.msg_iov, &iov, sizeof(iov)); /* the kernel does not write through it */
    ssize_t n;
    do
        n = sendmsg(sock->fd, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? ERR_AGAIN : err_from_errno(errno);
    *ret_bytes = (size_t)n;
    return ERR_OK;
}

static void net_want(struct net_sock *sock, bool readable, bool writable)
{
    if (sock->closed || (sock->want_read == readable && sock->want_write == writable))
        return;
    sock->want_read = readable;
    sock->want_write = writable;
    arm(sock);
}

static void net_set_tag(struct net_sock *sock, uint64_t tag)
{
    sock->tag = tag;
}

static void sock_freed(uv_handle_t *handle)
{
    free(handle->data);
}

static void net_close(struct net_sock *sock, bool reset)
{
    if (sock->closed)
        return;
    sock->closed = true;
    if (sock->next != NULL)
        sock->next->prev = sock->prev;
    if (sock->prev != NULL)
        sock->prev->next = sock->next;
    else
        sock->loop->socks = sock->next;
    uv_close((uv_handle_t *)&sock->poll, sock_freed); /* leaves epoll at once, so that the descriptor may go */
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    if (reset)
        (void)setsockopt(sock->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    (void)close(sock->fd);
}

/* ---- listeners ---- */

static void take_reserve(struct loop *loop)
{
    loop->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_ready(uv_poll_t *handle, int status, int events);

static void resume_accepting(uv_timer_t *timer)
{
    struct loop *loop = timer->data;
    for (size_t i = 0; i < REACTOR_LISTENERS_MAX; i++)
        if (loop->listeners[i] != NULL)
            (void)uv_poll_start(&loop->listeners[i]->poll, UV_READABLE, accept_ready);
}

/* The pending connection would wake the loop for ever. */
static void pause_accepting(struct listener *l)
{
    (void)uv_poll_stop(&l->poll);
    (void)uv_timer_start(&l->loop->accept_timer, resume_accepting, REACTOR_ACCEPT_PAUSE_MS, 0);
}

/* No descriptor is left: turn one newcomer away through the reserve, else pause. */
static void shed_accept(struct listener *l)
{
    struct loop *loop = l->loop;
    if (loop->reserve_fd >= 0) {
        (void)close(loop->reserve_fd);
        int fd = accept4(l->kept.fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            (void)close(fd);
    }
    take_reserve(loop);
    if (loop->reserve_fd < 0)
        pause_accepting(l);
}

static bool accept_one(struct listener *l)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    int fd = accept4(l->kept.fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        int error = errno;
        if (error == EMFILE || error == ENFILE)
            shed_accept(l);
        else if (error == ENOBUFS || error == ENOMEM)
            pause_accepting(l);
        return error == ECONNABORTED || error == EINTR;
    }
    struct net_sock *s;
    if (sock_new(l->loop, fd, l->tag, &s) != ERR_OK)
        return false;
    struct net_event event = {.kind = NET_ACCEPTED};
    (void)addr_from_sockaddr((struct sockaddr *)&sa, &event.remote);
    socket_local(fd, &event.local);
    emit(s, event);
    return true;
}

static void accept_ready(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    struct listener *l = handle->data;
    for (int i = 0; i < REACTOR_ACCEPTS_PER_WAKE && !l->closed; i++)
        if (!accept_one(l))
            return;
}

static enum err net_listen(void *self, const struct net_addr *addr, uint64_t tag, struct net_addr *ret_bound)
{
    struct loop *loop = self;
    size_t slot = 0;
    while (slot < REACTOR_LISTENERS_MAX && loop->listeners[slot] != NULL)
        slot++;
    if (slot == REACTOR_LISTENERS_MAX)
        return ERR_BUSY;
    struct kept_listener kept = {.fd = -1};
    enum err err = kept_listener_open(loop->reactor, addr, &kept);
    if (err != ERR_OK)
        return err;
    struct listener *l = calloc(1, sizeof(*l));
    if (l == NULL || uv_poll_init(&loop->uv, &l->poll, kept.fd) != 0) {
        kept_listener_return(loop->reactor, &kept);
        free(l);
        return ERR_NOMEM;
    }
    l->poll.data = l;
    l->loop = loop;
    l->kept = kept;
    l->tag = tag;
    loop->listeners[slot] = l;
    (void)uv_poll_start(&l->poll, UV_READABLE, accept_ready);
    *ret_bound = l->kept.bound;
    return ERR_OK;
}

static void detach_listener(struct loop *loop, size_t slot)
{
    struct listener *l = loop->listeners[slot];
    loop->listeners[slot] = NULL;
    l->closed = true;
    uv_close((uv_handle_t *)&l->poll, sock_freed);
}

static void net_close_listener(void *self, uint64_t tag)
{
    struct loop *loop = self;
    for (size_t i = 0; i < REACTOR_LISTENERS_MAX; i++) {
        if (loop->listeners[i] == NULL || loop->listeners[i]->tag != tag)
            continue;
        const struct kept_listener kept = loop->listeners[i]->kept;
        detach_listener(loop, i);
        kept_listener_close(loop->reactor, &kept);
    }
}

static size_t net_own_addrs(void *self, struct net_addr *ret_addrs, size_t max)
{
    (void)self;
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0)
        return 0;
    size_t n = 0;
    for (const struct ifaddrs *i = all; i != NULL && n < max; i = i->ifa_next) {
        if (i->ifa_addr == NULL || (i->ifa_flags & IFF_UP) == 0)
            continue;
        if (addr_from_sockaddr(i->ifa_addr, &ret_addrs[n]) == ERR_OK && ret_addrs[n].scope_id == 0)
            n++;
    }
    freeifaddrs(all);
    return n;
}

void sock_port_init(struct loop *loop)
{
    loop->net = (struct net_port){.self = loop,
                                  .listen = net_listen,
                                  .close_listener = net_close_listener,
                                  .connect = net_connect,
                                  .read = net_read,
                                  .write = net_write,
                                  .want = net_want,
                                  .set_tag = net_set_tag,
                                  .close = net_close,
                                  .own_addrs = net_own_addrs};
    take_reserve(loop);
}

void sock_close_all(struct loop *loop)
{
    struct reactor *r = loop->reactor;
    while (loop->socks != NULL)
        net_close(loop->socks, false);
    for (size_t i = 0; i < REACTOR_LISTENERS_MAX; i++) {
        struct listener *l = loop->listeners[i];
        if (l == NULL)
            continue;
        const struct kept_listener kept = l->kept;
        detach_listener(loop, i);
        kept_listener_return(r, &kept);
    }
}
