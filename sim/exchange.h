/* SPDX-License-Identifier: MIT */
/*
 * An exchange of blocks at its narrowest: one node fetches from three over real Yamux sessions whose windows are one byte, so that every
 * byte waits for the credit of the one before. A short run of one seed meets most of the orders in which credits, cancels, blocks,
 * resets and lost connections can cross.
 *
 *      node 0: fetches, cancels some of it        nodes 1..3: each stores some of the blocks, every block is somewhere
 *
 * The bitswap actors and the runtime are production's; in the place of connection_manager stands exchange_wire.c, in the place of
 * tiered_storage an array, in control's place a driver. At the end nothing may be wanted by anybody of anybody.
 */
#ifndef HEARTH_SIM_EXCHANGE_H
#define HEARTH_SIM_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "mailbox/runtime.h"

enum {
    EXCHANGE_PROVIDERS = 3,
    EXCHANGE_NODES = EXCHANGE_PROVIDERS + 1,
    EXCHANGE_BLOCKS_MAX = 64,
    EXCHANGE_WHY_BYTES = 256
};

struct exchange_options {
    uint64_t seed;
    unsigned blocks;
    size_t block_bytes;  /* of the largest */
    uint64_t timeout_ns; /* virtual */
    log_fn *log;         /* may be NULL */
};

struct exchange_result {
    uint64_t trace;
    uint64_t steps;
    uint64_t virtual_ns;
    unsigned fetched;
    unsigned cancelled;
    uint64_t tables_peak; /* bytes of the account, at most of any node */
};

/* ERR_TIMEOUT: a fetch did not end, or something was left; ERR_CORRUPT: other bytes came. why says which. Blocks until it is over. */
enum err exchange_play(const struct exchange_options *options, struct exchange_result *ret_result,
                       char why[EXCHANGE_WHY_BYTES]) MUST_CHECK;

#endif
