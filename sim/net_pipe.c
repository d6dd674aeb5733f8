/* SPDX-License-Identifier: MIT */
/*
 * What travels between sockets, and what arriving does. A pipe is what one socket has on its way to the other; it outlives its
 * sender, so that last bytes and the FIN arrive.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/net_internal.h"

enum { SLOT_MASK = (1 << SIM_SLOT_BITS) - 1, SLOTS_FIRST_CAP = 256 };

struct net_sock *sim_sock_by(const struct sim_net *net, uint64_t number)
{
    const struct sock_slot *slot = &net->slots[number & SLOT_MASK]; /* every number was given out */
    return slot->sock != NULL && slot->sock->number == number ? slot->sock : NULL;
}

/* Gives the socket a number. False without memory, or when there are too many. */
static bool take_slot(struct sim_net *net, struct net_sock *s)
{
    if (net->free_slot == 0 && net->slot_count == net->slot_cap) {
        size_t cap = net->slot_cap == 0 ? SLOTS_FIRST_CAP : net->slot_cap * 2;
        struct sock_slot *slots = cap > SLOT_MASK ? NULL : realloc(net->slots, cap * sizeof(*slots));
        if (slots == NULL)
            return false;
        net->slots = slots;
        net->slot_cap = cap;
    }
    if (net->free_slot == 0) {
        net->slots[net->slot_count] = (struct sock_slot){0};
        net->free_slot = (uint32_t)++net->slot_count;
    }
    struct sock_slot *slot = &net->slots[net->free_slot - 1];
    s->number = ++slot->taken << SIM_SLOT_BITS | (net->free_slot - 1);
    net->free_slot = slot->next_free;
    slot->sock = s;
    return true;
}

static void give_slot(struct sim_net *net, const struct net_sock *s)
{
    struct sock_slot *slot = &net->slots[s->number & SLOT_MASK];
    slot->sock = NULL;
    slot->next_free = net->free_slot;
    net->free_slot = (uint32_t)(s->number & SLOT_MASK) + 1;
}

/* ---- readiness ---- */

static void emit(struct net_sock *s, struct net_event event)
{
    event.sock = s;
    event.tag = s->tag;
    event.remote = s->remote;
    event.local = s->local;
    struct loop *loop = &s->host->loop;
    sim_trace_u64(s->host->net->sim, s->number * 8 + (uint64_t)event.kind);
    if (s->host->open)
        loop->sink(loop->sink_arg, &event);
}

size_t sim_sock_readable(const struct net_sock *s)
{
    return s->in.len - s->in_read;
}

size_t sim_sock_room(const struct net_sock *s)
{
    size_t buffer = sim_link_now(s->host->net, s->host, s->out->dst).buffer_bytes;
    return buffer > s->unread_out ? buffer - s->unread_out : 0;
}

static void notify_now(void *arg)
{
    struct net_sock *s = arg;
    s->notify = 0;
    if (s->dead || s->connecting)
        return;
    struct sim *sim = s->host->net->sim;
    if (s->host->stalled_until_ns > sim_now(sim)) {
        s->notify = sim_schedule_ordered(sim, s->host->stalled_until_ns, s->number, notify_now, s);
        return;
    }
    if (s->reset_in) {
        s->dead = true;
        emit(s, (struct net_event){.kind = NET_CLOSED, .err = ERR_RESET});
        return;
    }
    bool readable = s->want_read && (sim_sock_readable(s) > 0 || s->fin_in);
    bool writable = s->want_write && sim_sock_room(s) > 0;
    if (readable || writable)
        emit(s, (struct net_event){.kind = NET_READY, .readable = readable, .writable = writable});
}

void sim_sock_notify(struct net_sock *s)
{
    struct sim *sim = s->host->net->sim;
    if (s->notify == 0)
        s->notify = sim_schedule_ordered(sim, sim_now(sim), s->number, notify_now, s);
}

/* ---- segments ---- */

static void pipe_pump(void *arg);

