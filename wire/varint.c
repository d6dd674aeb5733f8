/* SPDX-License-Identifier: MIT */
#include "wire/varint.h"

#include <assert.h>

size_t varint_size(uint64_t value)
{
    size_t n = 1;
    while (value >>= 7)
        n++;
    return n;
}

size_t varint_encode(uint64_t value, uint8_t to[VARINT_BYTES_MAX])
{
    assert(value <= VARINT_VALUE_MAX);
    size_t n = 0;
    while (value >= 0x80) {
        to[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    to[n++] = (uint8_t)value;
    return n;
}

enum err varint_append(struct buf *out, uint64_t value)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    return buf_append(out, bytes, varint_encode(value, bytes));
}

enum err varint_decode(struct span *in, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (size_t i = 0; i < VARINT_BYTES_MAX; i++) {
        if (i == in->len)
            return ERR_TRUNCATED;
        uint8_t byte = in->data[i];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        if (byte == 0 && i > 0)
            return ERR_INVALID;
        *in = span_skip(*in, i + 1);
        *ret_value = value;
        return ERR_OK;
    }
    return ERR_INVALID;
}
