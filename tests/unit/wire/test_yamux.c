/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/block_ref.h"
#include "base/limits.h"
#include "base/random.h"
#include "wire/yamux_private.h"

enum { DATA = 0, WINDOW = 1, PING = 2, GO_AWAY = 3, SYN = 1, ACK = 2, FIN = 4, RST = 8 };

/* What one side has seen. */
struct side {
    struct yamux *y;
    struct account receive;
    struct account tables;
    unsigned opened;
    unsigned fins;
    unsigned closed;
    unsigned writables;
    unsigned pongs;
    unsigned goaways;
    enum err last_err;
    uint32_t last_code;
    size_t bytes;
    struct yamux_stream *last;
    bool consume; /* at once, in the data event */
    bool accept;
    bool end; /* answer FIN with FIN */
};

static void on_opened(void *user, struct yamux_stream *s)
{
    struct side *side = user;
    side->opened++;
    side->last = s;
    if (side->accept)
        yamux_stream_accept(s);
}

static void on_data(void *user, struct yamux_stream *s, struct span bytes)
{
    struct side *side = user;
    side->bytes += bytes.len;
    if (side->consume)
        yamux_stream_consume(s, bytes.len);
}

static void on_fin(void *user, struct yamux_stream *s)
{
    struct side *side = user;
    side->fins++;
    if (side->end)
        yamux_stream_fin(s);
}

static void on_writable(void *user, struct yamux_stream *s)
{
    (void)s;
    ((struct side *)user)->writables++;
}

static void on_closed(void *user, struct yamux_stream *s, enum err err, uint32_t code)
{
    (void)s;
    struct side *side = user;
    side->closed++;
    side->last_err = err;
    side->last_code = code;
}

static void on_goaway(void *user, uint32_t code)
{
    (void)code;
    ((struct side *)user)->goaways++;
}

static void on_pong(void *user, uint64_t rtt_ns)
{
    (void)rtt_ns;
    ((struct side *)user)->pongs++;
}

static const struct yamux_events events = {.stream_opened = on_opened,
                                           .data = on_data,
                                           .fin = on_fin,
                                           .writable = on_writable,
                                           .closed = on_closed,
                                           .goaway = on_goaway,
                                           .pong = on_pong};

static void side_init(struct side *side, bool dialer, uint64_t receive_bytes)
{
    memset(side, 0, sizeof(*side));
    side->accept = true;
    side->consume = true;
    account_init(&side->receive, "receive", receive_bytes);
    account_init(&side->tables, "tables", 8 * MIB);
    struct yamux_config config = {.dialer = dialer,
                                  .receive = &side->receive,
                                  .tables = &side->tables,
                                  .streams_in_max = 512,
                                  .streams_out_max = 512,
                                  .events = &events,
                                  .user = side};
    assert_int_equal(yamux_new(&config, 0, &side->y), ERR_OK);
}

static void side_release(struct side *side)
{
    yamux_free(side->y);
    assert_int_equal(account_used(&side->receive), 0);
    assert_int_equal(account_used(&side->tables), 0);
}

static void put32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void frame(uint8_t to[12], uint8_t type, uint16_t flags, uint32_t id, uint32_t length)
{
    memset(to, 0, 12);
    to[1] = type;
    to[3] = (uint8_t)flags;
    put32(to + 4, id);
    put32(to + 8, length);
}

static enum err feed_frame(struct side *side, uint8_t type, uint16_t flags, uint32_t id, uint32_t length)
{
    uint8_t bytes[12];
    frame(bytes, type, flags, id, length);
    return yamux_feed(side->y, span_of(bytes, sizeof(bytes)), 1);
}

/* Takes one 12-byte header off the queue and checks it. */
static void expect_frame(struct side *side, uint8_t type, uint16_t flags, uint32_t id, uint32_t length)
{
    uint8_t want[12];
    uint8_t got[12];
    size_t have = 0;
    frame(want, type, flags, id, length);
    struct iovec iov[16];
    int n = yamux_output(side->y, iov, 16);
    for (int i = 0; i < n && have < sizeof(got); i++) {
        size_t part = MIN(iov[i].iov_len, sizeof(got) - have);
        memcpy(got + have, iov[i].iov_base, part);
        have += part;
    }
    assert_int_equal(have, 12);
    assert_memory_equal(got, want, 12);
    yamux_output_done(side->y, 12, 1);
}

static void expect_nothing(struct side *side)
{
    assert_int_equal(yamux_queued(side->y), 0);
}

static void drain(struct side *side)
{
    yamux_output_done(side->y, yamux_queued(side->y), 1);
}

/* Moves up to max bytes from one side to the other. */
static size_t pump(struct side *from, struct side *to, size_t max, uint64_t now)
{
    static uint8_t bytes[1 << 20];
    struct iovec iov[64];
    size_t have = 0;
    int n = yamux_output(from->y, iov, 64);
    max = MIN(max, sizeof(bytes));
    for (int i = 0; i < n && have < max; i++) {
        size_t part = MIN(iov[i].iov_len, max - have);
        memcpy(bytes + have, iov[i].iov_base, part);
        have += part;
    }
    yamux_output_done(from->y, have, now);
    assert_int_equal(yamux_feed(to->y, span_of(bytes, have), now), ERR_OK);
    return have;
}

static void settle(struct side *a, struct side *b)
{
    for (int i = 0; i < 1000 && yamux_queued(a->y) + yamux_queued(b->y) > 0; i++) {
        (void)pump(a, b, SIZE_MAX, 1);
        (void)pump(b, a, SIZE_MAX, 1);
    }
}

