/* SPDX-License-Identifier: MIT */
/*
 * Our requests. A peer has one stream of ours in each DHT, on which requests follow each other; it is opened for the first of them, after a
 * dial if there is no connection, and ended when it was not used for a while.
 *
 *      request ──> queue of its channel ── first ──> written ── answer ──> told to its search
 *                       │ CLOSED: dial, open               └─ a stream that worked before is gone: opened again, once
 *
 * All requests have the same time from when they are made, so one list in that order has their deadlines. Peers break streams at any moment,
 * answer without being asked, or too much: the stream is reset, and the request under way has failed.
 */
#include <stdlib.h>

#include "actors/discovery/dht.h"

static void go_on(struct dht_channel *c);

/* It goes on when the event that is under way has ended. */
static void soon(struct dht_channel *c)
{
    struct dht *d = c->net->dht;
    if (c->is_ready)
        return;
    c->is_ready = true;
    TAILQ_INSERT_TAIL(&d->ready, c, ready);
}

/* ---- requests ---- */

static void request_free(struct dht_request *r)
{
    struct dht_channel *c = r->channel;
    struct dht *d = c->net->dht;
    TAILQ_REMOVE(&c->queue, r, queue);
    TAILQ_REMOVE(&d->requests, r, by_due);
    c->queued--;
    d->request_count--;
    block_ref_unref(r->bytes);
    account_give(d->tables, sizeof(*r));
    free(r);
}

/* It has ended: its search hears of it. The first of the queue, when it was written, is awaited no more. */
static void end(struct dht_request *r, enum err err, const struct kad_message *answer)
{
    struct dht_channel *c = r->channel;
    struct dht_net *net = c->net;
    uint64_t search = r->search;
    enum kad_type type = r->type;
    struct peer_id peer = c->peer->id;
    if (r == TAILQ_FIRST(&c->queue))
        c->awaiting = false;
    request_free(r);
    if (err != ERR_OK) {
        net->counters.requests_failed++;
        if (err != ERR_BUSY && err != ERR_NOMEM && err != ERR_UNAVAILABLE) /* those are ours */
            (void)routing_table_failed(&net->table, &peer);
    }
    dht_search_heard(net->dht, search, net, &peer, type, err, answer);
}

static void end_all(struct dht_channel *c, enum err err)
{
    struct dht_request *r;
    while ((r = TAILQ_FIRST(&c->queue)) != NULL)
        end(r, err, NULL);
}

/* ---- channels ---- */

static struct dht_channel *channel_get(struct dht_peer *peer, struct dht_net *net)
{
    struct dht *d = net->dht;
    struct dht_channel *c = peer->channels[net->number];
    if (c != NULL || !account_take(d->tables, sizeof(*c)))
        return c;
    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        account_give(d->tables, sizeof(*c));
        return NULL;
    }
    c->peer = peer;
    c->net = net;
    TAILQ_INIT(&c->queue);
    kad_reader_init(&c->reader, KAD_ANSWER_MAX, KAD_ANSWER_KEPT, &d->messages);
    peer->channels[net->number] = c;
    return c;
}

/* Forgets the stream, if there is one. */
static void channel_close(struct dht_channel *c)
{
    struct dht *d = c->net->dht;
    if (c->state == DHT_CHANNEL_OPEN) {
        TAILQ_REMOVE(&d->channels, c, by_use);
        (void)table_remove(&d->outs, table_key_u64(&c->stream));
    }
    c->state = DHT_CHANNEL_CLOSED;
    c->answered = false;
    kad_reader_release(&c->reader);
    kad_reader_init(&c->reader, KAD_ANSWER_MAX, KAD_ANSWER_KEPT, &d->messages);
}

/* The channel has nothing to do any more, and its peer perhaps neither. */
static void channel_drop_if_idle(struct dht_channel *c)
{
    struct dht_peer *peer = c->peer;
    struct dht *d = c->net->dht;
    if (c->state != DHT_CHANNEL_CLOSED || c->queued > 0)
        return;
    if (c->is_ready)
        TAILQ_REMOVE(&d->ready, c, ready);
    kad_reader_release(&c->reader);
    peer->channels[c->net->number] = NULL;
    account_give(d->tables, sizeof(*c));
    free(c);
    dht_peer_drop_if_idle(peer);
}

/* The stream is lost. What was under way is sent again once, if the stream had worked: peers end idle ones. */
static void channel_lost(struct dht_channel *c, enum err err)
{
    struct dht_request *first = c->awaiting ? TAILQ_FIRST(&c->queue) : NULL;
    bool again = first != NULL && c->answered && !first->again;
    channel_close(c);
    c->awaiting = false;
    if (again)
        first->again = true;
    else if (first != NULL)
        end(first, err, NULL);
    soon(c);
}

static void channel_fail(struct dht_channel *c, enum err err)
{
    stream_orders_reset(&c->net->dht->orders, c->stream);
    channel_lost(c, err);
}

static void touch(struct dht_channel *c)
{
    struct dht *d = c->net->dht;
    c->used_ns = ctx_now(d->ctx);
    TAILQ_REMOVE(&d->channels, c, by_use);
    TAILQ_INSERT_TAIL(&d->channels, c, by_use);
}

