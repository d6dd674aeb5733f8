/* SPDX-License-Identifier: MIT */
#include "schemas/arguments.h"

#include <stdio.h>
#include <stdlib.h>

#include "schemas/json.h"
#include "schemas/pack.h"
#include "schemas/walk.h"

static void set_fallback(const struct field *f, const char *text, void *at)
{
    switch (f->type) {
    case FIELD_BOOL:
        *(bool *)at = text[0] == 't';
        break;
    case FIELD_U64:
        *(uint64_t *)at = strtoull(text, NULL, 10); /* a constant of the declaration */
        break;
    case FIELD_TEXT:
        *(struct span *)at = span_text(text);
        break;
    case FIELD_I64:
    case FIELD_F64:
    case FIELD_BYTES:
    case FIELD_LIST:
    case FIELD_MAP:
        break;
    }
}

static const struct field *field_named(const struct schema *s, struct span name)
{
    for (size_t i = 0; i < s->field_count; i++) {
        if (span_equal_text(name, s->fields[i].name))
            return &s->fields[i];
    }
    return NULL;
}

static bool is_bytes(const struct field *f)
{
    return f->type == FIELD_BYTES || (f->type == FIELD_LIST && f->item == FIELD_BYTES);
}

static bool has_bytes(const struct schema *s)
{
    for (size_t i = 0; i < s->field_count; i++) {
        if (is_bytes(&s->fields[i]))
            return true;
    }
    return false;
}

/* Copies a value, each text in it decoded: a text, or a list of them. */
static enum err copy_decoded(struct span raw, struct pack *p)
{
    struct walk walk = {.left = raw};
    struct walk_token token;
    enum err err = walk_next(&walk, &token);
    if (err == ERR_OK && token.type == WALK_TEXT)
        return json_pack_bytes(token.bytes, p);
    if (err != ERR_OK || token.type != WALK_ARRAY) {
        pack_raw(p, raw);
        return err;
    }
    pack_array(p, token.count);
    for (uint32_t i = token.count; i > 0 && err == ERR_OK; i--) {
        struct span item;
        err = walk_skip(&walk, &item);
        struct walk item_walk = {.left = item};
        if (err == ERR_OK)
            err = walk_next(&item_walk, &token);
        if (err == ERR_OK && token.type == WALK_TEXT)
            err = json_pack_bytes(token.bytes, p);
        else if (err == ERR_OK)
            pack_raw(p, item);
    }
    return err;
}

/* Copies one pair, its value decoded when it is text where bytes are declared. */
static enum err copy_pair(const struct schema *s, struct walk *walk, struct pack *p)
{
    struct span key_raw;
    struct span value_raw;
    struct walk key_walk = {.left = walk->left};
    struct walk_token key;
    enum err err = walk_next(&key_walk, &key);
    if (err == ERR_OK)
        err = walk_skip(walk, &key_raw);
    if (err == ERR_OK)
        err = walk_skip(walk, &value_raw);
    if (err != ERR_OK)
        return err;
    pack_raw(p, key_raw);
    const struct field *f = key.type == WALK_TEXT ? field_named(s, key.bytes) : NULL;
    if (f != NULL && is_bytes(f))
        return copy_decoded(value_raw, p);
    pack_raw(p, value_raw);
    return ERR_OK;
}

static enum err decode_bytes(const struct operation *op, struct span from, struct buf *scratch)
{
    struct walk walk = {.left = from};
    struct walk_token map;
    enum err err = walk_next(&walk, &map);
    if (err != ERR_OK)
        return err;
    if (map.type != WALK_MAP)
        return ERR_INVALID;
    struct pack p = pack_begin(scratch);
    pack_map(&p, map.count);
    for (uint32_t i = 0; i < map.count && err == ERR_OK; i++)
        err = copy_pair(&op->args, &walk, &p);
    enum err written = pack_end(&p);
    return err != ERR_OK ? err : written;
}

enum err arguments_unpack(const struct operation *op, struct span from, struct buf *scratch, void *ret_args,
                          char *ret_why, size_t why_bytes)
{
    static const uint8_t empty_map = 0x80;
    memset(ret_args, 0, op->args.struct_bytes);
    for (size_t i = 0; i < op->args.field_count; i++) {
        if (op->arguments[i].fallback != NULL)
            set_fallback(&op->args.fields[i], op->arguments[i].fallback,
                         (uint8_t *)ret_args + op->args.fields[i].offset);
    }
    if (from.len == 0)
        from = span_of(&empty_map, 1);
    if (has_bytes(&op->args)) {
        buf_clear(scratch);
        enum err err = decode_bytes(op, from, scratch);
        if (err != ERR_OK) {
            (void)snprintf(ret_why, why_bytes, "%s: bytes in text must be multibase base64url", op->words);
            return err;
        }
        from = buf_span(scratch);
    }
    return schema_unpack_over(&op->args, SCHEMA_MAP, from, ret_args, ret_why, why_bytes);
}
