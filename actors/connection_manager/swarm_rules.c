/* SPDX-License-Identifier: MIT */
/* With whom to speak: the rules of the configuration, and the filters that are changed while the node runs. */
#include <stdlib.h>

#include "actors/connection_manager/swarm.h"
#include "mailbox/crash_history.h"
#include "net/addr.h"
#include "schemas/messages.h"

enum { FILTERS_BYTES_MAX = 64 * 1024 };

enum err swarm_rules_init(struct swarm *s)
{
    const struct config_list *rules = &s->config->swarm_peer_rules;
    const struct config_list *filters = &s->config->swarm_addr_filters;
    enum err err = ERR_OK;
    peer_rules_init(&s->rules, s->tables);
    for (size_t i = 0; i < rules->count && err == ERR_OK; i++) {
        struct peer_rule rule;
        err = peer_rule_parse(span_text(rules->items[i]), &rule);
        if (err == ERR_OK)
            err = peer_rules_append(&s->rules, &rule);
        if (err != ERR_OK)
            return ctx_fail(s->ctx, err, "Swarm.PeerRules: %s is no rule such as \"deny 203.0.113.0/24\"",
                            rules->items[i]);
    }
    for (size_t i = 0; i < filters->count && err == ERR_OK; i++) {
        struct ip_network network;
        err = ip_network_parse(span_text(filters->items[i]), &network);
        if (err == ERR_OK)
            err = peer_rules_filter(&s->rules, &network);
        err = err == ERR_EXISTS ? ERR_OK : err;
        if (err != ERR_OK)
            return ctx_fail(s->ctx, err, "Swarm.AddrFilters: %s is no network such as /ip4/10.0.0.0/ipcidr/8",
                            filters->items[i]);
    }
    return ERR_OK;
}

void swarm_blame(const struct swarm_conn *c)
{
    uint8_t ip[IP_BYTES];
    if (c->peer != NULL) {
        ctx_of_peer(c->swarm->ctx, CRASH_WHO_PEER, peer_id_span(&c->peer->id));
        return;
    }
    addr_map(&c->remote.addr, ip);
    ctx_of_peer(c->swarm->ctx, CRASH_WHO_ADDR, span_of(ip, sizeof(ip)));
}

/* With whose bytes an actor crashed twice in a row. An exempt address may be that of many. */
static bool is_banned(const struct swarm *s, const struct peer_id *peer, const struct net_addr *addr,
                      const uint8_t ip[IP_BYTES])
{
    const struct crash_history *h = ctx_crashes(s->ctx);
    uint64_t now = ctx_now(s->ctx);
    if (h == NULL || h->ban_count == 0)
        return false;
    if (peer != NULL && peer->len > 0 && crash_history_banned(h, CRASH_WHO_PEER, peer_id_span(peer), now))
        return true;
    return crash_history_banned(h, CRASH_WHO_ADDR, span_of(ip, IP_BYTES), now) && !gate_is_exempt(&s->gate, addr);
}

bool swarm_may_speak(struct swarm *s, const struct peer_id *peer, const struct net_addr *addr)
{
    uint8_t ip[IP_BYTES];
    addr_map(addr, ip);
    bool may = peer_rules_allow(&s->rules, peer, ip) && !is_banned(s, peer, addr, ip);
    s->denied += !may;
    return may;
}

/* What a change now denies goes. */
static void enforce(struct swarm *s)
{
    size_t position = 0;
    struct swarm_conn *c;
    while ((c = table_next(&s->conns, &position, NULL)) != NULL) {
        if (c->over || swarm_may_speak(s, c->peer == NULL ? NULL : &c->peer->id, &c->remote.addr))
            continue;
        swarm_close(c, ERR_DENIED);
    }
}

void swarm_enforce_bans(struct swarm *s)
{
    const struct crash_history *h = ctx_crashes(s->ctx);
    if (h != NULL && h->ban_count > 0)
        enforce(s);
}

static enum err add_text(struct buf *items, const struct ip_network *network, uint32_t *count)
{
    char text[IP_NETWORK_TEXT_MAX];
    ip_network_text(network, text);
    ++*count;
    return schema_list_add_text(items, span_text(text));
}

