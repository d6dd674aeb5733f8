/* SPDX-License-Identifier: MIT */
#include "wire/yamux.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "wire/yamux_private.h"

/* A foreign id may be drained for at most one full window: nobody honest has more on the way. */
enum { DRAIN_FRAME_MAX = YAMUX_WINDOW_MAX };

/* ---- life cycle ---- */

enum err yamux_new(const struct yamux_config *config, uint64_t now_ns, struct yamux **ret_yamux)
{
    struct yamux *y = calloc(1, sizeof(*y));
    if (y == NULL)
        return ERR_NOMEM;
    y->config = *config;
    if (config->window_first == 0)
        y->config.window_first = YAMUX_WINDOW_FIRST;
    y->next_id = config->dialer ? 1 : 2;
    y->now_ns = y->heard_at = y->ping_at = now_ns;
    /* Detached streams still wait for the peer's end, so the table holds more than both caps. */
    table_init(&y->streams, 2 * ((size_t)config->streams_in_max + config->streams_out_max), NULL);
    yamux_queue_init(&y->queue, config->send);
    TAILQ_INIT(&y->blocked);
    TAILQ_INIT(&y->finished);
    TAILQ_INIT(&y->detached);
    TAILQ_INIT(&y->dead);
    *ret_yamux = y;
    return ERR_OK;
}

void yamux_free(struct yamux *y)
{
    if (y == NULL)
        return;
    assert(y->depth == 0);
    size_t at = 0;
    struct yamux_stream *s;
    while ((s = table_next(&y->streams, &at, NULL)) != NULL)
        yamux_stream_kill(s);
    yamux_enter(y, y->now_ns);
    yamux_leave(y);
    table_release(&y->streams);
    yamux_queue_release(&y->queue);
    free(y);
}

void yamux_enter(struct yamux *y, uint64_t now_ns)
{
    y->depth++;
    y->now_ns = now_ns;
}

static void report_finished(struct yamux *y)
{
    struct yamux_stream *s;
    while ((s = TAILQ_FIRST(&y->finished)) != NULL) {
        yamux_stream_kill(s);
        if (y->config.events->closed != NULL)
            y->config.events->closed(y->config.user, s, ERR_OK, 0);
    }
}

void yamux_leave(struct yamux *y)
{
    if (y->depth == 1 && y->starved)
        yamux_fail(y, ERR_NOMEM, YAMUX_INTERNAL_ERROR);
    if (y->depth == 1)
        report_finished(y);
    if (--y->depth > 0)
        return;
    struct yamux_stream *s;
    while ((s = TAILQ_FIRST(&y->dead)) != NULL) {
        TAILQ_REMOVE(&y->dead, s, list);
        yamux_stream_free(s);
    }
}

void yamux_fail(struct yamux *y, enum err err, int code)
{
    if (y->err != ERR_OK)
        return;
    y->err = err;
    y->left = 0;
    y->target = NULL;
    if (code >= 0) {
        struct yamux_header h = {.type = YAMUX_GO_AWAY, .length = (uint32_t)code};
        enum err queued = yamux_queue_header(&y->queue, &h, false);
        (void)queued; /* the session ends either way */
    }
    size_t at = 0;
    struct yamux_stream *s;
    while ((s = table_next(&y->streams, &at, NULL)) != NULL) {
        bool silent = s->state == YAMUX_STREAM_DETACHED;
        yamux_stream_kill(s);
        if (!silent && y->config.events->closed != NULL)
            y->config.events->closed(y->config.user, s, err, 0);
    }
}

void yamux_abort(struct yamux *y, enum err err, enum yamux_code code)
{
    yamux_enter(y, y->now_ns);
    yamux_fail(y, err, (int)code);
    yamux_leave(y);
}

/* ---- incoming frames ---- */

static uint32_t get32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static void protocol_error(struct yamux *y)
{
    yamux_fail(y, ERR_PROTOCOL, YAMUX_PROTOCOL_ERROR);
}

static void refuse_stream(struct yamux *y, uint32_t id)
{
    struct yamux_header h = {.type = YAMUX_WINDOW_UPDATE, .flags = YAMUX_RST, .id = id};
    if (yamux_queue_header(&y->queue, &h, true) != ERR_OK)
        y->starved = true;
}

/* Whether the peer may open one more. */
static bool has_room(const struct yamux *y)
{
    const struct account *tables = y->config.tables;
    bool is_short = tables != NULL && account_free(tables) < tables->limit_bytes / 2;
    uint32_t most = is_short ? MIN(y->config.streams_in_max, (uint32_t)YAMUX_STREAMS_SHORT) : y->config.streams_in_max;
    return y->in_count < most && y->unaccepted < YAMUX_UNACCEPTED_MAX;
}

