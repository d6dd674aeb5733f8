/* SPDX-License-Identifier: MIT */
/*
 * Requests of peers. What may not be answered at once waits on its stream, whose credit is then not given back, so that the peer has to
 * wait too: for its rate, or until it reads what it was answered. Broken or forbidden requests reset the stream.
 *
 * Streams are in the order of their last use: those that were quiet for a minute are reset, and when there are too many of them the one that is quiet
 * longest gives way, unless all are busy.
 */
#include <stdlib.h>

#include "actors/discovery/dht.h"

static void drop(struct dht_inbound *in)
{
    struct dht_peer *peer = in->peer;
    struct dht *d = peer->dht;
    TAILQ_REMOVE(&d->inbounds, in, by_use);
    if (in->waits)
        TAILQ_REMOVE(&d->waiting, in, waiting);
    (void)table_remove(&d->ins, table_key_u64(&in->number));
    kad_reader_release(&in->reader);
    stream_pieces_release(&in->pieces);
    free(in);
    account_give(d->tables, sizeof(*in));
    peer->inbound--;
    dht_peer_drop_if_idle(peer);
}

static void reset(struct dht_inbound *in)
{
    stream_orders_reset(&in->peer->dht->orders, in->number);
    drop(in);
}

void dht_serve_closed(struct dht_inbound *in)
{
    drop(in);
}

static void touch(struct dht_inbound *in)
{
    struct dht *d = in->peer->dht;
    in->used_ns = ctx_now(d->ctx);
    TAILQ_REMOVE(&d->inbounds, in, by_use);
    TAILQ_INSERT_TAIL(&d->inbounds, in, by_use);
}

/* ---- streams ---- */

static struct dht_net *net_of(struct dht *d, struct span protocol)
{
    for (unsigned n = 0; n < DHT_NET_COUNT; n++)
        if (span_equal_text(protocol, d->nets[n].protocol))
            return &d->nets[n];
    return NULL;
}

static bool make_room(struct dht *d)
{
    struct dht_inbound *oldest = TAILQ_FIRST(&d->inbounds);
    if (table_len(&d->ins) < DHT_INBOUND_MAX)
        return true;
    if (oldest->used_ns + DHT_INBOUND_YOUNG_MS * MS_NS > ctx_now(d->ctx))
        return false;
    reset(oldest);
    return true;
}

static bool add(struct dht *d, struct dht_net *net, struct dht_peer *peer, uint64_t number)
{
    struct dht_inbound *in = account_take(d->tables, sizeof(*in)) ? calloc(1, sizeof(*in)) : NULL;
    if (in == NULL)
        return false;
    in->peer = peer;
    in->net = net;
    in->number = number;
    in->used_ns = ctx_now(d->ctx);
    if (table_put(&d->ins, table_key_u64(&in->number), in, NULL) != ERR_OK) {
        free(in);
        account_give(d->tables, sizeof(*in));
        return false;
    }
    kad_reader_init(&in->reader, KAD_REQUEST_MAX, KAD_REQUEST_MAX, &d->messages);
    stream_pieces_init(&in->pieces);
    TAILQ_INSERT_TAIL(&d->inbounds, in, by_use);
    peer->inbound++;
    return true;
}

void dht_serve_opened(struct dht *d, const struct msg_stream_opened *fields)
{
    struct peer_id id;
    struct dht_net *net = net_of(d, fields->protocol);
    bool good = net != NULL && net->server && peer_id_parse(fields->peer, &id) == ERR_OK && make_room(d);
    struct dht_peer *peer = good ? dht_peer_get(d, &id, (struct span){0}) : NULL;
    if (peer != NULL && peer->inbound < DHT_INBOUND_PEER && add(d, net, peer, fields->stream))
        return;
    if (net != NULL)
        net->counters.requests_refused++;
    stream_orders_reset(&d->orders, fields->stream);
    if (peer != NULL)
        dht_peer_drop_if_idle(peer);
}

void dht_serve_stop(struct dht_net *net)
{
    struct dht_inbound *in;
    struct dht_inbound *next = NULL;
    for (in = TAILQ_FIRST(&net->dht->inbounds); in != NULL; in = next) {
        next = TAILQ_NEXT(in, by_use);
        if (in->net == net)
            reset(in);
    }
}

