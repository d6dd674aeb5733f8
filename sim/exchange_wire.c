/* SPDX-License-Identifier: MIT */
/*
 * exchange_wire: connection_manager's part in an exchange. Streams of the production Yamux over cables that move a few bytes at a time, with
 * windows and credits of one byte; no security, no negotiation. Cables are cut now and then, streams reset.
 */
#include <stdlib.h>
#include <sys/queue.h>

#include "actors/connection_manager/backlog.h"
#include "actors/tree.h"
#include "schemas/messages.h"
#include "sim/exchange_internal.h"
#include "wire/bitswap.h"
#include "wire/yamux.h"

enum {
    MOVE_TAG = 1,
    MOVE_LEAST_US = 20, /* between two looks at the cables; twice as long each time there is nothing */
    MOVE_MOST_US = 10000,
    MOVE_BYTES = 64, /* of a cable at a time, at most */
    STREAMS_MAX = 64,
    CUT_EVERY = 1000, /* looks, about */
    RESET_EVERY = 1000,
    IOVECS = 8
};

struct wire;

struct waiting_write {
    STAILQ_ENTRY(waiting_write) next;
    struct block_ref *ref;
    size_t offset;
};

struct wire_stream {
    TAILQ_ENTRY(wire_stream) list;
    uint64_t number;
    struct wire_link *link;
    struct yamux_stream *mux;
    STAILQ_HEAD(, waiting_write) writes;
    bool fin;
};

struct wire_link {
    struct wire *wire;
    unsigned cable;
    unsigned life; /* of the cable, as we know it; 0 is none yet */
    struct yamux *mux;
};

struct wire {
    struct ctx *ctx;
    struct exchange_node *node;
    struct wire_link links[EXCHANGE_PROVIDERS];
    TAILQ_HEAD(, wire_stream) streams;
    struct backlog backlog;
    uint64_t last_number;
    uint64_t pause_us;
};

static void tell(struct wire *w, uint16_t kind, const void *fields, struct block_ref *tail)
{
    backlog_cast(&w->backlog, w->ctx, ACTOR_BITSWAP, &(struct msg){.kind = kind, .fields = fields, .tail = tail});
}

static uint64_t below(struct wire *w, uint64_t bound)
{
    uint64_t number = 0;
    ctx_random(w->ctx, &number, sizeof(number));
    return number % bound;
}

static bool is_fetcher(const struct wire *w)
{
    return w->node->number == 0;
}

static const struct peer_id *peer_of(const struct wire_link *l)
{
    return &exchange_playing->nodes[is_fetcher(l->wire) ? l->cable + 1 : 0].id;
}

/* ---- streams ---- */

static struct wire_stream *stream_new(struct wire_link *l, struct yamux_stream *mux)
{
    struct wire_stream *st = calloc(1, sizeof(*st));
    if (st == NULL)
        abort();
    st->number = ++l->wire->last_number;
    st->link = l;
    st->mux = mux;
    STAILQ_INIT(&st->writes);
    TAILQ_INSERT_TAIL(&l->wire->streams, st, list);
    yamux_stream_set_user(mux, st);
    return st;
}

static void write_pop(struct wire_stream *st)
{
    struct waiting_write *write = STAILQ_FIRST(&st->writes);
    STAILQ_REMOVE_HEAD(&st->writes, next);
    block_ref_unref(write->ref);
    free(write);
}

static void stream_free(struct wire_stream *st)
{
    while (!STAILQ_EMPTY(&st->writes))
        write_pop(st);
    TAILQ_REMOVE(&st->link->wire->streams, st, list);
    free(st);
}

static struct wire_stream *stream_find(const struct wire *w, uint64_t number)
{
    struct wire_stream *st;
    TAILQ_FOREACH(st, &w->streams, list)
    {
        if (st->number == number)
            return st;
    }
    return NULL;
}

static void stream_gone(struct wire_stream *st, enum err err)
{
    struct msg_stream_closed fields = {.stream = st->number, .err = err};
    tell(st->link->wire, MSG_STREAM_CLOSED, &fields, NULL);
    stream_free(st);
}

/* Writes what credit there is for, and says so byte by byte. */
static void stream_write(struct wire_stream *st)
{
    struct waiting_write *write;
    while ((write = STAILQ_FIRST(&st->writes)) != NULL) {
        struct span rest = span_skip(block_ref_span(write->ref), write->offset);
        size_t taken = 0;
        if (yamux_stream_write(st->mux, rest, &taken) != ERR_OK)
            return;
        write->offset += taken;
        struct msg_stream_written fields = {.stream = st->number, .bytes = taken};
        tell(st->link->wire, MSG_STREAM_WRITTEN, &fields, NULL);
        if (taken < rest.len)
            return;
        write_pop(st);
    }
    if (st->fin)
        yamux_stream_fin(st->mux);
    st->fin = false;
}

/* ---- what Yamux reports ---- */

