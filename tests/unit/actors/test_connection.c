/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <malloc.h>

#include "actors/connection_manager/connection.h"
#include "base/block_ref.h"
#include "base/limits.h"
#include "base/random.h"
#include "wire/keys.h"
#include "wire/multistream.h"

static const char *const echo_protocol[] = {"/hearth/echo/1"};
static const char *const two_protocols[] = {"/unknown/1", "/hearth/echo/1"};
static const char *const unknown_protocol[] = {"/unknown/1"};

enum { ECHO = 3, WIRE_MAX = 8 << 20 };

/* One end: an engine, what it has reported, and the bytes on their way to it. */
struct end {
    struct connection *c;
    bool upgraded;
    struct connection_info info;
    bool closed;
    enum err err;
    unsigned opened;
    unsigned fins;
    unsigned streams_closed;
    unsigned writables;
    enum err stream_err;
    uint32_t stream_code;
    struct connection_stream *last;
    struct buf got;
    bool echo;  /* send back what arrives, end when the peer ends */
    bool reset; /* reset each stream from within stream_opened */
    struct buf wire;
};

static struct connection_identity *identities[2];
static struct peer_id peers[2];
static struct prng random_bytes;

static void fill_random(void *arg, void *to, size_t len)
{
    (void)arg;
    prng_fill(&random_bytes, to, len);
}

static int match(void *user, struct span name)
{
    (void)user;
    return span_equal_text(name, echo_protocol[0]) ? ECHO : -1;
}

static void on_upgraded(void *user, struct connection *c, const struct connection_info *info)
{
    struct end *e = user;
    assert_ptr_equal(connection_info(c), info);
    assert_false(e->upgraded);
    e->upgraded = true;
    e->info = *info;
}

static void on_opened(void *user, struct connection_stream *s)
{
    struct end *e = user;
    e->opened++;
    e->last = s;
    if (e->reset)
        connection_stream_reset(s, 9);
}

static void on_data(void *user, struct connection_stream *s, struct span bytes)
{
    struct end *e = user;
    size_t n = 0;
    assert_int_equal(buf_append_span(&e->got, bytes), ERR_OK);
    connection_stream_consume(s, bytes.len);
    if (e->echo)
        assert_int_equal(connection_stream_write(s, bytes, &n), ERR_OK);
}

static void on_fin(void *user, struct connection_stream *s)
{
    struct end *e = user;
    e->fins++;
    if (e->echo)
        connection_stream_fin(s);
}

static void on_writable(void *user, struct connection_stream *s)
{
    (void)s;
    ((struct end *)user)->writables++;
}

static void on_stream_closed(void *user, struct connection_stream *s, enum err err, uint32_t code)
{
    (void)s;
    struct end *e = user;
    e->streams_closed++;
    e->stream_err = err;
    e->stream_code = code;
}

static void on_closed(void *user, struct connection *c, enum err err)
{
    struct end *e = user;
    (void)c;
    assert_false(e->closed);
    e->closed = true;
    e->err = err;
}

static const struct connection_events events = {.upgraded = on_upgraded,
                                                .stream_opened = on_opened,
                                                .stream_data = on_data,
                                                .stream_fin = on_fin,
                                                .stream_writable = on_writable,
                                                .stream_closed = on_stream_closed,
                                                .closed = on_closed};

struct options {
    enum connection_security dial[2];
    size_t dial_count;
    enum connection_security listen[2];
    size_t listen_count;
    bool optimistic;
    bool dialer_late_muxer;
    bool listener_late_muxer;
    const struct peer_id *expected;
    bool websocket;
    struct account *receive;
    struct account *send;
};

static void end_init(struct end *e, bool dialer, const struct options *o)
{
    memset(e, 0, sizeof(*e));
    buf_init(&e->got, 64 * MIB, NULL);
    buf_init(&e->wire, WIRE_MAX, NULL);
    struct connection_config config = {
        .role = dialer ? CONNECTION_DIALER : CONNECTION_LISTENER,
        .identity = identities[dialer ? 0 : 1],
        .expected = dialer ? o->expected : NULL,
        .security_count = dialer ? o->dial_count : o->listen_count,
        .optimistic = o->optimistic,
        .websocket = o->websocket,
        .websocket_host = "127.0.0.1:8081",
        .no_early_muxer = dialer ? o->dialer_late_muxer : o->listener_late_muxer,
        .receive = o->receive,
        .send = o->send,
        .random = fill_random,
        .wall_clock_s = 1800000000,
        .match_protocol = match,
        .events = &events,
        .user = e,
    };
    memcpy(config.security, dialer ? o->dial : o->listen, sizeof(config.security));
    assert_int_equal(connection_new(&config, 0, &e->c), ERR_OK);
}

static void end_release(struct end *e)
{
    connection_free(e->c);
    buf_release(&e->got);
    buf_release(&e->wire);
}

