/* SPDX-License-Identifier: MIT */
/* What the files of heat_tracker share. */
#ifndef HEARTH_ACTORS_HEAT_TRACKER_TRACKER_H
#define HEARTH_ACTORS_HEAT_TRACKER_TRACKER_H

#include "mailbox/actor.h"
#include "schemas/messages.h"
#include "storage/heat.h"
#include "storage/heat_past.h"
#include "storage/tier_mover.h"
#include "storage/tier_policy.h"
#include "wire/cid.h"

struct config;

/* Moves one way with less than a minute between them, or of one wave: a row of v_moves. */
struct move_run {
    uint64_t id; /* 0: none yet */
    uint64_t since;
    uint64_t last_ns;
    uint64_t blocks;
    uint64_t bytes;
    const char *reason;
};

struct promotion {
    struct block_key key; /* len 0: free */
    uint32_t size;
};

/* Of a block, told of by tiered_storage. */
struct use {
    struct block_key key;
    uint64_t bytes;
    uint64_t tier; /* as in `access` */
    uint64_t at_ns;
};

/* All NULL and zero where there is no cold tier. */
struct moves {
    struct tier_policy *policy; /* of the disk: what should lie there */
    enum tier_policy_kind policy_kind;
    struct use uses[TIER_POLICY_ANNOUNCED_MAX]; /* that the policy is not told of yet, in their order */
    size_t use_count;
    uint64_t uses_timer; /* 0: none is set */
    struct tier_mover *mover;
    struct promotion promotions[MOVER_PROMOTIONS_MAX];
    uint64_t demoting_bytes; /* of the step that is under way */
    uint64_t demoting;
    bool demoting_spill;
    struct block_key demoted[MOVER_PAGE_MAX]; /* of it */
    struct move_run out;
    struct move_run in;
    bool demotes;   /* Tiers.DemoteRate is not 0 */
    bool promotes;  /* Tiers.PromoteRate is not 0, and uses are tracked */
    bool spill;     /* as tiered_storage was told last: demotion can make room */
    uint64_t timer; /* 0: none is set */
    uint64_t timer_at;
};

enum { EXPLAINS_MAX = 8 };

/* A block that somebody asks about; where it is comes from tiered_storage. */
struct explain {
    bool open;
    struct cid cid;
    struct reply_to to;
};

struct heat_state {
    struct ctx *ctx;
    bool tracks; /* not a leecher */
    struct heat_map map;
    struct moves moves;
    struct heat_past *past; /* NULL: the disk has no policy, or one that learns nothing, or nothing is tracked */
    uint64_t past_timer;    /* 0: none is set */
    bool past_fails;
    uint64_t hot_timer; /* 0: nothing is new */
    struct explain explains[EXPLAINS_MAX];
};

/* Timers and jobs of these files: tags that moves.c does not have. */
enum {
    TAG_PAST_TIMER = 1000,
    TAG_PAST_JOB,
    TAG_HOT_TIMER,
    TAG_USES_TIMER,
    TAG_EXPLAIN /* and one for each that is under way */
};

/* ---- moves.c: between the policy, the mover and tiered_storage ---- */

/* With a cold tier: makes policy and mover. ERR_NOMEM. */
enum err moves_init(struct heat_state *s, const struct config *config) MUST_CHECK;
void moves_release(struct heat_state *s);

/*
 * A block was used or stored. The policy is told of several at once, which costs less: when there are as many as it takes, before anything else that
 * concerns it, and at the end of the turn at the latest, by TAG_USES_TIMER.
 */
void moves_access(struct heat_state *s, const struct block_key *key, const struct msg_access *access);
/* Tells it now; first in each handler that asks the policy or the mover something, or tells them something else. */
void moves_catch_up(struct heat_state *s);
void moves_left(struct heat_state *s, const struct msg_tier_left *left);
void moves_pressure(struct heat_state *s, const struct msg_tier_pressure *pressure);
void moves_reply(struct heat_state *s, const struct info *info);

/* Begins what is to be done now; after each handler. Nothing before it is known what the policy held, or past_wait_until has come. */
void moves_pump(struct heat_state *s);

/* ---- past.c: what the policy knows, in heat.db ---- */

/* After moves_init. ERR_NOMEM. */
enum err past_init(struct heat_state *s, const struct config *config) MUST_CHECK;
/* A clean stop writes what is not kept yet. Before moves_release. */
void past_release(struct heat_state *s, enum exit_reason reason);

/* Before a block's use is told to the policy. False: the policy must not be told yet. */
bool past_use(struct heat_state *s, const struct block_key *key) MUST_CHECK;
/* As heat_past_wait_until. */
uint64_t past_wait_until(const struct heat_state *s);
void past_job(struct heat_state *s, const struct info *info);

/* Begins what is to be done now; after each handler. */
void past_pump(struct heat_state *s);

/* ---- hot.c: the hottest blocks, for people and for discovery ---- */

/* Something happened to a block. */
void hot_noted(struct heat_state *s);
/* TAG_HOT_TIMER came. */
void hot_due(struct heat_state *s);
/* At the end: tells what is new. Before moves_release. */
void hot_release(struct heat_state *s);

/* ---- explain.c: why a block would stay or leave ---- */

/* ERR_BUSY: too many are asked about. */
enum err explain_start(struct heat_state *s, struct span cid, struct reply_to to) MUST_CHECK;
void explain_reply(struct heat_state *s, const struct info *info);

#endif
