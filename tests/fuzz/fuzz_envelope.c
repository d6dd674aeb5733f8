/* SPDX-License-Identifier: MIT */
/* Envelopes as they come; and the input sealed by us opens, until any byte of its payload or its domain differs. */
#include <stdlib.h>

#include "wire/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct key_pair *own_key(void)
{
    static struct key_pair *pair;
    uint8_t seed[ED25519_SEED_BYTES] = {7};
    if (pair == NULL && key_pair_of_seed(seed, &pair) != ERR_OK)
        abort();
    return pair;
}

static void seal(struct span payload)
{
    struct span type = span_of("\3\1", 2);
    struct envelope e;
    struct buf out;
    buf_init(&out, ENVELOPE_BYTES_MAX, NULL);
    if (envelope_seal(own_key(), "a domain", type, payload, &out) != ERR_OK ||
        envelope_parse(buf_span(&out), &e) != ERR_OK)
        abort();
    if (envelope_verify(&e, "a domain", type) != ERR_OK || envelope_verify(&e, "another", type) != ERR_AUTH ||
        !span_equal(e.payload, payload))
        abort();
    out.data[out.len - ED25519_SIGNATURE_BYTES - 3] ^= 1; /* the last byte of the payload */
    if (envelope_verify(&e, "a domain", type) != ERR_AUTH)
        abort();
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope e;
    struct span in = span_of(data, size);
    if (envelope_parse(in, &e) == ERR_OK) {
        if (e.public_key.len + e.payload_type.len + e.payload.len + e.signature.len > size)
            abort();
        enum err err = envelope_verify(&e, "a domain", e.payload_type);
        (void)err;
    }
    if (size > 0 && size < ENVELOPE_BYTES_MAX / 2)
        seal(in);
    return 0;
}
