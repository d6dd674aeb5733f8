/* SPDX-License-Identifier: MIT */
/*
 * The part of the state actor that has keys and signs with them: its messages become jobs on the lane `state`, whose one worker keeps them apart
 * from each other and from the writes of rows (naming.h does the work).
 *
 *      key_*, ipns_*  ->  job  ->  reply
 *      each 5 min     ->  job  ->  records that no peer was told for Ipns.RepublishPeriod, signed anew  ->  cast route_put to discovery
 *      ipns_told      ->  job: when they were told
 */
#ifndef HEARTH_ACTORS_STATE_NAMES_H
#define HEARTH_ACTORS_STATE_NAMES_H

#include "actors/state/naming.h"
#include "actors/state/store_ref.h"
#include "mailbox/actor.h"

struct state_names {
    struct store_ref *shared; /* borrowed from the actor */
    struct naming naming;
    uint64_t period_ns;   /* 0: nothing is published by itself */
    uint64_t lifetime_ns; /* of what is */
    struct peer_id position;
    bool renewing;
};

/* ERR_TOO_LARGE: the repository's path. */
enum err names_init(struct state_names *n, struct ctx *ctx, const struct config *config, struct store_ref *shared,
                    uint64_t tag_timer) MUST_CHECK;

/* Whether the kind is one of these. */
bool names_kind(uint16_t kind);

/* A call or cast of these kinds; INFO_JOB with tag_job follows. ERR_BUSY, ERR_NOMEM. */
enum err names_message(struct state_names *n, struct ctx *ctx, const struct msg *msg, const struct reply_to *to,
                       uint64_t tag_job) MUST_CHECK;
void names_job(struct state_names *n, struct ctx *ctx, const struct info *info, uint64_t tag_timer);
void names_timer(struct state_names *n, struct ctx *ctx, uint64_t tag_job, uint64_t tag_timer);

#endif
