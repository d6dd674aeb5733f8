/* SPDX-License-Identifier: MIT */
/* The multicast port of a simulated host: one link, its segment, with one address. */
#include <stdlib.h>
#include <string.h>

#include "sim/net_internal.h"

/* All simulated addresses are of 10.0.0.0/8. */
enum { PREFIX_BITS = 8, MDNS_PORT = 5353 };

static void unlist(struct sim_net *net, struct sim_datagram *d)
{
    if (d->next != NULL)
        d->next->prev = d->prev;
    if (d->prev != NULL)
        d->prev->next = d->next;
    else
        net->datagrams = d->next;
}

static void arrive(void *arg)
{
    struct sim_datagram *d = arg;
    struct multicast *m = &d->to->multicast;
    unlist(d->to->net, d);
    if (m->open && m->link == d->link) {
        struct multicast_datagram datagram = {.link = d->link, .from = d->from->ip, .bytes = d->bytes, .len = d->len};
        datagram.from.port = MDNS_PORT;
        sim_trace_u64(d->to->net->sim, (uint64_t)d->to->index << 32 | d->len);
        m->sink(m->arg, &datagram);
    }
    free(d);
}

static void send_copy(struct sim_host *from, struct sim_host *to, const void *bytes, size_t len)
{
    struct sim_net *net = from->net;
    const struct sim_link link = sim_link_now(net, from, to);
    if (from->off || to->off || link.cut || (link.connect_loss > 0 && sim_below(net->sim, 1000) < link.connect_loss))
        return;
    struct sim_datagram *d = calloc(1, sizeof(*d) + len);
    if (d == NULL)
        return;
    *d =
        (struct sim_datagram){.next = net->datagrams, .from = from, .to = to, .link = from->multicast.link, .len = len};
    memcpy(d->bytes, bytes, len);
    if (d->next != NULL)
        d->next->prev = d;
    net->datagrams = d;
    uint64_t jitter = link.jitter_ns == 0 ? 0 : sim_below(net->sim, link.jitter_ns);
    d->event = sim_schedule(net->sim, sim_now(net->sim) + link.latency_ns + jitter, arrive, d);
}

static enum err multicast_send(struct multicast *m, uint32_t link, enum net_family family, const void *bytes,
                               size_t len)
{
    const struct sim_net *net = m->host->net;
    if (link == 0 || link != m->link || family != m->host->ip.family)
        return ERR_UNREACHABLE;
    if (len > MULTICAST_BYTES_MAX)
        return ERR_TOO_LARGE;
    for (size_t i = 0; i < net->host_count; i++)
        send_copy(m->host, net->hosts[i], bytes, len);
    return ERR_OK;
}

static enum err multicast_open(void *self, multicast_sink *sink, void *arg, struct multicast **ret_multicast)
{
    struct sim_host *host = self;
    if (host->multicast.open)
        return ERR_BUSY;
    host->multicast = (struct multicast){.host = host, .sink = sink, .arg = arg, .open = true};
    *ret_multicast = &host->multicast;
    return ERR_OK;
}

static enum err multicast_join(struct multicast *m, struct multicast_addr *ret_addrs, size_t max, size_t *ret_count)
{
    m->link = m->host->segment + 1;
    *ret_count = MIN(max, 1);
    if (max > 0)
        ret_addrs[0] = (struct multicast_addr){.link = m->link, .addr = m->host->ip, .prefix_bits = PREFIX_BITS};
    return ERR_OK;
}

static size_t multicast_descriptors(const struct multicast *m, int ret_fds[MULTICAST_DESCRIPTORS_MAX])
{
    (void)m;
    (void)ret_fds;
    return 0;
}

static void multicast_receive(struct multicast *m)
{
    (void)m; /* nothing waits: arrive() hands over */
}

static void multicast_close(struct multicast *m)
{
    m->open = false;
}

void sim_multicast_init(struct sim_host *host)
{
    host->multicast_port = (struct multicast_port){.self = host,
                                                   .open = multicast_open,
                                                   .join = multicast_join,
                                                   .send = multicast_send,
                                                   .descriptors = multicast_descriptors,
                                                   .receive = multicast_receive,
                                                   .close = multicast_close};
}

void sim_multicast_release(struct sim_net *net)
{
    struct sim_datagram *d = net->datagrams;
    while (d != NULL) {
        struct sim_datagram *next = d->next;
        sim_cancel(net->sim, d->event);
        free(d);
        d = next;
    }
    net->datagrams = NULL;
}

const struct multicast_port *sim_host_multicast(struct sim_host *host)
{
    return &host->multicast_port;
}

void sim_host_set_segment(struct sim_host *host, unsigned segment)
{
    host->segment = segment;
}
