/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "actors/connection_manager/connection_private.h"
#include "base/block_ref.h"
#include "base/limits.h"

/* ---- making and ending ---- */

static void *take_memory(struct connection *c, size_t bytes)
{
    if (c->tables != NULL && !account_take(c->tables, bytes))
        return NULL;
    void *memory = calloc(1, bytes);
    if (memory == NULL && c->tables != NULL)
        account_give(c->tables, bytes);
    return memory;
}

static void give_memory(struct connection *c, void *memory, size_t bytes)
{
    if (memory != NULL && c->tables != NULL)
        account_give(c->tables, bytes);
    free(memory);
}

static void end_negotiation(struct connection_stream *s)
{
    if (s->negotiation == NULL)
        return;
    TAILQ_REMOVE(&s->connection->negotiating, s, line);
    multistream_release(s->negotiation);
    give_memory(s->connection, s->negotiation, sizeof(*s->negotiation));
    s->negotiation = NULL;
}

static void stream_free(struct connection_stream *s)
{
    end_negotiation(s);
    buf_release(&s->pending);
    give_memory(s->connection, s, sizeof(*s));
}

static int match(void *arg, struct span name)
{
    struct connection *c = arg;
    return c->match_protocol(c->user, name);
}

static struct connection_stream *stream_new(struct connection *c, struct yamux_stream *yamux)
{
    struct connection_stream *s = take_memory(c, sizeof(*s));
    struct multistream *negotiation = take_memory(c, sizeof(*negotiation));
    if (s == NULL || negotiation == NULL) {
        give_memory(c, s, sizeof(*s));
        give_memory(c, negotiation, sizeof(*negotiation));
        return NULL;
    }
    s->connection = c;
    s->yamux = yamux;
    s->negotiation = negotiation;
    s->protocol = -1;
    s->id = yamux_stream_id(yamux);
    s->inbound = yamux_stream_is_inbound(yamux);
    s->deadline = c->now_ns + CONNECTION_NEGOTIATE_TIMEOUT_S * SECOND_NS;
    buf_init(&s->pending, MULTISTREAM_OUTPUT_MAX, NULL);
    TAILQ_INSERT_TAIL(&c->negotiating, s, line);
    return s;
}

/* Whether the owner knows of this stream: an inbound one only once its protocol is agreed. */
static bool is_visible(const struct connection_stream *s)
{
    return s->negotiation == NULL || !s->inbound;
}

/* Resets the stream for a reason of ours and tells its owner. */
static void give_up(struct connection_stream *s, enum err err)
{
    struct connection *c = s->connection;
    bool tell = is_visible(s) && c->events.stream_closed != NULL;
    struct yamux_stream *yamux = s->yamux;
    end_negotiation(s);
    s->yamux = NULL;
    yamux_stream_set_user(yamux, NULL);
    yamux_stream_reset(yamux, CONNECTION_CODE_NEGOTIATION);
    if (tell)
        c->events.stream_closed(c->user, s, err, 0);
    stream_free(s);
}

/* ---- negotiation ---- */

/* Moves lines of the negotiation into the queue, as far as there is room, then the FIN that waited behind them. */
static void push_pending(struct connection_stream *s)
{
    size_t accepted = 0;
    if (s->pending.len > 0 && yamux_stream_write(s->yamux, buf_span(&s->pending), &accepted) == ERR_OK)
        buf_drop(&s->pending, accepted);
    if (s->pending.len > 0)
        return;
    buf_release(&s->pending);
    if (s->fin_wanted && (s->negotiation == NULL || s->optimistic))
        yamux_stream_fin(s->yamux);
}

/* Whether the stream on this muxer stream still exists: each end of one cuts it off first. */
static bool is_alive(const struct yamux_stream *yamux)
{
    return yamux_stream_user(yamux) != NULL;
}

/* The protocol is agreed. s may be gone afterwards. */
static void on_agreed(struct connection_stream *s)
{
    struct connection *c = s->connection;
    struct yamux_stream *yamux = s->yamux;
    s->protocol = multistream_selected(s->negotiation);
    end_negotiation(s);
    push_pending(s);
    yamux_stream_accept(yamux);
    if (c->events.stream_opened != NULL)
        c->events.stream_opened(c->user, s);
}

