/* SPDX-License-Identifier: MIT */
/* A row of varints: what is read by the strict rule encodes to the same bytes, and the lax rule of protobuf reads it alike. */
#include <stdlib.h>
#include <string.h>

#include "wire/protobuf.h"
#include "wire/varint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (struct span in = span_of(data, size); in.len > 0;) {
        struct span strict = in;
        struct span lax = in;
        uint64_t value = 0;
        uint64_t same = 0;
        uint8_t bytes[VARINT_BYTES_MAX];
        enum err err = protobuf_varint(&lax, &same);
        if (varint_decode(&strict, &value) == ERR_OK) {
            size_t len = varint_encode(value, bytes);
            if (len != in.len - strict.len || len != varint_size(value) || memcmp(bytes, in.data, len) != 0)
                abort();
            if (err != ERR_OK || value != same || lax.len != strict.len)
                abort();
        }
        in = span_skip(in, err == ERR_OK ? in.len - lax.len : 1);
    }
    return 0;
}
