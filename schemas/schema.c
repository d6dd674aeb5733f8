/* SPDX-License-Identifier: MIT */
#include "schemas/schema.h"

#include <stdarg.h>
#include <stdio.h>

#include "schemas/schema_value.h"
#include "schemas/walk.h"

const struct schema *schema_find(const struct schema_set *set, uint16_t kind)
{
    size_t low = 0;
    size_t high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->schemas[middle].kind == kind)
            return &set->schemas[middle];
        if (set->schemas[middle].kind < kind)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* ---- unpacking ---- */

/* Where the sentence about a refusal goes. */
struct why {
    char *text;
    size_t size;
};

PRINTF_LIKE(3, 4) static enum err refuse(const struct why *why, enum err err, const char *fmt, ...)
{
    if (why->text != NULL && why->size > 0) {
        va_list args;
        va_start(args, fmt);
        (void)vsnprintf(why->text, why->size, fmt, args);
        va_end(args);
    }
    return err;
}

static const char *type_text(enum field_type type)
{
    switch (type) {
    case FIELD_BOOL:
        return "true or false";
    case FIELD_U64:
        return "a whole number, zero or more";
    case FIELD_I64:
        return "a whole number";
    case FIELD_F64:
        return "a number";
    case FIELD_TEXT:
        return "text";
    case FIELD_BYTES:
        return "bytes";
    case FIELD_LIST:
        return "a list";
    case FIELD_MAP:
        return "a map";
    }
    return "a value";
}

static bool token_is(enum field_type type, const struct walk_token *token)
{
    switch (type) {
    case FIELD_BOOL:
        return token->type == WALK_BOOL;
    case FIELD_U64:
        return token->type == WALK_U64;
    case FIELD_I64:
        return token->type == WALK_I64 || (token->type == WALK_U64 && token->u64 <= INT64_MAX);
    case FIELD_F64:
        return token->type == WALK_F64 || token->type == WALK_U64 || token->type == WALK_I64;
    case FIELD_TEXT:
        return token->type == WALK_TEXT;
    case FIELD_BYTES:
        return token->type == WALK_BYTES;
    case FIELD_LIST:
        return token->type == WALK_ARRAY;
    case FIELD_MAP:
        return token->type == WALK_MAP;
    }
    return false;
}

static enum err unpack(const struct schema *s, enum schema_form form, struct walk *walk, void *ret_fields,
                       const struct why *why);

/* Checks one item of a list; its value is read later by schema_list_next_*. */
static enum err check_item(const struct field *f, struct walk *walk, const struct why *why)
{
    if (f->item == FIELD_MAP) {
        uint64_t scratch[64] = {0};
        if (f->nested->struct_bytes > sizeof(scratch))
            return refuse(why, ERR_INTERNAL, "%s: its items are too large", f->name);
        return unpack(f->nested, SCHEMA_MAP, walk, scratch, why);
    }
    struct walk_token token;
    enum err err = walk_next(walk, &token);
    if (err != ERR_OK)
        return refuse(why, err, "%s: broken item", f->name);
    if (!token_is(f->item, &token))
        return refuse(why, ERR_INVALID, "%s: an item is not %s", f->name, type_text(f->item));
    if (token.bytes.len > f->item_max || token.u64 > f->item_max)
        return refuse(why, ERR_TOO_LARGE, "%s: an item is over its limit of %llu", f->name,
                      (unsigned long long)f->item_max);
    return ERR_OK;
}

static enum err unpack_list(const struct field *f, uint32_t count, struct walk *walk, void *at, const struct why *why)
{
    if (count < f->min || count > f->max)
        return refuse(why, count > f->max ? ERR_TOO_LARGE : ERR_INVALID, "%s: has %u items, %llu to %llu are allowed",
                      f->name, count, (unsigned long long)f->min, (unsigned long long)f->max);
    struct span start = walk->left;
    for (uint32_t i = 0; i < count; i++) {
        enum err err = check_item(f, walk, why);
        if (err != ERR_OK)
            return err;
    }
    *(struct schema_list *)at =
        (struct schema_list){.raw = span_first(start, start.len - walk->left.len), .count = count};
    return ERR_OK;
}

