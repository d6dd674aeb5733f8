/* SPDX-License-Identifier: MIT */
/*
 * The providers that a lookup has found, in order of arrival. Part of lookup.c, tested by its tests. Bounded by
 * LOOKUP_PROVIDERS_MAX and charged; memory grows with what comes. One thread.
 */
#ifndef HEARTH_DHT_PROVIDER_SET_H
#define HEARTH_DHT_PROVIDER_SET_H

#include "dht/lookup.h"

struct provider {
    struct peer_id id;
    uint8_t *addrs; /* an addr_list */
    uint16_t addrs_len;
    bool taken; /* handed out as it is */
};

struct provider_set {
    struct provider *items[LOOKUP_PROVIDERS_MAX];
    size_t count;
    size_t next; /* none before it waits to be taken */
    struct account *account;
};

void provider_set_init(struct provider_set *set, struct account *account);
void provider_set_release(struct provider_set *set);

/* True when the provider is new. Known ones that came without addresses get them and are handed out once more. */
bool provider_set_add(struct provider_set *set, const struct peer_id *id, struct span addrs);

/* The next that was not taken, borrowed; NULL: none. */
const struct provider *provider_set_take(struct provider_set *set);

const struct provider *provider_set_find(const struct provider_set *set, const struct peer_id *id);

#endif
