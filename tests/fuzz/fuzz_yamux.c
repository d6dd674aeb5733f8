/* SPDX-License-Identifier: MIT */
/*
 * A Yamux session fed with arbitrary frames in chunks, while its owner accepts, writes, consumes, ends and resets as the input says. The
 * session must stay bounded and give all memory back.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "wire/yamux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct owner {
    const uint8_t *script;
    size_t len;
    size_t at;
};

static uint8_t next(struct owner *o)
{
    return o->len == 0 ? 0 : o->script[o->at++ % o->len];
}

/* Anything an owner may do to its stream; true when the stream is gone. */
static bool act(struct owner *o, struct yamux_stream *s)
{
    static const uint8_t zeros[3000];
    size_t n;
    enum err err;
    switch (next(o) % 8) {
    case 0:
        yamux_stream_reset(s, 7);
        return true;
    case 1:
        yamux_stream_close(s);
        return true;
    case 2:
        yamux_stream_fin(s);
        return false;
    case 3:
        yamux_stream_want_window(s, (size_t)next(o) << 16);
        return false;
    case 4:
        err = yamux_stream_write(s, span_of(zeros, (size_t)next(o) * 11), &n);
        (void)err;
        return false;
    default:
        yamux_stream_consume(s, (size_t)next(o) << 8);
        return false;
    }
}

static void on_opened(void *user, struct yamux_stream *s)
{
    if (next(user) % 4 != 0)
        yamux_stream_accept(s);
    (void)act(user, s);
}

static void on_data(void *user, struct yamux_stream *s, struct span bytes)
{
    volatile uint8_t last = bytes.data[bytes.len - 1]; /* touched, for the sanitizer */
    (void)last;
    (void)act(user, s);
}

static void on_any(void *user, struct yamux_stream *s)
{
    (void)act(user, s);
}

static void on_closed(void *user, struct yamux_stream *s, enum err err, uint32_t code)
{
    (void)user;
    (void)s;
    (void)err;
    (void)code;
}

static const struct yamux_events events = {
    .stream_opened = on_opened, .data = on_data, .fin = on_any, .writable = on_any, .closed = on_closed};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 16)
        return 0;
    struct owner owner = {.script = data + 2, .len = 14};
    struct account receive;
    struct account send;
    account_init(&receive, "receive", 2 * MIB);
    account_init(&send, "send", 64 * KIB);
    struct yamux_config config = {.dialer = data[0] & 1,
                                  .receive = &receive,
                                  .send = &send,
                                  .streams_in_max = 40,
                                  .streams_out_max = 8,
                                  .events = &events,
                                  .user = &owner};
    struct yamux *y;
    if (yamux_new(&config, 0, &y) != ERR_OK)
        return 0;
    struct yamux_stream *own;
    for (int i = 0; i < data[0] % 5; i++) {
        if (yamux_open(y, NULL, &own) == ERR_OK)
            (void)act(&owner, own);
    }
    struct span in = span_of(data + 16, size - 16);
    size_t chunk = 1 + data[1];
    uint64_t now = 0;
    while (in.len > 0 && yamux_feed(y, span_first(in, chunk), now) == ERR_OK) {
        in = span_skip(in, chunk);
        now += (uint64_t)next(&owner) << 28;
        if (!yamux_wants_read(y) || next(&owner) % 4 == 0)
            yamux_output_done(y, yamux_queued(y) / 2, now);
        if (yamux_queued(y) > YAMUX_QUEUE_BYTES + YAMUX_REPLY_BYTES_MAX + 64 * KIB || yamux_streams(y) > 48)
            abort();
        if (now >= yamux_deadline(y) && yamux_tick(y, now) != ERR_OK)
            break;
    }
    yamux_free(y);
    if (account_used(&receive) + account_used(&send) != 0)
        abort();
    return 0;
}