/* ---- answers ---- */

enum { PROVIDERS_TOLD_MAX = 32 };

struct told {
    struct responder_peer peers[PROVIDERS_TOLD_MAX];
    struct provider found[PROVIDERS_TOLD_MAX];
    size_t count;
};

/* Those that the store has, with what they say of themselves now if they are connected. */
static void find_providers(struct dht *d, struct span key, struct told *told)
{
    uint32_t start;
    if (d->providers == NULL || dht_denies_block(d, key))
        return;
    ctx_random(d->ctx, &start, sizeof(start));
    told->count = provider_store_get(d->providers, key, start, ctx_real_now(d->ctx), told->found, PROVIDERS_TOLD_MAX);
    for (size_t i = 0; i < told->count; i++) {
        const struct peer_id *id = &told->found[i].peer;
        const struct dht_peer *peer = dht_peer_find(d, id);
        bool up = peer != NULL && peer->up;
        struct span addrs = up && peer->addrs.len > 0 ? buf_span(&peer->addrs) : told->found[i].addrs;
        if (peer_id_equal(id, &d->self))
            addrs = buf_span(&d->own_addrs);
        told->peers[i] = (struct responder_peer){.id = id, .addrs = addrs, .connected = up};
    }
}

static void find_peer(const struct dht *d, const struct peer_id *id, struct responder_peer *peer,
                      struct responder_results *results)
{
    const struct dht_peer *known = dht_peer_find(d, id);
    bool self = peer_id_equal(id, &d->self);
    if (!self && (known == NULL || !known->up))
        return;
    *peer =
        (struct responder_peer){.id = id, .addrs = buf_span(self ? &d->own_addrs : &known->addrs), .connected = !self};
    results->target = peer;
}

static bool find_record(const struct dht *d, struct span key, struct kad_record *record)
{
    struct stored_record held;
    if (d->records == NULL || record_store_get(d->records, key, ctx_real_now(d->ctx), &held) != ERR_OK)
        return false;
    *record = (struct kad_record){.key = held.key, .value = held.value};
    return true;
}

static enum err answer(struct dht_inbound *in, const struct responder_request *request)
{
    struct dht *d = in->peer->dht;
    struct responder_results results = {0};
    struct responder_peer target;
    struct told told;
    told.count = 0;
    if (request->action == RESPONDER_GET_PROVIDERS)
        find_providers(d, request->key, &told);
    else if (request->action == RESPONDER_FIND_PEER)
        find_peer(d, &request->target, &target, &results);
    else if (request->action == RESPONDER_GET_RECORD)
        results.has_record = find_record(d, request->key, &results.record);
    results.providers = told.peers;
    results.provider_count = told.count;
    buf_clear(&d->out);
    enum err err = responder_answer(&in->net->table, request, in->net->scope, &results, &d->writer, &d->out);
    struct block_ref *bytes = err == ERR_OK ? block_ref_copy(buf_span(&d->out), NULL) : NULL;
    if (bytes == NULL)
        return err == ERR_OK ? ERR_NOMEM : err;
    in->unsent += bytes->len;
    stream_orders_write(&d->orders, in->number, bytes, false);
    block_ref_unref(bytes);
    return ERR_OK;
}

/* Refused ones are counted there. */
static void keep_provider(struct dht *d, const struct responder_request *request, struct span addrs)
{
    if (d->providers != NULL && !dht_denies_block(d, request->key))
        (void)!provider_store_add(d->providers, request->key, &request->sender, addrs, ctx_real_now(d->ctx));
}

static enum err keep_record(struct dht *d, const struct responder_request *request)
{
    if (d->records == NULL)
        return ERR_UNSUPPORTED;
    return record_store_put(d->records, request->key, request->record.value, &request->sender, ctx_real_now(d->ctx));
}

/* One whole request. An error resets the stream. */
static enum err serve(struct dht_inbound *in, struct span body)
{
    struct dht *d = in->peer->dht;
    struct kad_message message;
    struct responder_request request;
    struct buf addrs;
    buf_init(&addrs, RESPONDER_ADDRS_BYTES_MAX, NULL);
    enum err err = kad_parse(body, false, &message);
    if (err == ERR_OK)
        err = responder_read(&message, &in->peer->id, in->net->scope, &addrs, &request);
    if (err == ERR_OK && request.action == RESPONDER_PUT_RECORD)
        err = keep_record(d, &request);
    if (err == ERR_OK && request.action == RESPONDER_ADD_PROVIDER)
        keep_provider(d, &request, buf_span(&addrs));
    else if (err == ERR_OK && request.action != RESPONDER_IGNORE)
        err = answer(in, &request);
    buf_release(&addrs);
    if (err == ERR_OK)
        in->net->counters.requests_in++;
    else
        in->net->counters.requests_refused++;
    return err;
}

