/* SPDX-License-Identifier: MIT */
/* Hosts and links. Sockets are numbers in one table. */
#include "sim/net.h"

#include <stdlib.h>
#include <string.h>

#include "sim/net_internal.h"

/* Those with a life of their own; a swarm's other links are computed. */
enum { LINKS_MAX = 1024 * 1024 };

struct sim_link sim_link_default(void)
{
    return (struct sim_link){
        .latency_ns = MS_NS, .bytes_per_second = 100 * 1000 * 1000, .buffer_bytes = SIM_BUFFER_DEFAULT};
}

static uint64_t link_key(const struct sim_host *from, const struct sim_host *to)
{
    return (uint64_t)from->index << 32 | to->index;
}

static struct sim_link natural_link(const struct sim_net *net, const struct sim_host *from, const struct sim_host *to)
{
    struct sim_link link = sim_link_default();
    if (net->latency != NULL)
        link.latency_ns = net->latency(net->latency_arg, from->index, to->index);
    if (net->change != NULL)
        net->change(net->change_arg, from->index, to->index, &link);
    return link;
}

struct sim_link sim_link_now(const struct sim_net *net, const struct sim_host *from, const struct sim_host *to)
{
    uint64_t key = link_key(from, to);
    const struct sim_link *own = table_len(&net->links) == 0 ? NULL : table_get(&net->links, table_key_u64(&key));
    return own == NULL ? natural_link(net, from, to) : *own;
}

struct sim_link *sim_net_link(struct sim_net *net, const struct sim_host *from, const struct sim_host *to)
{
    uint64_t key = link_key(from, to);
    struct sim_link *own = table_get(&net->links, table_key_u64(&key));
    if (own != NULL)
        return own;
    own = malloc(sizeof(*own));
    if (own == NULL || table_put(&net->links, table_key_u64(&key), own, NULL) != ERR_OK)
        abort();
    *own = natural_link(net, from, to);
    return own;
}

void sim_net_set_latency(struct sim_net *net, sim_latency_fn *fn, void *arg)
{
    net->latency = fn;
    net->latency_arg = arg;
}

void sim_net_set_links(struct sim_net *net, sim_link_fn *fn, void *arg)
{
    net->change = fn;
    net->change_arg = arg;
}

static const struct net_port *loop_net(struct loop *loop)
{
    return &loop->net;
}

static void close_sockets(struct sim_host *host, bool silently)
{
    while (host->first != NULL) {
        if (silently)
            sim_sock_free(host->first);
        else
            sim_sock_close(host->first, false);
    }
}

static enum err loop_open(void *self, net_sink *sink, void *arg, struct loop **ret_loop)
{
    struct sim_host *host = self;
    if (host->open)
        return ERR_BUSY;
    host->open = true;
    host->loop = (struct loop){.host = host, .sink = sink, .sink_arg = arg};
    sim_port_init(&host->loop);
    *ret_loop = &host->loop;
    return ERR_OK;
}

static void loop_close(struct loop *loop)
{
    close_sockets(loop->host, false);
    for (size_t i = 0; i < SIM_LISTENERS_MAX; i++)
        loop->host->listeners[i].used = false;
    loop->host->open = false;
}

struct sim_net *sim_net_new(struct sim *sim)
{
    struct sim_net *net = calloc(1, sizeof(*net));
    if (net == NULL)
        return NULL;
    net->sim = sim;
    table_init(&net->by_ip, SIM_HOSTS_MAX, NULL);
    table_init(&net->links, LINKS_MAX, NULL);
    return net;
}

void sim_net_free(struct sim_net *net)
{
    if (net == NULL)
        return;
    for (size_t i = 0; i < net->host_count; i++)
        close_sockets(net->hosts[i], true);
    for (size_t i = 0; i < net->host_count; i++)
        free(net->hosts[i]);
    sim_multicast_release(net);
    while (net->pipes != NULL)
        sim_pipe_free(net->pipes);
    size_t position = 0;
    struct sim_link *link;
    while ((link = table_next(&net->links, &position, NULL)) != NULL)
        free(link);
    table_release(&net->links);
    table_release(&net->by_ip);
    free(net->slots);
    free(net->hosts);
    free(net);
}