static void on_opened(void *user, struct yamux_stream *mux)
{
    struct wire_link *l = user;
    struct wire_stream *st = stream_new(l, mux);
    yamux_stream_accept(mux);
    struct msg_stream_opened fields = {.stream = st->number,
                                       .peer = peer_id_span(peer_of(l)),
                                       .protocol = span_text(bitswap_protocol(BITSWAP_1_2)),
                                       .inbound = true};
    tell(l->wire, MSG_STREAM_OPENED, &fields, NULL);
}

static void on_data(void *user, struct yamux_stream *mux, struct span bytes)
{
    struct wire_link *l = user;
    struct wire_stream *st = yamux_stream_user(mux);
    struct block_ref *ref = block_ref_copy(bytes, NULL);
    if (ref == NULL)
        abort();
    struct msg_stream_data fields = {.stream = st->number};
    tell(l->wire, MSG_STREAM_DATA, &fields, ref);
    block_ref_unref(ref);
}

static void on_fin(void *user, struct yamux_stream *mux)
{
    struct wire_link *l = user;
    const struct wire_stream *st = yamux_stream_user(mux);
    struct msg_stream_data fields = {.stream = st->number, .fin = true};
    tell(l->wire, MSG_STREAM_DATA, &fields, NULL);
}

static void on_writable(void *user, struct yamux_stream *mux)
{
    (void)user;
    stream_write(yamux_stream_user(mux));
}

static void on_closed(void *user, struct yamux_stream *mux, enum err err, uint32_t code)
{
    (void)user;
    (void)code;
    stream_gone(yamux_stream_user(mux), err);
}

static const struct yamux_events events = {
    .stream_opened = on_opened, .data = on_data, .fin = on_fin, .writable = on_writable, .closed = on_closed};

/* ---- cables ---- */

static void link_down(struct wire_link *l)
{
    struct wire *w = l->wire;
    struct wire_stream *next = NULL;
    for (struct wire_stream *st = TAILQ_FIRST(&w->streams); st != NULL; st = next) {
        next = TAILQ_NEXT(st, list);
        if (st->link == l)
            stream_gone(st, ERR_RESET);
    }
    yamux_free(l->mux);
    l->mux = NULL;
    struct msg_peer_down fields = {.peer = peer_id_span(peer_of(l))};
    tell(w, MSG_PEER_DOWN, &fields, NULL);
}

static void link_up(struct wire_link *l)
{
    struct wire *w = l->wire;
    struct buf names;
    const struct yamux_config config = {.dialer = is_fetcher(w),
                                        .window_first = 1,
                                        .streams_in_max = STREAMS_MAX,
                                        .streams_out_max = STREAMS_MAX,
                                        .events = &events,
                                        .user = l};
    buf_init(&names, 256, NULL);
    if (yamux_new(&config, ctx_now(w->ctx), &l->mux) != ERR_OK ||
        schema_list_add_text(&names, span_text(bitswap_protocol(BITSWAP_1_2))) != ERR_OK)
        abort();
    struct msg_peer_up fields = {.peer = peer_id_span(peer_of(l)), .protocols = schema_list_of(&names, 1)};
    tell(w, MSG_PEER_UP, &fields, NULL);
    buf_release(&names);
}

/* Moves some of what there is in both directions. False: there was nothing. */
static bool link_move(struct wire_link *l)
{
    struct wire *w = l->wire;
    struct exchange_cable *cable = &exchange_playing->cables[l->cable];
    struct buf *in = is_fetcher(w) ? &cable->to_fetcher : &cable->to_provider;
    struct buf *out = is_fetcher(w) ? &cable->to_provider : &cable->to_fetcher;
    if (l->life != cable->life) {
        if (l->mux != NULL)
            link_down(l);
        l->life = cable->life;
        link_up(l);
        return true;
    }
    size_t may = 1 + below(w, MOVE_BYTES);
    size_t taken = MIN(in->len, may);
    if (taken > 0 && yamux_feed(l->mux, span_of(in->data, taken), ctx_now(w->ctx)) != ERR_OK)
        abort();
    buf_drop(in, taken);
    struct iovec iov[IOVECS];
    size_t given = 0;
    int count = yamux_output(l->mux, iov, IOVECS);
    for (int i = 0; i < count; i++) {
        if (buf_append(out, iov[i].iov_base, iov[i].iov_len) != ERR_OK)
            break;
        given += iov[i].iov_len;
    }
    yamux_output_done(l->mux, given, ctx_now(w->ctx));
    return taken + given > 0;
}

static void cut_something(struct wire *w)
{
    struct exchange *x = exchange_playing;
    if (!is_fetcher(w) || x->cuts == 0 || below(w, CUT_EVERY) != 0)
        return;
    struct exchange_cable *cable = &x->cables[below(w, EXCHANGE_PROVIDERS)];
    x->cuts--;
    buf_clear(&cable->to_fetcher);
    buf_clear(&cable->to_provider);
    cable->life++;
}

