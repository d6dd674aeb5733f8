/* SPDX-License-Identifier: MIT */
#include "dht/responder.h"

#include "wire/addr_list.h"

static enum err read_find_node(const struct kad_message *message, struct responder_request *request)
{
    if (message->key.len == 0 || message->key.len > KAD_RECORD_KEY_MAX)
        return ERR_PROTOCOL;
    bool peer = peer_id_parse(message->key, &request->target) == ERR_OK;
    /* Nobody is told about itself; a key that is no peer id is a plain place in the key space. */
    request->action =
        peer && !peer_id_equal(&request->target, &request->sender) ? RESPONDER_FIND_PEER : RESPONDER_ANSWER;
    return ERR_OK;
}

static enum err read_put_value(const struct kad_message *message, struct responder_request *request)
{
    const struct kad_record *record = &message->record;
    if (!message->has_record || message->key.len == 0 || message->key.len > KAD_RECORD_KEY_MAX ||
        record->value.len > KAD_RECORD_MAX || !span_equal(record->key, message->key))
        return ERR_PROTOCOL;
    request->action = RESPONDER_PUT_RECORD;
    request->record = (struct kad_record){.key = record->key, .value = record->value};
    return ERR_OK;
}

/* Who provides is who asks: anybody could name others. The addresses of all entries of its own are taken together. */
static enum err read_add_provider(const struct kad_message *message, enum addr_scope scope, struct buf *provider_addrs,
                                  struct responder_request *request)
{
    CLEANUP(buf_release) struct buf claimed = {0};
    struct kad_iterator it = {0};
    struct kad_peer peer;
    buf_init(&claimed, KAD_REQUEST_MAX, provider_addrs->account);
    while (kad_next_peer(message, KAD_PROVIDERS, &it, &peer)) {
        if (!peer_id_equal(&peer.id, &request->sender))
            continue;
        buf_clear(&claimed);
        enum err err = kad_peer_addrs(&peer, (size_t)4 * RESPONDER_ADDRS_MAX, &claimed);
        size_t have = addr_list_count(buf_span(provider_addrs));
        if (err == ERR_OK && have < RESPONDER_ADDRS_MAX)
            err = addr_scope_filter(scope, buf_span(&claimed), RESPONDER_ADDRS_MAX - have, provider_addrs);
        if (err != ERR_OK)
            return err;
    }
    request->action = provider_addrs->len > 0 ? RESPONDER_ADD_PROVIDER : RESPONDER_IGNORE;
    return ERR_OK;
}

static bool is_provider_key(struct span key)
{
    return key.len > 0 && key.len <= KAD_KEY_MAX;
}

enum err responder_read(const struct kad_message *message, const struct peer_id *sender, enum addr_scope scope,
                        struct buf *provider_addrs, struct responder_request *ret_request)
{
    struct responder_request request = {
        .action = RESPONDER_ANSWER, .type = message->type, .key = message->key, .sender = *sender};
    enum err err = ERR_OK;
    buf_clear(provider_addrs);
    switch (message->type) {
    case KAD_PING:
        break;
    case KAD_FIND_NODE:
        err = read_find_node(message, &request);
        break;
    case KAD_GET_PROVIDERS:
        request.action = RESPONDER_GET_PROVIDERS;
        err = is_provider_key(message->key) ? ERR_OK : ERR_PROTOCOL;
        break;
    case KAD_GET_VALUE:
        request.action = RESPONDER_GET_RECORD;
        err = message->key.len > 0 && message->key.len <= KAD_RECORD_KEY_MAX ? ERR_OK : ERR_PROTOCOL;
        break;
    case KAD_PUT_VALUE:
        err = read_put_value(message, &request);
        break;
    case KAD_ADD_PROVIDER:
        err =
            is_provider_key(message->key) ? read_add_provider(message, scope, provider_addrs, &request) : ERR_PROTOCOL;
        break;
    case KAD_TYPE_COUNT:
        err = ERR_PROTOCOL;
        break;
    }
    if (err == ERR_OK)
        *ret_request = request;
    return err;
}

