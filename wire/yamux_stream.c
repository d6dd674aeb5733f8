/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdlib.h>

#include "base/block_ref.h"
#include "base/limits.h"
#include "wire/yamux_private.h"

#define CREDIT_MAX UINT32_MAX

enum {
    WINDOW_STEP = 4096,       /* growth is granted in multiples of this */
    WINDOW_SHARE = 16,        /* a window beyond the first is at most so many times what the account has free */
    CREDIT_STEP = 128 * 1024, /* consumed, and its credit goes back */
    GROW_WITHIN_RTTS = 4,     /* a window of which half is used up faster than this doubles, as in go */
    REF_BYTES_MIN = 1024,     /* smaller parts of a shared buffer are copied: cheaper than a reference */
    SMALL_BYTES = 4096,       /* well under YAMUX_UNCHARGED_BYTES */
    TURN_BYTES = 64 * 1024    /* what one stream may queue while others wait in line */
};

/* ---- the set of streams ---- */

struct yamux_stream *yamux_find(const struct yamux *y, uint32_t id)
{
    uint64_t key = id;
    return table_get(&y->streams, table_key_u64(&key));
}

struct yamux_stream *yamux_stream_new(struct yamux *y, uint32_t id, bool inbound)
{
    struct account *tables = y->config.tables;
    uint64_t key = id;
    if (tables != NULL && !account_take(tables, sizeof(struct yamux_stream)))
        return NULL;
    struct yamux_stream *s = calloc(1, sizeof(*s));
    if (s == NULL || table_put(&y->streams, table_key_u64(&key), s, NULL) != ERR_OK) {
        if (tables != NULL)
            account_give(tables, sizeof(*s));
        free(s);
        return NULL;
    }
    s->session = y;
    s->id = id;
    s->inbound = inbound;
    s->ack_pending = inbound;
    s->receive_window = s->receive_max = y->config.window_first;
    s->send_credit = y->config.window_first;
    s->period_at = y->now_ns;
    if (inbound) {
        y->in_count++;
        y->unaccepted++;
    } else {
        y->out_count++;
        y->unacked++;
    }
    return s;
}

void yamux_stream_free(struct yamux_stream *s)
{
    if (s->session->config.tables != NULL)
        account_give(s->session->config.tables, sizeof(*s));
    free(s);
}

void yamux_stream_accept(struct yamux_stream *s)
{
    if (!s->inbound || s->accepted)
        return;
    s->accepted = true;
    s->session->unaccepted--;
}

/* The caps count what has an owner: a stream that only drains is not open any more. */
static void uncount(struct yamux_stream *s)
{
    struct yamux *y = s->session;
    yamux_stream_accept(s);
    if (s->inbound)
        y->in_count--;
    else
        y->out_count--;
    if (!s->inbound && !s->acked) {
        s->acked = true;
        y->unacked--;
    }
}

static void leave_line(struct yamux_stream *s)
{
    if (!s->blocked)
        return;
    TAILQ_REMOVE(&s->session->blocked, s, line);
    s->session->blocked_count--;
    s->blocked = false;
}

static void leave_list(struct yamux_stream *s)
{
    struct yamux *y = s->session;
    if (s->state == YAMUX_STREAM_FINISHED)
        TAILQ_REMOVE(&y->finished, s, list);
    if (s->state != YAMUX_STREAM_DETACHED)
        return;
    TAILQ_REMOVE(&y->detached, s, list);
    y->detached_count--;
}

/* Window beyond the first is given back as soon as nobody will use it. */
static void give_window_back(struct yamux_stream *s)
{
    uint32_t first = s->session->config.window_first;
    if (s->receive_max > first)
        account_give(s->session->config.receive, s->receive_max - first);
    s->receive_max = first;
}

void yamux_stream_kill(struct yamux_stream *s)
{
    struct yamux *y = s->session;
    uint64_t key = s->id;
    assert(s->state != YAMUX_STREAM_DEAD);
    leave_line(s);
    leave_list(s);
    give_window_back(s);
    if (s->state != YAMUX_STREAM_DETACHED)
        uncount(s);
    if (y->target == s)
        y->target = NULL;
    (void)table_remove(&y->streams, table_key_u64(&key));
    s->state = YAMUX_STREAM_DEAD;
    TAILQ_INSERT_TAIL(&y->dead, s, list);
}

