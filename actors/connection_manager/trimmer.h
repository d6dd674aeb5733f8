/* SPDX-License-Identifier: MIT */
/*
 * The trimmer: who must go when there are too many connections. No sockets, no clock.
 *
 *      above high water   down to low water: those worth least first, then fewest streams, then longest silence
 *      never              a connection in its grace period, or of a protected peer
 *
 * What a connection is worth is the sum of its peer's tags (peer_tags.h). Pure.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_TRIMMER_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_TRIMMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trimmer {
    uint32_t low;
    uint32_t high;
    uint64_t grace_ns;
};

struct trimmer_candidate {
    uint64_t id;
    uint64_t opened_ns;
    uint64_t active_ns; /* when something last moved on a stream that is not ours */
    int64_t value;
    uint32_t streams;
    bool kept; /* protected, or somebody asked for the connection */
};

/* Sorts candidates so that the first ret_count are to be closed; total counts all upgraded connections, candidates or not. */
void trimmer_choose(const struct trimmer *trimmer, uint64_t total, struct trimmer_candidate *candidates, size_t count,
                    uint64_t now_ns, size_t *ret_count);

#endif
