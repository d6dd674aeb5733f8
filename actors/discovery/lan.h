/* SPDX-License-Identifier: MIT */
/*
 * The local network for discovery: carries between the multicast port, the engines (mdns, neighbours) and connection_manager.
 *
 *      multicast port <──> mdns ──> neighbours ──> peer_connect (casual: such a peer may be trimmed and is not sought when lost)
 *
 * Looks at the interfaces and at the node's own addresses every LAN_LOOK_MS, so that a network that appears later is joined.
 * A machine without one is told of once. Private to actors/discovery: called on its thread, from its handlers.
 */
#ifndef HEARTH_ACTORS_DISCOVERY_LAN_H
#define HEARTH_ACTORS_DISCOVERY_LAN_H

#include "actors/discovery/mdns.h"
#include "base/table.h"
#include "mailbox/actor.h"

enum { LAN_LOOK_MS = 10000 };

/* Tags of timers and calls are of the caller's; these three ranges are the LAN's. */
enum { TAG_LAN_TIMER = 2, TAG_LAN_ADDRS = 3, TAG_LAN_CONNECT = 2000 };

struct lan {
    const struct multicast_port *port; /* NULL: switched off, or no network was given */
    struct multicast *multicast;
    struct mdns mdns;
    struct neighbours neighbours;
    uint64_t look_at_ns;
    uint64_t timer;
    bool told_none; /* that no interface carries multicast */
};

/* Begins with the next lan_run. A node without an identity or a port has no LAN. */
void lan_init(struct lan *lan, struct ctx *ctx, const struct config *config);
void lan_release(struct lan *lan);

/* Does what is due and sets the timer; at the end of each handler. peers: ids of those connected. */
void lan_run(struct lan *lan, struct ctx *ctx, const struct table *peers);

/* A datagram, or the end of a timer or call of the LAN's; others are passed over. */
void lan_info(struct lan *lan, struct ctx *ctx, const struct info *info);

/* Answers mdns_stat. */
void lan_reply(const struct lan *lan, struct ctx *ctx, const struct table *peers, struct reply_to call);

#endif
