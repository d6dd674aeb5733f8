/* SPDX-License-Identifier: MIT */
/*
 * A rule about peers, as people write it: whether to speak with a peer, with all of a network, or with all.
 *
 *      allow 12D3KooW...       deny 203.0.113.0/24       deny /ip6/2001:db8::/ipcidr/32       deny all
 *
 * A value; pure functions, any thread. Lists of them, in which the first match decides, are actors/connection_manager/peer_rules.h.
 */
#ifndef HEARTH_WIRE_PEER_RULE_H
#define HEARTH_WIRE_PEER_RULE_H

#include <stdbool.h>

#include "base/ip_network.h"
#include "wire/peer_id.h"

enum peer_rule_subject { PEER_RULE_ALL, PEER_RULE_PEER, PEER_RULE_NETWORK };

struct peer_rule {
    bool allow;
    enum peer_rule_subject subject;
    struct peer_id peer;
    struct ip_network network;
};

/* Reads "allow WHAT" or "deny WHAT"; WHAT is a peer id, a network as base/ip_network.h reads it, or "all". ERR_INVALID. */
enum err peer_rule_parse(struct span text, struct peer_rule *ret_rule) MUST_CHECK;

#endif
