/* SPDX-License-Identifier: MIT */
#include "schemas/walk.h"

static uint64_t big_endian(const uint8_t *from, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | from[i];
    return value;
}

static size_t utf8_sequence(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return 2;
    if (first >= 0xe0 && first <= 0xef)
        return 3;
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

/* The second byte's range excludes overlong forms, surrogates and values past U+10FFFF (Unicode 15, table 3-7). */
static bool second_byte_valid(uint8_t first, uint8_t second)
{
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    return second >= low && second <= high;
}

bool utf8_valid(struct span text)
{
    for (size_t i = 0; i < text.len;) {
        size_t bytes = utf8_sequence(text.data[i]);
        if (bytes == 0 || bytes > text.len - i)
            return false;
        if (bytes > 1 && !second_byte_valid(text.data[i], text.data[i + 1]))
            return false;
        for (size_t j = 2; j < bytes; j++) {
            if ((text.data[i + j] & 0xc0) != 0x80)
                return false;
        }
        i += bytes;
    }
    return true;
}

/* Reads the big-endian number of `bytes` bytes that follows the type byte. */
static enum err take_number(struct walk *walk, size_t bytes, uint64_t *ret_value)
{
    if (walk->left.len < bytes)
        return ERR_TRUNCATED;
    *ret_value = big_endian(walk->left.data, bytes);
    walk->left = span_skip(walk->left, bytes);
    return ERR_OK;
}

static enum err take_bytes(struct walk *walk, enum walk_type type, uint64_t len, struct walk_token *ret_token)
{
    if (len > walk->left.len)
        return ERR_TRUNCATED;
    struct span bytes = span_first(walk->left, (size_t)len);
    if (type == WALK_TEXT && !utf8_valid(bytes))
        return ERR_INVALID;
    walk->left = span_skip(walk->left, bytes.len);
    *ret_token = (struct walk_token){.type = type, .bytes = bytes};
    return ERR_OK;
}

static enum err take_sized_bytes(struct walk *walk, enum walk_type type, size_t size_bytes,
                                 struct walk_token *ret_token)
{
    uint64_t len = 0;
    enum err err = take_number(walk, size_bytes, &len);
    return err == ERR_OK ? take_bytes(walk, type, len, ret_token) : err;
}

/* A count is believed only when each value can still have its one byte at least. */
static enum err take_count(struct walk *walk, enum walk_type type, uint64_t count, struct walk_token *ret_token)
{
    uint64_t values = type == WALK_MAP ? count * 2 : count;
    if (values > walk->left.len)
        return ERR_TRUNCATED;
    *ret_token = (struct walk_token){.type = type, .count = (uint32_t)count};
    return ERR_OK;
}

static enum err take_sized_count(struct walk *walk, enum walk_type type, size_t size_bytes,
                                 struct walk_token *ret_token)
{
    uint64_t count = 0;
    enum err err = take_number(walk, size_bytes, &count);
    return err == ERR_OK ? take_count(walk, type, count, ret_token) : err;
}

static enum err take_unsigned(struct walk *walk, size_t bytes, struct walk_token *ret_token)
{
    uint64_t value = 0;
    enum err err = take_number(walk, bytes, &value);
    if (err == ERR_OK)
        *ret_token = (struct walk_token){.type = WALK_U64, .u64 = value};
    return err;
}

static struct walk_token signed_token(int64_t value)
{
    if (value >= 0)
        return (struct walk_token){.type = WALK_U64, .u64 = (uint64_t)value};
    return (struct walk_token){.type = WALK_I64, .i64 = value};
}

static enum err take_signed(struct walk *walk, size_t bytes, struct walk_token *ret_token)
{
    uint64_t value = 0;
    enum err err = take_number(walk, bytes, &value);
    if (err != ERR_OK)
        return err;
    unsigned shift = 64 - 8 * (unsigned)bytes;
    *ret_token = signed_token((int64_t)(value << shift) >> shift);
    return ERR_OK;
}

static enum err take_float(struct walk *walk, size_t bytes, struct walk_token *ret_token)
{
    uint64_t bits = 0;
    enum err err = take_number(walk, bytes, &bits);
    if (err != ERR_OK)
        return err;
    double value;
    if (bytes == 4) {
        uint32_t narrow = (uint32_t)bits;
        float single;
        memcpy(&single, &narrow, sizeof(single));
        value = single;
    } else {
        memcpy(&value, &bits, sizeof(value));
    }
    *ret_token = (struct walk_token){.type = WALK_F64, .f64 = value};
    return ERR_OK;
}

/* The types whose first byte carries no value: 0xc0 to 0xdf. */
static enum err take_prefixed(struct walk *walk, uint8_t first, struct walk_token *ret_token)
{
    if (first == 0xc0) {
        *ret_token = (struct walk_token){.type = WALK_NIL};
        return ERR_OK;
    }
    if (first == 0xc2 || first == 0xc3) {
        *ret_token = (struct walk_token){.type = WALK_BOOL, .boolean = first == 0xc3};
        return ERR_OK;
    }
    if (first >= 0xc4 && first <= 0xc6)
        return take_sized_bytes(walk, WALK_BYTES, (size_t)1 << (first - 0xc4), ret_token);
    if (first == 0xca || first == 0xcb)
        return take_float(walk, first == 0xca ? 4 : 8, ret_token);
    if (first >= 0xcc && first <= 0xcf)
        return take_unsigned(walk, (size_t)1 << (first - 0xcc), ret_token);
    if (first >= 0xd0 && first <= 0xd3)
        return take_signed(walk, (size_t)1 << (first - 0xd0), ret_token);
    if (first >= 0xd9 && first <= 0xdb)
        return take_sized_bytes(walk, WALK_TEXT, (size_t)1 << (first - 0xd9), ret_token);
    if (first == 0xdc || first == 0xdd)
        return take_sized_count(walk, WALK_ARRAY, first == 0xdc ? 2 : 4, ret_token);
    if (first == 0xde || first == 0xdf)
        return take_sized_count(walk, WALK_MAP, first == 0xde ? 2 : 4, ret_token);
    return ERR_INVALID; /* 0xc1 is reserved; extension types are not used */
}

enum err walk_next(struct walk *walk, struct walk_token *ret_token)
{
    if (walk->left.len == 0)
        return ERR_TRUNCATED;
    uint8_t first = walk->left.data[0];
    walk->left = span_skip(walk->left, 1);
    if (first < 0x80) {
        *ret_token = (struct walk_token){.type = WALK_U64, .u64 = first};
        return ERR_OK;
    }
    if (first < 0x90)
        return take_count(walk, WALK_MAP, first & 0x0f, ret_token);
    if (first < 0xa0)
        return take_count(walk, WALK_ARRAY, first & 0x0f, ret_token);
    if (first < 0xc0)
        return take_bytes(walk, WALK_TEXT, first & 0x1f, ret_token);
    if (first >= 0xe0) {
        *ret_token = signed_token((int64_t)first - 256);
        return ERR_OK;
    }
    return take_prefixed(walk, first, ret_token);
}

enum err walk_skip(struct walk *walk, struct span *ret_raw)
{
    struct span start = walk->left;
    uint64_t open[WALK_DEPTH_MAX + 1] = {1}; /* values still to come per level */
    for (size_t depth = 0;;) {
        while (open[depth] == 0) {
            if (depth == 0) {
                if (ret_raw != NULL)
                    *ret_raw = span_first(start, start.len - walk->left.len);
                return ERR_OK;
            }
            depth--;
        }
        open[depth]--;
        struct walk_token token;
        enum err err = walk_next(walk, &token);
        if (err != ERR_OK)
            return err;
        uint64_t values = token.type == WALK_MAP ? (uint64_t)token.count * 2 : token.count;
        if (values == 0)
            continue;
        if (depth == WALK_DEPTH_MAX)
            return ERR_TOO_LARGE;
        open[++depth] = values;
    }
}

enum err walk_find(struct span map, const char *key, struct span *ret_value)
{
    struct walk walk = {.left = map};
    struct walk_token token;
    enum err err = walk_next(&walk, &token);
    if (err != ERR_OK)
        return err;
    if (token.type != WALK_MAP)
        return ERR_INVALID;
    for (uint32_t i = 0; i < token.count; i++) {
        struct walk_token name;
        struct span value;
        err = walk_next(&walk, &name);
        if (err != ERR_OK)
            return err;
        if (name.type != WALK_TEXT)
            return ERR_INVALID;
        err = walk_skip(&walk, &value);
        if (err != ERR_OK)
            return err;
        if (span_equal_text(name.bytes, key)) {
            *ret_value = value;
            return ERR_OK;
        }
    }
    return ERR_NOT_FOUND;
}

static enum err find_token(struct span map, const char *key, enum walk_type type, struct walk_token *ret_token)
{
    struct span value;
    enum err err = walk_find(map, key, &value);
    if (err != ERR_OK)
        return err;
    struct walk walk = {.left = value};
    err = walk_next(&walk, ret_token);
    return err == ERR_OK && ret_token->type != type ? ERR_INVALID : err;
}

enum err walk_find_text(struct span map, const char *key, struct span *ret_text)
{
    struct walk_token token;
    enum err err = find_token(map, key, WALK_TEXT, &token);
    if (err == ERR_OK)
        *ret_text = token.bytes;
    return err;
}

enum err walk_find_u64(struct span map, const char *key, uint64_t *ret_value)
{
    struct walk_token token;
    enum err err = find_token(map, key, WALK_U64, &token);
    if (err == ERR_OK)
        *ret_value = token.u64;
    return err;
}
