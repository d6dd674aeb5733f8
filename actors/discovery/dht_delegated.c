/* SPDX-License-Identifier: MIT */
/* Searches ask the delegated routers, too, beside the DHTs: what they tell is taken as what peers tell, values only if they are valid. */
#include "actors/discovery/dht.h"
#include "wire/addr_list.h"

enum { ADDRS_BYTES = ROUTING_V1_ADDRS_MAX * (MULTIADDR_BYTES_MAX + 2) };

static const char names[] = "/ipns/";

static struct dht_search *find(struct dht *d, uint64_t question)
{
    struct dht_search *s = table_get(&d->searches, table_key_u64(&question));
    d->dirty = true;
    return s == NULL || s->over ? NULL : s;
}

static void on_peer(void *arg, uint64_t question, const struct routing_v1_peer *peer)
{
    struct dht_search *s = find(arg, question);
    struct buf addrs;
    bool asked_for = s != NULL && (s->kind != DHT_FIND_PEER || peer_id_equal(&peer->id, &s->peer));
    if (!asked_for || (s->kind == DHT_FIND_PROVIDERS && peer->told_protocols && !peer->bitswap))
        return; /* who speaks something else only, such as HTTP, cannot be asked by us */
    buf_init(&addrs, ADDRS_BYTES, NULL);
    for (size_t i = 0; i < peer->addr_count; i++)
        (void)!addr_list_add(&addrs, multiaddr_span(&peer->addrs[i]));
    if (s->kind == DHT_FIND_PROVIDERS || addrs.len > 0)
        dht_answers_provider(s, &peer->id, buf_span(&addrs));
    s->over = s->over || (s->kind == DHT_FIND_PEER && s->row_count > 0);
    buf_release(&addrs);
}

static void on_record(void *arg, uint64_t question, struct span record)
{
    struct dht_search *s = find(arg, question);
    if (s == NULL)
        return;
    if (s->kind == DHT_PUT_VALUE)
        s->stored_count++;
    else
        (void)dht_search_offer(s, record);
}

static void on_ended(void *arg, uint64_t question)
{
    struct dht_search *s = find(arg, question);
    if (s != NULL)
        s->delegated = false;
}

enum err dht_delegated_init(struct dht *d, const struct config *config)
{
    const struct delegated_hooks hooks = {.arg = d, .peer = on_peer, .record = on_record, .ended = on_ended};
    return delegated_init(&d->routers, d->ctx, config, &hooks);
}

/* The CID to ask with, and what for; false: routers are not asked for such things. */
static bool question_of(const struct dht_search *s, enum routing_v1_kind *ret_kind, struct cid *ret_cid)
{
    struct span key = span_of(s->key, s->key_len);
    struct multihash hash;
    bool name = span_equal_text(span_first(key, sizeof(names) - 1), names);
    if (s->kind == DHT_FIND_PROVIDERS)
        *ret_kind = ROUTING_V1_PROVIDERS;
    else if (s->kind == DHT_FIND_PEER)
        *ret_kind = ROUTING_V1_PEERS;
    else if ((s->kind == DHT_GET_VALUE || s->kind == DHT_PUT_VALUE) && name)
        *ret_kind = ROUTING_V1_NAMES;
    else
        return false;
    if (multihash_parse(name ? span_skip(key, sizeof(names) - 1) : key, &hash) != ERR_OK)
        return false;
    *ret_cid = cid_v1(s->kind == DHT_FIND_PROVIDERS ? CODEC_RAW : CODEC_LIBP2P_KEY, &hash);
    return true;
}

void dht_delegated_ask(struct dht_search *s)
{
    struct dht *d = s->dht;
    enum routing_v1_kind kind;
    struct cid cid;
    uint64_t now = ctx_now(d->ctx);
    if (!delegated_is_on(&d->routers) || !s->has_call || !question_of(s, &kind, &cid))
        return;
    uint64_t left = s->deadline_ns > now ? s->deadline_ns - now : 0;
    struct span record = s->kind == DHT_PUT_VALUE ? buf_span(&s->value) : (struct span){0};
    s->delegated = delegated_ask(&d->routers, d->ctx, kind, &cid, record, left - left / 10, s->id) == ERR_OK;
}
