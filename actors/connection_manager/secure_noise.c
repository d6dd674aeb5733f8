/* SPDX-License-Identifier: MIT */
#include <sodium.h>
#include <stdlib.h>

#include "actors/connection_manager/secure.h"

static size_t overhead(size_t plain_bytes)
{
    return (plain_bytes / NOISE_PLAIN_MAX + 1) * NOISE_FRAME_OVERHEAD;
}

static enum err open_channel(const struct secure_config *config, void **ret_self)
{
    struct noise_session *s = malloc(sizeof(*s));
    if (s == NULL)
        return ERR_NOMEM;
    struct noise_session_config noise = {.identity = &config->identity->noise,
                                         .initiator = config->dialer,
                                         .expected = config->expected,
                                         .muxers = config->muxers,
                                         .muxer_count = config->muxer_count};
    memcpy(noise.ephemeral, config->seed, sizeof(noise.ephemeral));
    noise_session_init(s, &noise);
    sodium_memzero(noise.ephemeral, sizeof(noise.ephemeral));
    *ret_self = s;
    return ERR_OK;
}

static void close_channel(void *self)
{
    if (self == NULL)
        return;
    noise_session_release(self);
    free(self);
}

static enum err start(void *self, struct buf *out)
{
    return noise_session_start(self, out);
}

static enum err feed(void *self, uint8_t *data, size_t len, struct buf *out, secure_sink *sink, void *arg)
{
    enum err err = ERR_OK;
    while (len > 0 && err == ERR_OK) {
        size_t used = 0;
        struct span plain;
        err = noise_session_feed(self, data, len, out, &used, &plain);
        data += used;
        len -= used;
        if (err == ERR_OK && plain.len > 0)
            err = sink(arg, plain);
    }
    return err;
}

static enum err seal(void *self, const struct iovec *plain, int count, uint8_t *to, size_t room, size_t *ret_taken,
                     size_t *ret_written)
{
    return noise_session_seal(self, plain, count, to, room, ret_taken, ret_written);
}

static bool is_established(const void *self)
{
    return noise_session_is_established(self);
}

static int muxer(const void *self)
{
    return ((const struct noise_session *)self)->muxer;
}

static const struct peer_id *remote(const void *self)
{
    return &((const struct noise_session *)self)->remote;
}

static struct span remote_key(const void *self)
{
    return buf_span(&((const struct noise_session *)self)->remote_key);
}

const struct secure_class secure_noise = {
    .protocol = "/noise",
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
