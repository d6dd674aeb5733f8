/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/peer_rules.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

void peer_rules_init(struct peer_rules *rules, struct account *account)
{
    *rules = (struct peer_rules){.account = account};
}

void peer_rules_release(struct peer_rules *rules)
{
    if (rules->account != NULL)
        account_give(rules->account,
                     rules->ordered_count * sizeof(*rules->ordered) + rules->filter_count * sizeof(*rules->filters));
    free(rules->ordered);
    free(rules->filters);
    *rules = (struct peer_rules){0};
}

/* Makes room for one item more, and pays for it. */
static enum err grow(struct account *account, void **items, size_t count, size_t item_bytes)
{
    if (count == PEER_RULES_MAX)
        return ERR_BUSY;
    if (account != NULL && !account_take(account, item_bytes))
        return ERR_NOMEM;
    void *larger = realloc(*items, (count + 1) * item_bytes);
    if (larger == NULL) {
        if (account != NULL)
            account_give(account, item_bytes);
        return ERR_NOMEM;
    }
    *items = larger;
    return ERR_OK;
}

enum err peer_rules_append(struct peer_rules *rules, const struct peer_rule *rule)
{
    void *items = rules->ordered;
    enum err err = grow(rules->account, &items, rules->ordered_count, sizeof(*rule));
    if (err != ERR_OK)
        return err;
    rules->ordered = items;
    rules->ordered[rules->ordered_count++] = *rule;
    return ERR_OK;
}

static size_t find_filter(const struct peer_rules *rules, const struct ip_network *network)
{
    size_t i = 0;
    while (i < rules->filter_count && !ip_network_equal(&rules->filters[i], network))
        i++;
    return i;
}

enum err peer_rules_filter(struct peer_rules *rules, const struct ip_network *network)
{
    if (find_filter(rules, network) < rules->filter_count)
        return ERR_EXISTS;
    void *items = rules->filters;
    enum err err = grow(rules->account, &items, rules->filter_count, sizeof(*network));
    if (err != ERR_OK)
        return err;
    rules->filters = items;
    rules->filters[rules->filter_count++] = *network;
    return ERR_OK;
}

enum err peer_rules_unfilter(struct peer_rules *rules, const struct ip_network *network)
{
    size_t at = find_filter(rules, network);
    if (at == rules->filter_count)
        return ERR_NOT_FOUND;
    rules->filter_count--;
    memmove(&rules->filters[at], &rules->filters[at + 1], (rules->filter_count - at) * sizeof(*network));
    if (rules->account != NULL)
        account_give(rules->account, sizeof(*network));
    return ERR_OK;
}

/* Whether a rule before this one decides about its peer already. */
static bool is_decided_before(const struct peer_rules *rules, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (rules->ordered[i].subject == PEER_RULE_PEER &&
            peer_id_equal(&rules->ordered[i].peer, &rules->ordered[at].peer))
            return true;
    return false;
}

bool peer_rules_allow(const struct peer_rules *rules, const struct peer_id *peer, const uint8_t ip[IP_BYTES])
{
    bool unknown = peer == NULL || peer_id_is_empty(peer);
    for (size_t i = 0; i < rules->ordered_count; i++) {
        const struct peer_rule *rule = &rules->ordered[i];
        bool matches = rule->subject == PEER_RULE_ALL ||
                       (rule->subject == PEER_RULE_NETWORK && ip_network_contains(&rule->network, ip)) ||
                       (rule->subject == PEER_RULE_PEER && !unknown && peer_id_equal(&rule->peer, peer));
        if (matches)
            return rule->allow;
        if (unknown && rule->subject == PEER_RULE_PEER && rule->allow && !is_decided_before(rules, i))
            return true; /* it may be this one */
    }
    for (size_t i = 0; i < rules->filter_count; i++)
        if (ip_network_contains(&rules->filters[i], ip))
            return false;
    return true;
}