/* ---- from the queue to the stream ---- */

static void open_stream(struct dht_channel *c)
{
    enum err err = dht_dial_stream(c);
    if (err != ERR_OK) {
        end_all(c, err);
        return;
    }
    c->state = DHT_CHANNEL_OPENING;
    c->net->counters.streams_out++;
}

static void write_next(struct dht_channel *c)
{
    struct dht_request *r;
    while (!c->awaiting && (r = TAILQ_FIRST(&c->queue)) != NULL) {
        /* end() takes it off the queue. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        dht_search_caused(c->net->dht, r->search);
        stream_orders_write(&c->net->dht->orders, c->stream, r->bytes, false);
        c->net->counters.requests_out++;
        touch(c);
        c->awaiting = r->type != KAD_ADD_PROVIDER; /* that has no answer */
        c->net->counters.told_out += !c->awaiting;
        if (!c->awaiting)
            end(r, ERR_OK, NULL);
    }
}

static void go_on(struct dht_channel *c)
{
    if (c->queued == 0)
        return;
    dht_search_caused(c->net->dht, TAILQ_FIRST(&c->queue)->search);
    if (c->state == DHT_CHANNEL_OPEN)
        write_next(c);
    else if (c->state == DHT_CHANNEL_CLOSED && c->peer->up)
        open_stream(c);
    else if (c->state == DHT_CHANNEL_CLOSED)
        dht_dial(c->peer);
}

bool dht_ask_has_room(const struct dht *d)
{
    return d->request_count < DHT_REQUESTS_MAX && !stream_orders_are_congested(&d->orders);
}

enum err dht_ask(struct dht_net *net, const struct peer_id *id, struct span addrs, enum kad_type type,
                 struct span framed, uint64_t search)
{
    struct dht *d = net->dht;
    if (d->request_count >= DHT_REQUESTS_MAX)
        return ERR_BUSY;
    struct dht_peer *peer = dht_peer_get(d, id, addrs);
    struct dht_channel *c = peer == NULL ? NULL : channel_get(peer, net);
    if (c == NULL || c->queued >= DHT_REQUESTS_PEER || !account_take(d->tables, sizeof(struct dht_request))) {
        if (c != NULL)
            channel_drop_if_idle(c);
        else if (peer != NULL)
            dht_peer_drop_if_idle(peer);
        return c == NULL ? ERR_NOMEM : ERR_BUSY;
    }
    struct dht_request *r = calloc(1, sizeof(*r));
    struct block_ref *bytes = block_ref_copy(framed, NULL);
    if (r == NULL || bytes == NULL) {
        free(r);
        block_ref_unref(bytes);
        account_give(d->tables, sizeof(*r));
        channel_drop_if_idle(c);
        return ERR_NOMEM;
    }
    *r = (struct dht_request){.channel = c,
                              .search = search,
                              .bytes = bytes,
                              .type = type,
                              .due_ns = ctx_now(d->ctx) + DHT_REQUEST_MS * MS_NS};
    TAILQ_INSERT_TAIL(&c->queue, r, queue);
    TAILQ_INSERT_TAIL(&d->requests, r, by_due);
    c->queued++;
    d->request_count++;
    soon(c);
    return ERR_OK;
}

/* The answer to what was written is waited for all the same: it would be taken for that of the next. */
void dht_ask_forget(struct dht *d, uint64_t search, bool all)
{
    struct dht_request *next;
    for (struct dht_request *r = TAILQ_FIRST(&d->requests); r != NULL; r = next) {
        struct dht_channel *c = r->channel;
        next = TAILQ_NEXT(r, by_due);
        if (r->search != search || (!all && (r->type == KAD_PUT_VALUE || r->type == KAD_ADD_PROVIDER)))
            continue;
        r->search = 0;
        if (c->awaiting && r == TAILQ_FIRST(&c->queue))
            continue;
        request_free(r);
        soon(c);
    }
}

/* ---- what connection_manager says ---- */

void dht_ask_connected(struct dht_peer *peer, enum err err)
{
    bool any = false;
    for (unsigned n = 0; n < DHT_NET_COUNT; n++) {
        struct dht_channel *c = peer->channels[n];
        if (c == NULL)
            continue;
        any = true;
        if (err != ERR_OK && c->state == DHT_CHANNEL_CLOSED)
            end_all(c, err);
        else if (c->state == DHT_CHANNEL_CLOSED && c->queued > 0)
            open_stream(c); /* peer_up may come a little later */
        soon(c);
    }
    if (!any)
        dht_peer_drop_if_idle(peer);
}

