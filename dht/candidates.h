/* SPDX-License-Identifier: MIT */
/*
 * The peers that a lookup has heard of, sorted by their distance from its key. Part of lookup.c, tested by its tests.
 *
 *      sorted[0 .. count)     nearest first; the slots of pool behind them are free
 *      groups                 those of the claimed addresses; once the peer was seen, the group it was seen in alone
 *
 * Two limits keep one owner of many ids from filling the list (only if diverse): of one IP group at most LOOKUP_GROUP_KEPT_MAX are
 * kept, the nearest ones; and candidates_nearest leaves out who has LOOKUP_GROUP_MAX nearer ones in each of its groups. It takes
 * all groups to be left out, so that nobody can have an honest peer left out by claiming a false address for it; and as one
 * that answers counts only where it was seen, false addresses win a Sybil one query and no place.
 *
 * One thread.
 */
#ifndef HEARTH_DHT_CANDIDATES_H
#define HEARTH_DHT_CANDIDATES_H

#include "dht/lookup.h"

enum { CANDIDATE_TRIES_MAX = 2 }; /* asked again after a failure only if somebody names other addresses */

enum candidate_state { CANDIDATE_HEARD, CANDIDATE_ASKED, CANDIDATE_ANSWERED, CANDIDATE_FAILED };

struct candidate {
    struct peer_id id;
    struct kad_key key;
    uint8_t *addrs; /* an addr_list */
    uint16_t addrs_len;
    uint8_t state; /* enum candidate_state */
    uint8_t tries;
    uint8_t group_count;
    bool timed_out;       /* to be handed out by lookup_next_timeout */
    uint16_t depth;       /* answers that led to it, itself included */
    uint16_t contributed; /* providers that it named first */
    ip_group groups[LOOKUP_GROUPS_MAX];
    uint64_t asked_ms;
};

struct candidates {
    struct candidate pool[LOOKUP_CANDIDATES_MAX];
    struct candidate *sorted[LOOKUP_CANDIDATES_MAX];
    size_t count;
    struct kad_key target;
    bool diverse;
    struct account *account;
};

void candidates_init(struct candidates *c, const struct kad_key *target, bool diverse, struct account *account);
void candidates_release(struct candidates *c);

struct candidate *candidates_find(const struct candidates *c, const struct peer_id *id);

/*
 * Somebody named this peer; addrs is an addr_list within the bounds of a candidate. Known ones get more addresses while they were not
 * asked, and another try with new ones after a failure. Returns the candidate if it is new; NULL when it was known or has no place.
 */
struct candidate *candidates_add(struct candidates *c, const struct peer_id *id, struct span addrs, unsigned depth);

/* Where the peer really is. */
void candidates_seen(struct candidate *candidate, ip_group group);

/*
 * The nearest candidates that did not fail and are not left out, at most max, without those asked before stalled_before_ms (0: with all).
 * Returns how many; ret_crowded (may be NULL) is how many were left out on the way.
 */
size_t candidates_nearest(const struct candidates *c, uint64_t stalled_before_ms, struct candidate **ret_nearest,
                          size_t max, size_t *ret_crowded);

static inline struct span candidate_addrs(const struct candidate *candidate)
{
    return span_of(candidate->addrs, candidate->addrs_len);
}

#endif
