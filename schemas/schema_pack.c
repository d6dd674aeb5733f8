/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <msgpack.h>

#include "schemas/schema.h"
#include "schemas/schema_value.h"
#include "schemas/walk.h"

struct sink {
    struct buf *to;
    enum err err;
};

static int sink_write(void *data, const char *bytes, size_t len)
{
    struct sink *sink = data;
    if (sink->err == ERR_OK)
        sink->err = buf_append(sink->to, bytes, len);
    return sink->err == ERR_OK ? 0 : -1;
}

static const void *member(const void *fields, const struct field *f)
{
    return (const uint8_t *)fields + f->offset;
}

static bool is_zero(const struct field *f, const void *at)
{
    switch (f->type) {
    case FIELD_BOOL:
        return !*(const bool *)at;
    case FIELD_U64:
        return *(const uint64_t *)at == 0;
    case FIELD_I64:
        return *(const int64_t *)at == 0;
    case FIELD_F64:
        return fpclassify(*(const double *)at) == FP_ZERO;
    case FIELD_TEXT:
    case FIELD_BYTES:
    case FIELD_MAP:
        return ((const struct span *)at)->len == 0;
    case FIELD_LIST:
        return ((const struct schema_list *)at)->count == 0;
    }
    return false;
}

bool schema_in_range(const struct field *f, const void *at)
{
    switch (f->type) {
    case FIELD_BOOL:
    case FIELD_MAP:
        return true;
    case FIELD_U64:
        return *(const uint64_t *)at >= f->min && *(const uint64_t *)at <= f->max;
    case FIELD_I64:
        return *(const int64_t *)at >= (int64_t)f->min && *(const int64_t *)at <= (int64_t)f->max;
    case FIELD_F64:
        return isfinite(*(const double *)at);
    case FIELD_TEXT:
    case FIELD_BYTES:
        return ((const struct span *)at)->len >= f->min && ((const struct span *)at)->len <= f->max;
    case FIELD_LIST:
        return ((const struct schema_list *)at)->count >= f->min && ((const struct schema_list *)at)->count <= f->max;
    }
    return false;
}

static void pack_text(msgpack_packer *packer, struct span text)
{
    msgpack_pack_str(packer, text.len);
    msgpack_pack_str_body(packer, text.data, text.len);
}

static void pack_bytes(msgpack_packer *packer, struct span bytes)
{
    msgpack_pack_bin(packer, bytes.len);
    msgpack_pack_bin_body(packer, bytes.data, bytes.len);
}

static void pack_value(msgpack_packer *packer, const struct field *f, const void *at)
{
    switch (f->type) {
    case FIELD_BOOL:
        *(const bool *)at ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
        break;
    case FIELD_U64:
        msgpack_pack_uint64(packer, *(const uint64_t *)at);
        break;
    case FIELD_I64:
        msgpack_pack_int64(packer, *(const int64_t *)at);
        break;
    case FIELD_F64:
        msgpack_pack_double(packer, *(const double *)at);
        break;
    case FIELD_TEXT:
        pack_text(packer, *(const struct span *)at);
        break;
    case FIELD_BYTES:
        pack_bytes(packer, *(const struct span *)at);
        break;
    case FIELD_LIST: {
        const struct schema_list *list = at;
        msgpack_pack_array(packer, list->count);
        (void)sink_write(packer->data, (const char *)list->raw.data, list->raw.len);
        break;
    }
    case FIELD_MAP: /* packed by its owner already */
        (void)sink_write(packer->data, (const char *)((const struct span *)at)->data, ((const struct span *)at)->len);
        break;
    }
}

static bool is_absent(const struct field *f, const void *at)
{
    return !f->required && is_zero(f, at);
}

static enum err check_values(const struct schema *s, const void *fields, size_t *ret_present)
{
    size_t present = 0;
    for (size_t i = 0; i < s->field_count; i++) {
        const struct field *f = &s->fields[i];
        const void *at = member(fields, f);
        if (is_absent(f, at))
            continue;
        if (!schema_in_range(f, at))
            return ERR_INVALID;
        if (f->type == FIELD_TEXT && !utf8_valid(*(const struct span *)at))
            return ERR_INVALID;
        present++;
    }
    *ret_present = present;
    return ERR_OK;
}

enum err schema_pack(const struct schema *s, enum schema_form form, const void *fields, struct buf *to)
{
    size_t present = 0;
    enum err err = check_values(s, fields, &present);
    if (err != ERR_OK)
        return err;
    struct sink sink = {.to = to};
    size_t start = to->len;
    msgpack_packer packer;
    msgpack_packer_init(&packer, &sink, sink_write);
    if (form == SCHEMA_ARRAY)
        msgpack_pack_array(&packer, s->field_count);
    else
        msgpack_pack_map(&packer, present);
    for (size_t i = 0; i < s->field_count; i++) {
        const struct field *f = &s->fields[i];
        const void *at = member(fields, f);
        bool absent = is_absent(f, at);
        if (form == SCHEMA_MAP && absent)
            continue;
        if (form == SCHEMA_MAP)
            pack_text(&packer, span_text(f->name));
        if (absent)
            msgpack_pack_nil(&packer);
        else
            pack_value(&packer, f, at);
    }
    if (sink.err != ERR_OK)
        to->len = start;
    return sink.err;
}

/* ---- lists ---- */

static enum err add_with(struct buf *to, void (*pack)(msgpack_packer *, struct span), struct span item)
{
    struct sink sink = {.to = to};
    size_t start = to->len;
    msgpack_packer packer;
    msgpack_packer_init(&packer, &sink, sink_write);
    pack(&packer, item);
    if (sink.err != ERR_OK)
        to->len = start;
    return sink.err;
}

enum err schema_list_add_bytes(struct buf *to, struct span item)
{
    return add_with(to, pack_bytes, item);
}

enum err schema_list_add_text(struct buf *to, struct span item)
{
    return utf8_valid(item) ? add_with(to, pack_text, item) : ERR_INVALID;
}

enum err schema_list_add_u64(struct buf *to, uint64_t item)
{
    struct sink sink = {.to = to};
    msgpack_packer packer;
    msgpack_packer_init(&packer, &sink, sink_write);
    msgpack_pack_uint64(&packer, item);
    return sink.err;
}

enum err schema_list_add_map(struct buf *to, const struct schema *item, const void *fields)
{
    return schema_pack(item, SCHEMA_MAP, fields, to);
}
