/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the simulated network share: net.c (hosts and links), net_pipe.c (what travels), net_port.c (the net port).
 */
#ifndef HEARTH_SIM_NET_INTERNAL_H
#define HEARTH_SIM_NET_INTERNAL_H

#include "base/buf.h"
#include "base/table.h"
#include "sim/net.h"
#include "sim/sim.h"

enum { SIM_BUFFER_DEFAULT = 256 * 1024, SIM_SLOT_BITS = 22, SIM_PORT_FIRST = 32768 };

/* What travels: bytes, or the end in one of its forms. */
enum segment_kind { SEG_SYN, SEG_ACCEPT, SEG_REFUSE, SEG_DATA, SEG_ROOM, SEG_FIN, SEG_RST };

struct segment {
    struct segment *next;
    enum segment_kind kind;
    uint64_t at_ns;
    size_t bytes; /* of data, or of room */
    size_t len;
    uint8_t data[];
};

/* One direction of a connection: what is on its way, in order. Outlives the sender's socket, so that a FIN arrives. */
struct pipe {
    struct sim_net *net;
    uint64_t from; /* socket numbers */
    uint64_t to;
    struct sim_host *src;
    struct sim_host *dst;
    struct segment *first;
    struct segment **last;
    uint64_t last_at_ns;
    uint64_t event;
    bool orphan; /* the sender is gone: freed when empty */
    bool lost;   /* all that is sent from now on */
    struct pipe *next;
    struct pipe *prev;
};

struct net_sock {
    uint64_t number;
    uint64_t peer;
    uint64_t tag;
    struct sim_host *host;
    struct pipe *out;
    struct net_addr local;
    struct net_addr remote;
    struct buf in;
    size_t in_read;    /* consumed from the front of in */
    size_t unread_out; /* written and not yet read by the peer */
    bool connecting;
    bool fin_in;
    bool reset_in;
    bool want_read;
    bool want_write;
    struct net_sock *prev; /* of its host */
    struct net_sock *next;
    uint64_t notify; /* scheduled NET_READY */
    bool dead;       /* NET_CLOSED was reported */
};

struct sim_listener {
    bool used;
    uint64_t tag;
    uint16_t port;
    bool any; /* port 0 was asked for: the next life gets the same one, as in production */
};

struct loop {
    struct sim_host *host;
    net_sink *sink;
    void *sink_arg;
    struct net_port net;
};

/* One copy of a multicast datagram on its way to one host. */
struct sim_datagram {
    struct sim_datagram *next;
    struct sim_datagram *prev;
    struct sim_host *from;
    struct sim_host *to;
    uint32_t link;
    uint64_t event;
    size_t len;
    uint8_t bytes[];
};

struct multicast {
    struct sim_host *host;
    multicast_sink *sink;
    void *arg;
    uint32_t link; /* joined; 0: not yet */
    bool open;
};

struct sim_host {
    struct sim_net *net;
    unsigned index;
    struct net_addr ip;
    struct net_addr own; /* as it sees itself */
    struct loop_port port;
    struct loop loop;
    bool open;
    bool off; /* without power */
    uint64_t stalled_until_ns;
    struct multicast_port multicast_port;
    struct multicast multicast;
    unsigned segment;
    struct sim_listener listeners[SIM_LISTENERS_MAX];
    uint16_t next_port;
    struct net_sock *first; /* of its sockets, the youngest */
    size_t sockets;
    struct sim_traffic traffic;
};

/* A socket's number is its slot and how often that was taken: a closed one is not found any more. */
struct sock_slot {
    struct net_sock *sock; /* NULL: free */
    uint64_t taken;
    uint32_t next_free; /* slot + 1 */
};

struct sim_net {
    struct sim *sim;
    struct sim_host **hosts;
    size_t host_count;
    size_t host_cap;
    struct table by_ip; /* struct ip_key -> sim_host */
    struct table links; /* from << 32 | to -> sim_link, of those that were asked for */
    sim_latency_fn *latency;
    void *latency_arg;
    sim_link_fn *change;
    void *change_arg;
    struct sock_slot *slots;
    size_t slot_count;
    size_t slot_cap;
    uint32_t free_slot; /* slot + 1 */
    struct pipe *pipes;
    struct sim_datagram *datagrams;
};

/* The link as it is now: its own, or the default with the net's latency. */
struct sim_link sim_link_now(const struct sim_net *net, const struct sim_host *from, const struct sim_host *to);

/* The host that is reached at an address, or NULL. */
struct sim_host *sim_host_at(const struct sim_net *net, const struct net_addr *addr);

/* Fills the port of a host's loop. */
void sim_port_init(struct loop *loop);

/* Fills the multicast port of a new host. */
void sim_multicast_init(struct sim_host *host);
void sim_multicast_release(struct sim_net *net);

struct net_sock *sim_sock_by(const struct sim_net *net, uint64_t number);

/* A socket of host whose other end is (or will be) on `to`. NULL without memory. */
struct net_sock *sim_sock_new(struct sim_host *host, uint64_t tag, struct sim_host *to, uint64_t peer);

/* Frees at once; what it has on its way still arrives. */
void sim_sock_free(struct net_sock *s);

/* As net_port.close. */
void sim_sock_close(struct net_sock *s, bool reset);

/* Reports readiness, soon. */
void sim_sock_notify(struct net_sock *s);

size_t sim_sock_readable(const struct net_sock *s);
size_t sim_sock_room(const struct net_sock *s);

struct sim_listener *sim_listener_at(struct sim_host *host, uint16_t port);

/* Queues a segment behind what is on its way; its bytes take their time on the link. False without memory. */
bool sim_pipe_send(struct pipe *p, enum segment_kind kind, const struct iovec *iov, int count, size_t bytes);
void sim_pipe_free(struct pipe *p);

#endif