/* Takes what from has to say onto the wire towards to. */
static size_t transmit(struct end *from, struct end *to, uint64_t now)
{
    struct iovec iov[4];
    size_t moved = 0;
    int n;
    while ((n = connection_output(from->c, iov, 4)) > 0) {
        size_t len = 0;
        for (int i = 0; i < n; i++) {
            assert_int_equal(buf_append(&to->wire, iov[i].iov_base, iov[i].iov_len), ERR_OK);
            len += iov[i].iov_len;
        }
        connection_output_done(from->c, len, now);
        moved += len;
    }
    return moved;
}

static void receive(struct end *e, size_t chunk, uint64_t now)
{
    size_t at = 0;
    while (at < e->wire.len && !e->closed) {
        size_t part = MIN(chunk, e->wire.len - at);
        uint8_t *copy = malloc(part); /* its own allocation, so that ASan sees an over-read */
        assert_non_null(copy);
        memcpy(copy, e->wire.data + at, part);
        connection_feed(e->c, copy, part, now);
        free(copy);
        at += part;
    }
    buf_clear(&e->wire);
}

/* Lets both speak in turns until they are quiet; returns the number of flights, one way each, dialer first. */
static unsigned settle(struct end *a, struct end *b, size_t chunk)
{
    unsigned flights = 0;
    size_t quiet = 0;
    for (int i = 0; i < 4000 && quiet < 2; i++) {
        struct end *from = i % 2 == 0 ? a : b;
        struct end *to = i % 2 == 0 ? b : a;
        bool spoke = transmit(from, to, 1) > 0;
        receive(to, chunk, 1);
        flights += spoke;
        quiet = spoke ? 0 : quiet + 1;
    }
    return flights;
}

static const struct options noise_early = {.dial = {CONNECTION_NOISE},
                                           .dial_count = 1,
                                           .listen = {CONNECTION_NOISE, CONNECTION_TLS},
                                           .listen_count = 2,
                                           .optimistic = true};

static struct options with(enum connection_security security, bool optimistic, bool dialer_late, bool listener_late)
{
    struct options o = noise_early;
    o.dial[0] = security;
    o.optimistic = optimistic;
    o.dialer_late_muxer = dialer_late;
    o.listener_late_muxer = listener_late;
    o.expected = &peers[1];
    return o;
}

static int setup(void **state)
{
    (void)state;
    prng_init(&random_bytes, 7);
    for (int i = 0; i < 2; i++) {
        uint8_t seed[ED25519_SEED_BYTES] = {(uint8_t)(i + 1)};
        struct key_pair *pair;
        assert_int_equal(key_pair_of_seed(seed, &pair), ERR_OK);
        peers[i] = key_pair_peer_id(pair);
        assert_int_equal(connection_identity_new(pair, fill_random, NULL, &identities[i]), ERR_OK);
        key_pair_free(pair);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        connection_identity_free(identities[i]);
    return 0;
}

/* One request and its echo over a fresh pair; the stream was opened and written before the first byte left. */
static void exchange(const struct options *o, size_t chunk)
{
    struct end a;
    struct end b;
    end_init(&a, true, o);
    end_init(&b, false, o);
    b.echo = true;
    struct connection_stream *s;
    size_t n = 0;
    assert_int_equal(connection_open_stream(a.c, echo_protocol, 1, true, &a, 0, &s), ERR_OK);
    assert_int_equal(connection_stream_write(s, span_text("request"), &n), ERR_OK);
    assert_int_equal(n, 7);
    connection_stream_fin(s);
    (void)settle(&a, &b, chunk);
    assert_false(a.closed || b.closed);
    assert_true(a.upgraded && b.upgraded);
    assert_true(peer_id_equal(a.info.peer, &peers[1]));
    assert_true(peer_id_equal(b.info.peer, &peers[0]));
    struct peer_id derived = peer_id_of_key(a.info.public_key);
    assert_true(peer_id_equal(&derived, &peers[1]));
    assert_int_equal(a.info.security, o->dial[0]);
    assert_int_equal(a.info.early_muxer, !o->dialer_late_muxer && !o->listener_late_muxer);
    assert_int_equal(a.info.early_muxer, b.info.early_muxer);
    assert_int_equal(b.opened, 1);
    assert_int_equal(a.opened, 1);
    assert_true(span_equal_text(buf_span(&b.got), "request"));
    assert_true(span_equal_text(buf_span(&a.got), "request"));
    assert_int_equal(a.streams_closed, 1);
    assert_int_equal(a.stream_err, ERR_OK);
    assert_int_equal(b.stream_err, ERR_OK);
    assert_int_equal(connection_streams(a.c) + connection_streams(b.c), 0);
    connection_close(a.c);
    assert_int_equal(a.err, ERR_CLOSED);
    (void)settle(&a, &b, chunk);
    assert_int_equal(b.err, ERR_CLOSED);
    end_release(&a);
    end_release(&b);
}

static void all_combinations_agree_in_any_chunking(void **state)
{
    (void)state;
    static const size_t chunks[] = {1, 2, 3, 7, 64, 1000, SIZE_MAX};
    for (int security = 0; security < 2; security++) {
        for (int bits = 0; bits < 8; bits++) {
            for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
                struct options o = with((enum connection_security)security, bits & 1, bits & 2, bits & 4);
                exchange(&o, chunks[i]);
                o.websocket = true;
                exchange(&o, chunks[i]);
            }
        }
    }
}

