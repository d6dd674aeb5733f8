/* SPDX-License-Identifier: MIT */
#include "wire/envelope.h"

#include "wire/protobuf.h"
#include "wire/varint.h"

enum { FIELD_PUBLIC_KEY = 1, FIELD_PAYLOAD_TYPE = 2, FIELD_PAYLOAD = 3, FIELD_SIGNATURE = 5 };

enum err envelope_parse(struct span bytes, struct envelope *ret_envelope)
{
    struct envelope e = {0};
    if (bytes.len > ENVELOPE_BYTES_MAX)
        return ERR_TOO_LARGE;
    while (bytes.len > 0) {
        struct protobuf_field field;
        enum err err = protobuf_next(&bytes, &field);
        if (err != ERR_OK)
            return err;
        if (protobuf_is(&field, FIELD_PUBLIC_KEY, PROTOBUF_BYTES))
            e.public_key = field.bytes;
        else if (protobuf_is(&field, FIELD_PAYLOAD_TYPE, PROTOBUF_BYTES))
            e.payload_type = field.bytes;
        else if (protobuf_is(&field, FIELD_PAYLOAD, PROTOBUF_BYTES))
            e.payload = field.bytes;
        else if (protobuf_is(&field, FIELD_SIGNATURE, PROTOBUF_BYTES))
            e.signature = field.bytes;
    }
    if (e.public_key.len == 0 || e.payload_type.len == 0 || e.payload.len == 0 || e.signature.len == 0)
        return ERR_INVALID;
    *ret_envelope = e;
    return ERR_OK;
}

static enum err append_prefixed(struct buf *out, struct span part)
{
    enum err err = varint_append(out, part.len);
    return err != ERR_OK ? err : buf_append_span(out, part);
}

/* What is signed; the caller releases the buffer. */
static enum err signed_bytes(const char *domain, struct span type, struct span payload, struct buf *out)
{
    buf_init(out, 3 * VARINT_BYTES_MAX + strlen(domain) + type.len + payload.len, NULL);
    enum err err = append_prefixed(out, span_text(domain));
    if (err == ERR_OK)
        err = append_prefixed(out, type);
    if (err == ERR_OK)
        err = append_prefixed(out, payload);
    return err;
}

enum err envelope_verify(const struct envelope *envelope, const char *domain, struct span payload_type)
{
    CLEANUP(buf_release) struct buf message = {0};
    if (!span_equal(envelope->payload_type, payload_type))
        return ERR_MISMATCH;
    enum err err = signed_bytes(domain, envelope->payload_type, envelope->payload, &message);
    if (err != ERR_OK)
        return err;
    return public_key_verify(envelope->public_key, buf_span(&message), envelope->signature);
}

enum err envelope_seal(const struct key_pair *pair, const char *domain, struct span payload_type, struct span payload,
                       struct buf *out)
{
    CLEANUP(buf_release) struct buf message = {0};
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    enum err err = signed_bytes(domain, payload_type, payload, &message);
    if (err != ERR_OK)
        return err;
    key_pair_sign(pair, buf_span(&message), signature);
    err = protobuf_put_bytes(out, FIELD_PUBLIC_KEY, key_pair_public(pair));
    if (err == ERR_OK)
        err = protobuf_put_bytes(out, FIELD_PAYLOAD_TYPE, payload_type);
    if (err == ERR_OK)
        err = protobuf_put_bytes(out, FIELD_PAYLOAD, payload);
    if (err == ERR_OK)
        err = protobuf_put_bytes(out, FIELD_SIGNATURE, span_of(signature, sizeof(signature)));
    return err;
}