static void reset_something(struct wire *w)
{
    struct wire_stream *st = TAILQ_FIRST(&w->streams);
    if (st == NULL || exchange_playing->cuts == 0 || below(w, RESET_EVERY) != 0)
        return;
    yamux_stream_reset(st->mux, 0);
    stream_gone(st, ERR_RESET);
}

static void move(struct wire *w)
{
    bool any = backlog_is_congested(&w->backlog);
    cut_something(w);
    reset_something(w);
    for (size_t i = 0; i < EXCHANGE_PROVIDERS; i++) {
        if (is_fetcher(w) || w->links[i].cable + 1 == w->node->number)
            any |= link_move(&w->links[i]);
    }
    w->pause_us = any ? MOVE_LEAST_US : MIN(w->pause_us * 2, (uint64_t)MOVE_MOST_US);
    (void)ctx_timer(w->ctx, ctx_now(w->ctx) + (w->pause_us + below(w, MOVE_LEAST_US)) * 1000, MOVE_TAG);
}

/* ---- the actor ---- */

static enum err wire_init(struct ctx *ctx, void *state, const struct config *config)
{
    struct wire *w = state;
    w->ctx = ctx;
    w->node = exchange_node_of(config);
    TAILQ_INIT(&w->streams);
    backlog_init(&w->backlog);
    for (unsigned i = 0; i < EXCHANGE_PROVIDERS; i++)
        w->links[i] = (struct wire_link){.wire = w, .cable = i};
    w->pause_us = MOVE_LEAST_US;
    (void)ctx_timer(ctx, ctx_now(ctx) + MS_NS, MOVE_TAG);
    return ERR_OK;
}

static enum err wire_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    struct wire *w = state;
    const struct msg_stream_open *asked = msg->fields;
    w->ctx = ctx;
    if (msg->kind != MSG_STREAM_OPEN)
        return ERR_UNSUPPORTED;
    for (size_t i = 0; i < EXCHANGE_PROVIDERS; i++) {
        struct wire_link *l = &w->links[i];
        struct yamux_stream *mux = NULL;
        if (l->mux == NULL || !span_equal(peer_id_span(peer_of(l)), asked->peer))
            continue;
        enum err err = yamux_open(l->mux, NULL, &mux);
        if (err != ERR_OK)
            return err;
        struct msg_stream_opened_ok fields = {.stream = stream_new(l, mux)->number,
                                              .protocol = span_text(bitswap_protocol(BITSWAP_1_2))};
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_STREAM_OPENED_OK, .fields = &fields});
        return ERR_OK;
    }
    return ERR_NOT_FOUND;
}

static void take_write(struct wire *w, const struct msg *msg)
{
    const struct msg_stream_write *fields = msg->fields;
    struct wire_stream *st = stream_find(w, fields->stream);
    if (st == NULL)
        return;
    if (msg->tail != NULL && msg->tail->len > 0) {
        struct waiting_write *write = calloc(1, sizeof(*write));
        if (write == NULL)
            abort();
        write->ref = block_ref_ref(msg->tail);
        STAILQ_INSERT_TAIL(&st->writes, write, next);
    }
    st->fin = st->fin || fields->fin;
    stream_write(st);
}

static void wire_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    struct wire *w = state;
    w->ctx = ctx;
    w->pause_us = MOVE_LEAST_US;
    if (msg->kind == MSG_STREAM_WRITE) {
        take_write(w, msg);
    } else if (msg->kind == MSG_STREAM_CREDIT) {
        const struct msg_stream_credit *fields = msg->fields;
        struct wire_stream *st = stream_find(w, fields->stream);
        for (uint64_t i = 0; st != NULL && i < fields->bytes; i++)
            yamux_stream_consume(st->mux, 1);
    } else if (msg->kind == MSG_STREAM_RESET) {
        struct wire_stream *st = stream_find(w, ((const struct msg_stream_reset *)msg->fields)->stream);
        if (st != NULL) {
            yamux_stream_reset(st->mux, 0);
            stream_free(st);
        }
    }
}

static void wire_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct wire *w = state;
    w->ctx = ctx;
    if (info->kind == INFO_TIMER)
        move(w);
    else if (info->kind == INFO_ROOM)
        backlog_room(&w->backlog, ctx, info->actor);
}

static void wire_end(struct ctx *ctx, void *state, enum exit_reason reason)
{
    struct wire *w = state;
    (void)ctx;
    (void)reason;
    struct wire_stream *next = NULL;
    for (struct wire_stream *st = TAILQ_FIRST(&w->streams); st != NULL; st = next) {
        next = TAILQ_NEXT(st, list);
        stream_free(st);
    }
    for (size_t i = 0; i < EXCHANGE_PROVIDERS; i++)
        yamux_free(w->links[i].mux);
    backlog_release(&w->backlog);
}

const struct actor_class exchange_wire_class = {
    .name = "connection_manager",
    .state_bytes = sizeof(struct wire),
    .mailbox_bytes = 2 * 1024 * 1024,
    .init = wire_init,
    .handle_call = wire_call,
    .handle_cast = wire_cast,
    .handle_info = wire_info,
    .terminate = wire_end,
};
