/* SPDX-License-Identifier: MIT */
/*
 * The simulated network: hosts, TCP-like sockets between them, and links with faults, all as events of one struct sim.
 *
 *      write -> queue of segments (arrival = serialisation at the link's bandwidth + latency + jitter) -> peer's receive buffer -> read
 *
 * A link is directed. Bytes are never lost or reordered within a connection, as TCP promises: loss shows as delay (a partition holds
 * segments back until it heals), as connects that nobody answers, as resets, or as a host that vanished without a word.
 * Readiness is edge-triggered, the strictest reading of the net port: one NET_READY when bytes arrive or room appears, and after
 * each want().
 *
 * Hosts are on a segment, 0 unless moved: a multicast datagram reaches all hosts of its sender's segment, the sender too, each after the
 * latency of its link, in any order, or not at all.
 *
 * One host serves one actor over its restarts: its loop_port goes into runtime_config. Single-threaded like sim. Sockets are named
 * by numbers inside, so a closed one never dangles and the trace does not depend on addresses.
 */
#ifndef HEARTH_SIM_NET_H
#define HEARTH_SIM_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "mailbox/ports.h"

struct sim;
struct sim_host;
struct sim_net;

enum { SIM_HOSTS_MAX = 32768, SIM_LISTENERS_MAX = 8, SIM_HELD_RETRY_MS = 200 };

struct sim_link {
    uint64_t latency_ns;
    uint64_t jitter_ns;        /* uniform, added to the latency; order is kept */
    uint64_t bytes_per_second; /* 0: unlimited */
    size_t buffer_bytes;       /* written and not yet read, per direction of a connection */
    uint32_t connect_loss;     /* per mille of connects that nobody answers, and of multicast datagrams that are lost */
    bool cut;                  /* nothing passes in this direction until it is mended */
};

/* 1 ms, 100 MB/s, 256 KiB, no faults. */
struct sim_link sim_link_default(void);

/* NULL without memory. Freed after all hosts' loops are closed, before the sim. */
struct sim_net *sim_net_new(struct sim *sim) MUST_CHECK;
void sim_net_free(struct sim_net *net);

/* How long a segment takes between two hosts, by the order in which they were added; the same at each call. */
typedef uint64_t sim_latency_fn(void *arg, unsigned from, unsigned to);

/* Where a link's latency comes from until sim_net_link() makes it one of its own; before the first host. */
void sim_net_set_latency(struct sim_net *net, sim_latency_fn *fn, void *arg);

/*
 * What else becomes of a link that is not one of its own, asked at each segment: it may slow, lose or cut. Where links change all the time this
 * is for all of them at once, and takes no memory for any.
 */
typedef void sim_link_fn(void *arg, unsigned from, unsigned to, struct sim_link *link);
void sim_net_set_links(struct sim_net *net, sim_link_fn *fn, void *arg);

/* A host with one address (port unused). NULL when it is taken, there are too many or without memory. It lives as long as the net. */
struct sim_host *sim_net_add_host(struct sim_net *net, const struct net_addr *ip) MUST_CHECK;

/* 10.x.y.z of the n-th host, for tests that do not care. */
struct net_addr sim_net_ip(unsigned n);

/* For runtime_config.loop: open, net and close; run and watch do not exist in the simulator. */
const struct loop_port *sim_host_loop(struct sim_host *host);

/* For runtime_config.multicast, of one actor over its restarts. */
const struct multicast_port *sim_host_multicast(struct sim_host *host);

/* Moves the host to another segment; its next join shows it there. */
void sim_host_set_segment(struct sim_host *host, unsigned segment);

/*
 * The link from one host to another, to be changed in place at any time; it lives as long as the net. Links that nobody asked for are
 * the default with the net's latency and take no memory, so that there may be as many as pairs of hosts. Aborts without memory.
 */
struct sim_link *sim_net_link(struct sim_net *net, const struct sim_host *from, const struct sim_host *to);

/* Cuts or mends both directions. */
void sim_net_partition(struct sim_net *net, const struct sim_host *a, const struct sim_host *b, bool cut);

/* Resets every connection between two hosts: both sides hear NET_CLOSED with ERR_RESET. */
void sim_net_reset(struct sim_net *net, const struct sim_host *a, const struct sim_host *b);

/*
 * Whatever was between two hosts has forgotten their connections: what they send over those is lost without a word, both ways, and
 * each side goes on to think that it has a connection. New ones come through.
 */
void sim_net_forget(struct sim_net *net, const struct sim_host *a, const struct sim_host *b);

/* The host's actor hears nothing of the network until then: what comes waits. */
void sim_host_stall(struct sim_host *host, uint64_t until_ns);

/* What the host says its own address is from now on; it is still reached at the one it was made with. */
void sim_host_rename(struct sim_host *host, const struct net_addr *ip);

/* The host loses power: its sockets and listeners are gone, its peers hear nothing until they send. */
void sim_host_vanish(struct sim_host *host);

/*
 * Off: nothing leaves the host or reaches it, whatever its actors do, and its peers hear nothing; on again, what comes for sockets that
 * are gone is answered by a reset. Its actors are to be stopped while it is off.
 */
void sim_host_set_power(struct sim_host *host, bool on);

/* What went over the host's connections so far, without what TCP adds. */
struct sim_traffic {
    uint64_t bytes_out;
    uint64_t bytes_in;
    uint64_t dials;      /* connections that it asked for */
    uint64_t dials_lost; /* of these: nobody heard of them, by the link's loss */
};
struct sim_traffic sim_host_traffic(const struct sim_host *host);

/* Open sockets of the host, for tests that look for leaks. */
size_t sim_host_sockets(const struct sim_host *host);

#endif