/* ---- rate ---- */

static bool may(struct dht_peer *peer)
{
    uint64_t now = ctx_now(peer->dht->ctx);
    const uint64_t cost = SECOND_NS / DHT_RATE;
    peer->credit_ns = MIN(peer->credit_ns + (now - peer->credited_ns), DHT_BURST * cost);
    peer->credited_ns = now;
    if (peer->credit_ns < cost)
        return false;
    peer->credit_ns -= cost;
    return true;
}

static void wait_for_rate(struct dht_inbound *in)
{
    in->waits = true;
    TAILQ_INSERT_TAIL(&in->peer->dht->waiting, in, waiting);
}

/* Serves what has come as far as it may. The stream may be gone after it. */
static void go_on(struct dht_inbound *in)
{
    struct dht *d = in->peer->dht;
    while (in->pieces.first != NULL && in->unsent < DHT_UNSENT_MAX) {
        struct span rest = stream_pieces_front(&in->pieces);
        struct span body;
        size_t before = rest.len;
        if (rest.len == 0) {
            (void)stream_pieces_pop(&in->pieces);
            continue;
        }
        if (!may(in->peer)) {
            wait_for_rate(in);
            return;
        }
        enum err err = kad_reader_feed(&in->reader, &rest, &body);
        stream_pieces_use(&in->pieces, before - rest.len);
        stream_orders_credit(&d->orders, in->number, before - rest.len, 0);
        if (err == ERR_AGAIN)
            continue;
        if (err == ERR_OK)
            err = serve(in, body);
        if (err != ERR_OK) {
            reset(in);
            return;
        }
        kad_reader_next(&in->reader);
    }
    if (!in->fin || in->pieces.first != NULL || in->unsent > 0)
        return;
    stream_orders_write(&d->orders, in->number, NULL, true);
    drop(in);
}

void dht_serve_data(struct dht_inbound *in, const struct msg *msg)
{
    const struct msg_stream_data *fields = msg->fields;
    touch(in);
    if (msg->tail != NULL && msg->tail->len > 0 && stream_pieces_add(&in->pieces, msg->tail) != ERR_OK) {
        reset(in);
        return;
    }
    in->fin = in->fin || fields->fin;
    if (!in->waits)
        go_on(in);
}

void dht_serve_written(struct dht_inbound *in, uint64_t bytes)
{
    in->unsent -= MIN(bytes, in->unsent);
    if (!in->waits)
        go_on(in);
}

void dht_serve_release(struct dht *d)
{
    struct dht_inbound *in;
    while ((in = TAILQ_FIRST(&d->inbounds)) != NULL)
        drop(in);
    table_release(&d->ins);
}

/* ---- time ---- */

void dht_serve_tick(struct dht *d, uint64_t now_ns)
{
    struct dht_inbound *in;
    /* reset() takes it off the list. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    while ((in = TAILQ_FIRST(&d->inbounds)) != NULL && in->used_ns + DHT_INBOUND_IDLE_MS * MS_NS <= now_ns)
        reset(in);
    struct dht_inbound *last = TAILQ_LAST(&d->waiting, dht_inbound_list);
    while ((in = TAILQ_FIRST(&d->waiting)) != NULL) {
        bool end = in == last;
        TAILQ_REMOVE(&d->waiting, in, waiting);
        in->waits = false;
        go_on(in);
        if (end)
            return;
    }
}

uint64_t dht_serve_due(const struct dht *d)
{
    const struct dht_inbound *first = TAILQ_FIRST(&d->inbounds);
    if (!TAILQ_EMPTY(&d->waiting))
        return ctx_now(d->ctx) + 20 * MS_NS;
    return first == NULL ? UINT64_MAX : first->used_ns + DHT_INBOUND_IDLE_MS * MS_NS;
}