static void reply(struct swarm *s, struct reply_to call, const struct buf *items, uint32_t count)
{
    struct msg_swarm_filters_ok fields = {.filters = schema_list_of(items, count), .denied = s->denied};
    ctx_reply(s->ctx, call, &(struct msg){.kind = MSG_SWARM_FILTERS_OK, .fields = &fields});
}

enum err swarm_reply_filters(struct swarm *s, struct reply_to call)
{
    struct buf items;
    uint32_t count = 0;
    enum err err = ERR_OK;
    buf_init(&items, FILTERS_BYTES_MAX, NULL);
    for (size_t i = 0; i < s->rules.filter_count && err == ERR_OK; i++)
        err = add_text(&items, &s->rules.filters[i], &count);
    if (err == ERR_OK)
        reply(s, call, &items, count);
    buf_release(&items);
    return err;
}

static enum err remove_all(struct swarm *s, struct buf *items, uint32_t *count)
{
    enum err err = ERR_OK;
    while (s->rules.filter_count > 0 && err == ERR_OK) {
        struct ip_network first = s->rules.filters[0];
        err = add_text(items, &first, count);
        if (err == ERR_OK)
            err = peer_rules_unfilter(&s->rules, &first);
    }
    return err;
}

static enum err change_one(struct swarm *s, bool remove, struct span text, struct buf *items, uint32_t *count)
{
    struct ip_network network;
    if (remove && (span_equal_text(text, "all") || span_equal_text(text, "*")))
        return remove_all(s, items, count);
    enum err err = ip_network_parse(text, &network);
    if (err == ERR_OK)
        err = remove ? peer_rules_unfilter(&s->rules, &network) : peer_rules_filter(&s->rules, &network);
    if (err == ERR_EXISTS || err == ERR_NOT_FOUND)
        return ERR_OK; /* as it should be already: nothing was changed */
    return err == ERR_OK ? add_text(items, &network, count) : err;
}

/* All are read before the first is applied. */
static enum err check(struct swarm *s, const struct msg_swarm_filters_change *fields, struct reply_to call)
{
    size_t position = 0;
    struct span text;
    struct ip_network network;
    while (schema_list_next_bytes(&fields->filters, &position, &text)) {
        bool all = fields->remove && (span_equal_text(text, "all") || span_equal_text(text, "*"));
        if (all || ip_network_parse(text, &network) == ERR_OK)
            continue;
        ctx_reply_err(s->ctx, call, ERR_INVALID, "%.*s is no network such as /ip4/192.168.0.0/ipcidr/16",
                      (int)MIN(text.len, (size_t)100), (const char *)text.data);
        return ERR_INVALID;
    }
    return ERR_OK;
}

void swarm_filters_again(struct swarm *s, const struct msg_swarm_filters_change *fields)
{
    struct buf items;
    size_t position = 0;
    struct span text;
    uint32_t count = 0;
    enum err err = ERR_OK;
    buf_init(&items, FILTERS_BYTES_MAX, NULL);
    while (err == ERR_OK && schema_list_next_bytes(&fields->filters, &position, &text))
        err = change_one(s, fields->remove, text, &items, &count);
    if (err != ERR_OK)
        ctx_log(s->ctx, LOG_WARN, "address filters of the life before could not all be taken: %s", err_text(err));
    enforce(s);
    buf_release(&items);
}

enum err swarm_filters_change(struct swarm *s, const struct msg_swarm_filters_change *fields, struct reply_to call)
{
    if (check(s, fields, call) != ERR_OK)
        return ERR_OK; /* answered */
    struct buf items;
    size_t position = 0;
    struct span text;
    uint32_t count = 0;
    enum err err = ERR_OK;
    buf_init(&items, FILTERS_BYTES_MAX, NULL);
    while (err == ERR_OK && schema_list_next_bytes(&fields->filters, &position, &text))
        err = change_one(s, fields->remove, text, &items, &count);
    enforce(s);
    if (err == ERR_OK)
        reply(s, call, &items, count);
    buf_release(&items);
    return err;
}
