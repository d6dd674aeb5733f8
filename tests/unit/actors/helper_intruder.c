/* SPDX-License-Identifier: MIT */
#include "helper_intruder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/yamux.h"

enum { HEARD_MAX = 8 << 20, WAITS_MAX = 16 << 20, PATIENCE_MS = 2000, LINES_BYTES = 28 };

static const char hello[] = "\x13/multistream/1.0.0\n\x07/noise\n";
static const char *const muxers[] = {"/yamux/1.0.0"};

/* ---- the socket ---- */

static void flush(struct intruder *i)
{
    while (i->sock != NULL && i->waits.len > 0) {
        struct iovec iov = {.iov_base = i->waits.data, .iov_len = i->waits.len};
        size_t n = 0;
        if (i->net->write(i->sock, &iov, 1, &n) != ERR_OK)
            break;
        i->written += n;
        buf_drop(&i->waits, n);
    }
    if (i->sock != NULL)
        i->net->want(i->sock, !i->deaf, i->waits.len > 0);
}

static void hang_up(struct intruder *i)
{
    i->closed = true;
    i->net->close(i->sock, false);
    i->sock = NULL;
}

/* Noise frames of the victim: handshake answers go out, plaintext is kept. */
static void take_secured(struct intruder *i, uint8_t *data, size_t len)
{
    while (len > 0 && i->sock != NULL) {
        size_t used = 0;
        struct span plain;
        if (noise_session_feed(&i->noise, data, len, &i->waits, &used, &plain) != ERR_OK) {
            hang_up(i);
            return;
        }
        assert_int_equal(buf_append_span(&i->heard, plain), ERR_OK);
        data += used;
        len -= used;
    }
}

static void take(struct intruder *i, uint8_t *data, size_t len)
{
    if (i->secure)
        take_secured(i, data, len);
    else
        assert_int_equal(buf_append(&i->heard, data, len), ERR_OK);
}

static void sink(void *arg, const struct net_event *event)
{
    struct intruder *i = arg;
    static uint8_t bytes[65536];
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    i->connected = i->connected || event->kind == NET_CONNECTED;
    bool over = event->kind == NET_CLOSED;
    while (!over && event->kind == NET_READY && !i->deaf && i->sock != NULL) {
        size_t n = 0;
        enum err err = i->net->read(i->sock, &iov, 1, &n);
        if (err == ERR_AGAIN)
            break;
        over = err != ERR_OK || n == 0;
        if (!over)
            take(i, bytes, n);
    }
    if (over && i->sock != NULL)
        hang_up(i);
    flush(i);
}

struct intruder *intruder_new(uint8_t b, uint8_t c, uint8_t d)
{
    struct intruder *i = calloc(1, sizeof(*i));
    uint8_t seed[ED25519_SEED_BYTES] = {0x66, b, c, d};
    uint8_t secret[NOISE_KEY_BYTES] = {0x67, b, c, d};
    struct net_addr ip = {.family = NET_IP4, .ip = {198, b, c, d}};
    assert_non_null(i);
    assert_int_equal(key_pair_of_seed(seed, &i->key), ERR_OK);
    assert_int_equal(noise_identity_init(&i->identity, i->key, secret), ERR_OK);
    buf_init(&i->heard, HEARD_MAX, NULL);
    buf_init(&i->waits, WAITS_MAX, NULL);
    i->host = sim_net_add_host(nodes_net, &ip);
    const struct loop_port *port = sim_host_loop(i->host);
    assert_int_equal(port->open(port->self, sink, i, &i->loop), ERR_OK);
    i->net = port->net(i->loop);
    return i;
}

static void forget_connection(struct intruder *i)
{
    if (i->sock != NULL)
        i->net->close(i->sock, true);
    if (i->secure)
        noise_session_release(&i->noise);
    buf_clear(&i->heard);
    buf_clear(&i->waits);
    i->sock = NULL;
    i->connected = i->closed = i->deaf = i->secure = false;
    i->written = 0;
}

void intruder_free(struct intruder *i)
{
    forget_connection(i);
    sim_host_loop(i->host)->close(i->loop);
    buf_release(&i->heard);
    buf_release(&i->waits);
    noise_identity_release(&i->identity);
    key_pair_free(i->key);
    free(i);
}

/* ---- waiting ---- */

static void await(struct intruder *i, bool (*done)(void *arg), uint64_t ms)
{
    (void)sim_run_while_not(nodes_sim, done, i, ms * MS_NS);
}

static bool has_closed(void *arg)
{
    return ((const struct intruder *)arg)->closed;
}

static bool has_heard(void *arg)
{
    const struct intruder *i = arg;
    return i->closed || i->heard.len > 0;
}

static bool has_heard_lines(void *arg)
{
    const struct intruder *i = arg;
    return i->closed || i->heard.len >= LINES_BYTES;
}

static bool has_secured(void *arg)
{
    const struct intruder *i = arg;
    return i->closed || noise_session_is_established(&i->noise);
}

/* ---- speaking ---- */

bool intruder_dial(struct intruder *i)
{
    struct net_addr to = sim_net_ip(1);
    to.port = 4001;
    forget_connection(i);
    assert_int_equal(i->net->connect(i->net->self, &to, 1, &i->sock), ERR_OK);
    await(i, has_heard, PATIENCE_MS); /* the victim speaks first */
    return i->connected && !i->closed;
}

