/* SPDX-License-Identifier: MIT */
#include "wire/noise_session.h"

#include <assert.h>
#include <sodium.h>

#include "wire/keys.h"
#include "wire/protobuf.h"

enum { FIELD_KEY = 1, FIELD_SIGNATURE = 2, FIELD_EXTENSIONS = 4, EXTENSION_MUXER = 2, PIECES_MAX = 64 };

static const char signature_domain[] = "noise-libp2p-static-key:";
enum { DOMAIN_BYTES = sizeof(signature_domain) - 1, SIGNED_BYTES = DOMAIN_BYTES + NOISE_KEY_BYTES };

/* ---- identity ---- */

static void signed_text(const uint8_t static_key[NOISE_KEY_BYTES], uint8_t to[SIGNED_BYTES])
{
    memcpy(to, signature_domain, DOMAIN_BYTES);
    memcpy(to + DOMAIN_BYTES, static_key, NOISE_KEY_BYTES);
}

enum err noise_identity_init(struct noise_identity *identity, const struct key_pair *pair,
                             const uint8_t secret[NOISE_KEY_BYTES])
{
    uint8_t text[SIGNED_BYTES];
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    noise_keypair_from_secret(secret, &identity->s);
    signed_text(identity->s.public_key, text);
    key_pair_sign(pair, span_of(text, sizeof(text)), signature);
    buf_init(&identity->proof, 256, NULL);
    enum err err = protobuf_put_bytes(&identity->proof, FIELD_KEY, key_pair_public(pair));
    if (err == ERR_OK)
        err = protobuf_put_bytes(&identity->proof, FIELD_SIGNATURE, span_of(signature, sizeof(signature)));
    if (err != ERR_OK)
        noise_identity_release(identity);
    return err;
}

void noise_identity_release(struct noise_identity *identity)
{
    sodium_memzero(&identity->s, sizeof(identity->s));
    buf_release(&identity->proof);
}

/* ---- session ---- */

void noise_session_init(struct noise_session *s, const struct noise_session_config *config)
{
    memset(s, 0, sizeof(*s));
    s->config = *config;
    s->muxer = -1;
    struct noise_keypair e;
    noise_keypair_from_secret(config->ephemeral, &e);
    noise_handshake_init(&s->hs, config->initiator, (struct span){0}, &config->identity->s, &e);
    sodium_memzero(&e, sizeof(e));
    sodium_memzero(s->config.ephemeral, sizeof(s->config.ephemeral));
    buf_init(&s->partial, NOISE_LENGTH_BYTES + NOISE_HANDSHAKE_FRAME_MAX, NULL);
    buf_init(&s->remote_key, PUBLIC_KEY_BYTES_MAX, NULL);
}

void noise_session_release(struct noise_session *s)
{
    noise_handshake_release(&s->hs);
    noise_cipher_release(&s->send);
    noise_cipher_release(&s->receive);
    buf_release(&s->partial);
    buf_release(&s->remote_key);
}

/* ---- own payload ---- */

static enum err append_muxers(const struct noise_session *s, struct buf *out)
{
    size_t len = 0;
    for (size_t i = 0; i < s->config.muxer_count; i++)
        len += protobuf_size_bytes(EXTENSION_MUXER, strlen(s->config.muxers[i]));
    if (len == 0)
        return ERR_OK;
    enum err err = protobuf_put_header(out, FIELD_EXTENSIONS, len);
    for (size_t i = 0; i < s->config.muxer_count && err == ERR_OK; i++)
        err = protobuf_put_text(out, EXTENSION_MUXER, s->config.muxers[i]);
    return err;
}

/* Writes the next handshake message behind its length. Message 1 has no payload. */
static enum err write_message(struct noise_session *s, struct buf *out)
{
    struct buf payload;
    struct buf message;
    buf_init(&payload, NOISE_HANDSHAKE_OUT_MAX, NULL);
    buf_init(&message, NOISE_HANDSHAKE_OUT_MAX, NULL);
    enum err err = ERR_OK;
    if (s->hs.step > 0)
        err = buf_append_span(&payload, buf_span(&s->config.identity->proof));
    if (err == ERR_OK && s->hs.step > 0)
        err = append_muxers(s, &payload);
    if (err == ERR_OK)
        err = noise_handshake_write(&s->hs, buf_span(&payload), &message);
    uint8_t length[NOISE_LENGTH_BYTES] = {(uint8_t)(message.len >> 8), (uint8_t)message.len};
    if (err == ERR_OK)
        err = buf_append(out, length, sizeof(length));
    if (err == ERR_OK)
        err = buf_append_span(out, buf_span(&message));
    buf_release(&payload);
    buf_release(&message);
    return err;
}

