/* SPDX-License-Identifier: MIT */
/*
 * What this node keeps for others as a server, over its lives: the rows of both stores, which the state actor writes.
 *
 *      start   state_providers, state_values: a page at a time, until one is empty
 *      later   slots that changed, a few a second: casts state_provider, state_value
 *
 * Peers are served meanwhile from what is there. A row that finds no room in the mailbox of state is told again.
 */
#include "actors/discovery/dht.h"
#include "actors/tree.h"

enum { KEEP_TICK_MS = 1000, KEEP_ROWS_TICK = 256, KEEP_ROWS_LAST = 2048, PAGE_TIMEOUT_S = 10, AGAIN_S = 5 };
enum { PROVIDERS_REPLY = 256 * 1024, VALUES_REPLY = 256 * 1024 };

/* ---- loading ---- */

static bool ask_page(struct dht *d, uint16_t kind, const void *fields, uint32_t reply_bytes, uint64_t tag)
{
    struct call_opts opts = {.timeout_ns = PAGE_TIMEOUT_S * SECOND_NS, .reply_bytes_max = reply_bytes};
    return ctx_call(d->ctx, ACTOR_STATE, &(struct msg){.kind = kind, .fields = fields}, opts, tag) == ERR_OK;
}

static void ask_pages(struct dht *d)
{
    struct dht_keep *keep = &d->keep;
    struct msg_state_providers providers = {.after_at = keep->after_at, .after_slot = keep->after_slot};
    struct msg_state_values values = {.after_slot = keep->value_slot};
    if (keep->providers == DHT_KEEP_BEHIND &&
        ask_page(d, MSG_STATE_PROVIDERS, &providers, PROVIDERS_REPLY, TAG_DHT_PROVIDERS))
        keep->providers = DHT_KEEP_ASKED;
    if (keep->values == DHT_KEEP_BEHIND && ask_page(d, MSG_STATE_VALUES, &values, VALUES_REPLY, TAG_DHT_VALUES))
        keep->values = DHT_KEEP_ASKED;
}

static void drop_provider(struct dht *d, uint64_t slot)
{
    struct msg_state_provider gone = {.slot = slot, .gone = true};
    (void)ctx_cast(d->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_PROVIDER, .fields = &gone});
}

static void drop_value(struct dht *d, uint64_t slot)
{
    struct msg_state_value gone = {.slot = slot, .gone = true};
    (void)ctx_cast(d->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_VALUE, .fields = &gone});
}

static void take_providers(struct dht *d, const struct msg_state_providers_ok *page)
{
    struct dht_keep *keep = &d->keep;
    struct item_kept_provider item;
    size_t position = 0;
    keep->providers = page->rows.count == 0 ? DHT_KEEP_LOADED : DHT_KEEP_BEHIND;
    while (schema_list_next_map(&page->rows, &schema_item_kept_provider, &position, &item)) {
        struct provider_row row = {.slot = (uint32_t)MIN(item.slot, (uint64_t)UINT32_MAX),
                                   .addrs = item.addrs,
                                   .received_ns = item.received_at};
        keep->after_at = item.received_at;
        keep->after_slot = item.slot + 1;
        /* a row that somebody damaged names nobody, and is dropped by the store */
        if (peer_id_parse(item.peer, &row.peer) != ERR_OK || item.key.len != sizeof(row.key))
            row.peer = (struct peer_id){0};
        else
            memcpy(row.key, item.key.data, sizeof(row.key));
        if (!provider_store_load(d->providers, &row, ctx_real_now(d->ctx)))
            drop_provider(d, item.slot);
    }
}

static void take_values(struct dht *d, const struct msg_state_values_ok *page)
{
    struct dht_keep *keep = &d->keep;
    struct item_kept_value item;
    size_t position = 0;
    keep->values = page->rows.count == 0 ? DHT_KEEP_LOADED : DHT_KEEP_BEHIND;
    while (schema_list_next_map(&page->rows, &schema_item_kept_value, &position, &item)) {
        struct record_row row = {.slot = (uint32_t)MIN(item.slot, (uint64_t)UINT32_MAX),
                                 .record = {.key = item.key, .value = item.value, .received_ns = item.received_at}};
        keep->value_slot = item.slot + 1;
        if (peer_id_parse(item.peer, &row.record.sender) != ERR_OK)
            row.record.sender = (struct peer_id){0};
        if (!record_store_load(d->records, &row, ctx_real_now(d->ctx)))
            drop_value(d, item.slot);
    }
}

void dht_keep_reply(struct dht *d, const struct info *info)
{
    struct dht_keep *keep = &d->keep;
    if (d->providers == NULL)
        return;
    if (info->err == ERR_OK && info->tag == TAG_DHT_PROVIDERS) {
        take_providers(d, info->msg->fields);
    } else if (info->err == ERR_OK) {
        take_values(d, info->msg->fields);
    } else {
        enum dht_keep_state *part = info->tag == TAG_DHT_PROVIDERS ? &keep->providers : &keep->values;
        *part = DHT_KEEP_BEHIND;
        keep->due_ns = ctx_now(d->ctx) + AGAIN_S * SECOND_NS;
        return;
    }
    ask_pages(d);
}

/* ---- telling ---- */

static bool tell_provider(struct dht *d)
{
    struct provider_row row;
    if (!provider_store_next_row(d->providers, &row))
        return false;
    struct msg_state_provider fields = {.slot = row.slot, .gone = row.gone};
    if (!row.gone) {
        fields.key = span_of(row.key, sizeof(row.key));
        fields.peer = peer_id_span(&row.peer);
        fields.addrs = row.addrs;
        fields.received_at = row.received_ns;
    }
    if (ctx_cast(d->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_PROVIDER, .fields = &fields}) == ERR_OK)
        return true;
    provider_store_row_again(d->providers, row.slot);
    return false;
}

static bool tell_value(struct dht *d)
{
    struct record_row row;
    if (!record_store_next_row(d->records, &row))
        return false;
    struct msg_state_value fields = {.slot = row.slot, .gone = row.gone};
    if (!row.gone) {
        fields.key = row.record.key;
        fields.value = row.record.value;
        fields.peer = peer_id_span(&row.record.sender);
        fields.received_at = row.record.received_ns;
    }
    if (ctx_cast(d->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_VALUE, .fields = &fields}) == ERR_OK)
        return true;
    record_store_row_again(d->records, row.slot);
    return false;
}

static void tell(struct dht *d, unsigned rows)
{
    for (unsigned i = 0; i < rows && tell_provider(d); i++)
        ;
    for (unsigned i = 0; i < rows / 16 && tell_value(d); i++) /* they are twenty times as large */
        ;
}

void dht_keep_tick(struct dht *d, uint64_t now_ns)
{
    if (d->providers == NULL || now_ns < d->keep.due_ns)
        return;
    d->keep.due_ns = now_ns + KEEP_TICK_MS * MS_NS;
    ask_pages(d);
    tell(d, KEEP_ROWS_TICK);
}

uint64_t dht_keep_due(const struct dht *d)
{
    const struct dht_keep *keep = &d->keep;
    if (d->providers == NULL)
        return UINT64_MAX;
    bool behind = keep->providers == DHT_KEEP_BEHIND || keep->values == DHT_KEEP_BEHIND;
    bool rows = provider_store_has_rows(d->providers) || record_store_has_rows(d->records);
    return behind || rows ? keep->due_ns : UINT64_MAX;
}

/* The last ones of a life. */
void dht_keep_release(struct dht *d)
{
    if (d->providers != NULL)
        tell(d, KEEP_ROWS_LAST);
}