/* Outside of a bracket the pointer is dead at once. */
static void kill_now(struct yamux_stream *s)
{
    struct yamux *y = s->session;
    yamux_stream_kill(s);
    if (y->depth > 0)
        return;
    TAILQ_REMOVE(&y->dead, s, list);
    yamux_stream_free(s);
}

enum err yamux_open(struct yamux *y, void *user, struct yamux_stream **ret_stream)
{
    if (y->err != ERR_OK)
        return ERR_CLOSED;
    if (y->out_count >= y->config.streams_out_max || y->unacked >= YAMUX_UNACKED_MAX || y->next_id > UINT32_MAX - 2)
        return ERR_BUSY;
    struct yamux_stream *s = yamux_stream_new(y, y->next_id, false);
    if (s == NULL)
        return ERR_NOMEM;
    s->user = user;
    struct yamux_header h = {.type = YAMUX_WINDOW_UPDATE, .flags = YAMUX_SYN, .id = s->id};
    enum err err = yamux_queue_header(&y->queue, &h, false);
    if (err != ERR_OK) {
        kill_now(s);
        return err;
    }
    y->next_id += 2;
    *ret_stream = s;
    return ERR_OK;
}

/* ---- sending ---- */

static uint16_t take_ack(struct yamux_stream *s)
{
    uint16_t flag = s->ack_pending ? YAMUX_ACK : 0;
    s->ack_pending = false;
    return flag;
}

void yamux_stream_send(struct yamux_stream *s, enum yamux_type type, uint16_t flags, uint32_t length)
{
    struct yamux *y = s->session;
    if (y->err != ERR_OK)
        return;
    struct yamux_header h = {
        .type = (uint8_t)type, .flags = (uint16_t)(flags | take_ack(s)), .id = s->id, .length = length};
    if (yamux_queue_header(&y->queue, &h, s->inbound) != ERR_OK)
        y->starved = true;
}

size_t yamux_stream_room(const struct yamux_stream *s)
{
    const struct yamux *y = s->session;
    if (s->local_fin || y->err != ERR_OK || y->queue.queued >= YAMUX_QUEUE_BYTES)
        return 0;
    size_t room = YAMUX_QUEUE_BYTES - y->queue.queued;
    if (!TAILQ_EMPTY(&y->blocked))
        room = MIN(room, (size_t)TURN_BYTES);
    return MIN(room, s->send_credit);
}

static void wait_in_line(struct yamux_stream *s)
{
    if (s->blocked)
        return;
    s->blocked = true;
    s->session->blocked_count++;
    TAILQ_INSERT_TAIL(&s->session->blocked, s, line);
}

/* Queues len bytes of ref (or of plain memory when ref is NULL) in frames; returns how many were taken. */
static size_t queue_frames(struct yamux_stream *s, struct span bytes, struct block_ref *ref, size_t offset)
{
    struct yamux_queue *q = &s->session->queue;
    bool reply = s->inbound && !s->accepted;
    size_t done = 0;
    while (done < bytes.len) {
        struct span part = span_first(span_skip(bytes, done), YAMUX_DATA_SENT_MAX);
        uint16_t flags = s->ack_pending ? YAMUX_ACK : 0;
        enum err err;
        if (ref != NULL)
            err = yamux_queue_ref(q, s->id, flags, ref, offset + done, part.len);
        else
            err = yamux_queue_data(q, s->id, flags, part, reply);
        if (err != ERR_OK && part.len > SMALL_BYTES) { /* the account is exhausted: what is free of charge goes on */
            part = span_first(part, SMALL_BYTES);
            err = yamux_queue_data(q, s->id, flags, part, reply);
        }
        if (err != ERR_OK)
            break;
        s->ack_pending = false;
        done += part.len;
    }
    s->send_credit -= done;
    return done;
}

static enum err write_some(struct yamux_stream *s, struct span bytes, struct block_ref *ref, size_t offset,
                           size_t *ret_accepted)
{
    if (s->local_fin || s->session->err != ERR_OK || s->state == YAMUX_STREAM_DEAD)
        return ERR_CLOSED;
    size_t done = queue_frames(s, span_first(bytes, yamux_stream_room(s)), ref, offset);
    *ret_accepted = done;
    if (done == bytes.len)
        return ERR_OK;
    wait_in_line(s);
    return done == 0 ? ERR_AGAIN : ERR_OK;
}

