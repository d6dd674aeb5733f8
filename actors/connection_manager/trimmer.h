/* SPDX-License-Identifier: MIT */
/*
 * The trimmer: who must go when there are too many connections. No sockets, no clock.
 *
 *      above high water   down to low water: those worth least first, then fewest streams, then longest silence
 *      never              a connection in its grace period, or of a protected peer
 *      no room to dial    one that we dialled and that is quiet, grace period or not: we can dial it again, and lookups dial more
 *                         strangers within a grace period than there is room for
 *
 * What a connection is worth is the sum of its peer's tags (peer_tags.h). Pure.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_TRIMMER_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_TRIMMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRIMMER_QUIET_MS = 3000 }; /* an answer that takes longer is not waited for when room is needed */

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
    bool own;  /* dialled by us */
};

/* Sorts candidates so that the first ret_count are to be closed; total counts all upgraded connections, candidates or not. */
void trimmer_choose(const struct trimmer *trimmer, uint64_t total, struct trimmer_candidate *candidates, size_t count,
                    uint64_t now_ns, size_t *ret_count);

/* Whether a dial may take the place of this candidate, whatever its grace period says. */
bool trimmer_may_give_way(const struct trimmer_candidate *candidate, uint64_t now_ns);

/* The order in which they go. */
bool trimmer_goes_before(const struct trimmer_candidate *a, const struct trimmer_candidate *b);

#endif