/* ---- round trips ---- */

static void pair_init(struct end *a, struct end *b, const struct options *o)
{
    end_init(a, true, o);
    end_init(b, false, o);
    b->echo = true;
}

static void pair_release(struct end *a, struct end *b)
{
    end_release(a);
    end_release(b);
}

/* One-way flights until the dialer holds the answer to a request that it queued at the start. */
static unsigned flights_to_answer(const struct options *o)
{
    struct end a;
    struct end b;
    struct connection_stream *s;
    size_t n = 0;
    pair_init(&a, &b, o);
    assert_int_equal(connection_open_stream(a.c, echo_protocol, 1, true, NULL, 0, &s), ERR_OK);
    assert_int_equal(connection_stream_write(s, span_text("?"), &n), ERR_OK);
    unsigned flights = 0;
    while (a.got.len == 0 && flights < 20) {
        struct end *from = flights % 2 == 0 ? &a : &b;
        struct end *to = flights % 2 == 0 ? &b : &a;
        (void)transmit(from, to, 1);
        receive(to, SIZE_MAX, 1);
        flights++;
    }
    pair_release(&a, &b);
    return flights;
}

/*
 * Two flights are a round trip; TCP's own comes on top: 3 round trips in all with optimism, one more for each negotiation that is
 * waited for.
 */
static void the_answer_comes_after_two_round_trips(void **state)
{
    (void)state;
    for (int security = 0; security < 2; security++) {
        struct options o = with((enum connection_security)security, true, false, false);
        assert_int_equal(flights_to_answer(&o), 4);
        o = with((enum connection_security)security, true, false, true); /* the peer names no muxers */
        assert_int_equal(flights_to_answer(&o), 4);
        o = with((enum connection_security)security, false, false, false);
        assert_int_equal(flights_to_answer(&o), 6);
        o = with((enum connection_security)security, false, false, true);
        assert_int_equal(flights_to_answer(&o), 8);
    }
}

/* One round trip for HTTP, before which a client may say nothing (RFC 6455, 4.1); the rest as on TCP. */
static void over_websocket_the_answer_comes_one_round_trip_later(void **state)
{
    (void)state;
    for (int security = 0; security < 2; security++) {
        struct options o = with((enum connection_security)security, true, false, false);
        o.websocket = true;
        assert_int_equal(flights_to_answer(&o), 6);
        o = with((enum connection_security)security, false, false, true);
        o.websocket = true;
        assert_int_equal(flights_to_answer(&o), 10);
    }
}

/* The transport is open, and the dialer may blame the upgrade, only behind the HTTP exchange. */
static void a_websocket_is_open_after_http(void **state)
{
    (void)state;
    struct options o = with(CONNECTION_NOISE, true, false, false);
    struct end a;
    struct end b;
    pair_init(&a, &b, &o);
    assert_true(connection_is_open(a.c) && connection_is_open(b.c));
    pair_release(&a, &b);
    o.websocket = true;
    pair_init(&a, &b, &o);
    assert_false(connection_is_open(a.c) || connection_is_open(b.c));
    (void)transmit(&a, &b, 1);
    receive(&b, SIZE_MAX, 1);
    assert_true(connection_is_open(b.c));
    assert_false(connection_is_open(a.c));
    (void)transmit(&b, &a, 1);
    receive(&a, SIZE_MAX, 1);
    assert_true(connection_is_open(a.c));
    pair_release(&a, &b);
}

/* TCP meets WebSocket: both ends see it at once, and the server says so in HTTP. */
static void tcp_and_websocket_do_not_mix(void **state)
{
    (void)state;
    struct options raw = with(CONNECTION_NOISE, true, false, false);
    struct options o = raw;
    struct end a;
    struct end b;
    o.websocket = true;
    end_init(&a, true, &raw);
    end_init(&b, false, &o);
    (void)transmit(&a, &b, 1);
    receive(&b, SIZE_MAX, 1);
    assert_int_equal(b.err, ERR_PROTOCOL);
    (void)transmit(&b, &a, 1);
    assert_true(a.wire.len > 12 && memcmp(a.wire.data, "HTTP/1.1 400", 12) == 0);
    pair_release(&a, &b);
    end_init(&a, true, &o);
    end_init(&b, false, &raw);
    (void)settle(&a, &b, SIZE_MAX);
    assert_int_equal(a.err, ERR_PROTOCOL);
    assert_int_equal(b.err, ERR_PROTOCOL);
    pair_release(&a, &b);
}

