/* SPDX-License-Identifier: MIT */
#include "wire/protobuf.h"

#include "base/le.h"

enum err protobuf_varint(struct span *in, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (size_t i = 0; i < PROTOBUF_VARINT_MAX; i++) {
        if (i == in->len)
            return ERR_TRUNCATED;
        uint8_t byte = in->data[i];
        if (i == PROTOBUF_VARINT_MAX - 1 && byte > 1)
            return ERR_INVALID;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        *in = span_skip(*in, i + 1);
        *ret_value = value;
        return ERR_OK;
    }
    return ERR_INVALID;
}

static enum err take_fixed(struct span *in, size_t bytes, uint64_t *ret_value)
{
    if (in->len < bytes)
        return ERR_TRUNCATED;
    *ret_value = le_get(in->data, bytes);
    *in = span_skip(*in, bytes);
    return ERR_OK;
}

static enum err take_bytes(struct span *in, struct span *ret_bytes)
{
    uint64_t len = 0;
    enum err err = protobuf_varint(in, &len);
    if (err != ERR_OK)
        return err;
    if (len > in->len)
        return ERR_TRUNCATED;
    *ret_bytes = span_first(*in, (size_t)len);
    *in = span_skip(*in, (size_t)len);
    return ERR_OK;
}

static enum err take_value(struct span *in, struct protobuf_field *field)
{
    switch (field->type) {
    case PROTOBUF_VARINT:
        return protobuf_varint(in, &field->value);
    case PROTOBUF_FIXED64:
        return take_fixed(in, 8, &field->value);
    case PROTOBUF_BYTES:
        return take_bytes(in, &field->bytes);
    case PROTOBUF_FIXED32:
        return take_fixed(in, 4, &field->value);
    }
    return ERR_INVALID; /* groups, and the types that do not exist */
}

enum err protobuf_next(struct span *in, struct protobuf_field *ret_field)
{
    struct span rest = *in;
    uint64_t key = 0;
    enum err err = protobuf_varint(&rest, &key);
    if (err != ERR_OK)
        return err;
    if (key >> 3 == 0 || key >> 3 > PROTOBUF_NUMBER_MAX)
        return ERR_INVALID;
    struct protobuf_field field = {.number = (uint32_t)(key >> 3), .type = (enum protobuf_type)(key & 7)};
    err = take_value(&rest, &field);
    if (err != ERR_OK)
        return err;
    *in = rest;
    *ret_field = field;
    return ERR_OK;
}

static size_t varint_put(uint64_t value, uint8_t to[PROTOBUF_VARINT_MAX])
{
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        to[n++] = (uint8_t)(value | 0x80);
    to[n++] = (uint8_t)value;
    return n;
}

static enum err put_pair(struct buf *out, uint32_t number, enum protobuf_type type, uint64_t value)
{
    uint8_t bytes[2 * PROTOBUF_VARINT_MAX];
    size_t n = varint_put((uint64_t)number << 3 | (uint64_t)type, bytes);
    n += varint_put(value, bytes + n);
    return buf_append(out, bytes, n);
}

enum err protobuf_put_varint(struct buf *out, uint32_t number, uint64_t value)
{
    return put_pair(out, number, PROTOBUF_VARINT, value);
}

enum err protobuf_put_header(struct buf *out, uint32_t number, uint64_t len)
{
    return put_pair(out, number, PROTOBUF_BYTES, len);
}

enum err protobuf_put_bytes(struct buf *out, uint32_t number, struct span bytes)
{
    size_t before = out->len;
    enum err err = protobuf_put_header(out, number, bytes.len);
    if (err != ERR_OK)
        return err;
    err = buf_append_span(out, bytes);
    if (err != ERR_OK)
        out->len = before;
    return err;
}

enum err protobuf_put_text(struct buf *out, uint32_t number, const char *text)
{
    return protobuf_put_bytes(out, number, span_text(text));
}

static size_t varint_len(uint64_t value)
{
    uint8_t bytes[PROTOBUF_VARINT_MAX];
    return varint_put(value, bytes);
}

size_t protobuf_size_varint(uint32_t number, uint64_t value)
{
    return varint_len((uint64_t)number << 3) + varint_len(value);
}

size_t protobuf_size_bytes(uint32_t number, size_t len)
{
    return protobuf_size_varint(number, len) + len;
}
