/* SPDX-License-Identifier: MIT */
#include "dht/provider_set.h"

#include <stdlib.h>
#include <string.h>

void provider_set_init(struct provider_set *set, struct account *account)
{
    *set = (struct provider_set){.account = account};
}

static void give(struct provider_set *set, void *memory, size_t bytes)
{
    free(memory);
    if (memory != NULL && set->account != NULL)
        account_give(set->account, bytes);
}

static void *take(struct provider_set *set, size_t bytes)
{
    if (set->account != NULL && !account_take(set->account, bytes))
        return NULL;
    void *memory = calloc(1, bytes);
    if (memory == NULL && set->account != NULL)
        account_give(set->account, bytes);
    return memory;
}

void provider_set_release(struct provider_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        give(set, set->items[i]->addrs, set->items[i]->addrs_len);
        give(set, set->items[i], sizeof(*set->items[i]));
    }
    set->count = 0;
    set->next = 0;
}

static struct provider *find(const struct provider_set *set, const struct peer_id *id, size_t *ret_at)
{
    for (size_t i = 0; i < set->count; i++) {
        if (peer_id_equal(&set->items[i]->id, id)) {
            *ret_at = i;
            return set->items[i];
        }
    }
    return NULL;
}

const struct provider *provider_set_find(const struct provider_set *set, const struct peer_id *id)
{
    size_t at = 0;
    return find(set, id, &at);
}

/* Without memory the provider stays without addresses. */
static bool set_addrs(struct provider_set *set, struct provider *provider, struct span addrs)
{
    if (addrs.len == 0)
        return false;
    provider->addrs = take(set, addrs.len);
    if (provider->addrs == NULL)
        return false;
    memcpy(provider->addrs, addrs.data, addrs.len);
    provider->addrs_len = (uint16_t)addrs.len;
    return true;
}

bool provider_set_add(struct provider_set *set, const struct peer_id *id, struct span addrs)
{
    size_t at = 0;
    struct provider *provider = find(set, id, &at);
    if (provider != NULL) {
        if (provider->addrs_len == 0 && set_addrs(set, provider, addrs)) {
            provider->taken = false;
            set->next = MIN(set->next, at);
        }
        return false;
    }
    if (set->count == LOOKUP_PROVIDERS_MAX)
        return false;
    provider = take(set, sizeof(*provider));
    if (provider == NULL)
        return false;
    provider->id = *id;
    (void)set_addrs(set, provider, addrs);
    set->items[set->count++] = provider;
    return true;
}

const struct provider *provider_set_take(struct provider_set *set)
{
    for (; set->next < set->count; set->next++) {
        struct provider *provider = set->items[set->next];
        if (!provider->taken) {
            provider->taken = true;
            return provider;
        }
    }
    return NULL;
}