enum err yamux_stream_write(struct yamux_stream *s, struct span bytes, size_t *ret_accepted)
{
    return write_some(s, bytes, NULL, 0, ret_accepted);
}

enum err yamux_stream_write_ref(struct yamux_stream *s, struct block_ref *ref, size_t offset, size_t len,
                                size_t *ret_accepted)
{
    assert(offset <= ref->len && len <= ref->len - offset);
    struct span bytes = span_of(ref->data + offset, len);
    return write_some(s, bytes, len < REF_BYTES_MIN ? NULL : ref, offset, ret_accepted);
}

/* Each stream in line gets one turn; who is still short goes to its end. Half the queue is left to new writers. */
void yamux_serve_blocked(struct yamux *y)
{
    for (uint32_t turns = y->blocked_count; turns > 0; turns--) {
        struct yamux_stream *s = TAILQ_FIRST(&y->blocked);
        if (s == NULL || y->err != ERR_OK || y->queue.queued > YAMUX_QUEUE_BYTES / 2)
            return;
        leave_line(s);
        if (s->send_credit == 0)
            wait_in_line(s);
        else if (y->config.events->writable != NULL)
            y->config.events->writable(y->config.user, s);
    }
}

void yamux_stream_fin(struct yamux_stream *s)
{
    if (s->local_fin || s->session->err != ERR_OK || s->state != YAMUX_STREAM_OPEN)
        return;
    s->local_fin = true;
    leave_line(s);
    yamux_stream_send(s, YAMUX_WINDOW_UPDATE, YAMUX_FIN, 0);
    if (s->remote_fin) {
        s->state = YAMUX_STREAM_FINISHED;
        TAILQ_INSERT_TAIL(&s->session->finished, s, list);
    }
}

void yamux_stream_reset(struct yamux_stream *s, uint32_t code)
{
    if (s->state == YAMUX_STREAM_DEAD)
        return;
    s->ack_pending = false;
    yamux_stream_send(s, YAMUX_WINDOW_UPDATE, YAMUX_RST, code);
    kill_now(s);
}

void yamux_stream_close(struct yamux_stream *s)
{
    struct yamux *y = s->session;
    if (s->state == YAMUX_STREAM_DEAD || s->state == YAMUX_STREAM_DETACHED)
        return;
    s->user = NULL;
    if (s->state == YAMUX_STREAM_OPEN && !s->local_fin) {
        s->local_fin = true;
        leave_line(s);
        yamux_stream_send(s, YAMUX_WINDOW_UPDATE, YAMUX_FIN, 0);
    }
    if (s->remote_fin) {
        kill_now(s);
        return;
    }
    uncount(s);
    give_window_back(s);
    s->state = YAMUX_STREAM_DETACHED;
    s->drain_until = y->now_ns + YAMUX_DRAIN_TIMEOUT_S * SECOND_NS;
    TAILQ_INSERT_TAIL(&y->detached, s, list);
    if (++y->detached_count > YAMUX_DETACHED_MAX)
        yamux_stream_reset(TAILQ_FIRST(&y->detached), 0);
}

/* ---- receiving ---- */

void yamux_stream_on_credit(struct yamux_stream *s, uint32_t delta)
{
    /* Saturates: credit that overflows 32 bits must not wrap to a small one (CVE-2026-31814). */
    s->send_credit = MIN(s->send_credit + delta, (uint64_t)CREDIT_MAX);
    struct yamux *y = s->session;
    if (!s->blocked || delta == 0 || y->queue.queued > YAMUX_QUEUE_BYTES / 2)
        return;
    leave_line(s);
    if (y->config.events->writable != NULL)
        y->config.events->writable(y->config.user, s);
}

void yamux_stream_on_fin(struct yamux_stream *s)
{
    struct yamux *y = s->session;
    if (s->remote_fin)
        return;
    s->remote_fin = true;
    if (s->state == YAMUX_STREAM_DETACHED) {
        yamux_stream_kill(s);
        return;
    }
    if (y->config.events->fin != NULL)
        y->config.events->fin(y->config.user, s);
    if (s->state == YAMUX_STREAM_OPEN && s->local_fin) {
        s->state = YAMUX_STREAM_FINISHED;
        TAILQ_INSERT_TAIL(&y->finished, s, list);
    }
}