struct ip_key {
    uint8_t family;
    uint8_t ip[sizeof(((struct net_addr *)0)->ip)];
};

static struct ip_key ip_key_of(const struct net_addr *addr)
{
    struct ip_key key = {.family = (uint8_t)addr->family};
    memcpy(key.ip, addr->ip, sizeof(key.ip));
    return key;
}

struct sim_host *sim_host_at(const struct sim_net *net, const struct net_addr *addr)
{
    struct ip_key key = ip_key_of(addr);
    return table_get(&net->by_ip, span_of(&key, sizeof(key)));
}

static bool make_room(struct sim_net *net)
{
    if (net->host_count < net->host_cap)
        return true;
    size_t cap = net->host_cap == 0 ? 64 : net->host_cap * 2;
    struct sim_host **hosts = realloc(net->hosts, cap * sizeof(struct sim_host *));
    if (hosts == NULL)
        return false;
    net->hosts = hosts;
    net->host_cap = cap;
    return true;
}

struct sim_host *sim_net_add_host(struct sim_net *net, const struct net_addr *ip)
{
    if (net->host_count == SIM_HOSTS_MAX || sim_host_at(net, ip) != NULL || !make_room(net))
        return NULL;
    struct ip_key key = ip_key_of(ip);
    struct sim_host *host = calloc(1, sizeof(*host));
    if (host == NULL || table_put(&net->by_ip, span_of(&key, sizeof(key)), host, NULL) != ERR_OK) {
        free(host);
        return NULL;
    }
    host->net = net;
    host->index = (unsigned)net->host_count;
    host->ip = host->own = *ip;
    host->next_port = SIM_PORT_FIRST;
    host->port = (struct loop_port){.self = host, .open = loop_open, .net = loop_net, .close = loop_close};
    sim_multicast_init(host);
    net->hosts[net->host_count++] = host;
    return host;
}

struct net_addr sim_net_ip(unsigned n)
{
    return (struct net_addr){.family = NET_IP4, .ip = {10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)(n & 0xff)}};
}

const struct loop_port *sim_host_loop(struct sim_host *host)
{
    return &host->port;
}

void sim_net_partition(struct sim_net *net, const struct sim_host *a, const struct sim_host *b, bool cut)
{
    sim_net_link(net, a, b)->cut = cut;
    sim_net_link(net, b, a)->cut = cut;
}

static void reset_one(struct net_sock *s)
{
    if (s->connecting)
        return;
    s->reset_in = true;
    sim_sock_notify(s);
}

static void forget_one(struct net_sock *s)
{
    s->out->lost = true;
}

static void each_between(struct sim_net *net, const struct sim_host *a, const struct sim_host *b,
                         void (*each)(struct net_sock *s))
{
    for (size_t i = 0; i < net->slot_count; i++) {
        struct net_sock *s = net->slots[i].sock;
        if (s != NULL && ((s->host == a && s->out->dst == b) || (s->host == b && s->out->dst == a)))
            each(s);
    }
}

void sim_net_reset(struct sim_net *net, const struct sim_host *a, const struct sim_host *b)
{
    each_between(net, a, b, reset_one);
}

void sim_net_forget(struct sim_net *net, const struct sim_host *a, const struct sim_host *b)
{
    each_between(net, a, b, forget_one);
}

void sim_host_stall(struct sim_host *host, uint64_t until_ns)
{
    host->stalled_until_ns = until_ns;
}

void sim_host_rename(struct sim_host *host, const struct net_addr *ip)
{
    host->own = *ip;
}

void sim_host_vanish(struct sim_host *host)
{
    close_sockets(host, true);
    host->multicast.link = 0;
    memset(host->listeners, 0, sizeof(host->listeners));
}

void sim_host_set_power(struct sim_host *host, bool on)
{
    host->off = !on;
}

struct sim_traffic sim_host_traffic(const struct sim_host *host)
{
    return host->traffic;
}

size_t sim_host_sockets(const struct sim_host *host)
{
    return host->sockets;
}