/* Go-away, then the close frame: what is said after connection_close is one last flight. */
static void a_closed_websocket_says_so(void **state)
{
    (void)state;
    static const uint8_t close[] = {0x88, 0x02, 0x03, 0xe8};
    struct options o = with(CONNECTION_NOISE, true, false, false);
    struct end a;
    struct end b;
    o.websocket = true;
    pair_init(&a, &b, &o);
    (void)settle(&a, &b, SIZE_MAX);
    connection_close(b.c);
    (void)transmit(&b, &a, 1);
    assert_true(a.wire.len > sizeof(close));
    assert_memory_equal(a.wire.data + a.wire.len - sizeof(close), close, sizeof(close));
    receive(&a, SIZE_MAX, 1);
    assert_int_equal(a.err, ERR_CLOSED);
    pair_release(&a, &b);
}

static void the_first_flight_is_header_proposal_and_message_1(void **state)
{
    (void)state;
    struct options o = with(CONNECTION_NOISE, true, false, false);
    struct end a;
    end_init(&a, true, &o);
    struct iovec iov;
    assert_int_equal(connection_output(a.c, &iov, 1), 1);
    static const char want[] = "\x13/multistream/1.0.0\n\x07/noise\n\x00\x20";
    assert_int_equal(iov.iov_len, sizeof(want) - 1 + 32);
    assert_memory_equal(iov.iov_base, want, sizeof(want) - 1);
    end_release(&a);
    o = with(CONNECTION_NOISE, false, false, false);
    end_init(&a, true, &o);
    assert_int_equal(connection_output(a.c, &iov, 1), 1);
    assert_int_equal(iov.iov_len, sizeof(want) - 3);
    end_release(&a);
}

/* ---- refusals ---- */

static void an_optimistic_proposal_that_is_refused_is_reported(void **state)
{
    (void)state;
    struct options o = with(CONNECTION_NOISE, true, false, false);
    o.listen[0] = CONNECTION_TLS;
    o.listen_count = 1;
    struct end a;
    struct end b;
    struct connection_stream *s;
    pair_init(&a, &b, &o);
    assert_int_equal(connection_open_stream(a.c, echo_protocol, 1, true, NULL, 0, &s), ERR_OK);
    (void)settle(&a, &b, SIZE_MAX);
    assert_true(a.closed);
    assert_int_equal(a.err, ERR_REFUSED);
    assert_int_equal(a.streams_closed, 1);
    assert_int_equal(a.stream_err, ERR_REFUSED);
    pair_release(&a, &b);
    /* The next dial proposes both in turn, without optimism. */
    o.optimistic = false;
    o.dial[1] = CONNECTION_TLS;
    o.dial_count = 2;
    pair_init(&a, &b, &o);
    (void)settle(&a, &b, 3);
    assert_true(a.upgraded && b.upgraded);
    assert_int_equal(a.info.security, CONNECTION_TLS);
    pair_release(&a, &b);
    o.dial_count = 1;
    pair_init(&a, &b, &o);
    (void)settle(&a, &b, 3);
    assert_int_equal(a.err, ERR_REFUSED);
    pair_release(&a, &b);
}

/* The dialer that expects someone else writes nothing after it has seen the peer's key: no Yamux byte, no message 3. */
static void t9_a_wrong_peer_fails_before_any_muxer_byte(void **state)
{
    (void)state;
    for (int security = 0; security < 2; security++) {
        struct options o = with((enum connection_security)security, true, false, false);
        o.expected = &peers[0];
        struct end a;
        struct end b;
        struct connection_stream *s;
        pair_init(&a, &b, &o);
        assert_int_equal(connection_open_stream(a.c, echo_protocol, 1, true, NULL, 0, &s), ERR_OK);
        (void)settle(&a, &b, SIZE_MAX);
        assert_int_equal(a.err, ERR_MISMATCH);
        assert_false(a.upgraded || b.upgraded);
        assert_int_equal(b.opened + b.got.len, 0);
        pair_release(&a, &b);
    }
}

