/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

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
    unsigned flights; /* times that bytes were put on the wire after the other side had been heard */
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
            }
        }
    }
}

int main(void)
{
    (void)two_protocols;
    (void)unknown_protocol;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_combinations_agree_in_any_chunking),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