/* One answer as it is made. */
struct answer {
    struct kad_writer *w;
    enum addr_scope scope;
    struct buf filtered; /* scratch */
};

static bool all_admitted(enum addr_scope scope, struct span addrs)
{
    struct span addr;
    while (addr_list_next(&addrs, &addr)) {
        if (!addr_scope_admits_listed(scope, addr))
            return false;
    }
    return true;
}

/* Most lists were filtered when they were kept: those are passed on as they are. */
static struct span filtered(struct answer *a, struct span addrs)
{
    if (all_admitted(a->scope, addrs))
        return addrs;
    buf_clear(&a->filtered);
    if (addr_scope_filter(a->scope, addrs, SIZE_MAX, &a->filtered) != ERR_OK)
        buf_clear(&a->filtered);
    return buf_span(&a->filtered);
}

static void put_target(struct answer *a, const struct responder_peer *target)
{
    struct span addrs = filtered(a, target->addrs);
    if (addrs.len > 0)
        (void)kad_writer_peer(a->w, KAD_CLOSER, target->id, addrs,
                              target->connected ? KAD_CONNECTED : KAD_NOT_CONNECTED, 0);
}

/* A provider without an address of this scope is named all the same: the asker may know it. */
static void put_providers(struct answer *a, const struct responder_results *results)
{
    size_t count = MIN(results->provider_count, (size_t)RESPONDER_PROVIDERS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct responder_peer *provider = &results->providers[i];
        (void)kad_writer_peer(a->w, KAD_PROVIDERS, provider->id, filtered(a, provider->addrs),
                              provider->connected ? KAD_CONNECTED : KAD_NOT_CONNECTED, RESPONDER_CLOSER_RESERVE);
    }
}

static void put_closer(struct answer *a, const struct routing_table *table, const struct responder_request *request,
                       const struct responder_peer *target)
{
    const struct routing_peer *closest[KAD_K + 2]; /* the asker and the target may be among them */
    struct kad_key key = kad_key_of(request->key);
    size_t count = routing_table_closest(table, &key, closest, ARRAY_LEN(closest));
    size_t told = 0;
    for (size_t i = 0; i < count && told < KAD_K; i++) {
        const struct routing_peer *peer = closest[i];
        if (peer_id_equal(&peer->id, &request->sender) || (target != NULL && peer_id_equal(&peer->id, target->id)))
            continue;
        struct span addrs = filtered(a, routing_peer_addrs(peer));
        if (addrs.len > 0)
            told += kad_writer_peer(a->w, KAD_CLOSER, &peer->id, addrs, KAD_NOT_CONNECTED, 0);
    }
}

enum err responder_answer(const struct routing_table *table, const struct responder_request *request,
                          enum addr_scope scope, const struct responder_results *results, struct kad_writer *w,
                          struct buf *out)
{
    struct answer a = {.w = w, .scope = scope};
    buf_init(&a.filtered, 16 * KIB, NULL);
    bool looks_up =
        request->type == KAD_FIND_NODE || request->type == KAD_GET_PROVIDERS || request->type == KAD_GET_VALUE;
    /* As go-libp2p: who asks for a node knows for which. */
    kad_writer_begin(w, request->type, request->type == KAD_FIND_NODE ? span_of(NULL, 0) : request->key);
    if (request->type == KAD_PUT_VALUE)
        kad_writer_record(w, &request->record);
    if (request->type == KAD_GET_VALUE && results->has_record)
        kad_writer_record(w, &results->record);
    if (request->type == KAD_FIND_NODE && results->target != NULL)
        put_target(&a, results->target);
    if (request->type == KAD_GET_PROVIDERS)
        put_providers(&a, results);
    if (looks_up)
        put_closer(&a, table, request, request->type == KAD_FIND_NODE ? results->target : NULL);
    buf_release(&a.filtered);
    return kad_writer_finish(w, out);
}
