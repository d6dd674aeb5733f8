/* SPDX-License-Identifier: MIT */
/* What a policy of a tier has to be able to do; each function as its namesake of tier_policy.h says. Only for tier_policy.c and the policies. */
#ifndef HEARTH_STORAGE_TIER_POLICY_OPS_H
#define HEARTH_STORAGE_TIER_POLICY_OPS_H

#include "storage/tier_policy.h"

/* What admit is asked about. bytes is at most room_bytes, and that at most the tier's capacity. */
struct tier_newcomer {
    uint64_t key;
    uint64_t bytes;
    uint64_t room_bytes;
    tier_policy_left *left;
    void *context;
};

struct tier_policy_ops {
    const char *name;
    void *(*create)(const struct tier_policy_config *config);               /* NULL without memory */
    void (*destroy)(void *self);                                            /* NULL-safe */
    void (*announce)(const void *self, const uint64_t *keys, size_t count); /* NULL: nothing to be done */
    bool (*use)(void *self, uint64_t key, uint64_t bytes, double now_s);
    bool (*admit)(void *self, const struct tier_newcomer *newcomer);
    void (*leave)(void *self, uint64_t key);
    bool (*holds)(const void *self, uint64_t key);
    float (*rank)(const void *self, uint64_t key, uint64_t bytes);
    struct tier_policy_stats (*stats)(const void *self);
};

extern const struct tier_policy_ops tier_policy_hearth;
extern const struct tier_policy_ops tier_policy_origin;
extern const struct tier_policy_ops tier_policy_lru;
extern const struct tier_policy_ops tier_policy_s3fifo;

/* calloc, charged; NULL when either refuses. account may be NULL. */
void *tier_policy_alloc(struct account *account, size_t bytes);
/* NULL-safe. */
void tier_policy_release(struct account *account, void *memory, size_t bytes);

#endif