static void pipe_schedule(struct pipe *p, uint64_t at_ns)
{
    if (p->event == 0)
        p->event = sim_schedule_ordered(p->net->sim, at_ns, p->from, pipe_pump, p);
}

static struct pipe *pipe_new(struct sim_net *net, uint64_t from, uint64_t to, struct sim_host *src,
                             struct sim_host *dst)
{
    struct pipe *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    *p = (struct pipe){.net = net, .from = from, .to = to, .src = src, .dst = dst};
    p->last = &p->first;
    p->next = net->pipes;
    if (p->next != NULL)
        p->next->prev = p;
    net->pipes = p;
    return p;
}

void sim_pipe_free(struct pipe *p)
{
    if (p->next != NULL)
        p->next->prev = p->prev;
    if (p->prev != NULL)
        p->prev->next = p->next;
    else
        p->net->pipes = p->next;
    if (p->event != 0)
        sim_cancel(p->net->sim, p->event);
    while (p->first != NULL) {
        struct segment *s = p->first;
        p->first = s->next;
        free(s);
    }
    free(p);
}

/* Queues a segment behind what is on its way; wire bytes take their time on the link. False without memory. */
bool sim_pipe_send(struct pipe *p, enum segment_kind kind, const struct iovec *iov, int count, size_t bytes)
{
    size_t len = kind == SEG_DATA ? bytes : 0;
    if (p->src->off || p->lost)
        return true; /* nobody there can hear that it was not sent */
    struct segment *s = malloc(sizeof(*s) + len);
    if (s == NULL)
        return false;
    *s = (struct segment){.kind = kind, .bytes = bytes, .len = len};
    size_t at = 0;
    for (int i = 0; i < count && at < len; i++) {
        size_t n = MIN(iov[i].iov_len, len - at);
        memcpy(s->data + at, iov[i].iov_base, n);
        at += n;
    }
    const struct sim_link link = sim_link_now(p->net, p->src, p->dst);
    uint64_t now = sim_now(p->net->sim);
    uint64_t delay = link.latency_ns + (link.jitter_ns == 0 ? 0 : sim_below(p->net->sim, link.jitter_ns));
    uint64_t wire = link.bytes_per_second == 0 ? 0 : len * SECOND_NS / link.bytes_per_second;
    s->at_ns = MAX(now + delay, p->last_at_ns) + wire;
    p->last_at_ns = s->at_ns;
    *p->last = s;
    p->last = &s->next;
    pipe_schedule(p, p->first->at_ns);
    return true;
}

struct net_sock *sim_sock_new(struct sim_host *host, uint64_t tag, struct sim_host *to, uint64_t peer)
{
    struct sim_net *net = host->net;
    struct net_sock *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    if (!take_slot(net, s)) {
        free(s);
        return NULL;
    }
    s->peer = peer;
    s->tag = tag;
    s->host = host;
    s->out = pipe_new(net, s->number, peer, host, to);
    if (s->out == NULL) {
        give_slot(net, s);
        free(s);
        return NULL;
    }
    s->next = host->first;
    if (s->next != NULL)
        s->next->prev = s;
    host->first = s;
    buf_init(&s->in, 64 * MIB, NULL);
    host->sockets++;
    return s;
}

void sim_sock_free(struct net_sock *s)
{
    struct sim_net *net = s->host->net;
    if (s->notify != 0)
        sim_cancel(net->sim, s->notify);
    give_slot(net, s);
    if (s->next != NULL)
        s->next->prev = s->prev;
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        s->host->first = s->next;
    s->host->sockets--;
    if (s->out->first == NULL)
        sim_pipe_free(s->out);
    else
        s->out->orphan = true;
    buf_release(&s->in);
    free(s);
}

struct sim_listener *sim_listener_at(struct sim_host *host, uint16_t port)
{
    for (size_t i = 0; i < SIM_LISTENERS_MAX; i++)
        if (host->listeners[i].used && host->listeners[i].port == port)
            return &host->listeners[i];
    return NULL;
}

