/* SPDX-License-Identifier: MIT */
/*
 * Three tiers in motion: the real tiered_storage, heat_tracker and cold_store; the test sits where control, state and bitswap sit. On inproc with a folder of
 * the real disk, in sim with a simulated bucket; a disk and a bucket may see several lives of a node. A life may follow a list of steps.
 */
#ifndef HEARTH_TESTS_UNIT_ACTORS_HELPER_TIERS_H
#define HEARTH_TESTS_UNIT_ACTORS_HELPER_TIERS_H

#include "tests/support/storage.h"

#include "base/block_ref.h"
#include "mailbox/actor.h"
#include "mailbox/runtime.h"
#include "schemas/config.h"
#include "wire/cid.h"

struct disk_port;
struct sim;
struct sim_bucket;

struct tiers_play {
    const struct actor_class *control;
    const struct actor_class *state;        /* hears what is told to bitswap, too */
    const struct actor_class *heat_tracker; /* NULL: the real one */
    const struct disk_port *disk;
    struct sim *sim; /* NULL: inproc … */
    struct sim_bucket *bucket;
    bool (*is_done)(void *arg);
    uint64_t timeout_ns;
};

/* Random bytes, the same for one number and size, and their CID as a raw block. */
struct block_ref *tiers_block(unsigned n, size_t bytes, struct cid *ret_cid);

/* A node at path that keeps so many bytes on its disk, with a cold tier of this kind and small packs. */
struct config *tiers_config(const char *path, const char *kind, uint64_t storage_max);
void tiers_set(struct config *config, const char *key, const char *value);

/* The same with a simulated bucket that has this name. */
struct config *tiers_bucket_config(const char *path, const char *bucket, uint64_t storage_max);

/* One life of the node, until it is done; false: it was not in time. No account has anything left in use. Takes the configuration. */
bool tiers_play(const struct tiers_play *play, struct config *config) MUST_CHECK;

/* ---- a life by steps ---- */

enum {
    TIERS_END,
    TIERS_WAIT,
    TIERS_DO
}; /* what a step does beside sending a message; their numbers are no message's */

struct tiers_step {
    const char *what;
    uint16_t ask; /* a message about each of the blocks; what fails, fails the test. `access` is cast, of all at once */
    unsigned from;                               /* TIERS_WAIT: seconds */
    unsigned to;                                 /* behind the last block */
    bool (*is_right)(const struct info *answer); /* NULL: any answer */
    void (*act)(void);                           /* TIERS_DO */
};

/* What a number stands for in the steps. */
typedef struct block_ref *tiers_block_of(unsigned n, struct cid *ret_cid);

/* tiers_play with control, is_done and the time by the steps; fails with the step that was not as it should be. */
void tiers_follow(struct tiers_play *play, struct config *config, const struct tiers_step *steps,
                  tiers_block_of *block_of);

#endif