static void store_token(enum field_type type, const struct walk_token *token, void *at)
{
    switch (type) {
    case FIELD_BOOL:
        *(bool *)at = token->boolean;
        break;
    case FIELD_U64:
        *(uint64_t *)at = token->u64;
        break;
    case FIELD_I64:
        *(int64_t *)at = token->type == WALK_U64 ? (int64_t)token->u64 : token->i64;
        break;
    case FIELD_F64:
        *(double *)at = token->type == WALK_F64   ? token->f64
                        : token->type == WALK_U64 ? (double)token->u64
                                                  : (double)token->i64;
        break;
    case FIELD_TEXT:
    case FIELD_BYTES:
        *(struct span *)at = token->bytes;
        break;
    case FIELD_LIST:
    case FIELD_MAP:
        break;
    }
}

static enum err refuse_range(const struct field *f, const struct why *why)
{
    if (f->type == FIELD_TEXT || f->type == FIELD_BYTES)
        return refuse(why, ERR_TOO_LARGE, "%s: %llu to %llu bytes are allowed", f->name, (unsigned long long)f->min,
                      (unsigned long long)f->max);
    if (f->type == FIELD_I64)
        return refuse(why, ERR_INVALID, "%s: %lld to %lld is allowed", f->name, (long long)f->min, (long long)f->max);
    return refuse(why, ERR_INVALID, "%s: %llu to %llu is allowed", f->name, (unsigned long long)f->min,
                  (unsigned long long)f->max);
}

static enum err unpack_field(const struct field *f, struct walk *walk, void *fields, const struct why *why)
{
    struct span start = walk->left;
    struct walk_token token;
    enum err err = walk_next(walk, &token);
    if (err != ERR_OK)
        return refuse(why, err, "%s: %s", f->name, err_text(err));
    if (token.type == WALK_NIL) /* null means absent */
        return f->required ? refuse(why, ERR_INVALID, "%s: is missing", f->name) : ERR_OK;
    if (!token_is(f->type, &token))
        return refuse(why, ERR_INVALID, "%s: must be %s", f->name, type_text(f->type));
    void *at = (uint8_t *)fields + f->offset;
    if (f->type == FIELD_LIST)
        return unpack_list(f, token.count, walk, at, why);
    if (f->type == FIELD_MAP) {
        walk->left = start;
        return walk_skip(walk, at);
    }
    store_token(f->type, &token, at);
    return schema_in_range(f, at) ? ERR_OK : refuse_range(f, why);
}