/* Takes the bytes of the negotiation off the front of *bytes. False when s is gone. */
static bool negotiate(struct connection_stream *s, struct span *bytes)
{
    struct yamux_stream *yamux = s->yamux;
    size_t used = 0;
    enum err err = multistream_feed(s->negotiation, *bytes, &s->pending, &used);
    *bytes = span_skip(*bytes, used);
    yamux_stream_consume(yamux, used);
    if (err != ERR_OK) {
        give_up(s, err == ERR_REFUSED ? ERR_REFUSED : ERR_PROTOCOL);
        return false;
    }
    if (multistream_is_done(s->negotiation))
        on_agreed(s);
    else
        push_pending(s);
    return is_alive(yamux);
}

void connection_expire_streams(struct connection *c)
{
    struct connection_stream *s;
    struct connection_stream *last = NULL;
    while ((s = TAILQ_FIRST(&c->negotiating)) != NULL && s != last && s->deadline <= c->now_ns) {
        last = s; /* leaves the line with its negotiation */
        give_up(s, ERR_TIMEOUT);
    }
}

uint64_t connection_stream_deadline(const struct connection *c)
{
    const struct connection_stream *s = TAILQ_FIRST(&c->negotiating);
    return s == NULL ? UINT64_MAX : s->deadline;
}

/* ---- what Yamux reports ---- */

static void on_opened(void *user, struct yamux_stream *yamux)
{
    struct connection *c = user;
    struct connection_stream *s = stream_new(c, yamux);
    if (s == NULL) {
        yamux_stream_reset(yamux, 0);
        return;
    }
    yamux_stream_set_user(yamux, s);
    multistream_init_responder(s->negotiation, match, c);
    if (multistream_start(s->negotiation, &s->pending) != ERR_OK)
        give_up(s, ERR_NOMEM);
    else
        push_pending(s); /* the header, before anything was read */
}

static void on_data(void *user, struct yamux_stream *yamux, struct span bytes)
{
    struct connection *c = user;
    struct connection_stream *s = yamux_stream_user(yamux);
    if (s == NULL || (s->negotiation != NULL && !negotiate(s, &bytes)) || bytes.len == 0)
        return;
    if (c->events.stream_data != NULL)
        c->events.stream_data(c->user, s, bytes);
}

static void on_fin(void *user, struct yamux_stream *yamux)
{
    struct connection *c = user;
    struct connection_stream *s = yamux_stream_user(yamux);
    if (s == NULL)
        return;
    if (s->negotiation != NULL) /* no answer, or no proposal, can come any more */
        give_up(s, ERR_RESET);
    else if (c->events.stream_fin != NULL)
        c->events.stream_fin(c->user, s);
}

static void on_writable(void *user, struct yamux_stream *yamux)
{
    struct connection *c = user;
    struct connection_stream *s = yamux_stream_user(yamux);
    if (s == NULL)
        return;
    push_pending(s);
    bool open = s->negotiation == NULL || s->optimistic;
    if (open && s->pending.len == 0 && !s->fin_wanted && c->events.stream_writable != NULL)
        c->events.stream_writable(c->user, s);
}

static void on_closed(void *user, struct yamux_stream *yamux, enum err err, uint32_t code)
{
    struct connection *c = user;
    struct connection_stream *s = yamux_stream_user(yamux);
    if (s == NULL)
        return;
    yamux_stream_set_user(yamux, NULL);
    bool tell = is_visible(s) && c->events.stream_closed != NULL;
    end_negotiation(s);
    s->yamux = NULL;
    if (tell)
        c->events.stream_closed(c->user, s, err, code);
    stream_free(s);
}

const struct yamux_events connection_yamux_events = {
    .stream_opened = on_opened, .data = on_data, .fin = on_fin, .writable = on_writable, .closed = on_closed};

/* ---- what the owner asks for ---- */

