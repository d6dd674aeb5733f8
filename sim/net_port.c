/* SPDX-License-Identifier: MIT */
/* The net port of a simulated host. */
#include <string.h>

#include "sim/net_internal.h"

static enum err net_listen(void *self, const struct net_addr *addr, uint64_t tag, struct net_addr *ret_bound)
{
    struct sim_host *host = ((struct loop *)self)->host;
    uint16_t port = addr->port;
    for (size_t i = 0; i < SIM_LISTENERS_MAX && port == 0; i++)
        if (!host->listeners[i].used && host->listeners[i].any)
            port = host->listeners[i].port;
    while (port == 0) {
        uint16_t candidate = host->next_port++;
        port = candidate != 0 && sim_listener_at(host, candidate) == NULL ? candidate : 0;
    }
    if (sim_listener_at(host, port) != NULL)
        return ERR_EXISTS;
    for (size_t i = 0; i < SIM_LISTENERS_MAX; i++) {
        if (host->listeners[i].used || (host->listeners[i].any && host->listeners[i].port != port))
            continue;
        host->listeners[i] = (struct sim_listener){.used = true, .tag = tag, .port = port, .any = addr->port == 0};
        *ret_bound = *addr;
        ret_bound->port = port;
        return ERR_OK;
    }
    return ERR_BUSY;
}

static void net_close_listener(void *self, uint64_t tag)
{
    struct sim_host *host = ((struct loop *)self)->host;
    for (size_t i = 0; i < SIM_LISTENERS_MAX; i++)
        if (host->listeners[i].used && host->listeners[i].tag == tag)
            host->listeners[i].used = false;
}

static enum err net_connect(void *self, const struct net_addr *addr, uint64_t tag, struct net_sock **ret_sock)
{
    struct sim_host *host = ((struct loop *)self)->host;
    struct sim_host *to = sim_host_at(host->net, addr);
    if (to == NULL)
        return ERR_UNREACHABLE;
    struct net_sock *s = sim_sock_new(host, tag, to, 0);
    if (s == NULL)
        return ERR_NOMEM;
    s->connecting = true;
    host->traffic.dials++;
    s->remote = *addr;
    s->local = host->ip;
    s->local.port = (uint16_t)(SIM_PORT_FIRST + s->number % SIM_PORT_FIRST);
    uint32_t loss = sim_link_now(host->net, host, to).connect_loss;
    if (loss == 0 || sim_below(host->net->sim, 1000) >= loss)
        (void)sim_pipe_send(s->out, SEG_SYN, NULL, 0, 0);
    else
        host->traffic.dials_lost++;
    *ret_sock = s;
    return ERR_OK;
}

static enum err net_read(struct net_sock *s, const struct iovec *iov, int count, size_t *ret_bytes)
{
    if (s->reset_in)
        return ERR_RESET;
    size_t total = 0;
    for (int i = 0; i < count && sim_sock_readable(s) > 0; i++) {
        size_t n = MIN(iov[i].iov_len, sim_sock_readable(s));
        memcpy(iov[i].iov_base, s->in.data + s->in_read, n);
        s->in_read += n;
        total += n;
    }
    if (total == 0 && !s->fin_in)
        return ERR_AGAIN;
    if (s->in_read == s->in.len) {
        size_t max = s->in.max;
        buf_release(&s->in); /* most sockets of a swarm are idle */
        buf_init(&s->in, max, NULL);
        s->in_read = 0;
    }
    if (total > 0)
        (void)sim_pipe_send(s->out, SEG_ROOM, NULL, 0, total);
    *ret_bytes = total;
    return ERR_OK;
}

static enum err net_write(struct net_sock *s, const struct iovec *iov, int count, size_t *ret_bytes)
{
    if (s->reset_in)
        return ERR_RESET;
    if (s->connecting)
        return ERR_AGAIN;
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    total = MIN(total, sim_sock_room(s));
    if (total == 0)
        return ERR_AGAIN;
    s->out->to = s->peer;
    if (!sim_pipe_send(s->out, SEG_DATA, iov, count, total))
        return ERR_NOMEM;
    s->unread_out += total;
    s->host->traffic.bytes_out += total;
    *ret_bytes = total;
    return ERR_OK;
}

static void net_want(struct net_sock *s, bool readable, bool writable)
{
    s->want_read = readable;
    s->want_write = writable;
    if (!s->connecting && ((readable && (sim_sock_readable(s) > 0 || s->fin_in)) || (writable && sim_sock_room(s) > 0)))
        sim_sock_notify(s);
}

static void net_set_tag(struct net_sock *s, uint64_t tag)
{
    s->tag = tag;
}

void sim_sock_close(struct net_sock *s, bool reset)
{
    bool unread = sim_sock_readable(s) > 0; /* TCP resets what closes with bytes unread */
    s->out->to = s->peer;
    if (!s->reset_in && !s->connecting)
        (void)sim_pipe_send(s->out, reset || unread ? SEG_RST : SEG_FIN, NULL, 0, 0);
    sim_sock_free(s);
}

static size_t net_own_addrs(void *self, struct net_addr *ret_addrs, size_t max)
{
    if (max == 0)
        return 0;
    ret_addrs[0] = ((struct loop *)self)->host->own;
    return 1;
}

void sim_port_init(struct loop *loop)
{
    loop->net = (struct net_port){.self = loop,
                                  .listen = net_listen,
                                  .close_listener = net_close_listener,
                                  .connect = net_connect,
                                  .read = net_read,
                                  .write = net_write,
                                  .want = net_want,
                                  .set_tag = net_set_tag,
                                  .close = sim_sock_close,
                                  .own_addrs = net_own_addrs};
}