static void streams_are_refused_tried_in_turn_or_reset(void **state)
{
    (void)state;
    struct options o = with(CONNECTION_NOISE, true, false, false);
    for (size_t chunk = 1; chunk < 90; chunk += 11) {
        struct end a;
        struct end b;
        struct connection_stream *s;
        size_t n = 0;
        pair_init(&a, &b, &o);
        assert_int_equal(connection_open_stream(a.c, two_protocols, 2, false, NULL, 0, &s), ERR_OK);
        assert_int_equal(connection_stream_write(s, span_text("early"), &n), ERR_AGAIN);
        assert_int_equal(connection_stream_protocol(s), -1);
        (void)settle(&a, &b, chunk);
        assert_int_equal(a.opened, 1);
        assert_int_equal(connection_stream_protocol(s), 1);
        assert_int_equal(connection_stream_protocol(b.last), ECHO);
        assert_int_equal(connection_stream_write(s, span_text("late"), &n), ERR_OK);
        (void)settle(&a, &b, chunk);
        assert_true(span_equal_text(buf_span(&a.got), "late"));
        assert_int_equal(connection_open_stream(a.c, two_protocols, 2, true, NULL, 0, &s), ERR_INVALID);
        assert_int_equal(connection_open_stream(a.c, unknown_protocol, 1, true, NULL, 1, &s), ERR_OK);
        assert_int_equal(connection_stream_write(s, span_text("lost"), &n), ERR_OK);
        (void)settle(&a, &b, chunk);
        assert_int_equal(a.streams_closed, 1);
        assert_int_equal(a.stream_err, ERR_REFUSED);
        assert_int_equal(b.got.len, 4);
        b.reset = true;
        assert_int_equal(connection_open_stream(a.c, echo_protocol, 1, true, NULL, 1, &s), ERR_OK);
        (void)settle(&a, &b, chunk);
        assert_int_equal(a.streams_closed, 2);
        assert_int_equal(a.stream_err, ERR_RESET);
        assert_int_equal(a.stream_code, 9);
        assert_false(a.closed || b.closed);
        pair_release(&a, &b);
    }
}

/* ---- time ---- */

static void t13_each_stage_ends_in_time(void **state)
{
    (void)state;
    struct options o = with(CONNECTION_NOISE, true, false, false);
    struct end a;
    struct end b;
    /* Nobody answers. */
    pair_init(&a, &b, &o);
    assert_int_equal(connection_deadline(a.c), CONNECTION_NEGOTIATE_TIMEOUT_S * SECOND_NS);
    connection_tick(a.c, connection_deadline(a.c) - 1);
    assert_false(a.closed);
    connection_tick(a.c, connection_deadline(a.c));
    assert_int_equal(a.err, ERR_TIMEOUT);
    /* One byte each five seconds keeps nothing alive. */
    uint64_t now = 0;
    static const char slow[] = "\x13/multistream/1.0.0\n\x07/noise\n";
    for (size_t i = 0; i < sizeof(slow) - 1 && !b.closed; i++, now += 5 * SECOND_NS) {
        uint8_t byte = (uint8_t)slow[i];
        connection_feed(b.c, &byte, 1, now);
        connection_tick(b.c, now);
    }
    assert_int_equal(b.err, ERR_TIMEOUT);
    assert_in_range(now, 10 * SECOND_NS, 15 * SECOND_NS);
    pair_release(&a, &b);
    /* Nor does an HTTP head without end. */
    o.websocket = true;
    pair_init(&a, &b, &o);
    assert_int_equal(connection_deadline(a.c), CONNECTION_NEGOTIATE_TIMEOUT_S * SECOND_NS);
    for (now = 0; !b.closed && now < 60 * SECOND_NS; now += 5 * SECOND_NS) {
        uint8_t byte = (uint8_t) "GET / HTTP/1.1"[now / (5 * SECOND_NS)];
        connection_feed(b.c, &byte, 1, now);
        connection_tick(b.c, now);
    }
    assert_int_equal(b.err, ERR_TIMEOUT);
    assert_in_range(now, 10 * SECOND_NS, 15 * SECOND_NS);
    pair_release(&a, &b);
    o.websocket = false;
    /* Security is agreed, the handshake hangs. */
    pair_init(&a, &b, &o);
    uint8_t line[sizeof(slow)];
    memcpy(line, slow, sizeof(slow));
    connection_feed(b.c, line, sizeof(slow) - 1, 1);
    assert_int_equal(connection_deadline(b.c), CONNECTION_UPGRADE_TIMEOUT_S * SECOND_NS);
    connection_tick(b.c, connection_deadline(b.c));
    assert_int_equal(b.err, ERR_TIMEOUT);
    pair_release(&a, &b);
}

static void t13_a_stream_that_never_negotiates_is_reset(void **state)
{
    (void)state;
    struct options o = with(CONNECTION_NOISE, true, false, false);
    struct end a;
    struct end b;
    struct connection_stream *s;
    pair_init(&a, &b, &o);
    (void)settle(&a, &b, SIZE_MAX);
    assert_int_equal(connection_open_stream(a.c, echo_protocol, 1, false, NULL, 1, &s), ERR_OK);
    uint64_t due = 1 + CONNECTION_NEGOTIATE_TIMEOUT_S * SECOND_NS;
    assert_int_equal(connection_deadline(a.c), due); /* the peer says nothing */
    connection_tick(a.c, due);
    assert_int_equal(a.streams_closed, 1);
    assert_int_equal(a.stream_err, ERR_TIMEOUT);
    assert_int_equal(connection_streams(a.c), 0);
    assert_false(a.closed);
    pair_release(&a, &b);
}

