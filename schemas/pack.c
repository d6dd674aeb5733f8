/* SPDX-License-Identifier: MIT */
#include "schemas/pack.h"

#include <msgpack.h>

#include "schemas/walk.h"

static int write_bytes(void *data, const char *bytes, size_t len)
{
    struct pack *p = data;
    if (p->err == ERR_OK)
        p->err = buf_append(p->to, bytes, len);
    return p->err == ERR_OK ? 0 : -1;
}

static msgpack_packer packer_of(struct pack *p)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, p, write_bytes);
    return packer;
}

struct pack pack_begin(struct buf *to)
{
    return (struct pack){.to = to, .start = to->len, .err = ERR_OK};
}

enum err pack_end(struct pack *p)
{
    if (p->err != ERR_OK)
        p->to->len = p->start;
    return p->err;
}

void pack_map(struct pack *p, uint32_t pairs)
{
    msgpack_packer packer = packer_of(p);
    msgpack_pack_map(&packer, pairs);
}

void pack_array(struct pack *p, uint32_t values)
{
    msgpack_packer packer = packer_of(p);
    msgpack_pack_array(&packer, values);
}

void pack_nil(struct pack *p)
{
    msgpack_packer packer = packer_of(p);
    msgpack_pack_nil(&packer);
}

void pack_bool(struct pack *p, bool value)
{
    msgpack_packer packer = packer_of(p);
    value ? msgpack_pack_true(&packer) : msgpack_pack_false(&packer);
}

void pack_u64(struct pack *p, uint64_t value)
{
    msgpack_packer packer = packer_of(p);
    msgpack_pack_uint64(&packer, value);
}

void pack_i64(struct pack *p, int64_t value)
{
    msgpack_packer packer = packer_of(p);
    msgpack_pack_int64(&packer, value);
}

void pack_f64(struct pack *p, double value)
{
    msgpack_packer packer = packer_of(p);
    msgpack_pack_double(&packer, value);
}

void pack_text(struct pack *p, const char *text)
{
    pack_span(p, span_text(text));
}

void pack_span(struct pack *p, struct span text)
{
    msgpack_packer packer = packer_of(p);
    msgpack_pack_str(&packer, text.len);
    if (utf8_valid(text)) {
        msgpack_pack_str_body(&packer, text.data, text.len);
        return;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = (char)(text.data[i] < 0x80 ? text.data[i] : '?');
        (void)write_bytes(p, &c, 1);
    }
}

void pack_bytes(struct pack *p, struct span bytes)
{
    msgpack_packer packer = packer_of(p);
    msgpack_pack_bin(&packer, bytes.len);
    msgpack_pack_bin_body(&packer, bytes.data, bytes.len);
}

void pack_raw(struct pack *p, struct span packed)
{
    (void)write_bytes(p, (const char *)packed.data, packed.len);
}

void pack_pair_bool(struct pack *p, const char *key, bool value)
{
    pack_text(p, key);
    pack_bool(p, value);
}

void pack_pair_u64(struct pack *p, const char *key, uint64_t value)
{
    pack_text(p, key);
    pack_u64(p, value);
}

void pack_pair_text(struct pack *p, const char *key, const char *text)
{
    pack_text(p, key);
    pack_text(p, text);
}

void pack_pair_span(struct pack *p, const char *key, struct span text)
{
    pack_text(p, key);
    pack_span(p, text);
}

static size_t open_with(struct pack *p, char type)
{
    size_t where = p->to->len;
    char header[5] = {type, 0, 0, 0, 0};
    (void)write_bytes(p, header, sizeof(header));
    return where;
}

size_t pack_array_open(struct pack *p)
{
    return open_with(p, (char)0xdd);
}

size_t pack_map_open(struct pack *p)
{
    return open_with(p, (char)0xdf);
}

void pack_count(struct pack *p, size_t where, uint32_t count)
{
    if (p->err != ERR_OK)
        return;
    for (size_t i = 0; i < 4; i++)
        p->to->data[where + 1 + i] = (uint8_t)(count >> (24 - 8 * i));
}
