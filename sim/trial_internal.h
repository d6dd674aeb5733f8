/* SPDX-License-Identifier: MIT */
/*
 * What the parts of a trial share: trial.c (what happens when), trial_node.c (the lives of a node), trial_actors.c (actors that are watched,
 * and fail), trial_faults.c (what is done to nodes and links), trial_driver.c (the actor that asks) and its errands.
 */
#ifndef HEARTH_SIM_TRIAL_INTERNAL_H
#define HEARTH_SIM_TRIAL_INTERNAL_H

#include "actors/tree.h"
#include "base/limits.h"
#include "base/random.h"
#include "sim/history.h"
#include "sim/journal.h"
#include "sim/net.h"
#include "sim/sim.h"
#include "sim/trial.h"
#include "wire/cid.h"
#include "wire/ipns.h"
#include "wire/keys.h"
#include "wire/peer_id.h"

enum {
    TRIAL_ADDR_MAX = 128,
    TRIAL_PORT = 4001,
    TRIAL_ERRANDS = 8, /* of a node at once */
    TRIAL_STEPS = 9,   /* of an errand, at most */
    TRIAL_DISK_MIB = 256,
    TRIAL_VALUE_MAX = CID_TEXT_MAX + 8,
};

struct sim_disk;
struct trial;

enum trial_phase { PHASE_JOINING, PHASE_SAFETY, PHASE_LIVENESS, PHASE_OVER };

struct errand {
    bool used;
    bool leased; /* the lease was not lost so far */
    bool leases;
    enum errand_kind kind;
    unsigned step;
    unsigned block;
    unsigned other;   /* RESOLVE: whose name */
    uint64_t number;  /* of the run */
    uint64_t version; /* of the holding when it was asked for */
    uint64_t wanted; /* RESOLVE: one more than the least sequence that will do; PUBLISH: than the one that was signed */
    uint64_t deadline_ns;
};

/* What an actor is to do wrong. */
struct trial_plot {
    bool exits;
    bool fails_start;
    uint64_t stall_ns;
};

struct trial_node {
    struct trial *trial;
    unsigned number;
    struct net_addr ip;
    struct sim_host *host;
    struct sim_disk *disk;
    struct config *config;
    struct key_pair *identity;
    struct peer_id id;
    struct budget budget;
    struct runtime *runtime; /* NULL: away */
    bool dead;               /* its process is being taken down: what it still does nobody sees */
    uint64_t back_at_ns;     /* away: it starts then; UINT64_MAX: not away */
    uint64_t next_ns[TRIAL_FAULTS];
    uint64_t slow_until_ns;
    uint64_t slow_bytes; /* a second */
    uint64_t part_until_ns;
    unsigned part; /* which side */
    uint64_t one_way_until_ns;
    uint64_t full_until_ns;
    int64_t clock_off_ns;
    struct trial_plot plots[ACTOR_COUNT];
    struct history history;
    struct errand errands[TRIAL_ERRANDS];
    uint8_t record[IPNS_RECORD_BYTES_MAX]; /* of its name, the last that was signed */
    size_t record_len;
    uint8_t collected[CID_BYTES_MAX]; /* where a collection goes on */
    size_t collected_len;
    /* liveness */
    bool healthy;
    bool published;
    bool resolved;
    bool done;
    char lacks[TRIAL_WHY_BYTES / 2]; /* why it is not done */
};

/* A block that its node keeps until the end. */
struct kept_block {
    unsigned block;
    unsigned node;
};

struct trial {
    const struct trial_options *options;
    const struct trial_plan *plan;
    struct sim *sim;
    struct sim_net *net;
    struct prng prng;
    struct trial_node *nodes;
    struct kept_block *kept;
    size_t kept_count;
    size_t kept_cap;
    unsigned block_count;
    uint64_t errand_count;
    enum trial_phase phase;
    uint64_t began_ns;
    uint64_t safety_ns; /* when the phases begin */
    uint64_t liveness_ns;
    bool failed;
    char *why;
    struct trial_result result;
};

/* The parts find their trial by this: the simulator is one thread, and one trial plays at a time. */
extern struct trial *trial_playing;

/* A promise was broken: the first one is the result. node -1: none in particular. */
void trial_fail(struct trial *t, int node, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* A row for the journal, if there is one. */
void trial_note(struct trial *t, const struct journal_row *row, const char *text);
void trial_note_fault(struct trial *t, const struct trial_node *n, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* An exponential draw with that mean, of the trial's own seed. */
uint64_t trial_draw(struct trial *t, uint64_t mean_ns);

/* ---- trial_node.c ---- */

/* Host, disk, identity; then configurations, which name others. */
enum err trial_node_prepare(struct trial *t, unsigned number) MUST_CHECK;
enum err trial_node_configure(struct trial *t, unsigned number) MUST_CHECK;
/* Boots it; when that fails it is tried again in a few seconds. */
void trial_node_start(struct trial_node *n);
enum trial_end { TRIAL_END_STOP, TRIAL_END_KILL, TRIAL_END_POWER };
/* Its process ends so; it comes back after so long, UINT64_MAX: never. */
void trial_node_end(struct trial_node *n, enum trial_end how, uint64_t away_ns);
void trial_node_release(struct trial_node *n);

/* ---- trial_actors.c ---- */

/* The production classes, watched, and the driver. */
const struct actor_class *const *trial_classes(const struct runtime_config *described);

/* ---- trial_faults.c ---- */

/* Latencies, from before the first host speaks. */
void trial_faults_prepare(struct trial *t);
void trial_faults_begin(struct trial *t);
/* When the next thing is done to a node. */
uint64_t trial_faults_next(const struct trial *t);
void trial_faults_strike(struct trial *t);
/* No faults any more: links are mended, disks and clocks are good. */
void trial_faults_end(struct trial *t);

/* ---- trial_driver.c ---- */

extern const struct actor_class trial_driver_class;

/* ---- trial_errand.c: what an errand asks and what its answers mean ---- */

/* Chooses one for the node and fills it. */
void errand_choose(struct trial_node *n, struct errand *e);
/* Says to the history that it begins. */
void errand_begin(struct trial_node *n, struct errand *e);
/* Asks for the step that is due, under the tag. */
enum err errand_ask(struct ctx *ctx, struct trial_node *n, const struct errand *e, uint64_t tag) MUST_CHECK;
/* No step is left. */
bool errand_is_at_end(const struct errand *e);
/* The block by its number, made anew. */
struct block_ref *trial_block(unsigned number, struct cid *ret_cid) MUST_CHECK;
/* The value that a node gives its name with its n-th signature. */
struct span trial_name_value(unsigned node, uint64_t n, char to[TRIAL_VALUE_MAX]);

/* ---- trial_answer.c ---- */

/* Takes the answer of a step. ERR_AGAIN: there is more to ask; else the errand is over, and how. */
enum err errand_take(struct trial_node *n, struct errand *e, const struct info *info) MUST_CHECK;
/* Tells history, journal and result that it is over, and judges it. */
void errand_over(struct trial_node *n, struct errand *e, enum err err, const char *text);

#endif
