/* SPDX-License-Identifier: MIT */
/*
 * A Noise responder: raw bytes in place of each handshake message, and, behind a correct handshake, an arbitrary identity payload and
 * arbitrary frames.
 */
#include <stdlib.h>

#include "wire/keys.h"
#include "wire/noise_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct noise_identity good;
static const char *const muxers[] = {"/yamux/1.0.0"};

static void prepare(void)
{
    static bool done;
    uint8_t seed[32] = {1};
    struct key_pair *pair;
    if (done)
        return;
    done = true;
    if (key_pair_of_seed(seed, &pair) != ERR_OK || noise_identity_init(&good, pair, seed) != ERR_OK)
        abort();
    key_pair_free(pair);
}

static void init(struct noise_session *s, bool initiator, const struct noise_identity *identity)
{
    struct noise_session_config config = {.identity = identity,
                                          .initiator = initiator,
                                          .muxers = muxers,
                                          .muxer_count = 1,
                                          .ephemeral = {(uint8_t)(8 + initiator * 8)}};
    noise_session_init(s, &config);
}

/* A copy of its own for each piece, so that reads past its end are seen. */
static enum err feed(struct noise_session *s, struct span in, size_t chunk, struct buf *out)
{
    enum err err = ERR_OK;
    while (in.len > 0 && err == ERR_OK) {
        struct span piece = span_first(in, chunk);
        uint8_t *copy = malloc(piece.len);
        struct span plain;
        size_t used = 0;
        if (copy == NULL)
            return ERR_NOMEM;
        memcpy(copy, piece.data, piece.len);
        err = noise_session_feed(s, copy, piece.len, out, &used, &plain);
        if (used > piece.len || (used == 0 && err == ERR_OK))
            abort();
        in = span_skip(in, used);
        free(copy);
    }
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    prepare();
    struct span in = span_of(data + 2, size - 2);
    struct noise_identity forged = {.s = good.s, .proof = good.proof};
    buf_init(&forged.proof, 900, NULL);
    if (data[0] % 3 == 1 && buf_append_span(&forged.proof, span_first(in, 800)) != ERR_OK)
        return 0;
    struct noise_session peer;
    struct noise_session s;
    struct buf to_s;
    struct buf to_peer;
    init(&peer, true, data[0] % 3 == 1 ? &forged : &good);
    init(&s, false, &good);
    buf_init(&to_s, 8192, NULL);
    buf_init(&to_peer, 8192, NULL);
    enum err err = ERR_OK;
    if (data[0] % 3 > 0) {
        err = noise_session_start(&peer, &to_s);
        if (err == ERR_OK)
            err = feed(&s, buf_span(&to_s), SIZE_MAX, &to_peer);
        buf_clear(&to_s);
        if (err == ERR_OK)
            err = feed(&peer, buf_span(&to_peer), SIZE_MAX, &to_s);
        if (err == ERR_OK)
            err = feed(&s, buf_span(&to_s), 1 + data[1], &to_peer);
        if (data[0] % 3 == 2 && (err != ERR_OK || !noise_session_is_established(&s)))
            abort();
    }
    buf_clear(&to_peer);
    if (err == ERR_OK)
        err = feed(&s, in, 1 + data[1], &to_peer);
    (void)err;
    noise_session_release(&peer);
    noise_session_release(&s);
    buf_release(&to_s);
    buf_release(&to_peer);
    buf_release(&forged.proof);
    return 0;
}