static enum err unpack_array(const struct schema *s, uint32_t count, struct walk *walk, void *ret_fields,
                             const struct why *why)
{
    if (count != s->field_count)
        return refuse(why, ERR_INVALID, "%s: has %u fields, not %zu", s->name, count, s->field_count);
    for (size_t i = 0; i < s->field_count; i++) {
        enum err err = unpack_field(&s->fields[i], walk, ret_fields, why);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static size_t field_index(const struct schema *s, struct span name)
{
    size_t i = 0;
    while (i < s->field_count && !span_equal_text(name, s->fields[i].name))
        i++;
    return i;
}

static enum err unpack_pair(const struct schema *s, struct walk *walk, void *ret_fields, uint64_t *seen,
                            const struct why *why)
{
    struct walk_token key;
    enum err err = walk_next(walk, &key);
    if (err != ERR_OK)
        return refuse(why, err, "%s: broken field name", s->name);
    if (key.type != WALK_TEXT)
        return refuse(why, ERR_INVALID, "%s: a field name is not text", s->name);
    size_t i = field_index(s, key.bytes);
    if (i == s->field_count)
        return refuse(why, ERR_INVALID, "%s: no field is named %.*s", s->name, (int)MIN(key.bytes.len, (size_t)64),
                      (const char *)key.bytes.data);
    if ((*seen >> i & 1) != 0)
        return refuse(why, ERR_INVALID, "%s: is there twice", s->fields[i].name);
    *seen |= UINT64_C(1) << i;
    return unpack_field(&s->fields[i], walk, ret_fields, why);
}

static enum err unpack_map(const struct schema *s, uint32_t count, struct walk *walk, void *ret_fields,
                           const struct why *why)
{
    uint64_t seen = 0; /* one bit a field: tables have at most 24 */
    for (uint32_t i = 0; i < count; i++) {
        enum err err = unpack_pair(s, walk, ret_fields, &seen, why);
        if (err != ERR_OK)
            return err;
    }
    for (size_t i = 0; i < s->field_count; i++) {
        if (s->fields[i].required && (seen >> i & 1) == 0)
            return refuse(why, ERR_INVALID, "%s: is missing", s->fields[i].name);
    }
    return ERR_OK;
}

static enum err unpack(const struct schema *s, enum schema_form form, struct walk *walk, void *ret_fields,
                       const struct why *why)
{
    struct walk_token token;
    enum err err = walk_next(walk, &token);
    if (err != ERR_OK)
        return refuse(why, err, "%s: %s", s->name, err_text(err));
    if (token.type != (form == SCHEMA_MAP ? WALK_MAP : WALK_ARRAY))
        return refuse(why, ERR_INVALID, "%s: must be %s", s->name, form == SCHEMA_MAP ? "a map" : "an array");
    if (form == SCHEMA_MAP)
        return unpack_map(s, token.count, walk, ret_fields, why);
    return unpack_array(s, token.count, walk, ret_fields, why);
}

enum err schema_unpack_over(const struct schema *s, enum schema_form form, struct span from, void *fields,
                            char *ret_why, size_t why_bytes)
{
    struct why why = {.text = ret_why, .size = why_bytes};
    struct walk walk = {.left = from};
    enum err err = unpack(s, form, &walk, fields, &why);
    if (err == ERR_OK && walk.left.len > 0)
        return refuse(&why, ERR_INVALID, "%s: %zu bytes too many", s->name, walk.left.len);
    return err;
}

enum err schema_unpack(const struct schema *s, enum schema_form form, struct span from, void *ret_fields, char *ret_why,
                       size_t why_bytes)
{
    memset(ret_fields, 0, s->struct_bytes);
    return schema_unpack_over(s, form, from, ret_fields, ret_why, why_bytes);
}

/* ---- lists ---- */

static bool next_token(const struct schema_list *list, size_t *position, struct walk_token *ret_token)
{
    struct walk walk = {.left = span_skip(list->raw, *position)};
    if (walk.left.len == 0 || walk_next(&walk, ret_token) != ERR_OK)
        return false;
    *position = list->raw.len - walk.left.len;
    return true;
}

bool schema_list_next_bytes(const struct schema_list *list, size_t *position, struct span *ret_item)
{
    struct walk_token token;
    if (!next_token(list, position, &token) || (token.type != WALK_BYTES && token.type != WALK_TEXT))
        return false;
    *ret_item = token.bytes;
    return true;
}

bool schema_list_next_u64(const struct schema_list *list, size_t *position, uint64_t *ret_item)
{
    struct walk_token token;
    if (!next_token(list, position, &token) || token.type != WALK_U64)
        return false;
    *ret_item = token.u64;
    return true;
}

bool schema_list_next_map(const struct schema_list *list, const struct schema *item, size_t *position, void *ret_fields)
{
    struct walk walk = {.left = span_skip(list->raw, *position)};
    struct why why = {0};
    if (walk.left.len == 0)
        return false;
    memset(ret_fields, 0, item->struct_bytes);
    if (unpack(item, SCHEMA_MAP, &walk, ret_fields, &why) != ERR_OK)
        return false;
    *position = list->raw.len - walk.left.len;
    return true;
}