static void a_stream_opens_flows_and_ends(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    side_init(&a, true, 0);
    side_init(&b, false, 0);
    struct yamux_stream *s;
    size_t n = 0;
    assert_int_equal(yamux_open(a.y, NULL, &s), ERR_OK);
    assert_int_equal(yamux_stream_write(s, span_text("hello "), &n), ERR_OK);
    assert_int_equal(yamux_stream_write(s, span_text("world"), &n), ERR_OK);
    assert_int_equal(n, 5);
    assert_int_equal(yamux_queued(a.y), 12 + 12 + 11); /* both writes share one frame */
    (void)pump(&a, &b, SIZE_MAX, 1);
    assert_int_equal(b.opened, 1);
    assert_int_equal(b.bytes, 11);
    expect_frame(&b, WINDOW, ACK, 1, 0);
    expect_nothing(&b);
    b.end = true;
    yamux_stream_fin(s);
    expect_frame(&a, WINDOW, FIN, 1, 0);
    assert_int_equal(feed_frame(&b, WINDOW, FIN, 1, 0), ERR_OK);
    assert_int_equal(b.fins, 1);
    assert_int_equal(b.closed, 1);
    assert_int_equal(b.last_err, ERR_OK);
    expect_frame(&b, WINDOW, FIN, 1, 0);
    assert_int_equal(feed_frame(&a, WINDOW, FIN, 1, 0), ERR_OK);
    assert_int_equal(a.closed, 1);
    assert_int_equal(yamux_streams(a.y) + yamux_streams(b.y), 0);
    side_release(&a);
    side_release(&b);
}

static void parity_follows_the_role(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 0);
    struct yamux_stream *s;
    assert_int_equal(yamux_open(b.y, NULL, &s), ERR_OK);
    assert_int_equal(yamux_stream_id(s), 2);
    assert_int_equal(yamux_open(b.y, NULL, &s), ERR_OK);
    assert_int_equal(yamux_stream_id(s), 4);
    expect_frame(&b, WINDOW, SYN, 2, 0);
    side_release(&b);
}

/* rust opens with Data+SYN, FIN may ride along: the whole exchange in one frame. */
static void syn_data_and_fin_in_one_frame(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 0);
    uint8_t bytes[15];
    frame(bytes, DATA, SYN | FIN, 1, 3);
    memcpy(bytes + 12, "abc", 3);
    for (size_t i = 0; i < sizeof(bytes); i++)
        assert_int_equal(yamux_feed(b.y, span_of(bytes + i, 1), 1), ERR_OK);
    assert_int_equal(b.opened, 1);
    assert_int_equal(b.bytes, 3);
    assert_int_equal(b.fins, 1);
    assert_int_equal(b.closed, 0);
    expect_frame(&b, WINDOW, ACK, 1, 0);
    side_release(&b);
}

static void credit_bounds_writes_and_returns_by_the_consumer(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    side_init(&a, true, 0);
    side_init(&b, false, 0);
    b.consume = false;
    struct yamux_stream *s;
    assert_int_equal(yamux_open(a.y, NULL, &s), ERR_OK);
    static uint8_t bytes[512 * 1024];
    size_t sent = 0;
    for (int i = 0; i < 20; i++) {
        size_t n = 0;
        enum err err = yamux_stream_write(s, span_of(bytes, sizeof(bytes)), &n);
        assert_true(err == ERR_OK || err == ERR_AGAIN);
        sent += err == ERR_OK ? n : 0;
        settle(&a, &b);
    }
    assert_int_equal(sent, YAMUX_WINDOW_FIRST);
    assert_int_equal(b.bytes, YAMUX_WINDOW_FIRST);
    assert_int_equal(yamux_stream_room(s), 0);
    a.writables = 0;
    yamux_stream_consume(b.last, YAMUX_WINDOW_FIRST / 2 - 1);
    expect_nothing(&b);
    yamux_stream_consume(b.last, 1);
    expect_frame(&b, WINDOW, 0, 1, YAMUX_WINDOW_FIRST / 2);
    assert_int_equal(feed_frame(&a, WINDOW, 0, 1, YAMUX_WINDOW_FIRST / 2), ERR_OK);
    assert_int_equal(a.writables, 1);
    assert_int_equal(yamux_stream_room(s), YAMUX_WINDOW_FIRST / 2);
    yamux_stream_consume(b.last, SIZE_MAX); /* never more than was delivered */
    expect_frame(&b, WINDOW, 0, 1, YAMUX_WINDOW_FIRST / 2);
    yamux_stream_consume(b.last, 1 << 20);
    expect_nothing(&b);
    side_release(&a);
    side_release(&b);
}

static void references_are_queued_without_a_copy(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    side_init(&a, true, 0);
    side_init(&b, false, 0);
    struct block_ref *ref = block_ref_new(200000, NULL);
    assert_non_null(ref);
    struct yamux_stream *s;
    size_t n = 0;
    assert_int_equal(yamux_open(a.y, NULL, &s), ERR_OK);
    assert_int_equal(yamux_stream_write_ref(s, ref, 10, 199990, &n), ERR_OK);
    assert_int_equal(n, 199990);
    struct iovec iov[16];
    assert_int_equal(yamux_output(a.y, iov, 16), 8); /* four frames of 64 KiB at most */
    assert_ptr_equal(iov[1].iov_base, ref->data + 10);
    assert_int_equal(iov[1].iov_len, YAMUX_DATA_SENT_MAX);
    settle(&a, &b);
    assert_int_equal(b.bytes, 199990);
    assert_int_equal(ref->refs, 1);
    block_ref_unref(ref);
    side_release(&a);
    side_release(&b);
}

/* The queue's bytes are the account's; without any, a session still moves, in small steps. */
static void an_exhausted_send_account_slows_but_does_not_stop(void **state)
{
    (void)state;
    struct account send;
    account_init(&send, "send", 1000);
    struct side a;
    side_init(&a, true, 0);
    yamux_free(a.y);
    struct yamux_config config = {
        .dialer = true, .send = &send, .streams_in_max = 8, .streams_out_max = 8, .events = &events, .user = &a};
    assert_int_equal(yamux_new(&config, 0, &a.y), ERR_OK);
    struct yamux_stream *s;
    static uint8_t bytes[100000];
    size_t sent = 0;
    assert_int_equal(yamux_open(a.y, NULL, &s), ERR_OK);
    for (int i = 0; i < 100 && sent < sizeof(bytes); i++) {
        size_t n = 0;
        enum err err = yamux_stream_write(s, span_skip(span_of(bytes, sizeof(bytes)), sent), &n);
        assert_true(err == ERR_OK || err == ERR_AGAIN);
        sent += err == ERR_OK ? n : 0;
        assert_true(yamux_queued(a.y) > 0 && yamux_queued(a.y) < 32 * 1024);
        drain(&a);
        assert_int_equal(account_used(&send), 0);
    }
    assert_int_equal(sent, sizeof(bytes));
    side_release(&a);
}