/* A SYN: the new stream, or NULL when it was refused or the session failed. */
static struct yamux_stream *on_syn(struct yamux *y, const struct yamux_header *h)
{
    bool parity_ok = (h->id % 2 == 0) == y->config.dialer;
    if (!parity_ok || yamux_find(y, h->id) != NULL || (h->type == YAMUX_DATA && h->length > y->config.window_first)) {
        protocol_error(y);
        return NULL;
    }
    struct yamux_stream *s = NULL;
    if (has_room(y))
        s = yamux_stream_new(y, h->id, true);
    if (s == NULL) {
        refuse_stream(y, h->id);
        return NULL;
    }
    if (y->config.events->stream_opened != NULL)
        y->config.events->stream_opened(y->config.user, s);
    if (s->state == YAMUX_STREAM_DEAD)
        return NULL;
    if (s->ack_pending)
        yamux_stream_send(s, YAMUX_WINDOW_UPDATE, 0, 0);
    return y->err == ERR_OK ? s : NULL;
}

/* An RST, whose length is an error code and never credit. */
static void on_reset(struct yamux *y, const struct yamux_header *h, struct yamux_stream *s)
{
    y->left = h->type == YAMUX_DATA ? h->length : 0;
    if (s == NULL)
        return;
    bool silent = s->state == YAMUX_STREAM_DETACHED;
    yamux_stream_kill(s);
    if (!silent && y->config.events->closed != NULL)
        y->config.events->closed(y->config.user, s, ERR_RESET, h->type == YAMUX_WINDOW_UPDATE ? h->length : 0);
}

static void on_data(struct yamux *y, const struct yamux_header *h, struct yamux_stream *s)
{
    if (h->length > s->receive_window) {
        protocol_error(y);
        return;
    }
    s->receive_window -= h->length;
    y->left = h->length;
    y->target = s->remote_fin ? NULL : s;
    y->fin_after = (h->flags & YAMUX_FIN) != 0;
    if (h->length == 0 && y->fin_after)
        yamux_stream_on_fin(s);
}

static void on_stream_frame(struct yamux *y, const struct yamux_header *h)
{
    bool is_data = h->type == YAMUX_DATA;
    if (h->id == 0) {
        protocol_error(y);
        return;
    }
    struct yamux_stream *s;
    if ((h->flags & YAMUX_SYN) != 0 && (h->flags & YAMUX_RST) == 0)
        s = on_syn(y, h);
    else
        s = yamux_find(y, h->id);
    if (y->err != ERR_OK)
        return;
    if ((h->flags & YAMUX_RST) != 0) {
        on_reset(y, h, s);
        return;
    }
    if (s == NULL) { /* a late frame for a stream that is gone */
        if (is_data && h->length > DRAIN_FRAME_MAX)
            protocol_error(y);
        else
            y->left = is_data ? h->length : 0;
        return;
    }
    if (!s->inbound && !s->acked) {
        s->acked = true;
        y->unacked--;
    }
    if (is_data) {
        on_data(y, h, s);
        return;
    }
    yamux_stream_on_credit(s, h->length);
    if ((h->flags & YAMUX_FIN) != 0 && s->state != YAMUX_STREAM_DEAD)
        yamux_stream_on_fin(s);
}

static void on_ping(struct yamux *y, const struct yamux_header *h)
{
    bool asks = h->flags == YAMUX_SYN;
    if (h->id != 0 || (!asks && h->flags != YAMUX_ACK)) {
        protocol_error(y);
    } else if (asks) {
        if (yamux_queue_pong(&y->queue, h->length) != ERR_OK)
            y->starved = true;
    } else if (y->ping_waits && h->length == y->ping_value) {
        y->ping_waits = false;
        y->rtt_ns = MAX(y->now_ns - y->ping_at, 1);
        if (y->config.events->pong != NULL)
            y->config.events->pong(y->config.user, y->rtt_ns);
    }
}

static void on_go_away(struct yamux *y, const struct yamux_header *h)
{
    if (h->id != 0) {
        protocol_error(y);
        return;
    }
    if (y->config.events->goaway != NULL)
        y->config.events->goaway(y->config.user, h->length);
    yamux_fail(y, h->length == YAMUX_NORMAL ? ERR_CLOSED : ERR_RESET, -1);
}

static void on_header(struct yamux *y)
{
    struct yamux_header h = {.type = y->header[1],
                             .flags = (uint16_t)(y->header[2] << 8 | y->header[3]),
                             .id = get32(y->header + 4),
                             .length = get32(y->header + 8)};
    y->header_len = 0;
    y->target = NULL;
    y->fin_after = false;
    if (y->header[0] != 0 || h.type > YAMUX_GO_AWAY)
        protocol_error(y);
    else if (h.type == YAMUX_PING)
        on_ping(y, &h);
    else if (h.type == YAMUX_GO_AWAY)
        on_go_away(y, &h);
    else
        on_stream_frame(y, &h);
}

