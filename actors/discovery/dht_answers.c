/* SPDX-License-Identifier: MIT */
/* Results of searches as messages: to callers, to whom wants them one by one, and what the node says of its tables. */
#include "actors/discovery/dht.h"
#include "actors/tree.h"
#include "wire/addr_list.h"
#include "wire/multiaddr.h"

enum { ADDRS_TOLD_MAX = 32, ADDRS_BYTES_MAX = 64 * 1024, STAT_BYTES_MAX = 200 * 1024 };

static uint32_t list_texts(struct span addrs, struct buf *items)
{
    struct span addr;
    uint32_t count = 0;
    char text[MSG_ADDR_MAX];
    while (count < ADDRS_TOLD_MAX && addr_list_next(&addrs, &addr))
        if (multiaddr_text(addr, text, sizeof(text)) == ERR_OK &&
            schema_list_add_text(items, span_text(text)) == ERR_OK)
            count++;
    return count;
}

bool dht_answers_enough(const struct dht_search *s)
{
    if (s->kind == DHT_GET_VALUE)
        return s->wanted > 0 && s->values >= s->wanted;
    return s->kind == DHT_FIND_PROVIDERS && table_len(&s->told) >= s->wanted;
}

void dht_answers_provider(struct dht_search *s, const struct peer_id *id, struct span addrs)
{
    struct dht *d = s->dht;
    bool again = table_get(&s->told, peer_id_span(id)) != NULL;
    if (s->stream != 0 && peer_id_equal(id, &d->self))
        return; /* nor does it count as one of those that are enough */
    if (!again && (dht_answers_enough(s) || table_put(&s->told, peer_id_span(id), s, NULL) != ERR_OK))
        return;
    if (again && (addrs.len == 0 || s->stream == 0))
        return; /* one row each */
    const struct dht_peer *known = addrs.len == 0 ? dht_peer_find(d, id) : NULL;
    struct buf items;
    buf_init(&items, ADDRS_BYTES_MAX, NULL);
    uint32_t count = list_texts(known == NULL ? addrs : buf_span(&known->addrs), &items);
    struct item_provider row = {.peer = peer_id_span(id), .addrs = schema_list_of(&items, count)};
    if (schema_list_add_map(&s->rows, &schema_item_provider, &row) == ERR_OK)
        s->row_count++;
    buf_release(&items);
}

void dht_answers_stream(struct dht_search *s)
{
    if (s->row_count == 0)
        return;
    struct msg_provider_found fields = {.stream = s->stream, .providers = schema_list_of(&s->rows, s->row_count)};
    (void)ctx_cast(s->dht->ctx, s->call.from, &(struct msg){.kind = MSG_PROVIDER_FOUND, .fields = &fields});
    s->row_count = 0;
    buf_clear(&s->rows);
}

/* ---- the ends ---- */

static void reply(struct dht_search *s, uint16_t kind, const void *fields)
{
    ctx_reply(s->dht->ctx, s->call, &(struct msg){.kind = kind, .fields = fields});
}

/* What the search took in both DHTs: questions, and the longest way of an answer; that of the first provider, if there is one. */
static struct lookup_stats effort(const struct dht_search *s)
{
    struct lookup_stats sum = {0};
    for (unsigned n = 0; n < DHT_NET_COUNT; n++) {
        struct lookup_stats one;
        if (s->lookups[n] == NULL)
            continue;
        lookup_stats(s->lookups[n], &one);
        sum.asked += one.asked;
        sum.hops = MAX(sum.hops, one.hops_goal != 0 ? one.hops_goal : one.hops);
    }
    return sum;
}

/* What was not found by the deadline may be there all the same. */
static void not_found(const struct dht_search *s, const char *text)
{
    if (s->partial)
        ctx_reply_err(s->dht->ctx, s->call, ERR_TIMEOUT,
                      "the time was over before the search had ended: %u peers were asked", (unsigned)effort(s).asked);
    else
        ctx_reply_err(s->dht->ctx, s->call, ERR_NOT_FOUND, "%s", text);
}

static void end_peer(struct dht_search *s)
{
    struct schema_list rows = schema_list_of(&s->rows, s->row_count);
    struct item_provider row;
    size_t position = 0;
    struct lookup_stats took = effort(s);
    if (s->row_count == 0 || !schema_list_next_map(&rows, &schema_item_provider, &position, &row)) {
        not_found(s, "nobody who was asked knows where this peer is");
        return;
    }
    struct msg_peer_found fields = {.peer = row.peer, .addrs = row.addrs, .asked = took.asked, .hops = took.hops};
    reply(s, MSG_PEER_FOUND, &fields);
}

static bool knew_nobody(const struct dht_search *s)
{
    return s->lookups[DHT_WAN] == NULL && s->lookups[DHT_LAN] == NULL;
}

static void end_stored(struct dht_search *s)
{
    if (s->stored_count == 0 && s->partial) {
        not_found(s, "");
        return;
    }
    if (s->stored_count == 0) {
        ctx_reply_err(s->dht->ctx, s->call, ERR_UNREACHABLE, "%s",
                      knew_nobody(s) ? "no peers are in the routing tables yet" : "none of the closest peers took it");
        return;
    }
    struct msg_route_put_ok put = {.count = s->stored_count, .partial = s->partial};
    struct lookup_stats took = effort(s);
    struct msg_provide_ok provided = {
        .count = s->stored_count, .asked = took.asked, .hops = took.hops, .partial = s->partial};
    if (s->kind == DHT_PUT_VALUE)
        reply(s, MSG_ROUTE_PUT_OK, &put);
    else
        reply(s, MSG_PROVIDE_OK, &provided);
}