enum err connection_open_stream(struct connection *c, const char *const *protocols, size_t count, bool optimistic,
                                void *user, uint64_t now_ns, struct connection_stream **ret_stream)
{
    if (c->closed)
        return ERR_CLOSED;
    if (count == 0 || (optimistic && count != 1))
        return ERR_INVALID;
    c->now_ns = now_ns;
    struct yamux_stream *yamux;
    enum err err = connection_need_yamux(c);
    if (err == ERR_OK)
        err = yamux_open(c->yamux, NULL, &yamux);
    if (err != ERR_OK)
        return err;
    struct connection_stream *s = stream_new(c, yamux);
    if (s == NULL) {
        yamux_stream_reset(yamux, 0);
        return ERR_NOMEM;
    }
    s->user = user;
    s->optimistic = optimistic;
    yamux_stream_set_user(yamux, s);
    multistream_init_initiator(s->negotiation, protocols, count);
    err = multistream_start(s->negotiation, &s->pending);
    if (err != ERR_OK) {
        yamux_stream_set_user(yamux, NULL);
        yamux_stream_reset(yamux, 0);
        stream_free(s);
        return err;
    }
    push_pending(s);
    *ret_stream = s;
    return ERR_OK;
}

/* ERR_OK when the owner's bytes may follow what was queued. */
static enum err may_write(const struct connection_stream *s)
{
    if (s->yamux == NULL || s->fin_wanted)
        return ERR_CLOSED;
    if (s->negotiation != NULL && !s->optimistic)
        return ERR_AGAIN;
    return s->pending.len > 0 ? ERR_AGAIN : ERR_OK;
}

enum err connection_stream_write(struct connection_stream *s, struct span bytes, size_t *ret_accepted)
{
    enum err err = may_write(s);
    return err == ERR_OK ? yamux_stream_write(s->yamux, bytes, ret_accepted) : err;
}

enum err connection_stream_write_ref(struct connection_stream *s, struct block_ref *ref, size_t offset, size_t len,
                                     size_t *ret_accepted)
{
    enum err err = may_write(s);
    return err == ERR_OK ? yamux_stream_write_ref(s->yamux, ref, offset, len, ret_accepted) : err;
}

void connection_stream_fin(struct connection_stream *s)
{
    if (s->yamux == NULL || s->fin_wanted)
        return;
    s->fin_wanted = true;
    push_pending(s);
}

void connection_stream_consume(struct connection_stream *s, size_t n)
{
    if (s->yamux != NULL)
        yamux_stream_consume(s->yamux, n);
}

void connection_stream_want_window(struct connection_stream *s, size_t bytes)
{
    if (s->yamux != NULL)
        yamux_stream_want_window(s->yamux, bytes);
}

/* Cuts the stream off its muxer; whoever still holds it in this call sees that by is_alive. */
static struct yamux_stream *detach(struct connection_stream *s)
{
    struct yamux_stream *yamux = s->yamux;
    if (yamux == NULL)
        return NULL; /* inside its own stream_closed */
    yamux_stream_set_user(yamux, NULL);
    s->yamux = NULL;
    stream_free(s);
    return yamux;
}

void connection_stream_reset(struct connection_stream *s, uint32_t code)
{
    struct yamux_stream *yamux = detach(s);
    if (yamux != NULL)
        yamux_stream_reset(yamux, code);
}

void connection_stream_close(struct connection_stream *s)
{
    bool cut = s->pending.len > 0; /* lines that never found room: no order in which to end it well */
    struct yamux_stream *yamux = detach(s);
    if (yamux == NULL)
        return;
    if (cut)
        yamux_stream_reset(yamux, 0);
    else
        yamux_stream_close(yamux);
}

void connection_stream_set_user(struct connection_stream *s, void *user)
{
    s->user = user;
}

void *connection_stream_user(const struct connection_stream *s)
{
    return s->user;
}

struct connection *connection_stream_connection(const struct connection_stream *s)
{
    return s->connection;
}

bool connection_stream_is_inbound(const struct connection_stream *s)
{
    return s->inbound;
}

int connection_stream_protocol(const struct connection_stream *s)
{
    return s->protocol;
}

uint32_t connection_stream_id(const struct connection_stream *s)
{
    return s->id;
}
