/* SPDX-License-Identifier: MIT */
/* Certificates of peers, and both roles of a session fed with bytes that no TLS peer sent. */
#include <stdlib.h>

#include "wire/keys.h"
#include "wire/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err sink(void *arg, struct span plain)
{
    (void)arg;
    (void)plain;
    abort(); /* plaintext without a handshake */
}

static struct tls_identity *identity(void)
{
    static struct tls_identity *made;
    uint8_t seed[32] = {1};
    struct key_pair *pair;
    if (made != NULL)
        return made;
    if (key_pair_of_seed(seed, &pair) != ERR_OK || tls_identity_new(pair, &made) != ERR_OK)
        abort();
    key_pair_free(pair);
    return made;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const muxers[] = {"/yamux/1.0.0"};
    if (size < 1)
        return 0;
    struct buf out;
    buf_init(&out, PUBLIC_KEY_BYTES_MAX, NULL);
    enum err err = tls_certificate_check(span_of(data + 1, size - 1), 0, &out);
    buf_release(&out);
    struct tls_session_config config = {
        .identity = identity(), .client = data[0] & 1, .muxers = muxers, .muxer_count = 1, .wall_clock_s = 1800000000};
    struct tls_session *s;
    if (tls_session_new(&config, &s) != ERR_OK)
        return 0;
    buf_init(&out, 64 * KIB, NULL);
    err = tls_session_start(s, &out);
    if (err == ERR_OK)
        err = tls_session_feed(s, span_of(data + 1, size - 1), &out, sink, NULL);
    (void)err;
    tls_session_free(s);
    buf_release(&out);
    return 0;
}