void intruder_say(struct intruder *i, struct span bytes)
{
    assert_int_equal(buf_append_span(&i->waits, bytes), ERR_OK);
    flush(i);
}

bool intruder_shake_hands(struct intruder *i)
{
    struct noise_session_config config = {.identity = &i->identity,
                                          .initiator = true,
                                          .muxers = muxers,
                                          .muxer_count = 1,
                                          .ephemeral = {1, (uint8_t)i->written, 2}};
    intruder_say(i, span_of(hello, sizeof(hello) - 1));
    await(i, has_heard_lines, PATIENCE_MS);
    if (i->closed)
        return false;
    assert_int_equal(i->heard.len, LINES_BYTES);
    buf_clear(&i->heard);
    noise_session_init(&i->noise, &config);
    i->secure = true;
    assert_int_equal(noise_session_start(&i->noise, &i->waits), ERR_OK);
    flush(i);
    await(i, has_secured, PATIENCE_MS);
    nodes_pass_ms(10); /* message 3 arrives, and is judged */
    return !i->closed && noise_session_is_established(&i->noise);
}

void intruder_send(struct intruder *i, struct span plain)
{
    static uint8_t frame[NOISE_LENGTH_BYTES + NOISE_MESSAGE_MAX];
    while (plain.len > 0 && !i->closed) {
        struct iovec iov = {.iov_len = plain.len};
        size_t taken = 0;
        size_t written = 0;
        memcpy(&iov.iov_base, &plain.data, sizeof(plain.data)); /* only read */
        assert_int_equal(noise_session_seal(&i->noise, &iov, 1, frame, sizeof(frame), &taken, &written), ERR_OK);
        assert_int_equal(buf_append(&i->waits, frame, written), ERR_OK);
        plain = span_skip(plain, taken);
    }
    flush(i);
}

static void header(uint8_t to[YAMUX_HEADER_BYTES], enum intruder_type type, unsigned flags, uint32_t id,
                   uint32_t length)
{
    const uint8_t bytes[YAMUX_HEADER_BYTES] = {0,
                                               (uint8_t)type,
                                               (uint8_t)(flags >> 8),
                                               (uint8_t)flags,
                                               (uint8_t)(id >> 24),
                                               (uint8_t)(id >> 16),
                                               (uint8_t)(id >> 8),
                                               (uint8_t)id,
                                               (uint8_t)(length >> 24),
                                               (uint8_t)(length >> 16),
                                               (uint8_t)(length >> 8),
                                               (uint8_t)length};
    memcpy(to, bytes, sizeof(bytes));
}

void intruder_frame(struct intruder *i, enum intruder_type type, unsigned flags, uint32_t id, uint32_t length,
                    struct span payload)
{
    struct buf whole;
    uint8_t bytes[YAMUX_HEADER_BYTES];
    header(bytes, type, flags, id, length);
    buf_init(&whole, sizeof(bytes) + payload.len, NULL);
    assert_int_equal(buf_append(&whole, bytes, sizeof(bytes)), ERR_OK);
    assert_int_equal(buf_append_span(&whole, payload), ERR_OK);
    intruder_send(i, buf_span(&whole));
    buf_release(&whole);
}

void intruder_open(struct intruder *i, uint32_t id, const char *protocol, struct span payload)
{
    struct buf data;
    buf_init(&data, 1 << 20, NULL);
    assert_int_equal(buf_appendf(&data, "\x13/multistream/1.0.0\n%c%s\n", (int)(strlen(protocol) + 1), protocol),
                     ERR_OK);
    assert_int_equal(buf_append_span(&data, payload), ERR_OK);
    intruder_frame(i, FRAME_DATA, FLAG_SYN, id, (uint32_t)data.len, buf_span(&data));
    buf_release(&data);
}

/* ---- listening ---- */

static uint32_t get32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* Takes the next frame's header off *in; false at the end. */
static bool next_frame(struct span *in, const uint8_t **ret_header, uint32_t *ret_length)
{
    if (in->len < YAMUX_HEADER_BYTES)
        return false;
    *ret_header = in->data;
    *ret_length = get32(in->data + 8);
    *in = span_skip(*in, YAMUX_HEADER_BYTES + (in->data[1] == FRAME_DATA ? *ret_length : 0));
    return true;
}

unsigned intruder_frames(const struct intruder *i, enum intruder_type type, unsigned flags, uint32_t id,
                         uint32_t *ret_length)
{
    unsigned count = 0;
    const uint8_t *h;
    uint32_t length;
    for (struct span in = buf_span(&i->heard); i->secure && next_frame(&in, &h, &length);) {
        if (h[1] != type || (h[3] & flags) != flags || (id != 0 && get32(h + 4) != id))
            continue;
        count++;
        if (ret_length != NULL)
            *ret_length = length;
    }
    return count;
}

uint64_t intruder_window(const struct intruder *i, uint32_t id)
{
    uint64_t sum = YAMUX_WINDOW_FIRST;
    const uint8_t *h;
    uint32_t length;
    for (struct span in = buf_span(&i->heard); next_frame(&in, &h, &length);)
        if (h[1] == FRAME_WINDOW && (h[3] & FLAG_RST) == 0 && get32(h + 4) == id)
            sum += length;
    return sum;
}

bool intruder_is_shut_out(struct intruder *i, uint64_t ms)
{
    await(i, has_closed, ms);
    return i->closed;
}