static void take_header(struct yamux *y, struct span *in)
{
    size_t part = MIN(in->len, YAMUX_HEADER_BYTES - y->header_len);
    memcpy(y->header + y->header_len, in->data, part);
    y->header_len += part;
    *in = span_skip(*in, part);
    if (y->header_len == YAMUX_HEADER_BYTES)
        on_header(y);
}

static void take_payload(struct yamux *y, struct span *in)
{
    struct span part = span_first(*in, y->left);
    *in = span_skip(*in, part.len);
    y->left -= (uint32_t)part.len;
    struct yamux_stream *s = y->target;
    if (s != NULL && s->state != YAMUX_STREAM_DETACHED) {
        s->held += (uint32_t)part.len;
        y->config.events->data(y->config.user, s, part);
    }
    if (y->left == 0 && y->fin_after && y->target != NULL)
        yamux_stream_on_fin(y->target);
}

enum err yamux_feed(struct yamux *y, struct span in, uint64_t now_ns)
{
    if (y->err != ERR_OK)
        return y->err;
    yamux_enter(y, now_ns);
    y->heard_at = now_ns;
    while (in.len > 0 && y->err == ERR_OK) {
        if (y->left > 0)
            take_payload(y, &in);
        else
            take_header(y, &in);
    }
    yamux_leave(y);
    return y->err;
}

bool yamux_wants_read(const struct yamux *y)
{
    return y->queue.pongs < YAMUX_PONGS_MAX && y->queue.replies <= YAMUX_REPLY_BYTES_MAX;
}

/* ---- output ---- */

int yamux_output(const struct yamux *y, struct iovec *iov, int max)
{
    return yamux_queue_peek(&y->queue, iov, max);
}

size_t yamux_queued(const struct yamux *y)
{
    return y->queue.queued;
}

void yamux_output_drop(struct yamux *y, size_t n)
{
    yamux_queue_drop(&y->queue, n);
}

void yamux_serve(struct yamux *y, uint64_t now_ns)
{
    yamux_enter(y, now_ns);
    yamux_serve_blocked(y);
    yamux_leave(y);
}

void yamux_output_done(struct yamux *y, size_t n, uint64_t now_ns)
{
    yamux_output_drop(y, n);
    yamux_serve(y, now_ns);
}

/* ---- time ---- */

void yamux_ping(struct yamux *y, uint64_t now_ns)
{
    if (y->ping_waits || y->err != ERR_OK)
        return;
    struct yamux_header h = {.type = YAMUX_PING, .flags = YAMUX_SYN, .length = ++y->ping_value};
    if (yamux_queue_header(&y->queue, &h, false) != ERR_OK)
        return; /* the next tick tries again */
    y->ping_waits = true;
    y->ping_at = now_ns;
}

static uint64_t ping_deadline(const struct yamux *y)
{
    uint64_t silence_s = y->config.dialer ? YAMUX_KEEPALIVE_S : YAMUX_KEEPALIVE_LISTENER_S;
    if (!y->ping_waits)
        return MIN(MAX(y->ping_at, y->heard_at) + silence_s * SECOND_NS, y->ping_at + YAMUX_RTT_S * SECOND_NS);
    return MAX(y->ping_at, y->heard_at) + YAMUX_PONG_TIMEOUT_S * SECOND_NS;
}

uint64_t yamux_deadline(const struct yamux *y)
{
    if (y->err != ERR_OK)
        return UINT64_MAX;
    const struct yamux_stream *s = TAILQ_FIRST(&y->detached);
    uint64_t ping = ping_deadline(y);
    return s == NULL ? ping : MIN(ping, s->drain_until);
}

enum err yamux_tick(struct yamux *y, uint64_t now_ns)
{
    if (y->err != ERR_OK)
        return y->err;
    yamux_enter(y, now_ns);
    struct yamux_stream *s;
    while ((s = TAILQ_FIRST(&y->detached)) != NULL && s->drain_until <= now_ns)
        yamux_stream_reset(s, 0);
    if (y->err == ERR_OK && now_ns >= ping_deadline(y)) {
        if (y->ping_waits)
            yamux_fail(y, ERR_TIMEOUT, YAMUX_NORMAL);
        else
            yamux_ping(y, now_ns);
    }
    yamux_leave(y);
    return y->err;
}

uint64_t yamux_rtt_ns(const struct yamux *y)
{
    return y->rtt_ns;
}

uint32_t yamux_streams(const struct yamux *y)
{
    return y->in_count + y->out_count;
}
