/* SPDX-License-Identifier: MIT */
#include <math.h>

#include "schemas/pack.h"
#include "schemas/schema.h"
#include "schemas/schema_value.h"
#include "schemas/walk.h"

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

void schema_pack_value(struct pack *p, const struct field *f, const void *at)
{
    switch (f->type) {
    case FIELD_BOOL:
        pack_bool(p, *(const bool *)at);
        break;
    case FIELD_U64:
        pack_u64(p, *(const uint64_t *)at);
        break;
    case FIELD_I64:
        pack_i64(p, *(const int64_t *)at);
        break;
    case FIELD_F64:
        pack_f64(p, *(const double *)at);
        break;
    case FIELD_TEXT:
        pack_span(p, *(const struct span *)at);
        break;
    case FIELD_BYTES:
        pack_bytes(p, *(const struct span *)at);
        break;
    case FIELD_LIST:
        pack_array(p, ((const struct schema_list *)at)->count);
        pack_raw(p, ((const struct schema_list *)at)->raw);
        break;
    case FIELD_MAP: /* packed by its owner already */
        pack_raw(p, *(const struct span *)at);
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
    struct pack p = pack_begin(to);
    if (form == SCHEMA_ARRAY)
        pack_array(&p, (uint32_t)s->field_count);
    else
        pack_map(&p, (uint32_t)present);
    for (size_t i = 0; i < s->field_count; i++) {
        const struct field *f = &s->fields[i];
        const void *at = member(fields, f);
        bool absent = is_absent(f, at);
        if (form == SCHEMA_MAP && absent)
            continue;
        if (form == SCHEMA_MAP)
            pack_text(&p, f->name);
        if (absent)
            pack_nil(&p);
        else
            schema_pack_value(&p, f, at);
    }
    return pack_end(&p);
}

/* ---- lists ---- */

enum err schema_list_add_bytes(struct buf *to, struct span item)
{
    struct pack p = pack_begin(to);
    pack_bytes(&p, item);
    return pack_end(&p);
}

enum err schema_list_add_text(struct buf *to, struct span item)
{
    if (!utf8_valid(item))
        return ERR_INVALID;
    struct pack p = pack_begin(to);
    pack_span(&p, item);
    return pack_end(&p);
}

enum err schema_list_add_u64(struct buf *to, uint64_t item)
{
    struct pack p = pack_begin(to);
    pack_u64(&p, item);
    return pack_end(&p);
}

enum err schema_list_add_map(struct buf *to, const struct schema *item, const void *fields)
{
    return schema_pack(item, SCHEMA_MAP, fields, to);
}
