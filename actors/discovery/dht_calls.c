/* SPDX-License-Identifier: MIT */
/* Calls of other actors: each becomes a search, which answers it when it ends. */
#include "actors/discovery/dht.h"
#include "wire/cid.h"

enum { PROVIDERS_DEFAULT = 10, LOCAL_PROVIDERS_MAX = 32 };

/* What this node knows by itself comes first. */
static void begin_with_own(struct dht_search *s)
{
    struct dht *d = s->dht;
    struct provider found[LOCAL_PROVIDERS_MAX];
    size_t count = 0;
    if (d->providers != NULL)
        count = provider_store_get(d->providers, span_of(s->key, s->key_len), 0, ctx_real_now(d->ctx), found,
                                   LOCAL_PROVIDERS_MAX);
    for (size_t i = 0; i < count; i++) {
        bool self = peer_id_equal(&found[i].peer, &d->self);
        dht_answers_provider(s, &found[i].peer, self ? buf_span(&d->own_addrs) : found[i].addrs);
    }
}

static enum err find_providers(struct dht *d, const struct msg_find_providers *fields, const struct reply_to *call)
{
    struct cid cid;
    struct dht_search *s;
    uint8_t hash[MULTIHASH_BYTES_MAX];
    enum err err = cid_parse(fields->cid, &cid);
    if (err == ERR_OK)
        err = dht_search_new(d, DHT_FIND_PROVIDERS, span_of(hash, multihash_encode(&cid.hash, hash)), call, &s);
    if (err != ERR_OK)
        return err;
    s->stream = fields->stream;
    s->wanted = fields->count == 0 ? PROVIDERS_DEFAULT : (size_t)MIN(fields->count, (uint64_t)LOOKUP_PROVIDERS_MAX);
    begin_with_own(s);
    s->over = dht_answers_enough(s);
    if (!s->over)
        dht_search_begin(s, NULL);
    d->dirty = true;
    return ERR_OK;
}

static enum err find_peer(struct dht *d, const struct msg_find_peer *fields, const struct reply_to *call)
{
    struct peer_id id;
    struct dht_search *s;
    enum err err = peer_id_parse(fields->peer, &id);
    if (err == ERR_OK)
        err = dht_search_new(d, DHT_FIND_PEER, peer_id_span(&id), call, &s);
    if (err != ERR_OK)
        return err;
    const struct dht_peer *known = dht_peer_find(d, &id);
    s->peer = id;
    s->wanted = 1;
    if (peer_id_equal(&id, &d->self))
        dht_answers_provider(s, &id, buf_span(&d->own_addrs));
    else if (known != NULL && known->up && known->addrs.len > 0)
        dht_answers_provider(s, &id, buf_span(&known->addrs));
    s->over = s->row_count > 0;
    if (!s->over)
        dht_search_begin(s, NULL);
    d->dirty = true;
    return ERR_OK;
}

static enum err route_get(struct dht *d, const struct msg_route_get *fields, const struct reply_to *call)
{
    struct dht_search *s;
    struct stored_record held;
    uint64_t expires_ns;
    if (dht_value_check(fields->key, (struct span){0}, 0, &expires_ns) == ERR_UNSUPPORTED) {
        ctx_reply_err(d->ctx, *call, ERR_UNSUPPORTED, "the key is of no namespace that is known here");
        return ERR_OK;
    }
    enum err err = dht_search_new(d, DHT_GET_VALUE, fields->key, call, &s);
    if (err != ERR_OK)
        return err;
    if (d->records != NULL && record_store_get(d->records, fields->key, ctx_real_now(d->ctx), &held) == ERR_OK &&
        buf_append_span(&s->value, held.value) == ERR_OK)
        s->values = 1;
    s->wanted = (size_t)fields->count;
    s->timed = fields->within_ns > 0 && ctx_now(d->ctx) + fields->within_ns < s->deadline_ns;
    if (fields->within_ns > 0)
        s->deadline_ns = MIN(s->deadline_ns, ctx_now(d->ctx) + fields->within_ns);
    dht_search_begin(s, NULL);
    return ERR_OK;
}