enum err noise_session_start(struct noise_session *s, struct buf *out)
{
    return s->config.initiator ? write_message(s, out) : ERR_OK;
}

/* ---- the peer's payload ---- */

static int own_muxer(const struct noise_session *s, struct span name)
{
    for (size_t i = 0; i < s->config.muxer_count; i++) {
        if (span_equal_text(name, s->config.muxers[i]))
            return (int)i;
    }
    return -1;
}

/*
 * The first muxer of the initiator's list that the responder has. Walking the peer's list as responder the first hit counts; as
 * initiator the hit that comes first in the own list.
 */
static enum err choose_muxer(struct noise_session *s, struct span extensions)
{
    while (extensions.len > 0) {
        struct protobuf_field f;
        if (protobuf_next(&extensions, &f) != ERR_OK)
            return ERR_PROTOCOL;
        int i = protobuf_is(&f, EXTENSION_MUXER, PROTOBUF_BYTES) ? own_muxer(s, f.bytes) : -1;
        if (i >= 0 && (s->muxer < 0 || (s->config.initiator && i < s->muxer)))
            s->muxer = i;
    }
    return ERR_OK;
}

static enum err check_identity(struct noise_session *s, struct span key, struct span signature)
{
    uint8_t text[SIGNED_BYTES];
    struct public_key parsed;
    if (key.len == 0 || signature.len == 0 || signature.len > SIGNATURE_BYTES_MAX ||
        public_key_parse(key, &parsed) != ERR_OK)
        return ERR_AUTH;
    /* The cheap comparison first: a wrong peer costs no signature check. */
    struct peer_id id = peer_id_of_key(key);
    if (s->config.expected != NULL && !peer_id_equal(&id, s->config.expected))
        return ERR_MISMATCH;
    signed_text(s->hs.rs, text);
    if (public_key_verify(key, span_of(text, sizeof(text)), signature) != ERR_OK)
        return ERR_AUTH;
    s->remote = id;
    return buf_append_span(&s->remote_key, key);
}

static enum err take_payload(struct noise_session *s, struct span payload)
{
    struct span key = {0};
    struct span signature = {0};
    struct span extensions = {0};
    while (payload.len > 0) {
        struct protobuf_field f;
        if (protobuf_next(&payload, &f) != ERR_OK)
            return ERR_PROTOCOL;
        if (protobuf_is(&f, FIELD_KEY, PROTOBUF_BYTES))
            key = f.bytes;
        else if (protobuf_is(&f, FIELD_SIGNATURE, PROTOBUF_BYTES))
            signature = f.bytes;
        else if (protobuf_is(&f, FIELD_EXTENSIONS, PROTOBUF_BYTES))
            extensions = f.bytes;
    }
    enum err err = check_identity(s, key, signature);
    return err == ERR_OK ? choose_muxer(s, extensions) : err;
}

/* ---- frames ---- */

static enum err establish(struct noise_session *s)
{
    enum err err = noise_split(&s->hs, &s->send, &s->receive);
    if (err != ERR_OK)
        return err;
    s->established = true;
    s->config.identity = NULL;
    s->config.expected = NULL;
    return ERR_OK;
}

static enum err take_handshake_message(struct noise_session *s, struct span message, struct buf *out)
{
    struct buf payload;
    buf_init(&payload, NOISE_HANDSHAKE_FRAME_MAX, NULL);
    bool carries_identity = s->hs.step > 0;
    enum err err = noise_handshake_read(&s->hs, message, &payload);
    if (err == ERR_TRUNCATED)
        err = ERR_PROTOCOL;
    if (err == ERR_OK && carries_identity)
        err = take_payload(s, buf_span(&payload));
    if (err == ERR_OK && noise_handshake_is_my_turn(&s->hs))
        err = write_message(s, out);
    if (err == ERR_OK && noise_handshake_is_done(&s->hs))
        err = establish(s);
    buf_release(&payload);
    return err;
}