void dht_ask_opened(struct dht *d, const struct peer_id *id, enum dht_net_number net, const struct info *info)
{
    struct dht_peer *peer = dht_peer_find(d, id);
    struct dht_channel *c = peer == NULL ? NULL : peer->channels[net];
    const struct msg_stream_opened_ok *fields = info->err == ERR_OK ? info->msg->fields : NULL;
    if (c == NULL || c->state != DHT_CHANNEL_OPENING) {
        if (fields != NULL)
            stream_orders_reset(&d->orders, fields->stream);
        return;
    }
    c->state = DHT_CHANNEL_CLOSED;
    enum err err = info->err;
    if (fields != NULL) {
        c->stream = fields->stream;
        err = table_put(&d->outs, table_key_u64(&c->stream), c, NULL);
        if (err != ERR_OK)
            stream_orders_reset(&d->orders, fields->stream);
    }
    if (err == ERR_OK) {
        c->state = DHT_CHANNEL_OPEN;
        c->used_ns = ctx_now(d->ctx);
        TAILQ_INSERT_TAIL(&d->channels, c, by_use);
        go_on(c);
        return;
    }
    if (err == ERR_UNSUPPORTED || err == ERR_REFUSED)
        (void)routing_table_remove(&c->net->table, &peer->id);
    end_all(c, err);
    soon(c);
}

/* One whole message. False: the stream is gone. */
static bool take_answer(struct dht_channel *c, struct span body)
{
    struct kad_message answer;
    struct dht_request *r = c->awaiting ? TAILQ_FIRST(&c->queue) : NULL;
    if (r == NULL || kad_parse(body, c->reader.cut, &answer) != ERR_OK || answer.type != r->type) {
        channel_fail(c, ERR_PROTOCOL);
        return false;
    }
    c->answered = true;
    touch(c);
    end(r, ERR_OK, &answer);
    kad_reader_next(&c->reader);
    write_next(c);
    return true;
}

void dht_ask_data(struct dht_channel *c, const struct msg *msg)
{
    const struct msg_stream_data *fields = msg->fields;
    struct dht *d = c->net->dht;
    struct span rest = block_ref_span(msg->tail);
    struct span body;
    if (rest.len > 0)
        stream_orders_credit(&d->orders, c->stream, rest.len, 0);
    while (rest.len > 0) {
        enum err err = kad_reader_feed(&c->reader, &rest, &body);
        if (err == ERR_AGAIN)
            break;
        if (err != ERR_OK) {
            channel_fail(c, err);
            return;
        }
        if (!take_answer(c, body))
            return;
    }
    if (!fields->fin)
        return;
    stream_orders_write(&d->orders, c->stream, NULL, true); /* it says no more: nor do we, here */
    channel_lost(c, ERR_CLOSED);
}

void dht_ask_closed(struct dht_channel *c)
{
    channel_lost(c, ERR_CLOSED);
}

/* ---- time ---- */

static void timed_out(struct dht_request *r)
{
    struct dht_channel *c = r->channel;
    bool under_way = c->awaiting && r == TAILQ_FIRST(&c->queue);
    end(r, c->peer->dial_waits ? ERR_BUSY : ERR_TIMEOUT, NULL); /* who was not dialled was not silent */
    if (under_way) /* its answer may still come, and would be taken for that of the next */
        channel_fail(c, ERR_TIMEOUT);
    else
        soon(c);
}

void dht_ask_tick(struct dht *d, uint64_t now_ns)
{
    struct dht_request *r;
    struct dht_channel *c;
    while ((r = TAILQ_FIRST(&d->requests)) != NULL && r->due_ns <= now_ns)
        timed_out(r);
    while ((c = TAILQ_FIRST(&d->channels)) != NULL && c->used_ns + DHT_CHANNEL_IDLE_MS * MS_NS <= now_ns) {
        if (c->queued > 0) {
            touch(c); /* its deadline is the request's */
            continue;
        }
        stream_orders_write(&d->orders, c->stream, NULL, true);
        channel_close(c);
        channel_drop_if_idle(c);
    }
}

uint64_t dht_ask_due(const struct dht *d)
{
    const struct dht_request *r = TAILQ_FIRST(&d->requests);
    const struct dht_channel *c = TAILQ_FIRST(&d->channels);
    return MIN(r == NULL ? UINT64_MAX : r->due_ns, c == NULL ? UINT64_MAX : c->used_ns + DHT_CHANNEL_IDLE_MS * MS_NS);
}

void dht_ask_run(struct dht *d)
{
    struct dht_channel *c;
    while ((c = TAILQ_FIRST(&d->ready)) != NULL) {
        TAILQ_REMOVE(&d->ready, c, ready);
        c->is_ready = false;
        go_on(c);
        channel_drop_if_idle(c);
    }
    ctx_caused_by(d->ctx, NULL);
}

void dht_ask_release(struct dht *d)
{
    size_t position = 0;
    struct dht_request *r;
    struct dht_peer *peer;
    while ((r = TAILQ_FIRST(&d->requests)) != NULL)
        request_free(r); /* takes it off the list. NOLINT(clang-analyzer-unix.Malloc) */
    while ((peer = table_next(&d->peers, &position, NULL)) != NULL) {
        for (unsigned n = 0; n < DHT_NET_COUNT; n++) {
            struct dht_channel *c = peer->channels[n];
            if (c == NULL)
                continue;
            kad_reader_release(&c->reader);
            account_give(d->tables, sizeof(*c));
            free(c);
            peer->channels[n] = NULL;
        }
    }
    table_release(&d->outs);
}
