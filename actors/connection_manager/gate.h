/* SPDX-License-Identifier: MIT */
/*
 * The gate: how fast newcomers may come. No sockets, no clock.
 *
 *      accept -> per address: 0.2/s with a burst of 16
 *             -> per prefix (IPv4 /24, IPv6 /48): a burst four times that
 *
 * "Address" is an IPv4 address or an IPv6 /56, which is what one customer has. Exempt networks (loopback by default) come as they
 * like. How many may be here at once is resources.h.
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
    GATE_RATE_BURST = 16,
    GATE_RATE_PERIOD_MS = 5000, /* one more connection each: 0.2/s */
    GATE_PREFIX_FACTOR = 4,
    GATE_SOURCES_MAX = 4096,
    GATE_EXEMPT_MAX = 64
};

struct gate_config {
    struct ip_network exempt[GATE_EXEMPT_MAX];
    size_t exempt_count;
};

struct gate {
    struct gate_config config;
    struct table sources; /* prefix bytes -> struct gate_source, owned */
    struct account *account;
    uint64_t refused; /* since the start */
};

/* account (may be NULL) pays for the table of sources. config is copied. */
void gate_init(struct gate *gate, const struct gate_config *config, struct account *account);
void gate_release(struct gate *gate);

bool gate_is_exempt(const struct gate *gate, const struct net_addr *addr);

/* May this inbound connection come now? ERR_BUSY: too many came a moment ago, or no memory; counted in refused. */
enum err gate_enter(struct gate *gate, const struct net_addr *from, uint64_t now_ns) MUST_CHECK;

#endif