static void windows_grow_by_what_the_account_grants(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 4 * MIB);
    assert_int_equal(feed_frame(&b, WINDOW, SYN, 1, 0), ERR_OK);
    struct yamux_stream *one = b.last;
    expect_frame(&b, WINDOW, ACK, 1, 0);
    yamux_stream_want_window(one, 1 * MIB);
    expect_frame(&b, WINDOW, 0, 1, 768 * 1024);
    assert_int_equal(account_used(&b.receive), 768 * 1024);
    assert_int_equal(feed_frame(&b, WINDOW, SYN, 3, 0), ERR_OK);
    struct yamux_stream *three = b.last;
    expect_frame(&b, WINDOW, ACK, 3, 0);
    yamux_stream_want_window(three, 64 * MIB); /* half of what is free, not all */
    uint32_t half = (4 * 1024 - 768) / 2 * 1024;
    expect_frame(&b, WINDOW, 0, 3, half);
    assert_int_equal(account_used(&b.receive), 768 * 1024 + half);
    yamux_stream_reset(three, 5);
    expect_frame(&b, WINDOW, RST, 3, 5);
    assert_int_equal(account_used(&b.receive), 768 * 1024);
    /* The window that was granted may be used in one frame, as js does. */
    assert_int_equal(feed_frame(&b, DATA, 0, 1, 1 * MIB), ERR_OK);
    side_release(&b);
}

enum { CREDIT_BYTES = 128 * 1024 }; /* what is consumed before its credit goes back */

/* A round trip of 50 ms is measured. */
static void measure_rtt(struct side *side)
{
    uint8_t head[12];
    yamux_ping(side->y, 0);
    drain(side);
    frame(head, PING, ACK, 0, 1);
    assert_int_equal(yamux_feed(side->y, span_of(head, 12), 50 * MS_NS), ERR_OK);
    assert_int_equal(side->pongs, 1);
    assert_int_equal(yamux_rtt_ns(side->y), 50 * MS_NS);
}

/* A Data frame of that many zeros, consumed as it arrives. */
static void feed_zeros(struct side *side, uint16_t flags, uint32_t id, uint32_t length, uint64_t at_ms)
{
    static const uint8_t zeros[CREDIT_BYTES];
    uint8_t head[12];
    assert_true(length <= sizeof(zeros));
    frame(head, DATA, flags, id, length);
    assert_int_equal(yamux_feed(side->y, span_of(head, 12), at_ms * MS_NS), ERR_OK);
    assert_int_equal(yamux_feed(side->y, span_of(zeros, length), at_ms * MS_NS), ERR_OK);
}

static void a_window_half_used_up_within_few_round_trips_doubles(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 64 * MIB);
    measure_rtt(&b);
    feed_zeros(&b, SYN, 1, CREDIT_BYTES, 100);
    expect_frame(&b, WINDOW, ACK, 1, 0);
    expect_frame(&b, WINDOW, 0, 1, CREDIT_BYTES + 256 * 1024);
    feed_zeros(&b, 0, 1, CREDIT_BYTES, 110); /* a quarter of what it is now */
    expect_frame(&b, WINDOW, 0, 1, CREDIT_BYTES);
    feed_zeros(&b, 0, 1, CREDIT_BYTES, 120);
    expect_frame(&b, WINDOW, 0, 1, CREDIT_BYTES + 512 * 1024);
    for (int i = 0; i < 8; i++) { /* much later: no growth */
        feed_zeros(&b, 0, 1, CREDIT_BYTES, 900);
        uint32_t growth = i == 7 ? 1024 * 1024 : 0; /* the second half came in no time */
        expect_frame(&b, WINDOW, 0, 1, CREDIT_BYTES + growth);
    }
    side_release(&b);
}

/* With steps of half a window, a peer would have sent all that it may long before the first half comes back over a long path. */
static void credit_of_a_large_window_returns_in_small_steps(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 64 * MIB);
    feed_zeros(&b, SYN, 1, 0, 1);
    expect_frame(&b, WINDOW, ACK, 1, 0);
    yamux_stream_want_window(b.last, 8 * MIB);
    expect_frame(&b, WINDOW, 0, 1, 8 * MIB - 256 * 1024);
    feed_zeros(&b, 0, 1, CREDIT_BYTES - 1, 2);
    expect_nothing(&b);
    feed_zeros(&b, 0, 1, 1, 3);
    expect_frame(&b, WINDOW, 0, 1, CREDIT_BYTES);
    side_release(&b);
}

static void one_busy_stream_has_nearly_all_and_yields_when_others_come(void **state)
{
    (void)state;
    enum { LIMIT = 8 * MIB, STREAMS = 3 };
    struct side b;
    struct yamux_stream *s[STREAMS];
    side_init(&b, false, LIMIT);
    measure_rtt(&b);
    for (uint32_t k = 0; k < STREAMS; k++) {
        feed_zeros(&b, SYN, 2 * k + 1, 0, 60);
        s[k] = b.last;
    }
    for (uint64_t ms = 100; ms < 400; ms++) {
        feed_zeros(&b, 0, 1, CREDIT_BYTES, ms);
        assert_true(account_free(&b.receive) >= LIMIT / 17); /* for who comes next */
    }
    uint64_t alone = account_used(&b.receive);
    assert_true(alone == s[0]->receive_max - YAMUX_WINDOW_FIRST && alone > LIMIT * 9 / 10 && alone < LIMIT);
    for (uint64_t ms = 400; ms < 700; ms++) {
        for (uint32_t k = 0; k < STREAMS; k++)
            feed_zeros(&b, 0, 2 * k + 1, CREDIT_BYTES, ms);
        assert_true(account_used(&b.receive) < LIMIT);
    }
    for (uint32_t k = 0; k < STREAMS; k++) {
        uint32_t beyond = s[k]->receive_max - YAMUX_WINDOW_FIRST;
        assert_true(beyond > LIMIT / STREAMS / 10 * 9 && beyond < LIMIT / STREAMS / 10 * 11);
        assert_int_equal(s[k]->receive_window + s[k]->held + s[k]->owed, s[k]->receive_max);
    }
    side_release(&b);
}

