/* SPDX-License-Identifier: MIT */
/* A multihash, and what follows it as the data that it may be the hash of. */
#include <stdlib.h>
#include <string.h>

#include "wire/multihash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size);
    struct multihash hash;
    struct multihash again;
    uint8_t bytes[MULTIHASH_BYTES_MAX];
    char name[MULTIHASH_NAME_MAX];
    if (multihash_decode(&in, &hash) != ERR_OK)
        return 0;
    size_t len = multihash_encode(&hash, bytes);
    if (len != size - in.len || memcmp(bytes, data, len) != 0)
        abort();
    if (multihash_parse(span_of(data, len), &again) != ERR_OK || !multihash_equal(&hash, &again))
        abort();
    if (multihash_verify(&hash, in) == ERR_OK && multihash_allowed(&hash) != ERR_OK)
        abort();
    uint32_t code;
    if (multihash_name(hash.code, name) && (multihash_code_of(name, &code) != ERR_OK || code != hash.code))
        abort();
    if (multihash_sum(hash.code, hash.len, in, &again) == ERR_OK && multihash_verify(&again, in) != ERR_OK)
        abort();
    return 0;
}
