/* SPDX-License-Identifier: MIT */
/*
 * A whole connection as the listener. The first byte chooses: raw bytes from the start, or a peer that makes a correct Noise handshake
 * and then sends arbitrary plaintext, so that Yamux, the streams' negotiations and the owner's calls are reached.
 */
#include <stdlib.h>

#include "actors/connection_manager/connection.h"
#include "base/limits.h"
#include "wire/keys.h"
#include "wire/multistream.h"
#include "wire/noise_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct connection_identity *identity;
static struct noise_identity attacker;
static const char *const muxers[] = {"/yamux/1.0.0"};
static const char *const own[] = {"/echo/1"};

static void fill(void *arg, void *to, size_t len)
{
    (void)arg;
    memset(to, 0x5a, len);
}

static void prepare(void)
{
    uint8_t seed[32] = {1};
    struct key_pair *pair;
    if (identity != NULL)
        return;
    if (key_pair_of_seed(seed, &pair) != ERR_OK || noise_identity_init(&attacker, pair, seed) != ERR_OK ||
        connection_identity_new(pair, fill, NULL, &identity) != ERR_OK)
        abort();
    key_pair_free(pair);
}

static int match(void *user, struct span name)
{
    (void)user;
    return span_equal_text(name, own[0]) ? 0 : -1;
}

/* An owner that echoes, and treats streams as their ids say. */
static void on_opened(void *user, struct connection_stream *s)
{
    (void)user;
    connection_stream_want_window(s, (size_t)connection_stream_id(s) << 14);
    if (connection_stream_id(s) % 16 == 5)
        connection_stream_reset(s, 1);
}

static void on_data(void *user, struct connection_stream *s, struct span bytes)
{
    size_t n;
    (void)user;
    connection_stream_consume(s, bytes.len);
    enum err err = connection_stream_write(s, bytes, &n);
    (void)err;
    if (connection_stream_id(s) % 16 == 7)
        connection_stream_close(s);
    else if (connection_stream_id(s) % 64 == 9)
        connection_close(connection_stream_connection(s));
}

static void on_fin(void *user, struct connection_stream *s)
{
    (void)user;
    connection_stream_fin(s);
}

static const struct connection_events events = {
    .stream_opened = on_opened, .stream_data = on_data, .stream_fin = on_fin};

static void feed(struct connection *c, struct span in, size_t chunk)
{
    while (in.len > 0) {
        struct span piece = span_first(in, chunk);
        uint8_t *copy = malloc(piece.len);
        if (copy == NULL)
            return;
        memcpy(copy, piece.data, piece.len);
        connection_feed(c, copy, piece.len, 1);
        free(copy);
        in = span_skip(in, chunk);
    }
}

/* Writes what the attacker says into the connection and gives back what that answers, in out. */
static void flush(struct connection *c, struct buf *out)
{
    struct iovec iov;
    buf_clear(out);
    for (int i = 0; i < 100 && connection_output(c, &iov, 1) > 0; i++) {
        size_t part = MIN(iov.iov_len, out->max - out->len);
        if (part == 0 || buf_append(out, iov.iov_base, part) != ERR_OK)
            return;
        connection_output_done(c, part, 1);
    }
}

static void attack(struct connection *c, struct span plain, size_t chunk, struct buf *buf)
{
    struct noise_session_config config = {
        .identity = &attacker, .initiator = true, .muxers = muxers, .muxer_count = 1, .ephemeral = {9}};
    struct noise_session s;
    struct buf say;
    static const char lines[] = "\x13/multistream/1.0.0\n\x07/noise\n";
    noise_session_init(&s, &config);
    buf_init(&say, 256 * KIB, NULL);
    enum err err = buf_append(&say, lines, sizeof(lines) - 1);
    if (err == ERR_OK)
        err = noise_session_start(&s, &say);
    feed(c, buf_span(&say), SIZE_MAX);
    flush(c, buf);
    buf_clear(&say);
    size_t used = sizeof(lines) - 1; /* the echo has the same length */
    for (size_t at = used; err == ERR_OK && at < buf->len && !noise_session_is_established(&s); at += used) {
        struct span ignored;
        err = noise_session_feed(&s, buf->data + at, buf->len - at, &say, &used, &ignored);
    }
    if (err != ERR_OK || !noise_session_is_established(&s))
        abort();
    while (plain.len > 0 && err == ERR_OK) {
        struct iovec iov = {.iov_base = (void *)(uintptr_t)plain.data, .iov_len = MIN(plain.len, chunk)};
        size_t taken = 0;
        size_t written = 0;
        uint8_t *to = buf_reserve(&say, iov.iov_len + NOISE_FRAME_OVERHEAD);
        if (to == NULL)
            break;
        err = noise_session_seal(&s, &iov, 1, to, iov.iov_len + NOISE_FRAME_OVERHEAD, &taken, &written);
        buf_commit(&say, written);
        plain = span_skip(plain, taken);
    }
    feed(c, buf_span(&say), 1 + chunk * 3);
    noise_session_release(&s);
    buf_release(&say);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 32768)
        return 0;
    prepare();
    struct account receive;
    struct account send;
    struct buf buf;
    account_init(&receive, "receive", 1 * MIB);
    account_init(&send, "send", 256 * KIB);
    struct connection_config config = {.role = CONNECTION_LISTENER,
                                       .identity = identity,
                                       .security = {CONNECTION_NOISE, CONNECTION_TLS},
                                       .security_count = 2,
                                       .receive = &receive,
                                       .send = &send,
                                       .random = fill,
                                       .match_protocol = match,
                                       .events = &events};
    struct connection *c;
    if (connection_new(&config, 0, &c) != ERR_OK)
        return 0;
    buf_init(&buf, 1 * MIB, NULL);
    struct span in = span_of(data + 2, size - 2);
    if (data[0] & 1)
        attack(c, in, 1 + data[1], &buf);
    else
        feed(c, in, 1 + data[1]);
    flush(c, &buf);
    if (!connection_is_closed(c))
        connection_tick(c, connection_deadline(c));
    connection_free(c);
    buf_release(&buf);
    if (account_used(&receive) + account_used(&send) != 0)
        abort();
    return 0;
}