/* ---- hostile frames ---- */

static void expect_protocol_error(struct side *side, enum err err)
{
    assert_int_equal(err, ERR_PROTOCOL);
    expect_frame(side, GO_AWAY, 0, 0, 1);
    expect_nothing(side);
    assert_int_equal(feed_frame(side, PING, SYN, 0, 1), ERR_PROTOCOL);
    assert_int_equal(yamux_streams(side->y), 0);
}

/* CVE-2026-32314 */
static void t3_data_beyond_the_window_ends_the_session(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 0);
    enum err err = feed_frame(&b, DATA, SYN, 1, YAMUX_WINDOW_FIRST + 1);
    expect_protocol_error(&b, err);
    assert_int_equal(b.opened, 0); /* no half-made stream */
    side_release(&b);

    side_init(&b, false, 0);
    assert_int_equal(feed_frame(&b, WINDOW, SYN, 1, 0), ERR_OK);
    drain(&b);
    err = feed_frame(&b, DATA, 0, 1, YAMUX_WINDOW_FIRST + 1);
    expect_protocol_error(&b, err);
    assert_int_equal(b.closed, 1);
    assert_int_equal(b.last_err, ERR_PROTOCOL);
    side_release(&b);

    side_init(&b, false, 0);
    static uint8_t bytes[YAMUX_WINDOW_FIRST];
    b.consume = false;
    assert_int_equal(feed_frame(&b, DATA, SYN, 1, sizeof(bytes)), ERR_OK);
    assert_int_equal(yamux_feed(b.y, span_of(bytes, sizeof(bytes)), 1), ERR_OK);
    drain(&b);
    err = feed_frame(&b, DATA, 0, 1, 1);
    expect_protocol_error(&b, err);
    side_release(&b);
}

/* CVE-2026-31814 */
static void t4_credit_saturates_and_never_wraps(void **state)
{
    (void)state;
    struct side a;
    side_init(&a, true, 0);
    struct yamux_stream *s;
    assert_int_equal(yamux_open(a.y, NULL, &s), ERR_OK);
    for (int i = 0; i < 5; i++)
        assert_int_equal(feed_frame(&a, WINDOW, i == 0 ? ACK : 0, 1, UINT32_MAX), ERR_OK);
    assert_true(yamux_stream_room(s) > 200000); /* a wrapped credit would be nearly 256 KiB - 5 or less */
    drain(&a);
    size_t sent = 0;
    static uint8_t bytes[YAMUX_QUEUE_BYTES];
    for (int i = 0; i < 64; i++) {
        size_t n = 0;
        assert_int_equal(yamux_stream_write(s, span_of(bytes, sizeof(bytes) / 2), &n), ERR_OK);
        sent += n;
        drain(&a);
    }
    assert_int_equal(sent, 64 * sizeof(bytes) / 2); /* 8 MiB, without further credit */
    side_release(&a);
}

/* CVE-2024-32984 */
static void t5_pings_of_a_peer_that_never_reads_pause_reading(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 0);
    for (uint32_t i = 0; i < 1000000; i++) {
        assert_int_equal(yamux_wants_read(b.y), i < YAMUX_PONGS_MAX);
        assert_int_equal(feed_frame(&b, PING, SYN, 0, i), ERR_OK);
        if (i > 100)
            i += 997;
    }
    assert_int_equal(yamux_queued(b.y), YAMUX_PONGS_MAX * 12);
    for (uint32_t i = 0; i < YAMUX_PONGS_MAX; i++)
        expect_frame(&b, PING, ACK, 0, i);
    assert_true(yamux_wants_read(b.y));
    side_release(&b);
}

static void t5_opens_of_a_peer_that_never_reads_pause_reading(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 0);
    uint32_t id = 1;
    while (yamux_wants_read(b.y) && id < 100000) {
        assert_int_equal(feed_frame(&b, WINDOW, SYN, id, 0), ERR_OK);
        assert_int_equal(feed_frame(&b, WINDOW, RST, id, 0), ERR_OK);
        id += 2;
    }
    assert_true(id < 6000);
    assert_true(yamux_queued(b.y) <= YAMUX_REPLY_BYTES_MAX + 12);
    drain(&b);
    assert_true(yamux_wants_read(b.y));
    side_release(&b);
}

/* What a negotiation says goes into one frame where it can; when all was taken, nothing of it is held against the peer. */
static void answers_that_left_never_pause_reading(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 0);
    b.accept = false;
    for (uint32_t id = 1; id < 2 * 3000; id += 2) {
        size_t n;
        assert_int_equal(feed_frame(&b, WINDOW, SYN, id, 0), ERR_OK);
        assert_int_equal(yamux_stream_write(b.last, span_text("header"), &n), ERR_OK);
        assert_int_equal(yamux_stream_write(b.last, span_text("protocol"), &n), ERR_OK);
        drain(&b);
        assert_int_equal(feed_frame(&b, WINDOW, RST, id, 0), ERR_OK);
        drain(&b);
        assert_true(yamux_wants_read(b.y));
    }
    side_release(&b);
}

