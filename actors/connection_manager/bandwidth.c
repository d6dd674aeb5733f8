/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/bandwidth.h"

#include <string.h>

#include "base/text.h"
#include "schemas/bandwidth_rule.h"
#include "schemas/config.h"

static enum err add_protocol(struct bandwidth *b, const struct bandwidth_rule *rule, uint64_t now_ns)
{
    struct bandwidth_protocol *p = &b->protocols[b->protocol_count];
    if (b->protocol_count == BANDWIDTH_PROTOCOLS_MAX || text_copy(rule->about, p->name, sizeof(p->name)) != ERR_OK)
        return ERR_INVALID;
    rate_line_init(&p->line[BANDWIDTH_IN]);
    rate_line_init(&p->line[BANDWIDTH_OUT]);
    rate_bucket_set(&p->line[BANDWIDTH_IN].bucket, rule->in, now_ns);
    rate_bucket_set(&p->line[BANDWIDTH_OUT].bucket, rule->out, now_ns);
    b->protocol_count++;
    return ERR_OK;
}

static enum err add_peer(struct bandwidth *b, const struct bandwidth_rule *rule, uint64_t now_ns)
{
    (void)now_ns;
    struct peer_id id = {0};
    bool every = span_equal_text(rule->about, "*");
    if (b->peer_count == BANDWIDTH_PEERS_MAX || (!every && peer_id_parse_text(rule->about, &id) != ERR_OK))
        return ERR_INVALID;
    b->peers[b->peer_count].id = id;
    b->peers[b->peer_count].rate[BANDWIDTH_IN] = rule->in;
    b->peers[b->peer_count++].rate[BANDWIDTH_OUT] = rule->out;
    return ERR_OK;
}

static enum err add_hours(struct bandwidth *b, const struct bandwidth_rule *rule, uint64_t now_ns)
{
    (void)now_ns;
    uint8_t from = 0;
    uint8_t to = 0;
    if (b->hour_count == BANDWIDTH_HOURS_MAX || bandwidth_hours_parse(rule->about, &from, &to) != ERR_OK)
        return ERR_INVALID;
    b->hours[b->hour_count].from = from;
    b->hours[b->hour_count].to = to;
    b->hours[b->hour_count].rate[BANDWIDTH_IN] = rule->in;
    b->hours[b->hour_count++].rate[BANDWIDTH_OUT] = rule->out;
    return ERR_OK;
}

enum err bandwidth_init(struct bandwidth *b, const struct config *config, uint64_t now_ns, const char **ret_item)
{
    const struct {
        const struct config_list *list;
        enum err (*add)(struct bandwidth *b, const struct bandwidth_rule *rule, uint64_t now_ns);
    } lists[] = {{&config->swarm_bandwidth_per_protocol, add_protocol},
                 {&config->swarm_bandwidth_per_peer, add_peer},
                 {&config->swarm_bandwidth_schedule, add_hours}};
    *b = (struct bandwidth){.usual = {config->swarm_bandwidth_in, config->swarm_bandwidth_out}};
    for (int d = 0; d < BANDWIDTH_DIRECTIONS; d++) {
        rate_line_init(&b->all[d]);
        rate_bucket_set(&b->all[d].bucket, b->usual[d], now_ns);
        b->limited = b->limited || b->usual[d] != 0;
    }
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        for (size_t i = 0; i < lists[l].list->count; i++) {
            struct bandwidth_rule rule;
            *ret_item = lists[l].list->items[i];
            enum err err = bandwidth_rule_parse(span_text(*ret_item), &rule);
            if (err == ERR_OK)
                err = lists[l].add(b, &rule, now_ns);
            if (err != ERR_OK)
                return err;
            b->limited = true;
        }
    }
    return ERR_OK;
}

static bool lies_in(unsigned hour, unsigned from, unsigned to)
{
    return from < to ? hour >= from && hour < to : hour >= from || hour < to;
}

void bandwidth_hour(struct bandwidth *b, unsigned hour, uint64_t now_ns)
{
    const uint64_t *rate = b->usual;
    for (size_t i = b->hour_count; i-- > 0;)
        if (lies_in(hour, b->hours[i].from, b->hours[i].to))
            rate = b->hours[i].rate;
    for (int d = 0; d < BANDWIDTH_DIRECTIONS; d++)
        if (b->all[d].bucket.rate != rate[d])
            rate_bucket_set(&b->all[d].bucket, rate[d], now_ns);
}

struct bandwidth_protocol *bandwidth_protocol_of(struct bandwidth *b, struct span name)
{
    for (size_t i = 0; i < b->protocol_count; i++) {
        size_t len = strlen(b->protocols[i].name);
        bool begins = name.len >= len && memcmp(name.data, b->protocols[i].name, len) == 0;
        if (begins && (name.len == len || name.data[len] == '/'))
            return &b->protocols[i];
    }
    return NULL;
}

void bandwidth_peer(const struct bandwidth *b, const struct peer_id *id, uint64_t now_ns,
                    struct rate_bucket buckets[BANDWIDTH_DIRECTIONS])
{
    size_t i = 0;
    while (i < b->peer_count && !peer_id_is_empty(&b->peers[i].id) && !peer_id_equal(&b->peers[i].id, id))
        i++;
    for (int d = 0; d < BANDWIDTH_DIRECTIONS; d++)
        rate_bucket_set(&buckets[d], i == b->peer_count ? 0 : b->peers[i].rate[d], now_ns);
}

uint64_t bandwidth_deadline(struct bandwidth *b, uint64_t now_ns)
{
    uint64_t at = UINT64_MAX;
    for (int d = 0; d < BANDWIDTH_DIRECTIONS; d++) {
        at = MIN(at, rate_line_deadline(&b->all[d], now_ns));
        for (size_t i = 0; i < b->protocol_count; i++)
            at = MIN(at, rate_line_deadline(&b->protocols[i].line[d], now_ns));
    }
    return at;
}
