/* SPDX-License-Identifier: MIT */
/*
 * Peer rules: with whom to speak at all, by peer id and network. No sockets, no clock.
 *
 *      ordered   allow 12D3Koo...         the first rule that matches decides
 *                deny 203.0.113.0/24
 *                deny all
 *      filters   /ip4/10.0.0.0/ipcidr/8   then these, in no order, deny; the set that `swarm filters` changes
 *      else      allowed
 *
 * Who comes in is known by address first and by id only after the upgrade. So with no peer given the answer is no only when it is
 * no for every peer: an address is turned away before a byte is spent on it, and a peer that an earlier rule allows is not.
 *
 * Bounds: PEER_RULES_MAX of each kind, charged to the account. One thread.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_PEER_RULES_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_PEER_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "wire/peer_rule.h"

struct account;

enum { PEER_RULES_MAX = 256 };

struct peer_rules {
    struct peer_rule *ordered; /* owned */
    size_t ordered_count;
    struct ip_network *filters; /* owned */
    size_t filter_count;
    struct account *account;
};

/* account may be NULL. Allocates nothing. */
void peer_rules_init(struct peer_rules *rules, struct account *account);
void peer_rules_release(struct peer_rules *rules);

/* Appends to the ordered rules. ERR_BUSY: too many; ERR_NOMEM. */
enum err peer_rules_append(struct peer_rules *rules, const struct peer_rule *rule) MUST_CHECK;

/* A filter that is there already: ERR_EXISTS. ERR_BUSY: too many; ERR_NOMEM. */
enum err peer_rules_filter(struct peer_rules *rules, const struct ip_network *network) MUST_CHECK;

/* ERR_NOT_FOUND. */
enum err peer_rules_unfilter(struct peer_rules *rules, const struct ip_network *network) MUST_CHECK;

/* May there be a connection with this peer at this address (mapped form)? peer NULL or empty: not known yet. */
bool peer_rules_allow(const struct peer_rules *rules, const struct peer_id *peer, const uint8_t ip[IP_BYTES]);

#endif