/* What the account has paid for. */
static uint32_t window_beyond_first(const struct yamux_stream *s)
{
    return s->receive_max - s->session->config.window_first;
}

/*
 * It is at most WINDOW_SHARE times what is left free: one busy stream has nearly all of the account, several have equal parts. So who has
 * much gives some back when others take theirs.
 */
static uint64_t window_share(const struct yamux_stream *s)
{
    return account_free(s->session->config.receive) * WINDOW_SHARE;
}

/* Raises receive_max towards bytes and returns by how much; the account pays first. */
static uint32_t grow_window(struct yamux_stream *s, size_t bytes)
{
    struct account *account = s->session->config.receive;
    bytes = MIN(bytes, (size_t)YAMUX_WINDOW_MAX);
    if (account == NULL || bytes <= s->receive_max)
        return 0;
    uint64_t beyond = window_beyond_first(s);
    uint64_t share = window_share(s);
    uint64_t room = share > beyond ? (share - beyond) / (WINDOW_SHARE + 1) : 0; /* what is taken is free no more */
    uint64_t extra = MIN(bytes - s->receive_max, MIN(account_free(account) / 2, room));
    extra -= extra % WINDOW_STEP;
    if (extra == 0 || !account_take(account, extra))
        return 0;
    s->receive_max += (uint32_t)extra;
    return (uint32_t)extra;
}

/* Lowers receive_max to the stream's share by keeping credit that is owed to the peer. */
static void shrink_window(struct yamux_stream *s)
{
    uint64_t beyond = window_beyond_first(s);
    uint64_t share = beyond > 0 ? window_share(s) : 0;
    if (beyond <= share)
        return;
    uint32_t part = (uint32_t)MIN((beyond - share) / (WINDOW_SHARE + 1) + 1, MIN(beyond, (uint64_t)s->owed));
    account_give(s->session->config.receive, part);
    s->receive_max -= part;
    s->owed -= part;
}

static void send_credit(struct yamux_stream *s, uint32_t growth)
{
    uint32_t delta = s->owed + growth;
    s->owed = 0;
    s->receive_window += delta;
    if (delta > 0)
        yamux_stream_send(s, YAMUX_WINDOW_UPDATE, 0, delta);
}

/* Begins the next period of measuring; returns whether the last one was short for the round trip. */
static bool next_period(struct yamux_stream *s)
{
    const struct yamux *y = s->session;
    bool is_short = y->rtt_ns > 0 && y->now_ns - s->period_at < GROW_WITHIN_RTTS * y->rtt_ns;
    s->period_at = y->now_ns;
    s->period_bytes = 0;
    return is_short;
}

void yamux_stream_consume(struct yamux_stream *s, size_t n)
{
    if (s->state != YAMUX_STREAM_OPEN || s->session->err != ERR_OK)
        return;
    uint32_t part = (uint32_t)MIN(n, (size_t)s->held);
    s->held -= part;
    s->owed += part;
    s->period_bytes += part;
    if (s->remote_fin || s->owed < MIN(s->receive_max / 2, (uint32_t)CREDIT_STEP))
        return;
    bool grows = s->period_bytes >= s->receive_max / 2 && next_period(s);
    shrink_window(s);
    send_credit(s, grows ? grow_window(s, (size_t)s->receive_max * 2) : 0);
}

void yamux_stream_want_window(struct yamux_stream *s, size_t bytes)
{
    if (s->state != YAMUX_STREAM_OPEN || s->session->err != ERR_OK || s->remote_fin)
        return;
    uint32_t growth = grow_window(s, bytes);
    if (growth == 0)
        return;
    (void)next_period(s);
    send_credit(s, growth);
}

/* ---- queries ---- */

void yamux_stream_set_user(struct yamux_stream *s, void *user)
{
    s->user = user;
}

void *yamux_stream_user(const struct yamux_stream *s)
{
    return s->user;
}

uint32_t yamux_stream_id(const struct yamux_stream *s)
{
    return s->id;
}

bool yamux_stream_is_inbound(const struct yamux_stream *s)
{
    return s->inbound;
}