static void end_value(struct dht_search *s)
{
    struct msg_route_value fields = {.value = buf_span(&s->value), .partial = s->partial};
    if (s->values > 0)
        reply(s, MSG_ROUTE_VALUE, &fields);
    else
        not_found(s,
                  knew_nobody(s) ? "no peers are in the routing tables yet" : "nobody who was asked has a valid value");
}

/* What state had published again. */
static void tell_state(const struct dht_search *s)
{
    struct msg_ipns_told told = {.key = span_of(s->key, s->key_len), .count = s->stored_count};
    (void)ctx_cast(s->dht->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_IPNS_TOLD, .fields = &told});
}

void dht_answers_end(struct dht_search *s)
{
    struct lookup_stats took = effort(s);
    struct msg_providers providers = {.providers = schema_list_of(&s->rows, s->row_count),
                                      .asked = took.asked,
                                      .hops = took.hops,
                                      .partial = s->partial};
    if (!s->has_call && s->kind == DHT_PUT_VALUE)
        tell_state(s);
    if (!s->has_call)
        return;
    switch (s->kind) {
    case DHT_FIND_PROVIDERS:
        reply(s, MSG_PROVIDERS, &providers);
        break;
    case DHT_FIND_PEER:
        end_peer(s);
        break;
    case DHT_GET_VALUE:
        end_value(s);
        break;
    case DHT_PUT_VALUE:
    case DHT_PROVIDE:
        end_stored(s);
        break;
    case DHT_EXPLORE:
    case DHT_REFRESH:
        break;
    }
}

/* ---- the tables ---- */

static uint64_t real_of(const struct dht *d, uint64_t ms)
{
    return ms == 0 ? 0 : ctx_real_now(d->ctx) - (dht_ms(d) - ms) * MS_NS;
}

static uint32_t list_peers(const struct dht_net *net, struct buf *rows)
{
    const struct dht *d = net->dht;
    size_t position = 0;
    uint32_t count = 0;
    const struct routing_peer *p;
    while ((p = routing_table_next(&net->table, &position)) != NULL) {
        const struct dht_peer *known = dht_peer_find(d, &p->id);
        struct item_routing_peer row = {.peer = peer_id_span(&p->id),
                                        .bucket = p->cpl,
                                        .connected = known != NULL && known->up,
                                        .useful_at = real_of(d, p->last_useful_ms),
                                        .queried_at = real_of(d, p->last_queried_ms)};
        count += schema_list_add_map(rows, &schema_item_routing_peer, &row) == ERR_OK;
    }
    return count;
}

static enum err add_table(const struct dht_net *net, struct buf *tables)
{
    struct buf rows;
    buf_init(&rows, STAT_BYTES_MAX / 2, NULL);
    uint32_t count = list_peers(net, &rows);
    struct item_dht_table table = {.name = span_text(net->name),
                                   .server = net->server,
                                   .refreshed_at = net->refreshed_real_ns,
                                   .lookups = net->counters.lookups,
                                   .requests_out = net->counters.requests_out,
                                   .told_out = net->counters.told_out,
                                   .requests_failed = net->counters.requests_failed,
                                   .streams_out = net->counters.streams_out,
                                   .requests_in = net->counters.requests_in,
                                   .requests_refused = net->counters.requests_refused,
                                   .peers = schema_list_of(&rows, count)};
    enum err err = schema_list_add_map(tables, &schema_item_dht_table, &table);
    buf_release(&rows);
    return err;
}

enum err dht_answers_stat(struct dht *d, struct reply_to call)
{
    struct buf tables;
    uint32_t count = 0;
    buf_init(&tables, STAT_BYTES_MAX, NULL);
    for (unsigned n = 0; n < DHT_NET_COUNT && d->enabled; n++)
        count += add_table(&d->nets[n], &tables) == ERR_OK;
    struct msg_dht_stat_ok fields = {.tables = schema_list_of(&tables, count)};
    ctx_reply(d->ctx, call, &(struct msg){.kind = MSG_DHT_STAT_OK, .fields = &fields});
    buf_release(&tables);
    return ERR_OK;
}

/* Changes with whatever a row would show. */
static uint64_t sum_of(const struct dht_net *net)
{
    const struct dht_counters *c = &net->counters;
    uint64_t sum = c->lookups + c->requests_out + c->requests_failed + c->requests_in + c->requests_refused +
                   net->refreshed_real_ns + net->server + 1;
    size_t position = 0;
    const struct routing_peer *p;
    while ((p = routing_table_next(&net->table, &position)) != NULL) {
        const struct dht_peer *known = dht_peer_find(net->dht, &p->id);
        sum = sum * 31 + p->last_useful_ms + p->last_queried_ms + (known != NULL && known->up);
    }
    return sum;
}

void dht_answers_report(struct dht_net *net)
{
    struct dht *d = net->dht;
    struct buf rows;
    uint64_t sum = sum_of(net);
    if (sum == net->reported || net->report_at_ns > ctx_now(d->ctx))
        return;
    net->reported = sum;
    net->report_at_ns = ctx_now(d->ctx) + DHT_REPORT_MS * MS_NS;
    buf_init(&rows, STAT_BYTES_MAX / 2, NULL);
    uint32_t count = list_peers(net, &rows);
    struct msg_state_dht fields = {.name = span_text(net->name),
                                   .server = net->server,
                                   .refreshed_at = net->refreshed_real_ns,
                                   .lookups = net->counters.lookups,
                                   .requests_out = net->counters.requests_out,
                                   .requests_failed = net->counters.requests_failed,
                                   .requests_in = net->counters.requests_in,
                                   .requests_refused = net->counters.requests_refused,
                                   .peers = schema_list_of(&rows, count)};
    (void)ctx_cast(d->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_DHT, .fields = &fields});
    buf_release(&rows);
}