static void silence_ends_the_connection_and_pings_keep_it(void **state)
{
    (void)state;
    struct options o = with(CONNECTION_NOISE, true, false, false);
    struct end a;
    struct end b;
    pair_init(&a, &b, &o);
    (void)settle(&a, &b, SIZE_MAX);
    assert_true(connection_rtt_ns(a.c) > 0);
    for (int i = 0; i < 10; i++) { /* an idle hour and more, answered */
        uint64_t now = connection_deadline(a.c);
        connection_tick(a.c, now);
        connection_tick(b.c, now);
        for (int k = 0; k < 4; k++) {
            (void)transmit(k % 2 == 0 ? &a : &b, k % 2 == 0 ? &b : &a, now);
            receive(k % 2 == 0 ? &b : &a, SIZE_MAX, now);
        }
        assert_false(a.closed || b.closed);
    }
    connection_tick(a.c, connection_deadline(a.c));
    connection_tick(a.c, connection_deadline(a.c));
    assert_int_equal(a.err, ERR_TIMEOUT);
    assert_int_equal(connection_deadline(a.c), UINT64_MAX);
    pair_release(&a, &b);
}

/* ---- hostile bytes ---- */

static void t11_an_early_end_at_any_byte_is_a_clean_close(void **state)
{
    (void)state;
    for (int security = 0; security < 4; security++) {
        struct options o = with((enum connection_security)(security % 2), true, false, false);
        o.websocket = security >= 2;
        for (size_t stop = 1; stop < 700; stop += stop < 80 ? 1 : 37) {
            struct end a;
            struct end b;
            size_t total = 0;
            pair_init(&a, &b, &o);
            for (int i = 0; i < 8 && !b.closed; i++) {
                (void)transmit(&a, &b, 1);
                bool last = total + b.wire.len >= stop;
                if (last)
                    b.wire.len = stop - total;
                total += b.wire.len;
                receive(&b, SIZE_MAX, 1);
                if (last && !b.closed)
                    connection_feed(b.c, NULL, 0, 1);
                (void)transmit(&b, &a, 1);
                receive(&a, SIZE_MAX, 1);
            }
            assert_true(!b.closed || b.err == ERR_CLOSED);
            pair_release(&a, &b);
        }
    }
}

/*
 * Any one flipped bit in the whole conversation ends at least one side, and never gives wrong bytes. (Over WebSocket some bits mean
 * nothing, such as those of the Host field.)
 */
static void flipped_bits_never_pass(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 5);
    for (int round = 0; round < 300; round++) {
        struct options o = with(round % 2 == 0 ? CONNECTION_NOISE : CONNECTION_TLS, round & 4, round & 8, round & 16);
        o.websocket = round % 3 == 0;
        struct end a;
        struct end b;
        struct connection_stream *s;
        size_t n = 0;
        pair_init(&a, &b, &o);
        assert_int_equal(connection_open_stream(a.c, echo_protocol, 1, true, NULL, 0, &s), ERR_OK);
        assert_int_equal(connection_stream_write(s, span_text("request"), &n), ERR_OK);
        size_t at = prng_below(&prng, 900);
        bool hit = false;
        for (int i = 0; i < 12; i++) {
            struct end *from = i % 2 == 0 ? &a : &b;
            struct end *to = i % 2 == 0 ? &b : &a;
            (void)transmit(from, to, 1);
            if (!hit && to == &b && at < to->wire.len) {
                to->wire.data[at] ^= (uint8_t)(1U << prng_below(&prng, 8));
                hit = true;
            }
            at -= !hit && to == &b ? to->wire.len : 0;
            receive(to, SIZE_MAX, 1);
        }
        assert_true(a.got.len == 0 || span_equal_text(buf_span(&a.got), "request"));
        assert_true(!hit || a.got.len == 0 || a.closed || b.closed || o.websocket);
        pair_release(&a, &b);
    }
}

/* What a peer can make us hold by beginning an upgrade and not going on, by the C library's own count (0 under ASan). */
static size_t held_by(const uint8_t *bytes, size_t len, bool websocket)
{
    struct options o = with(CONNECTION_NOISE, true, false, false);
    struct connection_config config = {.role = CONNECTION_LISTENER,
                                       .identity = identities[1],
                                       .security = {CONNECTION_NOISE, CONNECTION_TLS},
                                       .security_count = 2,
                                       .websocket = websocket,
                                       .send = o.send,
                                       .random = fill_random,
                                       .match_protocol = match,
                                       .events = &events};
    static uint8_t scratch[8192];
    size_t before = mallinfo2().uordblks;
    struct connection *c;
    assert_int_equal(connection_new(&config, 0, &c), ERR_OK);
    for (size_t at = 0; at < len; at += 61) {
        size_t part = MIN(len - at, 61);
        memcpy(scratch, bytes + at, part);
        connection_feed(c, scratch, part, 0);
    }
    assert_false(connection_is_closed(c));
    assert_true(connection_wants_read(c));
    size_t held = mallinfo2().uordblks - before;
    connection_free(c);
    return held;
}

