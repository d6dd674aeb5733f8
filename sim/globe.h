/* SPDX-License-Identifier: MIT */
/*
 * Where the nodes of a large swarm live: addresses as in the public internet, how far they are from each other, how long they stay.
 *
 *      latency, one way      log-normal: median 40 ms, sigma 0.6, cut at 4 and 250 ms; the same in both directions of a pair
 *      addresses             a quarter in 64 clouds (a /16 each), the others anywhere that is public
 *      sessions              exponential, given by their median
 *
 * Everything is computed from the seed in integers, so nothing is stored for a pair and a run repeats on any machine. Rejected:
 * measured matrices, which do not grow with the swarm.
 */
#ifndef HEARTH_SIM_GLOBE_H
#define HEARTH_SIM_GLOBE_H

#include <stdint.h>

#include "base/random.h"
#include "mailbox/ports.h"

/* A public IPv4 address for the n-th node; another one for each attempt, when the first is taken. */
struct net_addr globe_address(uint64_t seed, unsigned n, unsigned attempt);

/* The way from one to the other, ns. */
uint64_t globe_latency_ns(uint64_t seed, unsigned a, unsigned b);

/* A draw from the exponential distribution of that median. */
uint64_t globe_exponential_ns(struct prng *prng, uint64_t median_ns);

#endif