/* Without a call it is what state publishes again: how many took it is told in a cast, and a refusal is not. */
enum err dht_calls_put(struct dht *d, const struct msg_route_put *fields, const struct reply_to *call)
{
    struct dht_search *s;
    uint64_t expires_ns;
    enum err err = dht_value_check(fields->key, fields->value, ctx_real_now(d->ctx), &expires_ns);
    if (err == ERR_OK && d->records != NULL)
        err = record_store_put(d->records, fields->key, fields->value, &d->self, ctx_real_now(d->ctx));
    if (err != ERR_OK && err != ERR_BUSY && err != ERR_NOMEM) {
        if (call == NULL)
            return err;
        ctx_reply_err(d->ctx, *call, err == ERR_EXISTS ? err : ERR_INVALID, "%s",
                      err == ERR_EXISTS ? "a better value of this key is known"
                                        : "the rules of the key's namespace refuse this value");
        return ERR_OK;
    }
    err = dht_search_new(d, DHT_PUT_VALUE, fields->key, call, &s);
    if (err != ERR_OK)
        return err;
    if (buf_append_span(&s->value, fields->value) != ERR_OK) {
        s->over = true;
        d->dirty = true;
        return ERR_OK; /* nobody takes it, which is what the call is answered */
    }
    dht_search_begin(s, NULL);
    return ERR_OK;
}

static enum err provide(struct dht *d, const struct msg_provide *fields, const struct reply_to *call)
{
    struct cid cid;
    struct dht_search *s;
    uint8_t hash[MULTIHASH_BYTES_MAX];
    enum err err = cid_parse(fields->cid, &cid);
    if (err != ERR_OK)
        return err;
    struct span key = span_of(hash, multihash_encode(&cid.hash, hash));
    if (dht_denies_block(d, key))
        return ERR_DENIED;
    err = dht_search_new(d, DHT_PROVIDE, key, call, &s);
    if (err != ERR_OK)
        return err;
    if (d->providers != NULL)
        (void)!provider_store_add(d->providers, key, &d->self, (struct span){0}, ctx_real_now(d->ctx));
    dht_search_begin(s, NULL);
    return ERR_OK;
}

enum err dht_call(struct dht *d, struct ctx *ctx, const struct msg *msg, struct reply_to call)
{
    if (msg->kind == MSG_DHT_STAT) {
        d->ctx = ctx;
        return dht_answers_stat(d, call);
    }
    if (!d->enabled && (msg->kind == MSG_FIND_PEER || msg->kind == MSG_ROUTE_GET || msg->kind == MSG_ROUTE_PUT ||
                        msg->kind == MSG_PROVIDE)) {
        ctx_reply_err(ctx, call, ERR_UNAVAILABLE,
                      "there is no routing: the daemon is offline, or Routing.Type is none");
        return ERR_OK;
    }
    if (!d->enabled)
        return ERR_UNSUPPORTED;
    if (d->routers_only && msg->kind == MSG_PROVIDE) {
        ctx_reply_err(ctx, call, ERR_UNAVAILABLE,
                      "delegated routers are asked only: with Routing.Type delegated nothing is provided");
        return ERR_OK;
    }
    d->ctx = d->orders.ctx = ctx;
    ctx_detach(ctx); /* what is asked of peers has deadlines of its own */
    if (msg->kind == MSG_FIND_PROVIDERS)
        return find_providers(d, msg->fields, &call);
    if (msg->kind == MSG_FIND_PEER)
        return find_peer(d, msg->fields, &call);
    if (msg->kind == MSG_ROUTE_GET)
        return route_get(d, msg->fields, &call);
    if (msg->kind == MSG_ROUTE_PUT)
        return dht_calls_put(d, msg->fields, &call);
    if (msg->kind == MSG_PROVIDE)
        return provide(d, msg->fields, &call);
    return ERR_UNSUPPORTED;
}