static void t13_a_half_open_connection_holds_under_8_kib(void **state)
{
    (void)state;
    static uint8_t bytes[8192];
    static const char header[] = "\x13/multistream/1.0.0\n";
    size_t at = sizeof(header) - 1;
    memset(bytes, 'x', sizeof(bytes));
    memcpy(bytes, header, at);
    assert_true(held_by(bytes, at, false) < 8 * KIB);
    memcpy(bytes + at, "\xff\x07", 2); /* a line of 1023 bytes that never ends */
    assert_true(held_by(bytes, at + 1000, false) < 8 * KIB);
    for (int i = 0; i < 60; i++) /* proposals without end */
        memcpy(bytes + at + (size_t)i * 3, "\x02x\n", 3);
    assert_true(held_by(bytes, at + 180, false) < 8 * KIB);
    memcpy(bytes + at, "\x07/noise\n\x10\x00", 10); /* a handshake message of 4096 bytes that never ends */
    assert_true(held_by(bytes, at + 10 + 4000, false) < 8 * KIB);
    memset(bytes, 'x', sizeof(bytes)); /* an HTTP head that never ends */
    memcpy(bytes, "GET /", 5);
    assert_true(held_by(bytes, 4095, true) < 8 * KIB);
}

static void t5_a_peer_that_never_reads_is_not_read(void **state)
{
    (void)state;
    struct options o = with(CONNECTION_NOISE, true, false, false);
    struct end a;
    struct end b;
    pair_init(&a, &b, &o);
    (void)settle(&a, &b, SIZE_MAX);
    /* Opens streams and resets them again, for ever; b's answers find no reader. */
    unsigned opened = 0;
    size_t held = 0;
    while (connection_wants_read(b.c) && opened < 5000) {
        struct connection_stream *s;
        enum err err = connection_open_stream(a.c, echo_protocol, 1, true, NULL, 1, &s);
        if (err != ERR_OK)
            break;
        connection_stream_reset(s, 0);
        opened++;
        (void)transmit(&a, &b, 1);
        receive(&b, SIZE_MAX, 1);
        struct iovec iov;
        if (connection_output(b.c, &iov, 1) > 0)
            held = iov.iov_len; /* shown, never taken */
    }
    assert_false(connection_wants_read(b.c));
    assert_true(opened < 3000);
    assert_true(held < 8 * KIB);
    pair_release(&a, &b);
}

static void t6_streams_that_never_negotiate_are_capped(void **state)
{
    (void)state;
    struct options o = with(CONNECTION_NOISE, true, false, false);
    struct end a;
    struct end b;
    pair_init(&a, &b, &o);
    (void)settle(&a, &b, SIZE_MAX);
    unsigned opened = 0;
    struct connection_stream *s;
    while (connection_open_stream(a.c, unknown_protocol, 1, false, NULL, 1, &s) == ERR_OK)
        opened++;
    assert_int_equal(opened, 256);
    assert_int_equal(connection_streams(b.c), 0);
    (void)transmit(&a, &b, 1);
    receive(&b, SIZE_MAX, 1);
    assert_true(connection_streams(b.c) <= 256);
    (void)settle(&a, &b, SIZE_MAX);
    assert_int_equal(a.streams_closed, 256);
    assert_int_equal(a.stream_err, ERR_REFUSED);
    assert_int_equal(connection_streams(a.c) + connection_streams(b.c), 0);
    assert_false(a.closed || b.closed);
    pair_release(&a, &b);
}

/* Streams whose protocol is agreed are the owner's: only the cap of open streams counts them. */
static void agreed_streams_are_not_unaccepted_any_more(void **state)
{
    (void)state;
    struct options o = with(CONNECTION_NOISE, true, false, false);
    struct end a;
    struct end b;
    struct connection_stream *s;
    pair_init(&a, &b, &o);
    unsigned opened = 0;
    while (opened < 600 && connection_open_stream(a.c, echo_protocol, 1, true, NULL, 0, &s) == ERR_OK) {
        opened++;
        (void)settle(&a, &b, SIZE_MAX);
    }
    assert_int_equal(opened, CONNECTION_STREAMS_OUT_MAX);
    assert_int_equal(connection_streams(b.c), CONNECTION_STREAMS_IN_MAX);
    assert_int_equal(a.streams_closed + b.streams_closed, 0);
    pair_release(&a, &b);
}

/* ---- bulk ---- */