static void t6_streams_that_nobody_accepts_are_capped(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 0);
    b.accept = false;
    for (uint32_t i = 0; i < 300; i++) {
        assert_int_equal(feed_frame(&b, WINDOW, SYN, 1 + 2 * i, 0), ERR_OK);
        expect_frame(&b, WINDOW, i < 256 ? ACK : RST, 1 + 2 * i, 0);
    }
    assert_int_equal(b.opened, 256);
    assert_int_equal(yamux_streams(b.y), 256);
    yamux_stream_accept(b.last);
    assert_int_equal(feed_frame(&b, WINDOW, SYN, 1001, 0), ERR_OK);
    assert_int_equal(b.opened, 257);
    side_release(&b);
}

static void t6_open_streams_are_capped(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 0);
    for (uint32_t i = 0; i < 600; i++) {
        assert_int_equal(feed_frame(&b, DATA, SYN, 1 + 2 * i, 1), ERR_OK);
        assert_int_equal(yamux_feed(b.y, span_text("x"), 1), ERR_OK); /* drained when refused */
        drain(&b);
    }
    assert_int_equal(b.opened, 512);
    assert_int_equal(b.bytes, 512);
    side_release(&b);
}

/* While others need the tables a peer has few streams; what it has stays. */
static void streams_are_few_while_the_tables_are_short(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 0);
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(feed_frame(&b, WINDOW, SYN, 1 + 2 * i, 0), ERR_OK);
    uint64_t others = account_free(&b.tables) - 3 * MIB;
    assert_true(account_take(&b.tables, others));
    for (uint32_t i = 20; i < 60; i++)
        assert_int_equal(feed_frame(&b, WINDOW, SYN, 1 + 2 * i, 0), ERR_OK);
    assert_int_equal(b.opened, YAMUX_STREAMS_SHORT);
    account_give(&b.tables, others);
    assert_int_equal(feed_frame(&b, WINDOW, SYN, 999, 0), ERR_OK);
    assert_int_equal(b.opened, YAMUX_STREAMS_SHORT + 1);
    assert_true(account_take(&b.tables, account_free(&b.tables)));
    struct yamux_stream *own;
    assert_int_equal(yamux_open(b.y, NULL, &own), ERR_NOMEM);
    account_give(&b.tables, account_used(&b.tables) - (YAMUX_STREAMS_SHORT + 1) * sizeof(struct yamux_stream));
    side_release(&b);
}

static void t7_a_second_syn_or_the_wrong_parity_ends_the_session(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 0);
    assert_int_equal(feed_frame(&b, WINDOW, SYN, 1, 0), ERR_OK);
    drain(&b);
    enum err err = feed_frame(&b, WINDOW, SYN, 1, 0);
    expect_protocol_error(&b, err);
    side_release(&b);
    side_init(&b, false, 0);
    err = feed_frame(&b, WINDOW, SYN, 2, 0);
    expect_protocol_error(&b, err);
    side_release(&b);
    side_init(&b, true, 0);
    err = feed_frame(&b, DATA, SYN, 1, 5);
    expect_protocol_error(&b, err);
    side_release(&b);
}

