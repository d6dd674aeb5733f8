/* SPDX-License-Identifier: MIT */
/*
 * Healing: which quarantined blocks peers are asked for, and when again.
 *
 *      quarantine --due--> heal request (id, CID) --> ... --> healed(id): stored anew, out of quarantine
 *                             |                                  or not: due again after the backoff
 *                             +-- the next time is committed with the request, so a restart goes on with it
 *
 * At most HEAL_MAX are under way. A request that nobody answers counts as failed after HEAL_TIMEOUT_NS. Pure; one thread.
 */
#ifndef HEARTH_STORAGE_HEALER_H
#define HEARTH_STORAGE_HEALER_H

#include "storage/block_key.h"

enum { HEAL_MAX = 8 };

#define HEAL_TIMEOUT_NS     (UINT64_C(90) * 1000000000)        /* peers get 60 s */
#define HEAL_BACKOFF_NS     (UINT64_C(120) * 1000000000)       /* after the first failure, then doubled */
#define HEAL_BACKOFF_MAX_NS (UINT64_C(12 * 3600) * 1000000000) /* peers come and go within a day */
#define HEAL_LOOK_NS        (UINT64_C(60) * 1000000000) /* how often the quarantine is looked at while nothing is due */

struct heal {
    uint64_t id; /* 0: free */
    struct block_key key;
    uint64_t until_ns;
};

struct healer {
    struct heal running[HEAL_MAX];
    uint64_t last_id;
    uint64_t look_ns; /* when the table is looked at next */
};

/* Ids begin at a number of the caller's, so that answers to an earlier life are not taken for those to this one. */
void healer_init(struct healer *healer, uint64_t first_id);

/* Ends what nobody answered. Whether to look for due rows now: there is a place for one, and it is time. */
bool healer_wants(struct healer *healer, uint64_t now_ns);

/* Begins; 0 when the block is under way already or no place is free. */
uint64_t healer_begin(struct healer *healer, const struct block_key *key, uint64_t now_ns);

/* Ends it; false when the id is none that is under way. */
bool healer_end(struct healer *healer, uint64_t id);

size_t healer_running(const struct healer *healer);

/* Something became due: look at once. */
void healer_look(struct healer *healer);

/* When it wants to be asked again, monotonic. */
uint64_t healer_due(const struct healer *healer);

/* When a block is tried again that was tried so often before. */
uint64_t healer_backoff(uint64_t attempts);

#endif
