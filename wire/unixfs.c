/* SPDX-License-Identifier: MIT */
#include "wire/unixfs.h"

#include <assert.h>
#include <string.h>

#include "base/le.h"

/* Protobuf's own varint: up to ten bytes, any length accepted on read. */
enum { PB_VARINT_BYTES_MAX = 10, PB_TYPE_VARINT = 0, PB_TYPE_FIXED64 = 1, PB_TYPE_BYTES = 2, PB_TYPE_FIXED32 = 5 };
enum { PB_FIELD_MAX = (1 << 29) - 1, NANOS_PER_SECOND = 1000000000 };

enum field {
    FIELD_TYPE = 1,
    FIELD_DATA,
    FIELD_FILESIZE,
    FIELD_BLOCKSIZES,
    FIELD_HASH_TYPE,
    FIELD_FANOUT,
    FIELD_MODE,
    FIELD_MTIME,
};

enum mtime_field { MTIME_SECONDS = 1, MTIME_NANOS };

struct pb_field {
    uint32_t number;
    unsigned type;
    uint64_t value;    /* varint and fixed types */
    struct span bytes; /* type bytes */
};

static enum err take_varint(struct span *in, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (size_t i = 0; i < PB_VARINT_BYTES_MAX; i++) {
        if (i == in->len)
            return ERR_TRUNCATED;
        uint8_t byte = in->data[i];
        if (i == PB_VARINT_BYTES_MAX - 1 && byte > 1)
            return ERR_INVALID;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *in = span_skip(*in, i + 1);
            *ret_value = value;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

static enum err take_fixed(struct span *in, size_t len, uint64_t *ret_value)
{
    if (in->len < len)
        return ERR_TRUNCATED;
    *ret_value = le_get(in->data, len);
    *in = span_skip(*in, len);
    return ERR_OK;
}

static enum err take_field(struct span *in, struct pb_field *ret_field)
{
    uint64_t tag;
    enum err err = take_varint(in, &tag);
    if (err != ERR_OK)
        return err;
    if (tag >> 3 == 0 || tag >> 3 > PB_FIELD_MAX)
        return ERR_INVALID;
    *ret_field = (struct pb_field){.number = (uint32_t)(tag >> 3), .type = (unsigned)(tag & 7)};
    switch (ret_field->type) {
    case PB_TYPE_VARINT:
        return take_varint(in, &ret_field->value);
    case PB_TYPE_FIXED64:
        return take_fixed(in, 8, &ret_field->value);
    case PB_TYPE_FIXED32:
        return take_fixed(in, 4, &ret_field->value);
    case PB_TYPE_BYTES:
        err = take_varint(in, &ret_field->value);
        if (err != ERR_OK)
            return err;
        if (ret_field->value > in->len)
            return ERR_TRUNCATED;
        ret_field->bytes = span_first(*in, (size_t)ret_field->value);
        *in = span_skip(*in, (size_t)ret_field->value);
        return ERR_OK;
    }
    return ERR_INVALID; /* groups */
}

static enum err decode_mtime(struct span in, struct unixfs_node *node)
{
    bool has_seconds = false;
    node->mtime_nanos = 0;
    while (in.len > 0) {
        struct pb_field field;
        enum err err = take_field(&in, &field);
        if (err != ERR_OK)
            return err;
        if (field.number == MTIME_SECONDS && field.type == PB_TYPE_VARINT) {
            node->mtime_seconds = (int64_t)field.value;
            has_seconds = true;
        } else if (field.number == MTIME_NANOS && field.type == PB_TYPE_FIXED32) {
            if (field.value >= NANOS_PER_SECOND)
                return ERR_INVALID;
            node->mtime_nanos = (uint32_t)field.value;
        } else if (field.number <= MTIME_NANOS) {
            return ERR_INVALID;
        }
    }
    node->has_mtime = true;
    return has_seconds ? ERR_OK : ERR_INVALID;
}

static enum err add_blocksize(struct unixfs_node *node, uint64_t size)
{
    if (size > INT64_MAX || node->blocksize_sum > INT64_MAX - size)
        return ERR_TOO_LARGE;
    node->blocksize_sum += size;
    node->blocksize_count++;
    return ERR_OK;
}

static enum err decode_blocksizes(const struct pb_field *field, struct unixfs_node *node)
{
    if (field->type == PB_TYPE_VARINT)
        return add_blocksize(node, field->value);
    if (field->type != PB_TYPE_BYTES)
        return ERR_INVALID;
    struct span packed = field->bytes;
    while (packed.len > 0) {
        uint64_t size;
        enum err err = take_varint(&packed, &size);
        if (err == ERR_OK)
            err = add_blocksize(node, size);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err apply_varint(const struct pb_field *field, struct unixfs_node *node, bool *has_type)
{
    if (field->type != PB_TYPE_VARINT)
        return ERR_INVALID;
    switch (field->number) {
    case FIELD_TYPE:
        if (field->value > UNIXFS_HAMT_SHARD)
            return ERR_INVALID;
        node->type = (enum unixfs_type)field->value;
        *has_type = true;
        break;
    case FIELD_FILESIZE:
        node->filesize = field->value;
        node->has_filesize = true;
        break;
    case FIELD_HASH_TYPE:
        node->hash_type = field->value;
        break;
    case FIELD_FANOUT:
        node->fanout = field->value;
        break;
    case FIELD_MODE:
        node->mode = (uint32_t)field->value;
        node->has_mode = true;
        break;
    }
    return ERR_OK;
}

static enum err apply_field(const struct pb_field *field, struct unixfs_node *node, bool *has_type)
{
    if (field->number == FIELD_BLOCKSIZES)
        return decode_blocksizes(field, node);
    if (field->number == FIELD_DATA || field->number == FIELD_MTIME) {
        if (field->type != PB_TYPE_BYTES)
            return ERR_INVALID;
        if (field->number == FIELD_MTIME)
            return decode_mtime(field->bytes, node);
        node->data = field->bytes;
        node->has_data = true;
        return ERR_OK;
    }
    return field->number > FIELD_MTIME ? ERR_OK : apply_varint(field, node, has_type);
}

enum err unixfs_decode(struct span data, struct unixfs_node *ret_node)
{
    struct unixfs_node node = {.blocksizes = data};
    bool has_type = false;
    struct span in = data;
    while (in.len > 0) {
        struct pb_field field;
        enum err err = take_field(&in, &field);
        if (err == ERR_OK)
            err = apply_field(&field, &node, &has_type);
        if (err != ERR_OK)
            return err;
    }
    if (!has_type)
        return ERR_INVALID;
    if (node.data.len > INT64_MAX - node.blocksize_sum)
        return ERR_TOO_LARGE;
    bool is_file = node.type == UNIXFS_FILE || node.type == UNIXFS_RAW;
    if (is_file && node.has_filesize && node.filesize != unixfs_content_size(&node))
        return ERR_MISMATCH;
    *ret_node = node;
    return ERR_OK;
}

uint64_t unixfs_content_size(const struct unixfs_node *node)
{
    return node->data.len + node->blocksize_sum;
}

bool unixfs_next_blocksize(struct unixfs_blocksizes *iter, uint64_t *ret_size)
{
    while (iter->packed.len == 0) {
        struct pb_field field;
        if (iter->rest.len == 0 || take_field(&iter->rest, &field) != ERR_OK)
            return false;
        if (field.number != FIELD_BLOCKSIZES)
            continue;
        if (field.type == PB_TYPE_VARINT) {
            *ret_size = field.value;
            return true;
        }
        iter->packed = field.bytes;
    }
    return take_varint(&iter->packed, ret_size) == ERR_OK;
}

static size_t varint_bytes(uint64_t value)
{
    size_t len = 1;
    for (; value >= 0x80; value >>= 7)
        len++;
    return len;
}

static uint8_t *put_varint(uint8_t *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *to++ = (uint8_t)(value | 0x80);
    *to++ = (uint8_t)value;
    return to;
}

static uint8_t *put_tagged(uint8_t *to, enum field field, uint64_t value)
{
    *to++ = (uint8_t)(field << 3 | PB_TYPE_VARINT);
    return put_varint(to, value);
}

static uint8_t *put_span(uint8_t *to, struct span bytes)
{
    if (bytes.len > 0)
        memcpy(to, bytes.data, bytes.len);
    return to + bytes.len;
}

static size_t mtime_size(const struct unixfs_node *node)
{
    return 1 + varint_bytes((uint64_t)node->mtime_seconds) + (node->mtime_nanos > 0 ? 5 : 0);
}

static uint8_t *put_mtime(uint8_t *to, const struct unixfs_node *node)
{
    *to++ = FIELD_MTIME << 3 | PB_TYPE_BYTES;
    to = put_varint(to, mtime_size(node));
    *to++ = MTIME_SECONDS << 3 | PB_TYPE_VARINT;
    to = put_varint(to, (uint64_t)node->mtime_seconds);
    if (node->mtime_nanos == 0)
        return to;
    *to++ = MTIME_NANOS << 3 | PB_TYPE_FIXED32;
    le_put(to, node->mtime_nanos, 4);
    return to + 4;
}

size_t unixfs_size(const struct unixfs_node *node)
{
    size_t size = 2;
    if (node->has_data)
        size += 1 + varint_bytes(node->data.len) + node->data.len;
    if (node->has_filesize)
        size += 1 + varint_bytes(node->filesize);
    size += node->blocksizes.len;
    if (node->type == UNIXFS_HAMT_SHARD)
        size += 2 + varint_bytes(node->hash_type) + varint_bytes(node->fanout);
    if (node->has_mode)
        size += 1 + varint_bytes(node->mode);
    if (node->has_mtime)
        size += 1 + varint_bytes(mtime_size(node)) + mtime_size(node);
    return size;
}

uint8_t *unixfs_put(uint8_t *to, const struct unixfs_node *node)
{
    to = put_tagged(to, FIELD_TYPE, (uint64_t)node->type);
    if (node->has_data) {
        *to++ = FIELD_DATA << 3 | PB_TYPE_BYTES;
        to = put_varint(to, node->data.len);
        to = put_span(to, node->data);
    }
    if (node->has_filesize)
        to = put_tagged(to, FIELD_FILESIZE, node->filesize);
    to = put_span(to, node->blocksizes);
    if (node->type == UNIXFS_HAMT_SHARD) {
        to = put_tagged(to, FIELD_HASH_TYPE, node->hash_type);
        to = put_tagged(to, FIELD_FANOUT, node->fanout);
    }
    if (node->has_mode)
        to = put_tagged(to, FIELD_MODE, node->mode);
    return node->has_mtime ? put_mtime(to, node) : to;
}

uint8_t *unixfs_put_leaf_head(uint8_t *to, size_t data_len)
{
    to = put_tagged(to, FIELD_TYPE, UNIXFS_FILE);
    *to++ = FIELD_DATA << 3 | PB_TYPE_BYTES;
    return put_varint(to, data_len);
}

uint8_t *unixfs_put_leaf_tail(uint8_t *to, size_t data_len)
{
    return put_tagged(to, FIELD_FILESIZE, data_len);
}

enum err unixfs_append_blocksize(struct buf *out, uint64_t size)
{
    uint8_t field[1 + PB_VARINT_BYTES_MAX];
    return buf_append(out, field, (size_t)(put_tagged(field, FIELD_BLOCKSIZES, size) - field));
}
