/* SPDX-License-Identifier: MIT */
/*
 * A bandwidth rule as the configuration has it: what it is about, and the bytes a second in and out.
 *
 *      Swarm.Bandwidth.PerPeer       12D3KooW... 1MB 500kB        * 200kB 0
 *      Swarm.Bandwidth.PerProtocol   /ipfs/bitswap 2MB 1MB
 *      Swarm.Bandwidth.Schedule      8-18 1MB 250kB               (hours of the local day, the second one not included)
 *
 * 0 means no limit. Pure functions, any thread; spans borrow from the text.
 */
#ifndef HEARTH_SCHEMAS_BANDWIDTH_RULE_H
#define HEARTH_SCHEMAS_BANDWIDTH_RULE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum { BANDWIDTH_RATE_MIN = 16000 }; /* less would let keepalives fail */

struct bandwidth_rule {
    struct span about;
    uint64_t in;
    uint64_t out;
};

/* Three words; each rate 0 or at least BANDWIDTH_RATE_MIN, at most 2^40. ERR_INVALID. */
enum err bandwidth_rule_parse(struct span text, struct bandwidth_rule *ret_rule) MUST_CHECK;

/* "8-18" or "22-6", 0 to 24. ERR_INVALID. */
enum err bandwidth_hours_parse(struct span about, uint8_t *ret_from, uint8_t *ret_to) MUST_CHECK;

#endif
