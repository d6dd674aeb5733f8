/* SPDX-License-Identifier: MIT */
/*
 * Peers that are dialled without being asked for: carries between the configuration, the keeper, connection_manager and state.
 *
 *      Peering.Peers, peering_add ──┐
 *      Bootstrap, bootstrap_change ─┼──> keeper ──> peer_connect; peer_protect of peerings
 *      state: peers of earlier lives┘      ^── peer_up, peer_down
 *
 * Private to actors/discovery: called on its thread, from its handlers.
 */
#ifndef HEARTH_ACTORS_DISCOVERY_CONTACTS_H
#define HEARTH_ACTORS_DISCOVERY_CONTACTS_H

#include "actors/discovery/keeper.h"
#include "base/table.h"
#include "mailbox/actor.h"

/* Tags of timers and calls are of the caller's; these are the contacts'. */
enum { TAG_CONTACTS_TIMER = 1, TAG_CONTACTS_KNOWN = 4, TAG_CONTACTS_CONNECT = 1000 };

struct contacts {
    struct keeper keeper;
    const struct table *connected; /* the caller's: ids of peers that are */
    uint64_t timer;
    bool offline;
    bool asked; /* for the peers of earlier lives */
};

/* Begins with the next contacts_run. connected outlives c; who enters or leaves it is told by contacts_up and contacts_down, too. */
void contacts_init(struct contacts *c, struct ctx *ctx, const struct config *config, const struct table *connected);
void contacts_release(struct contacts *c);

/* Does what is due and sets the timer; at the end of each handler. */
void contacts_run(struct contacts *c, struct ctx *ctx);

void contacts_up(struct contacts *c, const struct peer_id *id);
void contacts_down(struct contacts *c, struct ctx *ctx, const struct peer_id *id);

/* The end of a timer or call of the contacts'; others are passed over. */
void contacts_info(struct contacts *c, struct ctx *ctx, const struct info *info);

/* Answers peering_add, peering_rm, peering_ls and bootstrap_change; ERR_UNSUPPORTED: another message. */
enum err contacts_call(struct contacts *c, struct ctx *ctx, const struct msg *msg, struct reply_to call) MUST_CHECK;

#endif
