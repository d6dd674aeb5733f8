/* SPDX-License-Identifier: MIT */
/*
 * The gate: who may come in, and who must go when there are too many. No sockets, no clock.
 *
 *      accept -> per address: <= 8 at once, 0.2/s with a burst of 16
 *             -> per prefix (IPv4 /24, IPv6 /48): four times that
 *             -> half-open (not upgraded yet): <= 128; past it the address that holds most of them loses its oldest
 *             -> all: <= high water + 64
 *      later  -> above high water, idle connections past their grace period go until low water is reached
 *
 * "Address" is an IPv4 address or an IPv6 /56, which is what one customer has. Exempt networks (loopback by default) skip the
 * limits per address and per prefix, never those on half-open and all. Rejected: refusing newcomers at the half-open cap, which
 * lets one host with 128 silent sockets lock everybody out.
 *
 * One thread. Times are nanoseconds of any monotonic clock.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_GATE_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/ip_network.h"
#include "base/table.h"
#include "mailbox/ports.h"

enum {
    GATE_PER_IP_MAX = 8,
    GATE_RATE_BURST = 16,
    GATE_RATE_PERIOD_MS = 5000, /* one more connection each: 0.2/s */
    GATE_PREFIX_FACTOR = 4,
    GATE_HALF_OPEN_MAX = 128,
    GATE_SPARE = 64, /* connections beyond high water before newcomers are refused */
    GATE_SOURCES_MAX = 4096,
    GATE_EXEMPT_MAX = 64
};

struct gate_config {
    uint32_t low;
    uint32_t high;
    uint64_t grace_ns;
    uint32_t per_ip_max;
    struct ip_network exempt[GATE_EXEMPT_MAX];
    size_t exempt_count;
};

struct gate {
    struct gate_config config;
    struct table sources; /* prefix bytes -> struct gate_source, owned */
    struct account *account;
    uint32_t half_open;
    uint32_t total;
    uint64_t refused; /* since the start */
};

/* account (may be NULL) pays for the table of sources. config is copied. */
void gate_init(struct gate *gate, const struct gate_config *config, struct account *account);
void gate_release(struct gate *gate);

/*
 * May this inbound connection stay? ERR_OK counts it, as half-open; gate_upgraded and gate_left must follow. ERR_BUSY: one of the
 * limits; counted in refused. The caller first makes room with gate_is_crowded.
 */
enum err gate_enter(struct gate *gate, const struct net_addr *from, uint64_t now_ns) MUST_CHECK;

/* An outbound connection: counted in the total only. */
void gate_dialled(struct gate *gate);

/* An inbound connection has finished its upgrade. */
void gate_upgraded(struct gate *gate, const struct net_addr *from);

/* A counted connection is gone; half_open: before gate_upgraded. */
void gate_left(struct gate *gate, const struct net_addr *from, bool inbound, bool half_open);

/* At the half-open cap: the next newcomer needs a victim. */
bool gate_is_crowded(const struct gate *gate);

/* Half-open connections of this address: the victim is the oldest of whom this is largest. */
uint32_t gate_half_open_of(const struct gate *gate, const struct net_addr *from);

/* ---- trimming ---- */

struct gate_candidate {
    uint64_t id;
    uint64_t opened_ns;
    uint64_t active_ns; /* when something last moved on a stream that is not ours */
    uint32_t streams;
    bool kept; /* configured peers, or somebody asked for the connection */
};

/*
 * Which connections should go: sorts candidates so that the first ret_count are to be closed. None at or under high water; kept
 * ones and those in their grace period never. Fewest streams first, then longest silent.
 */
void gate_trim(const struct gate *gate, struct gate_candidate *candidates, size_t count, uint64_t now_ns,
               size_t *ret_count);

#endif