/* frame is whole, with its length in front. */
static enum err take_frame(struct noise_session *s, uint8_t *frame, size_t len, struct buf *out, struct span *ret_plain)
{
    uint8_t *message = frame + NOISE_LENGTH_BYTES;
    size_t message_len = len - NOISE_LENGTH_BYTES;
    if (!s->established)
        return take_handshake_message(s, span_of(message, message_len), out);
    enum err err = noise_cipher_open(&s->receive, message, message_len);
    if (err == ERR_OK)
        *ret_plain = span_of(message, message_len - NOISE_TAG_BYTES);
    return err == ERR_TRUNCATED ? ERR_PROTOCOL : err;
}

/* Bytes of the frame that begins at from: its length once two bytes of it are known. */
static size_t frame_bytes(const uint8_t *from)
{
    return NOISE_LENGTH_BYTES + ((size_t)from[0] << 8 | from[1]);
}

/* Keeps what has arrived of a frame that is cut; says in ret_whole whether it is complete now. */
static enum err keep(struct noise_session *s, const uint8_t *data, size_t len, size_t *ret_used, bool *ret_whole)
{
    struct buf *p = &s->partial;
    size_t used = 0;
    *ret_whole = false;
    while (used < len) {
        size_t need = p->len < NOISE_LENGTH_BYTES ? NOISE_LENGTH_BYTES : frame_bytes(p->data);
        size_t part = MIN(len - used, need - p->len);
        if (buf_reserve(p, need - p->len) == NULL)
            return ERR_NOMEM;
        memcpy(p->data + p->len, data + used, part);
        buf_commit(p, part);
        used += part;
        if (p->len < NOISE_LENGTH_BYTES)
            continue;
        if (frame_bytes(p->data) > p->max)
            return ERR_PROTOCOL; /* a handshake message beyond all reason */
        *ret_whole = p->len == frame_bytes(p->data);
        if (*ret_whole)
            break;
    }
    *ret_used = used;
    return ERR_OK;
}

/* The plaintext in the kept frame has been used: a resting connection keeps no buffer. Frames are larger once established. */
static void forget_spent(struct noise_session *s)
{
    if (s->partial_spent)
        buf_release(&s->partial);
    s->partial_spent = false;
    if (s->established && s->partial.len == 0 && s->partial.max < NOISE_MESSAGE_MAX) {
        buf_release(&s->partial);
        buf_init(&s->partial, NOISE_LENGTH_BYTES + NOISE_MESSAGE_MAX, NULL);
    }
}

enum err noise_session_feed(struct noise_session *s, uint8_t *data, size_t len, struct buf *out, size_t *ret_used,
                            struct span *ret_plain)
{
    *ret_plain = (struct span){0};
    *ret_used = 0;
    forget_spent(s);
    if (s->partial.len == 0 && len >= NOISE_LENGTH_BYTES && len >= frame_bytes(data) &&
        frame_bytes(data) <= s->partial.max) {
        *ret_used = frame_bytes(data);
        return take_frame(s, data, *ret_used, out, ret_plain);
    }
    bool whole;
    enum err err = keep(s, data, len, ret_used, &whole);
    if (err != ERR_OK || !whole)
        return err;
    s->partial_spent = true;
    return take_frame(s, s->partial.data, s->partial.len, out, ret_plain);
}

enum err noise_session_seal(struct noise_session *s, const struct iovec *plain, int count, uint8_t *to, size_t room,
                            size_t *ret_taken, size_t *ret_written)
{
    assert(s->established);
    *ret_taken = *ret_written = 0;
    if (room <= NOISE_FRAME_OVERHEAD)
        return ERR_OK;
    size_t most = MIN(room - NOISE_FRAME_OVERHEAD, (size_t)NOISE_PLAIN_MAX);
    struct iovec pieces[PIECES_MAX];
    size_t taken = 0;
    int n = 0;
    while (n < count && n < PIECES_MAX && taken < most) {
        pieces[n] = plain[n];
        pieces[n].iov_len = MIN(plain[n].iov_len, most - taken);
        taken += pieces[n++].iov_len;
    }
    if (taken == 0)
        return ERR_OK;
    size_t message = taken + NOISE_TAG_BYTES;
    to[0] = (uint8_t)(message >> 8);
    to[1] = (uint8_t)message;
    enum err err = noise_cipher_seal(&s->send, pieces, n, to + NOISE_LENGTH_BYTES);
    if (err != ERR_OK)
        return err;
    *ret_taken = taken;
    *ret_written = NOISE_LENGTH_BYTES + message;
    return ERR_OK;
}