/* A SYN has arrived from the socket `from`, which names its destination. */
static void arrive_syn(struct pipe *p)
{
    struct net_sock *client = sim_sock_by(p->net, p->from);
    if (client == NULL)
        return;
    struct sim_listener *l = p->dst->open ? sim_listener_at(p->dst, client->remote.port) : NULL;
    struct net_sock *s = l == NULL ? NULL : sim_sock_new(p->dst, l->tag, p->src, p->from);
    if (s == NULL) { /* nobody listens: the answer comes back over a pipe of its own */
        struct pipe *back = pipe_new(p->net, p->from, p->from, p->dst, p->src);
        if (back != NULL) {
            back->orphan = true;
            (void)sim_pipe_send(back, SEG_REFUSE, NULL, 0, 0);
        }
        return;
    }
    s->local = client->remote;
    s->remote = client->local;
    p->to = s->number;
    client->peer = s->number;
    (void)sim_pipe_send(s->out, SEG_ACCEPT, NULL, 0, 0);
    emit(s, (struct net_event){.kind = NET_ACCEPTED});
}

static void arrive_at(struct net_sock *s, struct segment *seg)
{
    switch (seg->kind) {
    case SEG_ACCEPT:
        s->connecting = false;
        emit(s, (struct net_event){.kind = NET_CONNECTED});
        return;
    case SEG_REFUSE:
        s->dead = true;
        s->connecting = false;
        emit(s, (struct net_event){.kind = NET_CLOSED, .err = ERR_REFUSED});
        return;
    case SEG_DATA:
        if (buf_append(&s->in, seg->data, seg->len) != ERR_OK)
            abort(); /* bounded by the link's buffer: a mistake of the simulator */
        s->host->traffic.bytes_in += seg->len;
        break;
    case SEG_ROOM:
        s->unread_out -= seg->bytes;
        break;
    case SEG_FIN:
        s->fin_in = true;
        break;
    case SEG_RST:
        s->reset_in = true;
        break;
    case SEG_SYN:
        break;
    }
    sim_sock_notify(s);
}

/* Bytes for a socket that is no more are answered by a reset. */
static void answer_reset(struct pipe *p, enum segment_kind kind)
{
    if (kind == SEG_RST || kind == SEG_ROOM || kind == SEG_REFUSE || sim_sock_by(p->net, p->from) == NULL)
        return;
    struct pipe *back = pipe_new(p->net, p->to, p->from, p->dst, p->src);
    if (back == NULL)
        return;
    back->orphan = true;
    (void)sim_pipe_send(back, SEG_RST, NULL, 0, 0);
}

static void arrive(struct pipe *p, struct segment *seg)
{
    if (seg->kind == SEG_SYN) {
        arrive_syn(p);
        return;
    }
    struct net_sock *s = sim_sock_by(p->net, p->to);
    if (s != NULL)
        arrive_at(s, seg);
    else
        answer_reset(p, seg->kind);
}

static void pipe_pump(void *arg)
{
    struct pipe *p = arg;
    p->event = 0;
    uint64_t now = sim_now(p->net->sim);
    if (sim_link_now(p->net, p->src, p->dst).cut) {
        pipe_schedule(p, now + SIM_HELD_RETRY_MS * MS_NS);
        return;
    }
    if (p->dst->stalled_until_ns > now) {
        pipe_schedule(p, p->dst->stalled_until_ns);
        return;
    }
    struct segment *seg = p->first;
    p->first = seg->next;
    if (p->first == NULL)
        p->last = &p->first;
    else
        pipe_schedule(p, MAX(p->first->at_ns, now));
    bool last_words = p->orphan && p->first == NULL;
    sim_trace_u64(p->net->sim, p->from * 8 + (uint64_t)seg->kind);
    sim_trace_mix(p->net->sim, seg->data, MIN(seg->len, (size_t)64));
    if (!p->dst->off)
        arrive(p, seg); /* the sink may close sockets, and p with its own when nothing is left in it */
    free(seg);
    if (last_words)
        sim_pipe_free(p);
}