static void frames_that_cannot_be_end_the_session(void **state)
{
    (void)state;
    static const uint8_t bad[][12] = {
        {1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, /* version */
        {0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, /* type */
        {0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, /* data on stream 0 */
        {0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, /* credit on stream 0 */
        {0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, /* ping without a flag */
        {0, 2, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9}, /* ping with both */
        {0, 2, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9}, /* ping on a stream */
        {0, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 1}, /* more than any window on an unknown stream */
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct side b;
        side_init(&b, false, 0);
        expect_protocol_error(&b, yamux_feed(b.y, span_of(bad[i], 12), 1));
        side_release(&b);
    }
}

static void frames_for_unknown_streams_are_drained(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 0);
    static uint8_t bytes[100000];
    assert_int_equal(feed_frame(&b, DATA, 0, 77, sizeof(bytes)), ERR_OK);
    assert_int_equal(yamux_feed(b.y, span_of(bytes, sizeof(bytes)), 1), ERR_OK);
    assert_int_equal(feed_frame(&b, WINDOW, 0, 77, 5), ERR_OK);
    assert_int_equal(feed_frame(&b, WINDOW, FIN, 78, 0), ERR_OK);
    assert_int_equal(feed_frame(&b, WINDOW, RST, 77, 3), ERR_OK);
    assert_int_equal(feed_frame(&b, PING, ACK, 0, 3), ERR_OK);
    assert_int_equal(b.opened + b.closed + b.pongs, 0);
    expect_nothing(&b);
    side_release(&b);
}

/* go >= v5 puts an error code where the credit would be. */
static void rst_comes_before_credit(void **state)
{
    (void)state;
    struct side a;
    side_init(&a, true, 0);
    struct yamux_stream *s;
    assert_int_equal(yamux_open(a.y, NULL, &s), ERR_OK);
    assert_int_equal(feed_frame(&a, WINDOW, RST | ACK, 1, 0x1001), ERR_OK);
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.last_err, ERR_RESET);
    assert_int_equal(a.last_code, 0x1001);
    side_release(&a);
}

static void a_reset_inside_a_data_frame_leaves_its_rest_drained(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 0);
    assert_int_equal(feed_frame(&b, DATA, SYN | FIN, 1, 10), ERR_OK);
    assert_int_equal(yamux_feed(b.y, span_text("abc"), 1), ERR_OK);
    yamux_stream_reset(b.last, 0);
    assert_int_equal(yamux_feed(b.y, span_text("defghij"), 1), ERR_OK);
    assert_int_equal(b.bytes, 3);
    assert_int_equal(b.fins, 0);
    drain(&b);
    assert_int_equal(feed_frame(&b, PING, SYN, 0, 9), ERR_OK);
    expect_frame(&b, PING, ACK, 0, 9);
    side_release(&b);
}

static void go_away_ends_the_session_and_its_streams(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 3; code++) {
        struct side a;
        side_init(&a, true, 0);
        struct yamux_stream *s;
        assert_int_equal(yamux_open(a.y, NULL, &s), ERR_OK);
        assert_int_equal(feed_frame(&a, GO_AWAY, 0, 0, code), code == 0 ? ERR_CLOSED : ERR_RESET);
        assert_int_equal(a.goaways, 1);
        assert_int_equal(a.closed, 1);
        assert_int_equal(yamux_open(a.y, NULL, &s), ERR_CLOSED);
        side_release(&a);
    }
}

static void unacknowledged_opens_are_capped(void **state)
{
    (void)state;
    struct side a;
    side_init(&a, true, 0);
    struct yamux_stream *s;
    for (int i = 0; i < YAMUX_UNACKED_MAX; i++) {
        assert_int_equal(yamux_open(a.y, NULL, &s), ERR_OK);
        drain(&a);
    }
    assert_int_equal(yamux_open(a.y, NULL, &s), ERR_BUSY);
    assert_int_equal(feed_frame(&a, WINDOW, ACK, 1, 0), ERR_OK);
    assert_int_equal(yamux_open(a.y, NULL, &s), ERR_OK);
    side_release(&a);
}

static void closing_drains_late_data_and_gives_up_in_time(void **state)
{
    (void)state;
    struct side b;
    side_init(&b, false, 8 * MIB);
    assert_int_equal(feed_frame(&b, WINDOW, SYN, 1, 0), ERR_OK);
    yamux_stream_want_window(b.last, 1 * MIB);
    drain(&b);
    yamux_stream_close(b.last);
    expect_frame(&b, WINDOW, FIN, 1, 0);
    assert_int_equal(account_used(&b.receive), 0);
    assert_int_equal(yamux_streams(b.y), 0);
    assert_int_equal(feed_frame(&b, DATA, 0, 1, 3), ERR_OK);
    assert_int_equal(yamux_feed(b.y, span_text("abc"), 1), ERR_OK);
    assert_int_equal(b.bytes + b.closed, 0);
    uint64_t due = 1 + YAMUX_DRAIN_TIMEOUT_S * SECOND_NS;
    assert_int_equal(yamux_tick(b.y, due - 1), ERR_OK); /* only the keepalive */
    drain(&b);
    assert_int_equal(yamux_feed(b.y, span_of((uint8_t[12]){0, PING, 0, ACK, 0, 0, 0, 0, 0, 0, 0, 1}, 12), due - 1),
                     ERR_OK);
    assert_int_equal(yamux_deadline(b.y), due);
    assert_int_equal(yamux_tick(b.y, due), ERR_OK);
    expect_frame(&b, WINDOW, RST, 1, 0);
    expect_nothing(&b);
    side_release(&b);
}

/* A peer that never ends its streams: past a bound the one that has waited longest is reset. */
static void closed_streams_wait_in_a_bounded_line(void **state)
{
    (void)state;
    enum { BEYOND = 5 };
    struct side b;
    side_init(&b, false, 0);
    for (uint32_t i = 0; i < YAMUX_DETACHED_MAX + BEYOND; i++) {
        assert_int_equal(feed_frame(&b, WINDOW, SYN, 1 + 2 * i, 0), ERR_OK);
        drain(&b);
        yamux_stream_close(b.last);
        expect_frame(&b, WINDOW, FIN, 1 + 2 * i, 0);
        if (i >= YAMUX_DETACHED_MAX)
            expect_frame(&b, WINDOW, RST, 1 + 2 * (i - YAMUX_DETACHED_MAX), 0);
        expect_nothing(&b);
    }
    assert_int_equal(account_used(&b.tables), YAMUX_DETACHED_MAX * sizeof(struct yamux_stream));
    for (uint32_t i = BEYOND; i < YAMUX_DETACHED_MAX + BEYOND; i++)
        assert_int_equal(feed_frame(&b, WINDOW, FIN, 1 + 2 * i, 0), ERR_OK);
    assert_int_equal(account_used(&b.tables), 0);
    expect_nothing(&b);
    side_release(&b);
}

static void keepalive_pings_and_notices_silence(void **state)
{
    (void)state;
    struct side a;
    side_init(&a, true, 0);
    uint64_t at = YAMUX_KEEPALIVE_S * SECOND_NS;
    assert_int_equal(yamux_deadline(a.y), at);
    assert_int_equal(yamux_tick(a.y, at - 1), ERR_OK);
    expect_nothing(&a);
    assert_int_equal(yamux_tick(a.y, at), ERR_OK);
    expect_frame(&a, PING, SYN, 0, 1);
    assert_int_equal(yamux_tick(a.y, at + 19 * SECOND_NS), ERR_OK);
    assert_int_equal(yamux_tick(a.y, yamux_deadline(a.y)), ERR_TIMEOUT);
    side_release(&a);
}

/* Who hears its peer, be it the peer's own pings, need not ask whether it lives; a round trip is measured all the same now and then. */
static void what_is_heard_spares_a_ping(void **state)
{
    (void)state;
    struct side sides[2];
    for (size_t i = 0; i < 2; i++) {
        struct side *a = &sides[i];
        uint64_t silence = (i == 0 ? YAMUX_KEEPALIVE_S : YAMUX_KEEPALIVE_LISTENER_S) * SECOND_NS;
        uint8_t ping[12];
        side_init(a, i == 0, 0);
        assert_int_equal(yamux_deadline(a->y), silence);
        for (uint32_t n = 1; n <= 5; n++) {
            uint64_t now = n * 20 * SECOND_NS;
            frame(ping, PING, SYN, 0, n);
            assert_int_equal(yamux_tick(a->y, now), ERR_OK);
            assert_int_equal(yamux_feed(a->y, span_of(ping, sizeof(ping)), now), ERR_OK);
            expect_frame(a, PING, ACK, 0, n);
            expect_nothing(a);
            assert_int_equal(yamux_deadline(a->y), MIN(now + silence, YAMUX_RTT_S * SECOND_NS));
        }
        assert_int_equal(yamux_tick(a->y, YAMUX_RTT_S * SECOND_NS), ERR_OK);
        expect_frame(a, PING, SYN, 0, 1);
        side_release(a);
    }
}

/* ---- a random model ---- */

enum { MODEL_STREAMS = 12 };

struct model_end {
    struct yamux_stream *s;
    struct model_stream *stream;
    int side;
    uint64_t written; /* what this end wrote */
    uint64_t read;    /* what it received */
    uint64_t owes;    /* received, credit not returned */
    bool fin_sent;
    bool fin_seen;
};

struct model_stream {
    struct model_end end[2];
    bool used;
    bool broken; /* reset: contents may end early */
};

struct model {
    struct yamux *y[2];
    struct model_stream streams[MODEL_STREAMS];
    struct account receive;
    struct account send;
    uint8_t wire[2][1 << 21];
    size_t wire_len[2];
    int acting;
};

static struct model model;

/* The n-th byte of a direction. */
static uint8_t byte_of(const struct model_end *end, uint64_t n)
{
    return (uint8_t)(n * 31 + (uint64_t)end->side * 7 + (uint64_t)(end->stream - model.streams));
}

static void model_opened(void *user, struct yamux_stream *s)
{
    struct model_end *peer = NULL;
    int side = user == &model.y[0] ? 0 : 1;
    for (int i = 0; i < MODEL_STREAMS; i++) {
        struct model_end *e = &model.streams[i].end[!side];
        if (model.streams[i].used && e->s != NULL && yamux_stream_id(e->s) == yamux_stream_id(s) &&
            !yamux_stream_is_inbound(e->s))
            peer = e;
    }
    yamux_stream_accept(s);
    if (peer == NULL) { /* the opener has reset it meanwhile */
        yamux_stream_reset(s, 1);
        return;
    }
    struct model_end *mine = &peer->stream->end[side];
    mine->s = s;
    yamux_stream_set_user(s, mine);
}

static void model_data(void *user, struct yamux_stream *s, struct span bytes)
{
    (void)user;
    struct model_end *e = yamux_stream_user(s);
    struct model_end *peer = &e->stream->end[!e->side];
    for (size_t i = 0; i < bytes.len; i++)
        assert_int_equal(bytes.data[i], byte_of(peer, e->read + i));
    e->read += bytes.len;
    e->owes += bytes.len;
    assert_true(e->read <= peer->written);
    assert_false(e->fin_seen);
}

static void model_fin(void *user, struct yamux_stream *s)
{
    (void)user;
    struct model_end *e = yamux_stream_user(s);
    assert_true(e->stream->broken || e->stream->end[!e->side].fin_sent);
    assert_int_equal(e->read, e->stream->end[!e->side].written);
    e->fin_seen = true;
}

static void model_closed(void *user, struct yamux_stream *s, enum err err, uint32_t code)
{
    (void)user;
    (void)code;
    struct model_end *e = yamux_stream_user(s);
    if (err == ERR_OK)
        assert_true(e->fin_seen && e->fin_sent);
    else
        assert_true(err == ERR_RESET && e->stream->broken);
    e->s = NULL;
}

static void model_open(int side)
{
    for (int i = 0; i < MODEL_STREAMS; i++) {
        struct model_stream *m = &model.streams[i];
        if (m->used && (m->end[0].s != NULL || m->end[1].s != NULL))
            continue;
        if (m->used && model.wire_len[0] + model.wire_len[1] + yamux_queued(model.y[0]) + yamux_queued(model.y[1]) > 0)
            continue; /* frames of the old life may be on the way */
        memset(m, 0, sizeof(*m));
        for (int k = 0; k < 2; k++)
            m->end[k] = (struct model_end){.stream = m, .side = k};
        enum err err = yamux_open(model.y[side], &m->end[side], &m->end[side].s);
        assert_int_equal(err, ERR_OK);
        m->used = true;
        return;
    }
}

static void model_write(struct prng *prng, struct model_end *e)
{
    static uint8_t bytes[300000];
    size_t len = 1 + prng_below(prng, prng_below(prng, 4) == 0 ? sizeof(bytes) : 20);
    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_of(e, e->written + i);
    size_t n = 0;
    enum err err;
    if (prng_below(prng, 3) == 0) {
        struct block_ref *ref = block_ref_copy(span_of(bytes, len), NULL);
        err = yamux_stream_write_ref(e->s, ref, 0, len, &n);
        block_ref_unref(ref);
    } else {
        err = yamux_stream_write(e->s, span_of(bytes, len), &n);
    }
    assert_true(err == ERR_OK || err == ERR_AGAIN);
    e->written += err == ERR_OK ? n : 0;
}

static void model_act(struct prng *prng, struct model_end *e)
{
    size_t part;
    switch (prng_below(prng, 12)) {
    case 0:
        e->fin_sent = true;
        yamux_stream_fin(e->s);
        break;
    case 1:
        if (prng_below(prng, 4) != 0)
            break;
        e->stream->broken = true;
        yamux_stream_reset(e->s, 3);
        e->s = NULL;
        break;
    case 2:
        yamux_stream_want_window(e->s, prng_below(prng, 4 * MIB));
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        part = 1 + prng_below(prng, e->owes + 1);
        yamux_stream_consume(e->s, part);
        e->owes -= MIN(part, e->owes);
        break;
    default:
        if (!e->fin_sent)
            model_write(prng, e);
        break;
    }
}

static void model_move(struct prng *prng, int from, bool all)
{
    struct iovec iov[32];
    int n = yamux_output(model.y[from], iov, 32);
    size_t budget = all ? SIZE_MAX : prng_below(prng, prng_below(prng, 3) == 0 ? 200000 : 40);
    size_t moved = 0;
    for (int i = 0; i < n && moved < budget; i++) {
        size_t part = MIN(iov[i].iov_len, budget - moved);
        part = MIN(part, sizeof(model.wire[0]) - model.wire_len[from]);
        memcpy(model.wire[from] + model.wire_len[from], iov[i].iov_base, part);
        model.wire_len[from] += part;
        moved += part;
    }
    yamux_output_done(model.y[from], moved, 1);
    size_t take = all ? model.wire_len[from] : prng_below(prng, model.wire_len[from] + 1);
    assert_int_equal(yamux_feed(model.y[!from], span_of(model.wire[from], take), 1), ERR_OK);
    memmove(model.wire[from], model.wire[from] + take, model.wire_len[from] - take);
    model.wire_len[from] -= take;
}

/* A window is what the peer may send, what waits for the consumer and what is owed; beyond the first it is charged, and nothing else is. */
static void expect_windows_are_paid_for(void)
{
    uint64_t charged = 0;
    for (int i = 0; i < MODEL_STREAMS * 2; i++) {
        const struct yamux_stream *s = model.streams[i / 2].end[i % 2].s;
        if (s == NULL)
            continue;
        uint32_t arriving = s->session->target == s ? s->session->left : 0;
        assert_int_equal((uint64_t)s->receive_window + arriving + s->held + s->owed, s->receive_max);
        charged += s->receive_max - YAMUX_WINDOW_FIRST;
    }
    assert_int_equal(account_used(&model.receive), charged);
}

static void model_finish(struct prng *prng)
{
    for (int round = 0; round < 400; round++) {
        for (int i = 0; i < MODEL_STREAMS; i++) {
            for (int k = 0; k < 2; k++) {
                struct model_end *e = &model.streams[i].end[k];
                if (e->s == NULL)
                    continue;
                yamux_stream_consume(e->s, e->owes);
                e->owes = 0;
                e->fin_sent = true;
                yamux_stream_fin(e->s);
            }
        }
        model_move(prng, 0, true);
        model_move(prng, 1, true);
    }
    for (int i = 0; i < MODEL_STREAMS; i++) {
        struct model_stream *m = &model.streams[i];
        assert_null(m->end[0].s);
        assert_null(m->end[1].s);
        if (m->used && !m->broken) {
            assert_int_equal(m->end[0].read, m->end[1].written);
            assert_int_equal(m->end[1].read, m->end[0].written);
        }
    }
}

static void random_sessions_lose_and_invent_nothing(void **state)
{
    (void)state;
    static const struct yamux_events model_events = {
        .stream_opened = model_opened, .data = model_data, .fin = model_fin, .closed = model_closed};
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        memset(model.streams, 0, sizeof(model.streams));
        model.wire_len[0] = model.wire_len[1] = 0;
        account_init(&model.receive, "receive", 6 * MIB);
        account_init(&model.send, "send", 1 + prng_below(&prng, 300000));
        for (int i = 0; i < 2; i++) {
            struct yamux_config config = {.dialer = i == 0,
                                          .receive = &model.receive,
                                          .send = &model.send,
                                          .streams_in_max = 64,
                                          .streams_out_max = 64,
                                          .events = &model_events,
                                          .user = &model.y[i]};
            assert_int_equal(yamux_new(&config, 0, &model.y[i]), ERR_OK);
        }
        for (int step = 0; step < 3000; step++) {
            uint64_t what = prng_below(&prng, 10);
            if (what == 0)
                model_open((int)prng_below(&prng, 2));
            else if (what < 4)
                model_move(&prng, (int)prng_below(&prng, 2), false);
            else {
                struct model_end *e = &model.streams[prng_below(&prng, MODEL_STREAMS)].end[prng_below(&prng, 2)];
                if (e->s != NULL)
                    model_act(&prng, e);
            }
            expect_windows_are_paid_for();
        }
        model_finish(&prng);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(yamux_streams(model.y[i]), 0);
            yamux_free(model.y[i]);
        }
        assert_int_equal(account_used(&model.receive), 0);
        assert_int_equal(account_used(&model.send), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_opens_flows_and_ends),
        cmocka_unit_test(parity_follows_the_role),
        cmocka_unit_test(syn_data_and_fin_in_one_frame),
        cmocka_unit_test(credit_bounds_writes_and_returns_by_the_consumer),
        cmocka_unit_test(references_are_queued_without_a_copy),
        cmocka_unit_test(an_exhausted_send_account_slows_but_does_not_stop),
        cmocka_unit_test(windows_grow_by_what_the_account_grants),
        cmocka_unit_test(a_window_half_used_up_within_few_round_trips_doubles),
        cmocka_unit_test(credit_of_a_large_window_returns_in_small_steps),
        cmocka_unit_test(one_busy_stream_has_nearly_all_and_yields_when_others_come),
        cmocka_unit_test(t3_data_beyond_the_window_ends_the_session),
        cmocka_unit_test(t4_credit_saturates_and_never_wraps),
        cmocka_unit_test(t5_pings_of_a_peer_that_never_reads_pause_reading),
        cmocka_unit_test(t5_opens_of_a_peer_that_never_reads_pause_reading),
        cmocka_unit_test(answers_that_left_never_pause_reading),
        cmocka_unit_test(t6_streams_that_nobody_accepts_are_capped),
        cmocka_unit_test(t6_open_streams_are_capped),
        cmocka_unit_test(streams_are_few_while_the_tables_are_short),
        cmocka_unit_test(t7_a_second_syn_or_the_wrong_parity_ends_the_session),
        cmocka_unit_test(frames_that_cannot_be_end_the_session),
        cmocka_unit_test(frames_for_unknown_streams_are_drained),
        cmocka_unit_test(rst_comes_before_credit),
        cmocka_unit_test(a_reset_inside_a_data_frame_leaves_its_rest_drained),
        cmocka_unit_test(go_away_ends_the_session_and_its_streams),
        cmocka_unit_test(unacknowledged_opens_are_capped),
        cmocka_unit_test(closing_drains_late_data_and_gives_up_in_time),
        cmocka_unit_test(closed_streams_wait_in_a_bounded_line),
        cmocka_unit_test(keepalive_pings_and_notices_silence),
        cmocka_unit_test(what_is_heard_spares_a_ping),
        cmocka_unit_test(random_sessions_lose_and_invent_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
