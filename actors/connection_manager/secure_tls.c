/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/secure.h"

enum { RECORD_SLACK = 160 };

static size_t overhead(size_t plain_bytes)
{
    return (plain_bytes / TLS_PLAIN_MAX + 1) * (TLS_RECORD_OVERHEAD + RECORD_SLACK);
}

static enum err open_channel(const struct secure_config *config, void **ret_self)
{
    struct tls_session_config tls = {.identity = config->identity->tls,
                                     .client = config->dialer,
                                     .expected = config->expected,
                                     .muxers = config->muxers,
                                     .muxer_count = config->muxer_count,
                                     .wall_clock_s = config->wall_clock_s};
    struct tls_session *s;
    enum err err = tls_session_new(&tls, &s);
    if (err == ERR_OK)
        *ret_self = s;
    return err;
}

static void close_channel(void *self)
{
    tls_session_free(self);
}

static enum err start(void *self, struct buf *out)
{
    return tls_session_start(self, out);
}

static enum err feed(void *self, uint8_t *data, size_t len, struct buf *out, secure_sink *sink, void *arg)
{
    return tls_session_feed(self, span_of(data, len), out, sink, arg);
}

static enum err seal(void *self, const struct iovec *plain, int count, uint8_t *to, size_t room, size_t *ret_taken,
                     size_t *ret_written)
{
    return tls_session_seal(self, plain, count, to, room, ret_taken, ret_written);
}

static bool is_established(const void *self)
{
    return tls_session_is_established(self);
}

static int muxer(const void *self)
{
    return tls_session_muxer(self);
}

static const struct peer_id *remote(const void *self)
{
    return tls_session_remote(self);
}

static struct span remote_key(const void *self)
{
    return tls_session_remote_key(self);
}

const struct secure_class secure_tls = {
    .protocol = "/tls/1.0.0",
    .overhead = overhead,
    .open = open_channel,
    .close = close_channel,
    .start = start,
    .feed = feed,
    .seal = seal,
    .is_established = is_established,
    .muxer = muxer,
    .remote = remote,
    .remote_key = remote_key,
};