static void megabytes_cross_under_small_accounts(void **state)
{
    (void)state;
    for (int security = 0; security < 2; security++) {
        struct options o = with((enum connection_security)security, true, false, false);
        struct account receive_account;
        struct account send;
        account_init(&receive_account, "receive", 1 * MIB);
        account_init(&send, "send", 300000);
        o.receive = &receive_account;
        o.send = &send;
        struct end a;
        struct end b;
        struct connection_stream *s;
        pair_init(&a, &b, &o);
        b.echo = false;
        size_t total = 5 * MIB + 77;
        struct block_ref *ref = block_ref_new(total, NULL);
        assert_non_null(ref);
        struct prng prng;
        prng_init(&prng, 2);
        prng_fill(&prng, ref->data, total);
        assert_int_equal(connection_open_stream(a.c, echo_protocol, 1, true, NULL, 0, &s), ERR_OK);
        size_t sent = 0;
        for (int i = 0; i < 5000 && b.got.len < total; i++) {
            size_t n = 0;
            enum err err = i % 2 == 0 ? connection_stream_write_ref(s, ref, sent, total - sent, &n)
                                      : connection_stream_write(s, span_of(ref->data + sent, total - sent), &n);
            assert_true(err == ERR_OK || err == ERR_AGAIN);
            sent += err == ERR_OK ? n : 0;
            (void)transmit(&a, &b, (uint64_t)i * MS_NS);
            receive(&b, 30011, (uint64_t)i * MS_NS);
            (void)transmit(&b, &a, (uint64_t)i * MS_NS);
            receive(&a, SIZE_MAX, (uint64_t)i * MS_NS);
        }
        assert_int_equal(b.got.len, total);
        assert_memory_equal(b.got.data, ref->data, total);
        assert_true(a.writables > 0);
        pair_release(&a, &b);
        assert_int_equal(ref->refs, 1);
        block_ref_unref(ref);
        assert_int_equal(account_used(&send), 0);
        assert_int_equal(account_used(&receive_account), 0);
    }
}

/* The role is that of the security layer: streams open both ways whoever dialled. */
static void both_roles_open_streams(void **state)
{
    (void)state;
    struct options o = with(CONNECTION_NOISE, true, false, false);
    struct end a;
    struct end b;
    struct connection_stream *s;
    size_t n = 0;
    pair_init(&a, &b, &o);
    b.echo = false;
    a.echo = true;
    assert_int_equal(connection_open_stream(b.c, echo_protocol, 1, true, NULL, 0, &s), ERR_OK);
    assert_int_equal(connection_stream_id(s) % 2, 0);
    assert_int_equal(connection_stream_write(s, span_text("from the listener"), &n), ERR_OK);
    connection_stream_close(s); /* FIN, and the echo drains unseen */
    (void)settle(&a, &b, 10);
    assert_int_equal(a.opened, 1);
    assert_int_equal(a.streams_closed, 1);
    assert_true(span_equal_text(buf_span(&a.got), "from the listener"));
    assert_int_equal(b.got.len, 0);
    assert_int_equal(b.streams_closed, 0);
    assert_int_equal(connection_streams(a.c) + connection_streams(b.c), 0);
    pair_release(&a, &b);
}

static void freeing_at_any_moment_leaks_nothing(void **state)
{
    (void)state;
    struct options o = with(CONNECTION_NOISE, true, false, false);
    for (int stop = 0; stop < 8; stop++) {
        struct end a;
        struct end b;
        struct connection_stream *s;
        size_t n = 0;
        pair_init(&a, &b, &o);
        assert_int_equal(connection_open_stream(a.c, echo_protocol, 1, true, NULL, 0, &s), ERR_OK);
        assert_int_equal(connection_stream_write(s, span_text("x"), &n), ERR_OK);
        for (int i = 0; i < stop; i++) {
            (void)transmit(i % 2 == 0 ? &a : &b, i % 2 == 0 ? &b : &a, 1);
            receive(i % 2 == 0 ? &b : &a, SIZE_MAX, 1);
        }
        pair_release(&a, &b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_combinations_agree_in_any_chunking),
        cmocka_unit_test(the_answer_comes_after_two_round_trips),
        cmocka_unit_test(over_websocket_the_answer_comes_one_round_trip_later),
        cmocka_unit_test(a_websocket_is_open_after_http),
        cmocka_unit_test(tcp_and_websocket_do_not_mix),
        cmocka_unit_test(a_closed_websocket_says_so),
        cmocka_unit_test(the_first_flight_is_header_proposal_and_message_1),
        cmocka_unit_test(an_optimistic_proposal_that_is_refused_is_reported),
        cmocka_unit_test(t9_a_wrong_peer_fails_before_any_muxer_byte),
        cmocka_unit_test(streams_are_refused_tried_in_turn_or_reset),
        cmocka_unit_test(t13_each_stage_ends_in_time),
        cmocka_unit_test(t13_a_stream_that_never_negotiates_is_reset),
        cmocka_unit_test(silence_ends_the_connection_and_pings_keep_it),
        cmocka_unit_test(t11_an_early_end_at_any_byte_is_a_clean_close),
        cmocka_unit_test(flipped_bits_never_pass),
        cmocka_unit_test(t13_a_half_open_connection_holds_under_8_kib),
        cmocka_unit_test(t5_a_peer_that_never_reads_is_not_read),
        cmocka_unit_test(t6_streams_that_never_negotiate_are_capped),
        cmocka_unit_test(agreed_streams_are_not_unaccepted_any_more),
        cmocka_unit_test(megabytes_cross_under_small_accounts),
        cmocka_unit_test(both_roles_open_streams),
        cmocka_unit_test(freeing_at_any_moment_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
